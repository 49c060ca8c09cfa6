"""What conda and requirements files say."""

from __future__ import annotations

import pytest

from mcp_server.analysis.files.model_cards import conda_packages, packages


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
