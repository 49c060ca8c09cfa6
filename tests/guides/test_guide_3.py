"""Guide 3: MLflow in a platform, with artifacts in S3 or MinIO."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from mcp_server.mlflow_integration import get_mlflow_client, get_mlflow_tracker, setup_mlflow_tracking

from .blocks import block

pytestmark = pytest.mark.filterwarnings("ignore:.*Model registry stages:FutureWarning")


@block("Key Features / 1. Experiment Tracking")
def test_experiment_tracking(files):
    import mlflow

    setup_mlflow_tracking()

    with mlflow.start_run() as run:
        mlflow.log_param("learning_rate", 0.001)
        mlflow.log_param("epochs", 100)
        mlflow.log_metric("accuracy", 0.95)
        mlflow.log_metric("loss", 0.05)
        mlflow.log_artifact("model.pkl")

    record = get_mlflow_tracker().get_run(run.info.run_id)
    assert record["params"] == {"learning_rate": "0.001", "epochs": "100"}
    assert record["metrics"] == {"accuracy": 0.95, "loss": 0.05}


@block(
    "Key Features / 2. Model Registry",
    "`mlflow.sklearn.log_model` refuses forests: `tracker.log_model`; stages work as shown, an alias replaces them",
)
def test_model_registry(iris: SimpleNamespace, forests_may_be_refused):
    import mlflow
    from mlflow.tracking import MlflowClient

    setup_mlflow_tracking()
    tracker = get_mlflow_tracker()
    with mlflow.start_run() as run:
        with forests_may_be_refused():
            mlflow.sklearn.log_model(iris.model, artifact_path="models")
        for _ in range(2):
            tracker.log_model(
                iris.model, artifact_path="models", registered_model_name="my_model", run_id=run.info.run_id
            )

    client = MlflowClient()
    client.transition_model_version_stage(name="my_model", version=2, stage="Production")

    assert client.get_model_version("my_model", "2").current_stage == "Production"


@block("Configuration / S3 Configuration (MinIO)", "works as shown; boto3 does the upload")
def test_s3_configuration_minio():
    os.environ["MLFLOW_S3_ENDPOINT_URL"] = "http://minio:9000"
    os.environ["AWS_ACCESS_KEY_ID"] = "minioadmin"
    os.environ["AWS_SECRET_ACCESS_KEY"] = "minioadmin123"

    tracker = get_mlflow_tracker("on_minio", artifact_location="s3://mlflow-artifacts/on_minio")

    with tracker.start_run() as run_id:
        tracker.log_metric("accuracy", 0.9)
    assert tracker.get_run(run_id)["artifact_uri"] == f"s3://mlflow-artifacts/on_minio/{run_id}/artifacts"


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_artifacts_go_to_the_endpoint(files):
    """The upload itself, to a stand-in for MinIO on loopback."""
    pytest.importorskip("boto3", reason="boto3 is not installed: no upload to S3 was tried")
    received: dict[str, bytes] = {}

    class Bucket(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            received[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as minio:
        threading.Thread(target=minio.serve_forever).start()
        os.environ["MLFLOW_S3_ENDPOINT_URL"] = f"http://127.0.0.1:{minio.server_port}"
        os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "minioadmin"
        tracker = get_mlflow_tracker("uploaded", artifact_location="s3://bucket/uploaded")
        with tracker.start_run() as run_id:
            tracker.log_artifact("model.pkl")
        minio.shutdown()

    assert [path for path, content in received.items() if b"content" in content] == [
        f"/bucket/uploaded/{run_id}/artifacts/model.pkl"
    ]


@block("Common Tasks / Set Experiment")
def test_set_experiment():
    import mlflow

    setup_mlflow_tracking()

    mlflow.set_experiment("my_experiment")
    with mlflow.start_run():
        pass

    assert len(get_mlflow_tracker("my_experiment").search_runs()) == 1


@block(
    "Common Tasks / Query Experiments",
    "MLflow 2 took `list_experiments` away: `search_experiments`, or the same name on `get_mlflow_client()`",
)
def test_query_experiments():
    from mlflow.tracking import MlflowClient

    setup_mlflow_tracking("my_experiment")
    with pytest.raises(AttributeError, match="list_experiments"):
        MlflowClient().list_experiments()
    client = get_mlflow_client()

    experiments = client.list_experiments()
    exp = client.get_experiment_by_name("my_experiment")

    assert [experiment.name for experiment in experiments] == ["my_experiment", "Default"]
    assert exp.experiment_id == experiments[0].experiment_id


@block("Common Tasks / Search Runs")
def test_search_runs():
    tracker = get_mlflow_tracker("my_experiment")
    for accuracy in (0.8, 0.95, 0.9):
        with tracker.start_run():
            tracker.log_metric("accuracy", accuracy)
    client = get_mlflow_client()
    exp_id = client.get_experiment_by_name("my_experiment").experiment_id

    best_run = client.search_runs(experiment_ids=[exp_id], order_by=["metrics.accuracy DESC"])[0]

    assert f"Best accuracy: {best_run.data.metrics['accuracy']}" == "Best accuracy: 0.95"
