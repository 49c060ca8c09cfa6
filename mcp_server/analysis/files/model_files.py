"""What the files of a model say about it: signature, flavors, requirements. Nothing is loaded or run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

MODEL_FILES: Final = ("MLmodel", "requirements.txt")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Texts that can be put side by side; empty where a file does not say."""

    inputs: str = ""
    outputs: str = ""
    """Columns with their types, as `age: long, name: string`."""
    input_example: str = ""
    """`yes` when the model was logged with one."""
    flavors: str = ""
    model_size: str = ""
    """Bytes."""
    python: str = ""
    """Version of Python that logged the model."""
    mlflow: str = ""
    """Version of MLflow that logged the model."""
    requirements: Mapping[str, str] = field(default_factory=dict[str, str])
    """Version condition by normalized package name: `scikit_learn` and `Scikit-Learn` are `scikit-learn`."""


def describe_model(texts: Mapping[str, str]) -> ModelFiles:
    """The facts in an MLmodel and a requirements.txt, given by name; a file that is absent or broken says nothing.

    Source: MLflow's model format; https://mlflow.org/docs/latest/ml/model.
    """
    model = _mapping(read_yaml(texts.get("MLmodel", "")))
    signature = _mapping(model.get("signature"))
    pyfunc = _mapping(_mapping(model.get("flavors")).get("python_function"))
    return ModelFiles(
        inputs=_columns(signature.get("inputs")),
        outputs=_columns(signature.get("outputs")),
        input_example="yes" if model.get("saved_input_example_info") else "",
        flavors=", ".join(sorted(map(str, _mapping(model.get("flavors"))))),
        model_size=scalar_text(model.get("model_size_bytes")),
        python=scalar_text(pyfunc.get("python_version")),
        mlflow=scalar_text(model.get("mlflow_version")),
        requirements=_requirements(texts.get("requirements.txt", "")),
    )


def read_yaml(text: str) -> object:
    """What a YAML text says; None when it cannot be read: a date that no calendar has, nested too deeply, not YAML."""
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def scalar_text(value: object) -> str:
    """The text of a string or number; empty for anything else, and for a number of more digits than Python prints."""
    # Not of anything else: a few YAML aliases make a value whose text fills the memory.
    if isinstance(value, int) and abs(value) >= 2**63:
        return ""
    return str(value) if isinstance(value, str | int | float) else ""


def _columns(schema: object) -> str:
    """MLflow keeps a schema as JSON inside the YAML: columns with name and type, or tensors with dtype and shape."""
    try:
        columns: object = json.loads(schema) if isinstance(schema, str) else []
    except (ValueError, RecursionError):
        return ""
    found = cast("list[object]", columns) if isinstance(columns, list) else []
    return ", ".join(_column(_mapping(column)) for column in found)


def _column(column: Mapping[str, Any]) -> str:
    tensor = _mapping(column.get("tensor-spec"))
    kind = f"{tensor.get('dtype')}{tensor.get('shape')}" if tensor else str(column.get("type", ""))
    optional = "" if column.get("required", True) else " (optional)"
    return f"{column['name']}: {kind}{optional}" if column.get("name") else f"{kind}{optional}"


def _requirements(text: str) -> dict[str, str]:
    """Version condition by package; lines that are not requirements (options, comments, paths) are left out."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            requirement = Requirement(line.partition(" #")[0].strip())
        except InvalidRequirement:
            continue
        found[canonicalize_name(requirement.name)] = str(requirement.specifier) or requirement.url or "any"
    return found
