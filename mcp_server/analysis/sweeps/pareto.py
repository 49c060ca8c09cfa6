"""The best runs by several metrics at once: those that no other run beats in one metric without losing in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mcp_server.analysis.counting import counted
from mcp_server.analysis.naming import MetricDirection
from mcp_server.analysis.ranking import chosen_direction, need_metrics, why_not_ranked
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run

MOST_METRICS: Final = 6
"""With more, almost every run is on the front and it says nothing."""


@dataclass(frozen=True, slots=True)
class FrontRun:
    """A run that no other dominates."""

    run: Run
    values: tuple[float, ...]
    """In the order of the metrics."""
    dominates: int
    """Runs that are not better in any metric and worse in at least one."""


@dataclass(frozen=True, slots=True)
class ParetoFront:
    metrics: tuple[str, ...]
    directions: tuple[MetricDirection, ...]
    """One for each metric."""
    front: tuple[FrontRun, ...]
    """The best by the first metric first; equal runs are all on it."""
    considered: int
    """Runs with a finite value of every metric."""
    left_out: Mapping[str, int]
    """Runs that were not considered, counted by reason."""


def pareto_front(
    runs: Sequence[Run], metrics: Sequence[str], *, directions: Mapping[str, str] | None = None
) -> ParetoFront:
    """The non-dominated FINISHED runs; a direction that is not given is inferred from the metric's name.

    Independent of the order of `runs`. O(runs × front).
    Raises: InvalidInputError: fewer than two or too many metrics, one that no run has, another word for a direction.
    """
    names = tuple(dict.fromkeys(metrics))
    if not 2 <= len(names) <= MOST_METRICS:
        raise InvalidInputError(
            f"A Pareto front takes 2 to {MOST_METRICS} different metrics, and these are {len(names)}."
        )
    need_metrics(runs, names)
    chosen = tuple(chosen_direction(name, (directions or {}).get(name, "")) for name in names)
    left_out: list[str] = []
    points: list[tuple[tuple[float, ...], Run]] = []
    for run in runs:
        if reason := next(filter(None, (why_not_ranked(run, name) for name in names)), ""):
            left_out.append(reason)
        else:
            # Turned so that smaller is better.
            signed = (
                -run.metrics[n] if c.direction == "max" else run.metrics[n] for n, c in zip(names, chosen, strict=True)
            )
            points.append((tuple(signed), run))
    points.sort(key=lambda point: (point[0], point[1].start_time, point[1].run_id))
    front = _front([point for point, _ in points])
    return ParetoFront(
        metrics=names,
        directions=chosen,
        front=tuple(
            FrontRun(points[at][1], tuple(points[at][1].metrics[name] for name in names), count)
            for at, count in front.items()
        ),
        considered=len(points),
        left_out=counted(left_out),
    )


def _front(points: Sequence[tuple[float, ...]]) -> dict[int, int]:
    """Indices of the non-dominated points with how many each dominates; `points` are sorted."""
    front: list[int] = []
    for at, point in enumerate(points):
        # Sorted lexicographically: only an earlier point can dominate, and then one of the front does.
        if not any(_dominates(points[better], point) for better in front):
            front.append(at)
    return {at: sum(_dominates(points[at], point) for point in points) for at in front}


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
