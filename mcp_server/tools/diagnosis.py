"""diagnose_run: what is wrong with a run, with the evidence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from mcp_server.analysis.diagnosis import diagnosis
from mcp_server.analysis.diagnosis.findings import Finding
from mcp_server.analysis.diagnosis.machine_findings import is_judged
from mcp_server.analysis.naming import has_known_direction, is_resource
from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.evidence import Evidence, gather_evidence
from mcp_server.rendering import Record, Table
from mcp_server.tools._context import OneEngine
from mcp_server.tools._offered import SHOWN_BY
from mcp_server.tools._params import MetricNames, RunRef

CURVES: Final = 16
"""Curves of a run that are read when the caller names none; each is one request to MLflow."""
MACHINE_CURVES: Final = 8
"""The same for `system/` metrics."""
READING_PART: Final = 0.7
"""Part of the deadline that may be spent on reading curves."""
FINDINGS_SHOWN: Final = 25


async def diagnose_run(
    engine: OneEngine,
    run: RunRef,
    metrics: Annotated[MetricNames, Field(description="Curves to look at. Default: losses and scores first.")] = (),
) -> Record:
    """Find what is wrong or went wrong with a run: why it failed or crashed, NaN, diverged, overfit
    (overfitting), plateau, spikes, stalled.

    Also whether it converged or still improves, is worse or slower than its siblings, or leaves the GPU
    idle; each with its numbers.
    """
    found = await engine.tracking.get_run(run)
    chosen = list(metrics) or _curves(found)
    evidence = await gather_evidence(
        engine.api,
        engine.artifacts_api,
        engine.metric_history,
        found,
        chosen,
        seconds=engine.settings.timeout_seconds * READING_PART,
    )
    result = diagnosis.diagnose_run(
        found,
        evidence.series,
        evidence.siblings,
        now=int(time.time() * 1_000),
        log_path=evidence.log_path,
        log_tail=evidence.log_tail,
    )
    rows = [_row(found, finding, evidence) for finding in result.findings[:FINDINGS_SHOWN]]
    return Record(
        {
            "run_id": found.run_id,
            "run_name": found.run_name,
            "status": found.status,
            "verdict": result.verdict,
            "findings": Table(["level", "finding", "evidence", SHOWN_BY], rows) if rows else None,
            "looked_at": _looked_at(evidence),
            "url": await engine.tracking.run_url(found),
        },
        hint=_hint(found, chosen, evidence, len(result.findings)),
    )


def _curves(run: Run) -> list[str]:
    """Metrics whose curves are read: what is trained for first, then what the machine did."""
    own = [key for key in sorted(run.metrics) if not key.startswith("system/")]
    own.sort(key=lambda key: (is_resource(key), not has_known_direction(key)))
    return own[:CURVES] + [key for key in sorted(run.metrics) if is_judged(key)][:MACHINE_CURVES]


def _row(run: Run, finding: Finding, evidence: Evidence) -> list[Any]:
    return [finding.level, finding.kind, finding.evidence, _shown_by(run, finding, evidence)]


def _shown_by(run: Run, finding: Finding, evidence: Evidence) -> str:
    """The call that shows more of a finding."""
    short = run.run_id[:12]
    if finding.kind in ("failed", "killed") or not finding.metric:
        return f"get_run(run='{short}')"
    if finding.kind == "worse than siblings":
        return f"rank_runs(metric='{finding.metric}', experiments=['{run.experiment_id}'])"
    steps = [point.step for one in evidence.series if one.key == finding.metric for point in one.points]
    since = ""
    if finding.step is not None and steps and finding.step > min(steps):
        since = f", start_step={finding.step}"
    return f"get_metric_history(runs=['{short}'], metrics=['{finding.metric}']{since})"


def _looked_at(evidence: Evidence) -> dict[str, Any]:
    return {
        "curves": len(evidence.series),
        "points": sum(len(one.points) for one in evidence.series),
        "finished_siblings": len(evidence.siblings),
        "log": evidence.log_path,
    }


def _hint(run: Run, chosen: Sequence[str], evidence: Evidence, findings: int) -> str:
    hints: list[str] = []
    sampled = [one.key for one in evidence.series if one.sampled]
    if sampled:
        hints.append(f"Judged by an even sample of the points: {listed(sampled, 6)}.")
    left_out = [key for key in sorted(run.metrics) if key not in chosen and not key.startswith("system/")]
    if left_out:
        hints.append(f"Not read: {listed(left_out, 6)}; metrics= chooses the curves to read.")
    if evidence.unread:
        hints.append(f"No time was left for {listed(evidence.unread, 6)}.")
    if evidence.log_path and not evidence.log_tail:
        hints.append(f"The log {evidence.log_path} is too large to be read here.")
    if findings > FINDINGS_SHOWN:
        hints.append(f"{findings - FINDINGS_SHOWN} more findings are not shown; choose fewer curves with metrics=.")
    return " ".join(hints)
