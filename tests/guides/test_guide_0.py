"""Guide 0: a project with config/mlflow.yaml, one tracker a run, the registry by stage."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.mlflow_integration import (
    MLflowTracker,
    get_latest_model_version,
    get_mlflow_client,
    get_mlflow_tracker,
    list_model_versions,
    list_model_versions_with_stages,
    load_model_from_registry,
    register_model_from_run,
    setup_mlflow_tracking,
    transition_model_stage,
)

from .blocks import block


@pytest.fixture(autouse=True)
def config_file(store: str) -> None:
    """The guide's file for local development; the tests' environment says which MLflow, and wins."""
    Path("config").mkdir()
    Path("config/mlflow.yaml").write_text(
        "mlflow:\n"
        "  tracking_uri: http://127.0.0.1:5000\n"
        "  artifact_location: ./mlflow-artifacts\n"
        "  experiment_name: ncaa_basketball_models\n"
    )


@pytest.fixture
def registered(iris: SimpleNamespace) -> str:
    """Run id of a model with two versions, GamePredictionModel."""
    with MLflowTracker(experiment_name="game_prediction_models") as tracker:
        tracker.log_model(iris.model, artifact_path="models/game_prediction")
        run_id = tracker.run_id
    for _ in range(2):
        register_model_from_run(run_id, "GamePredictionModel", "models/game_prediction")
    return run_id


@block("Setup and Configuration / Initializing MLflow in Code")
def test_initializing_mlflow_in_code():
    setup_mlflow_tracking()

    client = get_mlflow_client()

    experiment = client.get_experiment_by_name("ncaa_basketball_models")
    assert experiment.experiment_id
    assert experiment.artifact_location == str(Path("mlflow-artifacts").absolute())


@block("Experiment Tracking / Tracking Model Training")
def test_tracking_model_training(files, iris: SimpleNamespace):
    mlflow_tracker = MLflowTracker(experiment_name="game_prediction_models", run_name="basic_model_v1")

    with mlflow_tracker:
        mlflow_tracker.log_params(iris.model.get_params())
        mlflow_tracker.log_param("learning_rate", 0.001)
        metrics_history = [{"train_loss": 0.5, "val_loss": 0.6}, {"train_loss": 0.4, "val_loss": 0.5}]
        for epoch, metrics in enumerate(metrics_history):
            mlflow_tracker.log_metrics(metrics, step=epoch)
        mlflow_tracker.log_model(iris.model, "game_prediction_model")
        mlflow_tracker.log_artifact("learning_curves.png")
        run_id = mlflow_tracker.run_id

    run = mlflow_tracker.get_run(run_id)
    assert run["run_name"] == "basic_model_v1"
    assert run["status"] == "FINISHED"
    assert run["metrics"] == {"train_loss": 0.4, "val_loss": 0.5}
    assert run["params"]["learning_rate"] == "0.001"
    assert [point["step"] for point in mlflow_tracker.get_metric_history(run_id, "val_loss")] == [0, 1]
    assert mlflow_tracker.register_model(f"runs:/{run_id}/game_prediction_model", "Game").run_id == run_id


@block("Experiment Tracking / Manual Tracking")
def test_manual_tracking(files):
    import mlflow

    setup_mlflow_tracking()

    mlflow.start_run(run_name="custom_training_run")
    mlflow.log_param("model_type", "ensemble")
    mlflow.log_param("num_models", 3)
    mlflow.log_params({"hidden_size": 64, "dropout": 0.3, "activation": "relu"})
    mlflow.log_metric("train_loss", 0.123)
    mlflow.log_metric("val_loss", 0.145)
    mlflow.log_metrics({"accuracy": 0.89, "precision": 0.92, "recall": 0.87})
    mlflow.log_artifact("feature_importance.png")
    mlflow.end_run()

    tracker = get_mlflow_tracker(experiment_name="ncaa_basketball_models")
    [run] = tracker.search_runs("attributes.run_name = 'custom_training_run'")
    assert len(run["params"]) == 5
    assert len(run["metrics"]) == 5
    assert [file.path for file in tracker.client.list_artifacts(run["run_id"])] == ["feature_importance.png"]


@block(
    "Experiment Tracking / Logging Model Artifacts",
    "MLflow 3 wants an input example and a name without `/`: `tracker.log_model(model, artifact_path=...)` "
    "takes the guide's arguments; needs PyTorch",
)
def test_logging_model_artifacts(files):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    mlflow = pytest.importorskip("mlflow.pytorch").mlflow
    setup_mlflow_tracking()
    tracker = get_mlflow_tracker(experiment_name="ncaa_basketball_models")
    model = torch.nn.Linear(2, 1)

    with mlflow.start_run(run_name="model_logging") as run:
        with pytest.raises(mlflow.MlflowException):
            mlflow.pytorch.log_model(model, artifact_path="models/game_prediction")
        tracker.log_model(
            model,
            artifact_path="models/game_prediction",
            registered_model_name="GamePredictionModel",
            run_id=run.info.run_id,
        )
        mlflow.log_artifact("model_diagram.png", "diagrams")

    loaded = load_model_from_registry("GamePredictionModel", version=1, flavor="pytorch")
    assert torch.equal(loaded.weight, model.weight)
    assert [file.path for file in tracker.client.list_artifacts(run.info.run_id, "diagrams")] == [
        "diagrams/model_diagram.png"
    ]


@block("Model Registry / Registering Models")
def test_registering_models(iris: SimpleNamespace):
    with MLflowTracker("game_prediction_models") as tracker:
        tracker.log_model(iris.model, artifact_path="models/game_prediction")
        run_id = tracker.run_id

    model_version = register_model_from_run(
        run_id=run_id, model_name="GamePredictionModel", model_path="models/game_prediction"
    )

    assert f"{model_version.version}" == "1"
    assert model_version.run_id == run_id


@block("Model Registry / Managing Model Versions")
def test_managing_model_versions(registered: str):
    transition_model_stage("GamePredictionModel", 1, "Production")

    latest_version = get_latest_model_version("GamePredictionModel")
    versions = list_model_versions("GamePredictionModel")
    stage_versions = list_model_versions_with_stages("GamePredictionModel", stages=["Production", "Staging"])

    assert f"{latest_version.version}" == "2"
    assert [(str(version.version), version.current_stage) for version in versions] == [
        ("2", "None"),
        ("1", "Production"),
    ]
    assert [str(version.version) for version in stage_versions] == ["1"]


@block("Model Registry / Transitioning Model Stages", "works as shown; MLflow's replacement is an alias")
def test_transitioning_model_stages(registered: str):
    staged = transition_model_stage(model_name="GamePredictionModel", version=1, stage="Staging")
    promoted = transition_model_stage(model_name="GamePredictionModel", version=1, stage="Production")

    assert (staged.current_stage, promoted.current_stage) == ("Staging", "Production")


@block("Model Registry / Loading Models from Registry", "works as shown; `alias=` is MLflow's replacement for `stage=`")
def test_loading_models_from_registry(registered: str, iris: SimpleNamespace):
    transition_model_stage("GamePredictionModel", 1, "Production")
    get_mlflow_client().set_registered_model_alias("GamePredictionModel", "candidate", "2")

    by_stage = load_model_from_registry(model_name="GamePredictionModel", stage="Production")
    by_version = load_model_from_registry(model_name="GamePredictionModel", version=2)
    by_alias = load_model_from_registry(model_name="GamePredictionModel", alias="candidate")

    for model in (by_stage, by_version, by_alias):
        assert list(model.predict(iris.X_test)) == list(iris.y_pred)


@block(
    "Using MLflow in Scripts / Training Script Integration",
    "works as shown, but for log_model: see above; needs PyTorch",
)
def test_training_script_integration(capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    mlflow = pytest.importorskip("mlflow.pytorch").mlflow

    def main(arguments: list[str]) -> str:
        parser = argparse.ArgumentParser()
        parser.add_argument("--model-type", default="basic")
        parser.add_argument("--experiment-name", default="game_prediction")
        args = parser.parse_args(arguments)

        setup_mlflow_tracking()
        mlflow.set_experiment(args.experiment_name)
        mlflow.pytorch.autolog()

        with mlflow.start_run(run_name=f"{args.model_type}_model"):
            model, metrics = torch.nn.Linear(2, 1), {"accuracy": 0.8, "calibration_error": 0.1}
            mlflow.log_metrics(
                {"test_accuracy": metrics["accuracy"], "calibration_error": metrics["calibration_error"]}
            )
            get_mlflow_tracker(args.experiment_name).log_model(
                model,
                "model",
                registered_model_name=f"{args.model_type.capitalize()}GamePredictionModel",
                run_id=mlflow.active_run().info.run_id,
            )
            print(f"Model trained and registered. Run ID: {mlflow.active_run().info.run_id}")
            return mlflow.active_run().info.run_id

    try:
        run_id = main([])
    finally:
        mlflow.pytorch.autolog(disable=True)

    run = get_mlflow_tracker("game_prediction").get_run(run_id)
    assert run["run_name"] == "basic_model"
    assert run["metrics"] == {"test_accuracy": 0.8, "calibration_error": 0.1}
    assert get_latest_model_version("BasicGamePredictionModel").run_id == run_id
    assert run_id in capsys.readouterr().out


@block("Using MLflow in Scripts / Evaluation Script Integration")
@pytest.mark.parametrize("arguments", [["--model-version", "2"], []], ids=["by version", "by stage"])
def test_evaluation_script_integration(registered: str, iris: SimpleNamespace, files, arguments: list[str]):
    import mlflow

    transition_model_stage("GamePredictionModel", 1, "Production")
    Path("report.html").write_text("good")

    def main() -> str:
        parser = argparse.ArgumentParser()
        parser.add_argument("--model-name", required=True)
        parser.add_argument("--model-version", type=int)
        parser.add_argument("--stage", default="Production")
        args = parser.parse_args(["--model-name", "GamePredictionModel", *arguments])

        if args.model_version:
            model = load_model_from_registry(args.model_name, version=args.model_version)
        else:
            model = load_model_from_registry(args.model_name, stage=args.stage)
        accuracy = float((model.predict(iris.X_test) == iris.y_test).mean())
        evaluation_results = {
            "metrics": {"accuracy": accuracy},
            "plots": ["plots/confusion_matrix.png"],
            "report_path": "report.html",
        }

        setup_mlflow_tracking()
        mlflow.set_experiment("model_evaluation")
        with mlflow.start_run(run_name=f"evaluation_{args.model_name}") as run:
            mlflow.log_param("model_name", args.model_name)
            mlflow.log_param("model_version", args.model_version or "latest")
            mlflow.log_param("stage", args.stage)
            mlflow.log_metrics(evaluation_results["metrics"])
            for plot_path in evaluation_results["plots"]:
                mlflow.log_artifact(plot_path)
            mlflow.log_artifact(evaluation_results["report_path"])
        return run.info.run_id

    run_id = main()

    tracker = get_mlflow_tracker("model_evaluation")
    assert tracker.get_run(run_id)["metrics"]["accuracy"] > 0.5
    assert {file.path for file in tracker.client.list_artifacts(run_id)} == {"confusion_matrix.png", "report.html"}


@block("Troubleshooting / Debug Logging")
def test_debug_logging(caplog):
    logging.getLogger("mlflow").setLevel(logging.DEBUG)
    try:
        with MLflowTracker("debugging") as tracker:
            tracker.log_param("a", 1)
    finally:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    assert tracker.search_runs()[0]["status"] == "FINISHED"
