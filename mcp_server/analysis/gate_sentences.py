"""The sentences of promotion gates: `metrics.accuracy > champion + 0.005`, read and written.

    gate       = comparison { "and" comparison }
    comparison = kind "." key comparator value
    kind       = metrics | params | tags                    (metric, param, parameter, parameters, tag as well)
    key        = letters, digits and signs without spaces, or anything in `backticks` or "double quotes"
    comparator = > | >= | < | <= | = | == | !=
    value      = number | champion [ (+ | -) number [ % ] ] | 'text' | "text"

A quote inside quotes is doubled. Metrics take a number or the champion; params and tags take a number (their text is
then read as one) or a text, which can be equal or not, but not larger.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from mcp_server.errors import InvalidInputError

Kind = Literal["metrics", "params", "tags"]
Comparator = Literal[">", ">=", "<", "<=", "=", "!="]

EXAMPLES: Final = "metrics.accuracy >= 0.9, metrics.loss < champion - 1%, tags.reviewed = 'yes'"
"""Right gates, shown with every error."""

EXCERPT: Final = 30
"""Characters shown on each side of the place where a gate is wrong."""

NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPACE: Final = re.compile(r"\s*")
_KIND: Final = re.compile(r"(metrics?|param(?:eter)?s?|tags?)\s*\.\s*", re.IGNORECASE)
_KIND_BY_LETTER: Final[dict[str, Kind]] = {"m": "metrics", "p": "params", "t": "tags"}
_BARE_KEY: Final = re.compile(r"[^\s`'\"<>=!]+")
_QUOTED: Final = re.compile(r"`((?:[^`]|``)*)`|\"((?:[^\"]|\"\")*)\"|'((?:[^']|'')*)'")
_COMPARATOR: Final = re.compile(r"[<>=!~]+")
_AND: Final = re.compile(r"and\b", re.IGNORECASE)
_CHAMPION: Final = re.compile(r"champion(?!\w)", re.IGNORECASE)
_MARGIN: Final = re.compile(r"([+-])\s*")
_WORD: Final = re.compile(r"\w+|\S|$")


@dataclass(frozen=True, slots=True)
class ChampionMargin:
    """The value of the current champion, moved by a margin."""

    amount: float = 0.0
    """In the metric's unit, or in percent of the magnitude of the champion's value; negative for `champion - ...`."""
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One comparison; equal gates mean the same."""

    kind: Kind
    key: str
    comparator: Comparator
    required: float | str | ChampionMargin

    @property
    def text(self) -> str:
        """The gate as a sentence that `parse_gates` reads back to an equal gate."""
        return f"{self.kind}.{_key_text(self.key)} {self.comparator} {_required_text(self.required)}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read gates; several comparisons joined with `and` become several gates.

    Numbers are double precision, as MLflow stores metrics.
    Raises: InvalidInputError: what is wrong, at which character, an excerpt with a caret and right examples.
    """
    several = [texts] if isinstance(texts, str) else list(texts)
    return tuple(gate for number, text in enumerate(several, 1) for gate in _Reader(text, number, len(several)).gates())


def number_text(value: float) -> str:
    """A number as short as it can be written without becoming another one: 0.9, 12, 1e-05; else NaN, Infinity."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return repr(float(value)).removesuffix(".0")


class _Reader:
    """Reads one text from left to right; `at` is the next character."""

    def __init__(self, text: str, number: int, count: int) -> None:
        self.text = text
        self.at = 0
        self.which = f"Gate {number}" if count > 1 else "The gate"

    def gates(self) -> list[Gate]:
        self._skip()
        if self.at == len(self.text):
            raise self._wrong("it is empty")
        found = [self._comparison()]
        while self.at < len(self.text):
            if not self._take(_AND):
                hint = "; every gate must hold, so there is no or" if self._word().lower() == "or" else ""
                raise self._wrong(f"expected 'and' or the end, found {self._found()}{hint}")
            found.append(self._comparison())
        return found

    def _comparison(self) -> Gate:
        kind = self._kind()
        key = self._key()
        comparator, place = self._comparator()
        required = self._required(kind)
        if isinstance(required, str) and comparator not in ("=", "!="):
            raise self._wrong(f"a text can be = or != but not {comparator}", place)
        return Gate(kind, key, comparator, required)

    def _kind(self) -> Kind:
        match = self._take(_KIND)
        if match is None:
            raise self._wrong(f"expected metrics., params. or tags. and a name, found {self._found()}")
        return _KIND_BY_LETTER[match[1][0].lower()]

    def _key(self) -> str:
        place = self.at
        quoted = None if self.text[self.at : self.at + 1] == "'" else self._quoted()
        if quoted is not None:
            if quoted == "":
                raise self._wrong("the name is empty", place)
            return quoted
        match = self._take(_BARE_KEY)
        if match is None:
            raise self._wrong(f"expected a name after the dot, found {self._found()}; odd names go in `backticks`")
        return match[0]

    def _comparator(self) -> tuple[Comparator, int]:
        place = self.at
        match = self._take(_COMPARATOR)
        sign = "=" if match and match[0] == "==" else match[0] if match else ""
        if sign not in get_args(Comparator):
            found = f"'{sign}'" if sign else self._found()
            hint = "" if sign else "; a name with spaces goes in `backticks`"
            raise self._wrong(f"expected >, >=, <, <=, = or !=, found {found}{hint}", place)
        return cast(Comparator, sign), place

    def _required(self, kind: Kind) -> float | str | ChampionMargin:
        place = self.at
        quoted = None if self.text[self.at : self.at + 1] == "`" else self._quoted()
        if quoted is not None:
            if kind == "metrics":
                raise self._wrong("a metric is compared with a number, without quotes", place)
            return quoted
        if self._take(_CHAMPION):
            if kind != "metrics":
                raise self._wrong(f"only metrics are compared with the champion, not {kind}", place)
            return self._margin()
        if NUMBER.match(self.text, self.at):
            number = self._number()
            if self.text[self.at : self.at + 1] == "%":
                raise self._wrong("a percentage follows champion + or -; write 0.9 for 90 %")
            return number
        wanted = "a number or champion" if kind == "metrics" else "a number or a text in quotes"
        raise self._wrong(f"expected {wanted}, found {self._found()}")

    def _margin(self) -> ChampionMargin:
        if self.text[self.at : self.at + 1] == ".":
            raise self._wrong("champion stands alone: it is the champion's value of the same metric")
        if self.text[self.at : self.at + 1] in ("*", "/"):
            raise self._wrong("a margin is added; for champion * 0.98 write champion - 2%")
        sign = self._take(_MARGIN)
        if sign is None:
            return ChampionMargin()
        if self.text[self.at : self.at + 1] in ("+", "-"):
            raise self._wrong("the margin has two signs")
        amount = self._number()
        percent = self.text[self.at : self.at + 1] == "%"
        if percent:
            self.at += 1
            self._skip()
        # 0 percent and no margin are the same threshold, so they are the same gate.
        return ChampionMargin(-amount if sign[1] == "-" else amount, percent) if amount else ChampionMargin()

    def _number(self) -> float:
        place = self.at
        match = self._take(NUMBER)
        if match is None:
            raise self._wrong(f"expected a number, found {self._found()}")
        if re.match(r"[\w.]", self.text[match.end() : match.end() + 1]):
            raise self._wrong(f"'{self.text[place : match.end() + 1]}' is not a number", place)
        value = float(match[0])
        if not math.isfinite(value):
            raise self._wrong("the number is too large", place)
        return value + 0.0  # "-0" and "0" are one number.

    def _quoted(self) -> str | None:
        """What stands in quotes here; None when there is no quote."""
        quote = self.text[self.at : self.at + 1]
        if quote not in ("`", '"', "'"):
            return None
        match = self._take(_QUOTED)
        if match is None:
            raise self._wrong(f"the {quote} is not closed")
        return match[0][1:-1].replace(quote * 2, quote)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match here and go on behind it and the space after it."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            self._skip()
        return match

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _word(self) -> str:
        match = _WORD.match(self.text, self.at)
        return match[0][:EXCERPT] if match else ""

    def _found(self) -> str:
        word = _shown(self._word())
        return f"'{word}'" if word else "the end"

    def _wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        at = self.at if place is None else place
        start, end = max(at - EXCERPT, 0), at + EXCERPT
        excerpt, caret = _shown(self.text[start:end]), " " * (at - start) + "^"
        return InvalidInputError(
            f"{self.which} is malformed at character {at + 1}: {what}.\n  {excerpt}\n  {caret}\nRight are: {EXAMPLES}."
        )


def _shown(text: str) -> str:
    """One printable column for each character, or the caret would point elsewhere."""
    return "".join(char if char.isprintable() else " " for char in text)


def _key_text(key: str) -> str:
    if _BARE_KEY.fullmatch(key):
        return key
    quote = '"' if "`" in key else "`"
    return quote + key.replace(quote, quote * 2) + quote


def _required_text(required: float | str | ChampionMargin) -> str:
    if isinstance(required, str):
        return "'" + required.replace("'", "''") + "'"
    if not isinstance(required, ChampionMargin):
        return number_text(required)
    if required.amount == 0.0:
        return "champion"
    sign = "-" if required.amount < 0.0 else "+"
    return f"champion {sign} {number_text(abs(required.amount))}{'%' if required.percent else ''}"
