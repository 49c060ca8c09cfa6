"""A reply of MLflow's application whose body is read in pieces."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcp_server.errors import TrackingServerError
from mcp_server.mlflow_integration.rest.transport import STREAM_PIECE, Encoded

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger(__name__)


class OpenReply:
    """One call of a WSGI application; its body waits to be read."""

    def __init__(self, app: WSGIApplication, path: str, asked: Encoded) -> None:
        """Raises: TrackingServerError: the application failed."""
        self._what = f"GET {path}"
        werkzeug: Any = import_module("werkzeug.test")
        builder = werkzeug.EnvironBuilder(path=path, query_string=asked.query, headers=dict(asked.headers))
        try:
            self._body, status, headers = werkzeug.run_wsgi_app(app, builder.get_environ())
        except Exception:
            raise failed(self._what) from None
        self._pieces: Iterator[bytes] = iter(self._body)
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}

    def read(self) -> bytes:
        """The next STREAM_PIECE bytes or a little more; nothing at the end. The application gives 8 KiB at a time."""
        piece = bytearray()
        try:
            while len(piece) < STREAM_PIECE and (part := next(self._pieces, None)) is not None:
                piece += part
        except Exception:
            raise failed(self._what) from None
        return bytes(piece)

    def close(self) -> None:
        if (close := getattr(self._body, "close", None)) is not None:
            close()


def failed(what: str) -> TrackingServerError:
    """Logs the exception that is being handled, and gives the error to raise instead."""
    logger.exception("MLflow failed at %s", what)
    return TrackingServerError(f"MLflow failed inside this process at {what}; the log on stderr has the cause.")
