"""The content of a run, checked against MLflow's limits before the first request is sent.

MLflow cuts long values silently, stores infinities as another number and refuses some keys after part of a batch is
written. Every such value is refused here by name, so that a refusal writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Dataset
from mcp_server.mlflow_integration.operations.tag_values import (
    PARAM_VALUE_LIMIT,
    check_key,
    checked_texts,
    need_unicode,
    writable_tags,
)
from mcp_server.mlflow_integration.rest.api import pairs
from mcp_server.untrusted import shown

BATCH_PARAMS: Final = 100
BATCH_TAGS: Final = 100
BATCH_ENTITIES: Final = 1_000
BATCH_BYTES: Final = 900_000
"""One log-batch request; MLflow's own limit is 1,000,000 characters. Source: mlflow/utils/validation.py."""

ARTIFACT_TEXT_LIMIT: Final = 1_000_000
"""Bytes of one artifact sent inline; larger ones are files."""

PATH_LIMIT: Final = 1_024
PATH_PART_LIMIT: Final = 250
"""Bytes of an artifact path and of one of its parts; most file systems store parts of 255 bytes."""

TIME_LIMIT: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, the last one that a calendar shows."""

_DATASET_LIMITS: Final = {
    "name": 500,
    "digest": 36,
    "source": 65_535,
    "source_type": 36,
    "context": 500,
    "schema": 65_535,
}
"""Characters. Source: mlflow/utils/validation.py and the columns of mlflow/store/tracking/dbmodels/models.py."""

_INT64: Final = 2**63

STEP_OF_CALL: Final = "the step of the call"
"""Instead of a step: the step that the call gives for metrics with one value."""

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
    """Sentences about what MLflow will store differently from how it was given."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one log-batch request."""

    metrics: list[Json]
    params: list[Json]
    tags: list[Json]

    def __len__(self) -> int:
        return len(self.metrics) + len(self.params) + len(self.tags)


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
    for key in params:
        if tag_names.is_reserved(key):
            raise InvalidInputError(tag_names.RESERVED_PARAM.format(key=shown(key)))
    points = tuple(point for key, value in metrics.items() for point in _metric_points(key, value, step or 0))
    return RunContent(
        params=checked_texts("param", params, PARAM_VALUE_LIMIT),
        metrics=points,
        tags=writable_tags(tags),
        datasets=tuple(_dataset(dataset) for dataset in datasets),
        artifacts={artifact_path(path): _artifact(path, content) for path, content in (artifacts or {}).items()},
        warnings=_warnings(points),
    )


def batches(content: RunContent, started: int, *, last_tags: Mapping[str, str] | None = None) -> list[Batch]:
    """The content as the fewest log-batch requests that MLflow's limits allow.

    Args: started: time, in UTC milliseconds, of metrics that carry none.
        last_tags: tags that must not be there before everything else is: they go with the last request.
    """
    params = pairs(content.params)
    tags = pairs(content.tags)
    metrics = [
        {
            "key": metric.key,
            "value": wire_value(metric.value),
            "timestamp": started if metric.timestamp is None else metric.timestamp,
            "step": metric.step,
        }
        for metric in content.metrics
    ]
    last = pairs(last_tags or {})
    made: list[Batch] = []
    while metrics or params or tags:
        # Room is kept in every batch, as each may turn out to be the last.
        room = BATCH_BYTES - sum(map(_size, last))
        batch_params, room = _take(params, BATCH_PARAMS, room)
        batch_tags, room = _take(tags, BATCH_TAGS - len(last), room)
        left = BATCH_ENTITIES - len(batch_params) - len(batch_tags) - len(last)
        batch_metrics, room = _take(metrics, left, room)
        made.append(Batch(batch_metrics, batch_params, batch_tags))
    if last and not made:
        return [Batch([], [], last)]
    if last:
        made[-1].tags.extend(last)
    return made


def _take(items: list[Json], count: int, room: int) -> tuple[list[Json], int]:
    """Moves items from the front of a list while they fit; returns them and the bytes that stay free."""
    taken: list[Json] = []
    for item in items[:count]:
        size = _size(item)
        if size > room:
            break
        room -= size
        taken.append(item)
    del items[: len(taken)]
    return taken, room


def _size(item: Json) -> int:
    return len(json.dumps(item))


def artifact_path(path: str) -> str:
    """The path, if it stays inside the run's artifacts whoever reads it.

    Raises: InvalidInputError: absolute, leading out, encoded, or with a part that no file system stores.
    """
    parts = path.split("/")
    bad = (
        len(path.encode("utf-8", "replace")) > PATH_LIMIT
        or any(part in ("", ".", "..") or part != part.strip() for part in parts)
        or any(len(part.encode("utf-8", "replace")) > PATH_PART_LIMIT for part in parts)
        or "\\" in path
        or unquote(path) != path  # MLflow decodes a path before it looks for the file.
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
        or ":" in parts[0]
    )
    if bad:
        meant = "/".join(part.strip() for part in path.replace("\\", "/").split("/") if part.strip() not in ("", "."))
        say = f" Perhaps '{shown(meant)}'." if meant not in ("", path) and ".." not in path and ":" not in path else ""
        raise InvalidInputError(
            f"'{shown(path)}' is not an artifact path.{say} Give a relative one with / between its parts, such as "
            f"plots/roc.png; a part has at most {PATH_PART_LIMIT} bytes."
        )
    return path


def need_separate_paths(paths: Sequence[str]) -> None:
    """Raises: InvalidInputError: one artifact would replace another, or is a folder where another is a file."""
    files: set[str] = set()
    for path in paths:
        if path in files:
            raise InvalidInputError(f"Two artifacts have the path '{shown(path)}'; the second would replace the first.")
        files.add(path)
    for path in paths:
        above = path.rpartition("/")[0]
        while above:
            if above in files:
                raise InvalidInputError(
                    f"Artifact '{shown(above)}' is a file, so there can be no folder of that name for '{shown(path)}'."
                )
            above = above.rpartition("/")[0]


def checked_time(what: str, value: int) -> int:
    """UTC milliseconds. Raises: InvalidInputError: before 1970, or so large that it must be another unit."""
    if value < 0:
        raise InvalidInputError(f"{what} is {value}: times are UTC milliseconds since 1970, not negative.")
    if value > TIME_LIMIT:
        raise InvalidInputError(
            f"{what} is {shown(value)}, after the year 9999. Give UTC milliseconds, not micro- or nanoseconds."
        )
    return value


def _metric_points(key: str, value: Any, step: int) -> Iterator[Metric]:
    check_key("metric", key)
    if not isinstance(value, list | tuple):
        yield Metric(key, _number(key, value), _whole(key, "step", step), None)
        return
    if not value:
        raise InvalidInputError(f"Metric '{key}' has no points. Give a number, or a series of [step, value].")
    for point in cast("Sequence[Any]", value):
        if not isinstance(point, list | tuple) or len(cast("Sequence[Any]", point)) not in (2, 3):
            raise InvalidInputError(
                f"Metric '{key}' has the point {shown(cast(object, point))}. "
                "A point is [step, value] or [step, value, timestamp_ms]."
            )
        at, number, *time = cast("Sequence[Any]", point)
        at = step if at == STEP_OF_CALL else at
        timestamp = checked_time(f"A timestamp of metric '{key}'", _whole(key, "timestamp", time[0])) if time else None
        yield Metric(key, _number(key, number), _whole(key, "step", at), timestamp)


def _number(key: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(
            f"Metric '{key}' is '{shown(value)}'; metrics are numbers ('NaN' and 'Infinity' are read as such). "
            "Text belongs in params or tags."
        ) from None


def _whole(key: str, what: str, value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        unit = " of UTC milliseconds" if what == "timestamp" else ""
        raise InvalidInputError(f"Metric '{key}' has the {what} {shown(value)}; a {what} is a whole number{unit}.")
    if not -_INT64 <= value < _INT64:
        raise InvalidInputError(f"Metric '{key}' has the {what} {shown(value)}, which does not fit into 64 bits.")
    return int(value)


def _dataset(dataset: Mapping[str, Any]) -> Dataset:
    fields = {key: str(value) for key, value in dataset.items()}
    if not fields.get("name", "").strip() or any(key not in _DATASET_LIMITS for key in fields):
        others = ", ".join(key for key in _DATASET_LIMITS if key != "name")
        raise InvalidInputError(f"A dataset has a name and may have {others}; got {shown(dict(dataset))}.")
    for key, value in fields.items():
        if len(value) > _DATASET_LIMITS[key]:
            raise InvalidInputError(
                f"The {key} of dataset '{shown(fields['name'])}' has {len(value):,} characters; "
                f"MLflow takes {_DATASET_LIMITS[key]:,}."
            )
        need_unicode(f"The {key} of a dataset", value)
    source = fields.get("source", "")
    # MLflow tells datasets apart by name and digest; without a digest the source stands for the data.
    digest = fields.get("digest") or hashlib.sha256(f"{fields['name']}\n{source}".encode()).hexdigest()[:8]
    return Dataset(
        name=fields["name"],
        digest=digest,
        source_type=fields.get("source_type") or "external",
        source=source or fields["name"],
        context=fields.get("context", ""),
        schema=fields.get("schema", ""),
    )


def _artifact(path: str, content: Any) -> bytes:
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    data = text.encode("utf-8", "replace")
    if not data:
        raise InvalidInputError(f"Artifact '{path}' is empty; MLflow does not accept empty artifacts.")
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


def wire_value(value: float) -> float | str:
    """MLflow's JSON, and pandas, spell NaN and infinities as these texts."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
