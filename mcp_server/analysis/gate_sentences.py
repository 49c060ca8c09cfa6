"""The sentences of promotion gates: `metrics.accuracy > champion + 0.005`, read and written.

    gate       = comparison { "and" comparison }
    comparison = kind "." key comparator value
    kind       = metrics | params | tags                    (metric, param, parameter, parameters, tag as well)
    key        = letters, digits and signs without spaces, or anything in `backticks` or "double quotes"
    comparator = > | >= | < | <= | = | == | !=
    value      = number | alias [ (+ | -) number [ % ] ] | 'text' | "text"
    alias      = champion, prod, prod-eu, ...               (one that ends in -<number> in `backticks`)

A quote inside quotes is doubled. Metrics take a number or an alias, which stands for the value of the version that
has the alias; params and tags take a number (their text is then read as one) or a text, which is compared with = or !=
only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from mcp_server.comparisons import EXCERPT, NUMBER, Reader, key_text, printable, text_in_quotes
from mcp_server.errors import InvalidInputError

Kind = Literal["metrics", "params", "tags"]
Comparator = Literal[">", ">=", "<", "<=", "=", "!="]

EXAMPLES: Final = "metrics.accuracy >= 0.9, metrics.loss < champion - 1%, tags.reviewed = 'yes'"
"""Correct gates, shown with every error."""

_KIND: Final = re.compile(r"(metrics?|param(?:eter)?s?|tags?)\s*\.\s*", re.IGNORECASE)
_KIND_BY_LETTER: Final[dict[str, Kind]] = {"m": "metrics", "p": "params", "t": "tags"}
_ALIAS: Final = re.compile(r"@?(?P<alias>[A-Za-z_]\w*(?:-[A-Za-z_]\w*)*)", re.ASCII)
_NO_ALIAS: Final = re.compile(r"(?:nan|inf|infinity|true|false|null|none|and|or|not)(?![\w-])", re.IGNORECASE)
_MARGIN: Final = re.compile(r"([+-])\s*")
_OR: Final = re.compile(r"or\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AliasValue:
    """The metric's value of the version that has an alias, plus a margin."""

    alias: str
    amount: float = 0.0
    """In the metric's unit, or in percent of the magnitude of that value; negative for `champion - ...`."""
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One comparison; equal gates mean the same."""

    kind: Kind
    key: str
    comparator: Comparator
    required: float | str | AliasValue

    @property
    def text(self) -> str:
        """The gate as a sentence that `parse_gates` reads back to an equal gate."""
        return f"{self.kind}.{key_text(self.key)} {self.comparator} {_required_text(self.required)}"

    @property
    def alias(self) -> str:
        """The alias that the gate compares with; empty if it compares with none."""
        return self.required.alias if isinstance(self.required, AliasValue) else ""


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read gates; several comparisons joined with `and` become several gates.

    Numbers are double precision, as MLflow stores metrics.
    Raises: InvalidInputError: what is wrong, at which character, an excerpt and correct examples.
    """
    several = [texts] if isinstance(texts, str) else list(texts)
    return tuple(g for number, text in enumerate(several, 1) for g in _GateReader(text, number, len(several)).gates())


def number_text(value: float) -> str:
    """A number as short as it can be written without becoming another one: 0.9, 12, 1e-05; else NaN, Infinity."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return repr(float(value)).removesuffix(".0")


class _GateReader(Reader):
    """Reads the gates of one text."""

    def __init__(self, text: str, number: int, count: int) -> None:
        super().__init__(text)
        self._which = f"Gate {number}" if count > 1 else "The gate"

    def gates(self) -> list[Gate]:
        if self.ended:
            raise self.wrong("it is empty")
        found = [self._comparison()]
        while not self.ended:
            if not self.take_word("and"):
                hint = "; every gate must hold, so there is no or" if _OR.match(self.text, self.at) else ""
                raise self.wrong(f"expected 'and' or the end, found {self.found()}{hint}")
            found.append(self._comparison())
        return found

    def wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        at = self.at if place is None else place
        start, end = max(at - EXCERPT, 0), at + EXCERPT
        excerpt = f"{'…' * (start > 0)}{printable(self.text[start:end])}{'…' * (end < len(self.text))}"
        return InvalidInputError(
            f'{self._which} is malformed at character {at + 1}: {what}, in "{excerpt}". Examples: {EXAMPLES}.'
        )

    def _comparison(self) -> Gate:
        kind = self._kind()
        key = self.key()
        if key is None:
            raise self.wrong(f"expected a name after the dot, found {self.found()}; odd names go in `backticks`")
        comparator, place = self._comparator()
        required = self._required(kind)
        if isinstance(required, str) and comparator not in ("=", "!="):
            raise self.wrong(f"a text is compared with = or !=, not {comparator}", place)
        return Gate(kind, key, comparator, required)

    def _kind(self) -> Kind:
        match = self.take(_KIND)
        if match is None:
            name = self.found()
            meant = f"; perhaps metrics.{name[1:-1]}" if name[1:-1].isidentifier() else ""
            raise self.wrong(f"expected metrics., params. or tags. and a name, found {name}{meant}")
        return _KIND_BY_LETTER[match[1][0].lower()]

    def _comparator(self) -> tuple[Comparator, int]:
        place = self.at
        sign = self.sign()
        if sign not in get_args(Comparator):
            found = f"'{sign}'" if sign else self.found()
            hint = "" if sign else "; a name with spaces goes in `backticks`"
            raise self.wrong(f"expected >, >=, <, <=, = or !=, found {found}{hint}", place)
        return cast(Comparator, sign), place

    def _required(self, kind: Kind) -> float | str | AliasValue:
        place = self.at
        text = self.quoted("'", '"')
        if text is not None:
            if kind == "metrics":
                raise self.wrong("a metric is compared with a number, without quotes", place)
            return text
        if NUMBER.match(self.text, self.at):
            number = self._number()
            if self.starts_with("%"):
                raise self.wrong("a percentage follows an alias and + or -; write 0.9 for 90 %")
            return number
        if kind != "metrics":
            raise self.wrong(f"expected a number or a text in quotes, found {self.found()}")
        alias = self._alias()
        if not alias:
            raise self.wrong(f"expected a number or an alias, found {self.found()}")
        return self._margin(alias)

    def _alias(self) -> str:
        quoted = self.quoted("`")
        if quoted is not None:
            return quoted
        if _NO_ALIAS.match(self.text, self.at):
            return ""
        match = self.take(_ALIAS)
        return match["alias"] if match else ""

    def _margin(self, alias: str) -> AliasValue:
        if self.starts_with("."):
            raise self.wrong(f"write {alias} alone: it stands for that version's value of the same metric")
        if self.starts_with("*", "/"):
            raise self.wrong(f"a margin is added; for {alias} * 0.98 write {alias} - 2%")
        sign = self.take(_MARGIN)
        if sign is None:
            return AliasValue(alias)
        if self.starts_with("+", "-"):
            raise self.wrong("the margin has two signs")
        amount = self._number()
        percent = self.take(re.compile("%")) is not None
        # 0 percent and no margin are the same threshold, so they are the same gate.
        return AliasValue(alias, -amount if sign[1] == "-" else amount, percent) if amount else AliasValue(alias)

    def _number(self) -> float:
        place = self.at
        text = self.number()
        if text is None:
            raise self.wrong(f"expected a number, found {self.found()}")
        value = float(text)
        if not math.isfinite(value):
            raise self.wrong("the number is too large", place)
        return value + 0.0  # "-0" and "0" are one number.


def _required_text(required: float | str | AliasValue) -> str:
    if isinstance(required, str):
        return text_in_quotes(required)
    if not isinstance(required, AliasValue):
        return number_text(required)
    plain = _ALIAS.fullmatch(required.alias) and not _NO_ALIAS.fullmatch(required.alias)
    name = required.alias if plain else "`" + required.alias.replace("`", "``") + "`"
    if required.amount == 0.0:
        return name
    sign = "-" if required.amount < 0.0 else "+"
    return f"{name} {sign} {number_text(abs(required.amount))}{'%' if required.percent else ''}"
