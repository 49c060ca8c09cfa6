"""How a comparison looks: few runs side by side, many one per row, seeds of one configuration folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_server.analysis.compare import Comparison, Difference
from mcp_server.analysis.naming import has_known_direction, is_resource
from mcp_server.analysis.sweeps.repeats import is_seed
from mcp_server.mlflow_integration.entities import Run
from mcp_server.rendering import Table, pairs_text
from mcp_server.tools._run_table import run_table
from mcp_server.tools._views import VALUE_LIMIT, short_value

WIDE_LIMIT: Final = 6
"""Runs that are shown as columns, with a delta for each; more become rows."""
ROWS_LIMIT: Final = 40
"""Params or metrics of one comparison; the rest are counted."""
LABEL_LIMIT: Final = 40
"""Characters of a run name that may head a column."""
ALL_ROWS_BUDGET: Final = 6_000
"""Characters of the rows of one comparison: 100 runs stay under 8,000 with what is said about them."""
_WINNERS: Final = 12
"""Metrics whose best run is named when each run is a row."""


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Short names for columns: the run names where they differ, else the beginnings of the ids."""
    names = [run.run_name for run in runs]
    if all(names) and len(set(names)) == len(names) and max(map(len, names)) <= LABEL_LIMIT:
        return names
    return [run.run_id[:10] for run in runs]


def side_by_side(comparison: Comparison, labels: Sequence[str], *, percent: bool = False) -> dict[str, Any]:
    """A column for each thing compared: what differs in params and circumstances, metrics with deltas and the best."""
    runs = [
        [r.run_id, r.run_name, label if label != r.run_name else "", r.mark]
        for label, r in zip(labels, comparison.runs, strict=True)
    ]
    return {
        "runs": Table(["run_id", "run_name", "label", "mark"], runs).without_empty(keep=2),
        "params": _differences("param", labels, comparison.params),
        "params_equal_in_all": comparison.params_equal,
        "metrics": _metrics(comparison, labels, percent=percent),
        "differences": _differences("what", labels, comparison.circumstances),
    }


def one_per_row(comparison: Comparison, runs: Sequence[Run], *, percent: bool = False) -> dict[str, Any]:
    """A row for each run: differing params and metrics, as far as an answer reaches; then who wins each metric."""
    table = run_table(runs, row_budget=ALL_ROWS_BUDGET // len(runs))
    return {
        "runs": Table(table.columns, table.rows, hint=table.hint("search_runs")),
        "params_equal_in_all": comparison.params_equal,
        "differences": _summaries(comparison.circumstances),
        "best": _winners(comparison, percent=percent),
    }


def comparison_hint(comparison: Comparison) -> str:
    """What of the answer is a guess."""
    guessed = [m.key for m in comparison.metrics if not has_known_direction(m.key) and not is_resource(m.key)]
    if not guessed:
        return ""
    return f"Direction of {', '.join(guessed[:6])} is a guess: higher is taken as better."


def _differences(title: str, labels: Sequence[str], differences: Sequence[Difference]) -> Table | None:
    rows = [[one.key, *(short_value(value) if value else value for value in one.values)] for one in differences]
    cut = any(len(value or "") > VALUE_LIMIT for one in differences for value in one.values)
    hint = "Long values are cut; get_run with columns shows one whole." if cut else ""
    return _first(Table([title, *labels], rows, hint=hint)) if rows else None


def _summaries(differences: Sequence[Difference]) -> Table | None:
    """Each circumstance with its values and how many runs have them."""
    rows: list[list[Any]] = []
    for one in differences:
        counts = Counter(short_value(value) if value is not None else "none" for value in one.values)
        few = counts.most_common(6)
        more = f", and {len(counts) - len(few)} more values" if len(counts) > len(few) else ""
        rows.append([one.key, pairs_text(dict(few)) + more])
    return Table(["what", "runs_by_value"], rows) if rows else None


def _metrics(comparison: Comparison, labels: Sequence[str], *, percent: bool) -> Table:
    label_by_id = dict(zip((run.run_id for run in comparison.runs), labels, strict=True))
    others = [run_id for run_id in label_by_id if run_id != comparison.baseline]
    shown = ("delta", "%") if percent else ("delta",)
    columns = ["metric", "better", *labels, *(f"{label_by_id[run_id]} {what}" for run_id in others for what in shown)]
    rows: list[list[Any]] = []
    for metric in comparison.metrics:
        cells = dict(zip(label_by_id, metric.cells, strict=True))
        deltas = [(cells[run_id].delta, cells[run_id].percent)[: len(shown)] for run_id in others]
        # Seconds, memory and schedules are not achievements: no run is called best at them.
        judged = not is_resource(metric.key)
        best = ", ".join(label_by_id[run_id] for run_id in metric.winners) if judged else ""
        values = [cell.value for cell in metric.cells]
        row = [metric.key, metric.direction if judged else "", *values, *(value for pair in deltas for value in pair)]
        rows.append([*row, best])
    return _first(Table([*columns, "best"], rows))


def _winners(comparison: Comparison, *, percent: bool) -> Table:
    names = {run.run_id: run.run_name for run in comparison.runs}
    judged = [metric for metric in comparison.metrics if metric.winners and not is_resource(metric.key)]
    rows: list[list[Any]] = []
    for metric in judged[:_WINNERS]:
        best, *tied = metric.winners
        cell = dict(zip(names, metric.cells, strict=True))[best]
        found = [best, short_value(names[best]), len(tied) or "", cell.value, cell.delta]
        rows.append([metric.key, metric.direction, *found, cell.percent if percent else ""])
    columns = ["metric", "better", "run_id", "run_name", "tied_with", "value", "delta", "%"]
    more = len(judged) - len(rows)
    hint = f"{more} more metrics; metrics= chooses some." if more else ""
    return Table(columns, rows, hint=hint).without_empty(keep=4)


def _first(table: Table) -> Table:
    """The first ROWS_LIMIT rows, and how many more there are."""
    more = len(table.rows) - ROWS_LIMIT
    if more <= 0:
        return table
    hint = f"{more} more rows; get_run shows everything about one run, metrics= chooses metrics. {table.hint}"
    return Table(table.columns, table.rows[:ROWS_LIMIT], hint=hint.strip())


def configuration_texts(
    runs: Sequence[Run], params: Sequence[str], names: Mapping[str, str] | None = None
) -> list[str]:
    """Each run's configuration as `lr=0.1, depth=3`, without seeds; with the experiment and the data if they differ.

    `names` are those of experiments by id.
    """
    known = names or {}
    others: list[tuple[str, list[str]]] = [
        ("experiment", [known.get(run.experiment_id, run.experiment_id) for run in runs]),
        ("data", _data_texts(runs)),
        ("seeds logged", [", ".join(sorted(filter(is_seed, run.params))) or "none" for run in runs]),
    ]
    apart = [(title, texts) for title, texts in others if len(set(texts)) > 1]
    found: list[str] = []
    for at, run in enumerate(runs):
        pairs = {key: run.params[key] for key in params if key in run.params and not is_seed(key)}
        pairs.update((title, texts[at]) for title, texts in apart)
        found.append(pairs_text({key: short_value(value) for key, value in pairs.items()}) or "all params equal")
    return found


def _data_texts(runs: Sequence[Run]) -> list[str]:
    """Names of each run's datasets, with digests only where the names do not tell the runs apart."""
    names = [", ".join(sorted(item.name for item in run.datasets)) or "none" for run in runs]
    whole = [", ".join(sorted(f"{item.name} {item.digest}" for item in run.datasets)) or "none" for run in runs]
    return names if len(set(names)) == len(set(whole)) else whole
