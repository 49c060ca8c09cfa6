"""The floors of the package: imports go down, MLflow is imported late and in few places, the server starts light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mcp_server

PACKAGE = Path(mcp_server.__file__).parent

HOUSE = ("cli", "server", "tools", "rendering", "mlflow_integration", "settings", "errors")
TOOLS = ("tools", "analysis", "mlflow_integration")
INTEGRATION = ("engine", "operations", "rest", "locate")
LOCAL = ("engine", "local", "locate")
ENTITIES = ("operations", "rest", "entities")

RUNS_MLFLOW = ("mlflow_integration.local", "mlflow_integration.tracker", "mlflow_integration.rest.plugin_transport")
"""The folders whose modules may import mlflow, inside functions."""

MODULE_LINES = 350
FUNCTION_LINES = 50
"""A screen."""


@dataclass(frozen=True)
class Imported:
    importer: str
    """Module below `mcp_server`, such as `tools.runs`."""
    name: str
    at_start: bool
    """True: it happens when the module is imported, and not for type checking only."""


@cache
def _trees() -> dict[str, ast.Module]:
    """Syntax tree by module below `mcp_server`; packages go by their own name."""
    trees: dict[str, ast.Module] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "__init__"
        trees[name] = ast.parse(path.read_text())
    return trees


@cache
def _imports() -> tuple[Imported, ...]:
    return tuple(found for module, tree in _trees().items() for found in _imports_in(tree, module, at_start=True))


def _imports_in(node: ast.AST, module: str, at_start: bool) -> Iterator[Imported]:
    for child in ast.iter_child_nodes(node):
        for name in _imported_names(child):
            yield Imported(module, name, at_start)
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        yield from _imports_in(child, module, at_start and not later)


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written in full"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        # f"mlflow.{flavor}" counts by its beginning.
        return [ast.unparse(node.args[0]).removeprefix("f").strip("'\"")]
    return []


def _ours() -> Iterator[tuple[str, str]]:
    """Pairs of modules of which the first imports the second, lazily or not."""
    for one in _imports():
        if one.name.startswith("mcp_server."):
            name = one.name.removeprefix("mcp_server.")
            while name and name not in _trees():
                name = name.rpartition(".")[0]
            if name and name != one.importer:
                yield one.importer, name


def _circle(edges: Iterable[tuple[str, str]]) -> Sequence[str]:
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except ValueError as error:
        return error.args[1]
    return ()


def _rooms(below: str = "") -> list[tuple[str, str]]:
    """Pairs of rooms, the files and folders directly in a folder, of which the first imports the second."""

    def room(module: str) -> str:
        return module.removeprefix(below).partition(".")[0]

    pairs = ((a, b) for a, b in _ours() if a.startswith(below) and b.startswith(below))
    return [(room(a), room(b)) for a, b in pairs if room(a) != room(b)]


def test_no_module_takes_part_in_an_import_circle():
    """Lazy imports and those for type checking count too."""
    assert _circle(_ours()) == ()


@pytest.mark.parametrize("below", ["", "analysis.", "mlflow_integration.", "mlflow_integration.operations."])
def test_no_room_takes_part_in_an_import_circle(below: str):
    """Folders depend on each other in one direction, as the files in them do."""
    assert _circle(_rooms(below)) == ()


@pytest.mark.parametrize(
    ("below", "floors"),
    [
        ("", HOUSE),
        ("", TOOLS),
        ("mlflow_integration.", INTEGRATION),
        ("mlflow_integration.", LOCAL),
        ("mlflow_integration.", ENTITIES),
    ],
)
def test_imports_only_go_down(below: str, floors: Sequence[str]):
    """From the entry to the errors; whatever is not named here is kept in order by the absence of circles."""
    rooms = _rooms(below)
    assert set(floors) <= {room for pair in rooms for room in pair}, "every floor exists"
    height = {room: -number for number, room in enumerate(floors)}
    wrong = [(a, b) for a, b in rooms if a in height and b in height and height[a] < height[b]]
    assert wrong == []


def test_mlflow_integration_has_few_rooms():
    """What a newcomer has to learn before finding anything in it; the doors are import paths of the Python API."""
    rooms = {module.split(".")[1] for module in _trees() if module.startswith("mlflow_integration.")}
    doors = {"tracking", "registry", "compat"}
    assert rooms - doors == {"rest", "local", "operations", "tracker", "entities", "tags", "locate", "engine"}


def test_analysis_knows_mlflow_only_as_entities_and_tags():
    """Pure functions: no I/O, no transport."""
    allowed = {"mlflow_integration.entities", "mlflow_integration.tags"}
    used = {b for a, b in _ours() if a.startswith("analysis") and b.startswith("mlflow_integration")}
    assert used
    assert used <= allowed


def test_mlflow_is_imported_late_and_in_few_places():
    """Only inside functions of what runs MLflow in this process and of the Python API."""
    of_mlflow = [one for one in _imports() if one.name.partition(".")[0] == "mlflow"]
    assert of_mlflow
    assert [one for one in of_mlflow if not one.importer.startswith(RUNS_MLFLOW)] == []
    assert [one for one in of_mlflow if one.at_start] == []


def test_what_mlflow_does_not_document_is_imported_in_one_module():
    """An MLflow that moves one of those functions is met in one place."""
    public = re.compile(r"mlflow(\.(artifacts|entities|exceptions|models|pyfunc|version|\{.*\})(\.\w+)*|\.[A-Z]\w*)?")
    undocumented = {
        one.importer for one in _imports() if one.name.partition(".")[0] == "mlflow" and not public.fullmatch(one.name)
    }
    # `rest` stands beside `local`: neither imports the other.
    assert undocumented == {"mlflow_integration.local.mlflow_internals", "mlflow_integration.rest.plugin_transport"}


def test_mlflow_integration_does_not_know_mcp():
    """It works without the protocol."""
    knowing = {one.importer.partition(".")[0] for one in _imports() if one.name.partition(".")[0] == "mcp"}
    assert "tools" in knowing
    assert knowing & {"mlflow_integration", "analysis", "rendering", "settings", "errors", "untrusted"} == set()


def test_only_the_commands_for_people_draw():
    """rich serves the demo and check."""
    assert {one.importer for one in _imports() if one.name.partition(".")[0] == "rich"} == {
        "commands.check",
        "commands.demo",
    }


def test_modules_and_functions_are_short():
    """A module holds one thing, and a function fits on a screen."""
    modules = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in modules.items() if lines > MODULE_LINES} == {}
    functions = [
        (f"{module}.{node.name}", node.end_lineno - node.lineno + 1)
        for module, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert [(name, lines) for name, lines in functions if lines > FUNCTION_LINES] == []


def test_the_server_starts_light():
    """A host that starts the server waits for none of MLflow's stack."""
    code = "import sys, mcp_server.stdio, mcp_server.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(loaded.stdout.split())
    assert "mcp_server.server" in modules
    heavy = {"mlflow", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "sqlalchemy", "flask", "rich", "yaml"}
    assert modules & heavy == set()
