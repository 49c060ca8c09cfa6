"""Reads comparisons such as `metrics.accuracy > 0.9`: the keys, quotes and numbers that filters and gates share.

A key with other characters than letters, digits and signs stands in `backticks` or "double quotes", a text in
'single' or "double" quotes. A quote inside quotes of its kind is doubled.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp_server.errors import InvalidInputError

EXCERPT: Final = 30
"""Characters shown on each side of the place where a text is wrong."""

NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPACE: Final = re.compile(r"\s*")
_BARE_KEY: Final = re.compile(r"[^\s`'\"<>=!~≥≤≠(),]+")
_QUOTED: Final = {
    "'": re.compile(r"'((?:[^']|'')*)'"),
    '"': re.compile(r'"((?:[^"]|"")*)"'),
    "`": re.compile(r"`((?:[^`]|``)*)`"),
}
_SIGN: Final = re.compile(r"[<>=!~≥≤≠]+")
_SAME_SIGN: Final = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "≥": ">=", "≤": "<=", "≠": "!="}
_WORD: Final = re.compile(r"\w+|\S|$")

TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
"""What each sign, in its usual spelling, compares."""


class Reader:
    """Reads a text from left to right; `at` is the next character. Space after whatever was read is skipped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._skip_space()

    @property
    def ended(self) -> bool:
        return self.at == len(self.text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Reads what matches here; None, and nothing read, when it does not match."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            self._skip_space()
        return match

    def take_word(self, word: str) -> bool:
        """Reads this whole word in any case."""
        return self.take(re.compile(rf"{word}\b", re.IGNORECASE)) is not None

    def starts_with(self, *signs: str) -> bool:
        return self.text.startswith(signs, self.at)

    def key(self) -> str | None:
        """A name without its quotes; None when there is none here.

        Raises: InvalidInputError: the quotes are empty or not closed.
        """
        place = self.at
        if self.starts_with("`", '"'):
            key = self.quoted("`", '"')
            if not key:
                raise self.wrong("the name is empty", place)
            return key
        match = self.take(_BARE_KEY)
        return match[0] if match else None

    def quoted(self, *marks: str) -> str | None:
        """What stands in quotes of these kinds, doubled quotes read as one; None when there is no such quote here.

        Raises: InvalidInputError: the quote is not closed.
        """
        mark = self.text[self.at : self.at + 1]
        if not mark or mark not in marks:
            return None
        match = self.take(_QUOTED[mark])
        if match is None:
            raise self.wrong(f"the {mark} is not closed")
        return match[1].replace(mark * 2, mark)

    def sign(self) -> str:
        """A comparison sign in its usual spelling, such as `>=` for `=>`; empty when there is none here."""
        match = self.take(_SIGN)
        return "" if match is None else _SAME_SIGN.get(match[0], match[0])

    def number(self) -> str | None:
        """A decimal number as it is written; None when there is none here.

        Raises: InvalidInputError: letters follow the digits.
        """
        place = self.at
        match = self.take(NUMBER)
        if match is None:
            return None
        if re.match(r"[\w.]", self.text[match.end() : match.end() + 1]):
            written = self.text[place : match.end()] + re.split(r"[^\w.]", self.text[match.end() :])[0][:EXCERPT]
            raise self.wrong(f"'{written}' is not a number; put texts and time spans in quotes", place)
        return match[0]

    def found(self) -> str:
        """What stands here, for an error."""
        match = _WORD.match(self.text, self.at)
        word = printable(match[0][:EXCERPT]) if match else ""
        return f"'{word}'" if word else "the end"

    def wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        """The error to raise: what is wrong, at which character (the next one, unless `place` is given)."""
        at = self.at if place is None else place
        return InvalidInputError(f"Malformed at character {at + 1}: {what}.")

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at


def printable(text: str) -> str:
    """One printable column for each character, so that a caret below it points to the right place."""
    return "".join(char if char.isprintable() else " " for char in text)


def key_text(key: str) -> str:
    """A key as `Reader.key` reads it back: bare where possible, else in quotes."""
    if _BARE_KEY.fullmatch(key):
        return key
    mark = '"' if "`" in key else "`"
    return mark + key.replace(mark, mark * 2) + mark


def text_in_quotes(text: str) -> str:
    """A text as `Reader.quoted` reads it back."""
    return "'" + text.replace("'", "''") + "'"
