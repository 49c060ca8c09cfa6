"""Everything that is adapted, with MLflow's replacement; each is logged once, when it is first needed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger("mcp_server.mlflow_integration.compat")


@dataclass(frozen=True, slots=True)
class Adaptation:
    before: str
    """What the script does, which MLflow 3 refuses."""
    now: str
    """What happens instead."""
    replacement: str
    """The form that MLflow 3 expects."""


TRUSTED_TYPES: Final = Adaptation(
    "a scikit-learn model with types that skops does not know, such as a forest, is logged without naming them",
    "the types that the model in memory holds are named; a model that skops cannot write is written with cloudpickle",
    "log_model(..., skops_trusted_types=[...]) or serialization_format='cloudpickle'",
)
PICKLED_PYTORCH: Final = Adaptation(
    "a PyTorch model is logged without an input example of tensors, or cannot be traced with it",
    "it is pickled, as in MLflow 2",
    "log_model(..., input_example=tensor) or serialization_format='pickle'",
)
MODEL_NAME: Final = Adaptation(
    "a model is logged under a name with / : . % or quotes",
    "each of these characters becomes '-', and runs:/<run_id>/<name> still finds the model",
    "log_model(..., name='a-name-without-slashes')",
)
PYFUNC_MODEL: Final = Adaptation(
    "mlflow.pyfunc.log_model gets the model as its first argument",
    "it is logged as python_model; any object with a predict method is accepted",
    "mlflow.pyfunc.log_model(name=..., python_model=...)",
)
RENAMED_ARGUMENT: Final = Adaptation(
    "log_model or save_model gets code_path, requirements_file or example_no_conversion",
    "code_paths and pip_requirements get the value; example_no_conversion has no meaning any more",
    "code_paths=, pip_requirements=",
)
FILE_STORE: Final = Adaptation(
    "runs are kept in files (file:./mlruns)",
    "MLFLOW_ALLOW_FILE_STORE is set to true",
    "`mlflow migrate-filestore --source mlruns --target sqlite:///mlflow.db`, then sqlite:///mlflow.db",
)
LIST_EXPERIMENTS: Final = Adaptation(
    "list_experiments", "search_experiments is called", "mlflow.search_experiments, client.search_experiments"
)
LIST_RUN_INFOS: Final = Adaptation("list_run_infos", "search_runs is called", "mlflow.search_runs, client.search_runs")
LIST_REGISTERED_MODELS: Final = Adaptation(
    "client.list_registered_models", "search_registered_models is called", "client.search_registered_models"
)
GET_REGISTERED_MODEL: Final = Adaptation(
    "mlflow.get_registered_model", "the client's method is called", "MlflowClient().get_registered_model"
)
RUN_UUID: Final = Adaptation("run.info.run_uuid", "it is run.info.run_id", "run.info.run_id")
STAGES: Final = Adaptation(
    "model versions have stages: transition_model_version_stage, get_latest_versions, models:/<name>/Production",
    "MLflow's own stages are used while the registry has them, else the aliases champion and challenger",
    "client.set_registered_model_alias(name, 'champion', version) and models:/<name>@champion",
)
TENSORFLOW_EVERY_N_ITER: Final = Adaptation(
    "mlflow.tensorflow.autolog gets every_n_iter", "it is left out", "mlflow.tensorflow.autolog(log_every_n_steps=...)"
)

ADAPTATIONS: Final = (
    TRUSTED_TYPES,
    PICKLED_PYTORCH,
    MODEL_NAME,
    PYFUNC_MODEL,
    RENAMED_ARGUMENT,
    FILE_STORE,
    LIST_EXPERIMENTS,
    LIST_RUN_INFOS,
    LIST_REGISTERED_MODELS,
    GET_REGISTERED_MODEL,
    RUN_UUID,
    STAGES,
    TENSORFLOW_EVERY_N_ITER,
)

_logged: set[Adaptation] = set()


def note(adaptation: Adaptation) -> None:
    """Log an adaptation the first time it is needed."""
    if adaptation not in _logged:
        _logged.add(adaptation)
        logger.warning(
            "MLflow 2 code: %s. Here %s. In MLflow 3: %s", adaptation.before, adaptation.now, adaptation.replacement
        )
