"""MLflow reports to nobody while this server uses it, with nothing set in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

IN_MOCK_MODE = """
import anyio
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.settings import Settings

async def main():
    engine = open_engine(Settings.load(mock_mode=True))
    await engine.api.create_experiment("churn", {})
    await engine.aclose()

anyio.run(main)
"""

IN_A_SCRIPT = """
import mcp_server.mlflow_integration as integration
integration.get_mlflow_tracker("churn", mock_mode=True)
"""

ASKED = """
from mlflow.telemetry.utils import is_telemetry_disabled
import threading
print(is_telemetry_disabled(), [thread.name for thread in threading.enumerate() if "elemetry" in thread.name])
"""


def _run(code: str, folder: Path) -> str:
    """Output of a process without the variables of this test session."""
    silencing = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("code", [IN_MOCK_MODE, IN_A_SCRIPT])
def test_telemetry_is_off_by_default(code: str, tmp_path: Path):
    """After a call that MLflow would report; in a process where MLflow alone would have it on."""
    assert _run(ASKED, tmp_path).startswith("False"), "MLflow reports where nobody turned it off"
    assert _run(code + ASKED, tmp_path).splitlines()[-1] == "True []"
