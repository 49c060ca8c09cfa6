"""The secrets that this process knows, taken out of every text that leaves it: answers, errors, log lines.

A safety net below the rule that no text is made of one. Standard library only.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from functools import cache
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote

MASK: Final = "***"

_SHORTEST: Final = 4
"""Characters; shorter ones are parts of words. They are still found as `user:password`, encoded."""
_LONG: Final = 10
"""Characters from which on a secret is found inside a word as well."""

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
        _known.update({form, quote(form, safe=""), quote(form), quote_plus(form), json.dumps(form)[1:-1]})
    for form in {*forms, f"{user}:{secret}"} if user else forms:
        raw = form.encode("utf-8", "surrogateescape")
        for encoded in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
            _known.update({encoded, encoded.rstrip("=")})
    _pattern.cache_clear()


def remember_login(uri: str) -> None:
    """Take the password of a URI, and whatever its query holds under the name of a secret, out of all texts."""
    authority = uri.partition("://")[2].partition("?")[0]
    if not authority.startswith("/"):
        user, _, password = authority.rpartition("@")[0].partition(":")
        for form in {password, unquote(password)}:
            remember(form, user=unquote(user))
    for name, value in parse_qsl(uri.partition("?")[2]):
        if re.search(r"(?i)pass|pwd|secret|token|key|credential", name):
            remember(value)


def redact(text: str) -> str:
    """The text without any known secret. Returns: the same object when there is none in it."""
    pattern = _pattern()
    return pattern.sub(MASK, text) if pattern is not None else text


def redacted(value: Any) -> Any:
    """JSON without any known secret, in keys too."""
    if _pattern() is None:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redacted(key): redacted(part) for key, part in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [redacted(part) for part in cast("list[Any]", value)]
    return value


@cache
def _pattern() -> re.Pattern[str] | None:
    if not _known:
        return None
    # Longest first, so that no half of one stays; percent-encoding may be in lower case.
    forms = sorted(_known, key=len, reverse=True)
    whole = [re.escape(form) if len(form) >= _LONG else rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms]
    lower = [re.escape(re.sub("%..", lambda code: code[0].lower(), form)) for form in forms if "%" in form]
    return re.compile("|".join([*whole, *lower]))


class RedactingFilter(logging.Filter):
    """Takes known secrets out of log records, tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record; keeps every one."""
        if _pattern() is None:
            return True
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_info = None
        return True


def guard_logs() -> None:
    """Put the filter on every handler of the root logger; call after logging is configured."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, RedactingFilter) for one in handler.filters):
            handler.addFilter(RedactingFilter())
