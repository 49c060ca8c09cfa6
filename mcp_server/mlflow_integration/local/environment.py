"""Sets the environment variables that MLflow reads when it is imported, for the server and for scripts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal

THREADS: Final = 7
"""Calls at once. MLflow's connection pool fails writers beyond it, and more threads only add latency."""

_SCRIPT_THREADS: Final = 16
"""Connections kept for a training script. With MLflow's 5 + 10, a sweep of 32 threads fails after 30 s."""

Use = Literal["server", "script"]
"""Who imports MLflow: this server, or a training script through the Python API."""

_ENVIRONMENT: Final[Mapping[str, Mapping[Use, str]]] = {
    # Nothing but the protocol may reach a server's stdout, and a script's stdout belongs to the script.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": {"server": "true", "script": "true"},
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": {"server": "false"},
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": {"server": "false"},
    # The author of a script reads what MLflow warns about; the person who reads a server's log cannot act on it.
    "MLFLOW_LOGGING_LEVEL": {"server": "ERROR", "script": "WARNING"},
    "GIT_PYTHON_REFRESH": {"server": "quiet", "script": "quiet"},
    # No network beyond the store itself.
    "MLFLOW_DISABLE_TELEMETRY": {"server": "true", "script": "true"},
    # A call may hold two connections, and a call whose caller has gone keeps them until it ends.
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": {"server": str(THREADS), "script": str(_SCRIPT_THREADS)},
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": {"server": str(3 * THREADS), "script": str(7 * _SCRIPT_THREADS)},
    # Host and origin checks guard a socket; there is none.
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": {"server": "true"},
    # Requests that MLflow itself sends (Databricks, plugins): this server repeats what may be repeated.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": {"server": "0"},
    "MLFLOW_ALLOW_HTTP_REDIRECTS": {"server": "false"},
    # Seconds; libpq waits for minutes otherwise.
    "PGCONNECT_TIMEOUT": {"server": "5"},
}


def prepare_environment(use: Use) -> None:
    """Set what MLflow reads; what the user set stays. Call before anything imports mlflow."""
    for name, value_by_use in _ENVIRONMENT.items():
        if use in value_by_use:
            os.environ.setdefault(name, value_by_use[use])
