"""One block in a process of its own: its prelude, its text, and a check of what it did.

`python -m tests.guides.child` reads a request as JSON on stdin and writes the result as JSON to the file it names.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

_began_ms = 0


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Keys of a request: folder, environment, hosts, compat, quick, prelude, text, per_line, check, name.

    Returns: `ok`; `error`, the last line of what was raised; `ours`, whether anything of this package was loaded.
    """
    global _began_ms
    _began_ms = time.time_ns() // 1_000_000
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    sys.path.insert(0, "")
    for name, content in request["files"].items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content)
    if request["database"]:
        shutil.copy(request["database"], "mlflow.db")
    _map_hosts(request["hosts"])
    if request["quick"]:
        _infer_no_requirements()
    if request["compat"]:
        import mcp_server.mlflow_integration.compat  # noqa: F401
    names: dict[str, Any] = {"__name__": "__main__", "make_run": _make_run, "runs_of": _runs_of, "project": _project}
    try:
        exec(compile(request["prelude"], "<prelude>", "exec"), names)
    except BaseException:
        return {"ok": False, "error": f"the prelude failed:\n{traceback.format_exc()}", "prelude": True}
    if request["forget_address"]:
        _forget_address(request["environment"])
    # As when it is pasted into a script; the checks see what it leaves.
    names["__name__"] = "__main__"
    try:
        for part in request["text"]:
            exec(compile(part["before"], "<before>", "exec"), names)
            exec(compile(part["text"], f"<block {request['name']}>", "exec"), names)
    except BaseException as error:
        return {
            "ok": False,
            "error": _sentence(error),
            "trace": traceback.format_exc(),
            "ours": "mcp_server" in sys.modules,
        }
    try:
        exec(compile(request["check"], "<check>", "exec"), names)
    except BaseException:
        return {"ok": False, "error": f"it ran, and the check failed:\n{traceback.format_exc()}", "check": True}
    return {"ok": True, "error": "", "ours": "mcp_server" in sys.modules}


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"


def _map_hosts(hosts: dict[str, list[Any]]) -> None:
    """Resolve `host:port` of the guides to where the tests' servers are, as a hosts file and a port would."""
    real = socket.getaddrinfo

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        host, port = hosts.get(f"{name}:{port}", (host, port))
        return real(host, port, *args, **kwargs)

    socket.getaddrinfo = resolved


def _infer_no_requirements() -> None:
    """MLflow starts an interpreter for every model to see what it imports: 3 s each, and not what the blocks test."""
    import mlflow.models

    mlflow.models.infer_pip_requirements = lambda *_, fallback=None, **__: fallback


def _make_run(client: Any, experiment_id: str, run_id: str = "") -> str:
    """A run; with the id that a page uses in its text, if one is given."""
    if not run_id:
        return client.create_run(experiment_id).info.run_id
    from mlflow.store.tracking import sqlalchemy_store

    fixed = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=run_id))
    with mock.patch.object(sqlalchemy_store, "uuid", fixed):
        return client.create_run(experiment_id).info.run_id


def _runs_of(client: Any, experiment: str = "") -> list[Any]:
    """Runs that began in this process, newest first: of one experiment, or of all. Blocks share a server."""
    found = [one for one in client.search_experiments() if experiment in ("", one.name)]
    runs = client.search_runs([one.experiment_id for one in found]) if found else []
    return [run for run in runs if run.info.start_time >= _began_ms]


def _project() -> Any:
    """A client of the MLflow that guide 0's functions use."""
    from mcp_server.mlflow_integration import get_mlflow_client

    return get_mlflow_client()


def _forget_address(environment: dict[str, str]) -> None:
    """As in a new process: what the prelude did has not pointed MLflow anywhere."""
    import mlflow

    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    os.environ.update(environment)


def main() -> None:
    request = json.load(sys.stdin)
    Path(request["result"]).write_text(json.dumps(run(request)))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
