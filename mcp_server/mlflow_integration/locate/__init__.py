"""Which MLflow is used, and why: the flag, the variable, `.env`, the working folder, a private store.

Only locates: opens, writes and raises nothing. An address that cannot be used becomes a location that
says so, because a server that starts and explains helps more than one that does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from mcp_server.mlflow_integration.locate.uris import (
    database_passwords,
    is_databricks,
    is_http,
    read_server_address,
    sqlite_path,
    without_credentials,
)
from mcp_server.settings import Settings, variable_of

Kind = Literal["server", "database", "mock", "unsupported"]

DATABASES: Final = {
    "postgresql": ("psycopg", "psycopg2"),
    "mysql": ("MySQLdb", "pymysql"),
    "mssql": ("pyodbc", "pymssql"),
}
"""Databases other than SQLite that MLflow has a store for, and the drivers of each that SQLAlchemy knows."""

_PROJECT_SIGNS: Final = ("MLproject", "config/mlflow.yaml", "mlruns", "mlartifacts")
"""What only somebody who uses MLflow in this folder puts there."""

_DEPENDENCY_FILES: Final = (
    "pyproject.toml",
    "requirements*.txt",
    "setup.py",
    "setup.cfg",
    "Pipfile",
    "environment.y*ml",
    "conda.y*ml",
    "python_env.yaml",
)
"""Where a project says that it needs MLflow; patterns of file names."""

SUPPORTED: Final = (
    "Supported: http(s)://host:port of a tracking server, sqlite:///path/mlflow.db, postgresql://, mysql:// and "
    "mssql:// databases, and databricks. MLFLOW_MOCK_MODE=true needs no address."
)


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A store that MLflow opens inside this process; equal values are the same store."""

    tracking_uri: str
    """Database URI with its credentials, SQLite paths absolute; empty for a temporary store."""
    registry_uri: str
    artifact_root: str
    """Path or URI under which new experiments keep artifacts."""
    read_only: bool = False
    """True: nothing is created or written on our own account either: no file, no folder, no statistics."""
    temporary: bool = False
    """True: made when opened, in a private folder that is removed when it is closed."""
    makes_folder: bool = False
    """True: the folder of the database is this server's own and is made when it is missing."""


@dataclass(frozen=True, slots=True)
class Location:
    """The MLflow that was chosen."""

    kind: Kind
    tracking_uri: str
    """With credentials; never shown."""
    registry_uri: str
    """Equal to `tracking_uri` unless the registry is elsewhere."""
    shown_uri: str
    """`tracking_uri` without user, password and query."""
    shown_registry_uri: str
    why: str
    """In words, such as `given by the environment variable MLFLOW_TRACKING_URI`."""
    ui_url: str = ""
    """Address of MLflow's pages, without a final slash; empty for what has no UI that links can lead to."""
    registry_ui_url: str = ""
    """The same for the registry."""
    local_store: LocalStore | None = None
    """What runs in this process: tracking, registry or both."""
    problem: str = ""
    """A sentence, when `tracking_uri` cannot be used."""
    registry_problem: str = ""


@dataclass(frozen=True, slots=True)
class _Address:
    kind: Literal["server", "database", "unsupported"]
    uri: str
    shown: str
    problem: str = ""


def locate(settings: Settings, *, script: bool = False) -> Location:
    """The MLflow that these settings and the working folder mean.

    script: for a training script, which its author started in the folder where they work: MLflow's own default
        there comes before the private store. A host starts a server anywhere.
    """
    if settings.mock_mode:
        return Location(
            kind="mock",
            tracking_uri="mock",
            registry_uri="mock",
            shown_uri="mock",
            shown_registry_uri="mock",
            why=f"mock mode, set by {settings.origin('mock_mode')}",
            local_store=LocalStore("", "", "", temporary=True),
        )
    tracking, why = _tracking_address(settings, script)
    elsewhere = settings.registry_uri.strip()
    registry = _given_address(settings, "registry_uri") if elsewhere else tracking
    ui_url = settings.ui_url or _ui_url(tracking)
    return Location(
        kind=tracking.kind,
        tracking_uri=tracking.uri,
        registry_uri=registry.uri,
        shown_uri=tracking.shown,
        shown_registry_uri=registry.shown,
        why=why,
        ui_url=ui_url,
        registry_ui_url=_ui_url(registry) if elsewhere else ui_url,
        local_store=_local_store(tracking, registry, settings),
        problem=tracking.problem,
        registry_problem=registry.problem,
    )


def is_yet_to_be_made(store: LocalStore | None) -> bool:
    """Whether the first request would create this store."""
    path = sqlite_path(store.tracking_uri) if store is not None else None
    if store is None or path is None or path.exists():
        return False
    return not store.read_only and (store.makes_folder or path.parent.is_dir())


def _tracking_address(settings: Settings, script: bool) -> tuple[_Address, str]:
    if settings.tracking_uri.strip():
        return _given_address(settings, "tracking_uri"), f"given by {settings.origin('tracking_uri')}"
    folder = _working_folder()
    if folder is not None and (folder / "mlflow.db").is_file():
        return _sqlite_file(folder / "mlflow.db"), "mlflow.db is in the working folder"
    # The sign by which MLflow itself tells a file store from a folder of artifacts.
    if folder is not None and any(folder.glob("mlruns/*/meta.yaml")):
        return _file_store(Path("mlruns"), "The working folder holds mlruns"), "mlruns is in the working folder"
    if folder is not None and os.access(folder, os.W_OK) and (script or _is_mlflow_project(folder)):
        return _sqlite_file(folder / "mlflow.db"), "no tracking URI is set, and this is MLflow's own default here"
    why = "no tracking URI is set and the working folder holds no MLflow store, so a private one is used"
    return _private_database(settings), why


def _ui_url(address: _Address) -> str:
    # Without a masked token a link would not work, and with it the link would show it.
    return address.shown if is_http(address.shown) and address.kind == "server" and "***" not in address.shown else ""


def _private_database(settings: Settings) -> _Address:
    return _sqlite_file(private_folder(settings) / "mlflow.db")


def _is_mlflow_project(folder: Path) -> bool:
    """Whether the people who work in this folder use MLflow: source code alone does not show it."""
    if any((folder / name).exists() for name in _PROJECT_SIGNS):
        return True
    try:
        files = [path for pattern in _DEPENDENCY_FILES for path in folder.glob(pattern)]
        return any(re.search(rb"\bmlflow\b", path.read_bytes()) for path in files if path.is_file())
    except OSError:
        return False


def _address(given: str, variable: str) -> _Address:
    """What one URI means. `variable` is named in the error about an address that cannot be used."""
    uri = given.strip()
    shown = without_credentials(uri)

    def unusable(reason: str) -> _Address:
        return _Address("unsupported", uri, shown, f"{variable} is {shown!r}: {reason}")

    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if is_http(uri):
        return _server(uri, variable)
    if scheme.partition("+")[0] == "sqlite":
        return _sqlite(uri, unusable)
    if scheme.partition("+")[0] in DATABASES:
        return _Address("database", _with_installed_driver(uri, scheme), shown)
    if scheme.partition("+")[0] == "postgres":
        return unusable("the full name is needed; write postgresql://...")
    if scheme == "file":
        return _file_store(Path(re.sub(r"^file:(//(localhost)?)?", "", uri)), f"{variable} is {shown!r}")
    if re.fullmatch(r"[\w.-]+:\d+(/\S*)?", uri):
        return unusable(f"the scheme is missing; write http://{uri}")
    if is_databricks(uri):
        return _Address("server", uri, uri)
    # A scheme of one letter is a Windows drive.
    if len(scheme) > 1 or uri in ("databricks-uc", "uc"):
        return unusable(f"this kind of address is not supported by this version. {SUPPORTED}")
    if uri.lower().endswith((".db", ".sqlite", ".sqlite3")):
        return unusable(f"a database is given as a URI; write sqlite:///{uri}")
    if re.search(r"[/\\]", uri) or Path(uri).is_dir():
        return _file_store(Path(uri), f"{variable} is {shown!r}")
    return unusable(f"this is not the address of an MLflow store. {SUPPORTED}")


def _given_address(settings: Settings, field: Literal["tracking_uri", "registry_uri"]) -> _Address:
    """What the URI of a setting means; one from `.env` must not make a driver send a password of the person."""
    variable = settings.variable(field)
    address = _address(getattr(settings, field), variable)
    passwords = database_passwords(address.uri) if settings.source(field) == "env_file" else ()
    if address.kind != "database" or not passwords:
        return address
    return _Address(
        "unsupported",
        address.uri,
        address.shown,
        f"{variable} of .env is {address.shown!r}, which has no password and would get the password in "
        f"{' and '.join(passwords)}. Set that address in the environment, or a password in .env.",
    )


def _with_installed_driver(uri: str, scheme: str) -> str:
    """The URI of a database, with its driver named where it names none and only the one that is not the default is
    installed: SQLAlchemy 2.1 takes psycopg for `postgresql://`, 2.0 psycopg2."""
    installed = [name for name in DATABASES.get(scheme, ()) if find_spec(name) is not None]
    return f"{scheme}+{installed[0].lower()}{uri[len(scheme) :]}" if len(installed) == 1 else uri


def _server(uri: str, variable: str) -> _Address:
    found = read_server_address(uri)
    if found.problem:
        # In an unreadable address nobody can tell where the password ends, so none of it is shown.
        return _Address("unsupported", uri, "http://...", found.problem.replace(variable_of("tracking_uri"), variable))
    return _Address("server", uri, found.shown)


def _sqlite(uri: str, unusable: Callable[[str], _Address]) -> _Address:
    path = sqlite_path(uri)
    if path is None and (name := uri.partition("://")[2].lstrip("/")):
        return unusable(f"SQLite takes three slashes before a path; write sqlite:///{name}")
    if path is None or path.name == ":memory:" or str(path).startswith("file:"):
        # Every thread would see its own database.
        return unusable("give the path of a file; for a store that is gone at exit set MLFLOW_MOCK_MODE=true.")
    if path.is_absolute() or re.match(r"[A-Za-z]:[/\\]", str(path)):
        return _Address("database", uri, uri)
    folder = _working_folder()
    if folder is None:
        return unusable("the working folder no longer exists; give an absolute path.")
    return _sqlite_file(folder / path, query=uri.partition("?")[2])


def _sqlite_file(path: Path, query: str = "") -> _Address:
    uri = f"sqlite:///{path.as_posix()}"
    return _Address("database", f"{uri}?{query}" if query else uri, uri)


def _file_store(folder: Path, subject: str) -> _Address:
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return _Address("database", str(folder.absolute()), str(folder))
    return _Address(
        "unsupported",
        str(folder),
        str(folder),
        f"{subject}, a file store, and MLflow 3 no longer opens those. Move it into a database once with "
        f"`mlflow migrate-filestore --source {folder} --target sqlite:///mlflow.db`; or set "
        "MLFLOW_ALLOW_FILE_STORE=true, MLFLOW_TRACKING_URI to another store, or MLFLOW_MOCK_MODE=true.",
    )


def _local_store(tracking: _Address, registry: _Address, settings: Settings) -> LocalStore | None:
    # MLflow opens both halves at once; a half that is elsewhere gets the URI of the one that is here.
    uris = [address.uri for address in (tracking, registry) if address.kind == "database"]
    if not uris:
        return None
    return LocalStore(
        tracking_uri=uris[0],
        registry_uri=uris[-1],
        artifact_root=settings.artifact_location.strip() or _artifact_root(uris[0], settings),
        read_only=settings.read_only,
        makes_folder=uris[0] == _private_database(settings).uri,
    )


def _artifact_root(uri: str, settings: Settings) -> str:
    """Where new experiments keep artifacts when nothing is configured.

    A plain path, so that `artifact_uri` stays valid for training scripts that open the same
    database: MLflow's own client, started next to mlflow.db, chooses `mlruns` there as well.
    """
    if "://" not in uri:  # A file store keeps its artifacts in itself.
        return uri
    path = sqlite_path(uri)
    # Beside a network database there is no folder, and the working folder of a host is no place to keep anything.
    root = (path.parent if path is not None else private_folder(settings)) / "mlruns"
    return root.as_uri() if os.name == "nt" else str(root)


def private_folder(settings: Settings) -> Path:
    if settings.data_dir is not None:
        return settings.data_dir.expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("mcp-server-mlflow", appauthor=False)


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # It was deleted under the process.
        return None
