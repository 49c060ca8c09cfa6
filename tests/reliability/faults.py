"""Every fault of a tracking server against every tool: each call is answered in time, with a cause and a next step.

    python -m tests.reliability.faults

Prints one line per fault; exit status 1 when a call was late, unanswered or answered with something forbidden.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp.client import Client

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.reliability.faulty_server import FAULTS, faulty_server
from tests.reliability.verdict import Tally

DEADLINE_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 0.5
UNANSWERED_SECONDS: Final = 20.0
AT_ONCE: Final = 4
SLOW: Final = ("hangs", "slow headers", "slow body", "never ends")
"""Faults that take every call to its deadline."""

ARGUMENTS: Final[dict[str, Any]] = {
    "experiment": "churn",
    "experiments": ["churn"],
    "run": "0123456789abcdef0123456789abcdef",
    "runs": ["0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef"],
    "metric": "accuracy",
    "metrics": ["accuracy"],
    "name": "churn",
    "version": "1",
    "versions": ["1", "2"],
    "path": "notes.txt",
    "filter_string": "metrics.accuracy > 0.5",
    "param": "lr",
    "trace_id": "tr-1",
    "confirm_name": "churn",
}
"""Right arguments, so that every call reaches the tracking server."""


@dataclass
class Outcome:
    fault: str
    seconds: list[float] = field(default_factory=list[float])
    tally: Tally = field(default_factory=Tally)
    requests: int = 0

    @property
    def late(self) -> int:
        return sum(seconds > DEADLINE_SECONDS + GRACE_SECONDS for seconds in self.seconds)

    def line(self) -> str:
        middle, longest = statistics.median(self.seconds), max(self.seconds)
        return (
            f"{self.fault:14} {len(self.seconds):3} calls, {self.requests:4} requests failed, median {middle:5.2f} s, "
            f"longest {longest:5.2f} s, late {self.late}, forbidden {len(self.tally.faults)}"
        )


async def against(fault: str) -> Outcome:
    """Every tool once, against a server with this fault."""
    outcome = Outcome(fault)
    async with faulty_server(fault) as (address, requests):
        settings = Settings.load(
            tracking_uri=address, timeout_seconds=DEADLINE_SECONDS, confirm="never", toolsets="all", log_level="ERROR"
        )
        engine = open_engine(settings)
        gate = anyio.CapacityLimiter(AT_ONCE)
        try:
            async with Client(build_server(engine)) as client:

                async def call(tool: Any) -> None:
                    async with gate:
                        await _call(client, tool, outcome)

                async with anyio.create_task_group() as group:
                    for tool in (await client.list_tools()).tools:
                        group.start_soon(call, tool)
        finally:
            await engine.aclose()
        outcome.requests = len(requests)
    return outcome


async def _call(client: Client, tool: Any, outcome: Outcome) -> None:
    arguments = arguments_of(tool)
    began = time.perf_counter()
    with anyio.move_on_after(UNANSWERED_SECONDS) as scope:
        result = await client.call_tool(tool.name, arguments)
    outcome.seconds.append(time.perf_counter() - began)
    if scope.cancelled_caught:
        outcome.tally.fault("unanswered", tool.name, arguments)
        return
    text = "\n".join(getattr(part, "text", "") for part in result.content)
    outcome.tally.take(
        tool.name, arguments, error=bool(result.is_error), text=text, structured=result.structured_content
    )


def arguments_of(tool: Any) -> dict[str, Any]:
    """What the tool requires, and nothing else."""
    properties = tool.input_schema.get("properties", {})
    chosen = {name: ARGUMENTS.get(name, "text") for name in tool.input_schema.get("required", ())}
    if properties.get("metrics", {}).get("type") == "object" and "metrics" in chosen:
        chosen["metrics"] = {"accuracy": 0.9}
    return chosen


async def main() -> int:
    wrong = 0
    for fault in FAULTS:
        outcome = await against(fault)
        wrong += outcome.late + len(outcome.tally.faults) + (outcome.requests == 0)
        print(outcome.line(), *outcome.tally.faults[:5], sep="\n  ", flush=True)
    print(f"{wrong} calls were late, unanswered or wrongly answered")
    return 1 if wrong else 0


if __name__ == "__main__":
    logging.basicConfig(filename=os.devnull, level=logging.ERROR)
    sys.exit(anyio.run(main))
