"""Guide 2: MLflow's own API, pointed at the project's store by setup_mlflow_tracking."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.errors import UnsupportedError
from mcp_server.mlflow_integration import get_mlflow_tracker, setup_mlflow_tracking

from .blocks import AS_SHOWN, block

pytestmark = pytest.mark.filterwarnings("ignore:.*Model registry stages:FutureWarning")

FORESTS = "works as shown, but for `mlflow.sklearn.log_model` of a forest: `tracker.log_model`"


@pytest.fixture(autouse=True)
def _set_up(store: str) -> None:
    setup_mlflow_tracking()


@block("Basic Usage Patterns / 1. Simple Tracking", FORESTS)
def test_simple_tracking(iris: SimpleNamespace, forests_may_be_refused):
    import mlflow
    import mlflow.sklearn
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import accuracy_score

    with mlflow.start_run() as run:
        mlflow.log_param("n_estimators", 3)
        mlflow.log_param("max_depth", 10)
        model = RandomForestClassifier(n_estimators=3, max_depth=10)
        model.fit(iris.X_train, iris.y_train)
        accuracy = accuracy_score(iris.y_test, model.predict(iris.X_test))
        mlflow.log_metric("accuracy", accuracy)
        with forests_may_be_refused():
            mlflow.sklearn.log_model(model, "model")
        info = get_mlflow_tracker().log_model(model, "model", run_id=run.info.run_id)

    loaded = mlflow.sklearn.load_model(info.model_uri)
    assert list(loaded.predict(iris.X_test)) == list(model.predict(iris.X_test))
    assert get_mlflow_tracker().get_run(run.info.run_id)["metrics"] == {"accuracy": accuracy}


@block("Basic Usage Patterns / 2. Experiment Management")
def test_experiment_management():
    import mlflow

    for _ in range(2):
        experiment_name = "iris-classification"
        experiment = mlflow.get_experiment_by_name(experiment_name)
        if experiment is None:  # noqa: SIM108 - as the guide has it
            experiment_id = mlflow.create_experiment(experiment_name)
        else:
            experiment_id = experiment.experiment_id
        mlflow.set_experiment(experiment_name)

    assert get_mlflow_tracker("iris-classification").experiment_id == experiment_id


@block(
    "Basic Usage Patterns / 3. Hyperparameter Tuning", "works as shown with the tracker: nested runs, one model each"
)
def test_hyperparameter_tuning(iris: SimpleNamespace):
    from sklearn.ensemble import RandomForestClassifier

    param_grid = {"n_estimators": [1, 2], "max_depth": [2, 3]}
    tracker = get_mlflow_tracker("sweep")

    with tracker.start_run("hyperparameter_tuning") as parent:
        for n_est, depth in product(param_grid["n_estimators"], param_grid["max_depth"]):
            with tracker.start_run(nested=True):
                tracker.log_params({"n_estimators": n_est, "max_depth": depth})
                model = RandomForestClassifier(n_estimators=n_est, max_depth=depth, random_state=0)
                model.fit(iris.X_train, iris.y_train)
                tracker.log_metric("accuracy", model.score(iris.X_test, iris.y_test))
                tracker.log_model(model, "model")

    children = tracker.search_runs(f"tags.mlflow.parentRunId = '{parent}'", order_by=["metrics.accuracy DESC"])
    assert len(children) == 4
    assert tracker.register_model(f"runs:/{children[0]['run_id']}/model", "best").run_id == children[0]["run_id"]


@block("Basic Usage Patterns / 4. Model Registration", FORESTS)
def test_model_registration(iris: SimpleNamespace, forests_may_be_refused):
    import mlflow

    with mlflow.start_run() as run:
        with forests_may_be_refused():
            mlflow.sklearn.log_model(iris.model, "model")
        run_id = run.info.run_id
        get_mlflow_tracker().log_model(iris.model, "model", registered_model_name="iris_classifier", run_id=run_id)

    model_uri = f"runs:/{run_id}/model"
    version = mlflow.register_model(model_uri, "iris_classifier")

    assert str(version.version) == "2"


@block("Basic Usage Patterns / 5. Model Versioning and Staging", "works as shown; MLflow's replacement is an alias")
def test_model_versioning_and_staging(iris_classifier):
    from mlflow.tracking import MlflowClient

    client = MlflowClient()

    client.transition_model_version_stage(name="iris_classifier", version=1, stage="Staging")
    client.transition_model_version_stage(name="iris_classifier", version=1, stage="Production")

    assert client.get_model_version("iris_classifier", "1").current_stage == "Production"


@block(
    "Advanced Features / 1. Custom Metrics and Artifacts", "works as shown; drawn with matplotlib instead of seaborn"
)
def test_custom_metrics_and_artifacts(iris: SimpleNamespace):
    import matplotlib
    import mlflow
    from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    with mlflow.start_run() as run:
        cm = confusion_matrix(iris.y_test, iris.y_pred)
        plt.figure(figsize=(2, 2))
        plt.imshow(cm)
        plt.title("Confusion Matrix")
        plt.savefig("confusion_matrix.png")
        plt.close()
        mlflow.log_artifact("confusion_matrix.png")
        mlflow.log_metrics(
            {
                "precision": precision_score(iris.y_test, iris.y_pred, average="weighted", zero_division=0),
                "recall": recall_score(iris.y_test, iris.y_pred, average="weighted"),
                "f1": f1_score(iris.y_test, iris.y_pred, average="weighted"),
            }
        )

    tracker = get_mlflow_tracker()
    assert tracker.get_run(run.info.run_id)["metrics"].keys() == {"precision", "recall", "f1"}
    assert [file.path for file in tracker.client.list_artifacts(run.info.run_id)] == ["confusion_matrix.png"]


@block("Advanced Features / 2. Autologging", "works as shown; inside `tracker.start_run` it logs into that run")
def test_autologging(iris: SimpleNamespace):
    import mlflow
    from sklearn.ensemble import RandomForestClassifier

    tracker = get_mlflow_tracker("autologging")
    mlflow.sklearn.autolog()
    try:
        with tracker.start_run("autologged") as run_id:
            model = RandomForestClassifier(n_estimators=2)
            model.fit(iris.X_train, iris.y_train)
    finally:
        mlflow.sklearn.autolog(disable=True)

    [run] = tracker.search_runs()
    assert run["run_id"] == run_id
    assert run["params"]["n_estimators"] == "2"
    assert "training_accuracy_score" in run["metrics"]
    assert tracker.register_model(f"runs:/{run_id}/model", "autologged").run_id == run_id


@block("Best Practices / 1. Experiment Organization")
def test_experiment_organization():
    import mlflow

    mlflow.set_experiment("customer-churn-prediction-v2")
    with mlflow.start_run(run_name="baseline-logistic-regression"):
        pass

    [run] = get_mlflow_tracker("customer-churn-prediction-v2").search_runs()
    assert run["run_name"] == "baseline-logistic-regression"


@block("Best Practices / 2. Consistent Logging")
def test_consistent_logging(iris: SimpleNamespace):
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_param("dataset_size", len(iris.X_train))
        mlflow.log_param("feature_count", iris.X_train.shape[1])
        mlflow.log_param("model_type", "RandomForest")
        mlflow.log_params(iris.model.get_params())
        mlflow.log_metrics({"train_accuracy": 0.9, "test_accuracy": 0.8, "training_time": 1.5})

    record = get_mlflow_tracker().get_run(run.info.run_id)
    assert record["params"].items() >= {"feature_count": "4", "n_estimators": "2"}.items()
    assert len(record["metrics"]) == 3


@block("Best Practices / 3. Artifact Management")
def test_artifact_management(iris: SimpleNamespace):
    import joblib
    import mlflow
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(iris.X_train)
    with mlflow.start_run() as run:
        joblib.dump(scaler, "scaler.pkl")
        mlflow.log_artifact("scaler.pkl")
        with open("features.txt", "w") as f:
            f.write("\n".join(iris.X_train.columns))
        mlflow.log_artifact("features.txt")

    files = get_mlflow_tracker().client.list_artifacts(run.info.run_id)
    assert [file.path for file in files] == ["features.txt", "scaler.pkl"]


@block(
    "Integration Examples / 1. With Jupyter Notebooks",
    "MLflow 3 no longer opens `file:` stores: the error names `mlflow migrate-filestore` and `sqlite:///mlflow.db`",
)
def test_with_jupyter_notebooks():
    with pytest.raises(UnsupportedError, match=r"migrate-filestore .* --target sqlite:///mlflow\.db"):
        get_mlflow_tracker(tracking_uri="file:./mlruns", mock_mode=False)

    tracker = get_mlflow_tracker(tracking_uri="sqlite:///notebook.db", mock_mode=False)
    with tracker.start_run():
        pass
    assert Path("notebook.db").exists()


@block("Integration Examples / 2. With Hyperopt", "works as shown; run with a stand-in for `fmin`")
def test_with_hyperopt():
    import mlflow

    def fmin(fn, space, max_evals):
        """Hyperopt's loop: every set of choices, the one with the least loss."""
        trials = [dict(zip(space, values, strict=True)) for values in product(*space.values())][:max_evals]
        return min(trials, key=lambda params: fn(params)["loss"])

    def objective(params):
        with mlflow.start_run(nested=True):
            mlflow.log_params(params)
            error = abs(params["n_estimators"] - 100) + params["max_depth"]
            mlflow.log_metric("error", error)
            return {"loss": error, "status": "ok"}

    mlflow.set_experiment("hyperopt")
    best = fmin(objective, {"n_estimators": [50, 100, 200], "max_depth": [5, 10, 15]}, max_evals=20)

    tracker = get_mlflow_tracker("hyperopt")
    runs = tracker.search_runs(order_by=["metrics.error ASC"])
    assert len(runs) == 9
    assert runs[0]["params"] == {key: str(value) for key, value in best.items()}


@block("Integration Examples / 3. Production Deployment", AS_SHOWN)
def test_production_deployment(iris_classifier, iris: SimpleNamespace):
    import mlflow.pyfunc

    client = mlflow.MlflowClient()
    client.transition_model_version_stage("iris_classifier", 1, "Production")

    model = mlflow.pyfunc.load_model("models:/iris_classifier/Production")

    assert list(model.predict(iris.X_test)) == list(iris.y_pred)


@pytest.fixture
def iris_classifier(iris: SimpleNamespace, _set_up: None) -> None:
    """The registered model iris_classifier, with one version."""
    tracker = get_mlflow_tracker()
    with tracker.start_run():
        tracker.log_model(iris.model, "model", registered_model_name="iris_classifier")
