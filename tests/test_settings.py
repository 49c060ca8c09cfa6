"""Where settings come from, and how far a `.env` file of somebody else is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_server.errors import SettingsError
from mcp_server.settings import SAFETY, Settings, variable_of
from tests.test_cli import run

SAFETY_FIELDS = [name for name, field in Settings.model_fields.items() if field.json_schema_extra == SAFETY]
VALUES = {
    "insecure_tls": "true",
    "confirm": "never",
    "allowed_folders": "/",
    "ui_url": "https://phishing.example",
}
"""What a hostile file would set; a path for the others."""


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes `.env` in a working folder of its own."""
    monkeypatch.chdir(tmp_path)

    def write(*lines: str) -> None:
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")

    return write


def test_the_settings_that_safety_rests_on_are_marked():
    """A new one is added here on purpose."""
    expected = {"insecure_tls", "server_cert_path", "client_cert_path", "confirm", "promotion_policy"}
    assert expected | {"allowed_folders", "data_dir", "audit_log", "trackers", "ui_url"} == set(SAFETY_FIELDS)


@pytest.mark.parametrize("name", SAFETY_FIELDS)
def test_an_env_file_sets_nothing_that_safety_rests_on(name: str, env_file, monkeypatch: pytest.MonkeyPatch):
    """A stranger's checkout cannot open folders, turn questions off or accept any certificate."""
    monkeypatch.delenv(variable_of(name), raising=False)
    env_file(f"{variable_of(name)}={VALUES.get(name, '/tmp/other')}")
    settings = Settings.load()
    assert getattr(settings, name) == Settings.model_fields[name].default
    assert settings.source(name) == "default"
    assert [sentence.partition(" ")[0] for sentence in settings.ignored] == [variable_of(name)]


@pytest.mark.parametrize("name", SAFETY_FIELDS)
def test_flags_and_the_environment_still_set_them(name: str, env_file, monkeypatch: pytest.MonkeyPatch):
    """They belong to the person."""
    value = VALUES.get(name, "/tmp/other")
    env_file(f"{variable_of(name)}=/tmp/of-the-file")
    monkeypatch.setenv(variable_of(name), value)
    settings = Settings.load()
    assert getattr(settings, name) != Settings.model_fields[name].default
    assert (settings.source(name), settings.ignored) == ("environment", ())
    assert Settings.load(**{name: value}).source(name) == "flag"


def test_an_env_file_cannot_turn_read_only_off(env_file, monkeypatch: pytest.MonkeyPatch):
    """But it can turn it on."""
    env_file("MLFLOW_MCP_READ_ONLY=false")
    monkeypatch.setenv("MLFLOW_MCP_READ_ONLY", "true")
    assert Settings.load().read_only is True
    monkeypatch.delenv("MLFLOW_MCP_READ_ONLY")
    env_file("MLFLOW_MCP_READ_ONLY=true")
    assert Settings.load().read_only is True


def test_the_address_of_an_env_file_gets_no_credentials_of_the_environment(env_file, monkeypatch: pytest.MonkeyPatch):
    """A project could otherwise have the person's token sent to it."""
    env_file("MLFLOW_TRACKING_URI=http://stranger.example", "MLFLOW_TRACKING_USERNAME=guest")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-token")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-password")
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", "/home/me/key.pem")
    settings = Settings.load()
    assert settings.tracking_uri == "http://stranger.example"
    assert (settings.token.get_secret_value(), settings.password.get_secret_value()) == ("", "")
    assert settings.client_cert_path == ""
    assert settings.username == "guest"
    assert {sentence.partition(" ")[0] for sentence in settings.ignored} == {
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    }
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine.example")
    mine = Settings.load()
    assert (mine.tracking_uri, mine.token.get_secret_value()) == ("http://mine.example", "s3cret-token")
    assert mine.ignored == ()


def test_an_env_file_cannot_point_the_registry_elsewhere(env_file, monkeypatch: pytest.MonkeyPatch):
    """Credentials of the tracking server would go there too."""
    env_file("MLFLOW_REGISTRY_URI=http://stranger.example")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine.example")
    settings = Settings.load()
    assert settings.registry_uri == ""
    assert "MLFLOW_REGISTRY_URI" in settings.ignored[0]


def test_an_env_file_reads_nothing_of_the_environment(env_file, monkeypatch: pytest.MonkeyPatch):
    """Interpolation would put a secret into an address."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    env_file("MLFLOW_TRACKING_URI=http://stranger.example/${AWS_SECRET_ACCESS_KEY}")
    assert "s3cret" not in Settings.load().tracking_uri


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"=====\n\n[[[", b"\xef\xbb\xbfMLFLOW_MOCK_MODE=true"])
def test_an_env_file_that_cannot_be_understood_stops_nothing(content: bytes, tmp_path: Path, monkeypatch):
    """Not the encoding of Windows, not a file of another program; a mark of byte order is skipped."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(content)
    assert Settings.load().mock_mode == content.startswith(b"\xef\xbb\xbf")


def test_a_folder_named_env_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some people keep a virtual environment there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").mkdir()
    assert Settings.load().tracking_uri == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_MCP_TIMEOUT_SECONDS", "soon"),
        ("MLFLOW_MCP_TIMEOUT_SECONDS", "0"),
        ("MLFLOW_MCP_TIMEOUT_SECONDS", "1e9"),
        ("MLFLOW_MCP_READ_ONLY", "perhaps"),
        ("MLFLOW_MCP_LOG_LEVEL", "LOUD"),
        ("MLFLOW_MCP_CONFIRM", "sometimes"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_our_words(variable: str, value: str, monkeypatch: pytest.MonkeyPatch):
    """The same translation as for arguments; nothing of pydantic's."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert str(refused.value).startswith(f"{variable} is '{value}': expected ")
    assert "input" not in str(refused.value).lower()


def test_what_is_ignored_is_named_by_check_and_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The person learns why a line has no effect."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MLFLOW_MOCK_MODE=true\nMLFLOW_MCP_CONFIRM=never\n", encoding="utf-8")
    said = run("check")
    assert "MLFLOW_MCP_CONFIRM in .env is ignored" in said.stdout
    assert "MLFLOW_MCP_CONFIRM in .env is ignored" in said.stderr
