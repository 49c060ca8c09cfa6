"""Parallel calls: 40 get_run at once through one server, and 16 log_run; every answer checked.

The references ask MLflow directly, 8 requests at a time as our server does: for a run the three requests that get_run
sends, and runs/get alone; to log a run the three that it takes at least. All sides are warm: each keeps its connections
from one round to the next.
"""

from __future__ import annotations

import time
from typing import Any

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal
from measure import Report, Rest, StdioServer, interleaved, median, mlflow_server, run, seconds

READS = 40
WRITES = 16
IN_FLIGHT = 8
ROUNDS = 7


def main() -> None:
    report = Report(f"parallel: medians of {ROUNDS} rounds in turn")
    with mlflow_server() as address, Rest(address) as rest:
        ids = rest.seed_sweep("sweep", READS)
        with StdioServer(MLFLOW_TRACKING_URI=address) as server, start_blocking_portal() as portal:
            server.initialize()
            limits = httpx2.Limits(max_connections=IN_FLIGHT)
            client = httpx2.AsyncClient(base_url=f"{address}/api/2.0/mlflow/", timeout=60, limits=limits)
            wrong = 0

            def reads() -> float:
                nonlocal wrong
                began = time.perf_counter()
                numbers = [server.call("get_run", run=run_id) for run_id in ids]
                answers = [server.receive(number)[1] for number in numbers]
                spent = time.perf_counter() - began
                wrong += sum(
                    bool(answer.get("isError")) or answer["structuredContent"]["run_id"] != run_id
                    for answer, run_id in zip(answers, ids, strict=True)
                )
                return spent

            def writes() -> float:
                began = time.perf_counter()
                numbers = [
                    server.call("log_run", experiment="written", run_name=f"w{i}", params={"n": i}, metrics={"m": i})
                    for i in range(WRITES)
                ]
                refused = [answer for answer in (server.receive(n)[1] for n in numbers) if answer.get("isError")]
                if refused:
                    raise RuntimeError(refused[0]["content"][0]["text"])
                return time.perf_counter() - began

            def reads_directly() -> float:
                return seconds(lambda: portal.call(direct_reads, client, ids))

            def runs_alone() -> float:
                return seconds(lambda: portal.call(direct_runs, client, ids))

            def writes_directly() -> float:
                return seconds(lambda: portal.call(direct_writes, client, elsewhere))

            elsewhere = rest.post("experiments/create", name="direct")["experiment_id"]
            interleaved(1, reads, reads_directly, runs_alone)
            wrong = 0
            ours, direct, alone = interleaved(ROUNDS, reads, reads_directly, runs_alone)
            written, direct_written = interleaved(ROUNDS, writes, writes_directly)
            experiment = server.ask("search_experiments", name_contains="written")["structuredContent"]
            place = dict(zip(experiment["columns"], experiment["rows"][0], strict=True))["experiment_id"]
            found = rest.post("runs/search", experiment_ids=[place], max_results=1_000)["runs"]
            portal.call(client.aclose)
    complete = sum(
        one["info"]["status"] == "FINISHED" and len(one["data"]["params"]) == len(one["data"]["metrics"]) == 1
        for one in found
    )
    report.add(f"{READS} get_run at once, against the same requests", median(ours), "s", reference=median(direct))
    report.add("  against runs/get alone", median(ours), "s", reference=median(alone))
    report.add("  wrong or failed answers", wrong, f"of {READS * ROUNDS}", most=0)
    report.add(
        f"{WRITES} log_run at once, against the least requests", median(written), "s", reference=median(direct_written)
    )
    report.add("  runs that are not there and whole", WRITES * ROUNDS - complete, f"of {WRITES * ROUNDS}", most=0)
    report.show()


async def at_once(client: httpx2.AsyncClient, jobs: list[Any]) -> None:
    gate = anyio.CapacityLimiter(IN_FLIGHT)

    async def one(job: Any) -> None:
        async with gate:
            await job(client)

    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(one, job)


async def direct_runs(client: httpx2.AsyncClient, ids: list[str]) -> None:
    def read(run_id: str) -> Any:
        async def job(client: httpx2.AsyncClient) -> None:
            await read_run(client, run_id)

        return job

    await at_once(client, [read(run_id) for run_id in ids])


async def direct_reads(client: httpx2.AsyncClient, ids: list[str]) -> None:
    """Each run with its children and the model versions made from it."""

    def read(run_id: str) -> Any:
        async def job(client: httpx2.AsyncClient) -> None:
            experiment_id = await read_run(client, run_id)
            children = {
                "experiment_ids": [experiment_id],
                "filter": f"tags.`mlflow.parentRunId` = '{run_id}'",
                "max_results": 10,
            }
            versions = {"filter": f"run_id = '{run_id}'", "max_results": 20}
            (await client.post("runs/search", json=children)).raise_for_status().json()
            (await client.get("model-versions/search", params=versions)).raise_for_status().json()

        return job

    await at_once(client, [read(run_id) for run_id in ids])


async def read_run(client: httpx2.AsyncClient, run_id: str) -> str:
    """The id of its experiment."""
    reply = (await client.get("runs/get", params={"run_id": run_id})).raise_for_status()
    info = reply.json()["run"]["info"]
    if info["run_id"] != run_id:
        raise RuntimeError("MLflow answered with another run")
    return info["experiment_id"]


async def direct_writes(client: httpx2.AsyncClient, experiment: str) -> None:
    """The least that a run takes: create it, log a batch, end it."""

    def write(i: int) -> Any:
        async def job(client: httpx2.AsyncClient) -> None:
            made = await client.post(
                "runs/create", json={"experiment_id": experiment, "run_name": f"w{i}", "start_time": 1}
            )
            run_id = made.raise_for_status().json()["run"]["info"]["run_id"]
            batch = {
                "run_id": run_id,
                "params": [{"key": "n", "value": str(i)}],
                "metrics": [{"key": "m", "value": i, "timestamp": 1, "step": 0}],
            }
            (await client.post("runs/log-batch", json=batch)).raise_for_status()
            end = {"run_id": run_id, "status": "FINISHED", "end_time": 2}
            (await client.post("runs/update", json=end)).raise_for_status()

        return job

    await at_once(client, [write(i) for i in range(WRITES)])


if __name__ == "__main__":
    run(main)
