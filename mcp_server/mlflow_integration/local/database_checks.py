"""Checks of a database before MLflow opens it.

MLflow takes 103 s to report that a path cannot be opened, creates its tables in anybody's database and
migrates an older schema without asking when a table is missing. Here each of these is a sentence at once.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.locate.uris import without_credentials

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS: Final = 2.0
"""A writer's commit on a slow disk holds readers off for up to a second; longer is another process holding on."""

MEANINGFUL_RUNS: Final = 100
"""Statistics of at least this many runs are kept: those of 20 served 10,000 runs well, those of 3 did not."""

_TYPICAL_STATISTICS: Final = (
    # Rows, then rows per distinct key of each prefix of the index: ANALYZE of 10,000 runs with 5 params,
    # 4 tags and 5 metrics of 10 steps. Names that another schema lacks are ignored by SQLite.
    ("runs", "sqlite_autoindex_runs_1", "5247 1"),
    ("tags", "index_tags_run_uuid", "34224 4"),
    ("tags", "sqlite_autoindex_tags_1", "36120 401 1"),
    ("params", "index_params_run_uuid", "51000 5"),
    ("params", "sqlite_autoindex_params_1", "47005 401 1"),
    ("latest_metrics", "index_latest_metrics_run_uuid", "51000 5"),
    ("latest_metrics", "sqlite_autoindex_latest_metrics_1", "47005 401 1"),
    ("metrics", "index_metrics_run_uuid_key_step", "292320 45 10 1"),
    ("metrics", "index_metrics_run_uuid", "636706 45"),
    ("metrics", "sqlite_autoindex_metrics_1", "241664 401 9 1 1 1 1"),
)


_NOTHING_TO_READ: Final = (
    "does not exist or is empty, and a read-only server creates nothing. Set MLFLOW_TRACKING_URI to the MLflow to "
    "read, or start once without --read-only."
)


def is_new_sqlite(path: Path, *, read_only: bool) -> bool:
    """Whether MLflow's tables have yet to be created in this file.

    Raises: UnreachableError: the file cannot be used; the sentence names the path as it was configured.
    """
    if path.is_dir():
        raise unusable(path, "is a folder; give the database file in it.")
    if not path.exists():
        if read_only:
            raise unusable(path, _NOTHING_TO_READ)
        if not path.parent.is_dir():
            raise unusable(path, "cannot be created: its folder does not exist. Create the folder or correct the path.")
        if not os.access(path.parent, os.W_OK):
            raise unusable(path, "cannot be created: its folder is not writable.")
        return True
    if not os.access(path, os.R_OK):
        raise unusable(path, "is not readable for this user.")
    if not read_only and not os.access(path, os.W_OK):
        raise unusable(path, "is not writable for this user. To only read it, start with --read-only.")
    try:
        with closing(_connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            # MLflow adds its Default experiment when it opens a store that has none.
            empty = "experiments" not in tables or not connection.execute("SELECT 1 FROM experiments").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise unusable(path, "is locked by another process; try again when that has finished.") from None
        raise unusable(path, "cannot be opened.") from error
    except sqlite3.DatabaseError as error:
        raise unusable(path, "is not an SQLite database.") from error
    if tables and "experiments" not in tables:
        raise unusable(path, "belongs to another program: MLflow's tables are not in it.")
    if empty and read_only:
        raise unusable(path, _NOTHING_TO_READ)
    return not tables


def check_schema(uri: str, *, read_only: bool) -> None:
    """Refuse a database whose schema is not the one the installed MLflow works with. Imports mlflow.

    Raises: UnreachableError: no connection, no driver, or another schema; an empty database passes unless it is to be
        left as it is.
    """
    sqlalchemy: Any = import_module("sqlalchemy")
    shown = without_credentials(uri)
    try:
        engine = mlflow_internals.create_engine(uri)
    except ImportError as error:
        raise UnreachableError(_driver_sentence(uri, error), carried_out=False) from error
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise UnreachableError(f"{shown} cannot be read as a database URI.", carried_out=False) from error
    try:
        tables = {name for name in sqlalchemy.inspect(engine).get_table_names() if name != "alembic_version"}
        found = mlflow_internals.schema_revision(engine)
    except sqlalchemy.exc.DBAPIError as error:
        logger.warning("The database could not be opened", exc_info=True)
        raise UnreachableError(
            f"No connection to the database {shown}. Check that it runs, and host, port, name, user and password.",
            carried_out=False,
        ) from error
    finally:
        engine.dispose()
    if not tables and read_only:
        raise UnreachableError(f"The database {shown} {_NOTHING_TO_READ}", carried_out=False)
    if not tables or found == mlflow_internals.latest_schema_revision():
        return
    if "experiments" not in tables:
        raise UnreachableError(
            f"The database {shown} belongs to another program: MLflow's tables are not in it.", carried_out=False
        )
    if found is not None and found not in mlflow_internals.known_schema_revisions():
        raise UnreachableError(
            f"The database {shown} was written by a newer MLflow than the one installed here "
            f"({_mlflow_version()}). Upgrade it with `pip install --upgrade mlflow`.",
            carried_out=False,
        )
    raise UnreachableError(
        f"The database {shown} was written by an older MLflow and is not upgraded automatically. "
        f"Make a backup, then run `mlflow db upgrade {shown}`; MLflow {_mlflow_version()} is installed here.",
        carried_out=False,
    )


def ensure_statistics(path: Path) -> None:
    """Give SQLite's planner what it needs for searches by metric.

    MLflow never runs ANALYZE; without statistics, or with those of a handful of runs, ordering 10,000
    runs by a metric takes 4.8 s instead of 45 ms. With a limit of 400 rows an index ANALYZE takes
    milliseconds at any size. A file that is locked or cannot be written is left as it is.
    """
    try:
        with closing(_connect(path)) as connection:
            if not _has_statistics(connection):
                connection.executescript("PRAGMA analysis_limit=400; ANALYZE;")
                if not _has_statistics(connection):
                    write_typical_statistics(connection)
    except sqlite3.Error as error:
        logger.info("No statistics could be written to the database: %s", error)


def write_typical_statistics(connection: sqlite3.Connection) -> None:
    """Statistics of a store with thousands of runs, for one that has yet to grow: as good as its own will be."""
    connection.execute("ANALYZE sqlite_master")  # Makes the table of statistics.
    connection.execute("DELETE FROM sqlite_stat1")
    connection.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", _TYPICAL_STATISTICS)


def _has_statistics(connection: sqlite3.Connection) -> bool:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
        return False
    row = connection.execute("SELECT stat FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
    return row is not None and int(row[0].split()[0]) >= MEANINGFUL_RUNS


def unusable(path: Path, reason: str) -> UnreachableError:
    """The sentence about a file; names it as it was configured."""
    return UnreachableError(f"The MLflow database {path} {reason}", carried_out=False)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=LOCK_WAIT_SECONDS, isolation_level=None)


def _driver_sentence(uri: str, error: ImportError) -> str:
    # The module that was looked for, not the one a scheme suggests: postgresql:// is psycopg2 for
    # SQLAlchemy 2.0 and psycopg for 2.1.
    packages = {"psycopg2": "psycopg2-binary", "psycopg": '"psycopg[binary]"', "MySQLdb": "mysqlclient"}
    module = (error.name or "").partition(".")[0]
    scheme = uri.partition(":")[0]
    return (
        f"The Python driver {module} for {scheme}:// databases is not installed where this server runs: "
        f"pip install {packages.get(module, module)}. Another driver is named in the URI, as in {scheme}+driver://."
    )


def _mlflow_version() -> str:
    version: Any = import_module("mlflow.version")
    return version.VERSION
