"""Requests as hosts send them, brought into the form that the protocol declares before anything reads them.

Some client libraries send null for a field that is left out, arguments as JSON text, and an empty list for an object
without fields. What has another form is refused in a sentence that names the field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import ValidationError

from mcp_server.invalid_values import MISSING, invalid_values
from mcp_server.untrusted import sentence, shown

LISTS: Final = frozenset({"tools/list", "prompts/list", "resources/list", "resources/templates/list"})
"""Each is complete in one answer, so no cursor was ever given out."""
_WITH_ARGUMENTS: Final = frozenset({"tools/call", "prompts/get"})
_ARGUMENTS: Final = "arguments"
_OF_OBJECTS: Final = frozenset({"capabilities", "_meta"})

Json = dict[str, Any]


async def read_as_meant(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware. Raises: MCPError: the params are not those of the method; the message names the field."""
    if isinstance(ctx.params, dict):
        _correct(ctx.method, ctx.params)
    try:
        return await call_next(ctx)
    except ValidationError as error:
        if not error.title.endswith(("Request", "Params")):
            raise
        raise MCPError(INVALID_PARAMS, _refusal(error, ctx.params)) from None


def _correct(method: str, params: Json) -> None:
    # In place: the SDK reads the params of initialize once more after the middleware.
    _drop_nulls(params)
    if method in LISTS and params.get("cursor"):
        wrong = f"params.cursor is '{shown(str(params['cursor']))}', which no answer gave: each list is one page."
        raise MCPError(INVALID_PARAMS, f"Invalid params: {wrong}")
    if method in _WITH_ARGUMENTS and _ARGUMENTS in params:
        arguments = _object(params[_ARGUMENTS])
        params[_ARGUMENTS] = arguments if method == "tools/call" else _texts(arguments)


def _drop_nulls(value: Json, *, all_objects: bool = False) -> None:
    """Removes the fields that are null. Arguments belong to the tool, which may refuse a null.

    Where all fields are objects, an empty list is one: some languages have one type for both.
    """
    for name, field in list(value.items()):
        inside = all_objects or name in _OF_OBJECTS
        if field is None:
            del value[name]
        elif inside and field == []:
            value[name] = {}
        elif isinstance(field, dict) and name != _ARGUMENTS:
            _drop_nulls(cast(Json, field), all_objects=inside)


def _object(arguments: Any) -> Json:
    """Raises: MCPError: no JSON object, nor the text of one."""
    read = arguments
    if isinstance(arguments, str):
        try:
            read = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            read = None
    if isinstance(read, dict):
        return cast(Json, read)
    if read == []:  # An object without fields, in languages that have one type for both.
        return {}
    example = '{"experiment": "churn"}'
    wrong = f"params.arguments is {shown(arguments)}: expected a JSON object, such as {example}."
    raise MCPError(INVALID_PARAMS, f"Invalid params: {wrong}")


def _texts(arguments: Json) -> Json:
    """Arguments of a prompt, which are texts."""
    numbers = {name for name, value in arguments.items() if isinstance(value, int | float) and value is not True}
    return {name: str(value) if name in numbers else value for name, value in arguments.items() if value is not None}


def _refusal(error: ValidationError, params: object) -> str:
    first = next(invalid_values(error))
    is_missing = first.kind == MISSING
    place = ".".join(_fields(first.place, params, is_missing=is_missing))
    problem = f"{place} is missing." if is_missing else first.sentence(place)
    return sentence(f"Invalid params: {problem}")


def _fields(place: tuple[str, ...], params: object, *, is_missing: bool) -> Iterator[str]:
    """The steps to a field; a step that is none names a type, where a field may have one of several."""
    *above, last = place if place[:1] == ("params",) else ("params", *place)
    value: object = {"params": params}
    for step in above if is_missing else (*above, last):
        if isinstance(value, dict) and step in value:
            yield step
            value = cast(Json, value)[step]
    if is_missing:
        yield last
