"""The run and the experiment that `mlflow run`, or whoever started the script, chose in the environment."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final

from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.tracker.store import import_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

logger = logging.getLogger(__name__)

RUN_ID: Final = "MLFLOW_RUN_ID"
EXPERIMENT_ID: Final = "MLFLOW_EXPERIMENT_ID"


def take_run_id(client: MlflowClient) -> str | None:
    """The run that the environment names, once: as with `mlflow.start_run`, the next run is a new one."""
    run_id = os.environ.get(RUN_ID)
    if not run_id or _missing(lambda: client.get_run(run_id), RUN_ID, run_id, "a new run is created"):
        return None
    del os.environ[RUN_ID]
    return run_id


def experiment_chosen_outside(client: MlflowClient) -> Experiment | None:
    """The experiment that the environment names."""
    experiment_id = os.environ.get(EXPERIMENT_ID)
    if not experiment_id:
        return None

    def found() -> Experiment:
        return client.get_experiment(experiment_id)

    return None if _missing(found, EXPERIMENT_ID, experiment_id, "Default is used") else found()


def experiment_is_chosen_outside() -> bool:
    """Whether the environment names an experiment that this process did not put there itself.

    `mlflow.set_experiment` writes the variable too, for child processes.
    """
    experiment_id = os.environ.get(EXPERIMENT_ID)
    if not experiment_id:
        return False
    import_mlflow()
    return experiment_id != mlflow_internals.active_experiment_id()


def _missing(ask: Any, variable: str, value: str, instead: str) -> bool:
    try:
        ask()
    except import_mlflow().MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        logger.warning("%s is %r, which this MLflow does not have: %s.", variable, value, instead)
        return True
    return False
