"""One run of a Python block: what it is given, and what became of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .blocks import Block, block
from .catalogue import CATALOGUE, CONFIG, MOCK, SERVER, Entry

PLAIN: Final = "plain"
COMPAT: Final = "compat"
"""The line `import mcp_server.mlflow_integration.compat` on top."""
RUN: Final = "run"
"""`mcp-server-mlflow run block.py`."""
SUBSTITUTED: Final = "substituted"

PRELUDE: Final = "prelude"
BLOCK: Final = "block"
CHECK: Final = "check"

ADDRESS_OF_GUIDE: Final = {
    0: "http://127.0.0.1:5000",
    1: "http://mlflow-server:5000",
    2: "http://localhost:5000",
    3: "http://localhost:5000",
    4: "http://localhost:5000",
}
"""What each guide sets MLFLOW_TRACKING_URI to, or names in its configuration."""

HOSTS: Final = ("localhost:5000", "127.0.0.1:5000", "mlflow-server:5000", "mlflow-prod:5000")

_IMPORT_GIVEN: Final = "from tests.guides.given import forget_address, make_run, project, runs_of\n"


@dataclass(frozen=True)
class Part:
    kind: str
    code: str


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


@dataclass(frozen=True)
class Request:
    name: str
    """Of the block, its setting and the mode, as a file name."""
    folder: Path
    """Its own working folder."""
    parts: tuple[Part, ...]
    mode: str
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, list[Any]] = field(default_factory=dict)
    database: str = ""
    quick: bool = False

    @property
    def compat(self) -> bool:
        return self.mode == COMPAT

    def beside(self, ending: str) -> Path:
        """A file of the runner, outside of the working folder."""
        return self.folder.with_name(f"{self.name}.{ending}")


@dataclass(frozen=True)
class Result:
    ok: bool
    error: str = ""
    """The last line of what was raised."""
    trace: str = ""
    ours: bool = False
    """Whether anything of this package was loaded: False proves that MLflow alone refused."""
    broken: bool = False
    """The prelude or the check failed: a mistake here, or a block that runs and does something else."""


def request(one: Block, setting: str, mode: str, place: Place) -> Request:
    entry = CATALOGUE[one.name]
    name = f"{one.name}-{setting}-{mode}".replace(" ", "_").replace("/", "_")
    environment = _environment(one.guide, setting, place.folder)
    host, port = place.server.rpartition("//")[2].split(":") if place.server else ("", "0")
    return Request(
        name=name,
        folder=place.folder / name,
        parts=_parts(one, entry, mode, environment),
        environment=environment,
        files={"config/mlflow.yaml": block("0.2").text} if setting == CONFIG else {},
        hosts={name: [host, int(port)] for name in HOSTS} if place.server else {},
        mode=mode,
        database=place.database if setting != MOCK else "",
        quick=place.quick,
    )


def prepare(given: Request) -> None:
    """Make the working folder, empty but for what the setting says."""
    given.folder.mkdir(parents=True)
    for name, content in given.files.items():
        path = given.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    if given.database:
        shutil.copy(given.database, given.folder / "mlflow.db")


def _parts(one: Block, entry: Entry, mode: str, environment: dict[str, str]) -> tuple[Part, ...]:
    prelude = _IMPORT_GIVEN + "".join(prelude.code for prelude in entry.preludes)
    if entry.forget_address:
        prelude += f"forget_address({environment!r})\n"
    text = one.text
    if mode == SUBSTITUTED:
        for before, after in entry.substitutions.items():
            assert before in text, f"{one.name} has no {before!r}"
            text = text.replace(before, after)
    parts = [Part(PRELUDE, prelude), Part(BLOCK, text)]
    if entry.before_lines:
        lines = text.splitlines(keepends=True)
        parts[1:] = [part for line in lines for part in (Part(PRELUDE, _before(line, entry)), Part(BLOCK, line))]
    return (*parts, Part(CHECK, f"{entry.check}\n"))


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
