"""Text that others wrote, made safe to show: invisible characters, secrets and the insides of a server taken out.

Params, tags, names, artifacts and MLflow's own error texts can be written by anybody who may log a run.
Standard library only, so that every floor may use it.
"""

from __future__ import annotations

import re
from typing import Final

PUBLIC_TEXT_LIMIT: Final = 300
"""Characters of MLflow's own words in one error: two sentences; MLflow appends whole tutorials and statements."""

_HIDDEN: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1: terminal escapes
    "\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c"  # bidi controls: text that reads other than it is
    "\u200b-\u200d\u2060-\u2064\u180e\u00ad\ufeff"  # zero width: words nobody sees
    "\U000e0000-\U000e007f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # tags and variation selectors: the same
    "\ud800-\udfff"  # lone surrogates: no JSON frame can carry them, one of them ends an mcp 2.3.0 stdio server
    "]"
)


def clean(text: str) -> str:
    """The text without characters that hide or steer; lone surrogates become U+FFFD.

    Returns: the same object when there is nothing to take out.
    """
    return _HIDDEN.sub(_visible, text) if _HIDDEN.search(text) else text


def _visible(hidden: re.Match[str]) -> str:
    return "\ufffd" if "\ud800" <= hidden[0] <= "\udfff" else ""


def clip(text: str, limit: int) -> str:
    """The first `limit` characters, followed by how many were left out: `… (5,812 more characters)`.

    Returns: the same object when it is short enough.
    """
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    return f"{text[:limit]}… ({left_out:,} more {'character' if left_out == 1 else 'characters'})"


# Every repetition below is bounded or ends at a character its neighbour cannot match: hostile text costs linear time.
_USERINFO: Final = re.compile(
    r"""://(?:
        [^\s/?#"'<>]{0,500}@
        # A password with a raw "/", "?" or "#"; what stands before the colon is a host when a port follows it.
        | [^\s/?#@:"'<>]{0,200}:(?!\d{1,5}[/?#])[^\s"'<>]{0,500}@
    )""",
    re.VERBOSE,
)
_NAMED_SECRET: Final = re.compile(
    r"""(?P<name>
        (?<!page_)  # page_token is a place in a list, not a secret
        (?:password|passwd|pwd|secret|token|signature|credential
          |api[_-]?key|access[_-]?key(?:[_-]?id)?|secret[_-]?(?:access[_-]?)?key)
        (?:\s{0,3}=\s{0,3} | ["']\s{0,3}[:=]\s{0,3})
    )
    (?P<value>"[^"]*" | '[^']*' | [^\s&;,"')\]}]+)""",
    re.VERBOSE | re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s{1,3}[\w.~+/=-]{16,}", re.IGNORECASE)
_AWS_KEY_ID: Final = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")


def without_secrets(text: str) -> str:
    """The text without userinfo in URIs, values of password-like parameters, bearer tokens and AWS keys."""
    text = _USERINFO.sub("://", text)
    text = _NAMED_SECRET.sub(r"\g<name>***", text)
    text = _BEARER.sub(r"\1 ***", text)
    return _AWS_KEY_ID.sub("***", text)


_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\).*", re.DOTALL)
_SQL: Final = re.compile(
    # The statement may hold brackets of its own, so everything goes up to SQLAlchemy's closing remark or the end.
    r"\[(?:SQL|parameters): .*?(?:(?=\(Background on this error at: )|\Z)|\(Background on this error at: [^)]{0,200}\)",
    re.DOTALL,
)
_DRIVER_ERROR: Final = re.compile(r"\((?:\w{1,60}\.){1,5}\w{0,60}(?:Error|Exception|Violation|Failure)\)\s?")
_LOCAL_PATH: Final = re.compile(
    r"""
    (?P<quote>["'])(?:/(?!(?:ajax-)?api/)[^\s/"']{1,255}/|[A-Za-z]:[\\/])[^"'\n]*(?P=quote)  # spaces only in quotes
    | \b(?:file|sqlite):/[^\s"'<>]*
    | (?<![\w:/.\]-])/(?!(?:ajax-)?api/)[^\s/"'<>:,;()]{1,255}/[^\s"'<>:,;()]*
    | (?:\b[A-Za-z]:[\\/]|\\\\\w)(?:[^\s"'<>|]|[ ](?=[^\s"'\\]{1,100}\\))*
    """,
    re.VERBOSE,
)


def public_text(message: str) -> str:
    """A text of MLflow's as one line for the agent: no SQL, traceback, driver, local path or secret.

    Returns: at most `PUBLIC_TEXT_LIMIT` characters; cut ones end in an ellipsis.
    """
    text = clean(message)
    for insides in (_TRACEBACK, _SQL, _DRIVER_ERROR):
        text = insides.sub("", text)
    text = _LOCAL_PATH.sub("[path]", without_secrets(text))
    text = " ".join(text.split())
    return text if len(text) <= PUBLIC_TEXT_LIMIT else text[: PUBLIC_TEXT_LIMIT - 1] + "…"
