"""Converts arguments as clients send them to the form that a tool's schema declares: one rule for all tools.

Models and client libraries send `null` for what is left out, numbers for texts, one text for a list, lists and
mappings as JSON text, and enums in another case. What cannot be converted stays as it is, so that validation
refuses it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

Json = dict[str, Any]

LITERAL_LIMIT: Final = 20_000
"""Characters of a Python literal that are read as one; JSON has no such limit."""


def under_declared_names(arguments: Mapping[str, Any], schema: Json) -> Json:
    """The arguments under the names of their JSON Schema: `run_id`, `run_name` or `runs` for `run`, `filter` for
    `filter_string`.

    Clients know such names from MLflow and from other tools. What is given under two names keeps both, so that
    validation refuses one.
    """
    properties = cast(Json, schema.get("properties", {}))
    named: Json = {}
    for name, value in arguments.items():
        free = (form for form in _forms(name) if form in properties and form not in arguments and form not in named)
        named[name if name in properties else next(free, name)] = value
    return named


def _forms(name: str) -> tuple[str, ...]:
    """Other names of the same argument, the likeliest first."""
    noun = _SUFFIX.sub("", name)
    return noun, noun.removesuffix("s"), f"{noun}s", f"{name}_string"


_SUFFIX: Final = re.compile(r"_(?:id|name|key)s?$")


def as_declared(arguments: Mapping[str, Any], schema: Json) -> Json:
    """The arguments in the form of their JSON Schema, without those that are left out."""
    properties = cast("dict[str, Json]", schema.get("properties", {}))
    converted = {name: _converted(value, properties.get(name, {})) for name, value in arguments.items()}
    return {name: value for name, value in converted.items() if not _left_out(value, properties.get(name, {}))}


def split_commas(values: Any) -> Any:
    """For lists whose items never hold a comma outside quotes: `["a, b"]` is two items."""
    if not isinstance(values, list | tuple):
        return values
    items: list[Any] = []
    for value in cast("Sequence[Any]", values):
        items += filter(None, map(str.strip, _BETWEEN_COMMAS.findall(value))) if isinstance(value, str) else [value]
    return items


_BETWEEN_COMMAS: Final = re.compile(r"""(?:[^,'"`]|'[^']*'|"[^"]*"|`[^`]*`|['"`])+""")


def _left_out(value: Any, schema: Json) -> bool:
    """Whether an argument has no value: null, or an empty text where something other than free text is meant."""
    if value is None:
        return True
    free_text = schema.get("type", "string") == "string" and "enum" not in schema
    return isinstance(value, str) and not value.strip() and not free_text


def _converted(value: Any, schema: Json) -> Any:
    convert = _BY_TYPE.get(schema.get("type", ""))
    return value if convert is None or value is None else convert(value, schema)


def _text(value: Any, schema: Json) -> Any:
    if isinstance(value, list | tuple) and len(cast("Sequence[Any]", value)) == 1:
        value = cast("Sequence[Any]", value)[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if isinstance(value, str) and "enum" in schema:
        meant = value.strip().casefold()
        return next((choice for choice in schema["enum"] if choice.casefold() == meant), value)
    return cast(Any, value)


def _number(value: Any, schema: Json) -> Any:
    # Otherwise pydantic takes true for 1.
    return str(value).lower() if isinstance(value, bool) else value


def _list(value: Any, schema: Json) -> Any:
    items = cast(Json, schema.get("items", {}))
    if isinstance(value, str):
        if not value.strip():
            return value
        read = _read(value, (list, dict) if items.get("type") == "object" else (list,))
        value = [value] if read is None else read
    if not isinstance(value, list | tuple):
        value = [value]
    converted = [_converted(item, items) for item in cast("list[Any]", value)]
    return [item for item in converted if item is not None and item != ""]


def _mapping(value: Any, schema: Json) -> Any:
    if isinstance(value, str):
        read = _read(value, (dict, list))
        value = (value if (pairs := _pairs_in(value)) is None else pairs) if read is None else read
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        value = items if (merged := _merged(items)) is None else merged
    if not isinstance(value, dict):
        return value
    # Where values of any kind are accepted, the tool decides what null means.
    kept = schema.get("additionalProperties", True) is True
    return {key: item for key, item in cast(Json, value).items() if kept or item is not None}


_BY_TYPE: Final[dict[str, Callable[[Any, Json], Any]]] = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "array": _list,
    "object": _mapping,
}


def _read(text: str, kinds: tuple[type[Any], ...]) -> Any:
    """The list or mapping that a text spells as JSON or as a Python literal, else None."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    for read in (json.loads, ast.literal_eval) if len(text) <= LITERAL_LIMIT else (json.loads,):
        try:
            value = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, kinds) else None
    return None


def _pairs_in(text: str) -> list[str] | None:
    """`a=1, b=2` as pairs; a comma that is not followed by another name belongs to the value before it."""
    if "=" not in text or text.lstrip().startswith(("[", "{")):
        return None
    return [pair.strip() for pair in _NEXT_PAIR.split(text) if pair.strip()]


_NEXT_PAIR: Final = re.compile(r"[,;\n](?=\s*[\w.\-/:]+\s*=)")


def _merged(items: Sequence[Any]) -> Json | None:
    """A mapping from `["a=1"]`, `[{"a": 1}]`, `[{"key": "a", "value": 1}]` or `[["a", 1]]`, else None.

    Values with a step, as MLflow's API has them, become series.
    """
    merged: Json = {}
    for item in items:
        if isinstance(item, str) and "=" in item:
            key, _, text = item.partition("=")
            merged[key.strip()] = text.strip()
        elif isinstance(item, dict):
            pair = cast(Json, item)
            if {"key", "value", "step"} <= set(pair) <= {"key", "value", "step", "timestamp"}:
                point = [pair["step"], pair["value"], *([pair["timestamp"]] if "timestamp" in pair else [])]
                merged.setdefault(str(pair["key"]), []).append(point)
                continue
            named = set(pair) in ({"key", "value"}, {"name", "value"})
            merged.update({str(pair.get("key", pair.get("name"))): pair["value"]} if named else pair)
        elif isinstance(item, list | tuple) and len(cast("Sequence[Any]", item)) == 2:
            key, value = cast("Sequence[Any]", item)
            merged[str(key)] = value
        elif item is not None:
            return None
    return merged
