"""How one run looks in answers: the cells of its row, and the facts of its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.rendering import duration, moment, number

VALUE_LIMIT: Final = 40
"""Characters of a param, tag or name in a table whose columns the caller did not choose."""

ATTRIBUTES: Final[Mapping[str, Callable[[Run], Any]]] = {
    "run_id": lambda run: run.run_id,
    "run_name": lambda run: run.run_name,
    "status": lambda run: run.status,
    "start_time": lambda run: moment(run.start_time),
    "end_time": lambda run: moment(run.end_time),
    "duration": lambda run: duration(run.start_time, run.end_time),
    "experiment": lambda run: run.experiment_id,
    "experiment_id": lambda run: run.experiment_id,
    "lifecycle_stage": lambda run: run.lifecycle_stage,
    "user": lambda run: run.tags.get(tag_names.USER, ""),
    "source": lambda run: run.tags.get(tag_names.SOURCE_NAME, ""),
    "git_commit": lambda run: run.tags.get(tag_names.GIT_COMMIT, ""),
    "parent_run": lambda run: run.tags.get(tag_names.PARENT_RUN, ""),
    "description": lambda run: run.tags.get(tag_names.NOTE, ""),
    "datasets": lambda run: ", ".join(item.name for item in run.datasets),
    "artifact_uri": lambda run: run.artifact_uri,
}
"""Columns of runs other than metrics, params and tags. `experiment` becomes the name where names are known."""


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """A person's tags: without those that MLflow and this server keep for themselves."""
    return {key: value for key, value in tags.items() if not key.startswith(tag_names.INTERNAL_PREFIXES)}


def run_cell(run: Run, column: str) -> Any:
    """The value of a column such as `metrics.accuracy`; empty when the run has none."""
    if column in ATTRIBUTES:
        return ATTRIBUTES[column](run)
    kind, _, key = column.partition(".")
    value = {"metrics": run.metrics, "params": run.params, "tags": run.tags}.get(kind, {}).get(key, "")
    return number(value) if isinstance(value, float) else value


def short_value(text: str) -> str:
    """A text as it stands in a table: at most VALUE_LIMIT characters."""
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…"
