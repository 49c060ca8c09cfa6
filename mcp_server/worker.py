"""Heavy computations in a separate process: scikit-learn and matplotlib neither slow a start nor block a call.

A request goes to `python -m mcp_server.worker <job>` as JSON on stdin, and the answer comes back on stdout. The process
ends with its answer, or with the call that waits for it: at its deadline, or when the client cancels it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.lowlevel import RunVar

from mcp_server.errors import MlflowToolError

JOBS: Final = {
    "explain": ("mcp_server.analysis.sweeps.forest", "explain"),
    "draw": ("mcp_server.drawing.charts", "draw"),
}
"""Function of each job; only the process that does the job imports its module."""
AT_ONCE: Final = 2
"""Processes at a time; each takes one processor and up to 200 MB."""

_MISSING_PACKAGE: Final = re.compile(r"ModuleNotFoundError: No module named '(numpy|scipy|sklearn|matplotlib|PIL)")

logger = logging.getLogger(__name__)
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("mcp_server.worker")


async def compute(job: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a job. Cancelling it ends the process.

    Raises: MlflowToolError: a package is not installed. RuntimeError: the process failed; its stderr is in the log.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        _limiter.set(limiter)
    async with limiter:
        # From the folder of this package: what lies in the folder the server was started in is never imported.
        done = await anyio.run_process(
            [sys.executable, "-m", __name__, job],
            input=json.dumps(request).encode(),
            check=False,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        if missing := _MISSING_PACKAGE.search(said):
            raise MlflowToolError(
                f"This needs the Python package {missing[1]}, which mlflow installs and mlflow-skinny does not."
            )
        logger.error("Job %s ended with %d: %s", job, done.returncode, said[-2_000:])
        raise RuntimeError(f"The process of the job {job} ended with {done.returncode}.")
    return json.loads(done.stdout)


def main() -> None:
    """Does one job, in the process made for it."""
    answers = os.fdopen(os.dup(1), "wb")
    # Libraries print; their text must not get into the answer.
    os.dup2(2, 1)
    module, function = JOBS[sys.argv[1]]
    answer = getattr(import_module(module), function)(json.load(sys.stdin.buffer))
    with answers:
        answers.write(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
