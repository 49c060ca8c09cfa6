"""A server that ends while it writes a run: the run is complete, marked, or completed by a repeat of the call."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.entities import Run
from mcp_server.settings import Settings
from tests.reliability.kill9 import campaign
from tests.test_stdio import BOUND_SECONDS, Host, hosted

KILLS = 4
POINTS = 20_000
"""Twenty batches: the end comes while they are written."""

ENDS: dict[str, Callable[[Host], None]] = {
    "stdin ends": lambda host: host.process.stdin.close(),  # type: ignore[union-attr]
    "SIGTERM": lambda host: host.process.send_signal(signal.SIGTERM),
    "SIGINT": lambda host: host.process.send_signal(signal.SIGINT),
}


async def _run(engine: Engine, experiment: str) -> Run:
    """The run of the experiment, as soon as it is there; the host bounds the waiting."""
    while True:
        for place in (await engine.api.search_experiments(filter_string=f"name = '{experiment}'")).items:
            if runs := (await engine.api.search_runs([place.experiment_id])).items:
                return runs[0]


@pytest.mark.parametrize("end", ENDS)
async def test_a_server_that_is_told_to_end_leaves_the_run_complete_or_marked(mlflow_server: str, end: str, name: Any):
    """It has three seconds, and says in MLflow what it did not write."""
    experiment = name("ended")
    engine = open_engine(Settings.load(tracking_uri=mlflow_server))
    with hosted("--tracking-uri", mlflow_server) as host:
        host.initialize()
        host.call("log_run", experiment=experiment, metrics={"loss": [[step, 0.5] for step in range(POINTS)]})
        begun = await _run(engine, experiment)
        ENDS[end](host)
        assert host.process.wait(BOUND_SECONDS) == 0
    assert begun.tags["mcp.state"] == "writing", "the end came within the write"
    run = await engine.api.get_run(begun.run_id)
    await engine.aclose()
    assert (run.status, run.tags["mcp.state"]) in [("FINISHED", "complete"), ("FAILED", "partial")]
    assert ("mcp.missing" in run.tags) is (run.status == "FAILED")


@pytest.mark.parametrize("store", ["sqlite", "server"])
async def test_a_write_that_is_killed_is_completed_by_the_same_call(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
):
    """The short form of tests/reliability/kill9.py; what was acknowledged is there, and nothing claims to be whole."""
    uri = f"sqlite:///{tmp_path}/mlflow.db" if store == "sqlite" else request.getfixturevalue("mlflow_server")
    kills = await campaign(uri, KILLS, seed=3)
    assert kills.left.total() == KILLS
    assert kills.kept, str(kills)
