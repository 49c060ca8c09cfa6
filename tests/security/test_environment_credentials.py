"""An address that a stranger's `.env` sets receives no credential of the person, whoever sends the request."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.mlflow_integration.locate import locate
from mcp_server.settings import Settings
from tests.security.capturing_server import Captured, capturing
from tests.test_cli import BOUND_SECONDS, run
from tests.test_http_transport import OK, PATH, make_certificate, serving, undisturbed  # noqa: F401

CREDENTIALS = {
    "MLFLOW_TRACKING_TOKEN": "token-of-the-environment",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": "password-of-the-environment",
    "AWS_ACCESS_KEY_ID": "key-of-the-environment",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-environment",
    "AWS_SESSION_TOKEN": "session-of-the-environment",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "DATABRICKS_TOKEN": "dapi-of-the-environment",
}
TRAINING = """\
import logging; logging.basicConfig()
from mcp_server.mlflow_integration.tracking import get_mlflow_tracker
tracker = get_mlflow_tracker()
with tracker.start_run("one"):
    tracker.log_metric("accuracy", 0.9)
    tracker.log_text("hello", "notes.txt")
"""


@pytest.fixture
def stranger() -> Iterator[Captured]:
    with capturing() as captured:
        yield captured


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with every file in which clients find credentials by themselves."""
    home = tmp_path / "home"
    (home / ".mlflow").mkdir(parents=True)
    login = "mlflow_tracking_username = file\nmlflow_tracking_password = password-of-the-file\n"
    (home / ".mlflow" / "credentials").write_text(f"[mlflow]\n{login}")
    (home / ".netrc").write_text("default login ann password password-of-netrc\n")
    (home / ".netrc").chmod(0o600)
    (home / ".databrickscfg").write_text("[DEFAULT]\nhost = http://127.0.0.1:9\ntoken = dapi-of-the-file\n")
    return home


def train(folder: Path, home: Path, **environment: str) -> str:
    """Runs a training script in a folder; gives what it said."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=folder,
        env={**bare, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def checkout(tmp_path: Path, *lines: str) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir(exist_ok=True)
    (folder / ".env").write_text("\n".join(lines))
    return folder


def test_a_script_sends_a_strangers_address_nothing(tmp_path: Path, home: Path, stranger: Captured):
    """MLflow's own client; its server names a second host for artifacts, which gets nothing either."""
    with capturing() as artifacts:
        stranger.artifacts = artifacts.url
        folder = checkout(tmp_path, f"MLFLOW_TRACKING_URI={stranger.url}")
        said = train(folder, home, **CREDENTIALS)
        assert any("runs/log-batch" in path or "log-metric" in path for path in stranger.paths)
        assert any("notes.txt" in path for path in artifacts.paths)
        assert stranger.credentials + artifacts.credentials == []
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "~/.mlflow/credentials"):
        assert f"{name} is not sent to the MLFLOW_TRACKING_URI of .env" in said


def test_a_script_sends_what_the_env_file_itself_holds(tmp_path: Path, home: Path, stranger: Captured):
    """Those are meant for that address."""
    folder = checkout(tmp_path, f"MLFLOW_TRACKING_URI={stranger.url}", "MLFLOW_TRACKING_TOKEN=of-the-env-file")
    train(folder, home)
    assert set(stranger.credentials) == {"Bearer of-the-env-file"}


def test_a_script_signs_in_where_the_person_said(tmp_path: Path, home: Path, stranger: Captured):
    """The same address, set in the environment: nothing is withheld."""
    said = train(checkout(tmp_path), home, MLFLOW_TRACKING_URI=stranger.url, MLFLOW_TRACKING_TOKEN="mine")
    assert stranger.credentials
    assert "is not sent" not in said


def test_check_sends_nothing_and_says_so(tmp_path: Path, home: Path, stranger: Captured):
    """Every credential by name, whether a variable or a file; signing plugins of MLflow are not used."""
    switches = {"MLFLOW_TRACKING_AWS_SIGV4": "true", "MLFLOW_TRACKING_AUTH": "plugin"}
    folder = checkout(tmp_path, f"MLFLOW_TRACKING_URI={stranger.url}")
    said = run(
        "check", cwd=folder, HOME=str(home), MLFLOW_TRACKING_CLIENT_CERT_PATH="/x.pem", **CREDENTIALS, **switches
    )
    assert stranger.paths
    assert stranger.credentials == []
    withheld = {*switches, "~/.mlflow/credentials", "MLFLOW_TRACKING_CLIENT_CERT_PATH"}
    withheld |= {name for name in CREDENTIALS if name.startswith("MLFLOW_TRACKING_")}
    assert {line.partition(" ")[0] for line in said.stdout.splitlines() if "is not sent" in line} == withheld


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
async def test_a_client_certificate_is_not_offered(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither to a tracking server of `.env` nor to a registry of it; a server that demands one is not reached."""
    certificate = make_certificate(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("CLIENT", "SERVER"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}_CERT_PATH", str(certificate.path))
    async with serving(OK, tls=certificate.server_side(mutual=True)) as server:
        (tmp_path / ".env").write_text(f"{variable}={server.url}\n")
        engine = open_engine(Settings.load())
        with pytest.raises(UnreachableError):
            await engine.transports[-1].request("GET", PATH, idempotent=True)
        await engine.aclose()
        (tmp_path / ".env").unlink()
        monkeypatch.setenv(variable, server.url)
        engine = open_engine(Settings.load())
        assert (await engine.transports[-1].request("GET", PATH, idempotent=True)).status == 200
        await engine.aclose()


def test_a_registry_of_an_env_file_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where no tracking URI is set at all."""
    monkeypatch.chdir(checkout(tmp_path, "MLFLOW_REGISTRY_URI=http://stranger.example"))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert (settings.token.get_secret_value(), settings.password.get_secret_value(), settings.username) == ("", "", "")
    assert "MLFLOW_TRACKING_TOKEN is not sent to the MLFLOW_REGISTRY_URI of .env" in " ".join(settings.ignored)


@pytest.mark.parametrize("source", ["PGPASSWORD", "PGPASSFILE", "MYSQL_PWD", ".pgpass"])
def test_a_database_of_an_env_file_gets_no_password_of_the_person(
    source: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Drivers take it from the environment when the address has none, and send it to any host."""
    monkeypatch.setenv("HOME", str(home))
    if source.startswith("."):
        (home / source).write_text("*:*:*:*:s3cret")
    else:
        monkeypatch.setenv(source, "s3cret")
    scheme = "mysql" if source == "MYSQL_PWD" else "postgresql"
    monkeypatch.chdir(checkout(tmp_path, f"MLFLOW_TRACKING_URI={scheme}://me@stranger.example/db"))
    location = locate(Settings.load())
    assert location.kind == "unsupported"
    assert "would get the password" in location.problem and "s3cret" not in location.problem
    checkout(tmp_path, f"MLFLOW_TRACKING_URI={scheme}://me:its-own@stranger.example/db")
    assert locate(Settings.load()).kind == "database"
    checkout(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me@mine.example/db")
    assert locate(Settings.load()).kind == "database"
