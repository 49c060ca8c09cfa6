"""How a comparison looks: few things side by side with their deltas, many one per row with the winners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mcp_server.analysis.compare import Comparison, Difference
from mcp_server.mlflow_integration.entities import Run
from mcp_server.rendering import Table, number
from mcp_server.tools._views import left_out_hint, run_cell, run_columns

WIDE_LIMIT: Final = 6
"""Runs that are shown as columns, with a delta for each; more become rows."""
ROWS_LIMIT: Final = 40
"""Params or metrics of one comparison; beyond it the rest are counted."""
LABEL_LIMIT: Final = 40
"""Characters of a run name that may head a column."""
_KEYS_PER_ROW: Final = 6
"""Metrics, and params, that are always shown when each run is a row."""


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Short names for columns: the run names where they differ, else the beginnings of the ids."""
    names = [run.run_name for run in runs]
    if all(names) and len(set(names)) == len(names) and max(map(len, names)) <= LABEL_LIMIT:
        return names
    return [run.run_id[:8] for run in runs]


def side_by_side(comparison: Comparison, labels: Sequence[str]) -> dict[str, Any]:
    """A column for each thing compared: what differs in params and circumstances, metrics with deltas and the best."""
    runs = [
        [r.run_id, r.run_name, label if label != r.run_name else "", r.mark]
        for label, r in zip(labels, comparison.runs, strict=True)
    ]
    return {
        "runs": Table(["run_id", "run_name", "label", "mark"], runs).without_empty(keep=2),
        "params": _differences("param", labels, comparison.params),
        "params_equal_in_all": comparison.params_equal,
        "metrics": _metrics(comparison, labels),
        "differences": _differences("what", labels, comparison.circumstances),
        "repeats": _repeats(comparison),
    }


def one_per_row(comparison: Comparison, runs: Sequence[Run]) -> dict[str, Any]:
    """A row for each run: metrics and differing params, as far as an answer reaches; then who wins each metric."""
    metrics = [f"metrics.{metric.key}" for metric in comparison.metrics]
    params = [f"params.{difference.key}" for difference in comparison.params]
    columns, left_out = run_columns(
        runs,
        asked=(),
        used=[*metrics[:_KEYS_PER_ROW], *params[:_KEYS_PER_ROW]],
        by_time=False,
        several_experiments=False,
    )
    rows = [[run_cell(run, column) for column in columns] for run in runs]
    return {
        "runs": Table(columns, rows, hint=left_out_hint(left_out, "columns of search_runs")),
        "params_equal_in_all": comparison.params_equal,
        "differing_too": [difference.key for difference in comparison.circumstances],
        "best": _winners(comparison),
        "repeats": _repeats(comparison),
    }


def comparison_hint(comparison: Comparison) -> str:
    hints: list[str] = []
    guessed = [metric.key for metric in comparison.metrics if "no word in it" in metric.direction_reason]
    if guessed:
        hints.append(f"Direction of {', '.join(guessed[:6])} is a guess: higher is taken as better.")
    if comparison.repeats:
        seeds = dict.fromkeys(seed for group in comparison.repeats for seed in group.seeds)
        hints.append(f"Repeats are runs that differ only in {', '.join(seeds)}; ± is the sample standard deviation.")
    return " ".join(hints)


def _differences(title: str, labels: Sequence[str], differences: Sequence[Difference]) -> Table | None:
    rows = [[difference.key, *difference.values] for difference in differences]
    return _first(Table([title, *labels], rows)) if rows else None


def _metrics(comparison: Comparison, labels: Sequence[str]) -> Table:
    label_by_id = dict(zip((run.run_id for run in comparison.runs), labels, strict=True))
    others = [run_id for run_id in label_by_id if run_id != comparison.baseline]
    columns = ["metric", "better", *labels]
    columns += [f"{label_by_id[run_id]} {what}" for run_id in others for what in ("delta", "%")]
    rows: list[list[Any]] = []
    for metric in comparison.metrics:
        cells = dict(zip(label_by_id, metric.cells, strict=True))
        deltas = [value for run_id in others for value in (cells[run_id].delta, cells[run_id].percent)]
        best = ", ".join(label_by_id[run_id] for run_id in metric.winners)
        rows.append([metric.key, metric.direction, *(cell.value for cell in metric.cells), *deltas, best])
    return _first(Table([*columns, "best"], rows))


def _winners(comparison: Comparison) -> Table:
    names = {run.run_id: run.run_name for run in comparison.runs}
    rows: list[list[Any]] = []
    for metric in comparison.metrics:
        if metric.winners:
            best, *tied = metric.winners
            cell = dict(zip(names, metric.cells, strict=True))[best]
            found = [best, names[best], len(tied) or "", cell.value, cell.delta, cell.percent]
            rows.append([metric.key, metric.direction, *found])
    columns = ["metric", "better", "run_id", "run_name", "tied_with", "value", "delta", "%"]
    return _first(Table(columns, rows).without_empty(keep=4))


def _repeats(comparison: Comparison) -> Table | None:
    if not comparison.repeats:
        return None
    keys = list(dict.fromkeys(metric.key for group in comparison.repeats for metric in group.metrics))
    rows: list[list[Any]] = []
    for group in comparison.repeats:
        folded = {metric.key: _mean(metric.mean, metric.std, metric.n) for metric in group.metrics}
        configuration = ", ".join(f"{key}={value}" for key, value in group.params)
        rows.append([configuration or "all params equal", len(group.run_ids), *(folded.get(key, "") for key in keys)])
    return _first(Table(["configuration", "n", *(f"metrics.{key}" for key in keys)], rows))


def _mean(mean: float, std: float | None, n: int) -> str:
    spread = f" ± {number(std, 2)}" if std is not None else ""
    return f"{number(mean)}{spread} (n={n})"


def _first(table: Table) -> Table:
    """The first ROWS_LIMIT rows, and how many more there are."""
    more = len(table.rows) - ROWS_LIMIT
    if more <= 0:
        return table
    hint = f"{more} more rows; get_run shows everything about one run, metrics= chooses metrics."
    return Table(table.columns, table.rows[:ROWS_LIMIT], hint=hint)
