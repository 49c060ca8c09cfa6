"""Heavy computations in a process of their own: bounded, cancelled with their call, and silent on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

import mcp_server
from mcp_server import worker
from mcp_server.errors import MlflowToolError

JOB = """
import os, sys, time

def noisy(request):
    print("a library says hello")
    os.write(1, b"and so does C code")
    return {"doubled": request["n"] * 2}

def unable(request):
    import sklearn.no_such_module

def crash(request):
    raise ValueError("broken on purpose")

def slow(request):
    with open(request["pipe"], "w") as pipe:
        print("begun", file=pipe, flush=True)
        time.sleep(600)
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with jobs, known to the server and to the processes it starts."""
    (tmp_path / "jobs_for_tests.py").write_text(JOB)
    start = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(mcp_server.__file__).parent.parent)!r}]; "
        "from mcp_server import worker; "
        "names = ('noisy', 'crash', 'slow', 'unable'); "
        "worker.JOBS.update({name: ('jobs_for_tests', name) for name in names}); worker.main()"
    )
    run_process = anyio.run_process

    async def started(command: list[str], **options: object) -> object:
        assert command[:3] == [sys.executable, "-m", "mcp_server.worker"]
        return await run_process([sys.executable, "-c", start, command[3]], **options)  # type: ignore[arg-type]

    monkeypatch.setattr(anyio, "run_process", started)
    return tmp_path


async def test_what_libraries_print_does_not_reach_the_answer(jobs: Path):
    assert await worker.compute("noisy", {"n": 21}) == {"doubled": 42}


async def test_a_job_that_fails_is_an_error_with_its_reason_in_the_log(jobs: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(RuntimeError, match="The process of the job crash ended with 1"):
        await worker.compute("crash", {})
    assert "ValueError: broken on purpose" in caplog.text


async def test_a_missing_package_is_named(jobs: Path):
    with pytest.raises(MlflowToolError, match="needs the Python package sklearn, which mlflow installs"):
        await worker.compute("unable", {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
async def test_cancelling_a_call_ends_its_process(jobs: Path):
    """The job sleeps for ten minutes, with a pipe open that only its end closes."""
    pipe = jobs / "pipe"
    os.mkfifo(pipe)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.compute, "slow", {"pipe": str(pipe)})
            reader = await anyio.open_file(pipe)
            assert await reader.readline() == "begun\n"
            group.cancel_scope.cancel()
        assert await reader.read() == ""
        await reader.aclose()


def test_nothing_is_imported_from_the_folder_the_server_was_started_in(tmp_path: Path):
    """A file called json.py or numpy.py lies where a host starts the server."""
    for name in ("json", "numpy", "mcp_server", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p] + [{str(Path(mcp_server.__file__).parent.parent)!r}]\n"
        "import anyio\nfrom mcp_server.worker import compute\n"
        "answer = anyio.run(compute, 'explain', {'y': list(range(12)), "
        "'columns': [{'kind': 'number', 'numbers': list(range(12))}]})\n"
        "import json; print(json.dumps(answer))"
    )
    done = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if sys.version_info >= (3, 11):
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["chosen"][0]["column"] == 0
