"""How runs look in answers: which columns a table of them gets, and what one of them says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.filters import Clause
from mcp_server.rendering import dumps, duration, moment, number
from mcp_server.suggestions import did_you_mean

TABLE_BUDGET: Final = 1_250
"""Characters of the structured half that unasked columns may fill: both halves of 20 runs stay under 3,000 bytes."""

_ATTRIBUTES: Final[Mapping[str, Callable[[Run], Any]]] = {
    "run_id": lambda run: run.run_id,
    "run_name": lambda run: run.run_name,
    "status": lambda run: run.status,
    "start_time": lambda run: moment(run.start_time),
    "end_time": lambda run: moment(run.end_time),
    "duration": lambda run: duration(run.start_time, run.end_time),
    "experiment_id": lambda run: run.experiment_id,
    "lifecycle_stage": lambda run: run.lifecycle_stage,
}


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """A person's tags: without those that MLflow and this server keep for themselves."""
    return {key: value for key, value in tags.items() if not key.startswith(tag_names.INTERNAL_PREFIXES)}


def run_columns(
    runs: Sequence[Run], *, asked: Sequence[str], used: Sequence[str], by_time: bool, several_experiments: bool
) -> tuple[list[str], list[str]]:
    """Columns for a table of runs, and those that were left out for its size.

    Always the id and the name. `asked` are the caller's columns; without them come the ones that filter
    and order use, then what varies, metrics first, as far as TABLE_BUDGET reaches.
    """
    fixed = ["run_id", "run_name"] + (["experiment_id"] if several_experiments else [])
    if asked:
        return list(dict.fromkeys([*fixed, *(column_of(name, runs) for name in asked)])), []
    if any(run.status != "FINISHED" for run in runs):
        fixed.append("status")
    fixed += [name for name in used if name not in fixed]
    if by_time:
        fixed.append("start_time")
    chosen = list(dict.fromkeys(fixed))
    spent = sum(_width(name, runs) for name in chosen)
    left_out: list[str] = []
    for name in _varying(runs):
        if name in chosen:
            continue
        spent += _width(name, runs)
        (chosen if spent <= TABLE_BUDGET and not left_out else left_out).append(name)
    return chosen, left_out


def left_out_hint(columns: Sequence[str], where: str = "columns") -> str:
    """Says which columns a table has no room for, and how to get them; empty when there are none."""
    few = ", ".join(columns[:5]) + (f" and {len(columns) - 5} more" if len(columns) > 5 else "")
    return f"Also there, for {where}: {few}." if columns else ""


def run_cell(run: Run, column: str) -> Any:
    """The value of a column such as `metrics.accuracy`; empty when the run has none."""
    if column in _ATTRIBUTES:
        return _ATTRIBUTES[column](run)
    kind, _, key = column.partition(".")
    value = {"metrics": run.metrics, "params": run.params, "tags": run.tags}[kind].get(key, "")
    return number(value) if isinstance(value, float) else value


def column_of(name: str, runs: Sequence[Run]) -> str:
    """The column a caller means: `metrics.x`, `params.x`, `tags.x`, an attribute, or a bare name if it is one of these.

    Raises: InvalidInputError: no run here has it; the text names the closest.
    """
    name = name.strip().replace("`", "").removeprefix("attributes.")
    known = [*_ATTRIBUTES, *_all_columns(runs)]
    if name in known or not runs:
        return name
    for kind in ("metrics", "params", "tags"):
        if f"{kind}.{name}" in known:
            return f"{kind}.{name}"
    raise InvalidInputError(
        f"No run found here has the column '{name}'.{did_you_mean(name, known)} Columns are metrics.<name>, "
        f"params.<name>, tags.<name> or one of {', '.join(_ATTRIBUTES)}."
    )


def clause_columns(clauses: Sequence[Clause], order_by: Sequence[str]) -> list[str]:
    """The columns that a filter and an order speak of, ordered ones first."""
    ordered = [entry.rsplit(" ", 1)[0].replace("`", "") for entry in order_by]
    named = [f"{clause.entity}.{clause.key}" for clause in clauses]
    columns = [name.removeprefix("attributes.") for name in [*ordered, *named]]
    return [
        name
        for name in dict.fromkeys(columns)
        if name in _ATTRIBUTES or (not name.startswith("datasets.") and "." in name)
    ]


def run_facts(run: Run, *, experiment: str, url: str) -> dict[str, Any]:
    """One run in full."""
    return {
        "run_id": run.run_id,
        "run_name": run.run_name,
        "experiment": experiment,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "lifecycle_stage": run.lifecycle_stage if run.lifecycle_stage != "active" else "",
        "start_time": moment(run.start_time),
        "end_time": moment(run.end_time),
        "duration": duration(run.start_time, run.end_time),
        "description": run.tags.get(tag_names.NOTE),
        "parent_run": run.tags.get(tag_names.PARENT_RUN),
        "write_state": run.tags.get(tag_names.STATE) if run.tags.get(tag_names.STATE) != "complete" else "",
        "missing": run.tags.get(tag_names.MISSING),
        "metrics": dict(run.metrics),
        "params": dict(run.params),
        "tags": shown_tags(run.tags),
        "datasets": [" ".join(filter(None, [d.name, d.digest, d.context])) for d in run.datasets],
        "url": url,
    }


def _all_columns(runs: Sequence[Run]) -> list[str]:
    metrics = sorted({f"metrics.{key}" for run in runs for key in run.metrics})
    params = sorted({f"params.{key}" for run in runs for key in run.params})
    return metrics + params + sorted({f"tags.{key}" for run in runs for key in run.tags})


def _varying(runs: Sequence[Run]) -> list[str]:
    """Columns that tell the runs apart: all of them for a single run, without the tags kept by MLflow."""
    internal = tuple(f"tags.{prefix}" for prefix in tag_names.INTERNAL_PREFIXES)
    columns = [name for name in _all_columns(runs) if not name.startswith(internal)]
    if len(runs) == 1:
        return columns
    return [name for name in columns if len({str(run_cell(run, name)) for run in runs}) > 1]


def _width(column: str, runs: Sequence[Run]) -> int:
    """Characters a column takes in the structured half."""
    return len(column) + 3 + sum(len(dumps(run_cell(run, column))) + 1 for run in runs)
