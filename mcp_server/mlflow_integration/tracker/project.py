"""MLflow for a project that keeps its settings in `config/mlflow.yaml`, in addition to the environment.

    mlflow:
      tracking_uri: http://127.0.0.1:5000
      registry_uri: sqlite:///mlflow.db
      artifact_location: ./mlflow-artifacts
      experiment_name: churn

All four are optional. The environment and `.env` win, so that one file serves several machines.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.tracker.active_run import point_mlflow_at
from mcp_server.mlflow_integration.tracker.default_experiment import open_experiment
from mcp_server.mlflow_integration.tracker.run_environment import experiment_is_chosen_outside
from mcp_server.mlflow_integration.tracker.store import Store, import_mlflow, open_store
from mcp_server.mlflow_integration.tracker.tracker import MlflowTracker
from mcp_server.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

CONFIG_FILE: Final = Path("config") / "mlflow.yaml"
"""Looked for in the working folder."""

_FIELDS: Final = ("tracking_uri", "registry_uri", "artifact_location", "experiment_name")


def setup_mlflow_tracking(experiment_name: str | None = None) -> None:
    """Point MLflow's own API (`mlflow.start_run`, `mlflow.log_metric`, ...) at the project's MLflow and experiment.

    For the whole process, as `mlflow.set_tracking_uri` and `mlflow.set_experiment` do; an experiment that
    is missing is made. MLflow's Default stays if no experiment is named anywhere.

    Raises: UnsupportedError: an address that MLflow 3 does not open, such as `file:./mlruns`; the sentence
        names the replacement. UnreachableError: no MLflow answers. SettingsError: the file cannot be read.
    """
    settings = project_settings(experiment_name)
    store = open_store(settings)
    mlflow = import_mlflow()
    mlflow.set_tracking_uri(store.tracking_uri)
    mlflow.set_registry_uri(store.registry_uri)
    if settings.experiment_name:
        name, location = settings.experiment_name, settings.artifact_location
        mlflow.set_experiment(experiment_id=open_experiment(store.client(), store, name, location).experiment_id)


def get_mlflow_client() -> MlflowClient:
    """MLflow's own client of the project's MLflow.

    It still knows `list_experiments`, which MLflow 2 replaced by `search_experiments`. Where no experiment is
    configured, `get_experiment_by_name` makes one that is missing, as `mlflow.set_experiment` does.
    Raises: as `setup_mlflow_tracking`.
    """
    settings = project_settings()
    store = project_store(settings)
    client: Any = _client_class()(store.tracking_uri, store.registry_uri)
    client.makes_experiments = not settings.experiment_name
    return client


class MLflowTracker(MlflowTracker):
    """A tracker for one run at a time: `with MLflowTracker("churn", run_name="baseline") as tracker:`.

    Configured by `config/mlflow.yaml`; the rest is MlflowTracker's.
    """

    def __init__(self, experiment_name: str | None = None, run_name: str | None = None) -> None:
        super().__init__(project_settings(experiment_name))
        point_mlflow_at(self._store)
        self._run_name = run_name
        self._entered: list[ExitStack] = []

    def __enter__(self) -> MLflowTracker:
        stack = ExitStack()
        stack.enter_context(self.start_run(self._run_name))
        self._entered.append(stack)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, error, trace)


def project_settings(experiment_name: str | None = None) -> Settings:
    """Settings of the environment and `.env`, then of `config/mlflow.yaml` where those set nothing.

    Raises: SettingsError: the file is not YAML, or has no mapping `mlflow`.
    """
    set_elsewhere = {*Settings.load().model_fields_set}
    if experiment_is_chosen_outside():
        set_elsewhere.add("experiment_name")
    configured = {field: value for field, value in _read(CONFIG_FILE).items() if field not in set_elsewhere}
    return Settings.load(**{**configured, **({"experiment_name": experiment_name} if experiment_name else {})})


def project_store(settings: Settings | None = None) -> Store:
    """The project's MLflow, open; MLflow's own API is pointed at it unless the script pointed it elsewhere."""
    store = open_store(settings or project_settings())
    point_mlflow_at(store)
    return store


def _read(path: Path) -> dict[str, str]:
    yaml: Any = import_module("yaml")
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path.as_posix()} cannot be read as YAML: {type(error).__name__}.") from error
    section: Any = cast("dict[str, Any]", content).get("mlflow") if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise SettingsError(f"{path.as_posix()} has no mapping `mlflow:` with {', '.join(_FIELDS)}.")
    values = cast("dict[str, Any]", section)
    return {field: str(values[field]) for field in _FIELDS if values.get(field)}


@lru_cache(maxsize=1)
def _client_class() -> Any:
    def list_experiments(self: Any, *args: Any, **kwargs: Any) -> Any:
        """What `search_experiments` returns; MLflow 2 removed this name."""
        return self.search_experiments(*args, **kwargs)

    def get_experiment_by_name(self: Any, name: str) -> Any:
        found = base.get_experiment_by_name(self, name)
        if found is None and self.makes_experiments:
            logger.warning("Experiment %r is missing and is created, because no experiment is configured.", name)
            found = self.get_experiment(self.create_experiment(name))
        return found

    # Made here, because its base is imported only now.
    base: Any = import_mlflow().MlflowClient
    members = {"list_experiments": list_experiments, "get_experiment_by_name": get_experiment_by_name}
    return type("ProjectClient", (base,), members)
