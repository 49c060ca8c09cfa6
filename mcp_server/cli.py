"""The command line: serve (the default), check, demo."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from mcp_server import __version__
from mcp_server.errors import MlflowToolError
from mcp_server.settings import Settings

_DESCRIPTION = """\
MLflow for AI agents, over the Model Context Protocol.

Without a command it serves: an MCP host such as Claude Desktop starts it and speaks to it through
stdin and stdout. Flags win over environment variables, those over a .env file in the working folder.
"""

_EPILOG = """\
Which MLflow: --tracking-uri or MLFLOW_TRACKING_URI; else mlflow.db in the working folder; else a private store.
Every variable is listed in .env.example and in the README.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit status: 0 well, 1 not, 2 for a command line that is wrong."""
    chosen = vars(_parser().parse_args(arguments))
    command = chosen.pop("command") or "serve"
    try:
        settings = Settings.load(**chosen)
        logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        status = _run(command, settings)
    except MlflowToolError as error:
        print(f"mcp-server-mlflow: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _run(command: str, settings: Settings) -> int:
    # Each command imports what it needs: an MCP host waits for serve and for nothing else.
    if command == "demo":
        from mcp_server.demo import demo

        return demo(settings)
    if command == "check":
        from mcp_server.check import check

        return check(settings)
    from mcp_server.stdio import serve

    return serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mcp-server-mlflow",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mcp-server-mlflow {__version__}")
    _add_flags(parser, default=None)
    commands = parser.add_subparsers(dest="command", metavar="command")
    for name, help_text in (
        ("serve", "Speak MCP on stdin and stdout (the default)."),
        ("check", "Say which MLflow is used, why, whether it answers, and what it holds."),
        ("demo", "Train three models, log them, and let an MCP client search, compare, register and promote them."),
    ):
        # Flags may stand before or after the command; those after it must not reset those before it.
        _add_flags(commands.add_parser(name, help=help_text, description=help_text), default=argparse.SUPPRESS)
    return parser


def _add_flags(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument("--tracking-uri", default=default, help="MLflow to use (MLFLOW_TRACKING_URI).")
    parser.add_argument("--registry-uri", default=default, help="Model registry elsewhere (MLFLOW_REGISTRY_URI).")
    parser.add_argument(
        "--mock-mode", action="store_true", default=default, help="A private MLflow that is gone at exit (MLFLOW_MOCK_MODE)."
    )
    parser.add_argument(
        "--read-only", action="store_true", default=default, help="Offer no tool that changes anything (MLFLOW_MCP_READ_ONLY)."
    )
    parser.add_argument("--toolsets", default=default, help="Toolsets to offer, comma separated (MLFLOW_MCP_TOOLSETS).")
    parser.add_argument(
        "--timeout-seconds", default=default, help="Longest time of one call (MLFLOW_MCP_TIMEOUT_SECONDS)."
    )
    parser.add_argument("--log-level", default=default, help="DEBUG, INFO, WARNING or ERROR (MLFLOW_MCP_LOG_LEVEL).")
