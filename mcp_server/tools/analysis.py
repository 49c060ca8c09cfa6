"""Answers instead of raw rows: runs side by side, the best of many, curves with their facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field

from mcp_server.analysis import compare, curves, ranking
from mcp_server.analysis.naming import direction_of
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run
from mcp_server.rendering import Record, Table, number
from mcp_server.tools._comparison import WIDE_LIMIT, comparison_hint, one_per_row, run_labels, side_by_side
from mcp_server.tools._context import MetricHistory, Tracking
from mcp_server.tools._params import (
    Direction,
    ExperimentRefs,
    MetricName,
    MetricNames,
    RunRef,
    RunRefs,
    SameFilter,
)
from mcp_server.tools._views import left_out_hint, run_cell, run_columns

RANKED_LIMIT: Final = 500
"""Runs read for one ranking, best first: about 1 MB of MLflow's JSON."""


async def compare_runs(
    tracking: Tracking,
    runs: RunRefs,
    baseline: Annotated[RunRef, Field(description="Run that deltas are against. Left out: the first.")] = "",
    metrics: MetricNames = (),
) -> Record:
    """Put 2 to 100 runs side by side: params that differ, each metric with delta and winner, seeds folded.

    The direction of each metric is judged by its name and said. For the best of many use rank_runs.
    """
    found = await tracking.get_runs(runs)
    base = (await tracking.get_run(baseline)).run_id if baseline else ""
    comparison = compare.compare_runs(found, baseline=base, metrics=metrics)
    shown = side_by_side(comparison, run_labels(found)) if len(found) <= WIDE_LIMIT else one_per_row(comparison, found)
    return Record({"baseline": comparison.baseline, **shown}, hint=comparison_hint(comparison))


async def rank_runs(
    tracking: Tracking,
    metric: MetricName,
    experiments: ExperimentRefs = (),
    direction: Direction = "auto",
    filter_string: SameFilter = "",
    max_results: Annotated[int, Field(ge=1, le=100, description="How many of the best.")] = 10,
) -> Table:
    """Show the best runs by one metric's latest value, with the params that tell them apart.

    Failed, running, NaN and metric-less runs are set apart and counted.
    """
    chosen = ranking.chosen_direction(metric, direction)
    order = f"metrics.`{metric}` {'DESC' if chosen.direction == 'max' else 'ASC'}"
    found = await tracking.search_runs(
        experiments, filter_string=filter_string, order_by=[order], max_results=RANKED_LIMIT
    )
    if not found.runs:
        return Table(["rank", "run_id", "run_name", f"metrics.{metric}"], [], hint=found.why_empty)
    result = ranking.rank_runs(found.runs, metric, direction=direction, top=max_results)
    best = [entry.run for entry in result.ranked]
    columns, left_out = run_columns(
        best,
        asked=(),
        used=[f"metrics.{metric}"],
        by_time=False,
        several_experiments=len({run.experiment_id for run in best}) > 1,
    )
    rows = [[entry.rank, *(run_cell(entry.run, column) for column in columns)] for entry in result.ranked]
    return Table(
        ["rank", *columns],
        rows,
        hint=_ranking_hint(result, left_out, more=bool(found.next_page_token)),
        extra={
            "direction": result.direction,
            "direction_reason": result.direction_reason,
            "ranked_of": result.rankable,
            "margin_to_second": result.margin,
            "left_out": {group.reason: group.count for group in result.left_out},
        },
    )


async def get_metric_history(
    tracking: Tracking,
    history: MetricHistory,
    runs: RunRefs,
    metrics: Annotated[MetricNames, Field(min_length=1, max_length=20, description="Metric names, such as val_loss.")],
    max_points: Annotated[
        int, Field(ge=2, le=500, description="Points shown per curve; extremes and ends are kept.")
    ] = 32,
    start_step: Annotated[int | None, Field(description="First step. Left out: the first there is.")] = None,
    end_step: Annotated[int | None, Field(description="Last step. Left out: the last there is.")] = None,
) -> Table:
    """Read learning curves of one or more runs: sampled points, and each curve's facts.

    Facts: first, last, min and max with their steps, best step, slope, plateau, divergence, NaN and
    infinity counts. To see one stretch more closely give start_step and end_step.
    """
    found = await tracking.get_runs(runs)
    series = await history.read(
        found,
        metrics,
        start_step=start_step,
        end_step=end_step,
    )
    return _history(found, metrics, series, max_points)


def _history(runs: Sequence[Run], metrics: Sequence[str], series: Sequence[MetricSeries], max_points: int) -> Table:
    """One row of facts per curve, and the sampled points of each in the same order."""
    described = [(one, curves.describe(one, direction_of(one.key).direction)) for one in series]
    names = {run.run_id: run.run_name for run in runs}
    rows = [_curve_row(facts, names[one.run_id], one) for one, facts in described]
    shown = [_shown_curve(one, names[one.run_id], max_points, named=len(series) > 1) for one in series]
    table = Table(_CURVE_COLUMNS, rows).without_empty(keep=8)
    return replace(
        table,
        extra={"curves": shown},
        hint=_history_hint(runs, metrics, described, max_points),
    )


_CURVE_COLUMNS: Final = (
    *("run_id", "run_name", "metric", "points", "first", "last", "min", "max"),
    *("best_step", "slope_per_step", "trend_at_end", "plateau_since", "divergence"),
    *("nan", "infinite", "first_nan_step", "seconds_per_step"),
)


def _shown_curve(series: MetricSeries, name: str, max_points: int, *, named: bool) -> dict[str, Any]:
    """Steps and values of one curve; said of which run and metric where there are several."""
    points = curves.thin(series.points, max_points)
    of = {"run_name": name, "metric": series.key} if named else {}
    return {**of, "steps": [point.step for point in points], "values": [point.value for point in points]}


def _curve_row(facts: curves.CurveFacts, name: str, series: MetricSeries) -> list[Any]:
    return [
        series.run_id,
        name,
        series.key,
        f"{facts.count}{' sampled' if facts.sampled else ''}",
        _at(facts.first),
        _at(facts.last),
        _at(facts.minimum),
        _at(facts.maximum),
        facts.best.step if facts.best else "",
        facts.slope,
        facts.trend,
        facts.plateau_step,
        f"{facts.divergence.reason} (since step {facts.divergence.step})" if facts.divergence else "",
        facts.nan_count or "",
        facts.infinity_count or "",
        facts.first_nan_step,
        number(facts.seconds_per_step, 3) if facts.seconds_per_step is not None else "",
    ]


def _at(point: MetricPoint | None) -> str:
    return f"{number(point.value)} @{point.step}" if point else ""


def _history_hint(
    runs: Sequence[Run], metrics: Sequence[str], described: Sequence[tuple[MetricSeries, curves.CurveFacts]], shown: int
) -> str:
    there = {(series.run_id, series.key) for series, _ in described}
    absent = [
        f"{run.run_name} has no {metric}" for run in runs for metric in metrics if (run.run_id, metric) not in there
    ]
    hints: list[str] = []
    if any(facts.sampled for _, facts in described):
        hints.append("Facts are of an even sample of the logged points.")
    if any(facts.count > shown for _, facts in described):
        hints.append("Curves are thinned: narrow start_step and end_step for more.")
    if absent:
        hints.append("; ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "") + ".")
    return " ".join(hints)


def _ranking_hint(result: ranking.Ranking, left_out: Sequence[str], *, more: bool) -> str:
    hints: list[str] = []
    if not result.ranked:
        hints.append("No run could be ranked; left_out says why.")
    if result.tied_beyond:
        hints.append(f"{result.tied_beyond} more runs share the last rank.")
    if more:
        hints.append(f"Read were the {RANKED_LIMIT} runs best by this metric; left_out and ranked_of count those only.")
    return " ".join([*hints, left_out_hint(left_out, "columns of search_runs")]).strip()
