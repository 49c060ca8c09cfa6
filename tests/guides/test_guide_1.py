"""Guide 1: the tracker."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.mlflow_integration import MlflowTracker, get_mlflow_tracker

from .blocks import block

on_a_server = pytest.mark.parametrize("store", ["server"], indirect=True)


@block("Quick Start / Mock Mode (No Server Required)")
def test_mock_mode_no_server_required():
    tracker = get_mlflow_tracker(experiment_name="my_experiment", mock_mode=True)

    with tracker.start_run("test_run") as run_id:
        tracker.log_params({"learning_rate": 0.01})
        tracker.log_metric("accuracy", 0.92)

    run = tracker.get_run(run_id)
    assert run["run_name"] == "test_run"
    assert run["status"] == "FINISHED"
    assert run["params"] == {"learning_rate": "0.01"}
    assert run["metrics"] == {"accuracy": 0.92}


@on_a_server
@block("Quick Start / Production Mode (With MLflow Server)")
def test_production_mode_with_mlflow_server(mlflow_server):
    del os.environ["MLFLOW_TRACKING_URI"]

    tracker = get_mlflow_tracker(experiment_name="nba_production", tracking_uri=mlflow_server, mock_mode=False)

    assert tracker.tracking_uri == mlflow_server
    assert tracker.client.get_experiment_by_name("nba_production").experiment_id == tracker.experiment_id


@on_a_server
@block("Configuration / Python Configuration", "works as shown; the server keeps artifacts in its own place")
def test_python_configuration(mlflow_server, files, caplog):
    mlflow_config = {
        "tracking_uri": os.getenv("MLFLOW_TRACKING_URI", "http://localhost:5000"),
        "experiment_name": os.getenv("MLFLOW_EXPERIMENT_NAME", "nba_default"),
        "artifact_location": os.getenv("MLFLOW_ARTIFACT_LOCATION", "./mlflow-artifacts"),
        "mock_mode": os.getenv("MLFLOW_MOCK_MODE", "false").lower() == "true",
    }

    tracker = get_mlflow_tracker(**mlflow_config)

    with tracker.start_run() as run_id:
        tracker.log_artifact("model.pkl")
    assert [file.path for file in tracker.client.list_artifacts(run_id)] == ["model.pkl"]
    assert "keeps artifacts in its own place" in caplog.text
    assert not Path("mlflow-artifacts").exists()


@block("Usage Patterns / Basic Experiment Tracking")
def test_basic_experiment_tracking(files):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")

    with tracker.start_run("baseline_model") as run_id:
        tracker.log_params({"algorithm": "random_forest", "n_estimators": 100, "max_depth": 10})
        tracker.log_metrics({"accuracy": 0.92, "f1_score": 0.89, "roc_auc": 0.94})
        tracker.log_artifact("model.pkl")
        tracker.log_artifact("confusion_matrix.png")

    run = tracker.get_run(run_id)
    assert run["params"] == {"algorithm": "random_forest", "n_estimators": "100", "max_depth": "10"}
    assert run["metrics"] == {"accuracy": 0.92, "f1_score": 0.89, "roc_auc": 0.94}
    assert _artifacts(tracker, run_id) == ["confusion_matrix.png", "model.pkl"]


@block("Usage Patterns / Logging Metrics Over Time")
def test_logging_metrics_over_time():
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")

    with tracker.start_run("training_progress") as run_id:
        for epoch in range(10):
            tracker.log_metric("train_loss", 1 / (epoch + 1), step=epoch)
            tracker.log_metric("val_loss", 2 / (epoch + 1), step=epoch)

    history = tracker.get_metric_history(run_id, "train_loss")
    assert [(point["step"], point["value"]) for point in history] == [(epoch, 1 / (epoch + 1)) for epoch in range(10)]
    assert tracker.get_run(run_id)["metrics"] == {"train_loss": 0.1, "val_loss": 0.2}


@block("Usage Patterns / Model Registration")
def test_model_registration(iris: SimpleNamespace):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")
    with tracker.start_run() as run_id:
        tracker.log_model(iris.model, "model")

    tracker.register_model(
        model_uri=f"runs:/{run_id}/model",
        model_name="nba_player_classifier",
        tags={"version": "v1.0", "stage": "production"},
    )

    version = tracker.client.get_model_version("nba_player_classifier", "1")
    assert version.run_id == run_id
    assert version.tags == {"version": "v1.0", "stage": "production"}


@block("Usage Patterns / Searching Runs")
def test_searching_runs(capsys):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")
    for accuracy in (0.85, 0.91, 0.95):
        with tracker.start_run():
            tracker.log_metric("accuracy", accuracy)

    best_runs = tracker.search_runs(filter_string="metrics.accuracy > 0.9", max_results=10)

    for run in best_runs:
        print(f"Run {run['run_id']}: {run['metrics']['accuracy']:.4f}")
    assert [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()] == ["0.9500", "0.9100"]


@block("Usage Patterns / Comparing Runs")
def test_comparing_runs(capsys):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")
    run_ids = []
    for rate, accuracy in ((0.1, 0.90), (0.01, 0.95)):
        with tracker.start_run() as run_id:
            tracker.log_params({"learning_rate": rate, "seed": 7})
            tracker.log_metric("accuracy", accuracy)
        run_ids.append(run_id)

    comparison = tracker.compare_runs(run_ids)

    print("Parameter differences:")
    for param, values in comparison["params"].items():
        print(f"  {param}: {values['run_1']} vs {values['run_2']}")
    print("\nMetric differences:")
    for metric, values in comparison["metrics"].items():
        diff = values["run_2"] - values["run_1"]
        print(f"  {metric}: {diff:+.4f} ({values['run_1']:.4f} -> {values['run_2']:.4f})")
    assert capsys.readouterr().out.splitlines() == [
        "Parameter differences:",
        "  learning_rate: 0.1 vs 0.01",
        "",
        "Metric differences:",
        "  accuracy: +0.0500 (0.9000 -> 0.9500)",
    ]


@block("Mock Mode / Enabling Mock Mode")
def test_enabling_mock_mode():
    directly = get_mlflow_tracker(experiment_name="test_experiment", mock_mode=True)
    os.environ["MLFLOW_MOCK_MODE"] = "true"
    by_variable = get_mlflow_tracker(experiment_name="test_experiment")

    assert directly.tracking_uri == by_variable.tracking_uri == "mock"
    assert directly.experiment_id == by_variable.experiment_id


@block("Mock Mode / Mock Mode Features", "works as shown; artifacts and registry work too")
def test_mock_mode_features(files):
    tracker = get_mlflow_tracker(experiment_name="test_experiment", mock_mode=True)

    with tracker.start_run("mock_run") as run_id:
        tracker.log_params({"param1": 1})
        tracker.log_metrics({"accuracy": 0.95})
        tracker.log_artifact("model.pkl")

    run = tracker.get_run(run_id)
    assert run["params"] == {"param1": "1"}
    assert run["metrics"] == {"accuracy": 0.95}
    runs = tracker.search_runs()
    assert len(runs) == 1
    assert _artifacts(tracker, run_id) == ["model.pkl"]


@block("Artifact Storage / Local File System")
def test_local_file_system(files):
    tracker = get_mlflow_tracker(experiment_name="local_exp", artifact_location="./mlflow-artifacts")

    with tracker.start_run("artifact_demo") as run_id:
        tracker.log_artifact("model.pkl")
        tracker.log_artifact("metrics.json")
        tracker.log_artifact("plots/confusion_matrix.png")

    assert _artifacts(tracker, run_id) == ["confusion_matrix.png", "metrics.json", "model.pkl"]
    assert (Path("mlflow-artifacts") / run_id / "artifacts" / "model.pkl").read_bytes() == b"content"


@on_a_server
@block("Artifact Storage / AWS S3", "works as shown; run against a server with a folder in place of the bucket")
def test_aws_s3(mlflow_server, files):
    tracker = get_mlflow_tracker(experiment_name="s3_exp", tracking_uri=mlflow_server)

    with tracker.start_run("s3_run") as run_id:
        tracker.log_artifact("large_model.pkl")

    assert _artifacts(tracker, run_id) == ["large_model.pkl"]


@block("Best Practices / 1. Use Descriptive Run Names")
def test_use_descriptive_run_names():
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")

    with tracker.start_run("rf_100est_d10_2024-10-25") as good:
        ...
    with tracker.start_run("run1") as bad:
        ...

    assert [tracker.get_run(run_id)["run_name"] for run_id in (good, bad)] == ["rf_100est_d10_2024-10-25", "run1"]


@block("Best Practices / 2. Tag Runs for Organization")
def test_tag_runs_for_organization():
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")
    tags = {
        "team": "data_science",
        "model_type": "random_forest",
        "dataset": "nba_2024",
        "environment": "production",
    }

    with tracker.start_run("experiment", tags=tags) as run_id:
        ...

    assert tracker.get_run(run_id)["tags"].items() >= tags.items()
    assert [run["run_id"] for run in tracker.search_runs("tags.team = 'data_science'")] == [run_id]


@block("Best Practices / 3. Log All Relevant Information")
def test_log_all_relevant_information(files, iris: SimpleNamespace):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")

    with tracker.start_run("complete_tracking") as run_id:
        tracker.log_params({"python_version": "3.11", "sklearn_version": "1.3.0", "gpu": "NVIDIA A100"})
        tracker.log_params(
            {
                "train_size": len(iris.X_train),
                "test_size": len(iris.X_test),
                "n_features": iris.X_train.shape[1],
            }
        )
        tracker.log_params(iris.model.get_params())
        tracker.log_metrics({"accuracy": 0.9, "precision": 0.8, "recall": 0.7, "f1": 0.75})
        tracker.log_artifact("model.pkl")
        tracker.log_artifact("feature_importance.csv")
        tracker.log_artifact("confusion_matrix.png")

    run = tracker.get_run(run_id)
    assert run["params"]["n_features"] == "4"
    assert run["params"]["n_estimators"] == "2"
    assert len(run["metrics"]) == 4
    assert len(_artifacts(tracker, run_id)) == 3


@block("Best Practices / 4. Use Hierarchical Experiments")
def test_use_hierarchical_experiments():
    names = ("nba/random_forest", "nba/xgboost", "nba/neural_network")

    trackers = [get_mlflow_tracker(experiment_name=name) for name in names]

    for tracker, name in zip(trackers, names, strict=True):
        with tracker.start_run("baseline"):
            tracker.log_param("experiment", name)
        assert [run["params"]["experiment"] for run in tracker.search_runs()] == [name]


@block("Best Practices / 5. Clean Up Old Experiments", "holds no call; `tracker.client.delete_run` is the API it means")
def test_clean_up_old_experiments():
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")
    with pytest.raises(RuntimeError), tracker.start_run("broken"):
        raise RuntimeError("a failed run")

    for run in tracker.search_runs("attributes.status = 'FAILED'"):
        tracker.client.delete_run(run["run_id"])

    assert tracker.search_runs() == []


@block("Troubleshooting / Connection Errors", "works as shown; a server that is not there is said in seconds")
def test_connection_errors():
    tracker = get_mlflow_tracker(mock_mode=True)

    with tracker.start_run() as run_id:
        tracker.log_metric("accuracy", 0.9)
    assert tracker.experiment_name == "Default"
    assert tracker.get_run(run_id)["metrics"] == {"accuracy": 0.9}


@block("Troubleshooting / Slow Artifact Uploads")
def test_slow_artifact_uploads(iris: SimpleNamespace):
    tracker = get_mlflow_tracker(experiment_name="nba_experiments")

    with tracker.start_run() as run_id:
        with gzip.open("model.pkl.gz", "wb") as f:
            pickle.dump(iris.model, f)
        tracker.log_artifact("model.pkl.gz")

    assert _artifacts(tracker, run_id) == ["model.pkl.gz"]


@on_a_server
@block("Example: Production Configuration")
def test_production_configuration(mlflow_server):
    class MLflowConfig:
        TRACKING_URI = os.getenv("MLFLOW_TRACKING_URI", "http://mlflow-prod:5000")
        EXPERIMENT_NAME = os.getenv("MLFLOW_EXPERIMENT_NAME", "nba_production")

        @classmethod
        def get_tracker(cls):
            return get_mlflow_tracker(
                experiment_name=cls.EXPERIMENT_NAME, tracking_uri=cls.TRACKING_URI, mock_mode=False
            )

    tracker = MLflowConfig.get_tracker()

    assert tracker.tracking_uri == mlflow_server
    assert tracker.experiment_name == "nba_production"


def _artifacts(tracker: MlflowTracker, run_id: str) -> list[str]:
    return sorted(file.path for file in tracker.client.list_artifacts(run_id))
