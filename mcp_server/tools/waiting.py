"""wait_for_runs: waits until something happens to runs that are still going."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context
from pydantic import Field

from mcp_server.analysis.diagnosis.run_findings import clock_findings
from mcp_server.analysis.naming import is_resource
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations import waiting
from mcp_server.mlflow_integration.operations.waiting import GOING, Threshold, Waited
from mcp_server.rendering import Record, Table
from mcp_server.tools._context import OneEngine
from mcp_server.tools._params import RunRefs

MARGIN: Final = 0.1
"""Part of the deadline that is kept for the first and the last request."""


async def wait_for_runs(
    engine: OneEngine,
    context: Context[Any, Any],
    runs: RunRefs,
    until: Annotated[str, Field(description="Also wait for values: metrics.val_loss < 0.2, joined by and.")] = "",
    wait_for_all: Annotated[bool, Field(description="Wait for all of them, not only the first.")] = False,
    timeout_seconds: Annotated[
        float, Field(ge=1, le=3_600, description="Longest wait, up to the limit of one call.")
    ] = 40,
) -> Record:
    """Wait for runs that are still training: ends when one finishes, fails, crosses a threshold, goes NaN,
    stalls, or at the timeout.

    After a timeout call it again to keep monitoring.
    """
    thresholds = waiting.thresholds_in(until)
    allowed = engine.settings.timeout_seconds * (1 - MARGIN)

    async def progress(passed: float, seen: Sequence[Run]) -> None:
        going = sum(run.status in GOING for run in seen)
        await context.report_progress(passed, min(timeout_seconds, allowed), f"{going} of {len(seen)} still running")

    async def stalled(run: Run) -> str:
        return await _stalled(engine, run)

    found = await waiting.wait_for_runs(
        engine.tracking,
        runs,
        thresholds,
        for_all=wait_for_all,
        seconds=min(timeout_seconds, allowed),
        progress=progress,
        stalled=stalled,
    )
    return _record(found, thresholds, cut=allowed < timeout_seconds)


async def _stalled(engine: OneEngine, run: Run) -> str:
    """A sentence when nothing was logged for long; judged by one curve, because reading all of them takes time."""
    own = sorted((key for key in run.metrics if not key.startswith("system/")), key=lambda key: (is_resource(key), key))
    series = await engine.metric_history.read([run], own[:1]) if own else ()
    found = clock_findings(run, series, now=int(time.time() * 1_000))
    return next((one.evidence for one in found if one.kind == "stalled" and one.level == "problem"), "")


def _record(found: Waited, thresholds: Sequence[Threshold], *, cut: bool) -> Record:
    names = {run.run_id: run.run_name for run in found.runs}
    events = [[event.run_id, names[event.run_id], event.what, event.detail] for event in found.events]
    metrics = list(dict.fromkeys(threshold.metric for threshold in thresholds))
    states = [
        [run.run_id, run.run_name, run.status, *(run.metrics.get(metric, "") for metric in metrics)]
        for run in found.runs
    ]
    return Record(
        {
            "happened": ", ".join(dict.fromkeys(event.what for event in found.events)) or _nothing(found),
            "waited_seconds": round(found.seconds, 1),
            "events": Table(["run_id", "run_name", "event", "detail"], events) if events else None,
            "runs": Table(["run_id", "run_name", "status", *(f"metrics.{metric}" for metric in metrics)], states),
        },
        hint=_hint(found, thresholds, cut=cut),
    )


def _nothing(found: Waited) -> str:
    return "nothing until the timeout" if found.timed_out else "nothing: all had already ended"


def _hint(found: Waited, thresholds: Sequence[Threshold], *, cut: bool) -> str:
    hints: list[str] = []
    unknown = [one.metric for one in thresholds if not any(one.metric in run.metrics for run in found.runs)]
    if unknown:
        hints.append(f"No run has logged {', '.join(dict.fromkeys(unknown))} yet.")
    if found.timed_out:
        most = " the most one call may take (MLFLOW_MCP_TIMEOUT_SECONDS);" if cut else ""
        hints.append(f"Waited {found.seconds:.0f} s,{most} call again to keep waiting.")
    return " ".join(hints)
