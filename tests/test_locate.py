"""Which MLflow is chosen, and what is said about addresses that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_server.errors import UnsupportedError
from mcp_server.mlflow_integration.engine import open_transports
from mcp_server.mlflow_integration.local.in_process import InProcessTransport
from mcp_server.mlflow_integration.locate import LocalStore, Location, locate
from mcp_server.mlflow_integration.locate.uris import without_credentials
from mcp_server.mlflow_integration.rest.http_transport import HttpTransport
from mcp_server.mlflow_integration.rest.plugin_transport import PluginTransport
from mcp_server.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a data folder beside it, and no setting from outside."""
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_MOCK_MODE", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MLFLOW_MCP_DATA_DIR", str(tmp_path / "data"))
    return working


def located(uri: str = "", **flags: object) -> Location:
    return locate(Settings.load(tracking_uri=uri or None, **flags))


# --- the order ---------------------------------------------------------------------------------------------------


def test_nothing_given_means_a_private_store(tmp_path: Path):
    """Hosts start servers in unpredictable folders; the folder itself is made with the first request."""
    location = located()
    assert location.kind == "database"
    assert location.tracking_uri == f"sqlite:///{tmp_path}/data/mlflow.db"
    assert location.local_store == LocalStore(
        location.tracking_uri, location.tracking_uri, artifact_root=f"{tmp_path}/data/mlruns", makes_folder=True
    )
    assert "private" in location.why
    assert not (tmp_path / "data").exists()
    open_transports(location, Settings.load())
    assert not (tmp_path / "data").exists()


def test_a_database_in_the_working_folder_comes_before_the_private_one(folder: Path):
    """It is what training scripts started there use; its artifacts go where theirs go."""
    (folder / "mlflow.db").touch()
    location = located()
    assert location.tracking_uri == f"sqlite:///{folder}/mlflow.db"
    assert location.local_store is not None
    assert location.local_store.artifact_root == f"{folder}/mlruns"
    assert location.why == "mlflow.db is in the working folder"


def test_a_file_store_in_the_working_folder_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """MLflow 3 refuses it, so silence would hide the user's runs behind an empty private store."""
    (folder / "mlruns" / "0").mkdir(parents=True)
    assert located().kind == "database"  # A folder of artifacts only.
    (folder / "mlruns" / "0" / "meta.yaml").touch()
    location = located()
    assert location.kind == "unsupported"
    assert "mlflow migrate-filestore --source mlruns" in location.problem
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    location = located()
    assert location.local_store == LocalStore(*[str(folder / "mlruns")] * 3)


def test_a_setting_comes_before_the_working_folder_and_says_where_it_is_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Flag, then variable, then .env."""
    (folder / "mlflow.db").touch()
    (folder / ".env").write_text("MLFLOW_TRACKING_URI=http://from-file:5000\n")
    assert (located().shown_uri, located().why) == ("http://from-file:5000", "given by MLFLOW_TRACKING_URI in .env")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-variable:5000")
    assert located().why == "given by the environment variable MLFLOW_TRACKING_URI"
    assert located("http://from-flag:5000").why == "given by the flag --tracking-uri"


def test_mock_mode_comes_before_everything():
    """Nobody who asks for it wants their own store touched."""
    location = located("http://host:5000", mock_mode=True)
    assert location.kind == location.shown_uri == "mock"
    assert location.local_store == LocalStore("", "", "", temporary=True)
    assert location.why == "mock mode, set by the flag --mock-mode"


# --- addresses that work -----------------------------------------------------------------------------------------


def test_a_server_is_shown_and_linked_without_its_credentials():
    """The transport keeps them."""
    location = located("  https://ann:secret@host:8443/mlflow/  ")
    assert location.kind == "server"
    assert location.tracking_uri == "https://ann:secret@host:8443/mlflow/"
    assert location.shown_uri == location.ui_url == "https://host:8443/mlflow"
    assert location.local_store is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///rel.db", "sqlite:///{folder}/rel.db"),
        ("sqlite:///rel.db?timeout=5", "sqlite:///{folder}/rel.db?timeout=5"),
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite+pysqlite:////abs/mlflow.db", "sqlite+pysqlite:////abs/mlflow.db"),
        ("sqlite:///C:/x/mlflow.db", "sqlite:///C:/x/mlflow.db"),
        ("postgresql+psycopg2://ann:secret@host/db", "postgresql+psycopg2://ann:secret@host/db"),
        ("mysql://host/db", "mysql://host/db"),
        ("mssql+pyodbc://host/db", "mssql+pyodbc://host/db"),
    ],
)
def test_databases_are_opened_in_this_process(uri: str, expected: str, folder: Path):
    """Relative paths are those of the working folder at the start."""
    location = located(uri)
    assert (location.kind, location.problem) == ("database", "")
    assert location.tracking_uri == expected.format(folder=folder)
    assert location.local_store is not None
    assert "secret" not in location.shown_uri + location.why


@pytest.mark.parametrize(
    ("installed", "uri", "expected"),
    [
        ({"psycopg2"}, "postgresql://host/db", "postgresql+psycopg2://host/db"),
        ({"psycopg"}, "postgresql://host/db", "postgresql+psycopg://host/db"),
        ({"psycopg", "psycopg2"}, "postgresql://host/db", "postgresql://host/db"),
        (set(), "postgresql://host/db", "postgresql://host/db"),
        ({"psycopg2"}, "postgresql+psycopg://host/db", "postgresql+psycopg://host/db"),
        ({"pymysql"}, "mysql://ann:secret@host/db?charset=utf8", "mysql+pymysql://ann:secret@host/db?charset=utf8"),
        ({"MySQLdb"}, "mysql://host/db", "mysql+mysqldb://host/db"),
    ],
)
def test_a_database_is_opened_with_the_driver_that_is_installed(
    installed: set[str], uri: str, expected: str, monkeypatch: pytest.MonkeyPatch
):
    """SQLAlchemy's default changed from psycopg2 to psycopg, and people have one of them."""
    monkeypatch.setattr(
        "mcp_server.mlflow_integration.locate.find_spec", lambda name: name if name in installed else None
    )
    location = located(uri)
    assert location.tracking_uri == expected
    assert location.shown_uri == uri.replace("ann:secret@", "").partition("?")[0]


def test_an_artifact_location_that_was_given_is_taken():
    """Also for network databases, which otherwise get the private folder."""
    location = located("postgresql://host/db", artifact_location="s3://bucket/runs")
    assert location.local_store is not None
    assert location.local_store.artifact_root == "s3://bucket/runs"


def test_one_mlflow_has_one_transport_and_two_have_two():
    """In every combination of near and far."""
    near, far = "sqlite:////abs/mlflow.db", "http://registry:5000"
    for tracking, registry, kinds in (
        (near, None, (InProcessTransport, InProcessTransport)),
        (near, "sqlite:////abs/registry.db", (InProcessTransport, InProcessTransport)),
        (far, None, (HttpTransport, HttpTransport)),
        (far, "http://other:5000", (HttpTransport, HttpTransport)),
        (near, far, (InProcessTransport, HttpTransport)),
        (far, near, (HttpTransport, InProcessTransport)),
    ):
        settings = Settings.load(tracking_uri=tracking, registry_uri=registry)
        transports = open_transports(locate(settings), settings)
        assert tuple(map(type, transports)) == kinds
        # Two local databases are one application.
        assert (transports[0] is transports[1]) == (kinds[0] is kinds[1] and registry != "http://other:5000")


def test_two_local_databases_are_one_store_with_two_uris():
    """MLflow opens them together; a registry that is alone here is both halves of the store."""
    location = located("sqlite:////abs/mlflow.db", registry_uri="sqlite:////abs/registry.db")
    assert location.local_store == LocalStore("sqlite:////abs/mlflow.db", "sqlite:////abs/registry.db", "/abs/mlruns")
    location = located("http://host:5000", registry_uri="sqlite:////abs/registry.db")
    assert location.local_store is not None
    assert location.local_store.tracking_uri == location.local_store.registry_uri == "sqlite:////abs/registry.db"


# --- addresses that do not ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("databricks-uc", "not supported by this version"),
        ("uc:http://host", "not supported by this version"),
        ("foo://bar", "MLFLOW_TRACKING_URI is 'foo://bar': this kind of address is not supported"),
        ("not a uri", "this is not the address of an MLflow store. Supported: http(s)://"),
        ("http://", "cannot be read as an address"),
        ("http://host:port", "cannot be read as an address"),
        ("localhost:5000", "write http://localhost:5000"),
        ("mlflow.db", "write sqlite:///mlflow.db"),
        ("sqlite://mlflow.db", "write sqlite:///mlflow.db"),
        ("sqlite://", "MLFLOW_MOCK_MODE=true"),
        ("sqlite:///:memory:", "MLFLOW_MOCK_MODE=true"),
        ("postgres://host/db", "write postgresql://"),
        ("file:///data/mlruns", "mlflow migrate-filestore --source /data/mlruns"),
        ("./mlruns", "mlflow migrate-filestore --source mlruns"),
        (r"C:\data\mlruns", "a file store"),
    ],
)
async def test_an_unusable_address_is_a_sentence_and_no_reason_not_to_start(uri: str, sentence: str):
    """The transports are there, and every request is answered with the sentence."""
    settings = Settings.load(tracking_uri=uri)
    location = locate(settings)
    assert (location.kind, location.local_store) == ("unsupported", None)
    tracking, registry = open_transports(location, settings)
    assert tracking is registry
    with pytest.raises(UnsupportedError) as raised:
        await tracking.request("GET", "/health", idempotent=True)
    assert sentence in str(raised.value)
    assert raised.value.carried_out is False
    await tracking.aclose()


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile"])
def test_databricks_is_asked_by_mlflows_own_client(uri: str):
    """It has no address of its own to link to."""
    location = located(uri)
    assert (location.kind, location.shown_uri, location.ui_url) == ("server", uri, "")
    assert isinstance(open_transports(location, Settings.load(tracking_uri=uri))[0], PluginTransport)


@pytest.mark.parametrize(
    ("variable", "value"), [("MLFLOW_TRACKING_AUTH", "sso"), ("MLFLOW_TRACKING_AWS_SIGV4", "true")]
)
def test_plugins_sign_in_to_servers_that_the_user_chose(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, folder: Path
):
    """And never to one that a .env chose."""
    monkeypatch.setenv(variable, value)
    settings = Settings.load(tracking_uri="https://host")
    assert isinstance(open_transports(locate(settings), settings)[0], PluginTransport)
    (folder / ".env").write_text("MLFLOW_TRACKING_URI=https://host\n")
    assert isinstance(open_transports(locate(Settings.load()), Settings.load())[0], HttpTransport)


async def test_an_unusable_registry_leaves_tracking_alone():
    """And is named by its own variable."""
    settings = Settings.load(tracking_uri="http://host:5000", registry_uri="databricks-uc")
    tracking, registry = open_transports(locate(settings), settings)
    assert isinstance(tracking, HttpTransport)
    with pytest.raises(UnsupportedError, match="MLFLOW_REGISTRY_URI is 'databricks-uc'"):
        await registry.request("GET", "/health", idempotent=True)


@pytest.mark.parametrize(
    "uri",
    [
        "http://ann:12/secret@host",
        "http://ann:secret@host:port",
        "ann:secret@host:5000",
        "foo://ann:secret@host",
        "postgresql://ann:se/cr@et:secret@host/db?password=secret",
        "postgres://ann:secret@host/db",
    ],
)
def test_no_secret_is_shown_whatever_the_address_looks_like(uri: str):
    """Addresses with mistakes are the ones that are shown most."""
    location = located(uri)
    assert "secret" not in location.shown_uri + location.ui_url + location.why + location.problem


def test_a_path_with_an_at_sign_is_shown_as_it_is():
    """Home folders of some companies are mail addresses."""
    assert without_credentials("sqlite:////home/ann@corp/mlflow.db") == "sqlite:////home/ann@corp/mlflow.db"
