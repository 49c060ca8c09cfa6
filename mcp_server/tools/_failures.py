"""Why runs of an experiment failed: what their tags and logs say, counted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import anyio

from mcp_server.analysis.diagnosis.run_findings import failure_reasons
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.evidence import read_log
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactsApi
from mcp_server.rendering import Table
from mcp_server.untrusted import clip

LOGS_READ: Final = 10
"""Runs whose tags give no reason and whose logs are therefore read, the newest."""
LOG_LIMIT: Final = 1024 * 1024
"""Bytes of the largest of these logs; diagnose_run reads larger ones."""
REASONS_SHOWN: Final = 8
REASON_LENGTH: Final = 160
"""Characters of one reason."""
NO_REASON: Final = "neither a tag nor a log gives a reason"

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")


async def failures_table(artifacts: ArtifactsApi, runs: Sequence[Run], *, seconds: float) -> Table | None:
    """The reasons of the runs that failed, the most frequent first; None when none failed.

    Reasons that differ only in numbers are one. `runs` come newest first; logs are read for at most `seconds`.
    """
    failed = [run for run in runs if run.status == "FAILED"]
    if not failed:
        return None
    reasons = {run.run_id: "; ".join(found) for run in failed if (found := failure_reasons(run))}
    silent = [run for run in failed if run.run_id not in reasons]
    reasons.update(await _reasons_in_logs(artifacts, silent[:LOGS_READ], seconds))
    groups: dict[str, list[Run]] = {}
    for run in failed:
        if run.run_id in reasons:
            groups.setdefault(_NUMBERS.sub("#", reasons[run.run_id]), []).append(run)
    found = sorted(groups.values(), key=len, reverse=True)
    rows = [
        [clip(reasons[some[0].run_id], REASON_LENGTH), len(some), some[0].run_name, some[0].run_id[:12]]
        for some in found[:REASONS_SHOWN]
    ]
    hints: list[str] = []
    if len(found) > REASONS_SHOWN:
        hints.append(f"{len(found) - REASONS_SHOWN} rarer reasons are not shown.")
    if unread := len(failed) - len(reasons):
        hints.append(f"The logs of {unread} more failed runs were not read; diagnose_run reads the log of one run.")
    return Table(["why", "runs", "newest_run", "run_id"], rows, hint=" ".join(hints))


async def _reasons_in_logs(artifacts: ArtifactsApi, runs: Sequence[Run], seconds: float) -> Mapping[str, str]:
    """By run id, for those whose artifacts were looked through in time."""
    found: dict[str, str] = {}

    async def read(run: Run) -> None:
        path, tail = await read_log(artifacts, run, limit=LOG_LIMIT)
        too_large = f"the reason may be in {path}, which is large" if path and not tail else NO_REASON
        found[run.run_id] = "; ".join(failure_reasons(run, log_tail=tail)) or too_large

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as reading:
            for run in runs:
                reading.start_soon(read, run)
    return found
