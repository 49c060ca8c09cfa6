"""Writing runs: each is written once, and is complete or marked as incomplete.

A write is a list of steps, each of which may be repeated without harm, and the tag that says `complete` goes with the
last one. When a step fails or the time is up, the run is ended as FAILED, its tags say what is missing, and the same
call with the same idempotency key continues it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from mcp_server.errors import (
    DeadlineError,
    IncompleteWriteError,
    InvalidInputError,
    MlflowToolError,
    TrackingServerError,
)
from mcp_server.listing import listed
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.deadlines import (
    TIME_IS_UP,
    despite_cancellation,
    reserve_seconds,
    stop_before_deadline,
)
from mcp_server.mlflow_integration.operations.experiments import Experiments
from mcp_server.mlflow_integration.operations.files.uploads import LocalUpload, Uploads
from mcp_server.mlflow_integration.operations.run_content import batches
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.writing.key_locks import KeyLocks
from mcp_server.mlflow_integration.operations.writing.keyed_runs import KeyedRuns, is_complete
from mcp_server.mlflow_integration.operations.writing.open_runs import need_same_params
from mcp_server.mlflow_integration.operations.writing.run_drafts import CheckedDraft, RunDraft, check_draft
from mcp_server.mlflow_integration.operations.writing.unfinished_writes import UnfinishedWrites, remove_missing, settle
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactsApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

logger = logging.getLogger(__name__)

_TAKEOVERS: Final = 3
"""Times that another process may have settled on another run of the same key before the call gives up."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one call wrote."""

    run: Run
    experiment: Experiment
    idempotency_key: str
    existed: bool = False
    """True when an earlier call with this key had already written it."""
    files: int = 0
    created_experiment: bool = False
    near_experiments: str = ""
    """Existing experiments that a new one may have been meant for, as a sentence; empty when none is close."""


@dataclass(slots=True)
class _Write:
    """How far one call got."""

    reserve: float
    """Seconds kept to settle it when it stops."""
    experiment: Experiment | None = None
    created_experiment: bool = False
    creating: bool = False
    """Whether a request to create the run was sent."""
    run: Run | None = None
    done: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    outcome: str = ""
    """The state in which MLflow acknowledged the run after the write stopped."""


Step = tuple[str, Callable[[], Awaitable[None]]]
"""A request, and what is missing as long as it was not carried out."""


class Recording:
    """Writes runs of one MLflow."""

    def __init__(
        self,
        api: TrackingApi,
        references: References,
        experiments: Experiments,
        artifacts: ArtifactsApi,
        uploads: Uploads,
    ) -> None:
        self._api = api
        self._artifacts = artifacts
        self._references = references
        self._experiments = experiments
        self._uploads = uploads
        self._keyed = KeyedRuns(api)
        self._locks = KeyLocks()
        self.unfinished = UnfinishedWrites(api, self._keyed, self._locks)

    async def record(self, draft: RunDraft) -> Recorded:
        """Writes a run, or completes the one that an earlier call with the same key began.

        Raises: InvalidInputError: refused before anything was written. IncompleteWriteError: not everything was
            written, or it is not known; the text says what is missing and which key continues the write.
        """
        checked = await check_draft(draft, self._references, self._uploads)
        write = _Write(reserve_seconds())
        error: MlflowToolError = DeadlineError(TIME_IS_UP)
        try:
            with stop_before_deadline(write.reserve):
                async with self._locks.alone(checked.key):
                    return await self._written(write, checked)
        except MlflowToolError as raised:
            error = raised
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(write.reserve / 2):
                await self._settle(write, checked)
            raise
        if not write.creating and write.run is None:
            raise _before_the_run(error, checked.key)
        # A mark that the deadline cuts off is made in the background; the answer must still get out.
        with stop_before_deadline(write.reserve / 4):
            await self._settle(write, checked)
        if write.outcome == tag_names.COMPLETE and write.run and write.experiment:
            return Recorded(write.run, write.experiment, checked.key, files=len(checked.uploads))
        raise IncompleteWriteError(_incomplete(write, checked, error)) from error

    async def _written(self, write: _Write, checked: CheckedDraft) -> Recorded:
        write.experiment, write.created_experiment = await self._experiments.get_or_create(checked.experiment)
        experiment = write.experiment
        run = await self._keyed.find(experiment.experiment_id, checked.key) if checked.key_given else None
        if run is None:
            write.creating = True
            run = await despite_cancellation(lambda: self._create(write, checked, experiment), write.reserve / 3)
        elif not _is_whole(run, checked):
            need_same_params(run, checked.content.params)
        run = await self._complete_one(write, checked, run)
        self.unfinished.completed(experiment.experiment_id, checked.key, checked.ending)
        return Recorded(
            run,
            experiment,
            checked.key,
            existed=not write.done,
            files=len(checked.uploads),
            created_experiment=write.created_experiment,
            near_experiments=await self._experiments.near(experiment.name) if write.created_experiment else "",
        )

    async def _create(self, write: _Write, checked: CheckedDraft, experiment: Experiment) -> Run:
        # Kept in `write` as well: a cancelled call gets no result, but marks the run.
        write.run = await self._keyed.create(
            experiment.experiment_id, checked.key, checked.run_name, checked.start_time, checked.first_tags
        )
        return write.run

    async def _complete_one(self, write: _Write, checked: CheckedDraft, run: Run) -> Run:
        """Completes a run of the key; another one if that is what all processes with this key settle on."""
        for _ in range(_TAKEOVERS):
            write.run = run
            if _is_whole(run, checked):
                return run
            try:
                await self._complete(write, checked, run)
            except InvalidInputError:
                # MLflow refuses writes to a run that another process has deleted in favour of its own.
                chosen = await self._keyed.find(run.experiment_id, checked.key)
                if chosen is None or chosen.run_id == run.run_id:
                    raise
            else:
                chosen = await self._reread(checked, run)
                if chosen.run_id == run.run_id:
                    return replace(run, status=checked.ending.status)
            run = chosen
        raise InvalidInputError("Several processes write this run again and again, each in favour of another one.")

    async def _reread(self, checked: CheckedDraft, run: Run) -> Run:
        """The run that the key stands for, now that everything is written."""
        if not checked.key_given:
            return run  # Nobody else has this key; a second delivery was looked for when the run was created.
        try:
            chosen = await self._keyed.find_despite_loss(run.experiment_id, checked.key)
            if chosen is None:
                raise InvalidInputError(f"Run {run.run_id} was deleted while it was written.")
            if chosen.run_id == run.run_id and tag_names.MISSING in chosen.tags:
                await remove_missing(self._api, run.run_id)
        except TrackingServerError:
            # Everything is written and acknowledged; an error about a lost answer here would be wrong.
            return run
        return chosen

    async def _complete(self, write: _Write, checked: CheckedDraft, run: Run) -> None:
        """Writes what belongs to a run, each step repeatable, the state with the last batch, then the end."""
        steps = self._steps(run, checked)
        write.done = []
        write.missing = [label for label, _ in steps]
        for label, step in steps:
            await step()
            write.done.append(label)
            write.missing.remove(label)

    def _steps(self, run: Run, checked: CheckedDraft) -> list[Step]:
        content, ending = checked.content, checked.ending
        steps: list[Step] = []
        if content.datasets:
            steps.append(("datasets", lambda: self._api.log_inputs(run.run_id, content.datasets)))
        for path, data in (content.artifacts or {}).items():
            steps.append((f"artifact {path}", lambda p=path, d=data: self._artifacts.upload(run, p, d)))
        for path, upload in checked.uploads.items():
            steps.append((f"artifact {path}", lambda p=path, u=upload: self._send(run, p, u)))
        pieces = batches(content, run.start_time, last_tags={tag_names.STATE: tag_names.COMPLETE})
        for number, piece in enumerate(pieces, start=1):
            label = _BATCH + (f" (batch {number} of {len(pieces)})" if len(pieces) > 1 else "")
            steps.append((label, lambda b=piece: self._api.log_batch(run.run_id, b.metrics, b.params, b.tags)))
        if ending.status != "RUNNING":
            steps.append(
                ("the end", lambda: self._api.update_run(run.run_id, status=ending.status, end_time=ending.end_time))
            )
        elif run.status != "RUNNING":
            steps.append(("the status", lambda: self._api.update_run(run.run_id, status="RUNNING")))
        if tag_names.MISSING in run.tags:
            # Last: as long as the tag is there, a repeated call knows that it has to end the run.
            steps.append(("the state", lambda: remove_missing(self._api, run.run_id)))
        return steps

    async def _send(self, run: Run, path: str, upload: LocalUpload) -> None:
        await self._uploads.send(run, path, upload)

    async def _settle(self, write: _Write, checked: CheckedDraft) -> None:
        """Ends or marks a run whose write stopped: now, or in the background if MLflow does not acknowledge it."""
        if write.experiment is None or not (write.creating or write.run):
            return
        experiment_id, key = write.experiment.experiment_id, checked.key
        missing = write.missing or [_BATCH]
        failed_at, created = int(time.time() * 1_000), write.run is not None
        self.unfinished.add(experiment_id, key, checked.ending, missing, created=created, failed_at=failed_at)
        try:
            run = await self._keyed.find(experiment_id, key)
            if run is None:
                return
            write.run = run
            write.outcome = await settle(self._api, run, checked.ending, missing, failed_at)
        except MlflowToolError as error:
            logger.info("The write with key %s is not finished yet: %s", key, error)
            return
        self.unfinished.forget(experiment_id, key)


_BATCH: Final = "params, metrics and tags"


def _is_whole(run: Run, checked: CheckedDraft) -> bool:
    """Whether nothing is left to write to an existing run."""
    ended = run.status != "RUNNING" or checked.ending.status == "RUNNING"
    return is_complete(run) and tag_names.MISSING not in run.tags and ended


def _before_the_run(error: MlflowToolError, key: str) -> MlflowToolError:
    """The error of a call that did not get as far as creating a run."""
    if not isinstance(error, TrackingServerError):
        return error
    return IncompleteWriteError(f"No run was written: {error} {_again(key)}")


def _again(key: str) -> str:
    return f"Repeat the call with idempotency_key='{key}' to try again; it never creates a second run."


def _incomplete(write: _Write, checked: CheckedDraft, error: MlflowToolError) -> str:
    if write.run is None:
        return f"It is not known whether a run was created: {error} {_again(checked.key)}"
    state = "marked FAILED" if write.outcome else "still RUNNING, to be marked FAILED as soon as MLflow answers"
    return (
        f"Run {write.run.run_id} is incomplete and {state}: {error} "
        f"Written: {listed(write.done, 4) or 'only the run itself'}. Missing: {listed(write.missing or [_BATCH], 4)}. "
        f"The same call with idempotency_key='{checked.key}' completes it."
    )
