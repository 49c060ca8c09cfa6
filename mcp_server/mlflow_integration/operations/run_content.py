"""What a run is to hold, checked against MLflow's limits before the first request is sent.

MLflow cuts long values without a word, stores infinities as another number and refuses some keys half
way through a batch. Here every such value is refused by name, so that a refusal writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Dataset

KEY_LIMIT: Final = 250
PARAM_VALUE_LIMIT: Final = 6_000
TAG_VALUE_LIMIT: Final = 8_000
"""Characters. Source: mlflow/utils/validation.py; beyond them MLflow truncates silently."""

BATCH_METRICS: Final = 1_000
BATCH_PARAMS: Final = 100
BATCH_TAGS: Final = 100
BATCH_ENTITIES: Final = 1_000
BATCH_BYTES: Final = 900_000
"""One log-batch request; MLflow's own limit is 1,000,000 characters. Source: mlflow/utils/validation.py."""

ARTIFACT_TEXT_LIMIT: Final = 1_000_000
"""Bytes of one artifact sent inline; larger ones are files."""

_INT64: Final = 2**63
_KEY: Final = re.compile(r"[\w.\-/ :]+")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    key: str
    value: float
    step: int
    timestamp: int | None
    """UTC milliseconds; None takes the start of the run, so that sending it again changes nothing."""


@dataclass(frozen=True, slots=True)
class RunContent:
    params: Mapping[str, str]
    metrics: tuple[Metric, ...]
    tags: Mapping[str, str]
    datasets: tuple[Dataset, ...] = ()
    artifacts: Mapping[str, bytes] | None = None
    warnings: tuple[str, ...] = ()
    """Sentences about what MLflow will store otherwise than given."""


def run_content(
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, Any],
    tags: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]] = (),
    artifacts: Mapping[str, Any] | None = None,
    step: int | None = None,
) -> RunContent:
    """The content of one log_run or log_to_run call.

    Args: metrics: by name a number, or a series of `[step, value]` or `[step, value, timestamp_ms]`.
        step: of metrics given as a single number; 0 when None.
    Raises: InvalidInputError: a key or value that MLflow would refuse or cut; the sentence names it.
    """
    points = tuple(point for key, value in metrics.items() for point in _metric_points(key, value, step or 0))
    return RunContent(
        params=_texts("param", params, PARAM_VALUE_LIMIT),
        metrics=points,
        tags=_tags(tags),
        datasets=tuple(_dataset(dataset) for dataset in datasets),
        artifacts={artifact_path(path): _artifact(path, content) for path, content in (artifacts or {}).items()},
        warnings=_warnings(points),
    )


def batches(content: RunContent, started: int) -> Iterator[tuple[list[Json], list[Json], list[Json]]]:
    """The content as (metrics, params, tags) of as many log-batch requests as MLflow's limits demand.

    `started` is the time, in UTC milliseconds, of metrics that carry none.
    """
    params = [{"key": key, "value": value} for key, value in content.params.items()]
    tags = [{"key": key, "value": value} for key, value in content.tags.items()]
    metrics = [
        {
            "key": metric.key,
            "value": _wire_value(metric.value),
            "timestamp": started if metric.timestamp is None else metric.timestamp,
            "step": metric.step,
        }
        for metric in content.metrics
    ]
    while metrics or params or tags:
        room = BATCH_BYTES
        batch_params, room = _take(params, BATCH_PARAMS, room)
        batch_tags, room = _take(tags, BATCH_TAGS, room)
        left = BATCH_ENTITIES - len(batch_params) - len(batch_tags)
        batch_metrics, room = _take(metrics, min(BATCH_METRICS, left), room)
        yield batch_metrics, batch_params, batch_tags


def _take(items: list[Json], count: int, room: int) -> tuple[list[Json], int]:
    """Moves items from the front of a list while they fit; returns them and the bytes that stay free."""
    taken: list[Json] = []
    for item in items[:count]:
        size = len(json.dumps(item))
        if size > room:
            break
        room -= size
        taken.append(item)
    del items[: len(taken)]
    return taken, room


def artifact_path(path: str) -> str:
    """The path, if it stays inside the run's artifacts whoever reads it.

    Raises: InvalidInputError: absolute, climbing, encoded or holding characters no artifact path has.
    """
    parts = path.split("/")
    hostile = (
        not path
        or len(path.encode("utf-8", "replace")) > 1_024
        or any(part in ("", ".", "..") for part in parts)
        or any(character in path for character in "\\%\0")
        or any(ord(character) < 32 or ord(character) == 127 for character in path)
        or ":" in parts[0]
    )
    if hostile:
        raise InvalidInputError(
            f"{path!r} is no artifact path. Give a relative one with / between its parts, such as plots/roc.png."
        )
    return path


def _metric_points(key: str, value: Any, step: int) -> Iterator[Metric]:
    _check_key("metric", key)
    if not isinstance(value, list | tuple):
        yield Metric(key, _number(key, value), _whole(key, "step", step), None)
        return
    for point in cast("Sequence[Any]", value):
        if not isinstance(point, list | tuple) or len(cast("Sequence[Any]", point)) not in (2, 3):
            raise InvalidInputError(
                f"Metric '{key}' has the point {point!r}. A point is [step, value] or [step, value, timestamp_ms]."
            )
        at, number, *time = cast("Sequence[Any]", point)
        yield Metric(
            key, _number(key, number), _whole(key, "step", at), _whole(key, "timestamp", time[0]) if time else None
        )


def _number(key: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(
            f"Metric '{key}' is {value!r}; metrics are numbers ('NaN' and 'Infinity' are read as such). "
            "Text belongs in params or tags."
        ) from None


def _whole(key: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or int(value) != value:
        raise InvalidInputError(f"Metric '{key}' has the {what} {value!r}; a {what} is a whole number.")
    if not -_INT64 <= value < _INT64:
        raise InvalidInputError(f"Metric '{key}' has the {what} {value}, which does not fit into 64 bits.")
    return int(value)


def _texts(kind: str, values: Mapping[str, Any], limit: int) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in values.items():
        _check_key(kind, key)
        text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)
        _check_text(kind, key, text, limit)
        texts[key] = text
    return texts


def _tags(tags: Mapping[str, Any]) -> dict[str, str]:
    for key in tags:
        if tag_names.is_reserved(key):
            raise InvalidInputError(tag_names.RESERVED_TAG.format(key=key))
    return _texts("tag", tags, TAG_VALUE_LIMIT)


def _check_key(kind: str, key: str) -> None:
    if len(key) > KEY_LIMIT:
        raise InvalidInputError(f"The {kind} name '{key[:40]}…' has {len(key):,} characters; MLflow takes {KEY_LIMIT}.")
    bad = not _KEY.fullmatch(key) or key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/"))
    if bad:
        raise InvalidInputError(
            f"MLflow takes no {kind} named {key!r}. Letters, digits and _ - . : / and spaces may be used; "
            "a / separates parts that are not empty."
        )


def _check_text(kind: str, key: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidInputError(
            f"The value of {kind} '{key}' has {len(text):,} characters; MLflow keeps {limit:,} and would cut the "
            "rest without a word. Put long text into artifacts."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"The value of {kind} '{key}' is not valid Unicode (a lone surrogate).") from None


def _dataset(dataset: Mapping[str, Any]) -> Dataset:
    known = ("name", "digest", "source", "source_type", "context")
    fields = {key: str(value) for key, value in dataset.items()}
    if not fields.get("name") or any(key not in known for key in fields):
        raise InvalidInputError(f"A dataset has a name and may have {', '.join(known[1:])}; got {dict(dataset)!r}.")
    source = fields.get("source", "")
    # MLflow tells datasets apart by name and digest; without a digest the source stands for the data.
    digest = fields.get("digest") or hashlib.sha256(f"{fields['name']}\n{source}".encode()).hexdigest()[:8]
    return Dataset(
        name=fields["name"],
        digest=digest,
        source_type=fields.get("source_type") or "external",
        source=source or fields["name"],
        context=fields.get("context", ""),
    )


def _artifact(path: str, content: Any) -> bytes:
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    data = text.encode("utf-8", "replace")
    if not data:
        raise InvalidInputError(f"Artifact '{path}' is empty; MLflow takes no empty artifact.")
    if len(data) > ARTIFACT_TEXT_LIMIT:
        raise InvalidInputError(
            f"Artifact '{path}' has {len(data):,} bytes; inline text may have {ARTIFACT_TEXT_LIMIT:,}. Use files."
        )
    return data


def _warnings(points: Sequence[Metric]) -> tuple[str, ...]:
    infinite = sorted({point.key for point in points if math.isinf(point.value)})
    if not infinite:
        return ()
    return (
        f"MLflow has no infinity: {', '.join(infinite)} is stored as ±{sys.float_info.max:.4g} and shown as Infinity.",
    )


def _wire_value(value: float) -> float | str:
    """MLflow's JSON spells NaN and infinities as text."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
