"""What only a process of its own shows: imports, stdout, what is left at exit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def run(code: str, **environment: str) -> str:
    """What a Python process prints on stdout; its stderr is shown when it fails."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_the_package_imports_no_mlflow():
    heavy = run(
        "import sys\n"
        "import mcp_server.mlflow_integration as face\n"
        "light = sorted(set(sys.modules) & {'mlflow', 'pandas', 'pydantic', 'httpx2'})\n"
        "names = [getattr(face, name) for name in face.__all__]\n"
        "print(light, 'mlflow' in sys.modules)\n"
    )
    assert heavy == "[] False\n"


def test_a_mock_store_is_gone_at_exit_and_nothing_is_on_stdout(monkeypatch, tmp_path):
    """Nor does a forked worker, which ends first, take it along."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    shown = run(
        "import os, sys\n"
        "from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        "tracker = get_mlflow_tracker()\n"
        "if hasattr(os, 'fork'):\n"
        "    worker = os.fork()\n"
        "    if worker == 0:\n"
        "        sys.exit()\n"
        "    os.waitpid(worker, 0)\n"
        "with tracker.start_run() as run_id:\n"
        "    tracker.log_text('a', 'a.txt')\n"
        "assert tracker.get_run(run_id)['artifact_uri'].startswith(os.environ['TMPDIR'])\n"
        "assert tracker.client.list_artifacts(run_id)\n",
        MLFLOW_MOCK_MODE="true",
    )
    assert shown == ""
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_a_run_on_a_server_prints_nothing(mlflow_server):
    """MLflow's own client prints two lines a run."""
    shown = run(
        "from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        "with get_mlflow_tracker().start_run():\n"
        "    pass\n",
        MLFLOW_TRACKING_URI=mlflow_server,
    )
    assert shown == ""


def test_buffered_points_are_sent_when_the_process_ends():
    run(
        "from mcp_server.mlflow_integration import MetricBuffer, get_mlflow_tracker\n"
        "tracker = get_mlflow_tracker('unfinished')\n"
        "with tracker.start_run() as run_id:\n"
        "    pass\n"
        "buffer = MetricBuffer(tracker.client, run_id, max_seconds=3600)\n"
        "for step in range(10):\n"
        "    buffer.log_metric('loss', step, step=step)\n"
    )
    from mcp_server.mlflow_integration import get_mlflow_tracker

    tracker = get_mlflow_tracker("unfinished")
    assert len(tracker.get_metric_history(tracker.search_runs()[0]["run_id"], "loss")) == 10


def test_a_model_is_loaded_without_this_package():
    from mcp_server.mlflow_integration import get_mlflow_tracker

    tracker = get_mlflow_tracker()
    with tracker.start_run():
        info = tracker.log_model(sorted, pip_requirements=["cloudpickle"])
    shown = run(
        "import sys\n"
        "sys.modules['mcp_server'] = None\n"
        "import mlflow\n"
        f"print(mlflow.pyfunc.load_model({info.model_uri!r}).predict([2, 1]))\n"
    )
    assert shown == "[1, 2]\n"
