"""The `demo` command: what an agent does with MLflow, step by step, on real models.

It starts the server as an MCP host does and reads MLflow only through the server's tools. A separate
training script trains and logs the models.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO, cast

import anyio
from anyio import to_thread
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mcp_server.commands.demo_training import EPOCHS
from mcp_server.mlflow_integration.locate import locate
from mcp_server.settings import Settings, variable_of

_ID: Final = 8
"""Characters of a run id in calls: tools accept shortened ids, and short lines are easier to read."""


class DemoError(Exception):
    """A step failed; the text is a sentence for the person who watches."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The MLflow that the demo works with, and the environment that points its processes there."""

    shown_uri: str
    """Without credentials."""
    name: str
    """Name of the experiment and of the registered model that the demo creates."""
    environment: dict[str, str]
    folder: Path | None
    """The demo's own fresh folder; None when a person named another MLflow."""


def demo(settings: Settings) -> int:
    """Trains three models and works with them through an MCP client, in a fresh store or at --tracking-uri.

    Returns: the exit status: 0, or 1 with a sentence on stderr when a step failed.
    """
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            place = _place(settings)
            anyio.run(_run, console, place, log)
        except BaseException as error:
            cause = _innermost(error)
            if not isinstance(cause, DemoError | MCPError | OSError):
                raise cause from error
            print(f"The demo stopped. {_sentence(cause, log)}", file=sys.stderr)
            return 1
    _say_how_to_go_on(console, place)
    return 0


def _place(settings: Settings) -> _Place:
    """The MLflow given on the command line, else a new one in its own folder.

    Raises: DemoError: the server is read-only.
    """
    if settings.tracking_uri and settings.origin("tracking_uri").startswith("the flag"):
        if settings.read_only:
            raise DemoError("It logs runs and registers models, and the server is set to read-only.")
        location = locate(settings)
        # MLflow's client, in the training script, takes minutes to give up on a server that does not answer.
        environment = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", **os.environ}
        told = {"tracking_uri": location.tracking_uri, "mock_mode": "false", "toolsets": "all"}
        environment |= {variable_of(name): value for name, value in told.items()}
        # An earlier demo may have used the name without the time.
        return _Place(location.shown_uri, f"digits-{datetime.now():%Y%m%d-%H%M%S}", environment, None)
    folder = Path(tempfile.mkdtemp(prefix="mcp-server-mlflow-demo-"))
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    # Settings for another MLflow, credentials above all, must not apply here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {variable_of("tracking_uri"): uri, variable_of("data_dir"): str(folder)}
    return _Place(uri, "digits", environment, folder)


async def _run(console: Console, place: _Place, log: TextIO) -> None:
    console.print("[bold]What an AI agent does with MLflow[/], on real models, in less than a minute.")
    console.print("Each [cyan]call[/] is sent by an MCP client to this server; its answer is shown below it.")
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_server"], env=place.environment, cwd=place.folder
    )
    async with AsyncExitStack() as stack:
        with console.status("Starting the server"):
            client = await stack.enter_async_context(Client(stdio_client(server, errlog=log)))
        await _work(_Stage(console, client), place, log)


class _Stage:
    """Shows each step: a heading, the call as an agent makes it, and the text of the answer."""

    def __init__(self, console: Console, client: Client) -> None:
        self.console = console
        self._client = client
        self._steps = 0

    def heading(self, text: str) -> None:
        self._steps += 1
        self.console.print(f"\n[bold]{self._steps}. {text}[/]")

    async def ask(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structured half of the answer. Raises: DemoError: it is an error."""
        _say(self.console, f"> {tool} {json.dumps(arguments)}", style="cyan")
        with self.console.status(tool):
            result = await self._client.call_tool(tool, arguments)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        if result.is_error:
            raise DemoError(f"{tool} answered: {text}")
        _say(self.console, text)
        return result.structured_content or {}


async def _work(stage: _Stage, place: _Place, log: TextIO) -> None:
    stage.heading("Which MLflow is this?")
    info = await stage.ask("get_server_info")
    if not info["answers"]:
        raise DemoError(info["problem"])

    stage.heading("A training script logs three classifiers of handwritten digits, with curves and models")
    run_ids = await to_thread.run_sync(_train, stage.console, place, log)

    stage.heading("Which of them reach an accuracy above 0.9?")
    columns = ["metrics.accuracy", "params.model", "params.learning_rate", "duration"]
    await stage.ask("search_runs", experiments=[place.name], filter_string="metrics.accuracy > 0.9", columns=columns)

    stage.heading("How do they differ?")
    await stage.ask("compare_runs", runs=list(run_ids.values()))

    stage.heading("Did the network keep improving, or did it overfit?")
    await stage.ask("get_metric_history", runs=[run_ids["network"]], metrics=["train_loss", "val_loss"], max_points=8)

    stage.heading("Which is the best?")
    ranking = await stage.ask("rank_runs", metric="accuracy", experiments=[place.name])
    best, second = (row[ranking["columns"].index("run_id")][:_ID] for row in ranking["rows"][:2])

    stage.heading("Register the best, and make it champion if it passes the gates")
    version = await stage.ask("register_model", name=place.name, run=best)
    gates = ["metrics.accuracy >= 0.95", "metrics.val_loss < 0.25"]
    await _promote(stage, version, gates, expected=True)

    stage.heading("A challenger that is not clearly better is not promoted")
    version = await stage.ask("register_model", name=place.name, run=second)
    await _promote(stage, version, ["metrics.accuracy > champion + 0.005"], expected=False)


async def _promote(stage: _Stage, version: dict[str, Any], gates: Sequence[str], *, expected: bool) -> None:
    name, number = version["name"], version["version"]
    answer = await stage.ask("promote_model", name=name, version=number, alias="champion", gates=gates)
    if answer["promoted"] is not expected:
        raise DemoError(f"Version {number} should {'' if expected else 'not '}have been promoted.")


def _train(console: Console, place: _Place, log: TextIO) -> dict[str, str]:
    """Runs the training script. Returns: shortened ids of its runs, by name.

    Raises: DemoError: it failed.
    """
    command = [sys.executable, "-W", "ignore", "-m", "mcp_server.commands.demo_training", place.name]
    run_ids: dict[str, str] = {}
    with (
        _progress(console) as progress,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=place.environment, cwd=place.folder
        ) as process,
    ):
        task = progress.add_task("Starting MLflow", total=None)
        assert process.stdout is not None
        for line in process.stdout:
            report = json.loads(line)
            name = report["run"]
            if "run_id" not in report:
                progress.update(task, description=f"Training {name}", total=EPOCHS, completed=report["epoch"])
                continue
            run_ids[name] = report["run_id"][:_ID]
            _say(console, f"{name:8} recognizes {report['accuracy']:.1%} of the test digits")
    if process.returncode:
        raise DemoError(f"The training script failed: {_last_line(log)}")
    return run_ids


def _progress(console: Console) -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _say(console: Console, text: str, style: str = "") -> None:
    """Prints text indented; the rest of a line that the terminal breaks is indented further."""
    width = console.width if console.is_terminal else sys.maxsize
    for line in text.splitlines():
        shown = textwrap.fill(line, width, initial_indent="   ", subsequent_indent="     ", break_on_hyphens=False)
        console.print(shown, style=style, markup=False)


def _say_how_to_go_on(console: Console, place: _Place) -> None:
    console.print("\n[bold]Everything is kept. To continue:[/]")
    if place.folder:
        _say(console, "To open it in the MLflow UI at http://127.0.0.1:5000, run:")
        console.print(f"{_for_shell('mlflow')} server --backend-store-uri {place.shown_uri}", markup=False)
    else:
        _say(console, f"The experiment and the model at {place.shown_uri} are called {place.name}.")
    _say(console, "To connect Claude Desktop to it (Settings, Developer, Edit Config; then restart it), add:")
    server = {"command": _installed("mcp-server-mlflow"), "env": {variable_of("tracking_uri"): place.shown_uri}}
    console.print(json.dumps({"mcpServers": {"mlflow": server}}), markup=False)


def _installed(script: str) -> str:
    """Full path of a command of this installation: hosts do not have the PATH of a person's shell."""
    return shutil.which(script, path=str(Path(sys.executable).parent)) or shutil.which(script) or script


def _for_shell(script: str) -> str:
    path = _installed(script)
    return script if shutil.which(script) == path else shlex.quote(path)


def _innermost(error: BaseException) -> BaseException:
    """The error itself: the client's task groups wrap whatever passes through them."""
    while inner := cast("Sequence[BaseException]", getattr(error, "exceptions", ())):
        error = inner[0]
    return error


def _sentence(error: BaseException, log: TextIO) -> str:
    if isinstance(error, MCPError):
        return f"The server does not answer ({error}). {_last_line(log)}".strip()
    return str(error)


def _last_line(log: TextIO) -> str:
    """The last line that the server or the training script wrote to stderr; of a traceback, the error."""
    log.seek(0)
    return next((line.strip() for line in reversed(log.readlines()) if line.strip()), "")
