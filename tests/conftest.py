"""Shared by all tests: MLflow three ways, and an MCP client in both protocol eras."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest
from mcp.client import Client

from mcp_server import completions
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.log_model import log_models

# The same examples in every run, however busy the machine: a suite that fails at random is not read any more.
# tests/reliability/fuzz.py looks for new ones.
hypothesis.settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

SERVER_START_SECONDS = 90
"""Longest wait for `mlflow server`; it imports mlflow twice on a machine that may be busy."""


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No variable, .env or store of whoever runs the tests reaches them."""
    kept = dict(os.environ)
    here = Path.cwd()
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_MCP_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
    os.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    os.chdir(here)
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(autouse=True)
def _patient_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not empty a list of values: a completion answers with nothing when its time is up."""
    monkeypatch.setattr(completions, "WAIT_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def _no_variables_of_another_test() -> Iterator[None]:
    """MLflow keeps the store and the experiment that a script chose in the process and in the environment."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    yield
    for setter in ("set_tracking_uri", "set_registry_uri"):
        if choose := getattr(sys.modules.get("mlflow"), setter, None):
            choose(None)
    if fluent := sys.modules.get("mlflow.tracking.fluent"):
        fluent._active_experiment_id = None  # What mlflow.set_experiment chose; MLflow has no way to take it back.
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real `mlflow server` on a free loopback port."""
    folder = tmp_path_factory.mktemp("server")
    address = f"http://127.0.0.1:{free_port()}"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
                *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--artifacts-destination", str(folder / "art")),
                # Names of the guides beside those that it knows by itself.
                *("--allowed-hosts", "127.0.0.1:*,localhost:*,mlflow-server:*,mlflow-prod:*"),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **os.environ,
                # An MLflow opened in this process turns off the check of host names, for itself.
                "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
                # Eight more processes, each of which imports MLflow; no test uses them.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
        )
    try:
        _wait_for_health(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # It takes seconds to say goodbye, and nothing of it is kept.
        process.wait(20)


def _wait_for_health(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    # httpx2 retries the connection itself, so nothing here sleeps; its pauses double: 8 of them last 2 minutes.
    transport = httpx2.HTTPTransport(retries=8)
    with httpx2.Client(transport=transport, timeout=SERVER_START_SECONDS) as client:
        try:
            client.get(f"{address}/health").raise_for_status()
        except httpx2.HTTPError as error:
            raise AssertionError(f"mlflow server did not start ({process.poll()}): {log.read_text()}") from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["mock", "sqlite", "server"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The same MLflow three ways; every test that takes it runs on each."""
    yield from _opened(request.param, request, tmp_path)


@pytest.fixture
def mock_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """MLflow in mock mode: a store of its own for every test."""
    yield from _opened("mock", request, tmp_path)


def _opened(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if kind == "mock":
        settings = Settings.load(mock_mode=True)
    elif kind == "sqlite":
        settings = Settings.load(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    else:
        settings = Settings.load(tracking_uri=request.getfixturevalue("mlflow_server"))
    one = open_engine(settings)
    yield one
    one.close()


@pytest.fixture
def name() -> Callable[[str], str]:
    """Makes names that no other test uses: the `mlflow server` is shared by all of them."""
    suffix = uuid.uuid4().hex[:8]
    return lambda stem: f"{stem}-{suffix}"


class Agent:
    """An MCP client that reads answers the way an agent does."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structured half of an answer that must be one."""
        result = await self.client.call_tool(tool, arguments)
        text = result.content[0].text  # type: ignore[union-attr]
        assert not result.is_error, text
        assert result.structured_content is not None
        return result.structured_content

    async def rows(self, tool: str, /, **arguments: Any) -> list[dict[str, Any]]:
        """A table as one mapping per row."""
        table = await self.ask(tool, **arguments)
        return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]

    async def text(self, tool: str, /, **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error
        return result.content[0].text  # type: ignore[union-attr]

    async def refusal(self, tool: str, /, **arguments: Any) -> str:
        """The sentence of an answer that must be an error."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.content
        assert result.structured_content is None
        return result.content[0].text  # type: ignore[union-attr]


Connect = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture(params=["auto", "legacy"], ids=["2026-07-28", "2025-11-25"])
def era(request: pytest.FixtureRequest) -> str:
    """Protocol era of the client."""
    return request.param


@asynccontextmanager
async def connect(engine: Engine, era: str = "auto", *, closes: bool = True, client: Any = None, **settings: Any):
    """An agent connected in memory. Opened inside the test: a fixture that yields inside a Client fails at teardown.

    `closes` gives up the engine's connections at the end; `client` are further arguments of the Client.
    """
    chosen = engine.settings.model_copy(update=settings)
    server = build_server(replace(engine, settings=chosen))
    async with Client(server, mode=era, **(client or {})) as connected:
        yield Agent(connected)
    if not closes:
        return
    for transport in engine.transports:
        await transport.aclose()


@pytest.fixture
def logged_model() -> Callable[..., str]:
    """Logs a small real scikit-learn model through MLflow's own client; gives the id of its run."""

    def log(
        engine: Engine,
        *,
        accuracy: float = 0.9,
        names: tuple[str, ...] = ("model",),
        labels: tuple[int, int] = (0, 1),
    ) -> str:
        # MLflow writes the URI into the environment, where the next Settings would find it.
        with pytest.MonkeyPatch.context() as patch:
            for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                patch.setenv(variable, "")
            return log_models(store_uri(engine), accuracy, names, labels)

    return log


def store_uri(engine: Engine) -> str:
    """URI by which MLflow's own client opens the store of an engine; a mock store is opened if it is not yet."""
    if engine.location.kind != "mock":
        return engine.location.tracking_uri
    from mlflow.server import handlers

    return handlers._get_tracking_store().db_uri  # type: ignore[attr-defined]


def predicted(engine: Engine, version: str) -> list[int]:
    """What a version (`name@alias` or `name/1`) that MLflow itself loads predicts for [[0.0], [1.0]]."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(variable, "")
        mlflow.set_tracking_uri(store_uri(engine))
        mlflow.set_registry_uri(store_uri(engine))
        model = mlflow.pyfunc.load_model(f"models:/{version}")
        return [int(value) for value in model.predict([[0.0], [1.0]])]
