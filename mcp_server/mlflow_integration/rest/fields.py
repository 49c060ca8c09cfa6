"""Typed reading of JSON from MLflow: what is missing or null takes its default, another type is refused.

One malformed field must end in one sentence, wherever it stands: the server is not MLflow, or
something between it and this server changed the answer.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final, cast

from mcp_server.errors import TrackingServerError

Json = dict[str, Any]

_TEXT: Final = frozenset([str])
_OBJECT: Final = frozenset([dict])
_INT64: Final = 2**63
"""MLflow's whole numbers are of 64 bits."""

LARGEST: Final = sys.float_info.max
"""What MLflow stores in place of infinity."""


def malformed(key: str, problem: str) -> TrackingServerError:
    """For an answer whose field `key` cannot be used."""
    return TrackingServerError(
        f"MLflow's answer cannot be used: its field '{key}' {problem}. Either the server is not MLflow, or something "
        "between it and this server changed the answer. get_server_info shows its address and version."
    )


def text(record: Json, key: str, default: str = "") -> str:
    """A text; a whole number becomes its digits, as some servers send ids."""
    value = record.get(key)
    if type(value) is str:
        return value
    if value is None:
        return default
    if type(value) is int:
        return str(value)
    raise malformed(key, "is not a text")


def several(record: Json, keys: tuple[str, ...]) -> list[str]:
    """The texts of these fields, in one call: pages of 1,000 runs are read with it."""
    values = [record.get(key) for key in keys]
    if _TEXT.issuperset(map(type, values)):
        return cast("list[str]", values)
    return [text(record, key) for key in keys]


def required_text(record: Json, key: str) -> str:
    """A text without which the record means nothing, such as its id."""
    if found := text(record, key):
        return found
    raise malformed(key, "is missing")


def whole(record: Json, key: str) -> int:
    """A whole number of 64 bits, 0 when it is missing. JSON of protobuf sends those as text."""
    value = record.get(key)
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            number = int(value)
        except ValueError:
            raise malformed(key, "is not a whole number") from None
        if -_INT64 <= number < _INT64:
            return number
    raise malformed(key, "is not a whole number of 64 bits")


def truth(record: Json, key: str) -> bool:
    """A boolean, false when it is missing."""
    value = record.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise malformed(key, "is neither true nor false")


def metric_value(record: Json, key: str = "value") -> float:
    """A metric as MLflow sends it: NaN as text, and the largest float for infinity, which MLflow cannot store."""
    value = record.get(key)
    if type(value) is float and -LARGEST < value < LARGEST:
        return value
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise malformed(key, "is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise malformed(key, "is not a number") from None
    return math.copysign(math.inf, number) if abs(number) == LARGEST else number


def part(record: Json, key: str) -> Json:
    """An object inside the record; empty when it is missing."""
    value = record.get(key)
    if value is None:
        return {}
    if isinstance(value, dict):
        return cast(Json, value)
    raise malformed(key, "is not an object")


def listed(record: Json, key: str) -> list[Json]:
    """A list of objects; empty when it is missing."""
    value = record.get(key)
    if value is None:
        return []
    if isinstance(value, list) and _OBJECT.issuperset(map(type, cast("list[object]", value))):
        return cast("list[Json]", value)
    raise malformed(key, "is not a list of objects")


def texts(record: Json, key: str) -> tuple[str, ...]:
    """A list of texts; empty when it is missing."""
    value = record.get(key)
    if value is None:
        return ()
    if isinstance(value, list) and _TEXT.issuperset(map(type, cast("list[object]", value))):
        return tuple(cast("list[str]", value))
    raise malformed(key, "is not a list of texts")


def mapping(record: Json, key: str) -> dict[str, str]:
    """Key and value pairs, as MLflow sends tags and params; a missing value is an empty text."""
    pairs = listed(record, key)
    # A page of 1,000 runs has tens of thousands of them, nearly all ordinary: no call for those.
    try:
        found = {pair["key"]: pair["value"] for pair in pairs}
        if _TEXT.issuperset(map(type, found)) and _TEXT.issuperset(map(type, found.values())):
            return found
    except (KeyError, TypeError):  # TypeError: a key that is a list or an object.
        pass
    return {required_text(pair, "key"): text(pair, "value") for pair in pairs}


def metrics(record: Json, key: str) -> dict[str, float]:
    """Latest value by metric."""
    values: dict[str, float] = {}
    for metric in listed(record, key):
        name, value = metric.get("key"), metric.get("value")
        if type(name) is str and name and type(value) is float and -LARGEST < value < LARGEST:
            values[name] = value
        else:
            values[required_text(metric, "key")] = metric_value(metric)
    return values
