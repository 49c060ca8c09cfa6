"""One idempotency key, one run, whichever process asks first, and however often a request is delivered.

Every run is created with its key in a tag. MLflow has no unique constraint that could refuse a second run of a key, so
two processes, or a proxy that delivers a request twice, can make two. Each process then reads all runs of the key and
chooses by a rule that gives all of them the same run: a complete one, else the oldest start, else the smallest id. The
others are deleted, and as MLflow refuses writes to a deleted run, their writers find out and continue with the chosen
one. A run that was completed before its deletion took effect may have been promised to somebody: it is restored, and
the choice is made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from mcp_server.errors import TrackingServerError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

_ROUNDS: Final = 5
"""Times that the runs of a key are read before the choice stands; each further round needs another process's move."""
_CREATE_ATTEMPTS: Final = 2

_FILTERABLE: Final = re.compile(r"[^'\"`\\%\x00-\x1f]{1,200}")


def is_complete(run: Run) -> bool:
    """Whether everything was written to it. A run without the tag is not of this server, or no longer."""
    return run.tags.get(tag_names.STATE, tag_names.COMPLETE) == tag_names.COMPLETE


def stored_key(key: str) -> str:
    """The key as it stands in the tag: itself, or its digest when a filter could not ask for it."""
    return key if _FILTERABLE.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class KeyedRuns:
    """Finds and creates runs by their idempotency key."""

    def __init__(self, api: TrackingApi) -> None:
        self._api = api

    async def find(self, experiment_id: str, key: str) -> Run | None:
        """The run of a key, None when there is none; other runs of the key that are not complete are deleted."""
        chosen: Run | None = None
        for _ in range(_ROUNDS):
            runs = await self._with_key(experiment_id, key)
            if not runs:
                return None
            chosen, *others = runs
            if not await self._delete(others):
                break
        return chosen

    async def create(self, experiment_id: str, key: str, name: str, start_time: int, tags: Mapping[str, str]) -> Run:
        """A new run of the key, or the one that another call made meanwhile.

        Raises: TrackingServerError: `carried_out` is False when there certainly is no run.
        """
        all_tags = {**tags, tag_names.REQUEST_KEY: stored_key(key), tag_names.STATE: tag_names.WRITING}
        for attempt in range(1, _CREATE_ATTEMPTS + 1):
            try:
                made = await self._api.create_run(experiment_id, name, start_time, all_tags)
            except TrackingServerError as error:
                if error.carried_out is False:
                    raise
                # Only the answer may have been lost.
                if run := await self.find(experiment_id, key):
                    return run
                if attempt == _CREATE_ATTEMPTS:
                    raise
            else:
                return await self.find(experiment_id, key) or made
        raise AssertionError("unreachable")

    async def _with_key(self, experiment_id: str, key: str) -> list[Run]:
        tag = stored_key(key)
        page = await self._api.search_runs(
            [experiment_id], filter_string=f"tags.`{tag_names.REQUEST_KEY}` = {quoted(tag)}", max_results=100
        )
        # MySQL compares without regard to case.
        runs = [run for run in page.items if run.tags.get(tag_names.REQUEST_KEY) == tag]
        return sorted(runs, key=lambda run: (not is_complete(run), run.start_time, run.run_id))

    async def _delete(self, runs: list[Run]) -> bool:
        """Deletes the runs that were not chosen. Returns: whether one became complete, so that the choice is open."""
        restored = False
        for run in runs:
            if is_complete(run):
                # Then the chosen one is complete too, and every process that reads both chooses it.
                await self._api.delete_run(run.run_id)
                continue
            # Read again: what another process has deleted meanwhile is its decision, and is not restored here.
            before = await self._api.get_run(run.run_id)
            if before.lifecycle_stage == "deleted":
                continue
            if is_complete(before):
                restored = True
                continue
            try:
                await self._api.delete_run(run.run_id)
            except TrackingServerError as error:
                if error.carried_out is False:
                    raise
            after = await self._api.get_run(run.run_id)
            if after.lifecycle_stage == "deleted" and is_complete(after):
                await self._api.restore_run(run.run_id)
                restored = True
        return restored
