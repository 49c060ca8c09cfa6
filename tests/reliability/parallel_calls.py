"""Many calls at once through one server: 200 log_run against the same 200 one by one, and 1,000 reads.

    python -m tests.reliability.parallel_calls --store mock
    python -m tests.reliability.parallel_calls --store sqlite
    python -m tests.reliability.parallel_calls --store server

Exit status 1 when a run is missing, an answer is another call's, or parallel writes take over 1.3 times as long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import anyio

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.settings import Settings
from tests.conftest import Agent, connect
from tests.reliability.kill9 import store

WRITES: Final = 200
READS: Final = 1_000
RATIO_LIMIT: Final = 1.3


@dataclass(frozen=True)
class Figures:
    serial_seconds: float
    parallel_seconds: float
    runs_there: int
    wrong_reads: int
    read_seconds: float

    @property
    def kept(self) -> bool:
        ratio = self.parallel_seconds / self.serial_seconds
        return self.runs_there == WRITES and not self.wrong_reads and ratio <= RATIO_LIMIT

    def __str__(self) -> str:
        return (
            f"{WRITES} log_run: {self.serial_seconds:.1f} s one by one, {self.parallel_seconds:.1f} s at once "
            f"({self.parallel_seconds / self.serial_seconds:.2f} x), {self.runs_there} whole runs there; "
            f"{READS} get_run at once in {self.read_seconds:.1f} s, {self.wrong_reads} wrong"
        )


async def _timed(calls: Callable[[int], Awaitable[None]], count: int, *, at_once: bool) -> float:
    started = time.perf_counter()
    if at_once:
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(calls, number)
    else:
        for number in range(count):
            await calls(number)
    return time.perf_counter() - started


async def measure(uri: str) -> Figures:
    """One store, through an MCP client; mock mode without a URI."""
    engine = open_engine(Settings.load(tracking_uri=uri, mock_mode=not uri, timeout_seconds=600))
    run_ids: dict[int, str] = {}
    wrong = 0

    async with connect(engine) as agent:

        def writer(experiment: str) -> Callable[[int], Awaitable[None]]:
            async def write(number: int) -> None:
                written = await agent.ask(
                    "log_run",
                    experiment=experiment,
                    run_name=f"run {number}",
                    params={f"p{i}": i for i in range(10)},
                    metrics={"m": number, "loss": [[step, 1 / (step + 1)] for step in range(20)]},
                )
                run_ids[number] = written["run_id"]

            return write

        async def read(number: int) -> None:
            nonlocal wrong
            asked = number % WRITES
            run = await agent.ask("get_run", run=run_ids[asked])
            wrong += (run["run_id"], run["metrics"]["m"]) != (run_ids[asked], asked)

        await writer("first")(0)
        serial = await _timed(writer("serial"), WRITES, at_once=False)
        parallel = await _timed(writer("parallel"), WRITES, at_once=True)
        there = await _whole_runs(agent)
        reading = await _timed(read, READS, at_once=True)
    return Figures(serial, parallel, there, wrong, reading)


async def _whole_runs(agent: Agent) -> int:
    columns = ["run_name", "status", "metrics.m", "params.p9"]
    rows = await agent.rows("search_runs", experiments=["parallel"], columns=columns, max_results=WRITES)
    whole = {
        row["run_name"]
        for row in rows
        if (row["status"], row["run_name"], row["params.p9"]) == ("FINISHED", f"run {row['metrics.m']}", "9")
    }
    return len(whole)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["mock", "sqlite", "server"], default="sqlite")
    chosen = parser.parse_args()
    with nullcontext("") if chosen.store == "mock" else store(chosen.store) as uri:
        figures = anyio.run(measure, uri)
    print(f"{chosen.store}, {figures}")
    return 0 if figures.kept else 1


if __name__ == "__main__":
    sys.exit(main())
