"""Recording runs from a training script, into the same MLflow that an agent sees through the server."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.local.mlflow_internals import with_context_tags
from mcp_server.mlflow_integration.tracker import model_logging
from mcp_server.mlflow_integration.tracker.active_run import as_active_run
from mcp_server.mlflow_integration.tracker.default_experiment import open_experiment
from mcp_server.mlflow_integration.tracker.metric_buffer import MetricBuffer
from mcp_server.mlflow_integration.tracker.run_environment import take_run_id
from mcp_server.mlflow_integration.tracker.run_reader import RunReader
from mcp_server.mlflow_integration.tracker.store import Store, open_store
from mcp_server.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

logger = logging.getLogger(__name__)


def get_mlflow_tracker(
    experiment_name: str | None = None,
    tracking_uri: str | None = None,
    mock_mode: bool | None = None,
    artifact_location: str | None = None,
) -> MlflowTracker:
    """A tracker for one experiment, which is created if it is missing.

    Whatever is left out comes from the environment and `.env`, as for the server: MLFLOW_EXPERIMENT_NAME (else
    MLFLOW_EXPERIMENT_ID, else MLflow's Default), MLFLOW_TRACKING_URI (else MLflow's own default, `mlflow.db` in the
    working folder), MLFLOW_MOCK_MODE, MLFLOW_ARTIFACT_LOCATION. The log says which store it is.

    mock_mode: MLflow itself on a private, temporary store; no server, no network, gone at exit; the mock
        trackers of a process share it.
    artifact_location: folder or URI for the artifacts of an experiment that does not exist yet. A tracking
        server keeps its own place when this is a relative path, which means nothing on its machine.

    Raises: UnsupportedError: an address that MLflow 3 does not open. UnreachableError: no MLflow answers, in
        seconds. AlreadyExistsError: the experiment is deleted and not yet purged. SettingsError.
    """
    settings = Settings.load(
        experiment_name=experiment_name or None,
        tracking_uri=tracking_uri or None,
        mock_mode=mock_mode,
        artifact_location=artifact_location or None,
    )
    return MlflowTracker(settings)


@dataclass(frozen=True, slots=True)
class _OpenRun:
    tracker: MlflowTracker
    run: Run
    buffer: MetricBuffer | None


_open_runs: ContextVar[tuple[_OpenRun, ...]] = ContextVar("open_runs", default=())
"""Innermost last. Each thread and each asyncio task has its own: two that log at once never mix."""


class MlflowTracker(RunReader):
    """Records runs of one experiment over MLflow's own client.

    The log methods write to the innermost run that was started in the same thread or asyncio task, or to
    `run_id`, which is how a worker thread logs to the run of another. They raise InvalidInputError when
    there is neither, and MLflow's own errors for what MLflow refuses.
    """

    def __init__(self, settings: Settings) -> None:
        self._store: Store = open_store(settings)
        # Any: MLflow types half of its methods.
        self._client: Any = self._store.client()
        self._experiment = open_experiment(
            self._client, self._store, settings.experiment_name, settings.artifact_location
        )

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client of the same store, for everything that has no method here."""
        return self._client

    @property
    def tracking_uri(self) -> str:
        """The store, without credentials; `mock` in mock mode."""
        return self._store.shown_uri

    @property
    def experiment_name(self) -> str:
        return self._experiment.name

    @property
    def experiment_id(self) -> str:
        return self._experiment.experiment_id

    @property
    def run_id(self) -> str | None:
        """The run that the log methods write to; None outside of `start_run`."""
        opened = self._innermost()
        return opened.run.info.run_id if opened else None

    @contextmanager
    def start_run(
        self,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        nested: bool = False,
        parent_run_id: str | None = None,
        description: str | None = None,
        buffer_metrics: bool = False,
    ) -> Generator[str, None, None]:
        """`with tracker.start_run("name") as run_id:` records a run; it ends FINISHED, or FAILED if the block raises.

        Started inside another run of this tracker it becomes its child; `nested=True` is accepted as in MLflow, but
        not needed. Inside the block the run is MLflow's active run too, so autologging logs to it.

        run_id: an existing run to continue; its parent stays. The first run takes MLFLOW_RUN_ID if it is set, so
            that `mlflow run` and the script make one run.
        buffer_metrics: send metrics by the thousand, at most 2 seconds late, instead of one by one.
        """
        tags = {**(tags or {}), **({tag_names.NOTE: description} if description else {})}
        if not (run_id or parent_run_id or self.run_id):
            run_id = self._run_chosen_outside()
        if run_id:
            run = self._resumed(run_id, run_name, tags)
        else:
            parent = parent_run_id or self.run_id
            run = self._created(run_name, {**tags, **({tag_names.PARENT_RUN: parent} if parent else {})})
        with as_active_run(self._store, run):
            yield from self._recording(run, buffer_metrics)

    def log_param(self, key: str, value: Any, *, run_id: str | None = None) -> None:
        """A param cannot change: MLflow refuses another value for the same key."""
        self._client.log_param(self._target(run_id), key, value)

    def log_params(self, params: Mapping[str, Any], *, run_id: str | None = None) -> None:
        param: Any = _entities().Param
        self._client.log_batch(self._target(run_id), params=[param(key, str(value)) for key, value in params.items()])

    def log_metric(
        self,
        key: str,
        value: float,
        step: int | None = None,
        timestamp: int | None = None,
        *,
        run_id: str | None = None,
    ) -> None:
        """One point; `step` 0 if left out, `timestamp` in milliseconds since 1970, now if left out."""
        self.log_metrics({key: value}, step, timestamp, run_id=run_id)

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int | None = None,
        timestamp: int | None = None,
        *,
        run_id: str | None = None,
    ) -> None:
        """One point of each metric, in one request; numbers of numpy and PyTorch are understood."""
        opened = self._innermost()
        if opened and opened.buffer and run_id in (None, opened.run.info.run_id):
            opened.buffer.log_metrics(metrics, step, timestamp)
            return
        time_ms = timestamp if timestamp is not None else _now()
        metric: Any = _entities().Metric
        points = [metric(key, value, time_ms, step or 0) for key, value in metrics.items()]
        self._client.log_batch(self._target(run_id), metrics=points)

    def set_tag(self, key: str, value: Any, *, run_id: str | None = None) -> None:
        self._client.set_tag(self._target(run_id), key, value)

    def set_tags(self, tags: Mapping[str, Any], *, run_id: str | None = None) -> None:
        tag: Any = _entities().RunTag
        self._client.log_batch(self._target(run_id), tags=[tag(key, str(value)) for key, value in tags.items()])

    def log_artifact(
        self, local_path: str | PathLike[str], artifact_path: str | None = None, *, run_id: str | None = None
    ) -> None:
        """Upload a file, into the folder `artifact_path` of the run's artifacts. Raises: FileNotFoundError."""
        if not Path(local_path).exists():
            raise FileNotFoundError(f"There is no file {fspath(local_path)} to log; it is looked for in {Path.cwd()}.")
        self._client.log_artifact(self._target(run_id), fspath(local_path), artifact_path)

    def log_artifacts(
        self, local_dir: str | PathLike[str], artifact_path: str | None = None, *, run_id: str | None = None
    ) -> None:
        """Upload what is in a folder. Raises: FileNotFoundError."""
        if not Path(local_dir).is_dir():
            raise FileNotFoundError(f"There is no folder {fspath(local_dir)} to log; it is looked for in {Path.cwd()}.")
        self._client.log_artifacts(self._target(run_id), fspath(local_dir), artifact_path)

    def log_dict(self, dictionary: dict[str, Any], artifact_file: str, *, run_id: str | None = None) -> None:
        """A JSON or YAML artifact, by the ending of its name."""
        self._client.log_dict(self._target(run_id), dictionary, artifact_file)

    def log_text(self, text: str, artifact_file: str, *, run_id: str | None = None) -> None:
        self._client.log_text(self._target(run_id), text, artifact_file)

    def log_figure(self, figure: Any, artifact_file: str, *, run_id: str | None = None) -> None:
        """A Matplotlib or Plotly figure; the ending of the name chooses the format."""
        self._client.log_figure(self._target(run_id), figure, artifact_file)

    def log_model(
        self,
        model: Any,
        name: str | None = None,
        *,
        artifact_path: str | None = None,
        flavor: str | None = None,
        registered_model_name: str | None = None,
        run_id: str | None = None,
        **options: Any,
    ) -> ModelInfo:
        """Log a model with the MLflow flavor that fits it; `runs:/<run_id>/<name>` finds it again.

        name: "model" if left out. `artifact_path` is what MLflow 2 called it; a `/` in it becomes `-`.
        flavor: such as "sklearn"; by the class of the model if left out; "pyfunc" for what has a `predict`.
        options: those of the flavor's own `log_model`, such as signature or input_example.

        Raises: InvalidInputError: no flavor fits, or both names are given. MLflow's own errors.
        """
        if name and artifact_path:
            raise InvalidInputError("Give name or artifact_path, not both; artifact_path is MLflow 2's word for name.")
        self.flush()  # MLflow links the run's metrics to the model.
        if registered_model_name:
            options["registered_model_name"] = registered_model_name
        run = self._client.get_run(self._target(run_id))
        chosen = name or artifact_path or "model"
        return model_logging.log_model(self._store, run, model, chosen, flavor=flavor, options=options)

    def register_model(self, model_uri: str, model_name: str, tags: Mapping[str, Any] | None = None) -> ModelVersion:
        """Create a version of a registered model, and the registered model if it is new.

        model_uri: `runs:/<run_id>/<name>` or `models:/m-<id>`.
        Raises: NotFoundError: the run has no such model; nothing was registered.
        """
        return model_logging.register(self._store, model_uri, model_name, tags)

    def flush(self) -> None:
        """Send the metrics that wait in the buffer of the open run, if it has one."""
        for opened in _open_runs.get():
            if opened.tracker is self and opened.buffer:
                opened.buffer.flush()

    # Beneath

    def _recording(self, run: Run, buffer_metrics: bool) -> Generator[str, None, None]:
        buffer = MetricBuffer(self._client, run.info.run_id) if buffer_metrics else None
        opened = _OpenRun(self, run, buffer)
        _open_runs.set((*_open_runs.get(), opened))
        try:
            yield run.info.run_id
            if buffer:
                buffer.close()
        except BaseException:
            self._end_failed(opened)
            raise
        else:
            self._client.set_terminated(run.info.run_id, "FINISHED")
        finally:
            _open_runs.set(tuple(other for other in _open_runs.get() if other is not opened))

    def _end_failed(self, opened: _OpenRun) -> None:
        """The caller must see the original failure, even when MLflow does not answer."""
        try:
            if opened.buffer:
                opened.buffer.close()
            self._client.set_terminated(opened.run.info.run_id, "FAILED")
        except Exception:
            logger.warning("Run %s failed and could not be ended in MLflow.", opened.run.info.run_id, exc_info=True)

    def _created(self, run_name: str | None, tags: Mapping[str, Any]) -> Run:
        # User, source file, git commit: as MLflow's own start_run records them.
        texts = {key: str(value) for key, value in with_context_tags(tags).items()}
        return self._client.create_run(self.experiment_id, start_time=_now(), tags=texts, run_name=run_name)

    def _resumed(self, run_id: str, run_name: str | None, tags: Mapping[str, Any]) -> Run:
        run = self._client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise InvalidInputError(f"Run {run_id} is deleted; restore it with client.restore_run first.")
        self._client.update_run(run_id, status="RUNNING", name=run_name)
        if tags:
            self.set_tags(tags, run_id=run_id)
        return run

    def _run_chosen_outside(self) -> str | None:
        run_id = take_run_id(self._client)
        experiment_id = self._client.get_run(run_id).info.experiment_id if run_id else self.experiment_id
        if experiment_id != self.experiment_id:
            before, self._experiment = self._experiment, self._client.get_experiment(experiment_id)
            message = "MLFLOW_RUN_ID names a run of experiment %r; this tracker logs there, not to %r."
            logger.warning(message, self._experiment.name, before.name)
        return run_id

    def _innermost(self) -> _OpenRun | None:
        return next((opened for opened in reversed(_open_runs.get()) if opened.tracker is self), None)

    def _target(self, run_id: str | None) -> str:
        target = run_id or self.run_id
        if target is None:
            raise InvalidInputError(
                "No run is open here. Log inside `with tracker.start_run(...)`, or give run_id=, for example of a run "
                "that another thread started."
            )
        return target


def _entities() -> Any:
    return import_module("mlflow.entities")


def _now() -> int:
    return time.time_ns() // 1_000_000
