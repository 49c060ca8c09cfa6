"""What a run's status, its clock and its siblings say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median, quantiles
from typing import Final

from mcp_server.analysis.diagnosis.findings import Finding
from mcp_server.analysis.naming import direction_of, has_known_direction, is_resource
from mcp_server.mlflow_integration.entities import MetricSeries, Run
from mcp_server.suggestions import words

GAP: Final = 10.0
"""A pause is a stall when it is this many times the usual time between points."""
REGULAR: Final = 3.0
"""And this many times the third longest pause: checkpoints and validations pause a run more than twice."""
SHORTEST_GAP_SECONDS: Final = 120.0
RUNNING_GAP_SECONDS: Final = 600.0
"""The same for the time since the last point of a run that is still RUNNING: it may only be validating."""
SLOWING: Final = 3.0
"""The last quarter of the points took this many times as long each as the first quarter."""
FEWEST_SIBLINGS: Final = 8
"""Finished runs below which nothing is compared with them."""
FENCE: Final = 3.0
"""Interquartile ranges above the upper quartile at which a run is far out (Tukey's outer fence)."""
SLOW: Final = 2.0
"""A run is only slow when it took this many times the median as well."""
REASON_LIMIT: Final = 300
"""Characters of a reason taken from a tag or log."""

_REASON_WORDS: Final = frozenset({"error", "exception", "reason", "failure", "failed", "traceback", "exit", "missing"})
_ERROR_LINE: Final = re.compile(
    r"^\s*(?:[\w.]{0,100}(?:Error|Exception|Interrupt|Exit)\b.*|.*\b(?:killed|oom|fatal)\b.*)$", re.I
)


def status_findings(run: Run, *, log_path: str = "", log_tail: str = "") -> Iterator[Finding]:
    """Why a run failed or was killed, as far as its tags and the end of its log show."""
    if run.lifecycle_stage == "deleted":
        yield Finding("deleted", "note", "The run is deleted; update_run restores it.")
    if run.status in ("FAILED", "KILLED"):
        reasons = failure_reasons(run, log_path=log_path, log_tail=log_tail)
        why = "; ".join(reasons) or "neither a tag nor its log gives a reason"
        yield Finding(run.status.lower(), "problem", f"The run is {run.status}: {why}.".replace("..", "."))


def failure_reasons(run: Run, *, log_path: str = "", log_tail: str = "") -> list[str]:
    """What the tags of a run and the end of its log say about why it did not end well."""
    reasons = [f"tag {reason}" for reason in reasons_in_tags(run.tags)]
    if line := _error_line(log_tail):
        reasons.append(f"{log_path}: {line}" if log_path else line)
    return reasons


def reasons_in_tags(tags: Mapping[str, str]) -> list[str]:
    """Tags that say why a run failed, as `key: value`."""
    return [f"{key}: {_short(value)}" for key, value in sorted(tags.items()) if _is_reason(key, value)]


def clock_findings(run: Run, series: Sequence[MetricSeries], *, now: int) -> Iterator[Finding]:
    """Pauses and slowing down, from the times of the densest curve; `now` in UTC milliseconds."""
    own = [one for one in series if not one.key.startswith("system/")]
    densest = max(own, key=lambda one: len(one.points), default=None)
    if densest is None or not densest.points:
        yield from _silent(run, now)
        return
    points = sorted(densest.points, key=lambda point: point.timestamp)
    waits = [(after.timestamp - before.timestamp) / 1_000 for before, after in pairwise(points)]
    usual = median(waits) if waits else 0.0
    last = points[-1]
    if run.status == "RUNNING":
        idle = (now - max(point.timestamp for one in own for point in one.points)) / 1_000
        if idle > max(GAP * usual, RUNNING_GAP_SECONDS):
            text = f"RUNNING, but nothing was logged for {_time(idle)} (usual: {_time(usual)}); last step {last.step}."
            yield Finding("stalled", "problem", text, densest.key, last.step)
    if len(waits) < FEWEST_SIBLINGS or usual <= 0.0:
        return
    longest = max(range(len(waits)), key=waits.__getitem__)
    third = sorted(waits)[-3]
    if waits[longest] > max(GAP * usual, REGULAR * third, SHORTEST_GAP_SECONDS):
        steps = f"steps {points[longest].step} and {points[longest + 1].step}"
        text = f"Nothing was logged for {_time(waits[longest])} between {steps} (usual: {_time(usual)})."
        yield Finding("stalled", "warning", text, densest.key, points[longest].step)
    quarter = max(len(waits) // 4, 3)
    early, late = median(waits[:quarter]), median(waits[-quarter:])
    if early > 0.0 and late > SLOWING * early and late - early > 0.1:
        text = f"Each logged point took {_time(early)} at first and {_time(late)} in the last quarter."
        yield Finding("slowing", "warning", text, densest.key, points[-quarter - 1].step)


def sibling_findings(run: Run, siblings: Sequence[Run]) -> Iterator[Finding]:
    """Metrics and time far outside those of the siblings."""
    for key, value in sorted(run.metrics.items()):
        if is_resource(key) or not has_known_direction(key) or not math.isfinite(value):
            continue
        sign = 1.0 if direction_of(key).direction == "min" else -1.0
        values = [one.metrics[key] for one in siblings if math.isfinite(one.metrics.get(key, math.nan))]
        if _far_out(sign * value, [sign * one for one in values]):
            worse = sum(sign * one < sign * value for one in values)
            text = (
                f"{key} {value:.4g} is worse than in {worse} of {len(values)} siblings (median {median(values):.4g})."
            )
            yield Finding("worse than siblings", "warning", text, key)
    seconds = _seconds(run)
    times = [time for one in siblings if (time := _seconds(one)) > 0.0]
    if seconds > 0.0 and _far_out(seconds, times) and seconds > SLOW * median(times):
        slower = sum(time < seconds for time in times)
        text = f"The run took {_time(seconds)}, longer than {slower} of {len(times)} siblings"
        yield Finding("slower than siblings", "warning", f"{text} (median {_time(median(times))}).")


def _silent(run: Run, now: int) -> Iterator[Finding]:
    if run.status == "RUNNING" and run.start_time and (now - run.start_time) / 1_000 > RUNNING_GAP_SECONDS:
        text = f"RUNNING for {_time((now - run.start_time) / 1_000)} without logging a metric."
        yield Finding("stalled", "problem", text)
    elif run.status == "FINISHED" and not run.metrics:
        yield Finding("no metrics", "warning", "The run finished without logging a metric.")


def _far_out(value: float, others: Sequence[float]) -> bool:
    """Whether a value is far above the others, if there are enough others."""
    if len(others) < FEWEST_SIBLINGS:
        return False
    low, middle, high = quantiles(others, n=4)
    # Where all siblings agree to the digit, any value would be far out.
    return value > high + FENCE * max(high - low, 0.01 * abs(middle)) and value > max(others)


def _seconds(run: Run) -> float:
    return (run.end_time - run.start_time) / 1_000 if run.end_time > run.start_time > 0 else 0.0


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def _is_reason(key: str, value: str) -> bool:
    return bool(value.strip()) and not key.startswith("mlflow.") and bool(_REASON_WORDS.intersection(words(key)))


def _error_line(log_tail: str) -> str:
    """The last line that names an error, else the last line."""
    lines = [line.strip() for line in log_tail.splitlines() if line.strip()]
    named = [line for line in lines if _ERROR_LINE.match(line)]
    return _short((named or lines)[-1]) if lines else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    # The end of a traceback says what happened.
    return line if len(line) <= REASON_LIMIT else "…" + line[1 - REASON_LIMIT :]
