"""Runs the core of the test suite against the lowest MLflow that pyproject.toml promises, in an environment of its own.

    python benchmarks/lowest_mlflow.py [--folder FOLDER] [VERSION]

The core is what touches MLflow's private functions and the wire: stores in this process, the whole
workflow on all three stores, the registry, and the Python API.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parent.parent
CORE = (
    "tests/test_in_process.py",
    "tests/test_workflow.py",
    "tests/test_registry.py",
    "tests/test_malformed_replies.py",
    "tests/tracker/test_tracker.py",
    "tests/tracker/test_compat.py",
)

NEWEST_ONLY = ("--deselect", "tests/test_in_process.py::test_the_shipped_template_is_small_and_of_the_installed_mlflow")
"""The schema template that is shipped is that of the newest MLflow; any other is migrated once."""


def promised() -> str:
    """The lowest version that satisfies the requirement in pyproject.toml."""
    match = re.search(r'"mlflow>=([\d.]+)', (TOP / "pyproject.toml").read_text())
    assert match
    return match[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "lowest-mlflow")
    parser.add_argument("version", nargs="?", default=promised())
    chosen = parser.parse_args()
    version = chosen.version if chosen.version.count(".") == 2 else f"{chosen.version}.0"
    folder = chosen.folder / version
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        wanted = [f"mlflow=={version}", "-e", f"{TOP}[dev]", "scikit-learn", "cryptography"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    shown = "import mlflow, sqlalchemy, sys; print(mlflow.__version__, sqlalchemy.__version__, sys.version.split()[0])"
    versions = subprocess.run([python, "-c", shown], capture_output=True, text=True, check=True).stdout.split()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=TOP, capture_output=True, text=True, check=False
    )
    print("MLflow {}, SQLAlchemy {}, Python {}".format(*versions) + f", commit {commit.stdout.strip()}", flush=True)
    status = 0
    for path in CORE:
        command = [python, "-m", "pytest", "-q", "-o", "addopts=", "--no-header", "--tb=line", path, *NEWEST_ONLY]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
        status = status or done.returncode
        lines = done.stdout.strip().splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        print(f"{path}: {lines[-1] if lines else done.stderr[-200:]}", *failed, sep="\n  ", flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
