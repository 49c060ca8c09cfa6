"""MLflow's own server application inside this process: for databases and for mock mode.

The same handlers, validation and errors as an MLflow server, called as a WSGI function in worker
threads. mlflow takes 2 to 3 s to import, so that happens once, in the background.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from mcp_server.errors import TrackingServerError, UnreachableError
from mcp_server.mlflow_integration.entities import MetricSeries
from mcp_server.mlflow_integration.local import mlflow_internals, preparation, stored_curves, stored_runs
from mcp_server.mlflow_integration.local.environment import THREADS, prepare_environment
from mcp_server.mlflow_integration.local.open_reply import OpenReply, failed
from mcp_server.mlflow_integration.local.private_folder import PrivateFolder
from mcp_server.mlflow_integration.locate import LocalStore
from mcp_server.mlflow_integration.rest.fields import Json
from mcp_server.mlflow_integration.rest.transport import (
    OCTETS,
    RETRY_WAITS_SECONDS,
    Curve,
    CurveLimits,
    Encoded,
    Method,
    Params,
    Reply,
    StreamedReply,
    UploadBody,
    encoded,
    is_busy,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""MLflow waits 20 s for SQLite's lock and 30 s for a connection; a second wait would outlast the call."""


class InProcessTransport:
    """Carries requests to MLflow's application in this process.

    One local store at a time: MLflow keeps it in module globals. Transports for an equal store
    share it; for another one every request raises until all of them are closed.
    """

    def __init__(self, store: LocalStore, *, cache_dir: Path | None = None) -> None:
        self._store = store
        self._cache_dir = cache_dir
        self._limiter = CapacityLimiter(THREADS)
        self._closed = False

    def warm_up(self) -> None:
        """Begin importing mlflow and opening the store in the background; returns at once, never raises."""
        self._application()

    async def request(
        self,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
    ) -> Reply:
        """One call of the application; waits for the store to be open.

        An idempotent call is repeated, up to twice, while the database is locked or its connections are all in use,
        unless MLflow has waited for that itself.
        Cancelled before it began, a call is not carried out; later, it ends in its thread.

        Raises: UnreachableError: the store cannot be opened; the next request tries again.
        TrackingServerError: the application failed. InvalidInputError: text that is not Unicode.
        """
        asked = encoded(params, json, content, headers)
        for wait in RETRY_WAITS_SECONDS if idempotent else ():
            began = anyio.current_time()
            reply = await self._carry(method, path, asked)
            if not is_busy(reply) or anyio.current_time() - began > PATIENCE_SECONDS:
                return reply
            await anyio.sleep(wait)
        return await self._carry(method, path, asked)

    async def _carry(self, method: Method, path: str, asked: Encoded) -> Reply:
        abandoned = threading.Event()

        def carry() -> Reply:
            app = self._application().result()
            if abandoned.is_set():
                raise TrackingServerError("The caller has gone.", carried_out=False)
            return _call(app, method, path, asked)

        try:
            return await to_thread.run_sync(carry, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            abandoned.set()

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamedReply]:
        """One GET; each piece is read in a thread of its own, and what the application opened is closed at the end."""
        asked = encoded(params, None, None, headers)
        abandoned = threading.Event()

        def begin() -> OpenReply:
            reply = OpenReply(self._application().result(), path, asked)
            if abandoned.is_set():
                reply.close()
            return reply

        try:
            opened = await to_thread.run_sync(begin, abandon_on_cancel=True, limiter=self._limiter)
        except BaseException:
            abandoned.set()
            raise

        async def pieces() -> AsyncGenerator[bytes]:
            while piece := await to_thread.run_sync(opened.read, limiter=self._limiter):
                yield piece

        try:
            yield StreamedReply(opened.status, opened.headers, pieces())
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(opened.close)

    async def read_curves(
        self, curves: Sequence[Curve], limits: CurveLimits, steps: tuple[int, int] | None
    ) -> Mapping[Curve, MetricSeries] | None:
        """Curves from the database itself: exact, and a sample of a long one without reading it.

        None: the store is not a database, or its tables cannot be read; MLflow's own answer says why, if it fails too.
        """

        def read() -> Mapping[Curve, MetricSeries] | None:
            self._application().result()
            database = mlflow_internals.tracking_database()
            return None if database is None else stored_curves.read_curves(database, curves, limits, steps)

        return await to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._limiter)

    async def read_run_page(self, search: Mapping[str, Any]) -> Json | None:
        """Runs from an SQLite database itself; None for another store, or a search that is left to MLflow."""

        def read() -> Json | None:
            self._application().result()
            database = mlflow_internals.plain_sqlite_database()
            return None if database is None else stored_runs.read_page(database, search)

        return await to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._limiter)

    pages_path = ""
    takes_large_artifacts = True

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """One call of the application, which reads the body in its thread; cancelled at the next piece."""
        asked = encoded(params, None, None, OCTETS)

        def carry() -> Reply:
            return _call(self._application().result(), method, path, asked, body)

        return await to_thread.run_sync(carry, abandon_on_cancel=True, limiter=self._limiter)

    def close(self) -> None:
        """Release the store; the last one to do so removes a temporary store from the disk. Safe to call twice."""
        self._closed = True
        _leave(self)

    async def aclose(self) -> None:
        """The same, without holding up the event loop."""
        await to_thread.run_sync(self.close)

    def _application(self) -> Future[WSGIApplication]:
        if self._closed:
            return _refused("The server is shutting down; this request was not carried out.")
        return _join(self, self._store, self._cache_dir)


class _Opening:
    """The store of this process: being opened, open, or closed."""

    def __init__(self, store: LocalStore, cache_dir: Path | None) -> None:
        self.store = store
        self.users: WeakSet[InProcessTransport] = WeakSet()
        self._cache_dir = cache_dir
        self._folder: PrivateFolder | None = None
        self._closed = False
        self.start()

    def start(self) -> None:
        self.app: Future[WSGIApplication] = Future()
        threading.Thread(target=self._run, args=(self.app,), name="mlflow-opening", daemon=True).start()

    @property
    def failed(self) -> bool:
        return self.app.done() and self.app.exception() is not None

    def close(self) -> None:
        self._closed = True
        if not (self.store.temporary or self.store.read_only):
            return
        with _stores:
            # Windows removes no open file, and SQLite keeps a -wal file beside an open database.
            mlflow_internals.close_server_store()
            if self._folder is not None:
                self._folder.remove()

    def _run(self, outcome: Future[WSGIApplication]) -> None:
        try:
            outcome.set_result(self._open())
        except TrackingServerError as error:
            outcome.set_exception(error)
        except BaseException:
            logger.exception("MLflow could not be opened in this process")
            sentence = "MLflow could not open the store in this process; the log on stderr has the cause."
            outcome.set_exception(UnreachableError(sentence, carried_out=False))

    def _open(self) -> WSGIApplication:
        store, missing = self.store, preparation.missing_files(self.store)
        prepare_environment("server")
        app = mlflow_internals.import_server()
        with _stores:
            if self._closed:
                raise UnreachableError("The store was closed while it was being opened.", carried_out=False)
            if store.temporary:
                self._folder = self._folder or PrivateFolder()
                store, missing = preparation.temporary_store(self._folder)
            preparation.prepare_databases(store, missing, self._cache_dir)
            mlflow_internals.open_server_store(store)
        return app


_current: _Opening | None = None

_lock = threading.Lock()
"""Guards `_current` and its users; never held for long."""

_stores = threading.Lock()
"""Held while a store is opened or its files removed: a close in the middle of an opening leaves nothing behind."""


def _join(user: InProcessTransport, store: LocalStore, cache_dir: Path | None) -> Future[WSGIApplication]:
    """The application for this store, opened by the first who asks.

    A failed opening is tried again: the user may have started the database or upgraded its schema meanwhile.
    """
    global _current
    with _lock:
        if _current is None or not _current.users:
            if _current is not None:
                _current.close()  # Its users were dropped without closing.
            _current = _Opening(store, cache_dir)
        elif _current.store != store:
            return _refused(
                "This process already uses another local MLflow store, and MLflow supports only one at a time. "
                "Start a second server for the other."
            )
        elif _current.failed:
            _current.start()
        _current.users.add(user)
        return _current.app


def _refused(reason: str) -> Future[WSGIApplication]:
    future: Future[WSGIApplication] = Future()
    future.set_exception(UnreachableError(reason, carried_out=False))
    return future


def _leave(user: InProcessTransport) -> None:
    with _lock:
        if _current is None or user not in _current.users:
            return
        _current.users.discard(user)
        if not _current.users:
            _current.close()


@atexit.register
def _close_at_exit() -> None:
    if _current is not None:
        _current.close()


def _call(app: WSGIApplication, method: Method, path: str, asked: Encoded, upload: UploadBody | None = None) -> Reply:
    werkzeug: Any = import_module("werkzeug.test")
    builder = werkzeug.EnvironBuilder(
        path=path, method=method, query_string=asked.query, headers=dict(asked.headers), data=asked.body
    )
    environ = builder.get_environ()
    if upload is not None:
        environ |= {"wsgi.input": upload, "wsgi.input_terminated": True, "CONTENT_LENGTH": str(upload.size)}
    try:
        # Costs 40 µs more than a WSGI call written by hand, of 4,400 µs for the cheapest request (runs/get).
        chunks, status, found = werkzeug.run_wsgi_app(app, environ)
        try:
            body = b"".join(chunks)
        finally:
            if (close := getattr(chunks, "close", None)) is not None:
                close()
    except Exception:
        raise failed(f"{method} {path}") from None
    return Reply(int(status.split()[0]), {name.lower(): value for name, value in found}, body)
