"""Start: how long a host waits for the first answers, and what a server at rest occupies.

An empty server on the same SDK is the floor. Both are started as child processes in turn, after one
start that is not counted (it leaves compiled bytecode), and spoken to in JSON lines through pipes: initialize,
tools/list, a tool, as hosts do.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from measure import OURS, Report, StdioServer, interleaved, median, mlflow_server, run

ROUNDS = 25
EMPTY = (sys.executable, "-m", "empty_server")


class Start(NamedTuple):
    initialized: float
    listed: float
    answered: float
    """Seconds from the start of the process."""
    cpu_initialized: float | None
    cpu_answered: float | None
    megabytes: float | None


def start(command: tuple[str, ...], tool: str, address: str) -> Start:
    with StdioServer(command, MLFLOW_TRACKING_URI=address) as server:
        initialized = server.initialize() - server.began
        cpu_initialized = server.cpu_seconds()
        listed, _ = server.receive(server.send("tools/list"))
        number = server.call(tool)
        arrived, result = server.receive(number)
        if result.get("isError"):
            raise RuntimeError(result["content"][0]["text"])
        times = (initialized, listed - server.began, arrived - server.began)
        return Start(*times, cpu_initialized, server.cpu_seconds(), server.memory())


def main() -> None:
    report = Report(f"start: ours against an empty server on the same SDK, medians of {ROUNDS} starts in turn")
    with mlflow_server() as address:

        def ours() -> Start:
            return start(OURS, "search_experiments", address)

        def empty() -> Start:
            return start(EMPTY, "ping", address)

        interleaved(1, ours, empty)
        mine, floor = interleaved(ROUNDS, ours, empty)
    for what, field, most in (
        ("start to initialize answered", "initialized", 1.3),
        ("start to tools/list answered", "listed", None),
        ("start to first tool answered (search_experiments over HTTP)", "answered", 1.5),
        ("CPU until initialize answered", "cpu_initialized", None),
        ("CPU until first tool answered", "cpu_answered", None),
    ):
        values = [[getattr(one, field) for one in some] for some in (mine, floor)]
        if None in values[0] + values[1]:
            report.note(what, "not measured: no /proc")
        else:
            report.add(what, median(values[0]), "s", reference=median(values[1]), most_ratio=most)
    if any(one.megabytes is None for one in mine + floor):
        report.note("memory at rest", "not measured: no /proc")
    else:
        megabytes = [median([one.megabytes for one in some]) for some in (mine, floor)]
        report.add("memory at rest after the first answer", megabytes[0], "MB", reference=megabytes[1], most=100)
    report.show()


if __name__ == "__main__":
    run(main)
