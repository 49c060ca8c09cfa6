"""A local store made ready for MLflow: missing files created, existing ones checked and given statistics.

The same for MLflow inside the server and for the Python API.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Set
from pathlib import Path

from mcp_server.mlflow_integration.local import database_checks as database
from mcp_server.mlflow_integration.local import schema_template as template
from mcp_server.mlflow_integration.local.mlflow_internals import latest_schema_revision
from mcp_server.mlflow_integration.local.private_folder import PrivateFolder
from mcp_server.mlflow_integration.locate import LocalStore
from mcp_server.mlflow_integration.locate.uris import sqlite_path


def missing_files(store: LocalStore) -> Set[Path]:
    """SQLite files that have yet to be made. Quick: a wrong path is an answer before the seconds of MLflow's import.

    Makes the folder of a store that is ours.

    Raises: UnreachableError: a file cannot be used or may not be made; the sentence names it.
    """
    paths = {path for uri in (store.tracking_uri, store.registry_uri) if (path := sqlite_path(uri)) is not None}
    if store.makes_folder and not store.read_only:
        for path in paths:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise database.unusable(path, "cannot be created: its folder cannot be created.") from error
    return {path for path in paths if database.is_new_sqlite(path, read_only=store.read_only)}


def prepare_databases(store: LocalStore, missing: Set[Path], cache_dir: Path | None) -> None:
    """Create the missing files, check the schema of the others and give them statistics. Imports mlflow.

    Raises: UnreachableError: a file cannot be written, or a database has another schema than the installed MLflow.
    """
    for path in missing:
        statements = template.schema_statements(latest_schema_revision(), cache_dir)
        try:
            template.create_database(path, statements)
        except sqlite3.Error as error:
            raise database.unusable(path, "cannot be written.") from error
    for uri in {store.tracking_uri, store.registry_uri}:
        path = sqlite_path(uri)
        if path not in missing and "://" in uri:
            database.check_schema(uri, read_only=store.read_only)
            if path is not None and not store.read_only:
                database.ensure_statistics(path)


def temporary_store(folder: PrivateFolder) -> tuple[LocalStore, Set[Path]]:
    """The store of a private folder, and its database file, which has yet to be made."""
    path = folder.path / "mlflow.db"
    uri = f"sqlite:///{path.as_posix()}"
    return LocalStore(uri, uri, str(folder.path / "artifacts"), temporary=True), {path}
