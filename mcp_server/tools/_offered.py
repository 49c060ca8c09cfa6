"""Texts that name tools, on a server that does not offer all of them: read-only, or with some toolsets only."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from mcp_server.rendering import Picture, Record, Table

Answer = TypeVar("Answer", Table, Record, Picture)

NOT_ENABLED: Final = "not enabled here"
SHOWN_BY: Final = "shown_by"
"""The column of calls that show more of a row."""


class Offered:
    """Marks the names of tools that are not offered, so that no text advises a call that would fail."""

    def __init__(self, missing: Collection[str] = ()) -> None:
        names = "|".join(sorted(map(re.escape, missing)))
        self._missing = re.compile(rf"(?<![\w./-])(?:{names})(?![\w/-]|\.\w)") if names else None

    def text(self, text: str) -> str:
        """The text, with the mark after the first mention of each missing tool."""
        if self._missing is None:
            return text
        seen: set[str] = set()

        def mark(found: re.Match[str]) -> str:
            if found[0] in seen:
                return found[0]
            seen.add(found[0])
            return f"{found[0]} ({NOT_ENABLED})"

        return self._missing.sub(mark, text)

    def schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A JSON Schema with its descriptions marked."""
        return {
            key: self.text(value)
            if key == "description" and isinstance(value, str)
            else self.schema(cast("dict[str, Any]", value))
            if isinstance(value, dict)
            else value
            for key, value in schema.items()
        }

    def answer(self, value: Answer) -> Answer:
        """An answer whose hint is marked, and whose calls of missing tools are left out; data stay as they are."""
        if self._missing is None:
            return value
        if isinstance(value, Picture):
            return replace(value, about=self.answer(value.about))
        value = replace(value, hint=self.text(value.hint))
        if isinstance(value, Table):
            return self._without_calls(value)
        facts = {
            name: self._without_calls(fact) if isinstance(fact, Table) else fact for name, fact in value.facts.items()
        }
        return replace(value, facts=facts)

    def _without_calls(self, table: Table) -> Table:
        if self._missing is None or SHOWN_BY not in table.columns:
            return table
        at = list(table.columns).index(SHOWN_BY)
        rows = [
            [("" if i == at and self._missing.match(str(cell)) else cell) for i, cell in enumerate(row)]
            for row in table.rows
        ]
        return replace(table, rows=rows)
