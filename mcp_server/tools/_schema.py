"""Input schemas as they are published: short, and plain enough for every host and model.

Some hosts refuse the whole list of tools for one schema they cannot read: an empty text in an enum (Gemini), a
text limit that makes a grammar too large (llama.cpp), a union with null.
"""

from __future__ import annotations

from typing import Any, Final, cast

Json = dict[str, Any]

LONGEST_TEXT: Final = 2_000
"""Largest `maxLength` that is published; longer limits are checked when a tool is called.
Source: MAX_REPETITION_THRESHOLD of llama.cpp's grammars."""

TEXT_LIMIT: Final = 2_000
"""Characters of a text, alone or in a list, whose parameter sets no limit: longer than any name, id or link."""

_IMPLIED: Final[tuple[tuple[str, Any], ...]] = (
    ("default", ""),
    ("default", []),
    ("default", {}),
    ("default", None),
    ("additionalProperties", True),
)
"""What a schema means anyway, and need not state."""


def published(schema: Json) -> Json:
    """The schema of a tool's arguments, closed, without titles, unions with null and what is implied."""
    return {"additionalProperties": False, **_plain(schema)}


def text_limits(schema: Json) -> dict[str, int]:
    """Characters that a text may have, by parameter, before the schema is published."""
    limits: dict[str, int] = {}
    for name, unpublished in cast("dict[str, Json]", schema.get("properties", {})).items():
        parameter = _without_null(unpublished)
        text = cast(Json, parameter.get("items", {})) if parameter.get("type") == "array" else parameter
        if text.get("type") == "string":
            limits[name] = text.get("maxLength", TEXT_LIMIT)
    return limits


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    plain: Json = {}
    for key, value in _without_null(cast(Json, schema)).items():
        if key == "properties":
            plain[key] = {name: _plain(part) for name, part in value.items()}
        elif key == "enum":
            plain[key] = list(value)
        elif (key, value) not in _IMPLIED and key != "title":
            plain[key] = _plain(value)
    return _with_limits(plain)


def _without_null(schema: Json) -> Json:
    """An optional parameter's schema: null means left out everywhere, so it is not published."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


def _with_limits(schema: Json) -> Json:
    # pydantic writes the limits of a list as those of a text when a validator stands before the field.
    if schema.get("type") == "array":
        for text, items in (("minLength", "minItems"), ("maxLength", "maxItems")):
            if text in schema:
                schema[items] = schema.pop(text)
    if schema.get("maxLength", 0) > LONGEST_TEXT:
        del schema["maxLength"]
    return schema
