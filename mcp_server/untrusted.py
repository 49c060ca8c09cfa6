"""Text that others wrote, made safe to show: invisible characters, secrets and the insides of a server taken out.

Params, tags, names, artifacts and MLflow's own error texts can be written by anybody who may log a run.
Standard library only, so that every floor may use it.
"""

from __future__ import annotations

import json
import re
from typing import Final

PUBLIC_TEXT_LIMIT: Final = 300
"""Characters of MLflow's own words in one error: two sentences; MLflow appends whole tutorials and statements."""
SHOWN_LIMIT: Final = 80
"""Characters of a value that is quoted in a sentence: enough to recognise it."""
SENTENCE_LIMIT: Final = 4_000
"""Characters of an error, a question or a hint."""
_CUT_EARLY: Final = 4
"""Only this many times the limit is cleaned, so that an argument of 10 MB costs no time."""

_LINE_END: Final = "\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"
"""What some reader takes for the end of a line, except the line feed itself."""
_HIDDEN: Final = re.compile(
    f"(?P<line_end>{_LINE_END})|(?P<surrogate>[\ud800-\udfff])|"  # no JSON frame can carry a lone surrogate
    "["
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x9f"  # C0 but tab and line ends, DEL, C1: terminal escapes
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"  # bidi controls: text that reads other than it is
    # Default_Ignorable_Code_Point of Unicode: zero width, fillers, variation selectors, tags: words nobody sees.
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)


def clean(text: str) -> str:
    """The text without characters that hide or steer; every line end is a line feed, a lone surrogate U+FFFD.

    Returns: the same object when there is nothing to take out.
    """
    return _HIDDEN.sub(_visible, text) if _HIDDEN.search(text) else text


def _visible(hidden: re.Match[str]) -> str:
    return "\n" if hidden["line_end"] else "\ufffd" if hidden["surrogate"] else ""


def clip(text: str, limit: int) -> str:
    """The first `limit` characters, followed by how many were left out: `… (5,812 more characters)`.

    Returns: the same object when it is short enough.
    """
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    return f"{text[:limit]}… ({left_out:,} more {'character' if left_out == 1 else 'characters'})"


def shown(value: object, limit: int = SHOWN_LIMIT) -> str:
    """A value of any type as it may stand in a sentence: clean, on one line, at most `limit` characters and a count.

    Never fails. A text stands without quotes, anything else as JSON.
    """
    text = value if isinstance(value, str) else _json(value)
    line = one_line(text[: _CUT_EARLY * limit])
    if len(text) <= _CUT_EARLY * limit:
        return clip(line, limit)
    return f"{line[:limit]}… ({len(text) - limit:,} more characters)"


def sentence(text: str, limit: int = SENTENCE_LIMIT) -> str:
    """An error, question or hint as it leaves: clean, on one line, cut in the middle, for the advice is at the end."""
    head, tail = limit * 2 // 3, limit // 3
    if len(text) > _CUT_EARLY * limit:
        first, last = one_line(text[: 2 * limit])[:head], one_line(text[-limit:])[-tail:]
        return f"{first}… ({len(text) - head - tail:,} more characters) …{last}"
    line = one_line(text)
    if len(line) <= limit:
        return line
    return f"{line[:head]}… ({len(line) - head - tail:,} more characters) …{line[-tail:]}"


def one_line(text: str) -> str:
    """The clean text with every run of white space as one space."""
    return " ".join(clean(text).split())


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        # Nested too deeply, a key that is not a text, a number with more digits than Python prints.
        return f"a value of type {type(value).__name__}"


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
_SESSION: Final = re.compile(
    # What SQLAlchemy says about itself around the error of the database.
    r"This Session's transaction has been rolled back .{0,300}? Original exception was: "
    r"|\(raised as a result of [^)]{0,300}\)\s?",
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


_PUBLIC_TEXT_READ: Final = 20_000
"""Characters of a message that are looked at."""


def public_text(message: str) -> str:
    """A text of MLflow's as one line for the agent: no SQL, traceback, driver, local path or secret.

    Returns: at most `PUBLIC_TEXT_LIMIT` characters; cut ones end in an ellipsis.
    """
    # MLflow's statements can be megabytes long; what is shown of them is at the beginning.
    text = clean(message[:_PUBLIC_TEXT_READ])
    for insides in (_TRACEBACK, _SQL, _SESSION, _DRIVER_ERROR):
        text = insides.sub("", text)
    text = one_line(_LOCAL_PATH.sub("[path]", without_secrets(text)))
    return text if len(text) <= PUBLIC_TEXT_LIMIT else text[: PUBLIC_TEXT_LIMIT - 1] + "…"
