"""Models on tracking servers before MLflow 3, which have no logged models: folders among the artifacts of a run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from mcp_server.mlflow_integration import tags as tag_names

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

MODEL_FILE: Final = "MLmodel"


def log(client: Any, run: Run, module: ModuleType, path: str, arguments: dict[str, Any]) -> ModelInfo:
    """Log a model as MLflow 2 does, with the `save_model` of a flavor; the arguments may say how to register it."""
    registered_name = arguments.pop("registered_model_name", None)
    run_id = run.info.run_id
    model: Any = import_module("mlflow.models").Model(artifact_path=path, run_id=run_id)
    with tempfile.TemporaryDirectory() as folder:
        local = str(Path(folder) / "model")
        module.save_model(**arguments, path=local, mlflow_model=model)
        client.log_artifacts(run_id, local, path)
    # Where the UI of MLflow 2 looks for the models of a run.
    history = json.loads(run.data.tags.get(tag_names.LOGGED_MODELS, "[]"))
    client.set_tag(run_id, tag_names.LOGGED_MODELS, json.dumps([*history, model.get_tags_dict()]))
    if registered_name:
        register(client, run_id, path, registered_name)
    return model.get_model_info()


def exists(client: Any, run_id: str, path: str) -> bool:
    """Whether the artifacts of a run have a model in this folder.

    Not with `client.list_artifacts`: MLflow 3 then searches the logged models, too, and fails on older servers.
    """
    artifacts: Any = import_module("mlflow.artifacts")
    folder = _folder(client, run_id, path)
    files = artifacts.list_artifacts(artifact_uri=folder, tracking_uri=client.tracking_uri)
    return any(file.path.rpartition("/")[2] == MODEL_FILE for file in files)


def register(client: Any, run_id: str, path: str, name: str, tags: Mapping[str, Any] | None = None) -> ModelVersion:
    """Make a version of a registered model, and the registered model itself if it is new.

    `mlflow.register_model` of MLflow 3 searches the logged models of the server first, and fails when it has none.
    """
    exceptions: Any = import_module("mlflow.exceptions")
    source = _folder(client, run_id, path)
    try:
        client.create_registered_model(name)
    except exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(name, source, run_id, tags=dict(tags or {}) or None)


def _folder(client: Any, run_id: str, path: str) -> str:
    return f"{client.get_run(run_id).info.artifact_uri}/{path}"
