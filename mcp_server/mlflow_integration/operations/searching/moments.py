"""Reads moments as people write them: `24h`, `yesterday`, `last week`, `2026-11-20`, ISO times. All in UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta, timezone
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.untrusted import shown

MOMENT_FORM: Final = (
    "Give a span back from now (30m, 24h, 7d, 2w), today, yesterday, a date (2026-11-20) or a time (2026-11-20T14:30Z)."
)
_UNITS: Final = {
    "s": "seconds", "sec": "seconds", "second": "seconds",
    "m": "minutes", "min": "minutes", "minute": "minutes",
    "h": "hours", "hr": "hours", "hour": "hours",
    "d": "days", "day": "days",
    "w": "weeks", "wk": "weeks", "week": "weeks",
}  # fmt: skip
_MONTHS: Final = {"mo": 30, "month": 30, "y": 365, "yr": 365, "year": 365}
"""Days; a span of months is one of 30 days each."""
_NUMBERS: Final = {"": 1, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
_SPAN: Final = re.compile(
    r"(?:(?:since|the|in)\s+)*(?:last|past|previous)?\s*(?P<count>\d{1,9}(?:\.\d{1,3})?|an?|one|two|three)?\s*"
    r"(?P<unit>[a-z]+?)s?(?:\s+ago)?"
)
_DAYS: Final = {"today": 0, "this day": 0, "yesterday": 1, "the day before yesterday": 2}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH_NAMES: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)  # The calendar module has them in the language of the machine.
_MONTH_BY_NAME: Final = {
    text: month for month, name in enumerate(_MONTH_NAMES, 1) for text in (name, name[:3], name[:4])
}
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def milliseconds(text: str, now_ms: int, *, argument: str, end: bool = False) -> int:
    """UTC milliseconds of a moment; spans are counted back from `now_ms`.

    A day or month stands for its first moment, with `end` for its last. `argument` is named in the error.
    Raises: InvalidInputError: no form of a moment, or a moment before 1970.
    """
    now = datetime.fromtimestamp(now_ms / 1_000, timezone.utc)
    found = _moment(" ".join(text.lower().split()), now)
    if found is None:
        raise InvalidInputError(f"{argument} is '{shown(text)}'. {MOMENT_FORM}")
    moment, days = found
    if end and days:
        moment += timedelta(days=days) - timedelta(milliseconds=1)
    if moment < _EARLIEST:
        raise InvalidInputError(f"{argument} is '{shown(text)}', which is before 1970. {MOMENT_FORM}")
    return round(moment.timestamp() * 1_000)


def _moment(text: str, now: datetime) -> tuple[datetime, int] | None:
    """The moment and how many whole days it stands for, 0 for none; None when the text is not a moment."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "now":
        return now, 0
    if text in _DAYS:
        return midnight - timedelta(days=_DAYS[text]), 1
    if text.removeprefix("last ") in _WEEKDAYS:
        back = (now.weekday() - _WEEKDAYS.index(text.removeprefix("last "))) % 7 or 7
        return midnight - timedelta(days=back), 1
    if text == "this week":
        return midnight - timedelta(days=now.weekday()), 0
    if text == "this month":
        return midnight.replace(day=1), 0
    if re.fullmatch(r"\d{10}|\d{13}", text):
        return _EARLIEST + timedelta(milliseconds=int(text) * (1 if len(text) == 13 else 1_000)), 0
    try:
        return _span(text, now) or _month(text, now) or _iso(text)
    except OverflowError:
        # Further back than dates reach.
        return _EARLIEST - timedelta(days=1), 0


def _span(text: str, now: datetime) -> tuple[datetime, int] | None:
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    count = match["count"] or ""
    number = _NUMBERS[count] if count in _NUMBERS else float(count)
    if match["unit"] in _MONTHS:
        return now - timedelta(days=number * _MONTHS[match["unit"]]), 0
    unit = _UNITS.get(match["unit"])
    # "h" alone is a slip, "hour" alone stands for the last hour.
    if unit is None or (not count and len(match["unit"]) < 3):
        return None
    return now - timedelta(**{unit: number}), 0


def _month(text: str, now: datetime) -> tuple[datetime, int] | None:
    """`2026-10`, `october 2026`, `oct`; a month alone is the latest one that has begun."""
    if number := re.fullmatch(r"([12]\d{3})[-/](0[1-9]|1[0-2])", text):
        year, month = int(number[1]), int(number[2])
    elif (named := re.fullmatch(r"([a-z]{3,9})\.?(?: ([12]\d{3}))?", text)) and named[1] in _MONTH_BY_NAME:
        month = _MONTH_BY_NAME[named[1]]
        year = int(named[2]) if named[2] else now.year - (month > now.month)
    else:
        return None
    return datetime(year, month, 1, tzinfo=timezone.utc), monthrange(year, month)[1]


def _iso(text: str) -> tuple[datetime, int] | None:
    # Python 3.10 reads neither the Z of ISO 8601 nor slashes.
    text = re.sub(r"\s*(?:z|utc|gmt)$", "+00:00", text.upper(), flags=re.IGNORECASE).replace("/", "-")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc), int(bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)))
