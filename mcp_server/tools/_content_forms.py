"""What callers log, in the forms in which other tools have it: times, series, datasets, JSON where text is stored."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.run_content import STEP_OF_CALL
from mcp_server.mlflow_integration.operations.searching import moments


def milliseconds(value: object) -> object:
    """Times as people and other tools write them: seconds since 1970, ISO 8601, `yesterday`.

    Raises: ValueError: a text that is not a time.
    """
    if isinstance(value, str):
        return _moment(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _SECONDS <= value < _TOO_LATE:
        return value  # For validation to judge, and to name.
    return round(value * 1_000 if value < 10 * _SECONDS else value)


def _moment(text: str) -> object:
    try:
        return moments.milliseconds(text, int(time.time() * 1_000), argument="")
    except InvalidInputError:
        if not _NUMBER.fullmatch(text):
            raise ValueError("expected UTC milliseconds, or a time such as 2026-11-20T14:30Z") from None
    return milliseconds(float(text)) if float(text) >= _SECONDS else text


_NUMBER: Final = re.compile(r"\s*-?\d{1,20}(?:\.\d*)?\s*")
_SECONDS: Final = 10**9
"""From here on to ten times as much a time is in seconds: these are the years 2001 to 2286."""
_TOO_LATE: Final = 10**15
"""Larger numbers are in another unit; the refusal comes later and has the name of the metric."""


def json_texts(values: object) -> object:
    """Texts by name; a text of JSON may be given as the JSON value itself."""
    if not isinstance(values, dict):
        return values
    texts = cast("dict[str, Any]", values)
    return {name: text if isinstance(text, str) else json.dumps(text, indent=2) for name, text in texts.items()}


def datasets(values: object) -> object:
    """A dataset may be only a name; its schema or source may be JSON."""
    if not isinstance(values, list):
        return values
    return [{"name": item} if isinstance(item, str) else _dataset(item) for item in cast("list[Any]", values)]


def _dataset(item: object) -> object:
    if not isinstance(item, dict):
        return item
    fields = cast("dict[str, Any]", item)
    return {name: _dataset_text(name, value) for name, value in fields.items()}


def _dataset_text(name: str, value: Any) -> Any:
    kinds = (int, float, list, dict) if name in ("schema", "source") else (int, float)
    return json.dumps(value) if isinstance(value, kinds) and not isinstance(value, bool) else value


def series(values: object) -> object:
    """Series in other forms than `[step, value, timestamp_ms]`: JSON text, points as objects, other times."""
    if not isinstance(values, dict):
        return values
    return {name: _points(value) for name, value in cast("dict[str, Any]", values).items()}


def _points(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value  # Not a number either; the refusal shows it.
    if isinstance(value, list):
        return [_one_point(point) for point in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        point = fields["value"] if set(fields) == {"value"} else _one_point({"step": STEP_OF_CALL, **fields})
        return [cast("list[Any]", point)] if isinstance(point, list) else point
    return value


def _one_point(point: Any) -> Any:
    if isinstance(point, dict):
        fields = cast("dict[str, Any]", point)
        if not {"value"} <= set(fields) <= {"step", "value", "timestamp"}:
            return fields
        time_given = fields.get("timestamp") is not None
        point = [fields.get("step"), fields["value"], *([fields["timestamp"]] if time_given else [])]
    if not isinstance(point, list):
        return point
    step, *rest = cast("list[Any]", point) or [None]
    if isinstance(step, str) and re.fullmatch(r"-?\d{1,18}", step.strip()):
        step = int(step)
    if len(rest) == 2:
        with suppress(ValueError):  # The refusal of a point names its metric.
            rest[1] = _whole(milliseconds(rest[1]))
    return [step, *rest]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value
