"""What is wrong with a run, if anything: a verdict, and the evidence for each part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from mcp_server.analysis.diagnosis.findings import Finding, Level, curve_findings
from mcp_server.analysis.diagnosis.machine_findings import machine_findings
from mcp_server.analysis.diagnosis.run_findings import clock_findings, sibling_findings, status_findings
from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import MetricSeries, Run

_ORDER: Final[tuple[Level, ...]] = ("problem", "warning", "note")
_IN_VERDICT: Final = 3
"""Kinds of findings that the verdict names."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    verdict: str
    """One or two sentences."""
    findings: tuple[Finding, ...]
    """Problems first, then warnings, then notes."""


def diagnose_run(
    run: Run,
    series: Sequence[MetricSeries],
    siblings: Sequence[Run] = (),
    *,
    now: int,
    log_path: str = "",
    log_tail: str = "",
) -> Diagnosis:
    """Look for what usually goes wrong in training; `now` is the present in UTC milliseconds.

    `series` are the run's curves with those of the machine, `siblings` other finished runs of its experiment,
    `log_tail` the end of a log among its artifacts. What is not given is not judged.
    """
    found = list(
        chain(
            status_findings(run, log_path=log_path, log_tail=log_tail),
            curve_findings(series),
            clock_findings(run, series, now=now),
            machine_findings(series),
            sibling_findings(run, siblings),
        )
    )
    found += _last_not_finite(run, found)
    found.sort(key=lambda finding: _ORDER.index(finding.level))
    return Diagnosis(_verdict(run, series, found), tuple(found))


def _last_not_finite(run: Run, findings: Sequence[Finding]) -> list[Finding]:
    """Metrics that ended in NaN or infinity although no curve shows it: it was not read, or only a sample of it."""
    told = {finding.metric for finding in findings if finding.kind in ("NaN", "infinite")}
    found: list[Finding] = []
    for key, value in sorted(run.metrics.items()):
        if key not in told and not math.isfinite(value):
            kind = "NaN" if math.isnan(value) else "infinite"
            found.append(Finding(kind, "problem", f"The latest value of {key} is {kind}.", key))
    return found


def _verdict(run: Run, series: Sequence[MetricSeries], findings: Sequence[Finding]) -> str:
    wrong = [finding for finding in findings if finding.level != "note"]
    notes = list(dict.fromkeys(finding.kind for finding in findings if finding.level == "note"))
    also = f" Noted: {', '.join(notes[:_IN_VERDICT])}." if notes else ""
    if not wrong:
        points = sum(len(one.points) for one in series)
        curves = f"{len(series)} {'curve' if len(series) == 1 else 'curves'} with {points:,} points"
        return f"No problem found in {curves}; the run is {run.status or 'without a status'}.{also}"
    first, *more = [_named(kind, wrong) for kind in dict.fromkeys(finding.kind for finding in wrong)]
    named = "; ".join([first, *more[: _IN_VERDICT - 1]])
    rest = len(more) - _IN_VERDICT + 1
    return f"{named[0].upper()}{named[1:]}{f'; and {rest} more' if rest > 0 else ''}.{also}"


def _named(kind: str, findings: Sequence[Finding]) -> str:
    of_kind = [finding for finding in findings if finding.kind == kind]
    metrics = list(dict.fromkeys(finding.metric for finding in of_kind if finding.metric))
    steps = [finding.step for finding in of_kind if finding.step is not None]
    where = f" ({listed(metrics, 2)})" if metrics else ""
    return f"{kind}{where}{f' since step {min(steps)}' if steps else ''}"
