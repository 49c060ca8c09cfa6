"""What MLflow reads from the environment when it is imported, and what this server sets there."""

from __future__ import annotations

import os
from typing import Final

THREADS: Final = 7
"""Calls at once. MLflow's connection pool fails writers beyond it, and more threads only add latency."""

_ENVIRONMENT: Final = {
    # Nothing but the protocol may reach stdout, and stderr belongs to the person who reads the log.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
    # No network beyond the store itself.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A call may hold two connections, and a call whose caller has gone keeps them until it ends.
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(THREADS),
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(3 * THREADS),
    # Host and origin checks guard a socket; there is none.
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
    # Seconds; libpq waits for minutes otherwise.
    "PGCONNECT_TIMEOUT": "5",
}


def prepare_environment() -> None:
    """Set what MLflow reads when it is imported; what the user set stays. Call before anything imports mlflow."""
    if "MLFLOW_DISABLE_TELEMETRY" not in os.environ:
        os.environ.setdefault("DO_NOT_TRACK", "true")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
