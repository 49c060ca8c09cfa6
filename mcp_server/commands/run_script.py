"""The `run` command: a script written for MLflow 2, on MLflow 3, with not a line of it changed."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

USAGE = """\
usage: mcp-server-mlflow run train.py [arguments]
       mcp-server-mlflow run -m package.module [arguments]

Run a Python script as `python` would, with code written for MLflow 2 adapted to MLflow 3. Each adaptation is
logged once, with MLflow's replacement. In the script itself this line does the same, before MLflow is imported:

    import mcp_server.mlflow_integration.compat
"""

WRONG_COMMAND_LINE = 2


def run_script(arguments: Sequence[str]) -> int:
    """Run a script, or with `-m` a module, as `__main__`. Returns: the exit status; what the script raises passes."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else WRONG_COMMAND_LINE
    is_module = arguments[0] == "-m"
    if is_module and len(arguments) == 1:
        print("mcp-server-mlflow: `run -m` needs the name of a module.", file=sys.stderr)
        return WRONG_COMMAND_LINE
    if not is_module and not Path(arguments[0]).is_file():
        print(f"mcp-server-mlflow: there is no script {arguments[0]} in {Path.cwd()}.", file=sys.stderr)
        return WRONG_COMMAND_LINE
    import_module("mcp_server.mlflow_integration.compat")
    if is_module:
        sys.argv = list(arguments[1:])
        sys.path.insert(0, "")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        _run_file(Path(arguments[0]))
    return 0


def _run_file(script: Path) -> None:
    # As `python train.py` does it; what models and workers pickle belongs to `__main__` until the process ends.
    sys.path.insert(0, str(script.resolve().parent))
    main = ModuleType("__main__")
    main.__file__ = str(script)
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    exec(compile(script.read_bytes(), str(script), "exec"), main.__dict__)
