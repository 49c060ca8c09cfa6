"""One block in a forked process: its prelude, its text, and a check of what it did."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from . import given
from .requests import BLOCK, Request, Result, prepare


def run(request: Request) -> Result:
    """Run a block here; the process is not good for anything afterwards."""
    given.begin()
    os.environ.update(request.environment)
    sys.path.insert(0, "")
    prepare(request)
    os.chdir(request.folder)
    given.map_hosts(request.hosts)
    if request.quick:
        _infer_no_requirements()
    if request.compat:
        import mcp_server.mlflow_integration.compat  # noqa: F401
    # As when it is pasted into a script; the checks see what it leaves.
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in request.parts:
        try:
            exec(compile(part.code, f"<{part.kind} {request.name}>", "exec"), names)
        except BaseException as error:
            ours = "mcp_server" in sys.modules
            return Result(False, _sentence(error), traceback.format_exc(), ours, broken=part.kind != BLOCK)
    return Result(True, ours="mcp_server" in sys.modules)


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"


def _infer_no_requirements() -> None:
    """MLflow starts an interpreter for every model to see what it imports: 3 s each, and not what the blocks test."""
    import mlflow.models

    mlflow.models.infer_pip_requirements = lambda *_, fallback=None, **__: fallback
