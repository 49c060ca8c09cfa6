"""All adaptations, switched on once."""

from __future__ import annotations

from importlib import import_module

from mcp_server.mlflow_integration.tracker.mlflow2.after_import import after_import
from mcp_server.mlflow_integration.tracker.mlflow2.flavors import adapt_flavor, adapt_model_class, is_flavor
from mcp_server.mlflow_integration.tracker.mlflow2.names import restore_names
from mcp_server.mlflow_integration.tracker.mlflow2.stores import MODULES, adapt_file_store, allow_file_stores

_adapted = False


def adapt() -> None:
    """Adapt the MLflow of this process; calling it again changes nothing."""
    global _adapted
    if _adapted:
        return
    _adapted = True
    allow_file_stores()
    import_module("mlflow")
    after_import(is_flavor, adapt_flavor)
    after_import(MODULES.__contains__, adapt_file_store)
    adapt_model_class()
    restore_names()
