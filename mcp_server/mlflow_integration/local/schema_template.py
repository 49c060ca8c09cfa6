"""The empty MLflow database as SQL: a new SQLite store in milliseconds instead of seconds of migrations.

A template belongs to one revision of MLflow's schema. The package ships the one it was built with;
any other is made once by running MLflow's migrations in memory, and kept in the user's cache.
`python -m mcp_server.mlflow_integration.local.schema_template` regenerates the shipped one.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mcp_server.mlflow_integration.local.database_checks import write_typical_statistics
from mcp_server.mlflow_integration.local.mlflow_internals import latest_schema_revision, migrated_schema

logger = logging.getLogger(__name__)

SHIPPED: Final = Path(__file__).with_name("schema.json.gz")
"""`{"revision": ..., "statements": [...]}` for the newest MLflow at release time."""


def schema_statements(revision: str, cache_dir: Path | None = None) -> Sequence[str]:
    """SQL that makes the empty database of this revision: shipped, from the cache, or by migrating now (about 2 s)."""
    cached = (cache_dir or _user_cache()) / f"schema-{revision}.json.gz"
    for path in (SHIPPED, cached):
        if (statements := _load(path, revision)) is not None:
            return statements
    statements = migrated_schema()
    try:
        _save(cached, revision, statements)
    except OSError as error:
        logger.info("The schema template could not be kept for the next start: %s", error)
    return statements


def create_database(path: Path, statements: Sequence[str]) -> None:
    """Make an MLflow database at `path`, absent or empty; one that another process makes meanwhile is left as it is.

    Raises: sqlite3.Error: the file cannot be written.
    """
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    try:
        # Readers and a writer then do not wait for each other. Only ever for files we make ourselves.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in statements:
                connection.execute(statement)
            write_typical_statistics(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _load(path: Path, revision: str) -> list[str] | None:
    try:
        template = json.loads(gzip.decompress(path.read_bytes()))
        return template["statements"] if template["revision"] == revision else None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, revision: str, statements: Sequence[str]) -> None:
    text = json.dumps({"revision": revision, "statements": list(statements)}, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
    # Two processes may do this at once: each sees the whole file or none.
    os.replace(draft, path)


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mcp-server-mlflow", appauthor=False)


if __name__ == "__main__":
    from mcp_server.mlflow_integration.local.environment import prepare_environment

    prepare_environment("server")
    _save(SHIPPED, latest_schema_revision(), migrated_schema())
    SHIPPED.chmod(0o644)
