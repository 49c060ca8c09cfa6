"""What MLmodel, conda and requirements files say."""

from __future__ import annotations

import json

import pytest

from mcp_server.analysis.files.model_cards import conda_packages, model_facts, packages
from mcp_server.analysis.files.model_files import describe_model


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python=3.11.7", ("python", "3.11.7", "conda")),
        ("pip<=26.3", ("pip", "<=26.3", "conda")),
        ("numpy >=1.2,<2", ("numpy", ">=1.2,<2", "conda")),
        ("scipy==1.11", ("scipy", "1.11", "conda")),
        ("conda-forge::xgboost=2.0=py311", ("conda-forge::xgboost", "2.0=py311", "conda")),
        ("openssl", ("openssl", "any", "conda")),
    ],
)
def test_a_conda_package_is_read_with_its_condition(line: str, expected: tuple[str, str, str]):
    assert conda_packages(f"dependencies:\n- {line}\n- pip:\n  - pandas~=2.2\n") == [
        expected,
        ("pandas", "~=2.2", "pip"),
    ]


def test_requirements_are_read_without_comments_and_options():
    text = "# made by hand\n-r other.txt\nscikit-learn==1.7.2\ntorch[cuda]>=2 ; python_version > '3.9'\npandas # any\n"
    assert packages(text) == [("scikit-learn", "==1.7.2"), ("torch[cuda]", ">=2"), ("pandas", "any")]


@pytest.mark.parametrize(
    "text",
    [
        "created: 2020-99-99",
        "flavors: {1: {}, sklearn: {}}",
        f"flavors: {'[' * 2_000}",
        f"signature: {{inputs: '{'[' * 100_000}'}}",
        f"model_size_bytes: 0x{'f' * 5_000}\nmlflow_version: 0x{'f' * 5_000}",
    ],
    ids=["no such date", "names of two kinds", "deep YAML", "deep JSON", "a number of 6,000 digits"],
)
def test_a_broken_mlmodel_file_says_nothing_and_fails_nothing(text: str):
    """Whoever logs a model writes the file: get_model and compare_model_versions must read others all the same."""
    files = describe_model({"MLmodel": text})
    assert (files.inputs, files.model_size, files.mlflow) == ("", "", "")
    facts = model_facts(text)
    assert facts is None or json.dumps(facts)
