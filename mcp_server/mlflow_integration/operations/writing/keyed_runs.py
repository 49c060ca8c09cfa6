"""One idempotency key, one run, whichever process asks first, and however often a request is delivered.

Every run is created with its key in a tag. MLflow has no unique constraint that could refuse a second run of a key, so
two processes, or a proxy that delivers a request twice, can make two. What MLflow refuses is a second value for a
param. So each process that reads more than one run of a key picks one (of those that were chosen already the oldest
start, then the smallest id; else of the complete ones; else of all), writes into it that it is chosen, then into the
others that they are superseded. A refusal means that another process was faster: the runs are read again. Superseded
runs are deleted; MLflow refuses writes to a deleted run, so their writers continue with the chosen one.

A run is answered only when it was the only or the chosen one in a reading after it was complete. Whoever creates
another run later reads a complete one and continues with it; whoever read the runs earlier and picked another one has
either written so, which that reading then showed, or is refused. So no run that was answered is superseded afterwards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.errors import ConflictError, InvalidInputError, TrackingServerError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

_ROUNDS: Final = 10
"""Times that the runs of a key are read; each further round needs a move of another process meanwhile."""
_CREATE_ATTEMPTS: Final = 2

_FILTERABLE: Final = re.compile(r"[^'\"`\\%\x00-\x1f]{1,200}")


def is_complete(run: Run) -> bool:
    """Whether everything was written to it. A run without the tag is not of this server, or no longer."""
    return run.tags.get(tag_names.STATE, tag_names.COMPLETE) == tag_names.COMPLETE


def stored_key(key: str) -> str:
    """The key as it stands in the tag: itself, or its digest when a filter could not ask for it."""
    return key if _FILTERABLE.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class KeyedRuns:
    """Finds and creates runs by their idempotency key, which stands in the tag of this name."""

    def __init__(self, api: TrackingApi, tag: str = tag_names.REQUEST_KEY) -> None:
        self._api = api
        self._tag = tag

    async def find(self, experiment_id: str, key: str) -> Run | None:
        """The run of a key, None when there is none; all others of the key are superseded and deleted.

        Raises: ConflictError: other processes keep making runs of the key.
        """
        for _ in range(_ROUNDS):
            runs = await self._with_key(experiment_id, key)
            if len(runs) < 2:
                return runs[0] if runs else None
            chosen = min(runs, key=_preference)
            if await self._settle(chosen, [run for run in runs if run is not chosen]):
                return chosen
        raise ConflictError("Other processes keep writing runs with this idempotency_key. Repeat the call in a moment.")

    async def find_despite_loss(self, experiment_id: str, key: str) -> Run | None:
        """The same, asked once more when an answer is lost. Raises: TrackingServerError: the second one as well."""
        try:
            return await self.find(experiment_id, key)
        except TrackingServerError:
            return await self.find(experiment_id, key)

    async def create(self, experiment_id: str, key: str, name: str, start_time: int, tags: Mapping[str, str]) -> Run:
        """A new run of the key, or the one that another call made meanwhile.

        Raises: TrackingServerError: `carried_out` is False when there certainly is no run.
        """
        all_tags = {**tags, self._tag: stored_key(key), tag_names.STATE: tag_names.WRITING}
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
            [experiment_id], filter_string=f"tags.`{self._tag}` = {quoted(tag)}", max_results=100
        )
        # MySQL compares without regard to case.
        runs = [run for run in page.items if run.tags.get(self._tag) == tag]
        for run in runs:
            if run.settled == tag_names.SUPERSEDED:  # Whoever wrote that ended before it deleted the run.
                await self._api.delete_run(run.run_id)
        return [run for run in runs if run.settled != tag_names.SUPERSEDED]

    async def _settle(self, chosen: Run, others: Sequence[Run]) -> bool:
        """Whether this run is the one of its key now; False when another process chose otherwise meanwhile."""
        if not await self._written(chosen, tag_names.CHOSEN):
            return False
        agreed = True
        for run in others:
            # Two can be chosen by processes that did not see each other's run; all then prefer the same one.
            if run.settled != tag_names.CHOSEN and not await self._written(run, tag_names.SUPERSEDED):
                agreed = False
                continue
            await self._api.delete_run(run.run_id)
        return agreed

    async def _written(self, run: Run, outcome: str) -> bool:
        """Whether a run's outcome is this one; the first that is written stays."""
        try:
            await self._api.log_param(run.run_id, tag_names.SETTLED, outcome)
        except InvalidInputError:  # It has the other outcome, or is deleted.
            return False
        return True


def _preference(run: Run) -> tuple[int, int, str]:
    """Smaller is better; the same for every process that reads the same runs."""
    # Of chosen runs none may overtake another by being completed.
    rank = 0 if run.settled == tag_names.CHOSEN else 1 if is_complete(run) else 2
    return rank, run.start_time, run.run_id
