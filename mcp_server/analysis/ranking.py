"""The best runs by one metric, and which runs could not take part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcp_server.analysis.counting import counted
from mcp_server.analysis.naming import Direction, MetricDirection, direction_of
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.suggestions import suggestion


@dataclass(frozen=True, slots=True)
class RankedRun:
    rank: int
    """From 1; runs of equal value share it, and the next rank counts them (1, 1, 3)."""
    value: float
    """Latest value of the metric, always finite."""
    run: Run


@dataclass(frozen=True, slots=True)
class Ranking:
    metric: str
    direction: Direction
    direction_reason: str
    """`asked for`, or why it was inferred."""
    ranked: tuple[RankedRun, ...]
    """The best, at most `top` of them; equal values ordered by start time, then run id."""
    rankable: int
    """Runs that could be ranked; `ranked` has the best of them."""
    tied_beyond: int
    """Runs that share the last rank shown but were cut off by `top`."""
    margin: float | None
    """Distance from the best value to the second best run's, in the metric's unit, 0 or more; absent below two runs
    and where it is larger than a float."""
    left_out: Mapping[str, int]
    """Runs that were not ranked, counted by reason: deleted, failed, killed, running, scheduled, no value, NaN or
    infinite."""


def rank_runs(runs: Sequence[Run], metric: str, *, direction: str = "", top: int = 10) -> Ranking:
    """Rank finished runs by the latest value of a metric; `direction` is max or min, else inferred from the name.

    Returns: a ranking that does not depend on the order of `runs`; empty when there are no runs.
    Raises: InvalidInputError: no run has the metric, `direction` is another word, `top` is below 1.
    """
    if top < 1:
        raise InvalidInputError(f"max_results is {top}; give 1 or more.")
    chosen = chosen_direction(metric, direction)
    need_metrics(runs, [metric])
    sign = -1.0 if chosen.direction == "max" else 1.0
    reasons = [why_not_ranked(run, metric) for run in runs]
    able = [run for run, reason in zip(runs, reasons, strict=True) if not reason]
    able.sort(key=lambda run: (sign * run.metrics[metric], run.start_time, run.run_id))
    ranked = _with_ranks(able, metric)
    best = ranked[:top]
    return Ranking(
        metric=metric,
        direction=chosen.direction,
        direction_reason=chosen.reason,
        ranked=tuple(best),
        rankable=len(ranked),
        tied_beyond=sum(1 for entry in ranked[top:] if entry.rank == best[-1].rank),
        margin=_margin(ranked),
        left_out=counted(filter(None, reasons)),
    )


def chosen_direction(metric: str, direction: str) -> MetricDirection:
    """The direction asked for, or the one that the name suggests.

    Raises: InvalidInputError: neither max, min nor empty.
    """
    if direction in ("", "auto"):
        return direction_of(metric)
    if direction == "max" or direction == "min":
        return MetricDirection(direction, "asked for")
    raise InvalidInputError(f"direction is '{direction}'; give max (higher is better) or min (lower is better).")


def need_metrics(runs: Sequence[Run], metrics: Iterable[str]) -> None:
    """Raises: InvalidInputError: none of these runs has one of the metrics; the closest names are given."""
    for metric in metrics:
        if runs and not any(metric in run.metrics for run in runs):
            known = {name for run in runs for name in run.metrics}
            near = suggestion(metric, known)
            raise InvalidInputError(f"None of these {len(runs)} runs has the metric '{metric}'. {near}")


def why_not_ranked(run: Run, metric: str) -> str:
    """Why a run cannot be ranked, in a word or two; empty when it can."""
    if run.lifecycle_stage == "deleted":
        return "deleted"
    if run.status != "FINISHED":
        return run.status.lower() or "no status"
    if metric not in run.metrics:
        return "no value"
    value = run.metrics[metric]
    return "NaN" if math.isnan(value) else "infinite" if math.isinf(value) else ""


def _with_ranks(runs: Sequence[Run], metric: str) -> list[RankedRun]:
    ranked: list[RankedRun] = []
    for place, run in enumerate(runs, start=1):
        value = run.metrics[metric]
        tied = bool(ranked) and ranked[-1].value == value
        ranked.append(RankedRun(ranked[-1].rank if tied else place, value, run))
    return ranked


def _margin(ranked: Sequence[RankedRun]) -> float | None:
    if len(ranked) < 2:
        return None
    margin = abs(ranked[0].value - ranked[1].value)
    return margin if math.isfinite(margin) else None
