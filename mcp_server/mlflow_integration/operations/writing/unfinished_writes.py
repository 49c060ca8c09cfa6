"""Runs that a call could not settle before it gave up: looked for in the background, for a bounded time, and marked.

A request to create a run may be carried out after nobody waits for it any more, and a run cannot be marked while MLflow
does not answer. Either would leave a run that is RUNNING although nothing writes to it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from mcp_server.errors import MlflowToolError, NotFoundError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.tag_values import TAG_VALUE_LIMIT
from mcp_server.mlflow_integration.operations.writing.key_locks import KeyLocks
from mcp_server.mlflow_integration.operations.writing.keyed_runs import KeyedRuns, is_complete
from mcp_server.mlflow_integration.rest.api import pairs
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

logger = logging.getLogger(__name__)

FIRST_LOOK_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 60.0
"""Each wait is twice the one before, up to this."""
LOOK_SECONDS: Final = 5.0
"""Longest look: a call with the same key waits for it."""
LOOK_FOR_SECONDS: Final = 600.0
"""A request that was not carried out by then never will be."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends once everything is written."""

    status: str
    """RUNNING leaves it open."""
    end_time: int
    """UTC milliseconds."""


async def settle(api: TrackingApi, run: Run, ending: Ending, missing: Sequence[str], failed_at: int) -> str:
    """Ends a run whose write stopped: as it was meant to end if only that is missing, else as FAILED and partial.

    Returns: the state it is in.
    """
    if is_complete(run):
        if tag_names.MISSING in run.tags or run.status == "RUNNING":
            await _end_complete(api, run, ending)
        return tag_names.COMPLETE
    if run.tags.get(tag_names.STATE) != tag_names.PARTIAL:
        tags = {
            tag_names.STATE: tag_names.PARTIAL,
            tag_names.MISSING: ("; ".join(missing) or "unknown")[:TAG_VALUE_LIMIT],
        }
        await api.log_batch(run.run_id, [], [], pairs(tags))
    if run.status == "RUNNING":
        await api.update_run(run.run_id, status="FAILED", end_time=failed_at)
    return tag_names.PARTIAL


async def remove_missing(api: TrackingApi, run_id: str) -> None:
    """Removes the note of what a run lacked."""
    with suppress(NotFoundError):  # An earlier request was carried out although its answer was lost.
        await api.delete_run_tag(run_id, tag_names.MISSING)


async def _end_complete(api: TrackingApi, run: Run, ending: Ending) -> None:
    """Ends a run to which everything was written, whatever an earlier mark says."""
    end_time = None if ending.status == "RUNNING" else ending.end_time
    if run.status != ending.status:
        await api.update_run(run.run_id, status=ending.status, end_time=end_time)
    if tag_names.MISSING in run.tags:
        await remove_missing(api, run.run_id)


@dataclass(slots=True)
class _Unfinished:
    experiment_id: str
    key: str
    keyed: KeyedRuns
    """Finds the run by the key."""
    ending: Ending
    missing: tuple[str, ...]
    created: bool
    """False when it is not known whether there is a run."""
    failed_at: int
    """End, in UTC milliseconds, that the run gets when it is marked; tells our mark from what a user sets."""
    given_up_at: float
    next_look: float
    wait: float = FIRST_LOOK_SECONDS
    completed: bool = False
    """A later call wrote everything; the mark of the earlier one may still arrive and must then be undone."""


class UnfinishedWrites:
    """The writes to look after; `settle_forever` runs as long as the server."""

    def __init__(self, api: TrackingApi, keyed: KeyedRuns, locks: KeyLocks) -> None:
        self._api = api
        self._keyed = keyed
        self._locks = locks
        self._waiting: dict[tuple[str, str], _Unfinished] = {}
        self._added: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self,
        experiment_id: str,
        key: str,
        ending: Ending,
        missing: Sequence[str],
        *,
        created: bool,
        failed_at: int,
        keyed: KeyedRuns | None = None,
    ) -> None:
        """Looks after a write from now on; `keyed` finds its run if its key stands in another tag."""
        now, keyed = time.monotonic(), keyed or self._keyed
        self._waiting[experiment_id, key] = _Unfinished(
            experiment_id, key, keyed, ending, tuple(missing), created, failed_at, now, now + FIRST_LOOK_SECONDS
        )
        if self._added is not None:
            self._added.set()

    def completed(self, experiment_id: str, key: str, ending: Ending) -> None:
        """A later call wrote everything."""
        if one := self._waiting.get((experiment_id, key)):
            one.completed, one.ending = True, ending

    def forget(self, experiment_id: str, key: str) -> None:
        """MLflow acknowledged the mark."""
        self._waiting.pop((experiment_id, key), None)

    async def take_over(self, experiment_id: str, key: str) -> None:
        """A later call continues the write, and no look marks its run meanwhile."""
        async with self._locks.alone(key):
            self.forget(experiment_id, key)

    async def settle_forever(self) -> None:
        """Looks after each write when its time has come; ends only by cancellation."""
        while True:
            self._added = added = anyio.Event()
            due = min((one.next_look for one in self._waiting.values()), default=math.inf)
            with anyio.move_on_after(max(due - time.monotonic(), 0.0)):
                await added.wait()
            await self.look()

    async def look(self, *, now: bool = False) -> None:
        """One look at every write that is due, or with `now` at all of them."""
        for one in list(self._waiting.values()):
            if not now and one.next_look > time.monotonic():
                continue
            async with self._locks.alone(one.key):
                if (one.experiment_id, one.key) in self._waiting:
                    await self._look_at(one)

    async def _look_at(self, one: _Unfinished) -> None:
        settled = False
        try:
            with anyio.move_on_after(LOOK_SECONDS):
                settled = await self._settle(one)
        except MlflowToolError as error:
            logger.info("The write with key %s is not finished yet: %s", one.key, error)
        one.wait = min(one.wait * 2, LONGEST_WAIT_SECONDS)
        one.next_look = time.monotonic() + one.wait
        if settled or time.monotonic() - one.given_up_at > LOOK_FOR_SECONDS:
            self.forget(one.experiment_id, one.key)

    async def _settle(self, one: _Unfinished) -> bool:
        """Whether there is nothing left to look after."""
        run = await one.keyed.find(one.experiment_id, one.key)
        if run is None:
            return False
        if one.completed:
            await self._undo_late_mark(one, run)
            return False
        await settle(self._api, run, one.ending, one.missing, one.failed_at)
        # Where it is not known whether a run was created, another of the key may still appear.
        return one.created

    async def _undo_late_mark(self, one: _Unfinished, run: Run) -> None:
        tags_marked = run.tags.get(tag_names.STATE) == tag_names.PARTIAL or tag_names.MISSING in run.tags
        status_marked = run.status == "FAILED" and run.end_time == one.failed_at
        if tags_marked:
            await self._api.log_batch(run.run_id, [], [], pairs({tag_names.STATE: tag_names.COMPLETE}))
        if tags_marked or status_marked:
            await _end_complete(self._api, run, one.ending)
