"""A server process at work for a long time against a tracking server that loses 2 % of the requests.

    python -m tests.reliability.soak --minutes 60 --seed 1

Prints memory, open descriptors and threads of the process once a minute, and what they grew by from the first
quarter to the last. Exit status 1 when a call was unanswered or one of the three kept growing.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import SocketStream
from anyio.from_thread import start_blocking_portal

from benchmarks.measure import StdioServer, mlflow_server

LOST_SHARE: Final = 0.02
GROWTH_MB: Final = 10.0
"""Megabytes between the first and the last quarter that pass for noise of the allocator."""
REMEMBERED: Final = 200
"""Runs that later calls ask for again."""


@dataclass(frozen=True)
class Sample:
    minute: float
    memory_mb: float
    descriptors: int
    threads: int


class LossyProxy:
    """Passes bytes on to a tracking server, and closes a connection in place of passing on 2 % of what is sent."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self.lost = 0

    async def serve(self, client: SocketStream) -> None:
        server = await anyio.connect_tcp("127.0.0.1", self._port)
        async with client, server, anyio.create_task_group() as group:
            group.start_soon(self._pass_on, client, server, LOST_SHARE, group)
            group.start_soon(self._pass_on, server, client, 0.0, group)

    async def _pass_on(self, source: SocketStream, target: SocketStream, lost: float, group: Any) -> None:
        try:
            async for data in source:
                if self._chance.random() < lost:
                    self.lost += 1
                    break
                await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # One side has closed, which closes the other.
        group.cancel_scope.cancel()


@contextmanager
def lossy(address: str, chance: random.Random) -> Iterator[tuple[str, LossyProxy]]:
    """Address of the proxy before an MLflow server, and the proxy."""
    proxy = LossyProxy(int(address.rpartition(":")[2]), chance)

    async def listen(*, task_status: Any) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
            await listener.serve(proxy.serve)

    with start_blocking_portal() as portal:
        future, port = portal.start_task(listen)
        try:
            yield f"http://127.0.0.1:{port}", proxy
        finally:
            future.cancel()


def sample(process: subprocess.Popen[bytes], began: float) -> Sample:
    folder = Path(f"/proc/{process.pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return Sample(
        (time.monotonic() - began) / 60,
        int(status["VmRSS"].split()[0]) / 1024,
        len(list((folder / "fd").iterdir())),
        int(status["Threads"]),
    )


def work(server: StdioServer, chance: random.Random, runs: list[str], answers: Counter[str]) -> None:
    """One call of the kinds that an agent makes all day."""
    some = chance.choice(runs) if runs else "none"
    calls: dict[str, dict[str, Any]] = {
        "log_run": {
            "experiment": f"soak-{chance.randrange(5)}",
            "params": {"lr": chance.random()},
            "metrics": {"accuracy": chance.random(), "loss": [[step, chance.random()] for step in range(20)]},
            "idempotency_key": f"{chance.getrandbits(64):x}",
        },
        "search_runs": {"filter_string": "metrics.accuracy > 0.5", "order_by": ["metrics.accuracy DESC"]},
        "rank_runs": {"metric": "accuracy"},
        "get_run": {"run": some},
        "compare_runs": {"runs": [some, runs[0] if runs else "none"]},
        "get_metric_history": {"runs": [some], "metrics": ["loss"]},
        "search_models": {},
        "get_server_info": {},
    }
    tool = chance.choice(list(calls))
    _, result = server.receive(server.call(tool, **calls[tool]))
    answers["refused" if result.get("isError") else "answered"] += 1
    if tool == "log_run" and not result.get("isError"):
        runs.append(result["structuredContent"]["run_id"])
        del runs[:-REMEMBERED]


def growth(samples: list[Sample], name: str) -> float:
    """Median of the last quarter less that of the first, of which the warm-up is left out."""
    values = [float(getattr(one, name)) for one in samples]
    quarter = max(len(values) // 4, 1)
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter] or values[:quarter])


def soak(minutes: float, seed: int) -> int:
    chance, answers, runs, samples = random.Random(seed), Counter[str](), list[str](), list[Sample]()
    patience = minutes * 60 + 600
    variables = {"MLFLOW_MCP_TIMEOUT_SECONDS": "30"}
    with (
        mlflow_server() as address,
        lossy(address, chance) as (proxied, proxy),
        StdioServer(patience_seconds=patience, MLFLOW_TRACKING_URI=proxied, **variables) as server,
    ):
        server.initialize()
        began = next_sample = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            work(server, chance, runs, answers)
            if time.monotonic() >= next_sample:
                samples.append(sample(server.process, began))
                print(json.dumps(asdict(samples[-1])), flush=True)
                next_sample += 60 if minutes >= 10 else 5
    grown = {name: growth(samples, name) for name in ("memory_mb", "descriptors", "threads")}
    print(f"{sum(answers.values()):,} calls {dict(answers)}, {proxy.lost:,} requests lost; growth {grown}")
    flat = grown["memory_mb"] <= GROWTH_MB and grown["descriptors"] <= 2 and grown["threads"] <= 2
    print("flat" if flat else "NOT FLAT")
    return 0 if flat else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    print(f"soak of {chosen.minutes:g} minutes, seed {chosen.seed}", flush=True)
    sys.exit(soak(chosen.minutes, chosen.seed))


if __name__ == "__main__":
    main()
