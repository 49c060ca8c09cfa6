"""From MLflow's JSON to entities: every field of every record, and what stands for infinity or is missing."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest

from mcp_server.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    TrackingServerError,
    UnreachableError,
    UnsupportedError,
)
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
from mcp_server.mlflow_integration.rest import conversion, error_responses, fields
from mcp_server.mlflow_integration.rest.transport import Reply

TAGS = [{"key": "team", "value": "a"}, {"key": "empty"}]
TAGS_READ = {"team": "a", "empty": ""}
POINT = {"key": "loss", "value": 0.5, "step": "3", "timestamp": 17}
VERSION = {
    "name": "churn",
    "version": "2",
    "run_id": "r1",
    "model_id": "m-1",
    "source": "runs:/r1/model",
    "status": "READY",
    "current_stage": "Staging",
    "description": "text",
    "creation_timestamp": 5,
    "tags": TAGS,
    "aliases": ["champion"],
}
VERSION_READ = ModelVersion(
    "churn", "2", "r1", "m-1", "runs:/r1/model", "READY", "Staging", "text", 5, TAGS_READ, ("champion",)
)


def test_every_field_of_an_experiment_a_point_and_an_artifact_is_read():
    record = {
        "experiment_id": 7,
        "name": "churn",
        "lifecycle_stage": "deleted",
        "artifact_location": "s3://b",
        "creation_time": "5",
        "last_update_time": 6,
        "tags": TAGS,
    }
    assert conversion.experiment_of(record) == Experiment("7", "churn", "deleted", "s3://b", 5, 6, TAGS_READ)
    assert conversion.experiment_of({"experiment_id": "7"}) == Experiment("7", "")
    assert conversion.point_of(POINT) == MetricPoint(3, 0.5, 17)
    assert conversion.artifact_of({"path": "a", "is_dir": True}) == Artifact("a", True)
    assert conversion.artifact_of({"path": "a/b", "file_size": "9"}) == Artifact("a/b", False, 9)


def test_every_field_of_a_run_is_read():
    """MLflow 1 keeps the name in a tag and the id in `run_uuid`."""
    params = [{"key": "lr", "value": "0.1"}, {"key": tag_names.SETTLED, "value": "yes"}]
    dataset = {"name": "data", "digest": "d1", "source_type": "local", "source": "file", "schema": "{}"}
    run = {
        "info": {
            "run_id": "r1",
            "run_uuid": "r0",
            "experiment_id": "7",
            "run_name": "one",
            "status": "FAILED",
            "start_time": 5,
            "end_time": "6",
            "lifecycle_stage": "deleted",
            "artifact_uri": "s3://b/r1",
        },
        "data": {"metrics": [POINT], "params": params, "tags": TAGS},
        "inputs": {
            "dataset_inputs": [{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "train"}]}]
        },
        "outputs": {"model_outputs": [{"model_id": "m-1"}]},
    }
    assert conversion.run_of(run) == Run(
        "r1",
        "7",
        "one",
        "FAILED",
        5,
        6,
        "deleted",
        "s3://b/r1",
        metrics={"loss": 0.5},
        params={"lr": "0.1"},
        tags=TAGS_READ,
        datasets=(Dataset("data", "d1", "local", "file", "train", "{}"),),
        logged_model_ids=("m-1",),
        settled="yes",
    )
    tags = [{"key": "mlflow.runName", "value": "old"}]
    old = {"info": {"run_uuid": "r0", "experiment_id": "7"}, "data": {"tags": tags}}
    assert conversion.run_of(old) == Run("r0", "7", "old", "", tags={"mlflow.runName": "old"})
    for lacking in ({"run_id": "r"}, {"experiment_id": "7"}):
        with pytest.raises(TrackingServerError, match="is missing"):
            conversion.run_of({"info": lacking})


def test_every_field_of_models_and_versions_is_read():
    model = {
        "info": {
            "model_id": "m-1",
            "name": "model",
            "experiment_id": "7",
            "source_run_id": "r1",
            "artifact_uri": "s3://m",
            "status": "READY",
            "creation_timestamp_ms": 5,
            "tags": TAGS,
        },
        "data": {"params": [{"key": "lr", "value": "0.1"}], "metrics": [POINT]},
    }
    assert conversion.logged_model_of(model) == LoggedModel(
        "m-1", "model", "7", "r1", "s3://m", "READY", 5, {"lr": "0.1"}, TAGS_READ, {"loss": 0.5}
    )
    assert conversion.model_version_of(VERSION) == VERSION_READ
    with pytest.raises(TrackingServerError, match="field 'version'"):
        conversion.model_version_of({**VERSION, "version": "latest"})
    registered = {
        "name": "churn",
        "description": "text",
        "creation_timestamp": 5,
        "last_updated_timestamp": 6,
        "tags": TAGS,
        "aliases": [{"alias": "champion", "version": "2"}],
        "latest_versions": [VERSION],
    }
    assert conversion.registered_model_of(registered) == RegisteredModel(
        "churn", "text", 5, 6, TAGS_READ, {"champion": "2"}, (VERSION_READ,)
    )
    page = conversion.page_of({"items": [VERSION], "next_page_token": "t"}, "items", conversion.model_version_of)
    assert page == Page((VERSION_READ,), "t")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (0.5, 0.5),
        (3, 3.0),
        ("-0.25", -0.25),
        ("NaN", math.nan),
        ("Infinity", math.inf),
        (sys.float_info.max, math.inf),
        (-sys.float_info.max, -math.inf),
        (str(-sys.float_info.max), -math.inf),
        (1.7e308, 1.7e308),
    ],
)
def test_a_metric_is_a_number_or_what_stands_for_one(sent: Any, read: float):
    """MLflow stores the largest float for infinity."""
    assert repr(fields.metric_value({"value": sent})) == repr(read)
    assert repr(fields.metrics({"m": [{"key": "a", "value": sent}]}, "m")) == repr({"a": read})


@pytest.mark.parametrize("sent", [None, True, [], {}, "many", 10**400])
def test_what_is_no_number_is_no_metric(sent: Any):
    with pytest.raises(TrackingServerError, match="field 'value' is"):
        fields.metric_value({"value": sent})


@pytest.mark.parametrize(
    ("sent", "read"),
    [(None, 0), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), (3.0, 3), ("-4", -4), (str(2**63 - 1), 2**63 - 1)],
)
def test_a_whole_number_has_64_bits(sent: Any, read: int):
    """JSON of protobuf sends them as text."""
    assert fields.whole({"n": sent}, "n") == read


@pytest.mark.parametrize("sent", [True, 0.5, math.inf, "x", [], 2**63, -(2**63) - 1, str(2**63), 2.0**63, "9" * 5_000])
def test_what_is_no_whole_number_of_64_bits_is_refused(sent: Any):
    with pytest.raises(TrackingServerError, match=r"field 'n' is"):
        fields.whole({"n": sent}, "n")


def test_texts_lists_and_objects_are_refused_when_they_are_something_else():
    assert fields.several({"a": "x", "b": None, "c": 3}, ("a", "b", "c", "d")) == ["x", "", "3", ""]
    assert (fields.truth({}, "a"), fields.truth({"a": True}, "a"), fields.truth({"a": False}, "a")) == (0, 1, 0)
    assert fields.mapping({"a": [{"key": 5, "value": "x"}]}, "a") == {"5": "x"}
    assert fields.metrics({"a": [{"key": 5, "value": 0.5}]}, "a") == {"5": 0.5}
    readers = {
        fields.text: [True, 0.5, [], {}],
        fields.required_text: [None, ""],
        fields.truth: ["true", 1],
        fields.part: ["", [], 0],
        fields.listed: ["", {}, [1], [{}, None]],
        fields.texts: ["", {}, [1], ["a", None]],
        fields.mapping: [[{"value": "no key"}], [{"key": ["a"], "value": "b"}], [{"key": "a", "value": {}}], {}],
        fields.metrics: [[{"value": 1.0}], [{"key": "", "value": 1.0}], [{"key": "a"}]],
    }
    for read, wrong in readers.items():
        for value in wrong:
            with pytest.raises(TrackingServerError, match="MLflow's answer cannot be used"):
                read({"a": value}, "a")


def failure(status: int, body: dict[str, Any] | bytes) -> Exception:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_responses.failure(Reply(status, {}, sent), "http://mlflow:5000")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run x"}, NotFoundError, "No run x"),
        (400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "There is x"}, AlreadyExistsError, "There is x"),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Bad x"}, InvalidInputError, "Bad x"),
        (400, {"error_code": "BAD_REQUEST"}, InvalidInputError, "MLflow refused the request (BAD_REQUEST)."),
        (400, {"error_code": "INVALID_STATE", "message": "Deleted"}, InvalidInputError, "Deleted"),
        (400, {"error_code": "MALFORMED_REQUEST", "message": "Bad"}, InvalidInputError, "Bad"),
        (409, {"error_code": "RESOURCE_CONFLICT", "message": "Both"}, ConflictError, "Both"),
        (400, {"error_code": "FEATURE_DISABLED", "message": "Off"}, UnsupportedError, "Off"),
        (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "None"}, UnsupportedError, "None"),
        (501, {"error_code": "NOT_IMPLEMENTED", "message": "None"}, UnsupportedError, "None"),
        (401, b"", PermissionDeniedError, "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (403, {"error_code": "PERMISSION_DENIED"}, PermissionDeniedError, "or this user may not see or change it"),
        (
            403,
            {"message": "You are not authenticated"},
            PermissionDeniedError,
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        ),
        (403, b"Invalid Host header", PermissionDeniedError, '--allowed-hosts "mlflow:5000,localhost:*"'),
        (400, b"Client sent an HTTP request to an HTTPS server", UnreachableError, "TRACKING_URI to https://mlflow"),
        (404, b"<html>", UnsupportedError, "does not know this request"),
        (500, {"message": "Column-expression-level unary distinct() x"}, UnsupportedError, "cannot sample curves"),
        (500, b"oops", TrackingServerError, "status 500. See the log"),
        (500, b"[1]", TrackingServerError, "status 500. See the log"),
        (500, {"message": "database is locked"}, TrackingServerError, "is busy: others hold its lock"),
        (503, b"", TrackingServerError, "status 503. Try again in a moment."),
        (429, {"message": "Slow"}, TrackingServerError, "status 429 (Slow). Try again in a moment."),
        (400, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, TrackingServerError, "status 400. Try again in a moment."),
        (400, {"error_code": "BAD_REQUEST", "message": "OperationalError x"}, TrackingServerError, "status 400"),
        (400, {"error_code": "BAD_REQUEST", "message": "Invalid path: /x"}, InvalidInputError, "out of the artifacts"),
        (
            400,
            {"error_code": "BAD_REQUEST", "message": "Page token?"},
            InvalidInputError,
            "Pass next_page_token of the previous page",
        ),
    ],
)
def test_each_failure_has_its_kind_and_its_sentence(
    status: int, body: dict[str, Any] | bytes, kind: type[Exception], said: str
):
    error = failure(status, body)
    assert type(error) is kind
    assert said in str(error)


def test_a_param_that_cannot_change_is_named_with_both_values():
    changed = "Changing param values is not allowed. [{'key': 'lr', 'old_value': '0.1', 'new_value': '0.2'}]"
    error = failure(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": changed})
    assert str(error).startswith("Param 'lr' is '0.1' and cannot become '0.2': ")


def test_what_was_not_carried_out_says_so():
    for status, body in ((404, b""), (400, b"The plain HTTP request was sent to HTTPS port")):
        assert getattr(failure(status, body), "carried_out", None) is False
