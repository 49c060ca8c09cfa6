"""MLflow inside this process: opening, refusing, sharing, cancelling, cleaning up; under every test, MLflow."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_server.errors import TrackingServerError, UnreachableError
from mcp_server.mlflow_integration.local import database_checks as database
from mcp_server.mlflow_integration.local import mlflow_internals, private_folder
from mcp_server.mlflow_integration.local import schema_template as template
from mcp_server.mlflow_integration.local.environment import prepare_environment
from mcp_server.mlflow_integration.local.in_process import InProcessTransport
from mcp_server.mlflow_integration.locate import LocalStore

MOCK = LocalStore("", "", "", temporary=True)

# Set before anything here imports mlflow.
prepare_environment("server")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store whose file does not exist yet."""
    return store_at(tmp_path / "mlflow.db")


def store_at(path: Path, *, read_only: bool = False) -> LocalStore:
    uri = f"sqlite:///{path}"
    return LocalStore(uri, uri, str(path.parent / "mlruns"), read_only=read_only)


def path_of(store: LocalStore) -> Path:
    return Path(store.tracking_uri.removeprefix("sqlite:///"))


def is_made(store: LocalStore) -> bool:
    return path_of(store).exists()


def run_python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


async def ask(transport: InProcessTransport, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = await transport.request("POST", path, json=body, idempotent=False)
    assert reply.status == 200, reply
    return json.loads(reply.body)


async def experiments(transport: InProcessTransport) -> list[str]:
    found = await ask(transport, "/api/2.0/mlflow/experiments/search", {"max_results": 100})
    return [experiment["name"] for experiment in found["experiments"]]


async def refusal(store: LocalStore) -> str:
    """The sentence that a request to an unusable store is answered with."""
    async with aclosing(InProcessTransport(store)) as transport:
        with pytest.raises(UnreachableError) as raised:
            await transport.request("GET", "/health", idempotent=True)
        assert raised.value.carried_out is False
    return str(raised.value)


def make_database(path: Path) -> Path:
    template.create_database(path, template.schema_statements(mlflow_internals.latest_schema_revision()))
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


# --- the process -------------------------------------------------------------------------------------------------


def test_importing_the_modules_loads_no_heavy_package(tmp_path: Path):
    """A tracking server needs none of them, and `initialize` is answered without."""
    code = """
import sys
import mcp_server.mlflow_integration.local.in_process, mcp_server.mlflow_integration.locate
print([name for name in ("mlflow", "pandas", "numpy", "sqlalchemy", "flask") if name in sys.modules])
"""
    assert run_python(code, cwd=tmp_path).stdout.strip() == "[]"


LIFE = """
import os, signal, sys, anyio
from mcp_server.mlflow_integration.local.in_process import InProcessTransport
from mcp_server.mlflow_integration.locate import LocalStore

async def main():
    transport = InProcessTransport(LocalStore("", "", "", temporary=True))
    transport.warm_up()
    body = {"experiment_id": "0", "start_time": 1}
    reply = await transport.request("POST", "/api/2.0/mlflow/runs/create", json=body, idempotent=False)
    assert reply.status == 200, reply
    await transport.request("POST", "/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}, idempotent=True)
    if sys.argv[1] == "os._exit":
        transport.close()
        os._exit(0)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


@pytest.mark.parametrize("ending", ["atexit", "os._exit"])
def test_mock_mode_prints_nothing_and_leaves_nothing_behind(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Neither in the temporary folder nor in the working folder, however the process ends in order."""
    temporary, working = tmp_path / "temporary", tmp_path / "working"
    temporary.mkdir()
    working.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    ended = run_python(LIFE, ending, cwd=working)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [*temporary.iterdir(), *working.iterdir()] == []


@pytest.mark.skipif(private_folder.fcntl is None, reason="needs file locks that end with their process")
def test_a_killed_process_is_cleaned_up_after_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its lock is free, unlike that of a process that lives; a folder of a few seconds is nobody's business."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert run_python(LIFE, "kill", cwd=tmp_path).returncode == -signal.SIGKILL
    (dead,) = tmp_path.iterdir()
    young = private_folder.PrivateFolder()
    assert dead.exists()
    for folder in (dead, young.path):
        os.utime(folder, (0, 0))
    latest = private_folder.PrivateFolder()
    assert sorted(tmp_path.iterdir()) == sorted([young.path, latest.path])
    young.remove()
    latest.remove()


# --- opening -----------------------------------------------------------------------------------------------------


async def test_forty_first_requests_open_the_store_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    """Whoever comes first opens, the others wait; a second transport for the same store shares it."""
    opened: list[LocalStore] = []
    open_store = mlflow_internals.open_server_store
    monkeypatch.setattr(mlflow_internals, "open_server_store", lambda store: (opened.append(store), open_store(store)))
    answers: list[list[str]] = []
    async with aclosing(InProcessTransport(store)) as one, aclosing(InProcessTransport(store)) as other:

        async def first_request(transport: InProcessTransport) -> None:
            answers.append(await experiments(transport))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(first_request, one)
                tasks.start_soon(first_request, other)
    assert answers == [["Default"]] * 40
    assert opened == [store]


async def test_the_event_loop_goes_on_while_the_store_opens(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    """The opening below waits for the event loop: it would wait for ever if the loop waited for it."""
    go_on = threading.Event()
    open_store = mlflow_internals.open_server_store
    monkeypatch.setattr(mlflow_internals, "open_server_store", lambda store: (go_on.wait(60), open_store(store)))
    async with aclosing(InProcessTransport(store)) as transport:
        transport.warm_up()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(experiments, transport)
            await anyio.lowlevel.checkpoint()
            go_on.set()


async def test_a_request_cancelled_while_the_store_opens_is_not_carried_out(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    """The caller gets its cancellation at once, and the experiment is not made behind its back."""
    go_on = threading.Event()
    open_store = mlflow_internals.open_server_store
    monkeypatch.setattr(mlflow_internals, "open_server_store", lambda store: (go_on.wait(60), open_store(store)))
    async with aclosing(InProcessTransport(store)) as transport:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, transport, "/api/2.0/mlflow/experiments/create", {"name": "late"})
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert scope.cancelled_caught
        go_on.set()
        assert await experiments(transport) == ["Default"]


async def test_another_store_is_refused_until_the_first_is_closed(tmp_path: Path):
    """MLflow keeps its store in module globals: two at once would write into each other."""
    first, second = store_at(tmp_path / "first.db"), store_at(tmp_path / "second.db")
    async with aclosing(InProcessTransport(first)) as transport:
        await ask(transport, "/api/2.0/mlflow/experiments/create", {"name": "churn"})
        assert "supports only one at a time" in await refusal(second)
    async with aclosing(InProcessTransport(second)) as transport:
        assert await experiments(transport) == ["Default"]
    assert not (tmp_path / "mlruns").exists()


async def test_every_mock_store_begins_empty_and_ends_with_its_last_transport():
    """Two transports share it; a later one gets a new one."""
    one, other = InProcessTransport(MOCK), InProcessTransport(MOCK)
    created = await ask(one, "/api/2.0/mlflow/experiments/create", {"name": "churn"})
    (location,) = (
        Path(experiment["artifact_location"])
        for experiment in (await ask(other, "/api/2.0/mlflow/experiments/search", {"max_results": 9}))["experiments"]
        if experiment["experiment_id"] == created["experiment_id"]
    )
    folder = location.parent.parent
    await one.aclose()
    assert folder.is_dir()
    await other.aclose()
    assert not folder.exists()
    async with aclosing(InProcessTransport(MOCK)) as later:
        assert await experiments(later) == ["Default"]


async def test_a_closed_transport_carries_nothing(store: LocalStore):
    """A request still on its way would open a store that nobody closes."""
    transport = InProcessTransport(store)
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(UnreachableError, match="shutting down"):
        await transport.request("GET", "/health", idempotent=True)
    assert not is_made(store)


async def test_the_settings_of_the_user_survive_the_opening(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    """MLflow writes its URI into the environment, where it would look like a choice of the user."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
    async with aclosing(InProcessTransport(store)) as transport:
        await experiments(transport)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert os.environ["MLFLOW_REGISTRY_URI"] == "http://registry"


# --- databases that cannot be used -------------------------------------------------------------------------------


def a_folder(path: Path) -> None:
    path.mkdir()


def some_text(path: Path) -> None:
    path.write_text("no database at all, but long enough to have a header" * 9)


def another_program(path: Path) -> None:
    change(path, "CREATE TABLE invoices (id INTEGER)")


@pytest.mark.parametrize(
    ("prepare", "name", "sentence"),
    [
        (None, "missing/mlflow.db", "cannot be created: its folder does not exist"),
        (a_folder, "mlflow.db", "is a folder"),
        (some_text, "mlflow.db", "is not an SQLite database"),
        (another_program, "mlflow.db", "belongs to another program"),
    ],
)
async def test_an_unusable_path_is_a_sentence(
    prepare: Callable[[Path], None] | None, name: str, sentence: str, tmp_path: Path
):
    """MLflow tries for 103 s, or makes its tables in a stranger's database."""
    path = tmp_path / name
    if prepare:
        prepare(path)
    text = await refusal(store_at(path))
    assert str(path) in text
    assert sentence in text
    assert not (tmp_path / "missing").exists()


async def test_a_locked_database_is_a_sentence_and_is_tried_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    """The same transport works as soon as the other process lets go."""
    monkeypatch.setattr(database, "LOCK_WAIT_SECONDS", 0.0)
    path = path_of(store)
    change(make_database(path), "PRAGMA journal_mode=DELETE")
    async with aclosing(InProcessTransport(store)) as transport:
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            for _ in range(2):
                with pytest.raises(UnreachableError, match="locked by another process"):
                    await experiments(transport)
        assert await experiments(transport) == ["Default"]


async def test_an_older_schema_is_never_upgraded_unasked(tmp_path: Path):
    """MLflow itself migrates when a table is missing; the sentence names the command instead."""
    path = make_database(tmp_path / "mlflow.db")
    oldest = "451aebb31d03"  # The first migration of MLflow.
    change(path, f"UPDATE alembic_version SET version_num = '{oldest}'", "DROP TABLE webhook_events")
    text = await refusal(store_at(path))
    assert f"mlflow db upgrade sqlite:///{path}" in text
    assert query(path, "SELECT version_num FROM alembic_version") == [(oldest,)]


async def test_a_newer_schema_is_a_sentence(tmp_path: Path):
    """A colleague's newer MLflow wrote it."""
    path = make_database(tmp_path / "mlflow.db")
    change(path, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    assert "newer MLflow" in await refusal(store_at(path))


async def test_a_database_server_that_is_away_is_a_sentence_without_the_password():
    """Or its driver is missing, which is a sentence as well."""
    uri = "postgresql://ann:secret@127.0.0.1:9/mlflow?password=tiger"
    text = await refusal(LocalStore(uri, uri, "/nowhere"))
    assert "No connection to the database postgresql://127.0.0.1:9/mlflow" in text or "driver psycopg" in text
    assert "secret" not in text and "tiger" not in text


# --- requests ----------------------------------------------------------------------------------------------------


async def test_paths_queries_uploads_and_ranges_arrive_as_they_were_sent(store: LocalStore):
    """Spaces, umlauts, lists and parts of a file: all that the tools send."""
    async with aclosing(InProcessTransport(store)) as transport:
        assert (await transport.request("GET", "/health", idempotent=True)).body == b"OK"
        run = await ask(transport, "/api/2.0/mlflow/runs/create", {"experiment_id": "0", "start_time": 1})
        run_id = run["run"]["info"]["run_id"]
        place = {"run_uuid": run_id, "path": "plots/größe 1.txt"}
        upload = "/ajax-api/2.0/mlflow/upload-artifact"
        stored = await transport.request("POST", upload, params=place, content=b"0123456789", idempotent=True)
        assert stored.status == 200
        part = await transport.request(
            "GET",
            "/get-artifact",
            params={"run_id": run_id, "path": "plots/größe 1.txt"},
            headers={"Range": "bytes=2-4"},
            idempotent=True,
        )
        assert (part.status, part.headers["content-range"], part.body) == (206, "bytes 2-4/10", b"234")
        history = await transport.request(
            "GET",
            "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
            params={"run_id": [run_id, run_id], "metric_key": "loss"},
            idempotent=True,
        )
        assert json.loads(history.body) == {"metrics": []}
        nowhere = await transport.request("GET", "/nowhere%2Fat%20all", idempotent=True)
        assert nowhere.status == 404


async def test_artifacts_of_an_mlflow_server_on_the_same_file_can_be_read(store: LocalStore, tmp_path: Path):
    """Such a server writes `mlflow-artifacts:` locations and keeps the files in `mlartifacts` beside the database."""
    async with aclosing(InProcessTransport(store)) as transport:
        body = {"name": "served", "artifact_location": "mlflow-artifacts:/7"}
        experiment = await ask(transport, "/api/2.0/mlflow/experiments/create", body)
        run = await ask(transport, "/api/2.0/mlflow/runs/create", experiment | {"start_time": 1})
        run_id = run["run"]["info"]["run_id"]
        folder = tmp_path / "mlartifacts" / "7" / run_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "notes.txt").write_text("from a server")
        listed = await transport.request(
            "GET", "/api/2.0/mlflow/artifacts/list", params={"run_id": run_id}, idempotent=True
        )
        assert json.loads(listed.body)["files"][0]["path"] == "notes.txt"
        read = await transport.request(
            "GET", "/get-artifact", params={"run_id": run_id, "path": "notes.txt"}, idempotent=True
        )
        assert read.body == b"from a server"


async def test_a_failure_of_the_application_shows_nothing_of_its_text(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The log has the traceback, the agent a sentence."""
    import mlflow.server

    def broken(environ: dict[str, Any], start_response: object) -> list[bytes]:
        raise ValueError("INSERT INTO secrets")

    monkeypatch.setattr(mlflow.server, "app", broken)
    async with aclosing(InProcessTransport(store)) as transport:
        with pytest.raises(TrackingServerError) as raised:
            await transport.request("GET", "/version", idempotent=True)
    assert "INSERT" not in str(raised.value)
    assert "INSERT INTO secrets" in caplog.text


# --- the template and the file -----------------------------------------------------------------------------------


def schema_of(path: Path) -> dict[str, Any]:
    """Everything that makes two SQLite schemas equal, statistics aside."""
    with closing(sqlite3.connect(path)) as connection:
        objects = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'sqlite_stat1' ORDER BY type, name"
        ).fetchall()
        tables = [name for kind, name, *_ in objects if kind == "table"]
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in tables}
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    # The migrations write the constraints of a table in another order each time; columns have theirs in `columns`.
    texts = [(*names, sorted(line.strip(", \t") for line in (sql or "").splitlines())) for *names, sql in objects]
    return {"objects": texts, "columns": columns, "rows": rows}


def test_the_template_makes_what_the_migrations_make(tmp_path: Path):
    """Compared with a file that MLflow's own migrations made on disk, rows of its bookkeeping included."""
    import sqlalchemy
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    utils._initialize_tables(engine)
    engine.dispose()
    assert schema_of(make_database(tmp_path / "made.db")) == schema_of(tmp_path / "migrated.db")


def test_the_shipped_template_is_small_and_of_the_installed_mlflow():
    """`python -m mcp_server.mlflow_integration.local.schema_template` makes it again when MLflow changes its schema."""
    assert template.SHIPPED.stat().st_size < 10_000
    revision = mlflow_internals.latest_schema_revision()
    if (shipped := template._load(template.SHIPPED, revision)) is None:
        pytest.skip(
            f"This MLflow has schema {revision}, and the package ships another: make it again. Until then the first "
            "start of each user takes about 2 s more."
        )
    assert len(shipped) == len(mlflow_internals.migrated_schema())


def test_an_unknown_revision_is_migrated_once_and_then_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The shipped template serves one revision; every other costs its migrations once per user."""
    monkeypatch.setattr(template, "SHIPPED", tmp_path / "none")
    revision = mlflow_internals.latest_schema_revision()
    statements = template.schema_statements(revision, tmp_path / "cache")
    monkeypatch.setattr(template, "migrated_schema", lambda: pytest.fail("migrated twice"))
    assert template.schema_statements(revision, tmp_path / "cache") == statements
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"schema-{revision}.json.gz"]


@pytest.mark.parametrize("spoilt", [b"", b"no gzip", b"\x1f\x8b\x08\x00"])
def test_an_unusable_cache_does_not_matter(spoilt: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither a spoilt file in it nor a cache that cannot be written."""
    monkeypatch.setattr(template, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr(template, "migrated_schema", lambda: ["SELECT 1"])
    (tmp_path / "schema-abc.json.gz").write_bytes(spoilt)
    assert template.schema_statements("abc", tmp_path) == ["SELECT 1"]
    (tmp_path / "file").touch()
    assert template.schema_statements("abc", tmp_path / "file") == ["SELECT 1"]


def test_a_file_that_another_process_made_meanwhile_is_left_alone(tmp_path: Path):
    """Two servers started at once on one new path."""
    path = make_database(tmp_path / "mlflow.db")
    change(path, "INSERT INTO workspaces (name) VALUES ('theirs')")
    make_database(path)
    assert ("theirs",) in query(path, "SELECT name FROM workspaces")


async def test_a_new_file_gets_wal_and_statistics_of_a_grown_store(store: LocalStore):
    """Ordering by a metric would otherwise become quadratic as soon as the store has grown."""
    path = path_of(store)
    async with aclosing(InProcessTransport(store)) as transport:
        await experiments(transport)
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    tables = {table for (table,) in query(path, "SELECT tbl FROM sqlite_stat1")}
    assert tables == {"runs", "tags", "params", "metrics", "latest_metrics"}


@pytest.mark.parametrize(("runs", "expected"), [(3, "5247 1"), (150, "150 1")])
async def test_an_existing_file_without_statistics_gets_them(runs: int, expected: str, tmp_path: Path):
    """Its own when it has runs to speak of, else those of a grown store; its journal mode stays."""
    path = grown(tmp_path / "mlflow.db", runs)
    async with aclosing(InProcessTransport(store_at(path))) as transport:
        await experiments(transport)
    assert query(path, "SELECT stat FROM sqlite_stat1 WHERE tbl = 'runs'") == [(expected,)]
    assert query(path, "PRAGMA journal_mode") == [("delete",)]


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_read_only_leaves_the_folder_as_it_is(journal: str, tmp_path: Path):
    """No statistics, no artifact folder, no byte of the database changed, and MLflow itself cannot write."""
    path = grown(tmp_path / "mlflow.db", 150)
    change(path, f"PRAGMA journal_mode={journal}")
    before = contents(tmp_path)
    async with aclosing(InProcessTransport(store_at(path, read_only=True))) as transport:
        assert await experiments(transport) == ["Default"]
        body = {"name": "written"}
        reply = await transport.request("POST", "/api/2.0/mlflow/experiments/create", json=body, idempotent=False)
        assert reply.status >= 400
    assert contents(tmp_path) == before


@pytest.mark.parametrize("existing", [False, True])
async def test_read_only_creates_no_store(existing: bool, tmp_path: Path):
    """Neither the folder nor the database, and no tables in an empty file; the sentence says what to do."""
    path = tmp_path / "data" / "mlflow.db"
    if existing:
        path.parent.mkdir()
        path.touch()
    before = contents(tmp_path)
    text = await refusal(replace(store_at(path, read_only=True), makes_folder=True))
    assert "a read-only server creates nothing. Set MLFLOW_TRACKING_URI" in text
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, and every folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def grown(path: Path, runs: int) -> Path:
    """A database as MLflow leaves it after so many runs: no statistics, no WAL."""
    change(
        make_database(path),
        "DROP TABLE sqlite_stat1",
        "PRAGMA journal_mode=DELETE",
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace) "
        "VALUES (0, 'Default', '/nowhere', 'active', 'default')",
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs}) "
        "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status, source_type) "
        "SELECT printf('%032d', i), 0, 'active', 'FINISHED', 'LOCAL' FROM n",
    )
    return path
