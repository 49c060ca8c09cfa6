"""The MLflow that a training script logs to: the one the server finds in the same folder, for MLflow's own client."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from mcp_server.errors import UnsupportedError
from mcp_server.mlflow_integration.local import mlflow_internals, preparation
from mcp_server.mlflow_integration.local.environment import prepare_environment
from mcp_server.mlflow_integration.local.private_folder import PrivateFolder
from mcp_server.mlflow_integration.locate import Location, locate
from mcp_server.mlflow_integration.locate.uris import is_http
from mcp_server.mlflow_integration.rest.credentials import withheld_credentials
from mcp_server.mlflow_integration.tracker.address_credentials import keep_credentials_from_dotenv
from mcp_server.mlflow_integration.tracker.server_probe import server_version
from mcp_server.settings import Settings, variable_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_CREDENTIALS: Final = (
    "username",
    "password",
    "token",
    "workspace",
    "insecure_tls",
    "server_cert_path",
    "client_cert_path",
)


@dataclass(frozen=True, slots=True)
class Store:
    """One MLflow, open; equal values are the same one."""

    tracking_uri: str
    """With credentials; never shown."""
    registry_uri: str
    shown_uri: str
    is_server: bool
    """True: it decides itself where artifacts are kept."""
    server_version: str = ""
    """Version of the tracking server, if it is one and says so."""

    def client(self) -> MlflowClient:
        """MLflow's own client of this store."""
        return import_mlflow().MlflowClient(self.tracking_uri, self.registry_uri)


def import_mlflow() -> Any:
    """The mlflow package, quiet on stdout and without telemetry unless the user set otherwise."""
    prepare_environment("script")
    return import_module("mlflow")


def open_store(settings: Settings) -> Store:
    """The store that these settings and the working folder mean; created if it is a new SQLite file.

    Raises: UnsupportedError: MLflow 3 does not open the address, such as a `file:` store; the sentence
        names the replacement. UnreachableError: no MLflow answers there, or the database cannot be used.
        PermissionDeniedError: the server refuses the credentials, or the host name in its address.
    """
    location = locate(settings, script=True)
    problem = location.problem or location.registry_problem
    if problem:
        raise UnsupportedError(problem, carried_out=False)
    if location.kind == "mock":
        return _mock_store()
    for sentence in (*settings.ignored, *withheld_credentials(settings)):
        logger.warning("%s", sentence)
    _export_credentials(settings)
    is_server, version = location.kind == "server", ""
    if is_server or is_http(location.registry_uri):
        import_mlflow()
        keep_credentials_from_dotenv(location, settings)
    if is_server:
        version = server_version(location, settings)
    if location.local_store is not None:
        _open_databases(location, settings)
    _announce(location, chosen=bool(settings.tracking_uri))
    return Store(location.tracking_uri, location.registry_uri, location.shown_uri, is_server, version)


_announced: set[str] = set()


def _announce(location: Location, *, chosen: bool) -> None:
    """One line a store: where runs go, and why there. Shown unasked when nobody chose it."""
    if location.shown_uri not in _announced:
        _announced.add(location.shown_uri)
        level = logging.INFO if chosen else logging.WARNING
        logger.log(level, "Runs are logged to %s: %s.", location.shown_uri, location.why)


_lock = threading.Lock()
_mock: Store | None = None
_mock_folder: PrivateFolder | None = None
_mock_owner = 0


def _mock_store() -> Store:
    """MLflow on a private file: one for all mock trackers of the process, so that they see each other's runs."""
    global _mock, _mock_folder, _mock_owner
    with _lock:
        if _mock is None:
            import_mlflow()
            _mock_folder, _mock_owner = PrivateFolder(), os.getpid()
            store, missing = preparation.temporary_store(_mock_folder)
            preparation.prepare_databases(store, missing, None)
            _open_with_artifacts_in(store.tracking_uri, store.artifact_root)
            _mock = Store(store.tracking_uri, store.registry_uri, "mock", is_server=False)
        return _mock


@atexit.register
def _remove_mock_store() -> None:
    # A forked worker ends before its parent does.
    if _mock_folder is not None and _mock_owner == os.getpid():
        _mock_folder.remove()


def _open_databases(location: Location, settings: Settings) -> None:
    store = location.local_store
    assert store is not None
    # A wrong path is reported before the import of mlflow, which takes seconds.
    missing = preparation.missing_files(store)
    import_mlflow()
    preparation.prepare_databases(store, missing, settings.data_dir)
    if location.tracking_uri == store.tracking_uri:
        _open_with_artifacts_in(store.tracking_uri, store.artifact_root)


def _open_with_artifacts_in(uri: str, root: str) -> None:
    """Open a database so that its new experiments keep artifacts where the server would put them."""
    mlflow = import_mlflow()
    with mlflow_internals.artifacts_in(root if "://" in root else str(Path(root).expanduser().absolute())):
        mlflow.MlflowClient(uri)


def _export_credentials(settings: Settings) -> None:
    """MLflow's client reads credentials from the environment only, the server also from `.env`."""
    for field in _CREDENTIALS:
        value: object = getattr(settings, field)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if field in settings.model_fields_set and text:
            os.environ.setdefault(variable_of(field), text)
