"""MLflow's own server application inside this process: for databases and for mock mode.

The same handlers, validation and errors as an MLflow server, called as a WSGI function in worker
threads. mlflow takes 2 to 3 s to import, so that happens once, in the background.
"""

from __future__ import annotations

import atexit
import gc
import io
import json as json_module
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast
from urllib.parse import unquote_to_bytes, urlencode
from weakref import WeakSet

from anyio import CapacityLimiter, to_thread

from mcp_server.errors import TrackingServerError, UnreachableError
from mcp_server.mlflow_integration.local import database_checks as database
from mcp_server.mlflow_integration.local import schema_template as template
from mcp_server.mlflow_integration.local.environment import THREADS, prepare_environment
from mcp_server.mlflow_integration.local.private_folder import PrivateFolder
from mcp_server.mlflow_integration.locate import LocalStore, sqlite_path
from mcp_server.mlflow_integration.rest.transport import Method, Params, Reply

logger = logging.getLogger(__name__)


class _Application(Protocol):
    """A WSGI application."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object], /) -> Iterable[bytes]: ...


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

        `idempotent` changes nothing: a call in process is carried out or raises, none is sent twice.
        Cancelled before it began, it is not carried out; later, it ends in its thread.

        Raises: UnreachableError: the store cannot be opened; the next request tries again.
        TrackingServerError: the application failed.
        """
        environ = _environ(method, path, params, json, content, headers or {})
        abandoned = threading.Event()

        def carry() -> Reply:
            app = self._application().result()
            if abandoned.is_set():
                raise TrackingServerError("The caller has gone.", carried_out=False)
            return _call(app, environ)

        try:
            return await to_thread.run_sync(carry, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            abandoned.set()

    def close(self) -> None:
        """Give the store up; the last one to do so removes a temporary store from the disk. Safe to call twice."""
        self._closed = True
        _leave(self)

    async def aclose(self) -> None:
        """The same, without holding up the event loop."""
        await to_thread.run_sync(self.close)

    def _application(self) -> Future[_Application]:
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
        self.app: Future[_Application] = Future()
        threading.Thread(target=self._run, args=(self.app,), name="mlflow-opening", daemon=True).start()

    @property
    def failed(self) -> bool:
        return self.app.done() and self.app.exception() is not None

    def close(self) -> None:
        self._closed = True
        if not self.store.temporary:
            return
        with _stores:
            if self._folder is not None:
                _release_connections()
                self._folder.remove()

    def _run(self, outcome: Future[_Application]) -> None:
        try:
            outcome.set_result(self._open())
        except TrackingServerError as error:
            outcome.set_exception(error)
        except BaseException:
            logger.exception("MLflow could not be opened in this process")
            sentence = "MLflow could not open the store in this process; the log on stderr has the cause."
            outcome.set_exception(UnreachableError(sentence, carried_out=False))

    def _open(self) -> _Application:
        new = self._new_files()
        prepare_environment()
        with _importing:
            server = _import_server()
        with _stores:
            if self._closed:
                raise UnreachableError("The store was closed while it was being opened.", carried_out=False)
            store = self.store
            if store.temporary:
                self._folder = self._folder or PrivateFolder()
                uri = f"sqlite:///{(self._folder.path / 'mlflow.db').as_posix()}"
                store = LocalStore(uri, uri, str(self._folder.path / "artifacts"), temporary=True)
                new = {self._folder.path / "mlflow.db"}
            self._prepare_databases(store, new)
            _initialize(store)
        return server.app

    def _new_files(self) -> set[Path]:
        """SQLite files that have yet to be made; before the import, because a wrong path is an answer in itself."""
        paths = {sqlite_path(uri) for uri in (self.store.tracking_uri, self.store.registry_uri)} - {None}
        return {path for path in cast(set[Path], paths) if database.is_new_sqlite(path, read_only=self.store.read_only)}

    def _prepare_databases(self, store: LocalStore, new: set[Path]) -> None:
        for path in new:
            statements = template.schema_statements(template.head_revision(), self._cache_dir)
            try:
                template.create_database(path, statements)
            except sqlite3.Error as error:
                raise database.unusable(path, "cannot be written.") from error
        for uri in {store.tracking_uri, store.registry_uri}:
            path = sqlite_path(uri)
            if path not in new and "://" in uri:
                database.check_schema(uri)
                if path is not None and not store.read_only:
                    database.ensure_statistics(path)


_current: _Opening | None = None

_lock = threading.Lock()
"""Guards `_current` and its users; never held for long."""

_importing = threading.Lock()
"""Held while mlflow is imported: two threads inside its circular imports get half a module."""

_stores = threading.Lock()
"""Held while a store is opened or its files removed: a close in the middle of an opening leaves nothing behind."""


def _join(user: InProcessTransport, store: LocalStore, cache_dir: Path | None) -> Future[_Application]:
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
                "This process already works with another local MLflow store, and MLflow holds only one at a time. "
                "Start a second server for the other."
            )
        elif _current.failed:
            _current.start()
        _current.users.add(user)
        return _current.app


def _refused(reason: str) -> Future[_Application]:
    future: Future[_Application] = Future()
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


def _import_server() -> Any:
    if "mlflow.server" in sys.modules:
        return import_module("mlflow.server")  # Waits for a thread that is still importing it.
    # runs/search looks for the login application on every call and filters by its users when the extra is
    # installed. Nobody logs in here; saying so saves 0.4 s of the first search, in 3.17.
    cast(dict[str, ModuleType | None], sys.modules).setdefault("mlflow.server.auth", None)
    collecting = gc.isenabled()
    # A million objects that all stay: looking through them for garbage is 18 % of the start.
    gc.disable()
    try:
        return import_module("mlflow.server")
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _initialize(store: LocalStore) -> None:
    handlers: Any = import_module("mlflow.server.handlers")
    # A second initialisation is silently ignored while these hold the store of the first; whoever
    # had that has closed it.
    handlers._tracking_store = handlers._model_registry_store = handlers._artifact_repo = None
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    _serve_proxied_artifacts(store)
    try:
        handlers.initialize_backend_stores(store.tracking_uri, store.registry_uri, store.artifact_root)
    finally:
        # MLflow tells its child processes through the environment; there the URI would pass for the user's setting.
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve_proxied_artifacts(store: LocalStore) -> None:
    """Let `mlflow-artifacts:` locations be read: what an MLflow server on the same file wrote.

    Such a server keeps them in `mlartifacts` of the folder it was started in, unless told otherwise.
    """
    constants: Any = import_module("mlflow.server.constants")
    path = sqlite_path(store.tracking_uri)
    destination = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or (path and str(path.parent / "mlartifacts"))
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true" if destination else "false"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = str(destination or "")


def _release_connections() -> None:
    """Close the pooled connections: Windows removes no open file."""
    handlers = sys.modules.get("mlflow.server.handlers")
    for name in ("_tracking_store", "_model_registry_store"):
        if (store := getattr(handlers, name, None)) is not None:
            store.engine.dispose()


def _environ(
    method: str, path: str, params: Params | None, json: Any, content: bytes | None, headers: Mapping[str, str]
) -> dict[str, Any]:
    body = content or b""
    content_type = "application/octet-stream"
    if json is not None:
        body = json_module.dumps(json, allow_nan=False).encode()
        content_type = "application/json"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # WSGI carries the decoded bytes of a path as Latin-1 text.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": urlencode(params or {}, doseq=True),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": content_type,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ


def _call(app: _Application, environ: dict[str, Any]) -> Reply:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    body = io.BytesIO()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], int]:
        started.append((status, headers))
        return body.write

    try:
        chunks = app(environ, start_response)
        try:
            for chunk in chunks:
                body.write(chunk)
        finally:
            if (close := getattr(chunks, "close", None)) is not None:
                close()
    except Exception:
        what = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        logger.exception("MLflow failed at %s", what)
        raise TrackingServerError(f"MLflow failed inside this process at {what}; the log on stderr has why.") from None
    status, headers = started[-1]
    return Reply(int(status.split()[0]), {name.lower(): value for name, value in headers}, body.getvalue())
