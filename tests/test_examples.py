"""Each example as a person runs it: a process of its own, in a new folder."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_server.mlflow_integration import get_mlflow_tracker
from tests.conftest import free_port
from tests.guides.servers import process

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MPLBACKEND": "agg"}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_two_trainings_at_once_and_a_scripted_client_that_promotes_the_better(folder):
    trainings = [start(folder, "train_sklearn.py", "--depth", depth) for depth in ("1", "3")]
    runs = [re.search(r"Run (\w{32}) in .*: accuracy 0\.9", printed(training))[1] for training in trainings]

    shown = printed(start(folder, "scripted_client.py"))

    for run in runs:
        assert run in shown
    for tool in ("search_runs", "compare_runs", "get_metric_history", "rank_runs", "register_model", "promote_model"):
        assert f"> {tool} " in shown
    assert "promoted: false\ndry_run: true" in shown
    assert "promoted: true" in shown
    assert re.search(r"aliases: champion=[12]\n", shown)


def test_a_sweep(folder):
    shown = printed(start(folder, "sweep.py", "--trials", "4")).splitlines()

    losses = [float(line.split()[1]) for line in shown[1:5]]
    assert losses == sorted(losses)
    assert shown[5].startswith("learning_rate: best ")


def test_a_project_makes_one_run_and_a_model_that_is_served(folder):
    """`mlflow run`, then `mlflow models serve` answering a POST."""
    local = ("--env-manager", "local")
    options = ("-P", "n_estimators=5", "-P", "max_depth=3", "--experiment-name", "iris")
    # In its own folder: the script runs there, and so does the relative address of the store.
    shutil.copytree(EXAMPLES / "project", folder, dirs_exist_ok=True)
    printed(mlflow(folder, "run", ".", *local, *options))
    [run] = tracked(folder, "iris")
    assert run["status"] == "FINISHED" and run["metrics"]["accuracy"] > 0.9
    assert run["params"] == {"n_estimators": "5", "max_depth": "3"}

    port = str(free_port())
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/iris_classifier/1"]
    with process(
        [*command, "--port", port, *local], folder, f"http://127.0.0.1:{port}/ping", {**ENVIRONMENT, **ACTIVATED}
    ):
        assert printed(start(folder, "serving.py", "--port", port)) == "[0, 2]\n"


def test_a_notebook_shows_its_runs(folder):
    cells = (EXAMPLES / "notebook.py").read_text(encoding="utf-8")
    assert len(re.findall(r"^# %%", cells, re.MULTILINE)) == 5
    (folder / "notebook.py").write_text(cells + "assert len(runs) == 1 and len(curve) == 10\n")
    printed(start(folder, str(folder / "notebook.py")))
    assert tracked(folder, "notebook")[0]["metrics"] == {"loss": 0.1}


DASHBOARDS = ("comparison", "run_details")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_shows_the_runs_and_makes_no_experiment(folder, name):
    """Each is a marimo notebook; exporting it computes all of its cells, and fails if one of them does."""
    tracker = get_mlflow_tracker("iris", tracking_uri=f"sqlite:///{folder.as_posix()}/mlflow.db")
    for run_name, accuracy in (("forest", 0.91), ("boosting", 0.95)):
        with tracker.start_run(run_name):
            tracker.log_param("kind", run_name)
            tracker.log_metric("accuracy", accuracy)

    shown = shown_by(folder, name)

    assert "boosting" in shown and "0.95" in shown
    assert {experiment.name for experiment in tracker.client.search_experiments()} == {"Default", "iris"}


def test_the_dashboards_say_that_a_store_is_empty(folder):
    """Without a browser or a server: a notebook is a Python program that returns what its cells show."""
    code = (
        "import runpy, sys\n"
        "for path in sys.argv[1:]:\n"
        "    outputs, _ = runpy.run_path(path)['app'].run()\n"
        "    print(outputs[-1].text)\n"
    )
    (folder / "show.py").write_text(code)
    paths = [str(EXAMPLES / "dashboards" / f"{name}.py") for name in DASHBOARDS]
    shown = printed(start(folder, str(folder / "show.py"), *paths))
    assert "No run of this experiment has a metric yet" in shown and "has no run yet" in shown


ENVIRONMENT = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MPLBACKEND": "agg"}

_SCRIPTS = Path(sys.executable).parent
_UVICORN = Path(importlib.util.find_spec("uvicorn").origin).parents[4] / _SCRIPTS.name  # type: ignore[union-attr, arg-type]
ACTIVATED = {"PATH": os.pathsep.join([str(_SCRIPTS), str(_UVICORN), os.environ["PATH"]])}
"""As in an environment that is active: MLflow starts `python` and `uvicorn` by their names."""


def mlflow(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlflow", *arguments]
    environment = {**os.environ, **ENVIRONMENT, **ACTIVATED}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def tracked(folder: Path, experiment: str) -> list[dict[str, Any]]:
    code = (
        "import json; from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        f"print(json.dumps(get_mlflow_tracker({experiment!r}).search_runs(), default=str))"
    )
    (folder / "read.py").write_text(code)
    return json.loads(printed(start(folder, str(folder / "read.py"))))


def shown_by(folder: Path, name: str) -> str:
    """What a dashboard shows, as HTML."""
    # Its own copy: marimo keeps what it showed beside a notebook.
    shutil.copy(EXAMPLES / "dashboards" / f"{name}.py", folder)
    export = ["export", "html", f"{name}.py", "--no-include-code", "--output", "out.html"]
    finished = subprocess.run(
        [sys.executable, "-m", "marimo", *export],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return (folder / "out.html").read_text(encoding="utf-8")
