"""Everything that knows MLflow; nothing here knows MCP.

The names below are for training scripts. Each module is loaded when one of its names is used, and
mlflow itself when a tracker is made: the server, which lives in this package too, imports neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mcp_server.mlflow_integration.tracker.metric_buffer import MetricBuffer
    from mcp_server.mlflow_integration.tracker.project import MLflowTracker, get_mlflow_client, setup_mlflow_tracking
    from mcp_server.mlflow_integration.tracker.registry_functions import (
        get_latest_model_version,
        list_model_versions,
        list_model_versions_with_stages,
        load_model_from_registry,
        register_model_from_run,
        transition_model_stage,
    )
    from mcp_server.mlflow_integration.tracker.tracker import MlflowTracker, get_mlflow_tracker

__all__ = [
    "MLflowTracker",
    "MetricBuffer",
    "MlflowTracker",
    "get_latest_model_version",
    "get_mlflow_client",
    "get_mlflow_tracker",
    "list_model_versions",
    "list_model_versions_with_stages",
    "load_model_from_registry",
    "register_model_from_run",
    "setup_mlflow_tracking",
    "transition_model_stage",
]

_MODULES: Final = {
    "tracker.metric_buffer": ("MetricBuffer",),
    "tracker.registry_functions": (
        "get_latest_model_version",
        "list_model_versions",
        "list_model_versions_with_stages",
        "load_model_from_registry",
        "register_model_from_run",
        "transition_model_stage",
    ),
    "tracker.project": ("MLflowTracker", "get_mlflow_client", "setup_mlflow_tracking"),
    "tracker.tracker": ("MlflowTracker", "get_mlflow_tracker"),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
