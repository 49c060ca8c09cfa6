"""What a copy is made from: a model version with its run, its logged model and its files, as they are at the source."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.entities import LoggedModel, ModelVersion, Run
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifact_transfers import FILES_PER_CALL
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.operations.writing.open_runs import ENDED
from mcp_server.mlflow_integration.operations.writing.unfinished_writes import Ending
from mcp_server.names import comparable

SIZE_LIMIT: Final = 50 * 1024**3
"""Bytes of all files of one copy."""

_KEPT_TAGS: Final = (tag_names.NOTE, tag_names.USER, tag_names.SOURCE_NAME, tag_names.GIT_COMMIT)
"""Tags of MLflow that mean the same in another MLflow; the others hold ids of the first one."""


@dataclass(frozen=True, slots=True)
class CopySource:
    """A version as it is where it is copied from."""

    version: ModelVersion
    run: Run | None
    """None when the version outlived its run, or never had one."""
    logged: LoggedModel | None
    experiment: str
    """Name of the run's experiment; that of the model when there is no run."""
    files: Mapping[str, FoundArtifact]
    """By path below the model's folder."""

    @property
    def size(self) -> int:
        return sum(found.artifact.file_size for found in self.files.values())

    @property
    def metrics(self) -> dict[str, float]:
        """Latest values, as promotion gates read them: those of the model itself win over those of its run."""
        return {**(self.run.metrics if self.run else {}), **(self.logged.metrics if self.logged else {})}

    @property
    def params(self) -> dict[str, str]:
        return {**(self.run.params if self.run else {}), **(self.logged.params if self.logged else {})}

    @property
    def metrics_of_the_model(self) -> frozenset[str]:
        """Metrics that have no history, or another value in the run, as when it logged several models."""
        if self.run is None:
            return frozenset(self.metrics)
        own = self.logged.metrics if self.logged else dict[str, float]()
        of_run = self.run.metrics
        return frozenset(key for key, value in own.items() if not same_value(of_run.get(key), value))

    @property
    def tags(self) -> Mapping[str, str]:
        """Of the run."""
        return self.run.tags if self.run else {}

    @property
    def started(self) -> int:
        return self.run.start_time if self.run else self.version.creation_time

    @property
    def ending(self) -> Ending:
        """As the run ended; one that goes on, or is gone, counts as finished."""
        if self.run is None or self.run.status not in ENDED:
            return Ending("FINISHED", int(time.time() * 1_000))
        return Ending(self.run.status, self.run.end_time)


async def read_source(engine: Engine, name: str, reference: str) -> CopySource:
    """What there is to copy, without the content of the files.

    Raises: NotFoundError: no such version. InvalidInputError: it is not ready, or has files that are not copied.
    """
    version = await engine.registry.version(name, reference)
    if version.status not in ("READY", ""):
        raise InvalidInputError(f"Version {version.version} of '{name}' is {version.status}, not READY.")
    place = await engine.artifacts.place(f"models:/{version.name}/{version.version}")
    files = await files_of(engine, place)
    if "MLmodel" not in files:
        raise NotFoundError(
            f"{place.label[0].upper()}{place.label[1:]} has no MLmodel file, so there is no model to copy."
        )
    run = await engine.registry.source_run(version)
    logged = await engine.registry.logged_model(version.model_id) if version.model_id else None
    experiment = (await engine.api.get_experiment(run.experiment_id)).name if run else version.name
    source = CopySource(version, run, logged, experiment, files)
    if source.size > SIZE_LIMIT:
        raise InvalidInputError(f"{place.label} has {source.size:,} bytes; at most {SIZE_LIMIT:,} are copied.")
    return source


def own_tags(tags: Mapping[str, str], may_write: Callable[[str], bool]) -> dict[str, str]:
    """The tags that a copy gets: none of this server's, and of MLflow's only those that mean the same elsewhere."""
    return {
        key: value
        for key, value in tags.items()
        if may_write(key)
        and not tag_names.is_reserved(key)
        and (key in _KEPT_TAGS or not comparable(key).startswith(tag_names.MLFLOW_PREFIX))
    }


async def files_of(engine: Engine, place: ArtifactPlace) -> dict[str, FoundArtifact]:
    """Every file of a place, by its path there. Raises: InvalidInputError: more than FILES_PER_CALL."""
    files: dict[str, FoundArtifact] = {}
    after = ""
    while True:
        page = await engine.artifacts.walk(place, "", after=after, limit=FILES_PER_CALL)
        files.update((artifact_path(found.artifact.path), found) for found in page.files)
        after = page.next_after
        if len(files) > FILES_PER_CALL:
            raise InvalidInputError(f"{place.label} has more than {FILES_PER_CALL:,} files, the limit of one copy.")
        if not after:
            return files


def same_value(one: object, other: object) -> bool:
    nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return nan or one == other
