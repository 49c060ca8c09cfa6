"""The model registry for a project's code: versions, stages, loading.

A project that imports them as `src.models.mlflow.registry` keeps doing so with a file there of one line:
`from mcp_server.mlflow_integration.registry import *`.
"""

from mcp_server.mlflow_integration.tracker.registry_functions import (
    get_latest_model_version,
    list_model_versions,
    list_model_versions_with_stages,
    load_model_from_registry,
    register_model_from_run,
    transition_model_stage,
)

__all__ = [
    "get_latest_model_version",
    "list_model_versions",
    "list_model_versions_with_stages",
    "load_model_from_registry",
    "register_model_from_run",
    "transition_model_stage",
]
