"""How rankings look: the best runs, the best configurations with seeds folded, the Pareto front of several metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcp_server.analysis.ranking import Ranking
from mcp_server.analysis.sweeps.configurations import ConfigurationRanking, rank_configurations
from mcp_server.analysis.sweeps.pareto import pareto_front
from mcp_server.analysis.sweeps.repeats import is_bookkeeping, is_seed
from mcp_server.mlflow_integration.operations.all_runs import AllRuns
from mcp_server.rendering import Table, number
from mcp_server.tools._comparison import configuration_texts
from mcp_server.tools._run_table import run_table


def ranking_table(
    result: Ranking, *, complete: bool, columns: Sequence[str], names: Mapping[str, str], used: Sequence[str] = ()
) -> Table:
    """The best runs, params first; `complete` when every run of the search was looked at."""
    best = [entry.run for entry in result.ranked]
    own = f"metrics.{result.metric}"
    table = run_table(best, asked=[own, *columns] if columns else (), used=[own, *used], names=names)
    rows = [[entry.rank, *row] for entry, row in zip(result.ranked, table.rows, strict=True)]
    hints: list[str] = []
    if not result.ranked:
        hints.append("No run could be ranked; left_out says why. search_runs with order_by sorts runs of any status.")
    if result.tied_beyond:
        at_least = "" if complete else "at least "
        hints.append(f"{at_least}{result.tied_beyond} more runs share the last rank.".capitalize())
    if not complete and result.left_out:
        hints.append("left_out counts the runs whose value is at least as good as the last one shown.")
    return Table(
        ["rank", *table.columns],
        rows,
        hint=" ".join([*hints, table.hint()]).strip(),
        extra={
            "direction": result.direction,
            "direction_reason": result.direction_reason,
            "ranked_of": result.rankable if complete else "",
            "margin_to_second": result.margin,
            "left_out": dict(result.left_out),
        },
    )


def folded_table(read: AllRuns, metric: str, *, direction: str, top: int) -> Table:
    """Configurations by the mean over their seeds. Imports scipy: call it in a thread."""
    result = rank_configurations(read.runs, metric, direction=direction, top=top)
    names = {place.experiment_id: place.name for place in read.experiments}
    texts = configuration_texts([entry.runs[0] for entry in result.ranked], _differing(result), names)
    rows: list[list[Any]] = []
    for entry, configuration in zip(result.ranked, texts, strict=True):
        rows.append(
            [
                entry.rank,
                configuration,
                entry.mean,
                number(entry.std, 2) if entry.std is not None else "",
                entry.n,
                entry.left_out or "",
                entry.against_best or "",
                entry.runs[0].run_id,
            ]
        )
    columns = ["rank", "configuration", f"mean of {metric}", "std", "n", "left_out", "against_rank_1", "best_run_id"]
    folded = (
        f"Folded over {', '.join(result.seeds)}." if result.seeds else "No run logs a seed: every run is its own group."
    )
    return Table(
        columns,
        rows,
        hint=" ".join([folded, _partly(read)]).strip(),
        extra={
            "direction": result.direction,
            "direction_reason": result.direction_reason,
            "configurations": result.rankable,
            "runs": result.runs,
            "left_out": result.left_out,
        },
    ).without_empty(keep=5)


def front_table(
    read: AllRuns, metric: str, direction: str, others: Sequence[str], *, top: int, columns: Sequence[str]
) -> Table:
    """The runs that no other run beats in one metric without losing in another; `others` as `latency min`."""
    directions = {metric: direction, **dict(map(_with_direction, others))}
    result = pareto_front(read.runs, list(directions), directions={k: way for k, way in directions.items() if way})
    shown = result.front[:top]
    own = [f"metrics.{name}" for name in result.metrics]
    names = {place.experiment_id: place.name for place in read.experiments}
    table = run_table([one.run for one in shown], asked=[*own, *columns] if columns else (), used=own, names=names)
    rows = [[*row, one.dominates] for one, row in zip(shown, table.rows, strict=True)]
    more = len(result.front) - len(shown)
    hints = [f"{more} more runs are on the front; max_results shows more." if more else "", _partly(read), table.hint()]
    return Table(
        [*table.columns, "dominates"],
        rows,
        hint=" ".join(filter(None, hints)),
        extra={
            "directions": {
                name: f"{one.direction} ({one.reason})"
                for name, one in zip(result.metrics, result.directions, strict=True)
            },
            "on_front": len(result.front),
            "considered": result.considered,
            "left_out": dict(result.left_out),
        },
    )


def _with_direction(text: str) -> tuple[str, str]:
    """`latency min` as a name and a direction; a name alone leaves the direction to its words."""
    name, _, way = text.strip().rpartition(" ")
    return (name, way.lower()) if name and way.lower() in ("max", "min") else (text.strip(), "")


def _differing(result: ConfigurationRanking) -> list[str]:
    """Params that tell the shown configurations apart."""
    some = [entry.runs[0] for entry in result.ranked]
    keys = sorted({key for run in some for key in run.params if not is_seed(key) and not is_bookkeeping(key)})
    return [key for key in keys if len({run.params.get(key) for run in some}) > 1]


def _partly(read: AllRuns) -> str:
    if read.complete:
        return ""
    return f"Only the {len(read.runs):,} newest runs were read; since, filter_string or experiments narrow it."
