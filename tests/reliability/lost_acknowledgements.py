"""Many writes through a transport that loses requests and answers: how many runs there are afterwards, and how whole.

    python -m tests.reliability.lost_acknowledgements --writes 2000 --seeds 0 1 2 3 4 5 6 7 8 9

Each write is a log_run with a key, repeated with the same key until it is acknowledged, at most ATTEMPTS times, as an
agent repeats it. Exit status 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import anyio

from mcp_server.errors import MlflowToolError, UnreachableError
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import run_content
from mcp_server.mlflow_integration.operations.writing.run_drafts import RunDraft
from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from mcp_server.settings import Settings
from tests.faults import Send, WrappedTransport

ATTEMPTS: Final = 6
"""Calls that an agent makes for one run before it gives up."""
AT_A_TIME: Final = 8
LOST_REQUESTS: Final = 0.04
LOST_ANSWERS: Final = 0.08
EXPERIMENT: Final = "storm"


class LossyTransport(WrappedTransport):
    """Loses some requests before MLflow gets them, and some answers after MLflow carried the request out."""

    def __init__(self, wrapped: Transport, chance: random.Random) -> None:
        super().__init__(wrapped)
        self._chance = chance
        self.lossy = True
        self.lost_requests = 0
        self.lost_answers = 0

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        draw = self._chance.random() if self.lossy else 1.0
        if draw < LOST_REQUESTS:
            self.lost_requests += 1
            raise UnreachableError("The request was lost.")
        reply = await send()
        if draw < LOST_REQUESTS + LOST_ANSWERS:
            self.lost_answers += 1
            raise UnreachableError("The answer was lost.")
        return reply


@dataclass
class Outcome:
    """What one storm left."""

    writes: int
    calls: int = 0
    run_id_by_key: dict[str, str] = field(default_factory=dict[str, str])
    """Acknowledged writes."""
    lost_requests: int = 0
    lost_answers: int = 0
    runs: int = 0
    twins: int = 0
    acknowledged_lost: int = 0
    """Acknowledged, but not there, not whole, or another run."""
    unmarked: int = 0
    """RUNNING, or not complete without saying so."""

    @property
    def kept(self) -> bool:
        return not (self.twins or self.acknowledged_lost or self.unmarked)

    def __str__(self) -> str:
        return (
            f"{self.writes} writes in {self.calls} calls, {self.lost_requests} requests and {self.lost_answers} "
            f"answers lost: {len(self.run_id_by_key)} acknowledged, {self.runs} runs, {self.twins} twins, "
            f"{self.acknowledged_lost} acknowledged lost, {self.unmarked} unmarked"
        )


async def storm(engine: Engine, writes: int, seed: int) -> Outcome:
    """Writes that many runs through a lossy transport over an engine, and counts what is there."""
    lossy = LossyTransport(engine.transports[0], random.Random(seed))
    agent = engine_over(engine.location, engine.settings, lossy, lossy)
    outcome = Outcome(writes)
    limit = anyio.CapacityLimiter(AT_A_TIME)
    async with anyio.create_task_group() as background:
        background.start_soon(agent.recording.unfinished.settle_forever)
        async with anyio.create_task_group() as group:
            for number in range(writes):
                group.start_soon(_write, agent, outcome, limit, f"seed {seed} write {number}", number)
        lossy.lossy = False
        # What the background look would do within the next seconds.
        await agent.recording.unfinished.look(now=True)
        background.cancel_scope.cancel()
    outcome.lost_requests, outcome.lost_answers = lossy.lost_requests, lossy.lost_answers
    await _judge(engine, outcome)
    return outcome


async def _write(agent: Engine, outcome: Outcome, limit: anyio.CapacityLimiter, key: str, number: int) -> None:
    async with limit:
        for _ in range(ATTEMPTS):
            outcome.calls += 1
            try:
                recorded = await agent.recording.record(_draft(key, number))
            except MlflowToolError:
                continue
            outcome.run_id_by_key[key] = recorded.run.run_id
            return


def _draft(key: str, number: int) -> RunDraft:
    content = run_content(
        params={f"p{i}": i for i in range(120)}, metrics={"loss": [[0, 1.0], [1, number]]}, tags={"number": str(number)}
    )
    return RunDraft(EXPERIMENT, f"run {number}", content, idempotency_key=key)


async def _judge(engine: Engine, outcome: Outcome) -> None:
    experiment = await engine.api.get_experiment_by_name(EXPERIMENT)
    runs: list[Run] = []
    token = ""
    while True:
        page = await engine.api.search_runs([experiment.experiment_id], max_results=500, page_token=token)
        runs += page.items
        token = page.next_page_token
        if not token:
            break
    by_id = {run.run_id: run for run in runs}
    count_by_key = Counter(run.tags["mcp.request_key"] for run in runs)
    outcome.runs = len(runs)
    outcome.twins = sum(count - 1 for count in count_by_key.values())
    outcome.acknowledged_lost = sum(
        not _is_whole(by_id.get(run_id), key) for key, run_id in outcome.run_id_by_key.items()
    )
    outcome.unmarked = sum(not _is_marked(run) for run in runs)


def _is_whole(run: Run | None, key: str) -> bool:
    return (
        run is not None
        and run.status == "FINISHED"
        and run.tags["mcp.request_key"] == key
        and run.tags["mcp.state"] == "complete"
        and "mcp.missing" not in run.tags
        and len(run.params) == 120
        and "number" in run.tags
        and run.metrics == {"loss": float(run.tags["number"])}
    )


def _is_marked(run: Run) -> bool:
    state = run.tags.get("mcp.state")
    return run.status != "RUNNING" and (state == "complete" or (state == "partial" and "mcp.missing" in run.tags))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=2_000, help="in all, spread over the seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    chosen = parser.parse_args()
    kept = True
    for seed in chosen.seeds:
        engine = open_engine(Settings.load(mock_mode=True))
        try:
            outcome = anyio.run(storm, engine, chosen.writes // len(chosen.seeds), seed)
        finally:
            engine.close()
        kept = kept and outcome.kept
        print(f"seed {seed}: {outcome}", flush=True)
    print("every promise was kept" if kept else "A PROMISE WAS BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
