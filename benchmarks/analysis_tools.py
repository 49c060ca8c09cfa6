"""Questions about whole experiments: time and characters of each analysis tool on 10,000 runs in an SQLite store."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from measure import Report, fill_database, run

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.rendering import dumps
from mcp_server.server import build_server
from mcp_server.settings import Settings

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
CALL_SECONDS = 45.0
"""The default of MLFLOW_MCP_TIMEOUT_SECONDS."""
SUMMARY_SECONDS = 10.0
ANSWER = 8_000
"""Characters of a half of a default answer: about 2,000 tokens."""
IMAGE_BYTES = 250_000

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("summarize_experiment", {"experiment": "big"}),
    ("analyze_params", {"metric": "acc", "experiments": ["big"]}),
    ("plot_metrics", {"metrics": ["acc"], "kind": "scatter", "params": ["lr"], "experiments": ["big"]}),
    ("plot_metrics", {"metrics": ["acc"], "kind": "parallel", "experiments": ["big"]}),
    ("plot_metrics", {"metrics": ["acc", "loss"], "kind": "pareto", "experiments": ["big"]}),
    ("plot_metrics", {"metrics": ["acc"], "kind": "bars", "experiments": ["big"]}),
    ("plot_metrics", {"metrics": ["acc"], "kind": "curves", "experiments": ["big"]}),
    ("export_runs", {"path": "runs.csv", "experiments": ["big"]}),
    ("export_runs", {"path": "runs.jsonl", "experiments": ["big"]}),
    ("export_runs", {"path": "runs.parquet", "experiments": ["big"]}),
    ("diagnose_run", {"run": "run-7"}),
)


async def measured(engine: Engine, report: Report) -> None:
    await engine.api.version()
    async with Client(build_server(engine)) as client:
        for tool, arguments in CALLS:
            began = time.perf_counter()
            result = await client.call_tool(tool, arguments)
            took = time.perf_counter() - began
            if result.is_error:
                raise RuntimeError(result.content)
            what = f"{tool} {arguments.get('kind', arguments.get('path', ''))}".strip()
            report.add(what, took, "s", most=SUMMARY_SECONDS if tool == "summarize_experiment" else CALL_SECONDS)
            text = len(result.content[0].text)  # type: ignore[union-attr]
            structured = len(dumps(result.structured_content)) if result.structured_content else 0
            report.add("  characters of its longer half", max(text, structured), "", most=ANSWER)
            for image in (part for part in result.content if part.type == "image"):
                report.add("  bytes of its image", len(image.data) * 3 // 4, "bytes", most=IMAGE_BYTES)
            if result.structured_content and "runs" in result.structured_content:
                read = result.structured_content["runs"]
                report.note("  runs it counted", f"{read:,}" if isinstance(read, int) else str(read))


def main() -> None:
    report = Report(f"analysis tools on {RUNS:,} runs in an SQLite store, one call each")
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        database = Path(folder) / "mlflow.db"
        fill_database(database, RUNS)
        exports = Path(folder) / "exports"
        exports.mkdir()
        settings = Settings.load(tracking_uri=f"sqlite:///{database.as_posix()}", allowed_folders=(exports,))
        engine = open_engine(settings)
        try:
            anyio.run(measured, engine, report)
        finally:
            engine.close()
    report.show()


if __name__ == "__main__":
    run(main)
