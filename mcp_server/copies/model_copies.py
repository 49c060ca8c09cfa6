"""Model versions copied from one MLflow to another: files, params, metrics, tags, and where they came from.

A copy is a run that holds the files, and a version made from it. The run is found again by a key that stands for the
copied version, so that a copy that was cut off is continued and none is made twice. Nothing is registered before
everything that was written was read back and is what the source has.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import anyio

from mcp_server.copies.arriving_body import ArrivingBody
from mcp_server.copies.sources import CopySource, files_of, own_tags, same_value
from mcp_server.errors import (
    ConflictError,
    DeadlineError,
    IncompleteWriteError,
    MlflowToolError,
    TrackingServerError,
)
from mcp_server.listing import listed
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.entities import Artifact, ModelVersion, Run
from mcp_server.mlflow_integration.operations.deadlines import TIME_IS_UP, reserve_seconds, stop_before_deadline
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifact_transfers import Progress
from mcp_server.mlflow_integration.operations.models.model_sources import ModelSource
from mcp_server.mlflow_integration.operations.models.registering import Registered
from mcp_server.mlflow_integration.operations.run_content import Metric, RunContent, batches
from mcp_server.mlflow_integration.operations.tag_values import PARAM_VALUE_LIMIT, TAG_VALUE_LIMIT, checked_texts
from mcp_server.mlflow_integration.operations.writing.keyed_runs import KeyedRuns, is_complete
from mcp_server.mlflow_integration.operations.writing.unfinished_writes import remove_missing, settle
from mcp_server.mlflow_integration.rest.api import pairs

logger = logging.getLogger(__name__)

FOLDER: Final = "model"
"""Of the run's artifacts, that holds the files of the copy."""
DIGEST_LIMIT: Final = 64 * 1024**2
"""Bytes of all files that are read back and compared by content; files after that are compared by size."""
STEPS_COPIED: Final = 2_500
"""Steps of one metric; of more, as many evenly chosen ones, the last among them. Source: MLflow's largest sample."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What one call did."""

    registered: Registered
    run_id: str
    uploaded: int = 0
    """Files that this call sent; those of an earlier call are not sent again."""
    compared: int = 0
    """Files that were read back and compared by content."""


@dataclass(slots=True)
class _Write:
    """How far a copy got."""

    experiment_id: str = ""
    """Empty as long as nothing can have been written."""
    run: Run | None = None
    missing: str = "the run"
    uploaded: int = 0
    budget: int = DIGEST_LIMIT
    compared: int = 0


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """What to make of a copy."""

    model: str
    """Registered model that gets the version."""
    experiment: str
    """Name or id of the experiment that gets the run."""
    may_write: Callable[[str], bool]
    """Whether a tag of the source may be written."""


class ModelCopies:
    """Copies of versions from one MLflow, `source`, to another, `target`."""

    def __init__(self, source: Engine, target: Engine) -> None:
        self._source = source
        self._target = target
        self._keyed = KeyedRuns(target.api, tag_names.COPY_KEY)

    def key(self, version: ModelVersion) -> str:
        """The same for every copy of this version, whatever call makes it."""
        where = self._source.location.shown_registry_uri
        text = f"{where}\n{version.name}\n{version.version}\n{version.creation_time}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    async def copy(self, source: CopySource, order: CopyOrder, progress: Progress) -> Copied:
        """Makes the copy, continues one that was cut off, or finds the one that is there.

        Raises: IncompleteWriteError: it stopped; the same call continues. ConflictError: what is there is no copy of
            the source.
        """
        if existing := await self._target.registering.copied(order.model, self.key(source.version)):
            return Copied(Registered(existing, existed=True), existing.run_id)
        write = _Write()
        error: MlflowToolError = DeadlineError(TIME_IS_UP)
        reserve = reserve_seconds()
        try:
            with stop_before_deadline(reserve):
                return await self._copy(write, source, order, progress)
        except MlflowToolError as raised:
            error = raised
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(reserve / 2):
                await self._mark(write, source)
            raise
        with stop_before_deadline(reserve / 4):
            await self._mark(write, source)
        if not isinstance(error, TrackingServerError) or write.run is None:
            raise error
        raise IncompleteWriteError(
            f"The copy is not complete: {error} Missing: {write.missing}. {write.uploaded} files were sent by this "
            "call. Repeat the call to continue; it never creates a second version."
        ) from error

    async def _copy(self, write: _Write, source: CopySource, order: CopyOrder, progress: Progress) -> Copied:
        key, provenance = self.key(source.version), self._provenance(source.version)
        place, _ = await self._target.experiments.get_or_create(order.experiment)
        expected = Run("0", place.experiment_id, artifact_uri=f"{place.artifact_location}/0/artifacts")
        for path, found in source.files.items():
            self._target.artifacts.need_room(expected, path, found.artifact.file_size)
        await self._target.recording.unfinished.take_over(place.experiment_id, key)
        write.experiment_id = place.experiment_id
        run = await self._keyed.find(place.experiment_id, key)
        if run is None:
            name = source.run.run_name if source.run else f"{source.version.name} {source.version.version}"
            run = await self._keyed.create(place.experiment_id, key, name, source.started, provenance)
        write.run = run
        await self._send_files(write, run, source, progress)
        if not is_complete(run):
            write.missing = "params, metrics and tags"
            await self._write_record(run, source, order)
        write.missing = "the comparison of what was written with the source"
        await self._need_same(run, source)
        write.missing = "the end of the run"
        await self._end(run, source)
        write.missing = "the version"
        registered = await self._target.registering.register_copy(
            order.model,
            key,
            ModelSource(f"{run.artifact_uri}/{FOLDER}", run.run_id),
            source.version.description,
            {**own_tags(source.version.tags, order.may_write), **provenance},
        )
        return Copied(registered, run.run_id, write.uploaded, write.compared)

    # Files

    async def _send_files(self, write: _Write, run: Run, source: CopySource, progress: Progress) -> None:
        place = await self._place(run)
        there = await files_of(self._target, place)
        for done, (path, found) in enumerate(source.files.items()):
            write.missing = f"{len(source.files) - done} of {len(source.files)} files, from {path} on"
            await progress(done, len(source.files), path)
            size = found.artifact.file_size
            is_cheap = size <= write.budget
            is_there = path in there and there[path].artifact.file_size == size
            if is_there and is_cheap:
                # Somebody may have put another file of this size there since.
                is_there = await self._digest_there(place, path) == await self._source.transfers.digest(found)
            if not is_there:
                sent = await self._send(run, path, found)
                write.uploaded += 1
                if is_cheap and await self._digest_there(place, path) != sent:
                    raise ConflictError(
                        f"'{path}' differs from what was sent when it is read back. Nothing was registered."
                    )
            if is_cheap:
                write.budget -= size
                write.compared += 1

    async def _send(self, run: Run, path: str, found: FoundArtifact) -> str:
        """Streams one file from store to store. Returns: its SHA-256."""
        async with self._source.artifacts.open(found) as opened:
            body = ArrivingBody(path, found.artifact.file_size, opened.pieces)
            try:
                await self._target.artifacts.upload(run, f"{FOLDER}/{path}", body)
                await body.need_end()
            except MlflowToolError as error:
                raise body.problem or error from None
        return body.digest.hexdigest()

    async def _digest_there(self, place: ArtifactPlace, path: str) -> str:
        return await self._target.transfers.digest(FoundArtifact(place, Artifact(path, is_dir=False)))

    async def _place(self, run: Run) -> ArtifactPlace:
        return replace(await self._target.artifacts.place(run.run_id), folder=FOLDER, run=None)

    # The record of the run

    async def _write_record(self, run: Run, source: CopySource, order: CopyOrder) -> None:
        if source.run and source.run.datasets:
            await self._target.api.log_inputs(run.run_id, source.run.datasets)
        content = RunContent(
            params=checked_texts("param", source.params, PARAM_VALUE_LIMIT),
            metrics=tuple(await self._metrics(source)),
            tags=checked_texts("tag", own_tags(source.tags, order.may_write), TAG_VALUE_LIMIT),
        )
        for batch in batches(content, source.started):
            await self._target.api.log_batch(run.run_id, batch.metrics, batch.params, batch.tags)

    async def _metrics(self, source: CopySource) -> list[Metric]:
        points: list[Metric] = []
        run = source.run
        for key, value in source.metrics.items():
            if run is None or key in source.metrics_of_the_model:
                points.append(Metric(key, value, 0, None))
                continue
            found = await self._source.api.metric_history_sample(
                [run.run_id], key, max_results=STEPS_COPIED, start_step=None, end_step=None
            )
            points += [Metric(key, one.value, one.step, one.timestamp) for one in found.get(run.run_id, ())]
        return points

    async def _need_same(self, run: Run, source: CopySource) -> None:
        """Raises: ConflictError: the run does not hold the same as the source."""
        written, place = await self._target.api.get_run(run.run_id), await self._place(run)
        there = {path: found.artifact.file_size for path, found in (await files_of(self._target, place)).items()}
        files = {path: found.artifact.file_size for path, found in source.files.items()}
        differing = [
            *(f"metric {key}" for key in _differing(written.metrics, source.metrics)),
            *(f"param {key}" for key in _differing(written.params, source.params)),
            *(f"file {path}" for path in _differing(there, files)),
        ]
        if differing:
            raise ConflictError(
                f"Run {run.run_id} is not a copy of the source: {listed(differing)}. Somebody changed one of the two "
                "meanwhile. Nothing was registered; delete the run and copy again."
            )

    async def _end(self, run: Run, source: CopySource) -> None:
        now = await self._target.api.get_run(run.run_id)
        if not is_complete(now):
            complete = pairs({tag_names.STATE: tag_names.COMPLETE})
            await self._target.api.log_batch(run.run_id, [], [], complete)
        ending = source.ending
        if (now.status, now.end_time) != (ending.status, ending.end_time):
            await self._target.api.update_run(run.run_id, status=ending.status, end_time=ending.end_time)
        if tag_names.MISSING in now.tags:
            await remove_missing(self._target.api, run.run_id)

    async def _mark(self, write: _Write, source: CopySource) -> None:
        """Marks the run of a copy that stopped: now, or in the background if MLflow does not acknowledge it."""
        if not write.experiment_id:
            return
        key, failed_at, missing = self.key(source.version), int(time.time() * 1_000), [write.missing]
        unfinished, created = self._target.recording.unfinished, write.run is not None
        unfinished.add(
            write.experiment_id, key, source.ending, missing, created=created, failed_at=failed_at, keyed=self._keyed
        )
        try:
            run = await self._keyed.find(write.experiment_id, key)
            if run is None:
                return
            await settle(self._target.api, run, source.ending, missing, failed_at)
        except MlflowToolError as error:
            logger.info("The copy with key %s is not finished yet: %s", key, error)
            return
        unfinished.forget(write.experiment_id, key)

    def _provenance(self, version: ModelVersion) -> dict[str, str]:
        location = self._source.location
        where = f"{self._source.settings.tracker} ({location.shown_registry_uri})"
        tags = {
            tag_names.COPY_TRACKER: where,
            tag_names.COPY_VERSION: f"{version.name}/{version.version}",
            tag_names.COPY_RUN: version.run_id,
        }
        return {key: value for key, value in tags.items() if value}


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[str]:
    return (key for key in sorted({*one, *other}) if not same_value(one.get(key), other.get(key)))
