"""One request to a tracking server before the training starts."""

from __future__ import annotations

import logging
import re
from importlib import import_module
from typing import Any

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.local.mlflow_internals import get_once
from mcp_server.mlflow_integration.locate import Location
from mcp_server.mlflow_integration.rest.error_responses import failure, json_object, not_mlflow
from mcp_server.mlflow_integration.rest.transport import Reply
from mcp_server.settings import Settings

logger = logging.getLogger(__name__)


def server_version(location: Location, settings: Settings) -> str:
    """The version of the MLflow that answers; empty if it does not say.

    Without retries: MLflow's client needs 247 s to give up on a server that is not there. Later requests keep its
    patience, so that a restart of the server does not end a training.

    Raises: UnreachableError: nothing answers, or no MLflow. PermissionDeniedError: it refuses the credentials, or the
        host name in the address.
    """
    # /health and /version answer to every host name; this shows whether the API does.
    reply = _get(location, settings, "/api/2.0/mlflow/experiments/search", {"max_results": 1})
    if reply.status >= 400:
        raise failure(reply, location.shown_uri)
    if json_object(reply.body) is None:
        raise not_mlflow(location.shown_uri)
    text = _get(location, settings, "/version", {}).body.decode("utf-8", "replace").strip()
    version = text if re.match(r"\d+\.\d+", text) else ""
    if is_before_3(version):
        logger.warning(
            "MLflow %s answers at %s. It has no logged models: a tracker's log_model keeps models among the artifacts "
            "of the run, and MLflow's own log_model needs MLflow 3 there.",
            version,
            location.shown_uri,
        )
    return version


def is_before_3(version: str) -> bool:
    """Whether a server of this version lacks logged models; False if it is not known."""
    return re.match(r"[012]\.", version) is not None


def _get(location: Location, settings: Settings, path: str, params: dict[str, Any]) -> Reply:
    exceptions: Any = import_module("mlflow.exceptions")
    try:
        response = get_once(
            location.tracking_uri,
            path,
            params,
            timeout_seconds=(settings.connect_timeout_seconds, settings.timeout_seconds),
        )
    except exceptions.MlflowException as error:
        raise UnreachableError(
            f"No MLflow server answers at {location.shown_uri}. Start it with `mlflow server`, correct the address "
            "(MLFLOW_TRACKING_URI), or work without one: get_mlflow_tracker(mock_mode=True).",
            carried_out=False,
        ) from error
    return Reply(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )
