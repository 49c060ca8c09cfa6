"""Addresses of models that MLflow 3 no longer finds: `runs:/<run_id>/a/path`, `models:/<name>/Production`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.tracker import model_logging, stages
from mcp_server.mlflow_integration.tracker.mlflow2.adaptations import MODEL_NAME, STAGES, Adaptation, note


def with_model_found(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called again with another address of the same model when MLflow does not find the one given."""
    parameters = list(inspect.signature(function).parameters)
    uri_name = next((name for name in ("model_uri", "artifact_uri", "uri") if name in parameters), parameters[0])

    @wraps(function)
    def find(*args: Any, **kwargs: Any) -> Any:
        exceptions: Any = import_module("mlflow.exceptions")
        try:
            return function(*args, **kwargs)
        except (exceptions.MlflowException, OSError):
            given: Any = kwargs.get(uri_name, args[0] if args else None)
            found = _elsewhere(given) if isinstance(given, str) else None
            if found is None:
                raise
        uri, adaptation = found
        note(adaptation)
        if uri_name in kwargs:
            return function(*args, **{**kwargs, uri_name: uri})
        return function(uri, *args[1:], **kwargs)

    return find


def _elsewhere(uri: str) -> tuple[str, Adaptation] | None:
    mlflow: Any = import_module("mlflow")
    try:
        client = mlflow.MlflowClient()
        if match := re.fullmatch(r"runs:/(?P<run_id>[^/]+)/(?P<path>.+)", uri):
            logged = model_logging.logged_model(client, match["run_id"], match["path"])
            return (f"models:/{logged.model_id}", MODEL_NAME) if logged is not None else None
        match = re.fullmatch(r"models:/(?P<name>[^/]+)/(?P<stage>[A-Za-z]+)", uri)
        if match is None or match["stage"].capitalize() not in stages.ALIAS_OF_STAGE:
            return None
        found = stages.in_stages(client, match["name"], [match["stage"]])
        return (f"models:/{match['name']}/{found[0].version}", STAGES) if found else None
    except (MlflowToolError, mlflow.MlflowException):
        return None  # The script must see MLflow's own refusal of the address.
