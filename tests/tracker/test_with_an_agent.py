"""A script logs through the tracker while an agent, in other processes, searches, compares and promotes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import to_thread
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.conftest import Agent


@pytest.mark.parametrize("store", ["sqlite", "server"], indirect=True)
async def test_an_agent_sees_and_promotes_what_a_script_logs(name):
    experiment = name("shared")
    server = StdioServerParameters(command=sys.executable, args=["-m", "mcp_server"], env=dict(os.environ))

    with _training(experiment) as training:
        async with Client(server) as client:
            agent = Agent(client)
            unfinished = await _line(training)

            runs = {row["run_name"]: row for row in await agent.rows("search_runs", experiments=[experiment])}
            assert runs.keys() == {"weak", "strong", "unfinished"}
            assert runs["unfinished"]["run_id"] == unfinished
            seen = await agent.ask("get_run", run=unfinished)
            assert seen["status"] == "RUNNING"
            comparison = await agent.text("compare_runs", runs=[run["run_id"] for run in runs.values()])
            assert "0.85" in comparison
            assert "0.95" in comparison

            _go_on(training)
            assert await _line(training) == "finished"
            assert (await agent.ask("get_run", run=unfinished))["status"] == "FINISHED"
            [best, *_] = await agent.rows("rank_runs", metric="accuracy", experiments=[experiment])
            assert best["run_id"] == runs["strong"]["run_id"]
            version = (await agent.ask("register_model", name=experiment, run=best["run_id"]))["version"]
            promoted = await agent.ask(
                "promote_model", name=experiment, version=version, gates=["metrics.accuracy >= 0.9"]
            )
            assert promoted["promoted"]

            _go_on(training)
            assert await _line(training) == f"{best['run_id']} [0 1]"


@contextmanager
def _training(experiment: str) -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("training_script.py")
    with subprocess.Popen(
        [sys.executable, str(script), experiment], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def _line(process: subprocess.Popen[str]) -> str:
    return (await to_thread.run_sync(process.stdout.readline)).strip()  # type: ignore[union-attr]


def _go_on(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")  # type: ignore[union-attr]
    process.stdin.flush()  # type: ignore[union-attr]
