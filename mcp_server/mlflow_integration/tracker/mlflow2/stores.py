"""Stores in files, which MLflow 3 opens only when it is told to."""

from __future__ import annotations

import os
from functools import wraps
from types import ModuleType
from typing import Any, Final

from mcp_server.mlflow_integration.tracker.mlflow2.adaptations import FILE_STORE, note

VARIABLE: Final = "MLFLOW_ALLOW_FILE_STORE"

MODULES: Final = ("mlflow.store.tracking.file_store", "mlflow.store.model_registry.file_store")


def allow_file_stores() -> None:
    """For this process and those it starts; what the user set stays."""
    os.environ.setdefault(VARIABLE, "true")


def adapt_file_store(module: ModuleType) -> None:
    """Log that a file store is opened."""
    store: Any = module.FileStore
    before = store.__init__

    @wraps(before)
    def opened(self: Any, *args: Any, **kwargs: Any) -> None:
        note(FILE_STORE)
        before(self, *args, **kwargs)

    store.__init__ = opened
