"""Which tools OpenAI's strict mode can take: the rule, and the table of it in docs/compatibility.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and every schema inside it."""
    yield schema
    for part in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(part, dict):
            yield from schemas(part)


def without_strict_form(schema: dict[str, Any]) -> list[str]:
    """The arguments that keep a schema from being strict: every object has to name all of its properties."""
    return [
        name
        for name, parameter in schema["properties"].items()
        if any(part.get("type") == "object" and "properties" not in part for part in schemas(parameter))
    ]


def strict_table(schema_by_tool: Mapping[str, dict[str, Any]]) -> str:
    """One row for each tool: whether it can be strict, and why not or what a converter has to change."""
    rows = [f"| `{name}` | {_judged(schema)} |\n" for name, schema in schema_by_tool.items()]
    return "| tool | strict | why not, or what a converter changes |\n| --- | --- | --- |\n" + "".join(rows)


def _judged(schema: dict[str, Any]) -> str:
    free = [f"`{name}`" for name in without_strict_form(schema)]
    if len(free) > 1:
        return f"no | {', '.join(free[:-1])} and {free[-1]} have names that the caller chooses"
    if free:
        return f"no | {free[0]} has names that the caller chooses"
    return f"yes | {'optional arguments become required and may be null' if _optional(schema) else 'nothing'}"


def _optional(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"]) - set(schema.get("required", ()))
