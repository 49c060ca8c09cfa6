"""Artifacts: why a run failed, from a 50 MB log, and 300 MB up and down: time, and memory of the server's process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from measure import Report, StdioServer, mlflow_server, run, seconds

MEGABYTE = 1024**2
LOG_BYTES = 50 * MEGABYTE
FILE_BYTES = 300 * MEGABYTE
MOST_GROWTH = 8
"""Megabytes."""
TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 61, in main
    loss.backward()
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
"""


def main() -> None:
    report = Report(f"artifacts: a log of {LOG_BYTES // MEGABYTE} MB and a file of {FILE_BYTES // MEGABYTE} MB")
    for store in ("mock", "sqlite", "server"):
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="artifacts-"))
            _write_files(Path(folder))
            where = {
                "mock": {"MLFLOW_MOCK_MODE": "true"},
                "sqlite": {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/db"},
            }
            chosen = where.get(store) or {"MLFLOW_TRACKING_URI": stack.enter_context(mlflow_server())}
            variables = {**chosen, "MLFLOW_MCP_ALLOWED_FOLDERS": folder, "MLFLOW_MCP_TIMEOUT_SECONDS": "600"}
            server = stack.enter_context(StdioServer(**variables))
            server.initialize()
            _measure(report, store, server)
    report.show()


def _measure(report: Report, store: str, server: StdioServer) -> None:
    logged = server.ask("log_run", experiment="large", status="FAILED", files=["small.log", "small.bin"])
    run_id = logged["structuredContent"]["run_id"]

    def read(path: str, **part: Any) -> str:
        return str(server.ask("read_artifact", run=run_id, path=path, **part)["content"][0]["text"])

    def upload(path: str) -> None:
        server.ask("log_artifact", run=run_id, files=[path])

    for part in ({"tail": 5}, {"pattern": "Traceback"}, {}):  # What is imported or kept once.
        read("small.log", **part)
    server.ask("diagnose_run", run=run_id)
    server.ask("download_artifacts", run=run_id, to="down", path="small.bin")
    upload("train.log")

    def found(text: str) -> None:
        if "OutOfMemoryError" not in text:
            raise RuntimeError(f"the traceback is not in the answer: {text[:500]}")

    steps: list[tuple[str, Callable[[], None]]] = [
        ("tail=20 of the log", lambda: found(read("train.log", tail=20))),
        ('pattern="Traceback|Error" of the log', lambda: found(read("train.log", pattern="Traceback|Error"))),
        ("diagnose_run", lambda: found(str(server.ask("diagnose_run", run=run_id)))),
        ("upload of the file", lambda: upload("weights.bin")),
        (
            "download of the file",
            lambda: server.ask("download_artifacts", run=run_id, to="down", path="weights.bin") and None,
        ),
    ]
    for what, step in steps:
        before = _reset_peak(server)
        report.add(f"{store}: {what}", seconds(step), "s")
        growth = (_memory(server, "VmHWM") - before) / MEGABYTE
        report.add(f"{store}:   growth of memory", growth, "MB", most=MOST_GROWTH)


def _write_files(folder: Path) -> None:
    line = "2026-11-20 10:00:00 INFO step 123456 loss=0.1234\n"
    for name, size in (("small.log", MEGABYTE // 8), ("train.log", LOG_BYTES)):
        (folder / name).write_text(line * (size // len(line)) + TRACEBACK)
    for name, size in (("small.bin", 11 * MEGABYTE), ("weights.bin", FILE_BYTES)):
        with open(folder / name, "wb") as file:
            file.write(b"start")
            file.truncate(size)


def _reset_peak(server: StdioServer) -> int:
    """Makes the peak of the process what it uses now, and returns that in bytes."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    return _memory(server, "VmRSS")


def _memory(server: StdioServer, name: str) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    run(main)
