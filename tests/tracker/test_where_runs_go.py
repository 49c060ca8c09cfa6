"""Which MLflow a script logs to when nobody said, and what the rest of the process, the server and the command find."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.errors import InvalidInputError, PermissionDeniedError
from mcp_server.mlflow_integration import (
    MLflowTracker,
    get_mlflow_client,
    get_mlflow_tracker,
    list_model_versions,
    load_model_from_registry,
    setup_mlflow_tracking,
)
from mcp_server.mlflow_integration.locate import locate
from mcp_server.mlflow_integration.tracker import active_run, store
from mcp_server.settings import Settings

once = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
on_a_server = pytest.mark.parametrize("store", ["server"], indirect=True)


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder, and no setting at all."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_MCP_DATA_DIR", str(tmp_path / "private"))
    monkeypatch.setattr(store, "_announced", set())
    monkeypatch.setattr(active_run, "_pointed_at", None)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    return working


@once
def test_an_unconfigured_tracker_uses_mlflows_own_default_and_says_so_once(unconfigured: Path, caplog):
    uri = f"sqlite:///{unconfigured}/mlflow.db"

    for _ in range(2):
        tracker = get_mlflow_tracker("somewhere")

    assert tracker.client.tracking_uri == uri
    lines = [record.getMessage() for record in caplog.records if uri in record.getMessage()]
    assert lines == [f"Runs are logged to {uri}: no tracking URI is set, and this is MLflow's own default here."]
    with tracker.start_run() as run_id:
        tracker.log_text("a", "a.txt")
    assert tracker.get_run(run_id)["artifact_uri"].startswith(str(unconfigured / "mlruns"))
    # Whoever comes later finds the same: the server, the command, plain MLflow.
    assert locate(Settings.load()).tracking_uri == uri
    plain = "import mlflow; print(mlflow.search_runs(search_all_experiments=True, output_format='list')[0].info.run_id)"
    assert _printed([sys.executable, "-c", plain]) == run_id
    shown = _printed([sys.executable, "-m", "mcp_server", "check"])
    assert uri in shown and "2 experiments" in shown


@once
def test_a_store_that_was_chosen_is_named_on_demand_only(caplog, monkeypatch):
    monkeypatch.setattr(store, "_announced", set())
    with caplog.at_level(logging.INFO):
        get_mlflow_tracker()
    [line] = [record for record in caplog.records if "Runs are logged" in record.getMessage()]
    assert line.levelno == logging.INFO


@once
def test_a_script_in_a_folder_that_it_may_not_write_gets_the_private_store(unconfigured: Path, monkeypatch):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != unconfigured and real(path, mode))

    tracker = get_mlflow_tracker()

    assert tracker.tracking_uri == f"sqlite:///{unconfigured.parent}/private/mlflow.db"


@once
@pytest.mark.parametrize(
    ("name", "content", "is_project"),
    [
        ("pyproject.toml", 'dependencies = ["mlflow>=3"]', True),
        ("requirements-train.txt", "mlflow==3.17\n", True),
        ("MLproject", "name: churn", True),
        ("config/mlflow.yaml", "mlflow: {}", True),
        ("pyproject.toml", 'dependencies = ["django"]', False),
        ("requirements.txt", "notmlflowish\n", False),
        (".git/config", "", False),
    ],
)
def test_a_server_uses_the_working_folder_of_an_mlflow_project_only(unconfigured, name, content, is_project):
    (unconfigured / name).parent.mkdir(exist_ok=True)
    (unconfigured / name).write_text(content)

    location = locate(Settings.load())

    assert (
        location.tracking_uri
        == f"sqlite:///{unconfigured if is_project else unconfigured.parent / 'private'}/mlflow.db"
    )
    assert list(unconfigured.glob("mlflow.db")) == []


@once
@pytest.mark.parametrize("way", [get_mlflow_client, MLflowTracker, lambda: _expect_no_model(list_model_versions)])
def test_the_project_functions_point_mlflow_at_the_projects_store(unconfigured: Path, way):
    import mlflow

    Path("config").mkdir()
    Path("config/mlflow.yaml").write_text("mlflow:\n  tracking_uri: sqlite:///elsewhere.db\n")

    way()

    with mlflow.start_run() as run:
        pass
    assert _runs_in(unconfigured / "elsewhere.db") == [run.info.run_id]
    assert not (unconfigured / "mlflow.db").exists()


@pytest.mark.parametrize("store", ["mock"], indirect=True)
def test_in_mock_mode_nothing_goes_elsewhere(tmp_path: Path, monkeypatch):
    """An address in the environment is for the day when mock mode is off."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///real.db")
    client = get_mlflow_client()

    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.9)

    assert client.get_run(run.info.run_id).data.metrics == {"accuracy": 0.9}
    assert list(tmp_path.glob("*.db")) == []


@once
def test_an_address_that_the_script_set_itself_stays(unconfigured: Path):
    import mlflow

    mlflow.set_tracking_uri("sqlite:///own.db")

    tracker = MLflowTracker()

    assert mlflow.get_tracking_uri() == "sqlite:///own.db"
    assert tracker.tracking_uri == f"sqlite:///{unconfigured}/own.db"


@once
def test_inside_a_run_the_pointing_waits_for_its_end(unconfigured: Path):
    import mlflow

    with get_mlflow_tracker(tracking_uri="sqlite:///one.db").start_run():
        get_mlflow_client()
        assert mlflow.get_tracking_uri().endswith("one.db")
    assert mlflow.get_tracking_uri() == f"sqlite:///{unconfigured}/mlflow.db"


@once
def test_an_experiment_that_nobody_configured_is_made_when_it_is_asked_for(unconfigured: Path, caplog):
    setup_mlflow_tracking()

    experiment = get_mlflow_client().get_experiment_by_name("ncaa_basketball_models")

    assert experiment.experiment_id
    assert "'ncaa_basketball_models' is missing and is created" in caplog.text


@once
def test_where_an_experiment_is_configured_another_one_is_not_made(monkeypatch):
    """A script that asks whether an experiment exists gets MLflow's answer."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "churn")
    assert get_mlflow_client().get_experiment_by_name("typo") is None


@once
def test_the_modules_have_the_names_of_the_guide():
    from mcp_server.mlflow_integration import registry, tracking

    Path("src/models/mlflow").mkdir(parents=True)
    for name in ("tracking", "registry"):
        Path(f"src/models/mlflow/{name}.py").write_text(f"from mcp_server.mlflow_integration.{name} import *\n")
    shown = _printed(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, '')\n"
            "from src.models.mlflow import registry, tracking\n"
            "print(*sorted(name for name in {*vars(registry), *vars(tracking)} if not name.startswith('_')))",
        ]
    )
    assert shown.split() == sorted({*registry.__all__, *tracking.__all__})


@on_a_server
def test_a_host_name_that_the_server_refuses_is_explained(mlflow_server: str):
    """/health answers to every name: the tracker asks where the name is checked."""
    address = mlflow_server.replace("127.0.0.1", "127.1")
    sentence = f'mlflow server --allowed-hosts "{address.removeprefix("http://")},localhost:*"'

    with pytest.raises(PermissionDeniedError, match="Invalid Host header") as raised:
        get_mlflow_tracker(tracking_uri=address)
    assert sentence in str(raised.value)
    checked = _finished([sys.executable, "-m", "mcp_server", "check", "--tracking-uri", address])
    assert checked.returncode == 1
    assert sentence in checked.stdout


@once
def test_the_native_model_is_loaded_on_request(iris: SimpleNamespace):
    with MLflowTracker("games") as tracker:
        tracker.log_model(iris.model, "model", registered_model_name="games")
        tracker.log_model(sorted, "sorter", registered_model_name="sorter")

    assert type(load_model_from_registry("games", flavor="native")) is type(iris.model)
    assert type(load_model_from_registry("games", flavor="sklearn")) is type(iris.model)
    assert type(load_model_from_registry("games")).__name__ == "PyFuncModel"
    with pytest.raises(InvalidInputError, match="flavor='pyfunc'"):
        load_model_from_registry("sorter", flavor="native")


def _expect_no_model(ask) -> None:
    from mcp_server.errors import NotFoundError

    with pytest.raises(NotFoundError):
        ask("none")


def _runs_in(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [run_id for (run_id,) in connection.execute("select run_uuid from runs")]


def _finished(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _printed(command: list[str]) -> str:
    finished = _finished(command)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()
