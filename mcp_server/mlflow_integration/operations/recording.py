"""Writing runs: each written once, whole or marked as not whole.

Every run is created with a key in its tags (the caller's `idempotency_key`, else one made here). When an
answer is lost, the run is looked for by its key before anything is sent again, so one call never makes two
runs. When a write stops half way, the run is FAILED and its tags say what is missing; the same call with
the same key goes on where it stopped. All else that is written twice is written with the same time and
value, which MLflow keeps once.
"""

from __future__ import annotations

import getpass
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio

from mcp_server.errors import (
    AlreadyExistsError,
    IncompleteWriteError,
    InvalidInputError,
    MlflowToolError,
    NotFoundError,
    TrackingServerError,
)
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.filters import quoted
from mcp_server.mlflow_integration.operations.references import References
from mcp_server.mlflow_integration.operations.run_content import RunContent, batches
from mcp_server.mlflow_integration.operations.uploads import read_upload
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

_CLEAN_UP_SECONDS: Final = 5.0
"""Time to mark a run as partial after its write was cancelled; the caller is not waiting any more."""

_ENDED: Final = ("FINISHED", "FAILED", "KILLED")


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
class Recorded:
    """What one call wrote."""

    run: Run
    experiment: Experiment
    idempotency_key: str
    existed: bool = False
    """True when an earlier call with this key had already written it."""


class Recording:
    """Writes runs of one MLflow. `allowed_folders` are those that files may come from."""

    def __init__(self, api: TrackingApi, references: References, allowed_folders: Sequence[Path] = ()) -> None:
        self._api = api
        self._references = references
        self._allowed_folders = tuple(allowed_folders)
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}

    async def record(self, draft: RunDraft) -> Recorded:
        """Writes a run, or completes the one an earlier call with the same key began.

        Raises: InvalidInputError: refused before anything was written. IncompleteWriteError: stopped half way;
            the run is FAILED, its tags and the text say what is missing.
        """
        files = {Path(file).name: read_upload(file, self._allowed_folders) for file in draft.files}
        parent = await self._references.run(draft.parent_run) if draft.parent_run else None
        key = draft.idempotency_key or uuid.uuid4().hex
        async with self._alone(key):
            experiment = await self._experiment(draft.experiment)
            run = await self._find(experiment.experiment_id, key) if draft.idempotency_key else None
            if run is not None and _is_whole(run, draft.status):
                return Recorded(run, experiment, key, existed=True)
            if run is None:
                run = await self._create(experiment.experiment_id, key, draft, parent.run_id if parent else "")
            await self._complete(run, key, draft, files)
            # Not read back: what is known is enough, and a lost answer here would report a failure that is none.
            return Recorded(replace(run, status=draft.status), experiment, key)

    async def log_to(self, reference: str, content: RunContent, now: int | None = None) -> Run:
        """Adds to a run. Metrics without a time get `now` (UTC milliseconds; None is this moment)."""
        run = await self._references.run(reference)
        moment = _now() if now is None else now
        done = 0
        try:
            if content.datasets:
                await self._api.log_inputs(run.run_id, content.datasets)
            for metrics, params, tags in batches(content, moment):
                await self._api.log_batch(run.run_id, metrics, params, tags)
                done += len(metrics) + len(params) + len(tags)
        except MlflowToolError as error:
            total = len(content.metrics) + len(content.params) + len(content.tags)
            if isinstance(error, InvalidInputError) and not done:
                raise
            raise IncompleteWriteError(
                f"Of {total} values {done} were logged to run {run.run_id}, then MLflow stopped: {error} "
                "Sending params and tags again is harmless; metrics without a timestamp would be logged twice."
            ) from error
        return run

    async def finish(self, reference: str, status: str, end_time: int | None = None) -> Run:
        """Ends a run. One that has ended keeps its end; only another status changes it."""
        run = await self._references.run(reference)
        if run.status == status and run.end_time:
            return run
        end = end_time or run.end_time or _now()
        await self._api.update_run(run.run_id, status=status, end_time=end)
        return replace(run, status=status, end_time=end)

    # The run itself

    async def _experiment(self, reference: str) -> Experiment:
        """An existing experiment, else a new one with this name."""
        try:
            experiment = await self._references.experiment(reference)
        except NotFoundError:
            name = reference.strip()
            if name.isdigit() or "://" in name:
                raise  # An id or a link that leads nowhere is a mistake, not a name for something new.
            return await self._create_experiment(name)
        if experiment.lifecycle_stage == "deleted":
            raise InvalidInputError(
                f"Experiment '{experiment.name}' is deleted. update_experiment with restore=true brings it back."
            )
        return experiment

    async def _create_experiment(self, name: str) -> Experiment:
        try:
            experiment = Experiment(await self._api.create_experiment(name, {}), name)
        except (AlreadyExistsError, TrackingServerError) as error:
            # Somebody else made it, or the answer was lost after it was made.
            try:
                experiment = await self._api.get_experiment_by_name(name)
            except NotFoundError:
                raise error from None
        self._references.forget()
        return experiment

    async def _find(self, experiment_id: str, key: str) -> Run | None:
        page = await self._api.search_runs(
            [experiment_id],
            filter_string=f"tags.{tag_names.REQUEST_KEY} = {quoted(key)}",
            order_by=["attributes.start_time ASC"],
            max_results=10,
        )
        first, *twins = page.items or (None,)
        for twin in twins:
            # Another process sent the same key at the same moment; the older run is the one.
            await self._api.delete_run(twin.run_id)
        return first

    async def _create(self, experiment_id: str, key: str, draft: RunDraft, parent_id: str) -> Run:
        tags = {
            tag_names.REQUEST_KEY: key,
            tag_names.STATE: "writing",
            tag_names.SOURCE_NAME: "mcp-server-mlflow",
            tag_names.USER: _user(),
        }
        if draft.description:
            tags[tag_names.NOTE] = draft.description
        if parent_id:
            tags[tag_names.PARENT_RUN] = parent_id
        started = _now() if draft.start_time is None else draft.start_time
        try:
            return await self._api.create_run(experiment_id, draft.run_name, started, tags)
        except TrackingServerError as error:
            if error.carried_out is not False and (run := await self._find(experiment_id, key)):
                return run
            raise IncompleteWriteError(
                f"No run was written: {error} The same call with idempotency_key='{key}' tries again and never "
                "makes a second run."
            ) from error

    async def _complete(self, run: Run, key: str, draft: RunDraft, files: Mapping[str, bytes]) -> None:
        """Writes what belongs to a run, each step repeatable, the state and the end last."""
        steps = list(self._steps(run, draft, files))
        done: list[str] = []
        try:
            for label, step in steps:
                await step()
                done.append(label)
        except MlflowToolError as error:
            missing = [label for label, _ in steps[len(done) :]]
            marked = await self._mark_partial(run, missing)
            raise IncompleteWriteError(_incomplete(run, key, done, missing, marked, error)) from error
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
                await self._mark_partial(run, [label for label, _ in steps[len(done) :]])
            raise

    def _steps(
        self, run: Run, draft: RunDraft, files: Mapping[str, bytes]
    ) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """What is left to write, each with the word by which its absence is reported."""
        content = draft.content
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        if content.datasets:
            steps.append(("datasets", lambda: self._api.log_inputs(run.run_id, content.datasets)))
        for path, data in {**(content.artifacts or {}), **files}.items():
            steps.append((f"artifact {path}", lambda p=path, d=data: self._api.upload_artifact(run.run_id, p, d)))
        whole = replace(content, tags={**content.tags, tag_names.STATE: "complete"})
        pieces = list(batches(whole, run.start_time))
        for number, (metrics, params, tags) in enumerate(pieces, start=1):
            label = "params, metrics and tags" + (f" (batch {number} of {len(pieces)})" if len(pieces) > 1 else "")
            steps.append((label, lambda m=metrics, p=params, t=tags: self._api.log_batch(run.run_id, m, p, t)))
        if tag_names.MISSING in run.tags:
            steps.append(("the state", lambda: self._api.delete_run_tag(run.run_id, tag_names.MISSING)))
        if draft.status != "RUNNING":
            end = _now() if draft.end_time is None else draft.end_time
            steps.append(("the end", lambda: self._api.update_run(run.run_id, status=draft.status, end_time=end)))
        elif run.status != "RUNNING":
            steps.append(("the status", lambda: self._api.update_run(run.run_id, status="RUNNING")))
        return steps

    async def _mark_partial(self, run: Run, missing: Sequence[str]) -> bool:
        """Whether MLflow took the mark; without it the run stays RUNNING, in state `writing`."""
        tags = [
            {"key": tag_names.STATE, "value": "partial"},
            {"key": tag_names.MISSING, "value": "; ".join(missing)[:5_000]},
        ]
        try:
            await self._api.log_batch(run.run_id, [], [], tags)
            await self._api.update_run(run.run_id, status="FAILED", end_time=_now())
        except MlflowToolError:
            # The caller hears of it through the text of the first failure.
            return False
        return True

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncGenerator[None]:
        """One writer per key in this process."""
        lock, waiting = self._locks.get(key, (anyio.Lock(), 0))
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)


def _is_whole(run: Run, status: str) -> bool:
    ended = run.status in _ENDED or status == "RUNNING"
    # A run whose state tag was taken away by somebody is theirs; it is not written again.
    return run.tags.get(tag_names.STATE, "complete") == "complete" and ended


def _incomplete(
    run: Run, key: str, done: Sequence[str], missing: Sequence[str], marked: bool, error: MlflowToolError
) -> str:
    state = "marked FAILED" if marked else "still RUNNING"
    return (
        f"Run {run.run_id} is incomplete and {state}: {error} Written: {_few(done) or 'only the run itself'}. "
        f"Missing: {_few(missing)}. The same call with idempotency_key='{key}' completes it."
    )


def _few(labels: Sequence[str], limit: int = 4) -> str:
    more = f" and {len(labels) - limit} more" if len(labels) > limit else ""
    return ", ".join(labels[:limit]) + more


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Containers may run under a user id without a name.
        return "mcp"


def _now() -> int:
    return int(time.time() * 1_000)
