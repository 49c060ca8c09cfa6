"""What MLmodel, requirements and conda files contain: flavors, signature, packages, what loading would run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from mcp_server.analysis.files.model_files import describe_model, read_yaml, scalar_text

_REQUIREMENT: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.-]*)(?P<extras>\[[^\]]*\])?\s*(?P<condition>[^#;]*)")
_CONDA: Final = re.compile(r"\s*(?P<name>[^\s=<>!~]+)(?P<condition>.*)")
"""`python=3.11.7`, `pip<=26.3`, `numpy >=1.2,<2`, `conda-forge::numpy=1.2=py38`."""
_RUNS_CODE: Final = (
    "pickled_model",
    "code",
    "python_model",
    "model_code_path",
    "loader_module",
    "serialization_format",
)
_FACTS: Final = (
    "mlflow_version",
    "utc_time_created",
    "run_id",
    "model_id",
    "model_type",
)


def model_facts(text: str) -> dict[str, Any] | None:
    """The facts of an MLmodel file; None when it is not one."""
    model = read_yaml(text)
    if not isinstance(model, dict):
        return None
    facts = cast("dict[str, Any]", model)
    known = describe_model({"MLmodel": text})
    flavors = cast("dict[str, Any]", facts.get("flavors")) if isinstance(facts.get("flavors"), dict) else {}
    function: object = flavors.get("python_function")
    python = cast("dict[str, Any]", function) if isinstance(function, dict) else {}
    size = facts.get("model_size_bytes")
    return {
        "flavors": {name: _flavor(flavor) for name, flavor in flavors.items()},
        "inputs": known.inputs,
        "outputs": known.outputs,
        "input_example": known.input_example,
        "python_version": scalar_text(python.get("python_version")),
        "model_size_bytes": size if isinstance(size, int) and scalar_text(size) else None,
        "loading_runs_code_of": [name for name in _RUNS_CODE if _mentions(flavors, name)],
        **{name: scalar_text(facts.get(name)) for name in _FACTS},
    }


def packages(text: str) -> list[tuple[str, str]]:
    """Name and version condition of every package in a requirements file, in its order."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        match = _REQUIREMENT.match(line)
        if match and line.strip() and not line.lstrip().startswith(("#", "-")):
            found.append((match["name"] + (match["extras"] or ""), match["condition"].strip() or "any"))
    return found


def conda_packages(text: str) -> list[tuple[str, str, str]] | None:
    """Name, version condition and source (conda or pip) of every package; None when it is not a conda file."""
    environment = read_yaml(text)
    listed = cast("dict[str, object]", environment).get("dependencies") if isinstance(environment, dict) else None
    if not isinstance(listed, list):
        return None
    found: list[tuple[str, str, str]] = []
    for entry in cast("list[object]", listed):
        if isinstance(entry, str):
            match = _CONDA.match(entry)
            name, condition = (match["name"], match["condition"]) if match else (entry, "")
            found.append((name.strip(), condition.strip().lstrip("=").strip() or "any", "conda"))
        elif isinstance(entry, dict):
            pip: object = cast("dict[str, object]", entry).get("pip")
            lines = (
                [line for line in cast("list[object]", pip) if isinstance(line, str)] if isinstance(pip, list) else []
            )
            found += [(name, condition, "pip") for name, condition in packages("\n".join(lines))]
    return found


def _flavor(flavor: object) -> str:
    """The scalar facts of one flavor; nested ones are left to the file itself."""
    if not isinstance(flavor, Mapping):
        return ""
    facts = cast("Mapping[str, object]", flavor)
    return ", ".join(f"{name}: {text}" for name, value in facts.items() if (text := scalar_text(value)))


def _mentions(flavors: Mapping[str, object], name: str) -> bool:
    return any(
        isinstance(flavor, Mapping) and bool(cast("Mapping[str, object]", flavor).get(name))
        for flavor in flavors.values()
    )


def split_table(document: object) -> tuple[list[str], list[list[Any]]] | None:
    """Columns and rows of a JSON document as mlflow.log_table writes it; None for any other document."""
    if not isinstance(document, dict):
        return None
    names, rows = (cast("dict[str, object]", document).get(name) for name in ("columns", "data"))
    if not isinstance(names, list) or not isinstance(rows, list):
        return None
    cells = [cast("list[Any]", row) for row in cast("list[object]", rows) if isinstance(row, list)]
    return [str(name) for name in cast("list[object]", names)], [_plain_cells(row) for row in cells]


def _plain_cells(row: list[Any]) -> list[Any]:
    return [json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else cell for cell in row]
