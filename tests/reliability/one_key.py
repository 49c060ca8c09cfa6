"""One idempotency key sent by several processes at once: every caller is told the same run, and it is the only one.

    python -m tests.reliability.one_key --rounds 300 --processes 4 --store sqlite
    python -m tests.reliability.one_key --rounds 300 --processes 4 --store server
    python -m tests.reliability.one_key --interleavings 5000 --processes 3

Rounds race real processes against each other. Interleavings run writers in one process, one request at a time in an
order that a seed chooses, so that every order can come and comes again. Exit status 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Final

import anyio

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import run_content
from mcp_server.mlflow_integration.operations.writing.run_drafts import RunDraft
from mcp_server.mlflow_integration.rest.transport import Reply, Transport
from mcp_server.settings import Settings
from tests.reliability.kill9 import store

EXPERIMENT: Final = "one-key"
POINTS: Final = 1_200
"""More than one batch holds, so that others come between two of them."""
PATIENCE_SECONDS: Final = 120.0


def draft(key: str, start_time: int | None = None, points: int = POINTS) -> RunDraft:
    metrics = {"loss": [[step, 1.0 / (step + 1)] for step in range(points)]}
    content = run_content(params={"lr": 0.1}, metrics=metrics, tags={"team": "vision"})
    return RunDraft(EXPERIMENT, key, content, idempotency_key=key, start_time=start_time)


class Turns:
    """Lets one writer at a time send one request; who is next is chosen by a generator once all wait."""

    def __init__(self, writers: int, chance: random.Random) -> None:
        self._alive = writers
        self._chance = chance
        self._waiting: dict[int, anyio.Event] = {}
        # How often the same writer goes on: one that stands still for long has read what is no longer so.
        self._steadiness = chance.uniform(0, 0.97)
        self._last = -1

    async def wait(self, writer: int) -> None:
        """Until it is this writer's turn."""
        self._waiting[writer] = turn = anyio.Event()
        self._next()
        await turn.wait()

    def leave(self) -> None:
        """A writer has ended."""
        self._alive -= 1
        self._next()

    def _next(self) -> None:
        if self._waiting and len(self._waiting) == self._alive:
            if self._last not in self._waiting or self._chance.random() > self._steadiness:
                self._last = self._chance.choice(sorted(self._waiting))
            self._waiting.pop(self._last).set()


class TurnTransport:
    """Sends each request when it is its writer's turn."""

    def __init__(self, beneath: Transport, turns: Turns, writer: int) -> None:
        self._beneath, self._turns, self._writer = beneath, turns, writer

    async def request(self, *arguments: Any, **named: Any) -> Reply:
        await self._turns.wait(self._writer)
        return await self._beneath.request(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


async def interleaved(engine: Engine, key: str, writers: int, chance: random.Random) -> list[str]:
    """What is wrong after writers sent one key in an order that the generator chose."""
    turns, told = Turns(writers, chance), list[str]()
    starts = chance.sample(range(1_000_000, 1_000_000 + writers), writers)

    async def write(writer: int) -> None:
        transport = TurnTransport(engine.transports[0], turns, writer)
        process = engine_over(engine.location, engine.settings, transport, transport)
        try:
            told.append((await process.recording.record(draft(key, starts[writer], points=1))).run.run_id)
        except MlflowToolError as error:
            told.append(str(error))
        finally:
            turns.leave()

    async with anyio.create_task_group() as group:
        for writer in range(writers):
            group.start_soon(write, writer)
    return await faults(engine, key, told, points=1)


async def faults(engine: Engine, key: str, told: Sequence[str], points: int = POINTS) -> list[str]:
    """What is wrong with the runs of a key, after these callers were told these runs."""
    experiment = await engine.api.get_experiment_by_name(EXPERIMENT)
    where = f"tags.`mlflow.runName` = '{key}'"
    runs: Sequence[Run] = (await engine.api.search_runs([experiment.experiment_id], filter_string=where)).items
    found: list[str] = []
    if len(set(told)) != 1:
        found.append(f"callers were told different things: {sorted(set(told))}")
    if [run.run_id for run in runs] != [*set(told)]:
        found.append(f"{len(runs)} runs are there: {sorted(run.run_id for run in runs)}")
    for run in runs:
        whole = run.params == {"lr": "0.1"} and run.tags["mcp.state"] == "complete" and run.status == "FINISHED"
        if not whole or run.metrics.get("loss") != 1.0 / points:
            found.append(f"a run is not whole: {run}")
    return found


def _worker(uri: str, pipe: Connection) -> None:
    """Sends each key it is given at the moment it is given with it; answers with the run that it was told."""

    async def work() -> None:
        engine = open_engine(Settings.load(tracking_uri=uri))
        await engine.recording.record(draft(f"warm {id(pipe)}", points=1))
        pipe.send("ready")
        while True:
            given = await anyio.to_thread.run_sync(pipe.recv)
            if given is None:
                return
            key, moment = given
            await anyio.sleep(max(0.0, moment - time.monotonic()))
            try:
                pipe.send((await engine.recording.record(draft(key))).run.run_id)
            except MlflowToolError as error:
                pipe.send(str(error))

    anyio.run(work)


def race(uri: str, rounds: int, processes: int, seed: int) -> list[str]:
    """Faults of so many rounds; the processes start within milliseconds of each other."""
    context, chance = multiprocessing.get_context("spawn"), random.Random(seed)
    pipes: list[Connection] = []
    found: list[str] = []
    made = Counter[int]()
    for _ in range(processes):
        here, there = context.Pipe()
        context.Process(target=_worker, args=(uri, there), daemon=True).start()
        pipes.append(here)
    for pipe in pipes:
        assert pipe.poll(PATIENCE_SECONDS), "a writer did not start"
        pipe.recv()
    engine = open_engine(Settings.load(tracking_uri=uri))

    async def check(key: str, told: Sequence[str]) -> None:
        found.extend(f"{key}: {fault}" for fault in await faults(engine, key, told))
        experiment = await engine.api.get_experiment_by_name(EXPERIMENT)
        where = f"tags.`mlflow.runName` = '{key}'"
        page = await engine.api.search_runs([experiment.experiment_id], filter_string=where, view_type="ALL")
        made[len(page.items)] += 1

    async def all_rounds() -> None:
        for number in range(rounds):
            key, moment = f"key {number}", time.monotonic() + 0.05
            for pipe in pipes:
                pipe.send((key, moment + chance.uniform(0, 0.02)))
            await check(key, [pipe.recv() for pipe in pipes])

    anyio.run(all_rounds)
    for pipe in pipes:
        pipe.send(None)
    runs = ", ".join(f"{count} of {number}" for number, count in sorted(made.items()))
    print(f"{rounds} rounds of {processes} processes, seed {seed}; by the runs that were made: {runs}")
    return found


async def all_interleavings(count: int, writers: int, seed: int) -> list[str]:
    engine, found = open_engine(Settings.load(mock_mode=True)), list[str]()
    await engine.experiments.create(EXPERIMENT, tags={})
    for number in range(seed, seed + count):
        wrong = await interleaved(engine, f"key {number}", writers, random.Random(number))
        found.extend(f"seed {number}: {fault}" for fault in wrong)
    engine.close()
    print(f"{count} orders of the requests of {writers} writers, seeds {seed} to {seed + count - 1}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--interleavings", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=["sqlite", "server"], default="sqlite")
    chosen = parser.parse_args()
    if chosen.interleavings:
        found = anyio.run(all_interleavings, chosen.interleavings, chosen.processes, chosen.seed)
    else:
        with store(chosen.store) as uri:
            found = race(uri, chosen.rounds, chosen.processes, chosen.seed)
    print(*found[:20], f"{len(found)} promises broken" if found else "every promise was kept", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
