"""An answer cut to its budget: long texts first, then rows, columns, lists and mappings, each counted where it is cut.

Both halves of an answer have the same limit, and no answer may exceed it whatever MLflow holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from mcp_server.rendering.text_half import beside_rows, dumps, is_table, text_of
from mcp_server.untrusted import clip

_TEXT_STEPS: Final = (1_000, 200, 60)
"""Characters to which texts are cut before anything else is, one step after the other."""
_ROOM: Final = 600
"""Characters kept for the sentence that says what was left out."""
_KEPT: Final = ("hint", "next_page_token", "url")
"""Texts that are never cut here."""

Json = dict[str, Any]


@dataclass(slots=True)
class _Part:
    """Something of an answer that can be shortened from its end."""

    name: str
    """What the sentence calls it: `rows`, `metrics`, `columns of params`."""
    size: Callable[[], int]
    """Characters of it now."""
    count: Callable[[], int]
    """Items of it now."""
    drop: Callable[[int], None]
    """Removes that many items from the end."""
    total: int
    """Items before anything was removed."""


def size(structured: Json) -> int:
    """Characters of the longer half."""
    return max(len(dumps(structured)), len(text_of(structured)))


def fit(structured: Json, limit: int, resume: Callable[[int], str] | None = None, paged: str = "") -> Json:
    """The same answer with both halves within `limit` characters.

    `paged` names the fact that is the table of one page, empty for the answer itself; when its rows are cut,
    `resume(rows shown)` gives the token of the page that continues after them.
    """
    if size(structured) <= limit:
        return structured
    # Rows of a page are not lost when they are left out, ends of texts are.
    for most in _TEXT_STEPS[:1] if resume else _TEXT_STEPS:
        structured = cast(Json, _with_short_texts(structured, most))
        if size(structured) <= limit:
            return structured
    parts = list(_parts(structured, ""))
    while (excess := size(structured) - limit + _ROOM) > 0:
        # The first item of everything stays, so that a page always goes on and an empty list is not taken for a fact.
        part = max((one for one in parts if one.count() > 1), key=lambda one: one.size(), default=None)
        if part is None:
            break
        items, characters = part.count(), part.size()
        # At most half at a time: items differ in length, and the next largest part may be another one.
        part.drop(max(1, min(items * excess // max(characters, 1) + 1, items // 2)))
    _say_what_is_left_out(structured, parts, limit, resume, paged)
    for most in _TEXT_STEPS[1:]:
        if size(structured) <= limit:
            break
        structured = cast(Json, _with_short_texts(structured, most))
    return structured


def _say_what_is_left_out(
    structured: Json, parts: list[_Part], limit: int, resume: Callable[[int], str] | None, paged: str
) -> None:
    cut = [part for part in parts if part.count() < part.total]
    listed = ", ".join(f"{part.total - part.count():,} of {part.total:,} {part.name}" for part in cut[:8])
    more = f" and {len(cut) - 8} more parts" if len(cut) > 8 else ""
    advice = "Ask for less at a time."
    page = next((part for part in cut if part.name == _rows_of(paged)), None)
    if page is not None and resume is not None:
        structured["next_page_token"] = resume(page.count())
        advice = "next_page_token continues after the last row shown."
    elif page is not None and structured.pop("next_page_token", None):
        # That page would begin behind the rows that are left out here.
        advice = "Repeat the call with a smaller max_results to page through all of them."
    said = f"Left out to stay below {limit:,} characters: {listed}{more}. {advice}"
    structured["hint"] = clip(f"{structured['hint']} {said}" if structured.get("hint") else said, 3_000)


def _rows_of(path: str) -> str:
    return f"rows of {path}" if path else "rows"


def _parts(value: Any, path: str) -> Iterator[_Part]:
    """Every part below a value that can lose items, the facts of the answer itself excepted."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        # Plain numbers run parallel to another list (steps and values): only whole curves go.
        if any(isinstance(item, str | dict | list) for item in items):
            yield _Part(path, lambda: len(dumps(items)), lambda: len(items), lambda n: _drop(items, n), len(items))
            for item in items:
                yield from _parts(item, f"{path} items")
    elif isinstance(value, dict) and is_table(cast(Json, value)):
        yield from _table_parts(cast(Json, value), path)
    elif isinstance(value, dict):
        facts = cast(Json, value)
        if path and "steps" not in facts:
            yield _Part(path, lambda: len(dumps(facts)), lambda: len(facts), lambda n: _drop_keys(facts, n), len(facts))
        for name, item in facts.items():
            yield from _parts(item, f"{path}.{name}" if path else name)


def _table_parts(table: Json, path: str) -> Iterator[_Part]:
    columns, rows = cast("list[str]", table["columns"]), cast("list[list[Any]]", table["rows"])
    yield _Part(_rows_of(path), lambda: len(dumps(rows)), lambda: len(rows), lambda n: _drop(rows, n), len(rows))

    def drop_columns(n: int) -> None:
        for cells in (columns, *rows):
            _drop(cells, n)

    # Columns go only where one row alone is too long: a table with fewer rows still says all about them.
    yield _Part(
        f"columns of {path}" if path else "columns",
        lambda: len(dumps(columns)) + len(dumps(rows)) if len(rows) <= 1 else len(dumps(columns)),
        lambda: len(columns),
        drop_columns,
        len(columns),
    )
    for name, item in beside_rows(table):
        yield from _parts(item, f"{path}.{name}" if path else name)


def _drop(items: list[Any], n: int) -> None:
    del items[len(items) - n :]


def _drop_keys(facts: Json, n: int) -> None:
    for name in list(facts)[len(facts) - n :]:
        del facts[name]


def _with_short_texts(value: Any, most: int, name: str = "") -> Any:
    """A copy of an answer in which no text is longer than `most` characters and their count."""
    if isinstance(value, str):
        return value if name in _KEPT else clip(value, most)
    if isinstance(value, dict):
        return {key: _with_short_texts(item, most, key) for key, item in cast(Json, value).items()}
    if isinstance(value, list):
        return [_with_short_texts(item, most, name) for item in cast("list[Any]", value)]
    return value
