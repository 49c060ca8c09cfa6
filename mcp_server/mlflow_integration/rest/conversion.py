"""From MLflow's JSON to entities. NaN strings and MLflow's stand-in for infinity end here."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import (
    Dataset,
    Experiment,
    LoggedModel,
    MetricPoint,
    ModelVersion,
    Page,
    RegisteredModel,
    Run,
)

Json = dict[str, Any]
T = TypeVar("T")

_LARGEST: Final = sys.float_info.max
"""What MLflow stores in place of infinity."""


def listed(found: Json, key: str) -> list[Json]:
    return cast(list[Json], found.get(key) or [])


def page_of(found: Json, key: str, build: Callable[[Json], T]) -> Page[T]:
    return Page(tuple(build(item) for item in listed(found, key)), found.get("next_page_token", ""))


def metric_value(value: float | str) -> float:
    """A metric as MLflow sends it: NaN as text, and the largest float for infinity, which MLflow cannot store."""
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) == _LARGEST else number


def point_of(metric: Json) -> MetricPoint:
    return MetricPoint(int(metric.get("step", 0)), metric_value(metric["value"]), int(metric.get("timestamp", 0)))


def experiment_of(e: Json) -> Experiment:
    return Experiment(
        experiment_id=e["experiment_id"],
        name=e.get("name", ""),
        lifecycle_stage=e.get("lifecycle_stage", "active"),
        artifact_location=e.get("artifact_location", ""),
        creation_time=int(e.get("creation_time", 0)),
        last_update_time=int(e.get("last_update_time", 0)),
        tags=_mapping(listed(e, "tags")),
    )


def run_of(r: Json) -> Run:
    info, data = r["info"], r.get("data", {})
    tags = _mapping(data.get("tags", ()))
    outputs = cast(Json, r.get("outputs") or {})
    return Run(
        run_id=info.get("run_id") or info.get("run_uuid", ""),
        experiment_id=info.get("experiment_id", ""),
        # Servers before MLflow 2.0 keep the name only as a tag.
        run_name=info.get("run_name") or tags.get(tag_names.RUN_NAME, ""),
        status=info.get("status", ""),
        start_time=int(info.get("start_time", 0)),
        end_time=int(info.get("end_time", 0)),
        lifecycle_stage=info.get("lifecycle_stage", "active"),
        artifact_uri=info.get("artifact_uri", ""),
        metrics=_metrics_of(data.get("metrics", ())),
        params=_mapping(data.get("params", ())),
        tags=tags,
        datasets=tuple(_dataset_of(d) for d in listed(cast(Json, r.get("inputs") or {}), "dataset_inputs")),
        logged_model_ids=tuple(o["model_id"] for o in listed(outputs, "model_outputs")),
    )


def _metrics_of(metrics: Iterable[Json]) -> dict[str, float]:
    values: dict[str, float] = {}
    for metric in metrics:
        value = metric["value"]
        # A page of 1,000 runs has thousands of them, nearly all ordinary: no call for those.
        ordinary = type(value) is float and -_LARGEST < value < _LARGEST
        values[metric["key"]] = value if ordinary else metric_value(value)
    return values


def _dataset_of(d: Json) -> Dataset:
    dataset, tags = d.get("dataset", {}), _mapping(d.get("tags", ()))
    return Dataset(
        name=dataset.get("name", ""),
        digest=dataset.get("digest", ""),
        source_type=dataset.get("source_type", ""),
        source=dataset.get("source", ""),
        context=tags.get(tag_names.DATASET_CONTEXT, ""),
    )


def logged_model_of(m: Json) -> LoggedModel:
    info, data = m.get("info", {}), m.get("data", {})
    return LoggedModel(
        model_id=info.get("model_id", ""),
        name=info.get("name", ""),
        experiment_id=info.get("experiment_id", ""),
        source_run_id=info.get("source_run_id", ""),
        artifact_uri=info.get("artifact_uri", ""),
        status=str(info.get("status", "")),
        creation_time=int(info.get("creation_timestamp_ms", 0)),
        params=_mapping(listed(data, "params")),
        tags=_mapping(listed(info, "tags")),
        metrics={metric["key"]: metric_value(metric["value"]) for metric in listed(data, "metrics")},
    )


def model_version_of(v: Json) -> ModelVersion:
    return ModelVersion(
        name=v.get("name", ""),
        version=str(v.get("version", "")),
        run_id=v.get("run_id", ""),
        model_id=v.get("model_id", ""),
        source=v.get("source", ""),
        status=v.get("status", ""),
        stage=v.get("current_stage", ""),
        description=v.get("description", ""),
        creation_time=int(v.get("creation_timestamp", 0)),
        tags=_mapping(listed(v, "tags")),
        aliases=tuple(v.get("aliases", ())),
    )


def registered_model_of(m: Json) -> RegisteredModel:
    return RegisteredModel(
        name=m.get("name", ""),
        description=m.get("description", ""),
        creation_time=int(m.get("creation_timestamp", 0)),
        last_update_time=int(m.get("last_updated_timestamp", 0)),
        tags=_mapping(listed(m, "tags")),
        version_by_alias={a["alias"]: str(a["version"]) for a in listed(m, "aliases")},
        latest_versions=tuple(model_version_of(v) for v in listed(m, "latest_versions")),
    )


def _mapping(pairs: Iterable[Json]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}
