"""What the columns of a table hold: type, missing values, range, distinct values. One pass, little memory."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DISTINCT_LIMIT: Final = 1_000
"""Distinct values counted in one column; above that the count is `1,000+`."""
EXAMPLES: Final = 3
EXAMPLE_LENGTH: Final = 30
_MISSING: Final = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT"})


@dataclass(slots=True)
class ColumnFacts:
    """Facts about one column, gathered value by value."""

    name: str
    values: int = 0
    missing: int = 0
    numbers: int = 0
    whole: int = 0
    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0
    distinct: set[str] = field(default_factory=set[str])

    def add(self, value: Any) -> None:
        self.values += 1
        text = "" if value is None else str(value)
        if text in _MISSING:
            self.missing += 1
            return
        if len(self.distinct) < DISTINCT_LIMIT:
            self.distinct.add(text[:200])
        number = _number(value)
        if number is None:
            return
        self.numbers += 1
        self.whole += number.is_integer() and "." not in text
        self.least, self.most, self.total = min(self.least, number), max(self.most, number), self.total + number

    @property
    def type(self) -> str:
        present = self.values - self.missing
        if not present:
            return "empty"
        if self.numbers == present:
            return "integer" if self.whole == present else "number"
        return "text" if not self.numbers else f"text ({self.numbers:,} numbers)"

    def row(self) -> list[Any]:
        """Cells under COLUMNS."""
        numeric = self.type in ("integer", "number")
        count = len(self.distinct)
        examples = [] if numeric else sorted(self.distinct)[:EXAMPLES]
        return [
            self.name,
            self.type,
            self.missing or "",
            self.least if numeric else "",
            self.total / self.numbers if numeric else "",
            self.most if numeric else "",
            f"{count:,}+" if count >= DISTINCT_LIMIT else count,
            ", ".join(text[:EXAMPLE_LENGTH] for text in examples),
        ]


COLUMNS: Final = ("column", "type", "missing", "min", "mean", "max", "distinct", "examples")


@dataclass(frozen=True, slots=True)
class TableFacts:
    """Columns of a table, and some of its rows."""

    columns: tuple[ColumnFacts, ...]
    rows: tuple[tuple[int, Sequence[Any]], ...]
    """The chosen rows with their numbers, from 1."""
    seen: int
    """Rows that the facts speak of."""
    ragged: int = 0
    """Rows with more or fewer cells than the header."""


def table_facts(header: Sequence[str], rows: Iterable[Sequence[Any]], first: int, last: int) -> TableFacts:
    """Facts of all rows, and rows `first` to `last` (from 1, both included) themselves."""
    columns = [ColumnFacts(str(name)) for name in header]
    chosen: list[tuple[int, Sequence[Any]]] = []
    number = ragged = 0
    for number, row in enumerate(rows, start=1):
        ragged += len(row) != len(columns)
        for facts, value in zip(columns, row, strict=False):
            facts.add(value)
        if first <= number <= last:
            chosen.append((number, row))
    return TableFacts(tuple(columns), tuple(chosen), number, ragged)


def csv_rows(lines: Iterable[str], delimiter: str) -> Iterator[Sequence[str]]:
    """Rows of a CSV text; the first is the header."""
    # A quoted cell may hold line ends. Broken quoting must not swallow the file: the limit is per cell.
    csv.field_size_limit(131_072)
    return (row for row in csv.reader((line + "\n" for line in lines), delimiter=delimiter) if row)


def delimiter_of(path: str, header: str) -> str:
    """The character between cells: by the name for .tsv, else the most frequent candidate of the header."""
    if path.lower().endswith(".tsv"):
        return "\t"
    return max((",", ";", "\t", "|"), key=header.count) if header else ","


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
