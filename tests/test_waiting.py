"""wait_for_runs: ends when something happens to a run, and only then."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import pytest

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations import waiting
from mcp_server.mlflow_integration.operations.waiting import thresholds_in
from tests.conftest import Agent, connect

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE", 0.05)


async def started(agent: Agent, experiment: str, name: str = "going") -> str:
    return (await agent.ask("start_run", experiment=experiment, run_name=name))["run_id"]


async def waited(agent: Agent, then: Callable[[], object], **arguments: object) -> tuple[dict, list]:
    """The answer of a wait during which `then` is done once the waiting has reported progress."""
    seen: list[tuple[float, str]] = []
    begun = anyio.Event()

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, message or ""))
        begun.set()

    answers = []

    async def wait() -> None:
        result = await agent.client.call_tool("wait_for_runs", arguments, progress_callback=progress)
        assert not result.is_error, result.content
        answers.append(result.structured_content)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await begun.wait()
            await then()  # type: ignore[misc]
    return answers[0], seen


async def test_the_end_of_one_run_ends_the_waiting(engine: Engine, name: Name):
    """Two runs go on; one of them fails, and the other is still running."""
    async with connect(engine) as agent:
        one, other = [await started(agent, name("wait"), f"run-{at}") for at in range(2)]
        found, seen = await waited(agent, lambda: agent.ask("finish_run", run=one, status="FAILED"), runs=[one, other])
    assert found["happened"] == "ended"
    assert found["events"]["rows"] == [[one, "run-0", "ended", "FAILED"]]
    assert [row[2] for row in found["runs"]["rows"]] == ["FAILED", "RUNNING"]
    assert seen[0][1] == "2 of 2 still running"


async def test_a_threshold_and_a_nan_end_the_waiting(engine: Engine, name: Name):
    async with connect(engine) as agent:
        run = await started(agent, name("wait"))
        await agent.ask("log_to_run", run=run, metrics={"val_loss": 0.9}, step=0)
        found, _ = await waited(
            agent,
            lambda: agent.ask("log_to_run", run=run, metrics={"val_loss": 0.1}, step=1),
            runs=run,
            until="val_loss < 0.2",
        )
        gone, _ = await waited(
            agent, lambda: agent.ask("log_to_run", run=run, metrics={"val_loss": "NaN"}, step=2), runs=run
        )
    assert (found["happened"], found["events"]["rows"][0][3]) == ("condition met", "val_loss = 0.1")
    assert found["runs"]["columns"][-1] == "metrics.val_loss"
    assert (gone["happened"], gone["events"]["rows"][0][3]) == ("NaN", "val_loss")


async def test_all_are_waited_for_when_asked(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        ended = await started(agent, "wait", "ended")
        await agent.ask("finish_run", run=ended)
        one, other = [await started(agent, "wait", f"run-{at}") for at in range(2)]

        async def both() -> None:
            await agent.ask("finish_run", run=one)
            await agent.ask("finish_run", run=other)

        found, _ = await waited(agent, both, runs=[ended, one, other], wait_for_all=True)
    assert sorted(row[0] for row in found["events"]["rows"]) == sorted([one, other])


async def test_the_timeout_is_said_and_a_longer_one_is_cut_to_the_deadline(mock_engine: Engine):
    async with connect(mock_engine, timeout_seconds=2) as agent:
        run = await started(agent, "wait")
        short = await agent.ask("wait_for_runs", runs=run, timeout_seconds=1)
        long = await agent.ask("wait_for_runs", runs=run, timeout_seconds=600, until="loss < 1")
    assert (short["happened"], short["hint"]) == (
        "nothing until the timeout",
        "Waited 1 s, call again to keep waiting.",
    )
    assert "No run has logged loss yet." in long["hint"]
    assert "the most one call may take (MLFLOW_MCP_TIMEOUT_SECONDS); call again" in long["hint"]


async def test_runs_that_ended_before_and_runs_that_stalled_are_not_waited_for(engine: Engine, name: Name):
    async with connect(engine) as agent:
        run = await started(agent, name("wait"))
        hours_ago = int(time.time() * 1_000) - 5 * 3_600_000
        points = [[step, 1.0 / (step + 1), hours_ago + step * 1_000] for step in range(20)]
        await agent.ask("log_to_run", run=run, metrics={"loss": points})
        stalled = await agent.ask("wait_for_runs", runs=run)
        await agent.ask("finish_run", run=run)
        ended = await agent.ask("wait_for_runs", runs=run)
    assert stalled["happened"] == "stalled"
    assert "nothing was logged for 5.0 h" in stalled["events"]["rows"][0][3]
    assert ended["happened"] == "nothing: all had already ended"


async def test_a_cancelled_wait_leaves_the_server_well(mock_engine: Engine):
    """Cancelled by the client after it has begun; the next call is answered."""
    async with connect(mock_engine) as agent:
        run = await started(agent, "wait")
        with anyio.move_on_after(0.3) as scope:
            await agent.client.call_tool("wait_for_runs", {"runs": run})
        assert scope.cancelled_caught
        assert (await agent.ask("get_run", run=run))["status"] == "RUNNING"


async def test_one_request_per_round_however_many_runs(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    async with connect(mock_engine) as agent:
        runs = [await started(agent, "wait", f"run-{at}") for at in range(12)]
        transport, sent = mock_engine.transports[0], list[str]()
        request = type(transport).request

        async def counted(self: object, method: str, path: str, **more: object) -> object:
            sent.append(path.rpartition("/")[2])
            return await request(self, method, path, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(type(transport), "request", counted)
        rounds: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            rounds.append(done)

        await agent.client.call_tool("wait_for_runs", {"runs": runs, "timeout_seconds": 1}, progress_callback=progress)
    searches = [path for path in sent if path == "search"]
    assert len(rounds) > 2
    assert sent.count("get") == 0
    assert len(searches) <= len(rounds) + 4, sent


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("metrics.val_loss < 0.2", [("val_loss", "<", 0.2)]),
        ("val_loss<=.5 and epoch >= 10", [("val_loss", "<=", 0.5), ("epoch", ">=", 10.0)]),
        ("metrics.`a b` > 1e-3", [("a b", ">", 0.001)]),
        ("", []),
    ],
)
def test_conditions_are_read(until: str, expected: list[tuple[str, str, float]]):
    assert [(one.metric, one.comparator, one.limit) for one in thresholds_in(until)] == expected


@pytest.mark.parametrize("until", ["params.lr = '1'", "attributes.status = 'FINISHED'", "loss is falling", "loss <"])
def test_conditions_about_anything_else_are_refused(until: str):
    with pytest.raises(InvalidInputError):
        thresholds_in(until)
