"""The experiment that a tracker records into: found by name, or created."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mcp_server.errors import AlreadyExistsError
from mcp_server.mlflow_integration.tracker.run_environment import experiment_chosen_outside
from mcp_server.mlflow_integration.tracker.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

logger = logging.getLogger(__name__)

DEFAULT_EXPERIMENT: Final = "Default"
"""The one that every MLflow has."""


def open_experiment(client: MlflowClient, store: Store, name: str, artifact_location: str) -> Experiment:
    """The experiment of that name, created if it is missing. Without a name, MLFLOW_EXPERIMENT_ID's, else Default.

    Raises: AlreadyExistsError: it is deleted, and its name still taken.
    """
    if not name and (chosen := experiment_chosen_outside(client)) is not None:
        return chosen
    name = name or DEFAULT_EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        exceptions: Any = import_module("mlflow.exceptions")
        try:
            client.create_experiment(name, _location(store, artifact_location))
        except exceptions.MlflowException as error:
            # Another process may have made it meanwhile.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        restore = f"MlflowClient().restore_experiment({found.experiment_id!r})" if found else "restore_experiment"
        raise AlreadyExistsError(
            f"Experiment '{name}' is deleted and its name still taken. Restore it with {restore}, or use another name."
        )
    return found


def _location(store: Store, given: str) -> str | None:
    if not given or "://" in given:
        return given or None
    path = Path(given).expanduser()
    if store.is_server and not path.is_absolute():
        logger.warning(
            "artifact_location %r is a relative path; %s keeps artifacts in its own place.", given, store.shown_uri
        )
        return None
    return str(path.absolute())
