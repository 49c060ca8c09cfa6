"""Serving over stdin and stdout, and ending cleanly: at the end of stdin, at a signal, when the host stops reading."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final, NoReturn, cast

import anyio
from mcp.server.stdio import stdio_server

from mcp_server import __version__
from mcp_server.batches import Batches
from mcp_server.protocol import ProtocolServer
from mcp_server.server import build_server
from mcp_server.settings import Settings
from mcp_server.stdin_lines import StdinLines, claim_stdin
from mcp_server.trackers import Trackers, open_trackers

_GRACE_SECONDS: Final = 2.7
"""Time for running calls to finish once the server is told to end; then the process ends in any case."""


def serve(settings: Settings) -> NoReturn:
    """Serves until stdin ends or a signal comes, then ends the process.

    Raises: SettingsError: before anything is served.
    """
    trackers = open_trackers(settings)
    server = build_server(trackers)
    gc.freeze()
    gc.enable()
    if sys.stdin.isatty():
        _greet(trackers)
    _end_when_nobody_reads(trackers)

    async def until_told() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_end_at_signal, group.cancel_scope, trackers)
            await _serve_stdio(server)
            _end_soon(trackers)
            group.cancel_scope.cancel()

    try:
        anyio.run(until_told)
    except BaseException as error:
        if not _nobody_reads(error):
            raise
    _end(trackers)


async def _serve_stdio(server: ProtocolServer) -> None:
    lines = StdinLines(claim_stdin())
    async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (receiving, sending):
        lines.replies, lines.batches = sending, Batches(sending)
        await server.serve_streams(receiving, lines.batches)


async def _end_at_signal(scope: anyio.CancelScope, trackers: Trackers) -> None:
    if sys.platform == "win32":  # Windows has no signal receiver; Ctrl-C arrives as KeyboardInterrupt.
        return
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            _end_soon(trackers)
            scope.cancel()
            return


def _end_when_nobody_reads(trackers: Trackers) -> None:
    """Ends the process when the host closes our stdout, which a blocked read of stdin would never notice."""
    if not hasattr(select, "poll"):  # Windows; there the next answer fails, and the end of stdin follows.
        return
    watched = select.poll()
    # No events are requested, so poll reports only that the other end is gone.
    watched.register(os.dup(sys.stdout.fileno()), 0)

    def wait() -> None:
        watched.poll()
        _end(trackers)

    threading.Thread(target=wait, daemon=True, name="stdout watch").start()


def _end_soon(trackers: Trackers) -> None:
    timer = threading.Timer(_GRACE_SECONDS, _end, [trackers])
    timer.daemon = True
    timer.start()


def _end(trackers: Trackers) -> NoReturn:
    """Ends the process now. A thread inside MLflow cannot be stopped, and a host does not wait for it."""
    trackers.close()
    logging.shutdown()
    os._exit(0)


def _nobody_reads(error: BaseException) -> bool:
    """Whether this only means that the host is gone: a broken pipe, or Ctrl-C."""
    # An exception group, which Python 3.10 has only from a package.
    if inner := cast("Sequence[BaseException]", getattr(error, "exceptions", ())):
        return all(map(_nobody_reads, inner))
    return isinstance(
        error, BrokenPipeError | anyio.BrokenResourceError | anyio.ClosedResourceError | KeyboardInterrupt
    )


def _greet(trackers: Trackers) -> None:
    places = [tracker.engine.location for tracker in trackers.all]
    print(
        f"mcp-server-mlflow {__version__} speaks the Model Context Protocol on stdin and stdout for an MCP host.\n"
        + "".join(f"MLflow: {where.shown_uri} ({where.why}).\n" for where in places)
        + "Try `mcp-server-mlflow check` or `mcp-server-mlflow demo`; `--help` lists everything. Ctrl-C ends it.",
        file=sys.stderr,
    )
