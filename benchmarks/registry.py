"""1,000 registered models of 10 versions: search_models and get_model through the tools, against plain HTTP.

The reference sends the requests that a script would send by hand, with httpx2, to the same `mlflow server`.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx2
from mcp.client import Client
from measure import Report, median, mlflow_server, run, size

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings

MODELS = 1_000
VERSIONS = 10
ROUNDS = 15
ANSWER_LIMIT = 40_000
"""Characters that any answer may have."""


def fill(database: Path, run_ids: list[str]) -> None:
    """Row by row in SQL; every version has a run, a description, a tag, and a promotion in its history."""
    began = 1_700_000_000_000
    names = [f"model-{i:04}" for i in range(MODELS)]
    record = json.dumps({"kind": "promotion", "by": "benchmark", "gates": [{"gate": "metrics.accuracy > 0.9"}]})
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)",
            [(name, began, began + i, f"Predicts {name}.") for i, name in enumerate(names)],
        )
        connection.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source,"
            " run_id, status) VALUES (?, ?, ?, ?, 'None', ?, ?, 'READY')",
            [
                (name, v, began + v, began + v, f"mlflow-artifacts:/1/{run_ids[v - 1]}/model", run_ids[v - 1])
                for name in names
                for v in range(1, VERSIONS + 1)
            ],
        )
        connection.executemany(
            "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
            [
                (name, v, f"mcp.promotion.champion.{began + v}", record)
                for name in names
                for v in range(1, VERSIONS + 1)
            ],
        )
        connection.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'champion', ?)",
            [(name, VERSIONS) for name in names],
        )


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def measure(report: Report, engine: Engine, address: str, database: Path) -> None:
    plain = httpx2.AsyncClient(base_url=f"{address}/api/2.0/mlflow/", timeout=60)
    async with plain, Client(build_server(engine)) as client:
        run_ids: list[str] = []
        for i in range(VERSIONS):
            logged = await client.call_tool("log_run", {"experiment": "trained", "metrics": {"accuracy": i / 10}})
            run_ids.append(str((logged.structured_content or {})["run_id"]))
        fill(database, run_ids)

        async def get(route: str, **params: str | int) -> None:
            json.loads((await plain.get(route, params=params)).raise_for_status().content)

        async def plain_page() -> None:
            await get("registered-models/search", max_results=50)

        async def plain_model() -> None:
            await get("registered-models/get", name="model-0500")
            await get("model-versions/search", filter="name = 'model-0500'", order_by="version_number DESC")
            ids = ", ".join(f"'{run_id}'" for run_id in run_ids)
            body = {"experiment_ids": ["0", "1"], "filter": f"attributes.run_id IN ({ids})"}
            json.loads((await plain.post("runs/search", json=body)).raise_for_status().content)

        for tool, arguments, by_hand in (
            ("search_models", {}, plain_page),
            ("get_model", {"name": "model-0500"}, plain_model),
        ):
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise RuntimeError(result.content)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(await timed(lambda t=tool, a=arguments: client.call_tool(t, a)))
                theirs.append(await timed(by_hand))
            report.add(f"{tool}: time", median(ours), "s", reference=median(theirs))
            report.add(
                f"{tool}: bytes, both halves", size(result.model_dump_json(exclude_none=True)), "B", most=ANSWER_LIMIT
            )

        pages, token = 0, ""
        began = time.perf_counter()
        while pages == 0 or token:
            page = await client.call_tool("search_models", {"max_results": 200, "page_token": token})
            token = str((page.structured_content or {}).get("next_page_token", ""))
            pages += 1
        report.note(f"all {MODELS:,} models", f"{pages} pages, {time.perf_counter() - began:.2f} s")


def main() -> None:
    report = Report(f"Registry: {MODELS:,} models of {VERSIONS} versions over HTTP, medians of {ROUNDS} rounds in turn")
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        database = Path(folder) / "mlflow.db"
        with mlflow_server(database) as address:
            engine = open_engine(Settings.load(tracking_uri=address))
            try:
                anyio.run(measure, report, engine, address, database)
            finally:
                engine.close()
    report.show()


if __name__ == "__main__":
    run(main)
