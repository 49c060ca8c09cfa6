"""What preludes and checks of blocks call; nothing here imports this project's package before it is asked to."""

from __future__ import annotations

import os
import socket
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

_began_ms = time.time_ns() // 1_000_000


def map_hosts(hosts: dict[str, list[Any]]) -> None:
    """Resolve `host:port` of the guides to where the tests' servers are, as a hosts file and a port would."""
    real = socket.getaddrinfo

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        host, port = hosts.get(f"{name}:{port}", (host, port))
        return real(host, port, *args, **kwargs)

    socket.getaddrinfo = resolved


def begin() -> None:
    """Runs from now on are those of the block."""
    global _began_ms
    _began_ms = time.time_ns() // 1_000_000


def make_run(client: Any, experiment_id: str, run_id: str = "") -> str:
    """A run; with the id that a page uses in its text, if one is given."""
    if not run_id:
        return client.create_run(experiment_id).info.run_id
    from mlflow.store.tracking import sqlalchemy_store

    fixed = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=run_id))
    with mock.patch.object(sqlalchemy_store, "uuid", fixed):
        return client.create_run(experiment_id).info.run_id


def runs_of(client: Any, experiment: str = "") -> list[Any]:
    """Runs that began in this process, newest first: of one experiment, or of all. Blocks share a server."""
    found = [one for one in client.search_experiments() if experiment in ("", one.name)]
    runs = client.search_runs([one.experiment_id for one in found]) if found else []
    return [run for run in runs if run.info.start_time >= _began_ms]


def project() -> Any:
    """A client of the MLflow that guide 0's functions use."""
    from mcp_server.mlflow_integration import get_mlflow_client

    return get_mlflow_client()


def forget_address(environment: dict[str, str]) -> None:
    """As in a new process: what the prelude did has not pointed MLflow anywhere."""
    import mlflow

    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    os.environ.update(environment)
