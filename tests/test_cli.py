"""The command line as a person meets it: help, check, the demo, and mistakes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from mcp_server import __version__
from mcp_server.cli import _parser
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.mlflow_integration.local.mlflow_internals import close_server_store
from mcp_server.settings import Settings
from tests.conftest import free_port

BOUND_SECONDS = 120


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`mcp-server-mlflow` with its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "mcp_server", *arguments],
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        cwd=cwd,
    )


@pytest.fixture
def nowhere() -> str:
    """Address of a tracking server that is down."""
    return f"http://127.0.0.1:{free_port()}"


def test_the_console_script_is_the_module():
    """`mcp-server-mlflow` and `python -m mcp_server` are one command."""
    script = Path(sys.executable).with_name("mcp-server-mlflow")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=BOUND_SECONDS)
    assert (said.returncode, said.stdout) == (0, f"mcp-server-mlflow {__version__}\n")
    assert run("--version").stdout == said.stdout


def test_help_describes_every_command_and_option_in_sentences():
    """Each text begins with a capital letter and ends with a full stop."""
    parser = _parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = [action.help for action in parser._actions if action is not commands]
    texts += [choice.help for choice in commands._choices_actions]
    assert len(texts) > len(commands.choices) >= 3
    assert [text for text in texts if not (text and text[0].isupper() and text.endswith("."))] == []


@pytest.mark.parametrize("arguments", [["chekc"], ["--no-such-option"], ["check", "--tracking-uri"]])
def test_a_wrong_command_line_is_answered_in_one_line(arguments: list[str]):
    """Status 2, what was wrong, and where to look."""
    said = run(*arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.count("\n") == 1
    assert "--help" in said.stderr


@pytest.mark.parametrize("command", ["serve", "check", "demo"])
def test_a_variable_with_a_bad_value_is_named(command: str):
    """One sentence on stderr and status 1, before anything is started."""
    said = run(command, MLFLOW_MCP_TIMEOUT_SECONDS="soon")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("mcp-server-mlflow: MLFLOW_MCP_TIMEOUT_SECONDS is 'soon': ")
    assert said.stderr.count("\n") == 1


def test_an_unknown_toolset_stops_the_server_with_a_sentence():
    """The closest toolset is named."""
    said = run("--toolsets", "rnus")
    assert (said.returncode, said.stdout) == (1, "")
    assert "'rnus', which is not a toolset. Closest: runs." in said.stderr


def test_check_creates_nothing(tmp_path: Path):
    """On a machine where nothing is set up: the person's private store, which is not there yet, and status 0."""
    data = tmp_path / "data"
    said = run("check", cwd=tmp_path, MLFLOW_MCP_DATA_DIR=str(data))
    which, why, missing, tools = said.stdout.splitlines()
    assert which == f"MLflow: sqlite:///{data}/mlflow.db"
    assert "a private one is used" in why
    assert missing.startswith("It does not exist yet: the server creates it")
    assert tools.startswith("The server offers ")
    assert (said.returncode, said.stderr) == (0, "")
    assert not data.exists()


def test_check_says_what_a_store_holds_and_leaves_it_as_it_is(tmp_path: Path):
    """No statistics, no artifact folder, no changed byte."""
    path = tmp_path / "mlflow.db"
    engine = open_engine(Settings.load(tracking_uri=f"sqlite:///{path}"))
    anyio.run(engine.api.version)
    engine.close()
    close_server_store()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    said = run("check", "--tracking-uri", f"sqlite:///{path}")
    _, _, version, contents, tools = said.stdout.splitlines()
    assert version.startswith("It answers: MLflow 3.")
    assert contents == "It holds 1 experiment and 0 registered models."
    assert tools.startswith("The server offers ")
    assert (said.returncode, said.stderr) == (0, "")
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    assert after["mlflow.db"] == before["mlflow.db"]
    assert set(after) <= set(before)


def test_check_says_why_mlflow_does_not_answer(nowhere: str):
    """Status 1, the reason and the remedy, and no traceback."""
    said = run("check", "--tracking-uri", nowhere)
    assert said.returncode == 1
    assert "given by the flag --tracking-uri" in said.stdout
    assert f"No MLflow answers at {nowhere}: the connection was refused." in said.stdout
    assert said.stderr == ""


def test_check_reports_an_unknown_toolset(nowhere: str):
    """What would stop the server is found by check too."""
    said = run("check", "--tracking-uri", nowhere, "--toolsets", "rnus")
    assert said.returncode == 1
    assert "'rnus', which is not a toolset" in said.stdout


def test_the_demo_runs_through_and_keeps_its_store(tmp_path: Path):
    """In a pipe: no escape codes, nothing on stderr, and at the end how to go on with what it made."""
    said = run("demo", TMPDIR=str(tmp_path), MLFLOW_TRACKING_URI="http://somebody.example", MLFLOW_MCP_READ_ONLY="true")
    assert (said.returncode, said.stderr) == (0, "")
    assert "\x1b" not in said.stdout
    for tool in ("search_runs", "compare_runs", "get_metric_history", "rank_runs", "register_model", "promote_model"):
        assert f"> {tool} {{" in said.stdout
    promoted, refused = (line for line in said.stdout.splitlines() if line.startswith("   promoted: "))
    assert (promoted.split(), refused.split()) == (["promoted:", "true"], ["promoted:", "false"])
    (store,) = tmp_path.glob("*/mlflow.db")
    assert f"server --backend-store-uri sqlite:///{store}" in said.stdout
    host = json.loads(said.stdout.splitlines()[-1])["mcpServers"]["mlflow"]
    assert host["env"] == {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    assert os.access(host["command"], os.X_OK)


def test_the_demo_stops_with_a_sentence_when_a_step_fails(nowhere: str):
    """Status 1 and the server's own sentence."""
    said = run("demo", "--tracking-uri", nowhere)
    assert said.returncode == 1
    assert said.stderr.startswith(f"The demo stopped. No MLflow answers at {nowhere}: the connection was refused.")
    assert said.stderr.count("\n") == 1


def test_the_demo_refuses_to_write_where_it_must_not(nowhere: str):
    """Read-only mode holds for the demo as well when it is pointed at somebody's MLflow."""
    said = run("demo", "--tracking-uri", nowhere, "--read-only")
    assert (said.returncode, said.stdout) == (1, "")
    assert "read-only" in said.stderr
