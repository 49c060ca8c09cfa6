"""Runs Python blocks: as scripts in an interpreter of their own, or forked from a process that has imported MLflow."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from . import child
from .catalogue import Entry
from .requests import BLOCK, COMPAT, RUN, Request, Result, prepare

ROOT: Final = Path(__file__).parents[2]

SECONDS: Final = 900
"""Longest time for one block."""

_IMPORT_COMPAT: Final = "import mcp_server.mlflow_integration.compat\n"

_COMMAND: Final = Path(sys.executable).with_name("mcp-server-mlflow")
_INSTALLED_COMMAND: Final = [str(_COMMAND)] if _COMMAND.exists() else [sys.executable, "-m", "mcp_server"]

Runner = Callable[[Request], Result]


def empty_database(path: Path) -> str:
    """A database as MLflow makes it, to be copied."""
    from mcp_server.mlflow_integration.local import mlflow_internals, schema_template

    revision = mlflow_internals.latest_schema_revision()
    schema_template.create_database(path, schema_template.schema_statements(revision))
    return str(path)


def missing(entry: Entry) -> list[str]:
    """Packages that the block needs and this Python lacks."""
    return [name for name in entry.needs if find_spec(name) is None]


def run_script(given: Request) -> Result:
    """`python block.py` in a new interpreter: the prelude, the text of the block, a check, and nothing else.

    With compat either the line is on top, or it is `mcp-server-mlflow run block.py`.
    """
    prepare(given)
    top = _IMPORT_COMPAT if given.mode == COMPAT else ""
    (given.folder / "block.py").write_text(top + "".join(part.code for part in given.parts), encoding="utf-8")
    command = [sys.executable, "block.py"]
    if given.mode == RUN:
        command = [*_INSTALLED_COMMAND, "run", "block.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        **given.environment,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "site"), str(ROOT)]),
        "MPLBACKEND": "agg",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GUIDES_HOSTS": json.dumps(given.hosts),
        "GUIDES_REPORT": str(given.beside("json")),
    }
    if given.quick:
        environment["MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT"] = "1"
    with given.beside("log").open("wb") as log:
        done = subprocess.run(
            command, cwd=given.folder, env=environment, stdout=log, stderr=log, timeout=SECONDS, check=False
        )
    found = json.loads(given.beside("json").read_text(encoding="utf-8"))
    if done.returncode == 0:
        return Result(True, ours=found["ours"])
    kind = _kind_of_line(given, found["line"] - len(top.splitlines()))
    trace = found["trace"] or given.beside("log").read_text(encoding="utf-8")[-2000:]
    return Result(False, found["error"], trace, found["ours"], broken=kind != BLOCK)


def _kind_of_line(given: Request, line: int) -> str:
    """Which part of block.py a line belongs to; empty if to none."""
    for part in given.parts:
        length = len(part.code.splitlines())
        if 0 < line <= length:
            return part.kind
        line -= length
    return ""


def run_forked(given: Request) -> Result:
    """In a process that is forked from one that has imported MLflow: for the tests, which run many."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload(["tests.guides.preloaded"])  # type: ignore[attr-defined]
    given.folder.parent.mkdir(parents=True, exist_ok=True)
    process: Any = context.Process(target=_forked, args=(given,))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    path = given.beside("result")
    if not path.exists():
        return Result(False, "the process ended without a result", given.beside("log").read_text()[-2000:], broken=True)
    return pickle.loads(path.read_bytes())


def _forked(given: Request) -> None:
    log = os.open(given.beside("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    given.beside("result").write_bytes(pickle.dumps(child.run(given)))
