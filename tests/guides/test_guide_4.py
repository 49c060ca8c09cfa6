"""Guide 4: a reference of MLflow's own API, and marimo dashboards over it."""

from __future__ import annotations

import datetime
import json
from types import SimpleNamespace

import pytest

from mcp_server.mlflow_integration import get_mlflow_client, get_mlflow_tracker, setup_mlflow_tracking

from .blocks import AS_SHOWN, block

pytestmark = pytest.mark.filterwarnings("ignore:.*Model registry stages:FutureWarning")

FORESTS = "works as shown, but for `mlflow.sklearn.log_model` of a forest: `tracker.log_model`"


@pytest.fixture(autouse=True)
def _set_up(store: str) -> None:
    setup_mlflow_tracking()


@pytest.fixture
def production_model(iris: SimpleNamespace, _set_up: None) -> str:
    """Run id of version 1 of my_production_model."""
    tracker = get_mlflow_tracker()
    with tracker.start_run() as run_id:
        tracker.log_model(iris.model, "model", registered_model_name="my_production_model")
    return run_id


@block("Core Concepts / 1. Experiments & Runs", FORESTS)
def test_experiments_and_runs(iris: SimpleNamespace, forests_may_be_refused, capsys):
    import mlflow
    import mlflow.sklearn
    from sklearn.ensemble import RandomForestClassifier

    mlflow.set_experiment("my_classification_model")

    with mlflow.start_run():
        model = RandomForestClassifier(n_estimators=2)
        model.fit(iris.X_train, iris.y_train)
        mlflow.log_param("n_estimators", 2)
        mlflow.log_param("max_depth", 10)
        accuracy = model.score(iris.X_test, iris.y_test)
        mlflow.log_metric("accuracy", accuracy)
        with forests_may_be_refused():
            mlflow.sklearn.log_model(model, "model")
        print(f"Run ID: {mlflow.active_run().info.run_id}")

    [run] = get_mlflow_tracker("my_classification_model").search_runs()
    assert run["metrics"] == {"accuracy": accuracy}
    assert f"Run ID: {run['run_id']}" in capsys.readouterr().out


@block("Core Concepts / 2. Parameters vs. Metrics")
def test_parameters_vs_metrics():
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_param("learning_rate", 0.001)
        mlflow.log_param("batch_size", 32)
        mlflow.log_param("optimizer", "adam")
        mlflow.log_metric("train_loss", 0.342)
        mlflow.log_metric("val_accuracy", 0.92)
        mlflow.log_metric("test_f1", 0.89)

    record = get_mlflow_tracker().get_run(run.info.run_id)
    assert record["params"] == {"learning_rate": "0.001", "batch_size": "32", "optimizer": "adam"}
    assert record["metrics"] == {"train_loss": 0.342, "val_accuracy": 0.92, "test_f1": 0.89}


@block("Core Concepts / 3. Artifacts", FORESTS)
def test_artifacts(iris: SimpleNamespace, files, forests_may_be_refused):
    import matplotlib
    import mlflow

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    with mlflow.start_run() as run:
        with forests_may_be_refused():
            mlflow.sklearn.log_model(iris.model, "model")
        plt.figure()
        plt.plot([1, 2, 3], [1, 2, 3])
        plt.savefig("training_curve.png")
        plt.close()
        mlflow.log_artifact("training_curve.png")
        with open("summary.txt", "w") as f:
            f.write("Model training complete")
        mlflow.log_artifact("summary.txt")
        mlflow.log_artifacts("./plots")

    names = [file.path for file in get_mlflow_tracker().client.list_artifacts(run.info.run_id)]
    assert names == ["confusion_matrix.png", "summary.txt", "training_curve.png"]


@block("Core Concepts / 4. Model Registry", "works as shown; MLflow's replacement of stages is an alias")
def test_model_registry(production_model: str):
    import mlflow
    from mlflow.tracking import MlflowClient

    mlflow.register_model(model_uri=f"runs:/{production_model}/model", name="my_production_model")
    client = MlflowClient()

    client.transition_model_version_stage(name="my_production_model", version=1, stage="Staging")
    client.transition_model_version_stage(name="my_production_model", version=1, stage="Production")

    assert client.get_model_version("my_production_model", "1").current_stage == "Production"
    assert client.get_model_version("my_production_model", "2").current_stage == "None"


@block("Common Patterns / Pattern: Complete ML Workflow with Tracking", FORESTS)
def test_complete_ml_workflow_with_tracking(iris: SimpleNamespace, forests_may_be_refused, capsys):
    import mlflow
    import mlflow.sklearn
    import pandas as pd
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import accuracy_score, precision_score, recall_score
    from sklearn.model_selection import train_test_split

    iris.frame.assign(target=iris.frame.target == 1).to_csv("data.csv", index=False)
    df = pd.read_csv("data.csv")
    features, target = df.drop("target", axis=1), df["target"]
    x_train, x_test, y_train, y_test = train_test_split(features, target, test_size=0.2, random_state=0)
    mlflow.set_experiment("gradient_boosting_experiments")
    params_list = [{"n_estimators": 2, "learning_rate": 0.1}, {"n_estimators": 3, "learning_rate": 0.05}]

    for params in params_list:
        with mlflow.start_run():
            mlflow.log_params(params)
            model = GradientBoostingClassifier(**params)
            model.fit(x_train, y_train)
            y_pred = model.predict(x_test)
            mlflow.log_metric("accuracy", accuracy_score(y_test, y_pred))
            mlflow.log_metric("precision", precision_score(y_test, y_pred, zero_division=0))
            mlflow.log_metric("recall", recall_score(y_test, y_pred))
            with forests_may_be_refused():
                mlflow.sklearn.log_model(model, "model")
            print(f"Logged run with params: {params}")

    runs = get_mlflow_tracker("gradient_boosting_experiments").search_runs()
    assert [run["params"]["n_estimators"] for run in runs] == ["3", "2"]
    assert all(run["metrics"].keys() == {"accuracy", "precision", "recall"} for run in runs)
    assert capsys.readouterr().out.count("Logged run with params") == 2


@block(
    "Common Patterns / Pattern: Deep Learning with PyTorch",
    "works as shown, but `mlflow.pytorch.log_model` wants an input example: `tracker.log_model`; needs PyTorch",
)
def test_deep_learning_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    mlflow = pytest.importorskip("mlflow.pytorch").mlflow
    nn = torch.nn

    class NeuralNet(nn.Module):
        def __init__(self, input_size, hidden_size, output_size):
            super().__init__()
            self.fc1 = nn.Linear(input_size, hidden_size)
            self.relu = nn.ReLU()
            self.fc2 = nn.Linear(hidden_size, output_size)

        def forward(self, x):
            return self.fc2(self.relu(self.fc1(x)))

    train_loader = [(torch.randn(8, 4), torch.randint(0, 2, (8,))) for _ in range(3)]
    mlflow.set_experiment("pytorch_experiments")
    with mlflow.start_run() as run:
        lr, epochs, batch_size = 0.001, 2, 8
        mlflow.log_params({"learning_rate": lr, "epochs": epochs, "batch_size": batch_size})
        model = NeuralNet(4, 8, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        criterion = nn.CrossEntropyLoss()
        for epoch in range(epochs):
            for batch_idx, (data, target) in enumerate(train_loader):
                optimizer.zero_grad()
                loss = criterion(model(data), target)
                loss.backward()
                optimizer.step()
                if batch_idx % 2 == 0:
                    mlflow.log_metric("loss", loss.item(), step=epoch * len(train_loader) + batch_idx)
        tracker = get_mlflow_tracker("pytorch_experiments")
        info = tracker.log_model(model, "model", run_id=run.info.run_id)

    assert [point["step"] for point in tracker.get_metric_history(run.info.run_id, "loss")] == [0, 2, 3, 5]
    example = torch.ones(1, 4)
    assert torch.equal(mlflow.pytorch.load_model(info.model_uri)(example), model(example))


@block("Common Patterns / Pattern: Hyperparameter Tuning with Tracking", FORESTS)
def test_hyperparameter_tuning_with_tracking(iris: SimpleNamespace, forests_may_be_refused):
    import mlflow
    import mlflow.sklearn
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    mlflow.set_experiment("hyperparameter_tuning")
    param_grid = {"n_estimators": [1, 2], "max_depth": [2, 3]}
    grid_search = GridSearchCV(RandomForestClassifier(random_state=42), param_grid, cv=2)

    with mlflow.start_run() as run:
        grid_search.fit(iris.X_train, iris.y_train)
        mlflow.log_params(grid_search.best_params_)
        mlflow.log_metric("best_cv_score", grid_search.best_score_)
        mlflow.log_metric("test_accuracy", grid_search.score(iris.X_test, iris.y_test))
        with forests_may_be_refused():
            mlflow.sklearn.log_model(grid_search.best_estimator_, "best_model")

    tracker = get_mlflow_tracker("hyperparameter_tuning")
    tracker.log_model(grid_search.best_estimator_, "best_model", run_id=run.info.run_id)
    record = tracker.get_run(run.info.run_id)
    assert record["params"] == {key: str(value) for key, value in grid_search.best_params_.items()}
    assert tracker.register_model(f"runs:/{run.info.run_id}/best_model", "best").run_id == run.info.run_id


@block("Common Patterns / Pattern: Tracking with Custom Metrics")
def test_tracking_with_custom_metrics(iris: SimpleNamespace):
    import mlflow
    from sklearn.metrics import classification_report, confusion_matrix

    y_test, y_pred = iris.y_test == 1, iris.y_pred == 1
    mlflow.set_experiment("custom_metrics")
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.95)
        cm = confusion_matrix(y_test, y_pred)
        mlflow.log_metric("tn", cm[0, 0])
        mlflow.log_metric("fp", cm[0, 1])
        mlflow.log_metric("fn", cm[1, 0])
        mlflow.log_metric("tp", cm[1, 1])
        mlflow.log_metric("specificity", cm[0, 0] / (cm[0, 0] + cm[0, 1]))
        mlflow.log_metric("sensitivity", cm[1, 1] / (cm[1, 1] + cm[1, 0]))
        report = classification_report(y_test, y_pred, output_dict=True, zero_division=0)
        with open("classification_report.json", "w") as f:
            json.dump(report, f, indent=2)
        mlflow.log_artifact("classification_report.json")

    metrics = get_mlflow_tracker("custom_metrics").get_run(run.info.run_id)["metrics"]
    assert sum(metrics[key] for key in ("tn", "fp", "fn", "tp")) == len(y_test)


@block(
    "Common Patterns / Pattern: Model Serving & Loading",
    "works as shown; MLflow's replacement is `models:/my_model@alias`",
)
def test_model_serving_and_loading(production_model: str, iris: SimpleNamespace):
    import mlflow

    get_mlflow_client().transition_model_version_stage("my_production_model", 1, "Production")

    for uri in ("models:/my_production_model/Production", f"runs:/{production_model}/model"):
        model = mlflow.pyfunc.load_model(uri)
        assert list(model.predict(iris.X_test)) == list(iris.y_pred)


@block(
    "Integration with Marimo / Pattern: Interactive MLflow Dashboard in Marimo",
    "works as shown; run without marimo, the row picked by its number (the guide reads it from a run id)",
)
def test_interactive_mlflow_dashboard_in_marimo():
    import mlflow
    import pandas as pd

    tracker = get_mlflow_tracker("my_experiment")
    with tracker.start_run():
        tracker.log_param("model_type", "cnn")
        tracker.log_metric("accuracy", 0.9)

    experiment = mlflow.get_experiment_by_name("my_experiment")
    runs = mlflow.search_runs(experiment_ids=[experiment.experiment_id])
    labels = [f"{row['run_id'][:8]} - {row['params.model_type']}" for _, row in runs.iterrows()]
    run = mlflow.get_run(runs.iloc[0]["run_id"])
    metrics_df = pd.DataFrame([{"metric": k, "value": v} for k, v in run.data.metrics.items()])

    assert labels == [f"{run.info.run_id[:8]} - cnn"]
    assert run.info.end_time - run.info.start_time >= 0
    assert metrics_df.to_dict("list") == {"metric": ["accuracy"], "value": [0.9]}


@block(
    "Integration with Marimo / Pattern: Real-time Metric Tracking in Marimo", "works as shown; the state is a list here"
)
def test_real_time_metric_tracking_in_marimo():
    import mlflow

    shown: list[str] = []
    losses: list[float] = []
    mlflow.set_experiment("live_training")
    with mlflow.start_run() as run:
        for epoch in range(10):
            loss = 1 / (epoch + 1)
            losses.append(loss)
            mlflow.log_metric("loss", loss, step=epoch)
            shown.append(f"Epoch: {epoch + 1}/10, loss {losses[-1]:.4f}")

    history = get_mlflow_tracker("live_training").get_metric_history(run.info.run_id, "loss")
    assert [point["value"] for point in history] == losses
    assert shown[-1] == "Epoch: 10/10, loss 0.1000"


@block(
    "Integration with Marimo / Pattern: Experiment Comparison Dashboard",
    "works as shown; the frame is also `tracker.search_runs(output_format='pandas')`",
)
@pytest.mark.parametrize("read_by", ["mlflow", "tracker"])
def test_experiment_comparison_dashboard(read_by: str):
    import mlflow
    import pandas as pd

    tracker = get_mlflow_tracker("my_experiment")
    for model_type, accuracy in (("mlp", 0.8), ("cnn", 0.9)):
        with tracker.start_run():
            tracker.log_param("model_type", model_type)
            tracker.log_metric("accuracy", accuracy)

    if read_by == "mlflow":
        experiment = mlflow.get_experiment_by_name("my_experiment")
        runs = mlflow.search_runs(experiment_ids=[experiment.experiment_id])
    else:
        runs = tracker.search_runs(output_format="pandas")
    comparison_data = []
    for _, row in runs.iterrows():
        comparison_data.append(
            {
                "Run ID": row["run_id"][:8],
                "Status": row["status"],
                "Accuracy": row.get("metrics.accuracy", "-"),
                "Loss": row.get("metrics.loss", "-"),
                "Model Type": row.get("params.model_type", "-"),
            }
        )
    comparison = pd.DataFrame(comparison_data).drop(columns="Run ID").to_dict("list")
    best_run = runs.loc[runs["metrics.accuracy"].idxmax()]

    assert comparison == {
        "Status": ["FINISHED", "FINISHED"],
        "Accuracy": [0.9, 0.8],
        "Loss": ["-", "-"],
        "Model Type": ["cnn", "mlp"],
    }
    assert f"(accuracy: {best_run['metrics.accuracy']:.4f})" == "(accuracy: 0.9000)"


@block("Best Practices / ✅ DO: Use Experiments for Organization")
def test_use_experiments_for_organization():
    import mlflow

    date = datetime.date.today().isoformat()
    for name in ("production/classification_v2", f"exp/{date}/hyperparameter_search"):
        experiment = mlflow.set_experiment(name)
        assert get_mlflow_tracker(name).experiment_id == experiment.experiment_id


@block("Best Practices / ✅ DO: Log Both Parameters and Metrics")
def test_log_both_parameters_and_metrics():
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_params({"hidden": 8})
        for epoch in range(10):
            mlflow.log_metric("train_loss", 1 / (epoch + 1), step=epoch)
            mlflow.log_metric("val_loss", 2 / (epoch + 1), step=epoch)
        mlflow.log_metrics({"test_accuracy": 0.9})

    metrics = get_mlflow_tracker().get_run(run.info.run_id)["metrics"]
    assert metrics == {"train_loss": 0.1, "val_loss": 0.2, "test_accuracy": 0.9}


@block("Best Practices / ✅ DO: Use Context Manager for Automatic Cleanup")
def test_use_context_manager_for_automatic_cleanup():
    import mlflow

    with mlflow.start_run() as run:
        pass

    assert get_mlflow_tracker().get_run(run.info.run_id)["status"] == "FINISHED"


@block(
    "Best Practices / ❌ DON'T: Log Too Many Metrics",
    "what it warns of is no longer slow: `start_run(..., buffer_metrics=True)`",
)
def test_log_too_many_metrics():
    tracker = get_mlflow_tracker()

    with tracker.start_run(buffer_metrics=True) as run_id:
        for i in range(1_000):
            tracker.log_metric("internal_state_" + str(i), i)
        for i in range(1_000):
            if i % 100 == 0:
                tracker.log_metric("loss", 1 / (i + 1), step=i)

    assert len(tracker.get_run(run_id)["metrics"]) == 1_001
    assert len(tracker.get_metric_history(run_id, "loss")) == 10


@block("Best Practices / ✅ DO: Version Your Data & Code")
def test_version_your_data_and_code(files):
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_param("data_version", "2.1.0")
        mlflow.log_param("training_script_version", "v3.2")
        mlflow.log_artifact("requirements.txt")

    assert get_mlflow_tracker().get_run(run.info.run_id)["params"]["data_version"] == "2.1.0"


@block(
    "Best Practices / ✅ DO: Use Model Registry for Production Models",
    "works as shown; MLflow's replacement of stages is an alias",
)
def test_use_model_registry_for_production_models(production_model: str):
    import mlflow

    mlflow.register_model(model_uri=f"runs:/{production_model}/model", name="prod_model")
    client = mlflow.tracking.MlflowClient()
    client.transition_model_version_stage(name="prod_model", version=1, stage="Production")

    assert client.get_model_version("prod_model", "1").current_stage == "Production"


@block("API Reference - Quick Lookup / Experiment Management")
def test_experiment_management():
    import mlflow

    mlflow.set_experiment("experiment_name")
    created = mlflow.create_experiment("name", artifact_location="./path")

    assert mlflow.get_experiment_by_name("name").experiment_id == created
    assert {experiment.name for experiment in mlflow.search_experiments()} == {"Default", "experiment_name", "name"}


@block("API Reference - Quick Lookup / Run Management")
def test_run_management():
    import mlflow

    mlflow.start_run()
    run_id = mlflow.active_run().info.run_id
    mlflow.end_run()

    assert list(mlflow.search_runs()["run_id"]) == [run_id]
    assert mlflow.get_run(run_id).info.status == "FINISHED"


@block("API Reference - Quick Lookup / Logging")
def test_logging(files):
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_param("key", "value")
        mlflow.log_params({"a": 1, "b": 2})
        mlflow.log_metric("m", 0.5, step=None)
        mlflow.log_metrics({"n": 1, "o": 2})
        mlflow.log_artifact("model.pkl")
        mlflow.log_artifacts("plots")

    record = get_mlflow_tracker().get_run(run.info.run_id)
    assert (len(record["params"]), len(record["metrics"])) == (3, 3)


@block(
    "API Reference - Quick Lookup / Model Logging (Framework-specific)",
    "`tracker.log_model` chooses the flavor; those of frameworks that are not installed are skipped",
)
@pytest.mark.parametrize("framework", ["sklearn", "torch", "tensorflow", "xgboost", "pyfunc"])
def test_model_logging(framework: str, iris: SimpleNamespace):
    if framework != "pyfunc":
        pytest.importorskip(framework, reason=f"{framework} is not installed; its flavor was not tried")
    model = _model_of(framework, iris)
    tracker = get_mlflow_tracker()

    with tracker.start_run() as run_id:
        info = tracker.log_model(model, "model")

    flavor = {"torch": "pytorch", "pyfunc": "python_function"}.get(framework, framework)
    assert flavor in info.flavors
    assert tracker.register_model(f"runs:/{run_id}/model", "any").run_id == run_id


def _model_of(framework: str, iris: SimpleNamespace):
    if framework == "torch":
        import torch

        return torch.nn.Linear(2, 1)
    if framework == "tensorflow":
        import tensorflow

        return tensorflow.keras.Sequential([tensorflow.keras.layers.Input((2,)), tensorflow.keras.layers.Dense(1)])
    if framework == "xgboost":
        import xgboost

        return xgboost.XGBClassifier(n_estimators=2).fit(iris.X_train, iris.y_train)
    if framework == "pyfunc":
        return lambda model_input: model_input
    return iris.model


@block(
    "API Reference - Quick Lookup / Model Registry",
    "works as shown; `client.get_registered_model`, as fluent MLflow has none",
)
def test_model_registry_reference(production_model: str, iris: SimpleNamespace):
    import mlflow

    client = get_mlflow_client()

    version = mlflow.register_model(f"runs:/{production_model}/model", "name")
    client.transition_model_version_stage("name", version.version, "Staging")

    assert client.get_registered_model("name").latest_versions[0].current_stage == "Staging"
    model = mlflow.pyfunc.load_model(f"models:/name/{version.version}")
    assert list(model.predict(iris.X_test)) == list(iris.y_pred)


@block("Common Issues & Solutions / Issue: Metrics Not Showing in UI")
def test_metrics_not_showing_in_ui():
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.95)

    assert get_mlflow_tracker().get_run(run.info.run_id)["metrics"] == {"accuracy": 0.95}


@block("Common Issues & Solutions / Issue: Model Can't Be Loaded", AS_SHOWN)
def test_model_cannot_be_loaded():
    import mlflow
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0], [1]], [0, 1])
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(model, "model")

    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert list(loaded.predict([[0], [1]])) == [0, 1]
