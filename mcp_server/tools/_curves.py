"""How learning curves look: one row of facts for each, and a few of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from mcp_server.analysis.curves import curves
from mcp_server.analysis.curves.curve_shape import shape_of
from mcp_server.analysis.curves.spikes import spikes_of
from mcp_server.analysis.curves.thinning import thin
from mcp_server.analysis.naming import direction_of, is_resource
from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run
from mcp_server.rendering import Table, number
from mcp_server.tools._views import short_value
from mcp_server.untrusted import shown

ONE_CURVE: Final = 32
SEVERAL_CURVES: Final = 12
"""Points shown of each curve, unless the caller says how many."""
_POINTS_IN_ALL: Final = 1_500
"""Points of one answer: 24,000 characters, so that the facts of every curve fit as well."""
_DEFAULT_IN_ALL: Final = 400

_COLUMNS: Final = (
    *("run_id", "run_name", "metric", "points", "first", "last", "min", "max"),
    *("best_step", "slope_per_step", "trend_at_end", "plateau_since", "divergence", "spikes", "largest_spike"),
    *("nan", "infinite", "first_nan_step", "seconds_per_step"),
)


def points_per_curve(asked: int, count: int) -> int:
    """How many points of each curve are shown."""
    most = max(_POINTS_IN_ALL // max(count, 1), 2)
    if asked:
        return max(min(asked, most), 2)
    return ONE_CURVE if count <= 1 else max(min(SEVERAL_CURVES, _DEFAULT_IN_ALL // count), 2)


def curves_table(runs: Sequence[Run], metrics: Sequence[str], series: Sequence[MetricSeries], max_points: int) -> Table:
    """One row of facts per curve, and the points of each in the same order."""
    names = {run.run_id: short_value(run.run_name) for run in runs}
    rows = [_curve_row(one, names[one.run_id]) for one in series]
    points = [_shown_curve(one, names[one.run_id], max_points, named=len(series) > 1) for one in series]
    return replace(
        Table(_COLUMNS, rows).without_empty(keep=8),
        extra={"curves": points},
        hint=_hint(runs, metrics, series, max_points),
    )


def _shown_curve(series: MetricSeries, name: str, max_points: int, *, named: bool) -> dict[str, Any]:
    """Steps and values of one curve, with its run and metric where there are several."""
    points = thin(series.points, max_points)
    of = {"run_name": name, "metric": series.key} if named else {}
    return {**of, "steps": [point.step for point in points], "values": [point.value for point in points]}


def _curve_row(series: MetricSeries, name: str) -> list[Any]:
    direction = direction_of(series.key).direction
    facts = curves.describe(series, direction)
    # Seconds, memory and schedules have no better or worse.
    judged = not is_resource(series.key)
    shape = shape_of(series, direction) if judged else None
    spikes = spikes_of(shape) if shape else ()
    worst = max(spikes, key=lambda spike: spike.depth, default=None)
    divergence = facts.divergence if judged else None
    return [
        series.run_id,
        name,
        series.key,
        facts.count if facts.counted else f"{facts.count} sampled",
        _at(facts.first),
        _at(facts.last),
        _at(facts.minimum),
        _at(facts.maximum),
        facts.best.step if facts.best and judged else "",
        facts.slope,
        facts.trend if judged else "",
        facts.plateau_step if judged else "",
        f"{divergence.reason} (since step {divergence.step})" if divergence else "",
        f"{len(spikes)} in the sample" if spikes and facts.sampled else len(spikes) or "",
        f"{number(worst.value)} @{worst.step}" if worst else "",
        facts.nan_count or "",
        facts.infinity_count or "",
        facts.first_nan_step,
        number(facts.seconds_per_step, 3) if facts.seconds_per_step is not None else "",
    ]


def _at(point: MetricPoint | None) -> str:
    return f"{number(point.value)} @{point.step}" if point else ""


def _hint(runs: Sequence[Run], metrics: Sequence[str], series: Sequence[MetricSeries], max_points: int) -> str:
    there = {(one.run_id, one.key) for one in series}
    # A metric that a run has may have no value at the steps that were asked for.
    absent = [
        f"{shown(run.run_name)} has no {shown(metric)}{' at these steps' if metric in run.metrics else ''}"
        for run in runs
        for metric in metrics
        if (run.run_id, metric) not in there
    ]
    hints: list[str] = []
    if any(one.sampled and one.totals is None for one in series):
        hints.append(
            "Sampled: first and last are exact; min, max, spikes, NaN and infinity are those of an even sample. "
            "exact=true reads every point."
        )
    elif any(one.sampled for one in series):
        hints.append(
            "Count, first, last, min, max, NaN and infinity are those of every point; slope, trend, plateau and spikes "
            "those of an even sample: start_step and end_step look closer."
        )
    elif any(len(one.points) > max_points for one in series):
        hints.append("More points: max_points, or start_step and end_step.")
    if absent:
        hints.append(f"{listed(absent, separator='; ')}.")
    return " ".join(hints)
