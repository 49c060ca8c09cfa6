"""A curve of 1,000,000 points in an SQLite store: 50 of them, and the exact facts of all, against SQL by hand.

The store is asked by index probes in a worker thread, and so is the reference; MLflow's own sample reads every point.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from mcp.client import Client
from measure import Report, fill_database, median, run, seconds

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.operations.metric_history import COUNTED_IN_ALL
from mcp_server.mlflow_integration.rest.transport import CurveLimits, CurveReader
from mcp_server.server import build_server
from mcp_server.settings import Settings

POINTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
WANTED = 50
ROUNDS = 101
PROBE = """
    SELECT step, value, timestamp, is_nan FROM metrics
    WHERE run_uuid = ? AND key = 'long' AND step >= ? ORDER BY step LIMIT 1
"""
TOTALS = "SELECT count(*), min(value), max(value), sum(is_nan) FROM metrics WHERE run_uuid = ? AND +key = 'long'"


def fill(database: Path) -> str:
    """The id of the run with the curve, among 200 runs with short ones."""
    fill_database(database, 200)
    connection = sqlite3.connect(database)
    rng = random.Random(7)
    try:
        (run_id,) = connection.execute("SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT 1").fetchone()
        rows = (("long", rng.random(), 1_700_000_000_000 + step, step, 0, run_id) for step in range(POINTS))
        insert = "INSERT INTO {} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,?,?,?)"
        connection.executemany(insert.format("metrics"), rows)
        connection.execute(insert.format("latest_metrics"), ("long", 0.5, 1_700_000_000_000, POINTS - 1, 0, run_id))
        connection.commit()
    finally:
        connection.close()
    return run_id


async def measured(engine: Engine, connection: sqlite3.Connection, run_id: str, report: Report) -> None:
    reader = engine.transports[0]
    if not isinstance(reader, CurveReader):
        raise RuntimeError("this store is not asked directly")
    await engine.api.version()

    async def read(limits: CurveLimits) -> float:
        began = time.perf_counter()
        found = await reader.read_curves([(run_id, "long")], limits, None)
        if not found:
            raise RuntimeError("no curve was found")
        return time.perf_counter() - began

    def probes() -> None:
        for place in range(WANTED):
            connection.execute(PROBE, (run_id, place * POINTS // WANTED)).fetchone()

    async def by_hand() -> float:
        began = time.perf_counter()
        await to_thread.run_sync(probes)
        return time.perf_counter() - began

    points = CurveLimits(whole=0, whole_in_all=0, sample=WANTED, counted_in_all=0)
    facts = CurveLimits(whole=0, whole_in_all=0, sample=WANTED, counted_in_all=COUNTED_IN_ALL)
    times: dict[str, list[float]] = {name: [] for name in ("points", "hand", "facts", "counted", "mlflow", "tool")}
    for round_number in range(ROUNDS + 2):
        took, reference = await read(points), await by_hand()
        if round_number >= 2:
            times["points"].append(took)
            times["hand"].append(reference)
    arguments: dict[str, Any] = {"runs": [run_id], "metrics": ["long"], "max_points": WANTED}
    async with Client(build_server(engine)) as client:
        for _ in range(3):
            times["facts"].append(await read(facts))
            times["counted"].append(seconds(lambda: connection.execute(TOTALS, (run_id,)).fetchone()))
            began = time.perf_counter()
            await engine.api.metric_history_sample([run_id], "long", max_results=WANTED, start_step=None, end_step=None)
            times["mlflow"].append(time.perf_counter() - began)
            began = time.perf_counter()
            result = await client.call_tool("get_metric_history", arguments)
            times["tool"].append(time.perf_counter() - began)
            if result.is_error:
                raise RuntimeError(result.content)
    best, by_probes = median(times["points"]), median(times["hand"])
    report.add(f"{WANTED} points, against {WANTED} index probes", best, "s", reference=by_probes, most_ratio=3)
    report.note("  in microseconds", f"{best * 1e6:,.0f} / {by_probes * 1e6:,.0f}")
    report.add("  against MLflow's own sample of as many", best, "s", reference=median(times["mlflow"]))
    report.add(
        "with count, extremes and NaN of all, against one pass",
        median(times["facts"]),
        "s",
        reference=median(times["counted"]),
    )
    report.add(
        "the tool get_metric_history", median(times["tool"]), "s", reference=median(times["mlflow"]), most_ratio=1
    )


def main() -> None:
    report = Report(
        f"SQLite: a curve of {POINTS:,} points, medians of {ROUNDS} rounds in turn (of 3 where all are read)"
    )
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        database = Path(folder) / "mlflow.db"
        run_id = fill(database)
        engine = open_engine(Settings.load(tracking_uri=f"sqlite:///{database.as_posix()}"))
        connection = sqlite3.connect(database, check_same_thread=False)
        try:
            anyio.run(measured, engine, connection, run_id, report)
        finally:
            connection.close()
            engine.close()
    report.show()


if __name__ == "__main__":
    run(main)
