"""Changing runs that exist: rename, describe, tag, restore and delete them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_server.errors import IncompleteWriteError, InvalidInputError, MlflowToolError, TrackingServerError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import RunContent, batches
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.tag_values import need_unicode, writable_tags
from mcp_server.mlflow_integration.operations.writing.run_drafts import RUN_NAME_LIMIT, need_active, with_parent
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi


@dataclass(frozen=True, slots=True)
class RunChange:
    """What a call changed about one run."""

    run: Run
    """As it was read before the change."""
    restored: bool
    run_name: str
    """The new name; empty when it stays."""
    tags: Mapping[str, str]
    """Tags that get another value, the description among them."""

    @property
    def anything(self) -> bool:
        return self.restored or bool(self.run_name) or bool(self.tags)


class RunChanges:
    """Changes runs of one MLflow."""

    def __init__(self, api: TrackingApi, references: References) -> None:
        self._api = api
        self._references = references

    async def update(
        self,
        references: Sequence[str],
        *,
        name: str = "",
        description: str | None = None,
        tags: Mapping[str, Any],
        restore: bool = False,
    ) -> tuple[RunChange, ...]:
        """Gives runs a name, description or tags, or restores them. All are found and checked before one is changed.

        Raises: InvalidInputError: refused, and nothing was changed. IncompleteWriteError: some were changed.
        """
        texts = writable_tags(tags, description=description)
        name = _one_name(name, texts.pop(tag_names.RUN_NAME, ""))
        if not (name or texts or restore):
            raise InvalidInputError("There is nothing to change: give name, description, tags or restore=true.")
        runs = await self._references.runs(references)
        if name and len(runs) > 1:
            raise InvalidInputError(f"name='{name}' would give {len(runs)} runs one name; rename them one by one.")
        texts = await with_parent(texts, runs, self._references)
        changes = [_change(run, name, texts, restore) for run in runs]
        await self._each(changes, self._apply, "changed")
        return tuple(changes)

    async def delete(self, references: Sequence[str]) -> tuple[Run, ...]:
        """Moves runs to the deleted stage, from which `update` restores them. All are found before one is deleted.

        Raises: IncompleteWriteError: some were deleted.
        """
        runs = await self._references.runs(references)
        await self._each([RunChange(run, False, "", {}) for run in runs], self._delete, "deleted")
        return runs

    async def _each(self, changes: Sequence[RunChange], act: Callable[[RunChange], Awaitable[None]], what: str) -> None:
        for number, change in enumerate(changes):
            try:
                await act(change)
            except MlflowToolError as error:
                if not number:
                    raise
                done = ", ".join(one.run.run_id for one in changes[:number])
                raise IncompleteWriteError(
                    f"{number} of {len(changes)} runs were {what} ({done}), then it stopped at run "
                    f"{change.run.run_id}: {error} Repeat the call to do the rest."
                ) from error

    async def _apply(self, change: RunChange) -> None:
        run_id = change.run.run_id
        if change.restored:
            try:
                await self._api.restore_run(run_id)
            except TrackingServerError:
                if (await self._api.get_run(run_id)).lifecycle_stage == "deleted":
                    raise  # Else only the answer was lost.
        if change.run_name:
            await self._api.update_run(run_id, run_name=change.run_name)
        for batch in batches(RunContent(params={}, metrics=(), tags=change.tags), 0):
            await self._api.log_batch(run_id, batch.metrics, batch.params, batch.tags)

    async def _delete(self, change: RunChange) -> None:
        run_id = change.run.run_id
        if change.run.lifecycle_stage == "deleted":
            return
        try:
            await self._api.delete_run(run_id)
        except TrackingServerError:
            if (await self._api.get_run(run_id)).lifecycle_stage != "deleted":
                raise  # Else only the answer was lost.


def _one_name(name: str, tagged: str) -> str:
    if name and tagged and name != tagged:
        raise InvalidInputError(f"name and the tag {tag_names.RUN_NAME} differ. Give one of them.")
    name = name or tagged
    if len(name) > RUN_NAME_LIMIT:
        raise InvalidInputError(f"name has {len(name):,} characters; MLflow accepts {RUN_NAME_LIMIT}.")
    need_unicode("name", name)
    return name


def _change(run: Run, name: str, tags: Mapping[str, str], restore: bool) -> RunChange:
    if not restore:
        need_active(run)
    return RunChange(
        run,
        restored=restore and run.lifecycle_stage == "deleted",
        run_name=name if name != run.run_name else "",
        tags={key: value for key, value in tags.items() if run.tags.get(key) != value},
    )
