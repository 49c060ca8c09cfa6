"""The model registry for scripts that know runs, versions and stages; `stages` documents what MLflow has instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.mlflow_integration.tracker import model_logging
from mcp_server.mlflow_integration.tracker.active_run import as_active_run
from mcp_server.mlflow_integration.tracker.project import project_store
from mcp_server.mlflow_integration.tracker.stages import in_stages, model_versions, transition
from mcp_server.mlflow_integration.tracker.store import import_mlflow

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def register_model_from_run(
    run_id: str, model_name: str, model_path: str = "model", tags: Mapping[str, Any] | None = None
) -> ModelVersion:
    """Create a version of a registered model, and the registered model if it is new, from a model that a run logged.

    model_path: the name under which the run logged it.
    Raises: NotFoundError: the run has no such model; nothing was registered.
    """
    return model_logging.register(project_store(), f"runs:/{run_id}/{model_path}", model_name, tags)


def get_latest_model_version(model_name: str) -> ModelVersion:
    """The version with the highest number, whatever its stage.

    Raises: NotFoundError: no such registered model, or it has no version.
    """
    return _newest(list_model_versions(model_name), f"Model '{model_name}' has no version yet.")


def list_model_versions(model_name: str) -> list[ModelVersion]:
    """Every version, newest first, with `version`, `current_stage`, `aliases`, `run_id`, `tags`, ...

    Raises: NotFoundError: no such registered model; the text names the closest.
    """
    return model_versions(project_store().client(), model_name)


def list_model_versions_with_stages(model_name: str, stages: Sequence[str]) -> list[ModelVersion]:
    """Versions in any of these stages, newest first. MLflow's replacement: `client.get_model_version_by_alias`.

    Raises: NotFoundError: no such registered model. InvalidInputError: no such stage.
    """
    return in_stages(project_store().client(), model_name, stages)


def transition_model_stage(
    model_name: str, version: int | str, stage: str, archive_existing_versions: bool = False
) -> ModelVersion:
    """Put a version into Staging, Production, Archived or None; into an alias where the registry has no stages.

    MLflow's replacement: `client.set_registered_model_alias(name, "champion", version)`.
    Raises: InvalidInputError: no such stage. MlflowException: no such version.
    """
    client = project_store().client()
    return transition(client, model_name, str(version), stage, archive_existing=archive_existing_versions)


def load_model_from_registry(
    model_name: str,
    stage: str | None = None,
    version: int | str | None = None,
    alias: str | None = None,
    flavor: str = "pyfunc",
) -> Any:
    """A model ready to predict: by stage, version or alias; the newest version if none is given.

    MLflow's replacement for stages: `mlflow.pyfunc.load_model("models:/<name>@<alias>")`.
    flavor: what is returned. "pyfunc": MLflow's wrapper, which has `predict` for every kind of model. "native": the
        model itself, as it was logged. "sklearn", "pytorch", ...: the model itself, of that flavor.

    Raises: NotFoundError: no such model, or no version in that stage. InvalidInputError: more than one of the
        three is given, or the model is a custom one that has no native form. MlflowException: no such version or alias.
    """
    if sum(choice is not None for choice in (stage, version, alias)) > 1:
        raise InvalidInputError("Give one of stage, version and alias.")
    store = project_store()
    client = store.client()
    if stage is not None:
        found = in_stages(client, model_name, [stage])
        version = _newest(found, f"Model '{model_name}' has no version in stage {stage}.").version
    elif version is None and alias is None:
        version = _newest(model_versions(client, model_name), f"Model '{model_name}' has no version yet.").version
    uri = f"models:/{model_name}@{alias}" if alias is not None else f"models:/{model_name}/{version}"
    import_mlflow()
    with as_active_run(store, exclusive=True):
        chosen = model_logging.native_flavor(uri) if flavor == "native" else flavor.removeprefix("mlflow.")
        return import_module(f"mlflow.{chosen}").load_model(uri)


def _newest(versions: Sequence[ModelVersion], otherwise: str) -> ModelVersion:
    if not versions:
        raise NotFoundError(f"{otherwise} register_model_from_run creates one, transition_model_stage moves one.")
    return versions[0]
