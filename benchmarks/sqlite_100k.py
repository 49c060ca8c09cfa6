"""100,000 runs in one SQLite store: the best 10 by a metric through MLflow in our process, against SQL by hand.

The store is as MLflow leaves it, without statistics for SQLite's planner; opening it adds them.
As MLflow ships, the same search of such a store takes 109 s.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from measure import Report, fill_database, median, run, seconds

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
ROUNDS = 9
FILTER = "metrics.acc > 0.5"
ORDER = ("metrics.acc DESC",)
RANKED = {"metric": "acc", "experiments": ["big"], "filter_string": FILTER, "max_results": 10}
BEST = """
    SELECT r.* FROM runs r JOIN latest_metrics m ON m.run_uuid = r.run_uuid AND m.key = 'acc'
    WHERE r.experiment_id = 1 AND r.lifecycle_stage = 'active' AND m.value > 0.5 AND NOT m.is_nan
    ORDER BY m.value DESC, r.start_time DESC, r.run_uuid LIMIT 10
"""


def by_hand(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The ten runs with all that belongs to them, as dictionaries."""
    runs = [dict(row) for row in connection.execute(BEST)]
    ids = [one["run_uuid"] for one in runs]
    marks = ",".join("?" * len(ids))
    for table in ("latest_metrics", "params", "tags"):
        values: dict[str, dict[str, Any]] = {run_id: {} for run_id in ids}
        for row in connection.execute(f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({marks})", ids):
            values[row["run_uuid"]][row["key"]] = row["value"]
        for one in runs:
            one[table] = values[one["run_uuid"]]
    return runs


async def measured(engine: Engine, connection: sqlite3.Connection) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"opening": [], "first": [], "api": [], "tool": [], "rank": [], "hand": []}
    arguments = {"experiments": ["big"], "filter_string": FILTER, "order_by": list(ORDER), "max_results": 10}
    began = time.perf_counter()
    await engine.api.version()
    times["opening"].append(time.perf_counter() - began)
    async with Client(build_server(engine)) as client:
        for round_number in range(ROUNDS + 1):
            began = time.perf_counter()
            page = await engine.api.search_runs(["1"], filter_string=FILTER, order_by=ORDER, max_results=10)
            times["api" if round_number else "first"].append(time.perf_counter() - began)
            began = time.perf_counter()
            result = await client.call_tool("search_runs", arguments)
            if round_number:
                times["tool"].append(time.perf_counter() - began)
            if result.is_error:
                raise RuntimeError(result.content)
            began = time.perf_counter()
            ranked = await client.call_tool("rank_runs", RANKED)
            if round_number:
                times["rank"].append(time.perf_counter() - began)
            if ranked.is_error:
                raise RuntimeError(ranked.content)
            times["hand"].append(seconds(lambda: by_hand(connection)))
            if [one.run_id for one in page.items] != [one["run_uuid"] for one in by_hand(connection)]:
                raise RuntimeError("MLflow and the SQL by hand found different runs")
    return times


def main() -> None:
    report = Report(f"SQLite: best 10 of {RUNS:,} runs by a metric, medians of {ROUNDS} rounds in turn")
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        database = Path(folder) / "mlflow.db"
        fill_database(database, RUNS)
        engine = open_engine(Settings.load(tracking_uri=f"sqlite:///{database.as_posix()}"))
        connection = sqlite3.connect(database)
        connection.row_factory = sqlite3.Row
        try:
            times = anyio.run(measured, engine, connection)
        finally:
            connection.close()
            engine.close()
        size = database.stat().st_size / 1024**2
    report.add("size of the store", size, "MB")
    report.add("opening it: mlflow's import, schema check, statistics", times["opening"][0], "s")
    report.add("first search", times["first"][0], "s", reference=median(times["hand"]))
    report.add("api.search_runs", median(times["api"]), "s", reference=median(times["hand"]), most_ratio=3)
    report.add("the tool search_runs", median(times["tool"]), "s", reference=median(times["hand"]), most_ratio=3)
    search = median(times["api"])
    report.add(
        "the tool rank_runs, against api.search_runs", median(times["rank"]), "s", reference=search, most_ratio=1.2
    )
    report.show()


if __name__ == "__main__":
    run(main)
