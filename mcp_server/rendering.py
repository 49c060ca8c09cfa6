"""Answers in their two halves: compact structured content, and text made from nothing but that.

Hosts disagree about which half the model reads, so both carry the same facts. Tools build a `Table` or a
`Record`; `answer` cleans it, cuts it to the budget and makes the text. Absent values are left out, numbers
have 4 significant digits, times are UTC.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Final, cast

from mcp_server.untrusted import clean, clip

ANSWER_LIMIT: Final = 40_000
"""Characters of either half of an answer: below the size at which hosts spill answers into files."""
CELL_LIMIT: Final = 200
"""Characters of one text in a table; the record it belongs to shows more."""
FIELD_LIMIT: Final = 4_000
"""Characters of one text in a record."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns; a cell that is absent is an empty text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    next_page_token: str = ""
    hint: str = ""
    """Sentences: what was left out and the call that gets it, or why there is nothing."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further facts beside the rows, by name."""

    def without_empty(self, keep: int = 0) -> Table:
        """The table without columns, after the first `keep`, in which every cell is empty."""
        columns = range(len(self.columns))
        kept = [i for i in columns if i < keep or any(row[i] not in ("", None) for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return replace(self, columns=[self.columns[i] for i in kept], rows=rows)

    def structured(self) -> Json:
        facts = {**self.extra, "next_page_token": self.next_page_token, "hint": self.hint}
        rows = [[_cell(value) for value in row] for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, **_present(facts)}


@dataclass(frozen=True, slots=True)
class Record:
    """One thing and its facts by name; a fact may be a number, a text, a list, a mapping or a `Table`."""

    facts: Mapping[str, Any]
    hint: str = ""

    def structured(self) -> Json:
        return _present({**self.facts, "hint": self.hint})


TABLE_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array"}},
        "next_page_token": {"type": "string"},
        "hint": {"type": "string"},
    },
    "required": ["columns", "rows"],
}
RECORD_SCHEMA: Final[Json] = {"type": "object", "properties": {"hint": {"type": "string"}}}


def answer(value: Table | Record) -> tuple[str, Json]:
    """The text and the structured content of an answer, both within ANSWER_LIMIT."""
    structured = fit(cast(Json, _cleaned(value.structured())), ANSWER_LIMIT)
    return text_of(structured), structured


def number(value: float, digits: int = 4) -> float | int | str:
    """A number as it is shown: significant digits; NaN and infinities as the texts MLflow uses."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def moment(milliseconds: int) -> str:
    """UTC, such as `2026-11-20 10:03:12`; empty for 0, MLflow's word for never."""
    if not milliseconds:
        return ""
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms"  # MLflow takes any 64-bit number for a time.


def duration(start: int, end: int) -> str:
    """Time between two moments, such as `2 h 3 min`; empty when either is missing."""
    if not start or not end or end < start:
        return ""
    seconds = (end - start) / 1_000
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def size(structured: Json) -> int:
    """Characters of the structured half on the wire."""
    return len(dumps(structured))


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text_of(structured: Json) -> str:
    """The same facts as lines of text: tables as rows of cells, everything else as `name: value`."""
    lines: list[str] = []
    if "columns" in structured:
        lines += _table_lines(structured)
    for name, value in structured.items():
        if name not in ("columns", "rows"):
            lines += _fact_lines(name, value)
    return "\n".join(lines)


def fit(structured: Json, limit: int) -> Json:
    """The same answer within `limit` characters: rows of its longest table are left out and counted."""
    if size(structured) <= limit and len(text_of(structured)) <= limit:
        return structured
    table = _longest_table(structured)
    if table is None:
        return {
            "hint": f"The answer is larger than {limit:,} characters even without tables. Ask for less of it.",
            "beginning": clip(text_of(structured), limit // 2),
        }
    rows = cast("list[Any]", table["rows"])
    total, excess = len(rows), max(size(structured), len(text_of(structured))) - limit + 200
    while rows and excess > 0:
        excess -= max(len(dumps(rows.pop())), 1)
    left_out = (
        f"{total - len(rows):,} of {total:,} rows are left out to keep this answer short; ask for fewer at a time."
    )
    table["hint"] = f"{table['hint']} {left_out}" if table.get("hint") else left_out
    # A next page would begin behind the rows left out here.
    if table.pop("next_page_token", None):
        table["hint"] += " Repeat the call with a smaller max_results to page through all of them."
    return fit(structured, limit) if rows else structured


def _present(facts: Mapping[str, Any]) -> Json:
    """Without what is absent: None, empty texts, empty lists and mappings."""
    shown: Json = {}
    for name, value in facts.items():
        plain = _plain(value)
        if plain is not None and plain != "" and plain != [] and plain != {}:
            shown[name] = plain
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Table | Record):
        return value.structured()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return clip(value, FIELD_LIMIT)
    if isinstance(value, Mapping):
        return _present(cast("Mapping[str, Any]", value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return value
    return number(value) if isinstance(value, float) else clip(str(value), CELL_LIMIT)


def _cleaned(value: Any) -> Any:
    """Every text of an answer, names included, without the characters that hide or steer."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in cast("list[Any]", value)]
    return value


def _longest_table(structured: Json) -> Json | None:
    tables = [structured] if "rows" in structured else []
    tables += [value for value in structured.values() if isinstance(value, dict) and "rows" in value]
    tables = [table for table in tables if table["rows"]]
    return max(tables, key=lambda table: len(dumps(table["rows"])), default=None)


def _table_lines(table: Json) -> list[str]:
    return ["|".join(map(_in_cell, row)) for row in [table["columns"], *table["rows"]]]


def _fact_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        facts = cast(Json, value)
        if "columns" in facts:
            rest = [
                line for key, item in facts.items() if key not in ("columns", "rows") for line in _fact_lines(key, item)
            ]
            return [f"{name}:", *_table_lines(facts), *rest]
        return [f"{name}: " + ", ".join(f"{key}={_inline(item)}" for key, item in facts.items())]
    if isinstance(value, list):
        return [f"{name}: " + ", ".join(_inline(item) for item in cast("list[Any]", value))]
    return [f"{name}: {_inline(value)}"]


def _inline(value: Any) -> str:
    # Further lines of a text are indented, so that none of them can pass for a fact.
    return value.replace("\n", "\n  ") if isinstance(value, str) else dumps(value)


def _in_cell(value: Any) -> str:
    # A line break or bar inside a value must not look like a new row or column.
    text = value if isinstance(value, str) else dumps(value)
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("|", "\\|")
