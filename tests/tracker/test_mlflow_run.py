"""`mlflow run` with a script that uses a tracker: one run, in the experiment that was asked for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.mlflow_integration import get_mlflow_tracker, setup_mlflow_tracking
from mcp_server.mlflow_integration.tracker.project import project_settings

once = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@once
@pytest.mark.parametrize(
    ("experiment", "script"),
    [
        ("ordered", "get_mlflow_tracker()"),
        ("ordered", "get_mlflow_tracker('of the script')"),
        (None, "get_mlflow_tracker()"),
    ],
)
def test_a_project_with_a_tracker_makes_one_run(experiment: str | None, script: str):
    Path("MLproject").write_text(f"name: one\nentry_points:\n  main:\n    command: {sys.executable} train.py\n")
    Path("train.py").write_text(
        "from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        f"tracker = {script}\n"
        "with tracker.start_run('trained') as run_id:\n"
        "    tracker.log_metric('accuracy', 0.9)\n"
        "assert tracker.search_runs('metrics.accuracy > 0.5')[0]['run_id'] == run_id\n"
    )
    subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local"]
        + (["--experiment-name", experiment] if experiment else []),
        check=True,
        capture_output=True,
        timeout=120,
    )
    tracker = get_mlflow_tracker(experiment)
    [run] = tracker.client.search_runs([found.experiment_id for found in tracker.client.search_experiments()])
    assert run.info.experiment_id == tracker.experiment_id
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("trained", "FINISHED", {"accuracy": 0.9})
    assert run.data.tags["mlflow.source.type"] == "PROJECT"


@once
def test_only_the_first_run_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    run_id = get_mlflow_tracker("a").client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    tracker = get_mlflow_tracker()

    with tracker.start_run() as first, tracker.start_run() as child:
        pass
    with tracker.start_run() as second:
        pass

    assert first == run_id
    assert len({first, child, second}) == 3


@once
def test_ids_of_another_mlflow_are_named_and_left_alone(monkeypatch: pytest.MonkeyPatch, caplog):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")

    tracker = get_mlflow_tracker()
    with caplog.at_level(logging.WARNING), tracker.start_run() as run_id:
        pass

    assert tracker.experiment_name == "Default"
    assert run_id != "0" * 32
    assert "MLFLOW_EXPERIMENT_ID is '77'" in caplog.text and "MLFLOW_RUN_ID" in caplog.text


@once
def test_the_experiment_of_the_environment_comes_before_the_config_file(monkeypatch: pytest.MonkeyPatch):
    Path("config").mkdir()
    Path("config/mlflow.yaml").write_text("mlflow:\n  experiment_name: of_the_file\n")
    setup_mlflow_tracking()
    assert os.environ["MLFLOW_EXPERIMENT_ID"]  # MLflow's own note for child processes is no choice of the user's.
    assert project_settings().experiment_name == "of_the_file"

    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    assert project_settings().experiment_name == ""
    assert get_mlflow_tracker().experiment_name == "Default"
