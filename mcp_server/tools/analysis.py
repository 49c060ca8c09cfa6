"""Answers instead of raw rows: runs side by side, the best of many, curves with their facts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Final

from anyio import to_thread
from pydantic import Field

from mcp_server.analysis import compare, ranking
from mcp_server.analysis.naming import has_known_direction, is_resource
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.all_runs import read_runs
from mcp_server.mlflow_integration.operations.searching.run_search import RunQuery
from mcp_server.rendering import Record, Table
from mcp_server.tools._comparison import WIDE_LIMIT, comparison_hint, one_per_row, run_labels, side_by_side
from mcp_server.tools._context import MetricHistory, Tracking
from mcp_server.tools._curves import curves_table, points_per_curve
from mcp_server.tools._params import (
    Columns,
    Direction,
    ExperimentRefs,
    MetricName,
    MetricNames,
    RunRef,
    RunRefs,
    SameFilter,
    SameSince,
)
from mcp_server.tools._ranking import folded_table, front_table, ranking_table
from mcp_server.tools._run_table import search_hint, used_columns
from mcp_server.tools._seed_groups import seed_groups
from mcp_server.untrusted import shown

READ_LIMIT: Final = 2_000
"""Runs read to fold seeds or to find a Pareto front: two requests, 4 MB of MLflow's JSON."""
READ_SECONDS: Final = 20.0
"""Longest time for reading them; then what was read is ranked, and the answer says so."""


async def compare_runs(
    tracking: Tracking,
    runs: RunRefs,
    baseline: Annotated[RunRef, Field(description="Run to compute deltas against. Default: the first.")] = "",
    metrics: MetricNames = (),
    percent: Annotated[bool, Field(description="Also show deltas in percent.")] = False,
) -> Record:
    """Compare two or more runs (2 to 100): what changed between them in hyperparameters, metrics, data, code and
    environment, which is better and whether it really helps.

    Seeds of one configuration are folded: n, mean, std, the difference with its interval, and whether it is within
    noise or real. For the best of many use rank_runs.
    """
    found = await tracking.get_runs(runs)
    base = await tracking.get_run(baseline) if baseline else None
    if base is not None and base.run_id not in {run.run_id for run in found}:
        found = (base, *found)
    comparison = compare.compare_runs(found, baseline=base.run_id if base else "", metrics=metrics)
    folded = await to_thread.run_sync(partial(seed_groups, found, comparison, asked=bool(metrics)))
    if len(found) > WIDE_LIMIT:
        facts = one_per_row(comparison, found, percent=percent)
    else:
        facts = side_by_side(comparison, run_labels(found), percent=percent)
    hint = comparison_hint(comparison)
    if folded is not None:
        # The groups say more than the single runs, with less repetition.
        for name in ("params", "metrics", "best", "runs"):
            facts.pop(name, None)
        facts = {**folded.facts, **facts}
        hint = f"{folded.hint} {hint}".strip()
    if contexts := compare.different_data(found):
        which = " and ".join(f"{context or 'unnamed'} dataset" for context in contexts)
        warning = f"These runs did not use the same data (see {which}), so their metrics may not be comparable."
        hint = f"{warning} {hint}".strip()
    return Record({"baseline": comparison.baseline, **facts}, hint=hint)


async def rank_runs(
    tracking: Tracking,
    metric: MetricName,
    experiments: ExperimentRefs = (),
    direction: Direction = "auto",
    filter_string: SameFilter = "",
    since: SameSince = "",
    columns: Annotated[Columns, Field(max_length=60, description="As in search_runs.")] = (),
    fold_seeds: Annotated[bool, Field(description="Rank configurations by mean ± std over their seeds.")] = False,
    pareto_metrics: Annotated[
        MetricNames,
        Field(max_length=5, description="Further metrics to trade off ('latency min'): shows the Pareto front."),
    ] = (),
    max_results: Annotated[int, Field(ge=1, le=100, description="How many of the best.")] = 10,
) -> Table:
    """Leaderboard: the best, top, worst, highest or lowest runs, models or configurations by a metric, with their
    hyperparameters.

    Ranks latest values of finished runs; failed, running and NaN runs are set apart. filter_string is for
    constraints, fold_seeds averages repeated seeds, pareto_metrics is for a trade-off.
    """
    query = RunQuery(experiments=experiments, filter_string=filter_string, since=since)
    asked = "" if direction == "auto" else direction
    chosen = "" if pareto_metrics else _need_direction(metric, asked)
    if fold_seeds or pareto_metrics:
        read = await read_runs(
            tracking, experiments, filter_string=filter_string, since=since, most=READ_LIMIT, seconds=READ_SECONDS
        )
        if not read.runs:
            return Table(["rank", "run_id", "run_name", f"metrics.{metric}"], [], hint=read.why_empty)
        if pareto_metrics:
            return front_table(read, metric, asked, pareto_metrics, top=max_results, columns=columns)
        return await to_thread.run_sync(partial(folded_table, read, metric, direction=asked, top=max_results))
    found = await tracking.best_runs(query, metric, descending=chosen == "max", wanted=max_results)
    if not found.runs:
        return Table(["rank", "run_id", "run_name", f"metrics.{metric}"], [], hint=found.why_empty)
    result = ranking.rank_runs(found.runs, metric, direction=asked, top=max_results)
    used = [name for name in used_columns(found.search) if name != f"metrics.{metric}"]
    table = ranking_table(result, complete=found.complete, columns=columns, names=found.search.names, used=used)
    return replace(table, hint=f"{table.hint} {search_hint(found.search)}".strip())


async def get_metric_history(
    tracking: Tracking,
    history: MetricHistory,
    runs: RunRefs,
    metrics: Annotated[MetricNames, Field(min_length=1, max_length=20, description="Metric names, such as val_loss.")],
    max_points: Annotated[
        int, Field(ge=0, le=500, description="Points shown per curve. Default: 32 for one curve, 12 for several.")
    ] = 0,
    start_step: Annotated[int | None, Field(description="First step. Default: the first.")] = None,
    end_step: Annotated[int | None, Field(description="Last step. Default: the last.")] = None,
    exact: Annotated[bool, Field(description="Read every logged point where a server sends a sample; slower.")] = False,
) -> Table:
    """Read learning curves, metrics by step or epoch, of one or more runs: some points, and each curve's facts.

    Facts: first, last, min and max with their steps, best step, trend, plateau (converged), divergence,
    spikes, NaN and infinity counts. To see one stretch more closely give start_step and end_step.
    """
    found = await tracking.get_runs(runs)
    series = await history.read(found, metrics, start_step=start_step, end_step=end_step, exact=exact)
    return curves_table(found, metrics, series, points_per_curve(max_points, len(series)))


def _need_direction(metric: str, direction: str) -> str:
    """Raises: InvalidInputError: neither the caller nor the name says which way the metric is better."""
    if not direction and is_resource(metric) and not has_known_direction(metric):
        raise InvalidInputError(
            f"'{shown(metric)}' measures a resource or a schedule, so neither high nor low is better in itself. "
            f"Repeat the call with direction='max' or direction='min'."
        )
    return ranking.chosen_direction(metric, direction).direction
