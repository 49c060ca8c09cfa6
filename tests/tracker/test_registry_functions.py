"""The registry by stage, version or alias, and a project's config/mlflow.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.errors import InvalidInputError, NotFoundError, SettingsError
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

everywhere = pytest.mark.parametrize("store", ["mock", "sqlite", "server"], indirect=True)
once = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def churn(iris: SimpleNamespace, name, store) -> str:
    """A registered model with three versions."""
    model_name = name("churn")
    tracker = get_mlflow_tracker()
    with tracker.start_run() as run_id:
        tracker.log_model(iris.model, pip_requirements=["scikit-learn"])
    for _ in range(3):
        register_model_from_run(run_id, model_name)
    return model_name


@everywhere
def test_stages_are_set_read_and_loaded(churn: str, iris: SimpleNamespace):
    transition_model_stage(churn, 1, "production")
    transition_model_stage(churn, 2, "Production", archive_existing_versions=True)
    transition_model_stage(churn, 3, "Staging")

    assert _stages(churn) == {"1": "Archived", "2": "Production", "3": "Staging"}
    assert [str(found.version) for found in list_model_versions_with_stages(churn, ["Staging", "Production"])] == [
        "3",
        "2",
    ]
    assert str(get_latest_model_version(churn).version) == "3"
    loaded = load_model_from_registry(churn, stage="Production", flavor="sklearn")
    assert list(loaded.predict(iris.X_test)) == list(iris.y_pred)


@once
def test_who_was_made_champion_is_in_production_for_a_script_that_knows_stages(churn: str):
    client = get_mlflow_client()
    client.set_registered_model_alias(churn, "champion", "2")
    client.set_registered_model_alias(churn, "challenger", "3")

    assert _stages(churn) == {"1": "None", "2": "Production", "3": "Staging"}
    assert load_model_from_registry(churn, stage="Production")

    transition_model_stage(churn, 1, "Production")
    assert _stages(churn)["1"] == "Production", "a version in the stage itself comes first"
    assert _stages(churn)["2"] == "None"


@once
def test_a_registry_without_stages_gets_aliases(churn: str, monkeypatch):
    import mlflow

    def gone(*_: object, **__: object) -> None:
        raise mlflow.MlflowException("no such endpoint", error_code=_endpoint_not_found())

    monkeypatch.setattr(mlflow.MlflowClient, "transition_model_version_stage", gone)

    assert transition_model_stage(churn, 1, "Production").aliases == ["champion"]
    assert transition_model_stage(churn, 2, "Production").current_stage == "Production"
    assert transition_model_stage(churn, 3, "Staging").aliases == ["challenger"]
    assert _stages(churn) == {"1": "None", "2": "Production", "3": "Staging"}
    transition_model_stage(churn, 3, "Production")
    assert {**get_mlflow_client().get_registered_model(churn).aliases} == {"champion": 3}
    transition_model_stage(churn, 3, "Archived")
    assert get_mlflow_client().get_registered_model(churn).aliases == {}


@once
def test_what_does_not_exist_is_said_with_what_does(churn: str):
    with pytest.raises(NotFoundError, match=f"No registered model '{churn[:-1]}'. Closest: {churn}"):
        list_model_versions(churn[:-1])
    with pytest.raises(NotFoundError, match="no version in stage Production"):
        load_model_from_registry(churn, stage="Production")
    with pytest.raises(InvalidInputError, match=r"'Prod' is not a stage.*Closest: Production"):
        transition_model_stage(churn, 1, "Prod")
    with pytest.raises(InvalidInputError, match="Give one of stage, version and alias"):
        load_model_from_registry(churn, stage="Production", version=1)
    with pytest.raises(NotFoundError, match="has no model 'other'"):
        register_model_from_run(get_latest_model_version(churn).run_id, churn, "other")
    assert load_model_from_registry(churn), "the newest version, when none is named"


@once
def test_the_file_of_the_project_counts_where_the_environment_says_nothing(tmp_path: Path):
    del os.environ["MLFLOW_TRACKING_URI"]
    _configure("tracking_uri: sqlite:///project.db", "experiment_name: from_file", "artifact_location: ./kept")

    with MLflowTracker(run_name="one") as tracker:
        tracker.log_text("a", "a.txt")
        run_id = tracker.run_id
    setup_mlflow_tracking()
    import mlflow

    assert (tmp_path / "project.db").exists()
    assert (tmp_path / "kept" / run_id / "artifacts" / "a.txt").exists()
    assert list(mlflow.search_runs()["run_id"]) == [run_id]
    assert get_mlflow_client().get_experiment_by_name("from_file") is not None


@once
def test_the_environment_wins_over_the_file(tmp_path: Path):
    _configure("tracking_uri: sqlite:///project.db", "experiment_name: from_file")

    with MLflowTracker():
        pass

    assert (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "project.db").exists()


@once
def test_a_registry_elsewhere_is_used(iris: SimpleNamespace, mlflow_server: str, tmp_path: Path, name):
    """The guide's file for local development: a server for runs, a database for models."""
    del os.environ["MLFLOW_TRACKING_URI"]
    _configure(f"tracking_uri: {mlflow_server}", "registry_uri: sqlite:///registry.db", f"experiment_name: {name('x')}")

    with MLflowTracker() as tracker:
        tracker.log_model(iris.model, pip_requirements=["scikit-learn"])
        run_id = tracker.run_id
    register_model_from_run(run_id, "churn")

    assert (tmp_path / "registry.db").exists()
    assert list(load_model_from_registry("churn", version=1).predict(iris.X_test)) == list(iris.y_pred)


@once
@pytest.mark.parametrize("text", ["mlflow: [", "mlflow: 3", "other: {}", ""])
def test_a_file_that_cannot_be_used_is_named(text: str):
    Path("config").mkdir()
    Path("config/mlflow.yaml").write_text(text)

    with pytest.raises(SettingsError, match=r"config/mlflow\.yaml"):
        setup_mlflow_tracking()


def _stages(name: str) -> dict[str, str]:
    return {str(version.version): version.current_stage for version in list_model_versions(name)}


def _configure(*lines: str) -> None:
    Path("config").mkdir()
    Path("config/mlflow.yaml").write_text("mlflow:\n" + "".join(f"  {line}\n" for line in lines))


def _endpoint_not_found() -> int:
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    return ENDPOINT_NOT_FOUND
