"""Masks the secrets that this process knows in every text that leaves it.

A safety net: no text should hold one in the first place. `outgoing` applies it to what goes to an MCP client,
`remember` to every log record, the commands to what they print. Standard library only.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TextIO, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote

MASK: Final = "***"

_SHORTEST: Final = 4
"""Characters; shorter ones are parts of words. They are still found as `user:password`, encoded."""
_LONG: Final = 10
"""Characters; a secret of this length or longer is also found inside a word."""
_CUT: Final = 20
"""Characters; of a secret of this length or longer the beginning is found too: tables and sentences cut long values."""
_BEGINNING: Final = 12
"""Characters of such a beginning."""
_SHORTEST_OF_ENVIRONMENT: Final = 8
"""Characters of a value that only its variable's name marks as a secret; that of `TOKENIZERS=true` is none."""

_SECRET_PARAMETER: Final = re.compile(r"(?i)pass|pwd|secret|token|key|credential|signature|^sig$")
_SECRET_VARIABLE: Final = re.compile(
    r"(?i)(?!.*_(?:NAME|TYPE|FILE|PATH|DIR|ENV|ISSUER|ARN|COUNT|LIMIT|VERSION|MODE)$)"
    r".*(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PWD|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_?KEY(?:_ID)?|SECRET_?KEY"
    r"|PRIVATE_?KEY|ACCOUNT_?KEY|KEY_?ID|SAS|CONNECTION_STRING)(?:_|$)"
)
_PARTS: Final = re.compile(r"\s+|,(?=[\w.-]+=)")
"""Between the addresses of a variable that lists several."""
_NO_SECRET: Final = re.compile(r"(?i)true|false|[\d.,]+|[~/.]\S*|[A-Z]:\\.*|\*+")
"""Switches, numbers and paths, which variables of such names hold as well."""

_known: set[str] = set()


def remember(secret: str, *, user: str = "") -> None:
    """Take this secret out of all texts from now on: plain, percent-encoded, in base64, and as `user:password`.

    A password that is also the user name, as of many test databases, is no secret but a word of the address.
    """
    forms = {f"{user}:{secret}"} if user else set[str]()
    if len(secret) >= _SHORTEST and secret != user:
        forms.add(secret)
    if not secret or forms <= _known:
        return
    for form in forms:
        _known.update({form, *_encodings(form)})
    for form in {*forms, f"{user}:{secret}"} if user else forms:
        raw = form.encode("utf-8", "surrogateescape")
        for encoded in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
            _known.update({encoded, encoded.rstrip("=")})
    _pattern.cache_clear()
    _searched.cache_clear()
    _guard_logs()


def _encodings(text: str) -> set[str]:
    """The text as URLs, JSON, HTML and Python write it."""
    percent = {quote(text, safe=""), quote(text), quote_plus(text)}
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text), repr(text)[1:-1]}
    return {*percent, *(quote(one, safe="") for one in percent), *escaped}


def remember_login(uri: str) -> None:
    """Take the password of a URI, and whatever its query holds under the name of a secret, out of all texts."""
    if "://" not in uri:
        return
    authority = uri.partition("://")[2].partition("?")[0]
    if not authority.startswith("/"):
        user, _, password = authority.rpartition("@")[0].partition(":")
        for form in {password, unquote(password)}:
            remember(form, user=unquote(user))
    for name, value in parse_qsl(uri.partition("?")[2]):
        if _SECRET_PARAMETER.search(name):
            remember(value)


def remember_variables(environment: Mapping[str, str]) -> None:
    """Take what an environment keeps under the name of a secret, and the passwords of its URIs, out of all texts.

    Cloud keys and the tokens of other services reach nothing that this server writes, but its libraries read them.
    """
    for name, value in environment.items():
        for part in _PARTS.split(value.strip()):
            remember_login(part)
        secret = value.strip()
        if len(secret) < _SHORTEST_OF_ENVIRONMENT or _NO_SECRET.fullmatch(secret) or "://" in secret:
            continue
        if _SECRET_VARIABLE.match(name):
            remember(secret)


def redact(text: str) -> str:
    """The text without any known secret. Returns: the same object when there is none in it."""
    if not any(form in text for form in _searched()):
        return text
    pattern = _pattern()
    return pattern.sub(MASK, text) if pattern is not None else text


def redacted(value: Any) -> Any:
    """JSON without any known secret, in keys too."""
    if not _known:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redacted(key): redacted(part) for key, part in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [redacted(part) for part in cast("list[Any]", value)]
    return value


def redacted_base64(data: str) -> str:
    """Bytes in base64 with asterisks in place of any known secret, so that nothing in them moves."""
    if not _known:
        return data
    raw = base64.b64decode(data)
    found = False
    for form in sorted((one.encode("utf-8", "surrogateescape") for one in _known if len(one) >= _LONG), key=len):
        if form in raw:
            raw, found = raw.replace(form, b"*" * len(form)), True
    return base64.b64encode(raw).decode("ascii") if found else data


@cache
def _searched() -> tuple[str, ...]:
    """What a text must contain to have a secret in it: looked for first, as that is fast."""
    return tuple({form[:_BEGINNING] if len(form) >= _CUT else form for form in _all_forms()})


def _all_forms() -> set[str]:
    # Percent-encoding may be in lower case.
    return _known | {re.sub("%..", lambda code: code[0].lower(), form) for form in _known if "%" in form}


@cache
def _pattern() -> re.Pattern[str] | None:
    if not _known:
        return None
    # Longest first, so that no half of one stays.
    forms = sorted(_all_forms(), key=len, reverse=True)
    whole = [re.escape(form) if len(form) >= _LONG else rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms]
    # What is left of a long one after a cut: its first characters and any that follow in one word.
    beginnings = {re.escape(form[:_BEGINNING]) + r"[\w%+/=.~-]*" for form in forms if len(form) >= _CUT}
    return re.compile("|".join([*whole, *sorted(beginnings)]))


class _RedactedRecords:
    """A factory of log records without known secrets."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self._make(*arguments, **named)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # Arguments that do not fit; logging reports them when it writes.
            return record
        if (without := redact(text)) is not text:
            record.msg, record.args = without, None
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            if (without := redact(trace)) is not trace:
                record.exc_text, record.exc_info = without, None
        return record


def _guard_logs() -> None:
    """Redact every log record where it is made: MLflow and others have handlers of their own."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _RedactedRecords):
        logging.setLogRecordFactory(_RedactedRecords(make))


class RedactedStream:
    """A stream of text for people, such as stdout, without known secrets in what is written to it."""

    def __init__(self, beneath: TextIO) -> None:
        self._beneath = beneath

    def write(self, text: str) -> int:
        """Returns: the characters that were given."""
        self._beneath.write(redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


@contextmanager
def redacted_output() -> Generator[None]:
    """Masks known secrets in what this process prints inside the block, tracebacks included."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", RedactedStream(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
