"""The record of one run: everything about it, long values cut unless they are asked for by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_server.analysis.diagnosis.run_findings import reasons_in_tags
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_surroundings import Surroundings
from mcp_server.rendering import LongText, Record, Table, duration, moment
from mcp_server.tools._datasets import dataset_text
from mcp_server.tools._links import run_link
from mcp_server.tools._run_table import matching_columns
from mcp_server.tools._views import run_cell, shown_tags
from mcp_server.untrusted import clip, shown

VALUE_LIMIT: Final = 200
"""Characters of one param or tag, unless it is asked for."""
DESCRIPTION_LIMIT: Final = 1_000
VALUES_SHOWN: Final = 300
"""Values of one run that certainly fit into an answer; of more, some may be left out."""


def run_record(run: Run, around: Surroundings, *, experiment: str, url: str, whole: bool = False) -> Record:
    """All facts of a run and what belongs to it; `whole` cuts no value."""
    params, cut_params = _short(run.params, "params", whole=whole)
    tags, cut_tags = _short(shown_tags(run.tags), "tags", whole=whole)
    note = run.tags.get(tag_names.NOTE, "")
    cut = cut_params + cut_tags + (["description"] if len(note) > DESCRIPTION_LIMIT and not whole else [])
    many = len(params) + len(tags) + len(run.metrics) > VALUES_SHOWN
    facts = {
        **_origin(run, experiment),
        "description": LongText(note) if whole else clip(note, DESCRIPTION_LIMIT),
        "why_failed": _why_failed(run),
        "metrics": dict(run.metrics),
        "params": params,
        "tags": tags,
        "datasets": [dataset_text(dataset) for dataset in run.datasets],
        "logged_models": list(run.logged_model_ids),
        "registered_versions": [
            " ".join(filter(None, [f"{version.name} v{version.version}", *(f"@{alias}" for alias in version.aliases)]))
            for version in around.versions
        ],
        "children": _children(around),
        "url": url,
    }
    return Record(facts, hint=_hint(run, around, cut), links=(run_link(run),) if (cut or many) and not whole else ())


def chosen_record(run: Run, columns: Sequence[str]) -> Record:
    """Only what is asked for, whole."""
    found: dict[str, Any] = {"run_id": run.run_id, "run_name": run.run_name}
    chosen, unknown = matching_columns(columns, [run], nobody="This run does not have")
    for column in chosen:
        if (value := run_cell(run, column)) not in ("", None):
            found[column] = LongText(value) if isinstance(value, str) else value
    return Record(found, hint=" ".join(unknown))


def _origin(run: Run, experiment: str) -> dict[str, Any]:
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
        "user": run.tags.get(tag_names.USER),
        "source": run.tags.get(tag_names.SOURCE_NAME),
        "git_commit": run.tags.get(tag_names.GIT_COMMIT),
        "parent_run": run.tags.get(tag_names.PARENT_RUN),
        "write_state": run.tags.get(tag_names.STATE) if run.tags.get(tag_names.STATE) != "complete" else "",
        "missing": run.tags.get(tag_names.MISSING),
    }


def _short(values: Mapping[str, str], kind: str, *, whole: bool) -> tuple[dict[str, str], list[str]]:
    """Values cut to VALUE_LIMIT, and the columns of those that were; none are with `whole`."""
    if whole:
        return {key: LongText(value) for key, value in values.items()}, []
    cut = [f"{kind}.{key}" for key, value in values.items() if len(value) > VALUE_LIMIT]
    return {key: clip(value, VALUE_LIMIT) for key, value in values.items()}, cut


def _why_failed(run: Run) -> list[str]:
    """What the tags of a failed or killed run say about the reason."""
    return reasons_in_tags(run.tags) if run.status in ("FAILED", "KILLED") else []


def _children(around: Surroundings) -> Table | None:
    if not around.children:
        return None
    hint = "There are more; search_runs with parent lists all." if around.more_children else ""
    rows = [[run.run_id, run.run_name, run.status] for run in around.children]
    return Table(["run_id", "run_name", "status"], rows, hint=hint)


def _hint(run: Run, around: Surroundings, cut: Sequence[str]) -> str:
    hints: list[str] = []
    if run.status == "FAILED" and not reasons_in_tags(run.tags):
        hints.append("diagnose_run looks for the cause in its log and curves.")
    if cut:
        names = ", ".join(f"'{shown(name)}'" for name in cut[:20]) + (" and more" if len(cut) > 20 else "")
        hints.append(f"Cut values: get_run with columns=[{names}] shows them whole.")
    if around.unread:
        hints.append(f"Could not be read in time: {', '.join(around.unread)}.")
    return " ".join(hints)
