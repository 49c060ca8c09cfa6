"""The server as a host runs it: a process that speaks through its stdin and stdout, and that ends when told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.conftest import Agent, free_port

BOUND_SECONDS = 60
"""After it a process that should have answered or ended is killed, and the test fails."""


class Host:
    """Speaks to the server line by line, in the older protocol era, and sees every byte."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._ids = 0

    def send(self, method: str, **params: Any) -> int:
        """Sends a request; gives its id."""
        self._ids += 1
        self._write({"id": self._ids, "method": method, "params": params})
        return self._ids

    def initialize(self, revision: str = "2025-11-25") -> None:
        client = {"name": "test", "version": "1"}
        self.send("initialize", protocolVersion=revision, capabilities={}, clientInfo=client)
        assert "result" in self.answer()
        self._write({"method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> int:
        return self.send("tools/call", name=tool, arguments=arguments)

    def answer(self) -> dict[str, Any]:
        """The next message of the server."""
        return json.loads(self.process.stdout.readline())  # type: ignore[union-attr]

    def _write(self, message: dict[str, Any]) -> None:
        self.write_line(json.dumps({"jsonrpc": "2.0", **message}))

    def write_line(self, line: str) -> None:
        self.process.stdin.write(line + "\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]


@contextmanager
def hosted(*arguments: str, temporary: Path | None = None, **variables: str) -> Iterator[Host]:
    """A server process with a host; `temporary` is where it makes temporary folders."""
    environment = {**os.environ, **variables, **({"TMPDIR": str(temporary)} if temporary else {})}
    command = [sys.executable, "-m", "mcp_server", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        bound = threading.Timer(BOUND_SECONDS, process.kill)
        bound.start()
        try:
            yield Host(process)
        finally:
            bound.cancel()
            process.kill()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listening socket that never answers: the tracking server that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(BOUND_SECONDS)
        yield listener


def _uri(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _client(*arguments: str, era: str = "auto") -> Client:
    command = ["-m", "mcp_server", *arguments]
    return Client(StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ)), mode=era)


ENDS: dict[str, Callable[[Host], None]] = {
    "stdin ends": lambda host: host.process.stdin.close(),  # type: ignore[union-attr]
    "SIGTERM": lambda host: host.process.send_signal(signal.SIGTERM),
    "SIGINT": lambda host: host.process.send_signal(signal.SIGINT),
    "stdout is closed": lambda host: host.process.stdout.close(),  # type: ignore[union-attr]
}


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> Callable[[Host], None]:
    """A way in which a host lets go of a server."""
    return ENDS[request.param]


def _assert_ended_quietly(host: Host) -> None:
    assert host.process.wait(BOUND_SECONDS) == 0
    assert host.process.stderr.read() == ""  # type: ignore[union-attr]


def test_an_idle_server_ends_with_its_host_quietly(end: Callable[[Host], None]):
    """Status 0 and nothing on stderr, whichever way the host goes."""
    with hosted("--tracking-uri", f"http://127.0.0.1:{free_port()}") as host:
        host.initialize()
        end(host)
        _assert_ended_quietly(host)


def test_a_server_with_a_call_stuck_ends_with_its_host_quietly(end: Callable[[Host], None], silent: socket.socket):
    """A tracking server that accepts and never answers does not hold the process, however long a call may take."""
    with hosted("--tracking-uri", _uri(silent), MLFLOW_MCP_TIMEOUT_SECONDS="3600") as host:
        host.initialize()
        host.call("search_runs")
        connection, _ = silent.accept()
        with connection:
            end(host)
            _assert_ended_quietly(host)


@pytest.mark.parametrize("how", ["SIGTERM", "stdout is closed"])
def test_the_private_folder_of_mock_mode_is_gone_afterwards(how: str, tmp_path: Path):
    """The ends that run no cleanup of Python's own still leave nothing behind."""
    with hosted("--mock-mode", temporary=tmp_path) as host:
        host.initialize()
        host.call("log_run", experiment="churn", artifacts={"a.txt": "a"})
        assert "result" in host.answer()
        assert [path.name for path in tmp_path.glob("*/mlflow.db")] == ["mlflow.db"]
        ENDS[how](host)
        _assert_ended_quietly(host)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_json_rpc_is_written_to_stdout(tmp_path: Path):
    """Not while MLflow is imported, makes its store and runs either; and the private folder is gone at the end."""
    with hosted("--mock-mode", temporary=tmp_path) as host:
        host.initialize()
        asked = [host.send("tools/list"), host.call("log_run", experiment="churn", metrics={"loss": 0.5})]
        asked += [host.send("ping"), host.call("search_runs", experiments=["nowhere"])]
        answered = [host.answer() for _ in asked]
        rest, errors = host.process.communicate(timeout=BOUND_SECONDS)
    assert {answer["id"] for answer in answered} == set(asked)
    assert all(answer["jsonrpc"] == "2.0" and "result" in answer for answer in answered)
    assert (rest, errors, host.process.returncode) == ("", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_other_calls_go_on_while_one_hangs(silent: socket.socket):
    """tools/list, ping and a second call that reaches MLflow are answered while MLflow holds the first."""
    unknown = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}'
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(unknown)
    with hosted("--tracking-uri", _uri(silent)) as host:
        host.initialize()
        stuck = host.call("search_runs")
        held, _ = silent.accept()
        with held:
            later = [host.send("tools/list"), host.send("ping"), host.call("get_run", run="a" * 32)]
            served, _ = silent.accept()
            with served:
                assert b"runs/get" in served.recv(65_536)
                served.sendall(head + unknown)
                answered = [host.answer() for _ in later]
    assert {answer["id"] for answer in answered} == set(later)
    assert stuck not in later


async def test_a_tracking_server_that_is_down_is_a_sentence():
    """The server starts, lists its tools, and says what to do about MLflow."""
    async with _client("--tracking-uri", f"http://127.0.0.1:{free_port()}") as client:
        sentence = await Agent(client).refusal("search_runs")
        assert (await client.list_tools()).tools
    assert "the connection was refused" in sentence
    assert 'Start one with "mlflow server"' in sentence


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The URI of an SQLite store and the id of a run in it that logged a model."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    script = Path(__file__).parent / "log_model.py"
    command = [sys.executable, str(script), uri, "0.9", "model"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return uri, result.stdout.split()[-1]


async def test_the_whole_workflow_over_stdio(era: str, trained: tuple[str, str]):
    """Log, search, compare, read a curve, register and promote: in both protocol eras, on real MLflow."""
    uri, model_run = trained
    name = f"churn-{era}"
    async with _client("--tracking-uri", uri, era=era) as client:
        agent = Agent(client)
        runs = [
            (
                await agent.ask(
                    "log_run",
                    experiment=name,
                    run_name=f"lr {lr}",
                    params={"lr": lr},
                    metrics={"accuracy": 0.8 + lr, "loss": [[step, 1 / (1 + step * lr)] for step in range(30)]},
                )
            )["run_id"]
            for lr in (0.05, 0.1)
        ]
        found = await agent.rows("search_runs", experiments=[name], filter_string="metrics.accuracy > 0.87")
        compared = await agent.ask("compare_runs", runs=runs)
        curve = await agent.ask("get_metric_history", runs=[runs[1]], metrics=["loss"], max_points=5)
        ranked = await agent.rows("rank_runs", metric="accuracy", experiments=[name])
        version = (await agent.ask("register_model", name=name, run=model_run))["version"]
        promoted = await agent.ask("promote_model", name=name, version=version, gates=["metrics.accuracy >= 0.9"])
        refused = await agent.ask(
            "promote_model", name=name, version=version, alias="best", gates=["metrics.accuracy > 0.95"]
        )
        model = await agent.ask("get_model", name=name)
    assert [row["run_id"] for row in found] == [runs[1]]
    assert [row["run_id"] for row in ranked] == [runs[1], runs[0]]
    assert compared["params"]["rows"] == [["lr", "0.05", "0.1"]]
    assert curve["rows"][0][curve["columns"].index("points")] == 30
    assert (promoted["promoted"], refused["promoted"]) == (True, False)
    assert model["aliases"] == {"champion": version}
