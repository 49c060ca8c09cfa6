"""From MLflow's JSON to entities. Converts NaN texts and MLflow's stand-in for infinity, and refuses malformed answers.

Raises everywhere: TrackingServerError: a field has another type than MLflow's, or one that must be there is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import (
    Artifact,
    Dataset,
    Experiment,
    LoggedModel,
    MetricPoint,
    ModelVersion,
    Page,
    RegisteredModel,
    Run,
)
from mcp_server.mlflow_integration.rest.fields import (
    Json,
    listed,
    malformed,
    mapping,
    metric_value,
    metrics,
    part,
    required_text,
    several,
    text,
    texts,
    truth,
    whole,
)

T = TypeVar("T")


def page_of(found: Json, key: str, build: Callable[[Json], T]) -> Page[T]:
    return Page(tuple(build(item) for item in listed(found, key)), text(found, "next_page_token"))


def point_of(metric: Json) -> MetricPoint:
    return MetricPoint(whole(metric, "step"), metric_value(metric), whole(metric, "timestamp"))


def experiment_of(e: Json) -> Experiment:
    return Experiment(
        experiment_id=required_text(e, "experiment_id"),
        name=text(e, "name"),
        lifecycle_stage=text(e, "lifecycle_stage", "active"),
        artifact_location=text(e, "artifact_location"),
        creation_time=whole(e, "creation_time"),
        last_update_time=whole(e, "last_update_time"),
        tags=mapping(e, "tags"),
    )


def run_of(r: Json) -> Run:
    info, data = part(r, "info"), part(r, "data")
    tags, params = mapping(data, "tags"), mapping(data, "params")
    settled = params.pop(tag_names.SETTLED, "")
    run_id, experiment_id, run_name, status, stage, artifact_uri = several(info, _RUN_TEXTS)
    inputs, outputs = r.get("inputs"), r.get("outputs")
    return Run(
        run_id=run_id or required_text(info, "run_uuid"),
        experiment_id=experiment_id or required_text(info, "experiment_id"),
        # Servers before MLflow 2.0 keep the name only as a tag.
        run_name=run_name or tags.get(tag_names.RUN_NAME, ""),
        status=status,
        start_time=whole(info, "start_time"),
        end_time=whole(info, "end_time"),
        lifecycle_stage=stage or "active",
        artifact_uri=artifact_uri,
        metrics=metrics(data, "metrics"),
        params=params,
        tags=tags,
        datasets=tuple(map(_dataset_of, listed(part(r, "inputs"), "dataset_inputs"))) if inputs else (),
        logged_model_ids=tuple(map(_model_id_of, listed(part(r, "outputs"), "model_outputs"))) if outputs else (),
        settled=settled,
    )


_RUN_TEXTS = ("run_id", "experiment_id", "run_name", "status", "lifecycle_stage", "artifact_uri")


def _model_id_of(output: Json) -> str:
    return required_text(output, "model_id")


def _dataset_of(d: Json) -> Dataset:
    dataset = part(d, "dataset")
    return Dataset(
        name=text(dataset, "name"),
        digest=text(dataset, "digest"),
        source_type=text(dataset, "source_type"),
        source=text(dataset, "source"),
        schema=text(dataset, "schema"),
        context=mapping(d, "tags").get(tag_names.DATASET_CONTEXT, ""),
    )


def artifact_of(f: Json) -> Artifact:
    return Artifact(path=required_text(f, "path"), is_dir=truth(f, "is_dir"), file_size=whole(f, "file_size"))


def logged_model_of(m: Json) -> LoggedModel:
    info, data = part(m, "info"), part(m, "data")
    return LoggedModel(
        model_id=required_text(info, "model_id"),
        name=text(info, "name"),
        experiment_id=text(info, "experiment_id"),
        source_run_id=text(info, "source_run_id"),
        artifact_uri=text(info, "artifact_uri"),
        status=text(info, "status"),
        creation_time=whole(info, "creation_timestamp_ms"),
        params=mapping(data, "params"),
        tags=mapping(info, "tags"),
        metrics=metrics(data, "metrics"),
    )


def model_version_of(v: Json) -> ModelVersion:
    version = required_text(v, "version")
    if not version.isdecimal():
        raise malformed("version", "is not a whole number")
    return ModelVersion(
        name=required_text(v, "name"),
        version=version,
        run_id=text(v, "run_id"),
        model_id=text(v, "model_id"),
        source=text(v, "source"),
        status=text(v, "status"),
        stage=text(v, "current_stage"),
        description=text(v, "description"),
        creation_time=whole(v, "creation_timestamp"),
        tags=mapping(v, "tags"),
        aliases=texts(v, "aliases"),
    )


def registered_model_of(m: Json) -> RegisteredModel:
    return RegisteredModel(
        name=required_text(m, "name"),
        description=text(m, "description"),
        creation_time=whole(m, "creation_timestamp"),
        last_update_time=whole(m, "last_updated_timestamp"),
        tags=mapping(m, "tags"),
        version_by_alias={required_text(a, "alias"): required_text(a, "version") for a in listed(m, "aliases")},
        latest_versions=tuple(model_version_of(v) for v in listed(m, "latest_versions")),
    )
