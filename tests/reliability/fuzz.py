"""Random calls of every tool: in memory, through a process over stdio, and against replies that are changed.

    python -m tests.reliability.fuzz --calls 100000 --seed 1
    python -m tests.reliability.fuzz --calls 5000 --stdio
    python -m tests.reliability.fuzz --calls 5000 --mutate
    python -m tests.reliability.fuzz --calls 5000 --server

With --server the calls go to a real `mlflow server`, over HTTP, through a proxy that changes half of its replies.
Prints the seed and what was counted; exit status 1 when any answer was one that may not be.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio
from mcp import MCPError
from mcp.client import Client

from benchmarks.measure import mlflow_server
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.conftest import Agent
from tests.reliability.arguments import arguments_for
from tests.reliability.mutations import MutatingTransport, mutating_proxy
from tests.reliability.store import fill
from tests.reliability.verdict import Tally

REFILL: Final = 500
"""Calls after which the store is filled again: deletions empty it bit by bit."""
DELETIONS: Final = 0.1
"""Share of the deletions that are chosen which are made."""
TIMEOUT_SECONDS: Final = 20
LINE_SECONDS: Final = 60

BROKEN_LINES: Final = (
    b"{",
    b"\xff\xfe\n",
    b"[]",
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
    b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
    b'{"jsonrpc":"2.0","id":7}',
    b'{"jsonrpc":"2.0","id":8,"method":"ping","params":{"a":"\\ud800"}}',
    b"[" * 5_000,
    b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"get_run","arguments":{"run":NaN}}}',
    b'{"jsonrpc":"2.0","id":10,"method":"nothing/such"}',
)
"""Lines that no client should send; the server must go on after each of them."""


async def in_memory(calls: int, seed: int, *, mutate: bool = False, tally: Tally | None = None) -> Tally:
    """Calls through the SDK's client in this process; `mutate` changes half of MLflow's replies."""
    tally, chance, done = tally or Tally(), random.Random(seed), 0
    while done < calls:
        engine = open_engine(_settings(mock_mode=True))
        try:
            async with Client(build_server(engine)) as client:
                await fill(Agent(client), engine)
            beneath = _over_mutations(engine, chance) if mutate else engine
            done += await _campaign(beneath, chance, tally, min(REFILL, calls - done))
        finally:
            engine.close()
    return tally


async def over_http(calls: int, seed: int) -> Tally:
    """Calls to an `mlflow server`, a new one at each refill, behind a proxy that changes half of its replies."""
    tally, chance, done = Tally(), random.Random(seed), 0
    while done < calls:
        # The proxy draws in threads of its own.
        beside = random.Random(chance.random())
        with mlflow_server() as address, mutating_proxy(address, beside) as (proxy, passed):
            engine, changed = (open_engine(_settings(tracking_uri=uri)) for uri in (address, proxy))
            try:
                async with Client(build_server(engine)) as client:
                    await fill(Agent(client), engine)
                done += await _campaign(changed, chance, tally, min(REFILL, calls - done))
            finally:
                await engine.aclose()
                await changed.aclose()
        print(f"{passed['changed']:,} of {passed['replies']:,} replies changed;", *tally.lines(), flush=True)
    return tally


def _settings(**where: Any) -> Settings:
    return Settings.load(confirm="never", toolsets="all", timeout_seconds=TIMEOUT_SECONDS, log_level="ERROR", **where)


async def _campaign(engine: Engine, chance: random.Random, tally: Tally, calls: int) -> int:
    async with Client(build_server(engine)) as client:
        tools = (await client.list_tools()).tools
        for _ in range(calls):
            tool = chance.choice(tools)
            if tool.name.startswith("delete") and chance.random() > DELETIONS:
                continue
            arguments = arguments_for(tool.input_schema, chance)
            await _one(client, tool.name, arguments, tally)
    return calls


async def _one(client: Client, tool: str, arguments: dict[str, Any], tally: Tally) -> None:
    try:
        with anyio.fail_after(TIMEOUT_SECONDS + 10):
            result = await client.call_tool(tool, arguments)
    except TimeoutError:
        tally.fault("unanswered", tool, arguments)
    except MCPError as error:
        tally.take(tool, arguments, error=True, text=str(error), structured=None)
    else:
        text = "\n".join(getattr(part, "text", "") for part in result.content)
        tally.take(tool, arguments, error=bool(result.is_error), text=text, structured=result.structured_content)


def _over_mutations(engine: Engine, chance: random.Random) -> Engine:
    transport = MutatingTransport(engine.transports[0], chance)
    mutated = engine_over(engine.location, engine.settings, transport, transport)
    return replace(mutated, transports=engine.transports)


def over_stdio(calls: int, seed: int) -> Tally:
    """Calls and broken lines through a process; every call must be answered and the process must live."""
    tally, chance = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        process = _process(Path(folder))
        host = _Host(process)
        host.initialize()
        tools = host.ask("tools/list", {})["result"]["tools"]
        for number in range(calls):
            if number % 50 == 0:
                host.write(chance.choice(BROKEN_LINES))
            tool = chance.choice(tools)
            arguments = _as_json(arguments_for(tool["inputSchema"], chance))
            message = host.ask("tools/call", {"name": tool["name"], "arguments": arguments})
            if message:
                result = message.get("result", {})
                error = "error" in message or bool(result.get("isError"))
                structured = result.get("structuredContent")
                tally.take(tool["name"], arguments, error=error, text=_text_of(message), structured=structured)
                continue
            tally.fault("unanswered", tool["name"], arguments)
            if process.poll() is not None:
                tally.fault(f"the process ended with status {process.returncode}", tool["name"], arguments)
                break
        process.kill()
        process.communicate()
    return tally


def _text_of(message: dict[str, Any]) -> str:
    if "error" in message:
        return message["error"]["message"]
    return "\n".join(part.get("text", "") for part in message["result"]["content"])


class _Host:
    """Writes lines, and finds the answer to each among what comes back."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._id = 1_000

    def initialize(self) -> None:
        client = {"name": "fuzz", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        run = {"experiment": "churn", "run_name": "baseline", "metrics": {"loss": [[0, 1], [1, 2]]}}
        self.ask("tools/call", {"name": "log_run", "arguments": run})

    def ask(self, method: str, params: Any) -> dict[str, Any]:
        """The answer; empty when none came in LINE_SECONDS or the process has ended."""
        self._id += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}).encode())
        bound = threading.Timer(LINE_SECONDS, self._process.kill)
        bound.start()
        try:
            for line in iter(self._process.stdout.readline, b""):  # type: ignore[union-attr]
                message = json.loads(line)
                if message.get("id") == self._id:
                    return message
            return {}
        finally:
            bound.cancel()

    def write(self, line: bytes) -> None:
        try:
            self._process.stdin.write(line.rstrip(b"\n") + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            return  # The next answer does not come, which is what is reported.


def _process(folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MLFLOW_MOCK_MODE": "true",
        "MLFLOW_MCP_CONFIRM": "never",
        "MLFLOW_MCP_TOOLSETS": "all",
        "MLFLOW_MCP_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "TMPDIR": str(folder),
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "mcp_server"],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
    )


def _as_json(value: Any) -> Any:
    """JSON knows no NaN and no infinity; a client sends the words."""
    if (isinstance(value, float) and value in (float("inf"), float("-inf"))) or value != value:
        return str(value)
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--mutate", action="store_true")
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--log", default=os.devnull, help="File for what the server logs.")
    chosen = parser.parse_args()
    logging.basicConfig(filename=chosen.log, level=logging.ERROR)
    way = "over stdio" if chosen.stdio else "against an MLflow server" if chosen.server else "in memory"
    changed = ", half of MLflow's replies changed" if chosen.mutate or chosen.server else ""
    print(f"fuzz {way}{changed}, seed {chosen.seed}", flush=True)
    if chosen.stdio:
        tally = over_stdio(chosen.calls, chosen.seed)
    elif chosen.server:
        tally = anyio.run(over_http, chosen.calls, chosen.seed)
    else:
        tally = anyio.run(_run_in_memory, chosen.calls, chosen.seed, chosen.mutate)
    print(*tally.lines(), sep="\n")
    sys.exit(1 if tally.faults else 0)


async def _run_in_memory(calls: int, seed: int, mutate: bool) -> Tally:
    return await in_memory(calls, seed, mutate=mutate)


if __name__ == "__main__":
    main()
