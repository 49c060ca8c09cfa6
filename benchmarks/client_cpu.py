"""Client CPU: one page of 1,000 runs over HTTP as entities, against json.loads of the same body.

CPU time of this process only; MLflow works in its own. MLflow's client is there for comparison.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from measure import Report, Rest, fill_database, median, mlflow_server, run, seconds

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.rest.conversion import page_of, run_of
from mcp_server.mlflow_integration.rest.error_responses import json_object
from mcp_server.settings import Settings

RUNS = 1_000
ROUNDS = 15
CPU = time.process_time


async def page(engine: Engine) -> None:
    found = await engine.api.search_runs(["1"], max_results=RUNS)
    if len(found.items) != RUNS:
        raise RuntimeError(f"{len(found.items)} runs came instead of {RUNS}")


Times = tuple[list[float], list[float], list[float], list[float]]


def with_ours(engine: Engine, rest: Rest, body: bytes) -> Times:
    """CPU seconds of our page, of json.loads, of our page once the body is here, and of a page by hand, in turn."""

    async def rounds() -> Times:
        ours: list[float] = []
        floor: list[float] = []
        built: list[float] = []
        by_hand: list[float] = []
        await page(engine)
        for _ in range(ROUNDS):
            began = CPU()
            await page(engine)
            ours.append(CPU() - began)
            floor.append(seconds(lambda: json.loads(body), CPU))
            built.append(seconds(lambda: build(body), CPU))
            by_hand.append(seconds(lambda: json.loads(search(rest)), CPU))
        await engine.aclose()
        return ours, floor, built, by_hand

    return anyio.run(rounds)


def search(rest: Rest) -> bytes:
    return rest.client.post("runs/search", json={"experiment_ids": ["1"], "max_results": RUNS}).content


def build(body: bytes) -> Any:
    return page_of(json_object(body) or {}, "runs", run_of)


def with_mlflow(address: str) -> list[float]:
    from mlflow import MlflowClient

    client = MlflowClient(address)
    client.search_runs(["1"], max_results=RUNS)
    return [seconds(lambda: client.search_runs(["1"], max_results=RUNS), CPU) for _ in range(5)]


def main() -> None:
    report = Report(f"client CPU: one page of {RUNS:,} runs over HTTP, medians of {ROUNDS} rounds in turn")
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        database = Path(folder) / "mlflow.db"
        fill_database(database, RUNS)
        with mlflow_server(database) as address, Rest(address) as rest:
            body = search(rest)
            ours, floor, built, by_hand = with_ours(open_engine(Settings.load(tracking_uri=address)), rest, body)
            theirs = with_mlflow(address)
    report.add("bytes of MLflow's JSON", len(body), "bytes")
    report.add("api.search_runs, transport and entities", median(ours), "s", reference=median(floor), most_ratio=1.5)
    report.add("  of it parsing and entities", median(built), "s", reference=median(floor))
    report.add("  against httpx2 and json.loads by hand", median(ours), "s", reference=median(by_hand))
    report.add("MlflowClient.search_runs", median(theirs), "s", reference=median(floor))
    report.show()


if __name__ == "__main__":
    run(main)
