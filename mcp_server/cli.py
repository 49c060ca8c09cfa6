"""The command line: serve (the default), check, demo, run."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from pydantic import SecretStr

from mcp_server import __version__
from mcp_server.errors import MlflowToolError
from mcp_server.redaction import redacted_output, remember_variables
from mcp_server.settings import Settings, flag_of, variable_of

_DESCRIPTION = """\
MLflow for AI agents, over the Model Context Protocol.

Without a command it serves: an MCP host such as Claude Desktop starts it and communicates with it
over stdin and stdout. To see what it does, run the demo.
"""

_EPILOG = """\
Options take precedence over environment variables, and both over a .env file in the working folder. .env.example
and the README list every variable. Without --tracking-uri and MLFLOW_TRACKING_URI, the server uses mlflow.db
in the working folder, or if there is none, a private store in your user data folder.
"""

_COMMANDS = {
    "serve": "Serve MCP on stdin and stdout. This is the default.",
    "check": "Show which MLflow is used, why, whether it answers, and what it contains.",
    "demo": "Train three models and watch an agent search, compare, register and promote them, "
    "in a fresh store unless --tracking-uri is given.",
    "run": "Run a Python script that was written for MLflow 2: run train.py [arguments].",
}

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its status: 0 success, 1 failure, 2 wrong command line, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        # What follows belongs to the script, whose failures and exit status are its own.
        from mcp_server.commands.run_script import run_script

        sys.exit(run_script(given[1:]))
    # First of all: the command line itself may repeat a secret of the environment.
    remember_variables(os.environ)
    with redacted_output():
        status = _status(given)
    sys.exit(status)


def _status(given: Sequence[str]) -> int:
    chosen = vars(_parser().parse_args(given))
    command = chosen.pop("command") or "serve"
    try:
        settings = Settings.load(**chosen)
        logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        return _run(command, settings)
    except MlflowToolError as error:
        print(f"mcp-server-mlflow: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _run(command: str, settings: Settings) -> int:
    # Each command imports only what it needs: an MCP host waits while serve starts.
    if command == "demo":
        from mcp_server.commands.demo import demo

        return demo(settings)
    if command == "check":
        from mcp_server.commands.check import check

        return check(settings)
    # Imported modules stay: looking for garbage among them is 7 % of the start. serve turns collection on again.
    gc.disable()
    from mcp_server.stdio import serve

    return serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = _SentenceParser("mcp-server-mlflow", description=_DESCRIPTION, usage="%(prog)s [command] [options]")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    _add_options(parser, default=None)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, usage=f"mcp-server-mlflow {name} [options]")
        # Options may stand before or after the command; those after it must not reset those before it.
        _add_options(command, default=argparse.SUPPRESS)
    return parser


class _SentenceParser(argparse.ArgumentParser):
    """Keeps the line breaks of our own text, takes no abbreviations, and reports a mistake in one sentence."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        layout = partial(argparse.RawDescriptionHelpFormatter, max_help_position=29)
        super().__init__(
            *arguments, **named, epilog=_EPILOG, formatter_class=layout, allow_abbrev=False, add_help=False
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"mcp-server-mlflow: {message}. `mcp-server-mlflow --help` lists commands and options.\n")


def _add_options(parser: argparse.ArgumentParser, default: Any) -> None:
    """A flag for every setting but secrets, which other users of the machine would see in the list of processes."""
    options = parser.add_argument_group("options")
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, SecretStr):
            continue
        meaning = (field.description or "").removeprefix("true: ")
        text = f"{meaning[0].upper()}{meaning[1:]} Variable: {variable_of(name)}.".replace("%", "%%")
        if field.annotation is bool:
            options.add_argument(flag_of(name), action="store_true", default=default, help=text)
        else:
            metavar = name.rpartition("_")[2].upper()
            options.add_argument(flag_of(name), metavar=metavar, default=default, help=text)
    version = f"mcp-server-mlflow {__version__}"
    options.add_argument("--version", action="version", version=version, help="Show the version.")
    options.add_argument("--help", "-h", action="help", help="Show this text.")
