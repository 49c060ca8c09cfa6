"""A locked database, and a pool without a free connection: retried, and reported in a sentence if it stays so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.local import in_process
from mcp_server.mlflow_integration.local.in_process import InProcessTransport
from mcp_server.mlflow_integration.rest.transport import RETRY_WAITS_SECONDS, Reply
from mcp_server.settings import Settings
from tests.conftest import Agent, connect

LIBRARY_WORDS = ("sqlalchemy", "sqlite3", "SQL:", "OperationalError", "QueuePool", "Traceback", "INSERT", "UPDATE")
WRITES: dict[str, dict[str, Any]] = {
    "log_run": {"experiment": "churn", "params": {"lr": 0.1}},
    "log_to_run": {"run": "baseline", "metrics": {"accuracy": 0.9}, "step": 1},
    "update_run": {"runs": ["baseline"], "tags": {"team": "vision"}},
    "finish_run": {"run": "open", "status": "FINISHED"},
}


@pytest.fixture(autouse=True)
def _no_waits_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "RETRY_WAITS_SECONDS", (0,) * len(RETRY_WAITS_SECONDS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db"


@pytest.fixture
def engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A store in a file whose MLflow gives up on a lock after milliseconds instead of 20 seconds."""
    from mlflow.store.db import utils

    text = utils.sql.text
    impatient = SimpleNamespace(
        text=lambda statement: text(statement.replace("busy_timeout = 20000", "busy_timeout = 10"))
    )
    monkeypatch.setattr(utils, "sql", impatient)
    one = open_engine(Settings.load(tracking_uri=f"sqlite:///{path}"))
    yield one
    one.close()


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Somebody else writes to the database until the function is called."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.rollback()


@contextmanager
def exhausted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """All connections of MLflow's pool are taken until the function is called."""
    from mlflow.server import handlers

    pool = handlers._get_tracking_store().engine.pool  # type: ignore[attr-defined]
    monkeypatch.setattr(pool, "_timeout", 0.01)
    taken = [pool.connect() for _ in range(pool.size() + pool._max_overflow)]

    def give_back() -> None:
        while taken:
            taken.pop().close()

    try:
        yield give_back
    finally:
        give_back()


def after_the_first_reply(transport: InProcessTransport, act: Callable[[], None]) -> list[int]:
    """Acts when MLflow has answered once; gives the statuses of all answers."""
    statuses: list[int] = []
    carry = transport._carry

    async def watched(*arguments: Any) -> Reply:
        reply = await carry(*arguments)
        if not statuses:
            act()
        statuses.append(reply.status)
        return reply

    transport._carry = watched  # type: ignore[method-assign]
    return statuses


async def started(agent: Agent) -> str:
    """A store with a finished and an open run; gives the id of the first."""
    await agent.ask("start_run", experiment="churn", run_name="open")
    return (await agent.ask("log_run", experiment="churn", run_name="baseline"))["run_id"]


@pytest.mark.parametrize("trouble", ["locked", "exhausted"])
async def test_a_request_that_may_be_repeated_is_tried_again(
    trouble: str, engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second try meets a store that is free, and is the answer."""
    async with connect(engine, closes=False) as agent:
        run_id = await started(agent)
        (transport,) = engine.transports
        assert isinstance(transport, InProcessTransport)
        with locked(path) if trouble == "locked" else exhausted(monkeypatch) as release:
            statuses = after_the_first_reply(transport, release)
            body = {"run_id": run_id, "key": "team", "value": "vision"}
            reply = await transport.request("POST", "/api/2.0/mlflow/runs/set-tag", json=body, idempotent=True)
        assert reply.status == 200
        assert len(statuses) == 2 and statuses[0] >= 400
        assert (await agent.ask("get_run", run=run_id))["tags"]["team"] == "vision"


async def test_a_request_that_waited_long_for_a_busy_store_is_not_repeated(
    engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A second wait would outlast the call; here every wait counts as long."""
    monkeypatch.setattr(in_process, "PATIENCE_SECONDS", -1.0)
    async with connect(engine, closes=False) as agent:
        run_id = await started(agent)
        (transport,) = engine.transports
        assert isinstance(transport, InProcessTransport)
        with locked(path) as release:
            statuses = after_the_first_reply(transport, release)
            body = {"run_id": run_id, "key": "team", "value": "vision"}
            reply = await transport.request("POST", "/api/2.0/mlflow/runs/set-tag", json=body, idempotent=True)
    assert statuses == [reply.status]
    assert reply.status >= 400


@pytest.mark.parametrize("tool", WRITES)
@pytest.mark.parametrize("trouble", ["locked", "exhausted"])
async def test_a_store_that_stays_busy_is_a_sentence(
    trouble: str, tool: str, engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is wrong and that it passes; not a word of the libraries beneath. Afterwards the same call works."""
    async with connect(engine, closes=False) as agent:
        await started(agent)
        with locked(path) if trouble == "locked" else exhausted(monkeypatch):
            said = await agent.refusal(tool, **WRITES[tool])
        assert [word for word in LIBRARY_WORDS if word in said] == []
        assert "is busy" in said and "Try again in a moment" in said
        await agent.ask(tool, **WRITES[tool])
