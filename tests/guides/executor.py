"""Runs Python blocks: forked from a process that has imported MLflow, or in an interpreter of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from . import child
from .blocks import Block, block
from .catalogue import CATALOGUE, CONFIG, MOCK, SERVER, Entry

ROOT: Final = Path(__file__).parents[2]

PLAIN: Final = "plain"
COMPAT: Final = "compat"
SUBSTITUTED: Final = "substituted"

SECONDS: Final = 600
"""Longest time for one block."""

ADDRESS_OF_GUIDE: Final = {
    0: "http://127.0.0.1:5000",
    1: "http://mlflow-server:5000",
    2: "http://localhost:5000",
    3: "http://localhost:5000",
    4: "http://localhost:5000",
}
"""What each guide sets MLFLOW_TRACKING_URI to, or names in its configuration."""

HOSTS: Final = ("localhost:5000", "127.0.0.1:5000", "mlflow-server:5000", "mlflow-prod:5000")

ALLOWED_HOSTS: Final = "localhost:*,127.0.0.1:*,mlflow-server:*,mlflow-prod:*"
"""For `mlflow server`: these names are refused otherwise."""


@dataclass(frozen=True)
class Result:
    ok: bool
    error: str = ""
    """The last line of what the block raised."""
    trace: str = ""
    ours: bool = False
    """Whether anything of this package was loaded: False proves that MLflow alone refused."""
    broken: bool = False
    """The prelude or the check failed: a mistake here, or a block that runs and does something else."""


@dataclass(frozen=True)
class Place:
    """Where blocks run."""

    folder: Path
    server: str = ""
    """Address of a running `mlflow server`, for every host of the guides."""
    database: str = ""
    """An empty MLflow database to begin with, which saves 5 s of migrations; empty: MLflow makes its own."""
    quick: bool = False
    """Do not infer the requirements of models."""


def empty_database(path: Path) -> str:
    """A database as MLflow makes it, to be copied."""
    from mcp_server.mlflow_integration.local import mlflow_internals, schema_template

    revision = mlflow_internals.latest_schema_revision()
    schema_template.create_database(path, schema_template.schema_statements(revision))
    return str(path)


def missing(entry: Entry) -> list[str]:
    """Packages that the block needs and this Python lacks."""
    return [name for name in entry.needs if find_spec(name) is None]


def request(one: Block, setting: str, mode: str, place: Place) -> dict[str, Any]:
    """What the process of a block is told."""
    entry = CATALOGUE[one.name]
    text = one.text
    if mode == SUBSTITUTED:
        for before, after in entry.substitutions.items():
            assert before in text, f"{one.name} has no {before!r}"
            text = text.replace(before, after)
    parts = [{"before": "", "text": text}]
    if entry.before_lines:
        parts = [{"before": _before(line, entry), "text": line} for line in text.splitlines(keepends=True)]
    number = f"{one.name}-{setting}-{mode}".replace(" ", "_").replace("/", "_")
    folder = place.folder / number
    folder.mkdir(parents=True)
    host, port = place.server.rpartition("//")[2].split(":") if place.server else ("", "0")
    return {
        "name": one.name,
        "folder": str(folder),
        "result": str(place.folder / f"{number}.json"),
        "log": str(place.folder / f"{number}.log"),
        "environment": _environment(one.guide, setting, place.folder),
        "files": {"config/mlflow.yaml": block("0.2").text} if setting == CONFIG else {},
        "database": place.database if setting != MOCK else "",
        "hosts": {name: [host, int(port)] for name in HOSTS} if place.server else {},
        "compat": mode == COMPAT,
        "quick": place.quick,
        "prelude": "".join(prelude.code for prelude in entry.preludes),
        "text": parts,
        "check": entry.check,
        "forget_address": entry.forget_address,
    }


def run_forked(given: dict[str, Any]) -> Result:
    """In a process that is forked from one that has imported MLflow."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload(["tests.guides.preloaded"])  # type: ignore[attr-defined]
    process: Any = context.Process(target=_forked, args=(given,))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    return _result(given)


def run_fresh(given: dict[str, Any], python: str = sys.executable) -> Result:
    """In an interpreter of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(given["log"], "wb") as log:
        subprocess.run(
            [python, "-m", "tests.guides.child"],
            input=json.dumps(given).encode(),
            env=environment,
            cwd=given["folder"],
            stdout=log,
            stderr=log,
            timeout=SECONDS,
            check=False,
        )
    return _result(given)


Runner = Callable[[dict[str, Any]], Result]


def _forked(given: dict[str, Any]) -> None:
    log = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    Path(given["result"]).write_text(json.dumps(child.run(given)))


def _result(given: Mapping[str, Any]) -> Result:
    path = Path(given["result"])
    if not path.exists():
        return Result(False, "the process ended without a result", Path(given["log"]).read_text()[-2000:], broken=True)
    found = json.loads(path.read_text())
    broken = bool(found.get("prelude") or found.get("check"))
    return Result(found["ok"], found["error"], found.get("trace", ""), bool(found.get("ours")), broken)


def _before(line: str, entry: Entry) -> str:
    return next((code for start, code in entry.before_lines.items() if line.startswith(start)), "")


def _environment(guide: int, setting: str, folder: Path) -> dict[str, str]:
    # The private store of this package must not be the user's.
    environment = {"MLFLOW_MCP_DATA_DIR": str(folder / "private")}
    if setting == MOCK:
        environment["MLFLOW_MOCK_MODE"] = "true"
    if setting == SERVER:
        environment["MLFLOW_TRACKING_URI"] = ADDRESS_OF_GUIDE[guide]
    return environment
