"""Experiments: search, create, update and delete."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Resolve
from pydantic import Field

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment
from mcp_server.paging import Cursor
from mcp_server.rendering import Record, Table, moment, pairs_text
from mcp_server.tools._confirm import Question
from mcp_server.tools._context import Experiments, Policy
from mcp_server.tools._params import (
    ChangedTags,
    Description,
    ExperimentRef,
    MaxResults,
    NameContains,
    OrderBy,
    PageToken,
    Tags,
)
from mcp_server.tools._views import shown_tags


async def search_experiments(
    experiments: Experiments,
    name_contains: NameContains = "",
    filter_string: Annotated[str, Field(description="MLflow filter, such as tags.team = 'vision'.")] = "",
    order_by: Annotated[
        OrderBy, Field(max_length=5, description="name ASC, creation_time DESC or last_update_time DESC.")
    ] = (),
    max_results: MaxResults = 50,
    page_token: PageToken = "",
    deleted: Annotated[bool, Field(description="List deleted experiments instead of active ones.")] = False,
) -> Table:
    """List or find experiments: which projects there are and what they are about; most recently changed first unless
    order_by is given.

    For the runs inside one use search_runs.
    """
    cursor = Cursor.read(page_token, name_contains, filter_string, order_by, deleted)
    found = await experiments.search(
        name_contains,
        filter_string=filter_string,
        order_by=order_by,
        max_results=cursor.request_size(max_results),
        page_token=cursor.page_token,
        view_type="DELETED_ONLY" if deleted else "ACTIVE_ONLY",
    )
    page = cursor.window(found.items, found.next_page_token, max_results)
    rows = [
        [e.experiment_id, e.name, moment(e.last_update_time), e.tags.get(tag_names.NOTE, ""), _tag_text(e)]
        for e in page.items
    ]
    columns = ["experiment_id", "name", "last_update", "description", "tags"]
    hint = ""
    if page.next_page_token:
        hint = "There are more; pass next_page_token as page_token."
    elif not rows and not page_token:
        hint = "No experiment matches; without arguments this lists all. log_run creates the experiment that it names."
    return Table(columns, rows, page.next_page_token, hint, resume=page.resume).without_empty(keep=3)


async def create_experiment(
    experiments: Experiments,
    policy: Policy,
    name: Annotated[str, Field(min_length=1, max_length=500, description="Name; / may group, as in vision/resnet.")],
    description: Description = "",
    tags: Tags | None = None,
) -> Record:
    """Create a new experiment. log_run and start_run create a missing one themselves."""
    policy.need_unprotected(tag_names.written(tags, description=description))
    return await _record(experiments, await experiments.create(name, description=description, tags=tags or {}))


async def update_experiment(
    experiments: Experiments,
    policy: Policy,
    experiment: ExperimentRef,
    name: Annotated[str, Field(max_length=500, description="New name.")] = "",
    description: Description = "",
    tags: ChangedTags | None = None,
    restore: Annotated[bool, Field(description="Restore a deleted experiment with its runs.")] = False,
) -> Record:
    """Rename, describe, tag or restore an experiment. What is left out stays as it is."""
    policy.need_unprotected(tag_names.written(tags, description=description))
    changed = await experiments.update(
        experiment,
        name=name,
        description=description or None,
        tags=tags or {},
        restore=restore,
    )
    return await _record(experiments, changed)


async def _to_delete(experiments: Experiments, experiment: str) -> Experiment:
    return await experiments.get(experiment)


ToDelete = Annotated[Experiment, Resolve(_to_delete)]


async def ask_delete(found: ToDelete) -> Question:
    text = (
        f"Delete experiment '{found.name}' (id {found.experiment_id}) with its runs? update_experiment can restore it."
    )
    return Question(text, confirm_name=found.name)


async def delete_experiment(experiments: Experiments, found: ToDelete, experiment: ExperimentRef) -> Record:
    """Delete an experiment with its runs. update_experiment with restore=true restores it until MLflow purges it."""
    deleted = await experiments.delete(found.experiment_id)
    return Record(
        {"experiment_id": deleted.experiment_id, "name": deleted.name, "lifecycle_stage": "deleted"},
        hint="update_experiment with restore=true restores it.",
    )


async def _record(experiments: Experiments, experiment: Experiment) -> Record:
    return Record(
        {
            "experiment_id": experiment.experiment_id,
            "name": experiment.name,
            "lifecycle_stage": experiment.lifecycle_stage,
            "description": experiment.tags.get(tag_names.NOTE),
            "tags": shown_tags(experiment.tags),
            "creation_time": moment(experiment.creation_time),
            "url": await experiments.url(experiment.experiment_id),
        }
    )


def _tag_text(experiment: Experiment) -> str:
    return pairs_text(shown_tags(experiment.tags))
