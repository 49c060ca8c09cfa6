"""The functions of MLflow that it does not document, each behind one of ours; they exist alike in MLflow 3.10 to 3.17.

No other module imports such a function, so only this one changes when MLflow moves one. Every function
imports mlflow when it is called: set the environment first.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from mcp_server.mlflow_integration.local.artifact_files import guarded, receiving
from mcp_server.mlflow_integration.locate import LocalStore
from mcp_server.mlflow_integration.locate.uris import sqlite_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_URI_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")

_ARTIFACT_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""Where MLflow's client looks for the artifact root of a database that it opens itself; 3.17 has no argument for it."""


_importing = threading.Lock()
"""Held while mlflow is imported: two threads inside its circular imports get half a module."""


# The schema of a database


def latest_schema_revision() -> str:
    """Schema revision that the installed MLflow works with; 45 ms after the import."""
    return _database_utils()._get_latest_schema_revision()


def schema_revision(engine: Any) -> str | None:
    """Revision of the database behind an SQLAlchemy engine; None for one without."""
    return _database_utils()._get_schema_version(engine)


def known_schema_revisions() -> frozenset[str]:
    """Every revision that the installed MLflow can upgrade from."""
    alembic: Any = import_module("alembic.script")
    script = alembic.ScriptDirectory.from_config(_database_utils()._get_alembic_config(""))
    return frozenset(revision.revision for revision in script.walk_revisions())


def create_engine(uri: str) -> Any:
    """An SQLAlchemy engine with the pool and the settings that MLflow uses."""
    return _database_utils().create_sqlalchemy_engine(uri)


def migrated_schema() -> list[str]:
    """The SQL of an empty database as MLflow's own migrations make it, in memory: no disk is waited for; about 2 s."""
    sqlalchemy: Any = import_module("sqlalchemy")
    pool: Any = import_module("sqlalchemy.pool")
    # One connection for all: every connection to :memory: is a database of its own.
    engine = sqlalchemy.create_engine("sqlite://", poolclass=pool.StaticPool)
    try:
        _database_utils()._initialize_tables(engine)
        with engine.connect() as connection:
            dump: sqlite3.Connection = connection.connection.driver_connection
            return [line for line in dump.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
    finally:
        engine.dispose()


def _database_utils() -> Any:
    return import_module("mlflow.store.db.utils")


# The server application


def import_server() -> WSGIApplication:
    """MLflow's Flask application. It has no store until `open_server_store`."""
    with _importing:
        return _import_server()


def _import_server() -> WSGIApplication:
    if "mlflow.server" in sys.modules:
        return import_module("mlflow.server").app
    # runs/search looks for the login application on every call and filters by its users when the extra is
    # installed. Nobody logs in here; saying so saves 0.4 s of the first search, in 3.17.
    cast("dict[str, ModuleType | None]", sys.modules).setdefault("mlflow.server.auth", None)
    collecting = gc.isenabled()
    # A million objects that all stay: looking through them for garbage is 18 % of the start.
    gc.disable()
    try:
        return import_module("mlflow.server").app
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def open_server_store(store: LocalStore) -> None:
    """Gives the application its store, in place of the previous one, which its user has closed."""
    handlers: Any = import_module("mlflow.server.handlers")
    # A second initialisation is silently ignored while these hold the store of the first.
    handlers._tracking_store = handlers._model_registry_store = handlers._artifact_repo = None
    if handlers._send_artifact.__module__ == handlers.__name__:  # Once per process.
        handlers._send_artifact = guarded(handlers._send_artifact)
        # MLflow's own takes 10 MiB, held in memory.
        server: Any = import_module("mlflow.server")
        server.upload_artifact_handler = handlers.catch_mlflow_exception(receiving(_artifact_place))
    _serve_proxied_artifacts(store)
    # MLflow tells its child processes through the environment; there the URI would pass for the user's setting.
    with _environment_kept(*_URI_VARIABLES):
        handlers.initialize_backend_stores(store.tracking_uri, store.registry_uri, _artifact_root(store))
    if store.read_only:
        _refuse_writes()


def _artifact_place(run_id: str, path: str) -> tuple[Any, str]:
    """The repository that holds an artifact of a run, and the path in it. Raises: MlflowException: as its handlers."""
    handlers: Any = import_module("mlflow.server.handlers")
    path = handlers.validate_path_is_safe(path)
    run = handlers._get_tracking_store().get_run(run_id)
    if handlers._is_servable_proxied_run_artifact_root(run.info.artifact_uri):
        proxied = f"{run.info.experiment_id}/{run.info.run_id}/artifacts/{path}"
        return handlers._get_artifact_repo_mlflow_artifacts(), proxied
    return handlers._get_artifact_repo(run), path


def close_server_store() -> None:
    """Close the pooled connections of the application's store."""
    for store in _server_stores():
        store.engine.dispose()


def tracking_database() -> Any:
    """The SQLAlchemy engine of the application's tracking store; None for a store that is no database."""
    handlers = sys.modules.get("mlflow.server.handlers")
    return getattr(getattr(handlers, "_tracking_store", None), "engine", None)


def plain_sqlite_database() -> Any:
    """The SQLAlchemy engine of the application's tracking store; None unless that is MLflow's own store on SQLite.

    A store derived from it may show a part of the tables only, such as one workspace.
    """
    database = tracking_database()
    if database is None or database.dialect.name != "sqlite":
        return None
    store = sys.modules["mlflow.server.handlers"]._tracking_store
    return database if type(store).__name__ == "SqlAlchemyStore" else None


def search_offset(page_token: str) -> int | None:
    """The number of runs before the page of this token; None for a token that MLflow refuses."""
    utils: Any = import_module("mlflow.utils.search_utils").SearchUtils
    exceptions: Any = import_module("mlflow.exceptions")
    try:
        return utils.parse_start_offset_from_page_token(page_token)
    except (exceptions.MlflowException, ValueError, TypeError, AttributeError):
        return None


def search_token(offset: int) -> str:
    """MLflow's token of the page that begins after so many runs."""
    utils: Any = import_module("mlflow.utils.search_utils").SearchUtils
    return utils.create_page_token(offset).decode()


def _refuse_writes() -> None:
    """SQLite itself then answers a write with an error. A read-only connection (mode=ro) would leave its -wal file."""
    event: Any = import_module("sqlalchemy.event")

    def query_only(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA query_only=ON")

    for store in _server_stores():
        if store.engine.dialect.name == "sqlite":
            event.listen(store.engine, "connect", query_only)
            store.engine.dispose()


def _server_stores() -> list[Any]:
    handlers = sys.modules.get("mlflow.server.handlers")
    stores = [getattr(handlers, name, None) for name in ("_tracking_store", "_model_registry_store")]
    return [store for store in stores if hasattr(store, "engine")]


def _artifact_root(store: LocalStore) -> str:
    # MLflow makes this folder when it opens a store. Nothing is written to a read-only one, so any that exists will do.
    return tempfile.gettempdir() if store.read_only else store.artifact_root


def _serve_proxied_artifacts(store: LocalStore) -> None:
    """Let `mlflow-artifacts:` locations be read: what an MLflow server on the same file wrote.

    Such a server keeps them in `mlartifacts` of the folder it was started in, unless told otherwise.
    """
    constants: Any = import_module("mlflow.server.constants")
    path = sqlite_path(store.tracking_uri)
    destination = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or (path and str(path.parent / "mlartifacts"))
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true" if destination else "false"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = str(destination or "")


# MLflow's own client


@contextmanager
def artifacts_in(root: str) -> Generator[None]:
    """A client that opens a database inside this context keeps the artifacts of new experiments under `root`.

    MLflow keeps one store per URI, and would choose `mlruns` in whatever folder the script was started.
    """
    with _environment_kept(_ARTIFACT_ROOT_VARIABLE):
        os.environ[_ARTIFACT_ROOT_VARIABLE] = root
        yield


def get_once(tracking_uri: str, path: str, params: Mapping[str, Any], *, timeout_seconds: tuple[float, float]) -> Any:
    """The reply (of `requests`) to one GET with the credentials that MLflow's client would use, without retries.

    timeout_seconds: to connect, and of silence in one read.

    Raises: MlflowException: no reply. A reply of any status is one.
    """
    rest: Any = import_module("mlflow.utils.rest_utils")
    credentials: Any = import_module("mlflow.utils.credentials")
    return rest.http_request(
        credentials.get_default_host_creds(tracking_uri),
        path,
        "GET",
        max_retries=0,
        timeout=timeout_seconds,
        raise_on_status=False,
        params=params,
    )


def wrap_senders(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `wrap` around the functions by which MLflow's client sends requests: its own, and those to cloud storage."""
    for name in ("mlflow.utils.rest_utils", "mlflow.utils.request_utils"):
        module: Any = import_module(name)
        module._get_http_response_with_retries = wrap(module._get_http_response_with_retries)


def metric_checks() -> tuple[Callable[[object], float], Callable[[str, float, int, int], None]]:
    """What MLflow's client makes of a metric's value, and its check of name, value, time and step."""
    conversion: Any = import_module("mlflow.tracking.metric_value_conversion_utils")
    return (
        conversion.convert_metric_value_to_float_if_possible,
        import_module("mlflow.utils.validation")._validate_metric,
    )


def with_context_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """These tags and those that MLflow's own start_run adds: user, source file, git commit."""
    return import_module("mlflow.tracking.context.registry").resolve_tags(dict(tags))


def active_runs() -> list[Any]:
    """The active runs of this thread as MLflow's fluent API keeps them; changing the list changes them."""
    return import_module("mlflow.tracking.fluent")._active_run_stack.get()


def active_experiment_id() -> str | None:
    """The experiment that `mlflow.set_experiment` chose in this process."""
    return import_module("mlflow.tracking.fluent")._active_experiment_id


def set_uris() -> tuple[str | None, str | None]:
    """Tracking and registry URI set by a call; `mlflow.get_tracking_uri` also returns those of the environment."""
    tracking: Any = import_module("mlflow.tracking._tracking_service.utils")
    registry: Any = import_module("mlflow.tracking._model_registry.utils")
    return tracking._tracking_uri, registry._registry_uri


def set_uris_of_process(tracking_uri: str | None, registry_uri: str | None) -> None:
    """Set both without a trace in the environment, where the next reader would take them for the user's setting."""
    mlflow: Any = import_module("mlflow")
    with _environment_kept(*_URI_VARIABLES):
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(registry_uri)


@contextmanager
def _environment_kept(*names: str) -> Generator[None]:
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
