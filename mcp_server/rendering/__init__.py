"""Answers in their two halves: compact structured content, and text made from nothing but that.

Hosts disagree about which half the model reads, so both carry the same facts. Tools build a `Table` or a
`Record`; `answer` cleans it, cuts it to the budget and makes the text. Absent values are left out, numbers
have 4 significant digits, times are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from mcp_server.rendering.budget import fit
from mcp_server.rendering.text_half import dumps as dumps
from mcp_server.rendering.text_half import pairs_text as pairs_text
from mcp_server.rendering.text_half import text_of as text_of
from mcp_server.times import utc_text
from mcp_server.untrusted import clean, clip, sentence

ANSWER_LIMIT: Final = 40_000
"""Characters of either half of an answer: below the size at which hosts spill answers into files."""
CELL_LIMIT: Final = 200
"""Characters of one text in a table; the record it belongs to shows more."""
FIELD_LIMIT: Final = 4_000
"""Characters of one text in a record."""
HINT_LIMIT: Final = 3_000
"""Characters of one hint; it may list names."""

Resume = Callable[[int], str]
"""From the number of rows shown of a page to the token of the page that continues after them."""

Json = dict[str, Any]


class LongText(str):
    """A text that is what was asked for: it may fill the answer, where others are cut to FIELD_LIMIT."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A resource of this server, or a local file, that holds more than the answer does."""

    uri: str
    name: str
    mime_type: str = ""
    description: str = ""
    size: int | None = None
    """Bytes, where they are known."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns; a cell that is absent is an empty text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    next_page_token: str = ""
    hint: str = ""
    """Sentences: what was left out and the call that gets it, or why there is nothing."""
    resume: Resume | None = None
    """Where the rows are one page of several: continues after any of them (`paging.py`)."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further facts in addition to the rows, by name."""
    links: tuple[Link, ...] = ()

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
    resume: Resume | None = None
    """As in `Table`, for the rows of the fact that `paged` names."""
    paged: str = ""
    links: tuple[Link, ...] = ()

    def structured(self) -> Json:
        return _present({**self.facts, "hint": self.hint})


@dataclass(frozen=True, slots=True)
class Picture:
    """An image and the facts about it, which go into the text: hosts drop images that come with structured content."""

    image: bytes
    mime_type: str
    about: Record


TABLE_SCHEMA: Final[Json] = {"type": "object", "required": ["columns", "rows"], "additionalProperties": True}
"""As short as possible: every session pays for it once for each tool that answers with a table."""


def answer(value: Table | Record, limit: int = ANSWER_LIMIT) -> tuple[str, Json]:
    """The text and the structured content of an answer, both within `limit` characters."""
    paged = value.paged if isinstance(value, Record) else ""
    structured = fit(cast(Json, _cleaned(value.structured())), limit, value.resume, paged)
    return text_of(structured), structured


def number(value: float, digits: int = 4) -> float | int | str:
    """A number as it is shown: significant digits; NaN and infinities as the texts MLflow uses."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    rounded = float(f"{value:.{digits}g}")
    if math.isinf(rounded):
        return value  # The largest floats, which MLflow stores for infinity, would round up to infinity.
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def moment(milliseconds: int) -> str:
    """UTC, such as `2026-11-20 10:03:12`; empty for 0, MLflow's word for never."""
    return utc_text(milliseconds) if milliseconds else ""


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


def _present(facts: Mapping[str, Any]) -> Json:
    """Without what is absent: None, empty texts, empty lists and mappings."""
    shown: Json = {}
    for name, value in facts.items():
        plain = sentence(value, HINT_LIMIT) if name == "hint" and isinstance(value, str) else _plain(value)
        if plain is not None and plain != "" and plain != [] and plain != {}:
            shown[name] = plain
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Table | Record):
        return value.structured()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, LongText):
        return str(value)
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
