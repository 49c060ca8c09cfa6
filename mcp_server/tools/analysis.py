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
from mcp_server.tools._context import Tracking
from mcp_server.tools._params import (
    Direction,
    ExperimentRefs,
    FilterString,
    MetricName,
    MetricNames,
    RunRef,
    RunRefs,
)
from mcp_server.tools._views import left_out_hint, run_cell, run_columns

RANKED_LIMIT: Final = 500
"""Runs read for one ranking, best first: about 1 MB of MLflow's JSON."""
WIDE_LIMIT: Final = 6
"""Runs that are shown as columns, with a delta for each; more become rows."""


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
    wide = len(found) <= WIDE_LIMIT
    facts: dict[str, Any] = {
        "baseline": comparison.baseline,
        "runs": _compared_runs(comparison, found) if wide else _tall(comparison, found),
        "params": _wide_rows("param", comparison, comparison.params) if wide and comparison.params else None,
        "metrics": _wide_metrics(comparison) if wide else _winners(comparison),
        "differences": _wide_rows("what", comparison, comparison.circumstances)
        if wide and comparison.circumstances
        else None,
        "params_equal": comparison.params_equal,
        "repeats": _repeats(comparison) if comparison.repeats else None,
    }
    return Record(facts, hint=_comparison_hint(comparison, wide))


async def rank_runs(
    tracking: Tracking,
    metric: MetricName,
    experiments: ExperimentRefs = (),
    direction: Direction = "",
    filter_string: FilterString = "",
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
    runs: RunRefs,
    metrics: Annotated[MetricNames, Field(min_length=1, max_length=20, description="Metric names, such as val_loss.")],
    max_points: Annotated[
        int, Field(ge=2, le=500, description="Points shown per curve; extremes and ends are kept.")
    ] = 36,
    start_step: Annotated[int, Field(description="First step. Left out (with end_step): the whole curve.")] = 0,
    end_step: Annotated[int, Field(description="Last step; -1 is the end.")] = -1,
) -> Table:
    """Read learning curves of one or more runs: sampled points, and each curve's facts.

    Facts: first, last, min and max with their steps, best step, slope, plateau, divergence, NaN and
    infinity counts. To see one stretch more closely give start_step and end_step.
    """
    ranged = start_step != 0 or end_step != -1
    found = await tracking.get_runs(runs)
    series = await tracking.metric_history(
        found,
        metrics,
        start_step=start_step if ranged else None,
        end_step=end_step if ranged and end_step != -1 else None,
    )
    return _history(found, metrics, series, max_points)


def _history(runs: Sequence[Run], metrics: Sequence[str], series: Sequence[MetricSeries], max_points: int) -> Table:
    """One row of facts per curve, and the sampled points of each in the same order."""
    described = [(one, curves.describe(one, direction_of(one.key).direction)) for one in series]
    names = {run.run_id: run.run_name for run in runs}
    rows = [_curve_row(facts, names[one.run_id], one) for one, facts in described]
    points = [curves.thin(one.points, max_points) for one in series]
    table = _without_empty(_CURVE_COLUMNS, rows, keep=8)
    return replace(
        table,
        extra={"curves": [{"steps": [p.step for p in some], "values": [p.value for p in some]} for some in points]},
        hint=_history_hint(runs, metrics, described, max_points),
    )


_CURVE_COLUMNS: Final = (
    *("run_id", "run_name", "metric", "points", "first", "last", "min", "max"),
    *("best_step", "slope_per_step", "trend", "plateau_since", "divergence"),
    *("nan", "infinite", "first_nan_step", "seconds_per_step"),
)


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


def _compared_runs(comparison: compare.Comparison, runs: Sequence[Run]) -> Table:
    labels = _labels(comparison)
    rows = [
        [label, run.run_id, run.run_name, one.mark]
        for label, run, one in zip(labels, runs, comparison.runs, strict=True)
    ]
    return _without_empty(["label", "run_id", "run_name", "mark"], rows, keep=3)


def _tall(comparison: compare.Comparison, runs: Sequence[Run]) -> Table:
    """Many runs, one a row: what differs and every metric, as far as an answer reaches."""
    params = [f"params.{difference.key}" for difference in comparison.params]
    metrics = [f"metrics.{metric.key}" for metric in comparison.metrics]
    columns, left_out = run_columns(
        runs, asked=(), used=[*metrics[:6], *params[:6]], by_time=False, several_experiments=False
    )
    rows = [[run_cell(run, column) for column in columns] for run in runs]
    return Table(columns, rows, hint=left_out_hint(left_out, "columns of search_runs"))


def _wide_rows(title: str, comparison: compare.Comparison, differences: Sequence[compare.Difference]) -> Table:
    return Table([title, *_labels(comparison)], [[d.key, *d.values] for d in differences])


def _wide_metrics(comparison: compare.Comparison) -> Table:
    labels = dict(zip((run.run_id for run in comparison.runs), _labels(comparison), strict=True))
    others = [run.run_id for run in comparison.runs if run.run_id != comparison.baseline]
    columns = ["metric", "better", *labels.values()]
    columns += [f"{labels[run_id]} {what}" for run_id in others for what in ("delta", "%")]
    rows: list[list[Any]] = []
    for metric in comparison.metrics:
        cells = dict(zip(labels, metric.cells, strict=True))
        row: list[Any] = [metric.key, metric.direction, *(cell.value for cell in metric.cells)]
        for run_id in others:
            row += [cells[run_id].delta, cells[run_id].percent]
        rows.append([*row, ", ".join(labels[run_id] for run_id in metric.winners)])
    return Table([*columns, "best"], rows)


def _winners(comparison: compare.Comparison) -> Table:
    names = {run.run_id: run.run_name for run in comparison.runs}
    rows: list[list[Any]] = []
    for metric in comparison.metrics:
        cells = dict(zip(names, metric.cells, strict=True))
        best = metric.winners[0] if metric.winners else ""
        cell = cells.get(best)
        rows.append(
            [metric.key, metric.direction, best, names.get(best, ""), len(metric.winners) - 1 if best else 0]
            + ([cell.value, cell.delta, cell.percent] if cell else ["", "", ""])
        )
    columns = ["metric", "better", "run_id", "run_name", "tied_with", "value", "delta", "%"]
    return _without_empty(
        columns, [[value if value != 0 or i != 4 else "" for i, value in enumerate(row)] for row in rows], 4
    )


def _repeats(comparison: compare.Comparison) -> Table:
    keys = list(dict.fromkeys(metric.key for group in comparison.repeats for metric in group.metrics))
    rows: list[list[Any]] = []
    for group in comparison.repeats:
        folded = {metric.key: metric for metric in group.metrics}
        configuration = ", ".join(f"{key}={value}" for key, value in group.params)
        values = [_mean(folded[key].mean, folded[key].std, folded[key].n) if key in folded else "" for key in keys]
        rows.append([configuration or "all params equal", len(group.run_ids), *values])
    return Table(["configuration", "n", *(f"metrics.{key}" for key in keys)], rows)


def _mean(mean: float, std: float | None, n: int) -> str:
    spread = f" ± {number(std, 2)}" if std is not None else ""
    return f"{number(mean)}{spread} (n={n})"


def _comparison_hint(comparison: compare.Comparison, wide: bool) -> str:
    hints: list[str] = []
    guessed = [metric.key for metric in comparison.metrics if "no word in it" in metric.direction_reason]
    if guessed:
        hints.append(f"Direction of {', '.join(guessed[:6])} is a guess: higher is taken as better.")
    if not wide and comparison.circumstances:
        hints.append(f"The runs differ in {', '.join(d.key for d in comparison.circumstances)} too.")
    if comparison.repeats:
        seeds = dict.fromkeys(seed for group in comparison.repeats for seed in group.seeds)
        hints.append(f"Repeats are runs that differ only in {', '.join(seeds)}; ± is the sample standard deviation.")
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


def _labels(comparison: compare.Comparison) -> list[str]:
    """Short names for columns: the run names where they differ, else the beginnings of the ids."""
    names = [run.run_name for run in comparison.runs]
    if all(names) and len(set(names)) == len(names) and max(map(len, names)) <= 40:
        return names
    return [run.run_id[:8] for run in comparison.runs]


def _without_empty(columns: Sequence[str], rows: Sequence[Sequence[Any]], keep: int) -> Table:
    """A table without the columns, after the first `keep`, in which every cell is empty."""
    kept = [i for i in range(len(columns)) if i < keep or any(row[i] not in ("", None) for row in rows)]
    return Table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows])
