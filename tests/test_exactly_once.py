"""A write happens once, whole, or says what is missing: with a fault at every single request in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine, engine_over
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot
from tests.conftest import connect
from tests.faults import FaultyTransport

CALL: Mapping[str, Any] = {
    "experiment": "churn",
    "run_name": "baseline",
    "params": {f"p{i}": i for i in range(150)},
    "metrics": {"loss": [[step, 1.0 / (step + 1)] for step in range(1_200)], "accuracy": 0.9},
    "tags": {"team": "vision"},
    "datasets": [{"name": "churn-2026", "digest": "abc"}],
    "artifacts": {"notes.md": "text"},
    "start_time": 1_700_000_000_000,
    "end_time": 1_700_000_100_000,
}
REQUESTS_LIMIT = 30
"""More than any single call sends; reaching it means that the loop over faults does not end."""


def faulty(engine: Engine, fail_at: int, *, carried_out: bool) -> tuple[Engine, FaultyTransport]:
    transport = FaultyTransport(engine.transports[0], fail_at, carried_out=carried_out)
    return engine_over(engine.location, engine.settings, transport, transport), transport


async def the_only_run(engine: Engine) -> dict[str, Any] | None:
    """The one run of the experiment, None if there is none; two are a failure."""
    async with connect(faulty(engine, 0, carried_out=False)[0]) as agent:
        experiments = [row["name"] for row in await agent.rows("search_experiments")]
        if "churn" not in experiments:
            return None
        rows = await agent.rows("search_runs", experiments=["churn"])
        assert len(rows) <= 1, f"one call made {len(rows)} runs"
        return await agent.ask("get_run", run=rows[0]["run_id"]) if rows else None


async def assert_complete(engine: Engine, run: dict[str, Any]) -> None:
    assert run["status"] == "FINISHED"
    assert "write_state" not in run
    assert "missing" not in run
    assert len(run["params"]) == 150
    assert run["tags"] == {"team": "vision"}
    assert run["metrics"]["accuracy"] == 0.9
    assert run["datasets"] == ["churn-2026 digest abc"]
    assert await engine.artifacts_api.read(ArtifactRoot("run", run["run_id"]), "notes.md", limit=10) == b"text"
    points = await engine.api.metric_history_sample(
        [run["run_id"]], "loss", max_results=2_000, start_step=None, end_step=None
    )
    assert len(points[run["run_id"]]) == 1_200


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
async def test_a_fault_at_any_request_and_the_same_call_again_end_in_one_complete_run(
    mock_engine: Engine, carried_out: bool
):
    """For every n: the n-th request is lost, the call is repeated with its key, and one whole run is there."""
    for n in range(1, REQUESTS_LIMIT):
        key = f"key-{n}-{carried_out}"
        broken, transport = faulty(mock_engine, n, carried_out=carried_out)
        async with connect(broken) as agent:
            first = await agent.client.call_tool("log_run", {**CALL, "idempotency_key": key})
            if transport.requests < n:
                assert not first.is_error
                return  # Every request of the call has had its fault.
        assert transport.lost == 1
        run = await the_only_run(mock_engine)
        if first.is_error and run is not None:
            text = first.content[0].text
            assert run["status"] == "FAILED", text
            assert run["write_state"] == "partial"
            assert run["missing"]
            assert "Missing:" in text
            assert key in text
        healthy, _ = faulty(mock_engine, 0, carried_out=False)
        async with connect(healthy) as agent:
            again = await agent.ask("log_run", **{**CALL, "idempotency_key": key})
        run = await the_only_run(mock_engine)
        assert run is not None
        assert run["run_id"] == again["run_id"]
        await assert_complete(mock_engine, run)
        async with connect(healthy) as agent:
            await agent.ask("delete_runs", runs=[run["run_id"]], confirm_name="baseline")
    pytest.fail("one log_run sent more requests than any should")


async def test_the_same_key_again_returns_the_first_run(mock_engine: Engine):
    """A repeat after success writes nothing and says so."""
    async with connect(mock_engine) as agent:
        first = await agent.ask("log_run", **CALL, idempotency_key="once")
        second = await agent.ask("log_run", **CALL, idempotency_key="once")
        rows = await agent.rows("search_runs", experiments=["churn"])
    assert first["run_id"] == second["run_id"]
    assert "nothing was written again" in second["hint"]
    assert len(rows) == 1


async def test_the_same_key_at_the_same_moment_makes_one_run(mock_engine: Engine):
    """Eight calls race with one key; all get the same run."""
    import anyio

    runs: list[str] = []
    async with connect(mock_engine) as agent:

        async def log() -> None:
            runs.append((await agent.ask("log_run", experiment="churn", idempotency_key="race"))["run_id"])

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(log)
        rows = await agent.rows("search_runs", experiments=["churn"])
    assert len(set(runs)) == 1
    assert [row["run_id"] for row in rows] == [runs[0]]


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
async def test_a_version_whose_answer_was_lost_is_not_registered_twice(
    mock_engine: Engine, carried_out: bool, logged_model: Any
):
    """For every n: register_model loses its n-th request; repeated, it leaves one version."""
    async with connect(faulty(mock_engine, 0, carried_out=False)[0]) as agent:
        await agent.ask("get_server_info")  # Opens the store.
        run = logged_model(mock_engine)
        for n in range(1, REQUESTS_LIMIT):
            model = f"m{n}-{carried_out}"
            broken, transport = faulty(mock_engine, n, carried_out=carried_out)
            async with connect(broken) as unlucky:
                await unlucky.client.call_tool("register_model", {"name": model, "run": run})
            if transport.requests < n:
                return
            assert transport.lost == 1
            await agent.ask("register_model", name=model, run=run)
            shown = await agent.ask("get_model", name=model)
            assert len(shown["versions"]["rows"]) == 1
    pytest.fail("one register_model sent more requests than any should")
