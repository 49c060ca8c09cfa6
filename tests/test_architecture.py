"""The floors of the house: imports go down, MLflow is imported late and in few places, the server starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mcp_server

PACKAGE = Path(mcp_server.__file__).parent

FLOORS = (
    {"mcp_server", "errors", "untrusted", "suggestions"},
    {"settings"},
    {"mlflow_integration"},
    {"analysis"},
    {"promotion_policy", "rendering", "instructions"},
    {"tools", "resources", "prompts", "completions", "apps"},
    {"server"},
    {"http", "stdio"},
    {"demo_training"},
    {"check", "demo"},
    {"cli"},
    {"__main__"},
)
"""From the ground up; a package counts as one, and within it imports go as they like."""

LEAVES = {"errors", "untrusted", "suggestions"}

EMBEDDED_MLFLOW = {"embedded", "database", "template", "plugin_http"}
"""MLflow's own server application and databases inside this process."""

PYTHON_FACE = {"buffering", "experiment", "fluent", "model_logging", "models", "project", "run_records", "stages"}
PYTHON_FACE |= {"stores", "tracker"}
"""For training scripts, over MLflow's own client."""


@dataclass(frozen=True)
class Imported:
    importer: str
    """Module below `mcp_server`, such as `tools.runs`."""
    name: str
    at_start: bool
    """True: it happens when the module is imported, and not for type checking only."""


def _imports() -> Iterator[Imported]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__") or "mcp_server"
        yield from _imports_in(ast.parse(path.read_text()), module, at_start=True)


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


def _component(name: str) -> str:
    """`tools` for `tools.runs` and for `mcp_server.tools.runs`."""
    name = name.removeprefix("mcp_server.")
    return "mcp_server" if name == "__version__" else name.partition(".")[0]


def _floor(component: str) -> int:
    found = [floor for floor, components in enumerate(FLOORS) if component in components]
    assert found, f"{component} is new: give it its floor"
    return found[0]


def _ours() -> Iterator[tuple[str, str]]:
    for one in _imports():
        if one.name.startswith("mcp_server."):
            yield one.importer, one.name.removeprefix("mcp_server.")


def test_imports_only_go_down():
    """No module imports from a floor above it, and modules of one floor leave each other alone."""
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in _ours()
        if _component(importer) != _component(imported) and _floor(_component(importer)) <= _floor(_component(imported))
    ]
    assert wrong == []


def test_the_ground_floor_stands_by_itself():
    """Errors, suggestions and the cleaning of texts import nothing of ours."""
    assert [importer for importer, _ in _ours() if importer in LEAVES] == []


def test_analysis_knows_mlflow_only_as_entities():
    """Pure functions: no I/O, no transport."""
    names = {name for importer, name in _ours() if _component(importer) == "analysis"}
    integration = {name for name in names if name.startswith("mlflow_integration.")}
    assert {name.rpartition(".")[0] for name in integration} == {"mlflow_integration.entities"}


def test_mlflow_is_imported_late_and_in_few_places():
    """Only inside functions of what runs MLflow in process and of the Python face."""
    of_mlflow = [one for one in _imports() if one.name.partition(".")[0] == "mlflow"]
    allowed = {f"mlflow_integration.{name}" for name in EMBEDDED_MLFLOW | PYTHON_FACE}
    assert of_mlflow
    assert {one.importer for one in of_mlflow} - allowed == set()
    assert [one for one in of_mlflow if one.at_start] == []


def test_only_the_upper_floors_know_mcp():
    """Everything below the tools would work without the protocol."""
    tools = _floor("tools")
    knowing = {_component(one.importer) for one in _imports() if one.name.partition(".")[0] == "mcp"}
    assert {component for component in knowing if _floor(component) < tools} == set()


def test_only_the_commands_for_people_draw():
    """rich serves the demo and check."""
    assert {one.importer for one in _imports() if one.name.partition(".")[0] == "rich"} == {"check", "demo"}


def test_the_server_starts_light():
    """A host that starts the server waits for none of MLflow's stack."""
    code = "import sys, mcp_server.stdio, mcp_server.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(loaded.stdout.split())
    assert "mcp_server.server" in modules
    assert modules & {"mlflow", "pandas", "numpy", "sklearn", "sqlalchemy", "flask", "rich", "yaml"} == set()
