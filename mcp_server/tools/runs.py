"""Runs: search, read, log, update and delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from mcp.server.mcpserver import Resolve
from pydantic import Field

from mcp_server.listing import and_more
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import run_content
from mcp_server.mlflow_integration.operations.searching.run_search import RunQuery
from mcp_server.mlflow_integration.operations.writing.open_runs import ENDED
from mcp_server.mlflow_integration.operations.writing.run_changes import RunChange
from mcp_server.mlflow_integration.operations.writing.run_drafts import RunDraft
from mcp_server.rendering import Record, Table, moment
from mcp_server.tools._confirm import Question
from mcp_server.tools._context import OpenRuns, Policy, Recording, RunChanges, Tracking
from mcp_server.tools._params import (
    ChangedTags,
    Columns,
    Datasets,
    Description,
    EndStatus,
    EndTime,
    ExperimentRef,
    ExperimentRefs,
    FilterString,
    Key,
    MaxResults,
    Metrics,
    OrderBy,
    PageToken,
    Params,
    ParentRun,
    RunName,
    RunRef,
    RunRefs,
    Since,
    StartTime,
    Tags,
    TextFiles,
    Until,
)
from mcp_server.tools._run_record import chosen_record, run_record
from mcp_server.tools._run_table import run_table, search_hint, used_columns
from mcp_server.tools._written_run import counts, written
from mcp_server.untrusted import shown

NAMED_RUNS: Final = 5
"""Runs that a question names; the rest are counted."""

WriteExperiment = Annotated[
    ExperimentRef, Field(description="Experiment id, name or UI link; a new name creates it. Default: the server's.")
]


async def search_runs(
    tracking: Tracking,
    experiments: ExperimentRefs = (),
    filter_string: FilterString = "",
    order_by: OrderBy = (),
    since: Since = "",
    until: Until = "",
    parent: Annotated[str, Field(description="Only children of this run.")] = "",
    deleted: Annotated[bool, Field(description="Deleted runs instead of active ones.")] = False,
    columns: Columns = (),
    max_results: MaxResults = 20,
    page_token: PageToken = "",
) -> Table:
    """Find, filter, list and sort runs in a table: runs with a metric above or below a value, runs that used a
    hyperparameter or trained on a dataset, runs of an experiment, user, tag or name, failed, running, deleted or
    child runs, newest and latest runs, since yesterday, before today, within hours or minutes.

    The latest value of each metric; curves: get_metric_history, the best: rank_runs.
    """
    query = RunQuery(
        experiments=experiments,
        filter_string=filter_string,
        order_by=order_by,
        since=since,
        until=until,
        parent=parent,
        view_type="DELETED_ONLY" if deleted else "ACTIVE_ONLY",
    )
    found = await tracking.search_runs(query, max_results=max_results, page_token=page_token)
    table = run_table(
        found.runs,
        asked=columns,
        used=used_columns(found.search),
        by_time=not found.search.order_by,
        names=found.search.names,
    )
    hint = f"{found.why_empty or table.hint()} {search_hint(found.search)}".strip()
    return Table(table.columns, table.rows, found.next_page_token, hint, resume=found.resume)


async def get_run(
    tracking: Tracking,
    run: RunRef,
    columns: Annotated[
        Columns, Field(description="Only these, whole: params.prompt, tags.*, description. Default: everything.")
    ] = (),
) -> Record:
    """Show everything about one run: status, when, who ran it, git commit, why it failed, metrics, all its
    hyperparameters (params), full tags and notes, datasets, logged models, registered versions, parent and
    children, link.

    Metrics are latest values; get_metric_history has the curves, list_artifacts the files.
    """
    found = await tracking.get_run(run)
    if columns:
        return chosen_record(found, columns)
    return await _record(tracking, found)


async def log_run(
    tracking: Tracking,
    recording: Recording,
    policy: Policy,
    experiment: WriteExperiment = "",
    run_name: RunName = "",
    params: Params | None = None,
    metrics: Metrics | None = None,
    tags: Tags | None = None,
    description: Description = "",
    datasets: Datasets | None = None,
    parent_run: ParentRun = "",
    start_time: StartTime = None,
    end_time: EndTime = None,
    status: EndStatus = "FINISHED",
    artifacts: TextFiles | None = None,
    files: Annotated[
        tuple[str, ...], Field(max_length=50, description="Local files to upload, from folders the server allows.")
    ] = (),
    idempotency_key: Key = "",
) -> Record:
    """Log (record, write down) a whole finished run with its results in one call: params, metrics with steps, tags,
    datasets, artifacts.

    Give an idempotency_key whenever the call might be repeated. For a run that stays open while you work use
    start_run, log_to_run and finish_run.
    """
    policy.need_unprotected(tag_names.written(tags, description=description, name=run_name))
    content = run_content(
        params=params or {}, metrics=metrics or {}, tags=tags or {}, datasets=datasets or (), artifacts=artifacts
    )
    recorded = await recording.record(
        RunDraft(
            experiment=experiment,
            run_name=run_name,
            content=content,
            description=description,
            parent_run=parent_run,
            start_time=start_time,
            end_time=end_time,
            status=status,
            files=files,
            idempotency_key=idempotency_key,
        )
    )
    return await written(tracking, recorded, content)


async def start_run(
    tracking: Tracking,
    recording: Recording,
    policy: Policy,
    experiment: WriteExperiment = "",
    run_name: RunName = "",
    params: Params | None = None,
    tags: Tags | None = None,
    description: Description = "",
    parent_run: ParentRun = "",
    idempotency_key: Key = "",
) -> Record:
    """Begin (open) a new run that stays open while you work. Add to it with log_to_run, end it with finish_run.

    For results that are complete already use log_run.
    """
    policy.need_unprotected(tag_names.written(tags, description=description, name=run_name))
    content = run_content(params=params or {}, metrics={}, tags=tags or {})
    recorded = await recording.record(
        RunDraft(
            experiment=experiment,
            run_name=run_name,
            content=content,
            description=description,
            parent_run=parent_run,
            status="RUNNING",
            idempotency_key=idempotency_key,
        )
    )
    return await written(tracking, recorded, content)


async def log_to_run(
    tracking: Tracking,
    open_runs: OpenRuns,
    policy: Policy,
    run: RunRef,
    params: Params | None = None,
    metrics: Metrics | None = None,
    tags: Tags | None = None,
    step: Annotated[int, Field(description="Step of metrics that are given as one number.")] = 0,
    datasets: Datasets | None = None,
) -> Record:
    """Add (append) params, metrics, tags or datasets to a run, open or ended. A param that is set cannot change."""
    policy.need_unprotected(tag_names.written(tags))
    content = run_content(
        params=params or {}, metrics=metrics or {}, tags=tags or {}, datasets=datasets or (), step=step
    )
    changed = await open_runs.log_to(run, content, protect_ended=policy.protects_metrics)
    return Record(
        {
            "run_id": changed.run_id,
            "run_name": changed.run_name,
            "status": changed.status,
            "logged": counts(content),
            "url": await tracking.run_url(changed),
        },
        hint=" ".join(content.warnings),
    )


async def finish_run(
    tracking: Tracking,
    open_runs: OpenRuns,
    run: RunRef,
    status: Annotated[
        Literal["auto", "FINISHED", "FAILED", "KILLED"],
        Field(description="How the run ended; auto ends an open run as FINISHED and leaves an ended one as it is."),
    ] = "auto",
) -> Record:
    """End a run that start_run opened. A run that has ended changes only if another status is given."""
    ended = await open_runs.finish(run, "" if status == "auto" else status)
    hint = ""
    if not ended.changed:
        hint = f"The run had already ended as {ended.status_before}; nothing was changed."
        if status == "auto" and ended.status_before != "FINISHED":
            hint += " Give status to change it."
    elif ended.status_before in ENDED:
        hint = f"The run had ended as {ended.status_before}; its status was changed."
    return Record(
        {
            "run_id": ended.run.run_id,
            "run_name": ended.run.run_name,
            "status": ended.run.status,
            "end_time": moment(ended.run.end_time),
            "url": await tracking.run_url(ended.run),
        },
        hint=hint,
    )


async def update_run(
    run_changes: RunChanges,
    policy: Policy,
    runs: RunRefs,
    name: Annotated[RunName, Field(description="New name, of one run.")] = "",
    description: Description = "",
    tags: ChangedTags | None = None,
    restore: Annotated[bool, Field(description="Restore deleted runs.")] = False,
) -> Table:
    """Rename, describe, tag or restore one or more runs and show what changed.

    What is left out stays as it is; finish_run sets the status.
    """
    policy.need_unprotected(tag_names.written(tags, description=description, name=name))
    changes = await run_changes.update(
        runs, name=name, description=description or None, tags=tags or {}, restore=restore
    )
    rows = [[change.run.run_id, change.run_name or change.run.run_name, _changed(change)] for change in changes]
    same = sum(not change.anything for change in changes)
    hint = f"{same} of {len(changes)} runs already had all of this and were not changed." if same else ""
    return Table(["run_id", "run_name", "changed"], rows, hint=hint)


async def _to_delete(tracking: Tracking, runs: tuple[str, ...]) -> Sequence[Run]:
    return await tracking.get_runs(runs)


ToDelete = Annotated[Sequence[Run], Resolve(_to_delete)]


async def ask_delete(found: ToDelete) -> Question:
    # The ids tell apart runs with the same name.
    names = ", ".join(f"{run.run_name} ({run.run_id[:8]})" for run in found[:NAMED_RUNS])
    if len(found) == 1:
        name = found[0].run_name or found[0].run_id
        return Question(f"Delete run {names}? update_run can restore it.", confirm_name=name)
    text = f"Delete {len(found)} runs: {names}{and_more(found, NAMED_RUNS)}? update_run can restore them."
    return Question(text, confirm_name=f"{len(found)} runs")


async def delete_runs(run_changes: RunChanges, found: ToDelete, runs: RunRefs) -> Table:
    """Delete (remove) runs. update_run with restore=true restores them until MLflow purges them."""
    deleted = await run_changes.delete([run.run_id for run in found])
    rows = [[run.run_id, run.run_name, "deleted"] for run in deleted]
    return Table(["run_id", "run_name", "lifecycle_stage"], rows, hint="update_run with restore=true restores them.")


async def whole_run(tracking: Tracking, run: str) -> Record:
    """What get_run shows, with all values whole."""
    return await _record(tracking, await tracking.get_run(run), whole=True)


async def _record(tracking: Tracking, run: Run, *, whole: bool = False) -> Record:
    around = await tracking.surroundings(run)
    experiment = await tracking.experiment_name(run.experiment_id)
    return run_record(run, around, experiment=experiment, url=await tracking.run_url(run), whole=whole)


def _changed(change: RunChange) -> str:
    """What was changed about a run, in one line."""
    parts = ["restored"] if change.restored else []
    if change.run_name:
        parts.append(f"run_name: {change.run.run_name} -> {change.run_name}")
    for key, value in change.tags.items():
        name = "description" if key == tag_names.NOTE else f"tags.{key}"
        before = change.run.tags.get(key)
        parts.append(f"{name}: {'' if before is None else f'{shown(before)} -> '}{shown(value)}")
    return "; ".join(parts) or "nothing"
