"""One value inside a JSON document by its path, and the outline of a document that is too large to show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.suggestions import did_you_mean
from mcp_server.untrusted import clip, shown

_STEP: Final = re.compile(
    r"\.?(?P<name>[^.\[\]]+)|\[(?P<index>-?\d+)\]|\[\"(?P<quoted>[^\"]*)\"\]|\['(?P<single>[^']*)'\]"
)
_NAMES_SHOWN: Final = 40
_VALUE_SHOWN: Final = 60
_DEPTH_SHOWN: Final = 4

Step = str | int


def value_at(document: Any, path: str) -> Any:
    """The value at a path such as `layers[0].units`, `results["a.b"]` or `$.config.lr`.

    Raises: InvalidInputError: the path cannot be read. NotFoundError: nothing is there; the text names what is.
    """
    value, walked = document, "$"
    for step in _steps(path):
        if isinstance(value, dict):
            mapping = cast("dict[str, Any]", value)
            name = str(step)
            if name not in mapping:
                there = ", ".join(shown(key) for key in list(mapping)[:_NAMES_SHOWN]) or "nothing"
                near = did_you_mean(name, list(mapping))
                raise NotFoundError(f"json_path: {walked} has no {shown(name)}.{near} It has: {there}.")
            value = mapping[name]
        elif isinstance(value, list) and isinstance(step, int):
            items = cast("list[Any]", value)
            if not -len(items) <= step < len(items):
                raise NotFoundError(f"json_path: {walked} has {len(items):,} items; there is no [{step}].")
            value = items[step]
        else:
            kind = "a list: give an index such as [0]" if isinstance(value, list) else "a single value"
            raise NotFoundError(f"json_path: {walked} is {kind}.")
        walked += f"[{step}]" if isinstance(step, int) else f".{step}"
    return value


def _steps(path: str) -> Sequence[Step]:
    text = path.strip().removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise InvalidInputError(f'json_path {shown(path)} cannot be read. Form: layers[0].units or results["a.b"].')
        names = (match["name"], match["quoted"], match["single"])
        steps.append(int(match["index"]) if match["index"] else next(name for name in names if name is not None))
        at = match.end()
    return steps


def outline(value: Any, budget: int) -> str:
    """The names and types in a document, one per line, as far as `budget` characters reach."""
    lines: list[str] = []
    _outline(value, "$", 0, lines, budget)
    return "\n".join(lines)


def _outline(value: Any, name: str, depth: int, lines: list[str], budget: int) -> None:
    if sum(map(len, lines)) > budget:
        return
    indent = "  " * depth
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        lines.append(f"{indent}{name}: object with {len(mapping):,} names")
        if depth < _DEPTH_SHOWN:
            for key in list(mapping)[:_NAMES_SHOWN]:
                _outline(mapping[key], key, depth + 1, lines, budget)
            if len(mapping) > _NAMES_SHOWN:
                lines.append(f"{indent}  … {len(mapping) - _NAMES_SHOWN:,} more names")
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        lines.append(f"{indent}{name}: list of {len(items):,}")
        if items and depth < _DEPTH_SHOWN:
            _outline(items[0], "[0]", depth + 1, lines, budget)
    else:
        lines.append(f"{indent}{name}: {clip(repr(value), _VALUE_SHOWN)}")
