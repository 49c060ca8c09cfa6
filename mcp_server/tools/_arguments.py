"""Converts arguments as clients send them to the form that a tool's schema declares: one rule for all tools.

Models and client libraries send `null` for what is left out, numbers for texts, one text for a list, lists and
mappings as JSON text, and enums in another case. What cannot be converted stays as it is, so that validation
refuses it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.run_content import STEP_OF_CALL
from mcp_server.untrusted import shown

Json = dict[str, Any]

LITERAL_LIMIT: Final = 20_000
"""Characters of a Python literal that are read as one; JSON has no such limit."""


def under_declared_names(arguments: Mapping[str, Any], schema: Json) -> Json:
    """The arguments under the names of their JSON Schema: `run_id`, `runName` or `runs` for `run`, `filter` for
    `filter_string`; taken out of an object that holds them all, such as `{"arguments": {...}}`.

    Clients know such names from MLflow and from other tools. What is given under two names keeps both, so that
    validation refuses one.
    """
    properties = cast(Json, schema.get("properties", {}))
    arguments = _unwrapped(arguments, properties)
    named: Json = {}
    for name, value in arguments.items():
        forms = [*_model_names(name, schema), *_forms(name)]
        free = (form for form in forms if form in properties and form not in arguments and form not in named)
        named[name if name in properties else next(free, name)] = value
    return named


def _unwrapped(arguments: Mapping[str, Any], properties: Json) -> Mapping[str, Any]:
    for name, value in arguments.items():
        if len(arguments) == 1 and name not in properties and name.lower() in _WRAPPERS:
            inside = _read(value, (dict,)) if isinstance(value, str) else value
            return cast(Json, inside) if isinstance(inside, dict) else arguments
    return arguments


_WRAPPERS: Final = frozenset({"arguments", "args", "kwargs", "input", "params", "parameters"})


def _forms(name: str) -> tuple[str, ...]:
    """Other names of the same argument, the likeliest first."""
    snake = re.sub(r"[\s-]+", "_", _HUMP.sub("_", name.strip())).lower()
    noun = _SUFFIX.sub("", snake)
    return snake, noun, noun.removesuffix("s"), f"{noun}s", f"{snake}_string", _OTHER_NAMES.get(snake, snake)


def _model_names(name: str, schema: Json) -> tuple[str, ...]:
    """`name`, for the name of a registered model in tools that are about one."""
    about_one = "name" in schema.get("required", ()) and "name" in cast(Json, schema.get("properties", {}))
    return ("name",) if about_one and _MODEL_NAME.fullmatch(name) else ()


_OTHER_NAMES: Final = {
    **dict.fromkeys(("limit", "top", "top_k", "top_n", "max_runs"), "max_results"),
    **dict.fromkeys(("sort", "sort_by"), "order_by"),
    "timeout": "timeout_seconds",
    "new_name": "name",
    "alias": "version",
}
"""What other tools call an argument; an alias where there is no such argument is one way to name a version."""
_MODEL_NAME: Final = re.compile(r"model|(?:registered_?)?model_?name|registered_?model", re.IGNORECASE)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
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
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
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
    if isinstance(value, dict):
        _need_one_meaning(cast(Json, value))
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


_RECORDS: Final = (("key", "value"), ("name", "value"), ("path", "content"), ("path", "text"))
"""Fields of an object that stands for one entry: MLflow's own, and those of other tools."""
_OF_POINTS: Final = frozenset({"step", "timestamp"})


def _need_one_meaning(value: Json) -> None:
    """Raises: InvalidInputError: a mapping of two entries that is as well one entry, in the form of MLflow's API."""
    fields = next((fields for fields in _RECORDS if set(fields) == set(value)), None)
    if fields and isinstance(value[fields[0]], str):
        name, content = (value[field] for field in fields)
        one, two = json.dumps({name: content}), json.dumps([[fields[0], name], [fields[1], content]])
        raise InvalidInputError(
            f"{shown(value)} may be the one entry '{shown(name)}', or two entries named {' and '.join(fields)}. "
            f"Give {shown(one)} for the one, {shown(two)} for the two."
        )


def _merged(items: Sequence[Any]) -> Json | None:
    """A mapping from `["a=1"]`, `[{"a": 1}]`, `[{"key": "a", "value": 1}]` or `[["a", 1]]`.

    Values with a step or a time, as MLflow's API has them, become series. None when it cannot become a mapping: an
    entry has other fields, or two of the same name have different values.
    """
    merged: Json = {}
    series: dict[str, list[list[Any]]] = {}
    for item in items:
        if item is None:
            continue
        if point := _point(item):
            name, *values = point
            series.setdefault(str(name), []).append(values)
            continue
        if (entries := _entries(item)) is None:
            return None
        for name, value in entries:
            if name in merged and merged[name] != value:
                return None
            merged[name] = value
    for name in set(series) & set(merged):
        series[name].insert(0, [None, merged[name]])  # No step is made up for one of several points.
    return {**merged, **series}


def _entries(item: Any) -> list[tuple[str, Any]] | None:
    """The names and values that one item of a list stands for, else None."""
    if isinstance(item, str) and "=" in item:
        name, _, text = item.partition("=")
        return [(name.strip(), text.strip())]
    if isinstance(item, dict):
        entry = _without_null_fields(cast(Json, item))
        fields = next((fields for fields in _RECORDS if set(fields) <= set(entry)), None)
        if fields is None:
            return list(entry.items())
        return [(str(entry[fields[0]]), entry[fields[1]])] if len(entry) == len(fields) else None
    if isinstance(item, list | tuple) and len(cast("Sequence[Any]", item)) == 2:
        name, value = cast("Sequence[Any]", item)
        return None if isinstance(name, list | dict) else [(str(name), value)]
    return None


def _point(item: Any) -> list[Any] | None:
    """Name, step, value and, if it has one, time of a metric in the form of MLflow's API, where the step may be left
    out; else None."""
    if not isinstance(item, dict):
        return None
    entry = _without_null_fields(cast(Json, item))
    named = entry.pop("key", None) or entry.pop("name", None)
    if not isinstance(named, str) or not {"value"} < set(entry) <= {"value", *_OF_POINTS}:
        return None
    return [
        named,
        entry.get("step", STEP_OF_CALL),
        entry["value"],
        *([entry["timestamp"]] if "timestamp" in entry else []),
    ]


def _without_null_fields(entry: Json) -> Json:
    """A record without the fields that are left out; what its value is when null is for the tool to say."""
    return {name: value for name, value in entry.items() if value is not None or name not in _OF_POINTS}
