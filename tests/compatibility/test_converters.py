"""Client libraries convert the whole list of tools and call two of them, each in a virtual environment of its own.

The versions are fixed, so that a release of a library breaks no test here; `benchmarks/compatibility.py`
drives the newest ones, and more of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_server.tools import TOOLSETS
from mcp_server.tools._define import build
from tests.compatibility.strict_form import without_strict_form

DRIVERS = Path(__file__).parents[2] / "benchmarks" / "clients"
INSTALL_SECONDS = 240
DRIVE_SECONDS = 120

MCP_2 = ("fastmcp==4.1.2", "pydantic-ai-slim[mcp]==2.68.0", "openai-agents==0.24.0", "google-adk[mcp]==2.13.0")
"""They can share an environment."""
MCP_1 = ("langchain-mcp-adapters==0.3.2",)
"""It wants the SDK below 2, which this server does not run on."""

SCHEMAS: dict[str, dict[str, Any]] = {
    definition.name: build(definition, 45.0).parameters
    for definitions in TOOLSETS.values()
    for definition in definitions
    if not definition.between_trackers
}
"""What a server with one tracker offers."""


@pytest.fixture(scope="module")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """The Python of an environment with these packages, made once; skips the test where they cannot be installed."""
    made: dict[tuple[str, ...], Path | str] = {}

    def make(packages: tuple[str, ...]) -> Path:
        if packages not in made:
            made[packages] = _environment(tmp_path_factory.mktemp("environment"), packages)
        python = made[packages]
        if isinstance(python, str):
            pytest.skip(f"cannot install {', '.join(packages)}: {python}")
        return python

    return make


def _environment(folder: Path, packages: tuple[str, ...]) -> Path | str:
    """The Python of a new environment with the packages, or why there is none."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    index = {"UV_DEFAULT_INDEX": os.environ["PIP_INDEX_URL"]} if os.environ.get("PIP_INDEX_URL") else {}
    # As pip does: behind a proxy with a certificate of its own, uv's built-in ones refuse every connection.
    uv = [sys.executable, "-m", "uv", "--quiet", "--system-certs"]
    for command in (
        [*uv, "venv", "--python", sys.executable, str(folder)],
        [*uv, "pip", "install", "--python", str(python), *packages],
    ):
        try:
            done = subprocess.run(
                command, env={**index, **os.environ}, capture_output=True, text=True, timeout=INSTALL_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"not done after {INSTALL_SECONDS} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["uv gave no reason"])[-1]
    return python


def drive(python: Path, program: str, address: str) -> dict[str, Any]:
    """What a program of benchmarks/clients saw of the server that it started as a process."""
    server = [sys.executable, "-m", "mcp_server", "--tracking-uri", address]
    done = subprocess.run(
        [str(python), str(DRIVERS / program), *server],
        capture_output=True,
        text=True,
        timeout=DRIVE_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("program", "packages"),
    [
        ("fastmcp_client.py", MCP_2),
        ("pydantic_ai_client.py", MCP_2),
        ("openai_agents_client.py", MCP_2),
        ("google_adk_client.py", MCP_2),
        ("langchain_client.py", MCP_1),
    ],
)
def test_a_library_converts_every_tool_with_all_arguments_and_calls_it(
    program: str,
    packages: tuple[str, ...],
    python_with: Callable[[tuple[str, ...]], Path],
    mlflow_server: str,
):
    """A converter that cannot read one schema drops the tool, an argument of it, or the whole list."""
    seen = drive(python_with(packages), program, mlflow_server)
    listed = {name: set(schema["properties"]) for name, schema in SCHEMAS.items()}
    assert {name: set(arguments) for name, arguments in seen["parameters"].items()} == listed
    assert "accuracy" in seen["found"] and "0.9" in seen["found"]
    assert "expected a whole number" in seen["refusal"]
    if "strict" in seen:  # The table of docs/compatibility.md, as OpenAI's own converter judges it.
        assert set(seen["strict"]) == {name for name, schema in SCHEMAS.items() if not without_strict_form(schema)}
