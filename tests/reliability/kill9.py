"""A process killed with -9 while it writes a run: what it leaves, and whether the same call completes it.

    python -m tests.reliability.kill9 --kills 200 --seed 1 --store sqlite
    python -m tests.reliability.kill9 --kills 200 --seed 1 --store server

Each cycle forks a process that writes one run of 250 params, 3,000 metric points, 120 tags and an artifact, and kills
it at a random moment of that write. Exit status 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import anyio

from benchmarks.measure import mlflow_server
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import run_content
from mcp_server.mlflow_integration.operations.searching.run_search import RunQuery
from mcp_server.mlflow_integration.operations.writing.run_drafts import RunDraft
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot
from mcp_server.settings import Settings

EXPERIMENT: Final = "killed"
PARAMS: Final = 250
POINTS: Final = 3_000
TAGS: Final = 120
SAMPLE: Final = 2_500
"""Points that MLflow gives at once, the first and the last among them."""
PATIENCE_SECONDS: Final = 120.0


@dataclass
class Kills:
    """What the kills left, and what the repeated calls made of it."""

    left: Counter[str] = field(default_factory=Counter[str])
    """Kills by what was there afterwards: no run, a run in state writing, a complete one, an acknowledged one."""
    claimed_complete: int = 0
    """In state complete although something was missing."""
    acknowledged_lost: int = 0
    not_resumed: int = 0
    """The same call did not end in one whole run."""

    @property
    def kept(self) -> bool:
        return not (self.claimed_complete or self.acknowledged_lost or self.not_resumed)

    def __str__(self) -> str:
        left = ", ".join(f"{count} {what}" for what, count in sorted(self.left.items()))
        return (
            f"{self.left.total()} kills left: {left}; {self.claimed_complete} wrongly complete, "
            f"{self.acknowledged_lost} acknowledged lost, {self.not_resumed} not resumed by the same call"
        )


def draft(key: str) -> RunDraft:
    content = run_content(
        params={f"p{i}": i for i in range(PARAMS)},
        metrics={"loss": [[step, 1.0 / (step + 1)] for step in range(POINTS)]},
        tags={f"t{i}": str(i) for i in range(TAGS)},
        artifacts={"notes.md": "text"},
    )
    return RunDraft(EXPERIMENT, key, content, idempotency_key=key)


def _write(uri: str, key: str, pipe: Connection) -> None:
    """The process that is killed: says when it starts to write, and when the write is acknowledged."""
    engine = open_engine(Settings.load(tracking_uri=uri))

    async def write() -> None:
        # The first write of a process is slower; with this one before it the kill hits what is to be hit.
        await engine.recording.record(RunDraft(EXPERIMENT, "first", run_content(params={}, metrics={}, tags={})))
        pipe.send("writing")
        await engine.recording.record(draft(key))
        pipe.send("acknowledged")

    anyio.run(write)
    pipe.recv()  # Waits for the kill, which may come late.


def kill_one(uri: str, key: str, after_seconds: float) -> bool:
    """Kills a writer that long after it began. Returns: whether it had acknowledged the write."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=_write, args=(uri, key, there), daemon=True)
    process.start()
    there.close()
    if not here.poll(PATIENCE_SECONDS) or here.recv() != "writing":
        raise AssertionError("the writer did not start")
    time.sleep(after_seconds)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    try:
        return here.poll() and here.recv() == "acknowledged"
    except EOFError:
        return False


async def runs_of(engine: Engine, key: str) -> list[Run]:
    query = RunQuery((EXPERIMENT,), f"tags.`mcp.request_key` = '{key}'")
    page = await engine.tracking.search_runs(query, max_results=9)
    return list(page.runs)


async def is_whole(engine: Engine, run: Run) -> bool:
    """Whether everything of the draft is there."""
    points = await engine.api.metric_history_sample(
        [run.run_id], "loss", max_results=SAMPLE, start_step=0, end_step=POINTS
    )
    steps = {point.step for point in points.get(run.run_id, ())}
    tags = [key for key in run.tags if key.startswith("t")]
    there = len(run.params) == PARAMS and len(tags) == TAGS and {0, POINTS - 1} <= steps and len(steps) >= SAMPLE // 2
    return there and await engine.artifacts_api.read(ArtifactRoot.of_run(run), "notes.md", limit=9) == b"text"


async def after_kill(engine: Engine, key: str, acknowledged: bool, kills: Kills) -> None:
    """Judges what a kill left, repeats the call, and judges again."""
    engine.tracking.references.forget()
    found = await runs_of(engine, key)
    state = found[0].tags.get("mcp.state", "") if found else "no run"
    kills.left["acknowledged" if acknowledged else state] += 1
    whole = bool(found) and await is_whole(engine, found[0])
    kills.claimed_complete += state == "complete" and not whole
    kills.acknowledged_lost += acknowledged and not (whole and found[0].status == "FINISHED")
    recorded = await engine.recording.record(draft(key))
    again = await runs_of(engine, key)
    resumed = (
        [run.run_id for run in again] == [recorded.run.run_id]
        and again[0].status == "FINISHED"
        and again[0].tags.get("mcp.state") == "complete"
        and await is_whole(engine, again[0])
    )
    kills.not_resumed += not resumed


async def campaign(uri: str, kills: int, seed: int) -> Kills:
    """Kills that many writers at random moments, and repeats the call of each."""
    chance = random.Random(seed)
    engine = open_engine(Settings.load(tracking_uri=uri))
    done = Kills()
    await engine.recording.record(draft("warm up"))
    started = time.perf_counter()
    await engine.recording.record(draft("one undisturbed write"))
    longest = 1.3 * (time.perf_counter() - started)
    print(f"seed {seed}; one write takes {longest / 1.3:.2f} s, so kills come within {longest:.2f} s", flush=True)
    for number in range(kills):
        key = f"seed {seed} kill {number}"
        moment = chance.uniform(0.0, longest)
        acknowledged = await anyio.to_thread.run_sync(kill_one, uri, key, moment)
        await after_kill(engine, key, acknowledged, done)
        if (number + 1) % 20 == 0:
            print(done, flush=True)
    await engine.aclose()
    return done


@contextmanager
def store(kind: str) -> Iterator[str]:
    """Address of a fresh store."""
    if kind == "server":
        with mlflow_server() as address:
            yield address
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield f"sqlite:///{Path(folder, 'mlflow.db').as_posix()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=["sqlite", "server"], default="sqlite")
    chosen = parser.parse_args()
    preload: list[str] = ["mcp_server.mlflow_integration.engine", "anyio"]
    if chosen.store == "sqlite":
        # Imported once: every killed process is forked from there.
        preload.append("mlflow.server.handlers")
    multiprocessing.set_forkserver_preload(preload)
    with store(chosen.store) as uri:
        kills: Any = anyio.run(campaign, uri, chosen.kills, chosen.seed)
    print(f"{chosen.store}, {kills}")
    print("every promise was kept" if kills.kept else "A PROMISE WAS BROKEN")
    return 0 if kills.kept else 1


if __name__ == "__main__":
    sys.exit(main())
