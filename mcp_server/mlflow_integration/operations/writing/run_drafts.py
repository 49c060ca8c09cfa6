"""A run as a caller describes it, and everything that is refused before its first write."""

from __future__ import annotations

import getpass
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.files.uploads import LocalUpload, Uploads, upload_names
from mcp_server.mlflow_integration.operations.run_content import (
    RunContent,
    artifact_path,
    checked_time,
    need_separate_paths,
)
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.tag_values import need_unicode, writable_tags
from mcp_server.mlflow_integration.operations.writing.unfinished_writes import Ending

RUN_NAME_LIMIT: Final = 250
"""Characters of a run's name. Source: mlflow/store/tracking/dbmodels/models.py."""


@dataclass(frozen=True, slots=True)
class RunDraft:
    """A run as the caller describes it."""

    experiment: str
    run_name: str
    content: RunContent
    description: str = ""
    parent_run: str = ""
    start_time: int | None = None
    """UTC milliseconds; None is now."""
    end_time: int | None = None
    status: str = "FINISHED"
    """RUNNING leaves the run open."""
    files: tuple[str, ...] = ()
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class CheckedDraft:
    """A draft that MLflow will accept."""

    experiment: str
    run_name: str
    content: RunContent
    """Without the tags that are set at creation."""
    first_tags: Mapping[str, str]
    """Set in the request that creates the run, so that they are never missing."""
    start_time: int
    ending: Ending
    key: str
    key_given: bool
    """True when the caller chose the key, so that an earlier call may have used it."""
    uploads: Mapping[str, LocalUpload]
    """Local files by artifact path."""


async def check_draft(draft: RunDraft, references: References, uploads: Uploads) -> CheckedDraft:
    """Raises: InvalidInputError: something in it would be refused by MLflow, contradicts itself, or may not be read."""
    start_time, end_time = _times(draft)
    if len(draft.run_name) > RUN_NAME_LIMIT:
        raise InvalidInputError(f"run_name has {len(draft.run_name):,} characters; MLflow accepts {RUN_NAME_LIMIT}.")
    need_unicode("run_name", draft.run_name)
    need_unicode("idempotency_key", draft.idempotency_key)
    tags = writable_tags(draft.content.tags, description=draft.description or None)
    if draft.run_name and tags.get(tag_names.RUN_NAME, draft.run_name) != draft.run_name:
        raise InvalidInputError(f"run_name and the tag {tag_names.RUN_NAME} differ. Give one of them.")
    files = {
        artifact_path(name): await uploads.checked(path)
        for name, path in dict(zip(upload_names(draft.files), draft.files, strict=True)).items()
    }
    need_separate_paths([*(draft.content.artifacts or {}), *files])
    parent = await _parent(draft.parent_run, tags.pop(tag_names.PARENT_RUN, ""), references)
    first = {key: tags.pop(key) for key in (tag_names.NOTE, tag_names.RUN_NAME) if key in tags}
    if parent is not None:
        first[tag_names.PARENT_RUN] = parent.run_id
    return CheckedDraft(
        experiment=draft.experiment,
        run_name=draft.run_name or first.get(tag_names.RUN_NAME, ""),
        content=replace(draft.content, tags=tags),
        first_tags={tag_names.SOURCE_NAME: "mcp-server-mlflow", tag_names.USER: _user(), **first},
        start_time=start_time,
        ending=Ending(draft.status, end_time),
        key=draft.idempotency_key or uuid.uuid4().hex,
        key_given=bool(draft.idempotency_key),
        uploads=files,
    )


async def with_parent(tags: Mapping[str, str], runs: Sequence[Run], references: References) -> dict[str, str]:
    """Tags for runs that exist, with the id of the parent run that they may name.

    Raises: NotFoundError, InvalidInputError: there is no such run, it is deleted, or it is one of the runs.
    """
    if not tags.get(tag_names.PARENT_RUN):
        return dict(tags)
    parent = need_active(await references.run(tags[tag_names.PARENT_RUN]))
    if parent.run_id in {run.run_id for run in runs}:
        raise InvalidInputError(f"Run {parent.run_id} cannot be its own parent.")
    return {**tags, tag_names.PARENT_RUN: parent.run_id}


def need_active(run: Run) -> Run:
    """Raises: InvalidInputError: the run is deleted, so MLflow would refuse to change it."""
    if run.lifecycle_stage == "deleted":
        raise InvalidInputError(
            f"Run {run.run_id} is deleted. update_run(runs=['{run.run_id}'], restore=true) restores it."
        )
    return run


def _times(draft: RunDraft) -> tuple[int, int]:
    now = int(time.time() * 1_000)
    start = now if draft.start_time is None else checked_time("start_time", draft.start_time)
    end = max(now, start) if draft.end_time is None else checked_time("end_time", draft.end_time)
    if end < start:
        hint = " Give start_time too." if draft.start_time is None else ""
        raise InvalidInputError(f"end_time {end} is before start_time {start} (UTC milliseconds).{hint}")
    return start, end


async def _parent(named: str, tagged: str, references: References) -> Run | None:
    """The parent run, by the argument or by MLflow's tag. Raises: InvalidInputError: they differ, or it is deleted."""
    if not (named or tagged):
        return None
    parent = await references.run(named or tagged)
    if named and tagged and (await references.run(tagged)).run_id != parent.run_id:
        raise InvalidInputError(f"parent_run and the tag {tag_names.PARENT_RUN} name different runs. Give one of them.")
    return need_active(parent)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Containers may run under a user id without a name.
        return "mcp"
