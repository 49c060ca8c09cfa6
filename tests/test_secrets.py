"""Known secrets: in no answer, no error and no log line, in none of their encodings; and to no other host."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from mcp_server import redaction
from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.locate import locate
from mcp_server.mlflow_integration.locate.uris import without_credentials
from mcp_server.outgoing import guarded
from mcp_server.redaction import redact, redacted, remember, remember_login, remember_variables
from mcp_server.settings import Settings
from tests.conftest import connect
from tests.test_http_transport import OK, PATH, serving, undisturbed  # noqa: F401

SECRET = "c@nary/p4ss wörd"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test makes known stays known."""
    monkeypatch.setattr(redaction, "_known", set())
    for cached in (redaction._pattern, redaction._searched):
        cached.cache_clear()
    yield
    for cached in (redaction._pattern, redaction._searched):
        cached.cache_clear()


ENCODINGS = (
    SECRET,
    quote(SECRET, safe=""),
    quote(SECRET),
    quote(SECRET, safe="").lower(),
    SECRET.replace(" ", "+").replace("@", "%40").replace("/", "%2F").replace("ö", "%C3%B6"),
    base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(f"ann:{SECRET}".encode()).decode(),
    base64.urlsafe_b64encode(f"ann:{SECRET}".encode()).decode().rstrip("="),
    '"c@nary/p4ss w\\u00f6rd"',
)


@pytest.mark.parametrize("form", ENCODINGS)
def test_a_known_secret_is_taken_out_in_every_encoding(form: str):
    """In text, and in keys and values of what is structured."""
    remember(SECRET, user="ann")
    assert form.strip('"') not in redact(f"before{form}after")
    assert form.strip('"') not in str(redacted({form: [{"a": form}, (form,)]}))


def test_what_merely_looks_like_a_short_secret_stays():
    """A password that is also the user name is a word of the address; three characters are part of any text."""
    remember("postgres", user="postgres")
    remember("abc", user="ann")
    remember("tiger", user="ann")
    assert redact("postgresql://postgres@host/abcdef tigers") == "postgresql://postgres@host/abcdef tigers"
    assert redact("the tiger, ann:tiger") == "the ***, ***"


def test_passwords_of_uris_are_known_by_themselves():
    """Of the authority, percent-encoded or not, and of the query."""
    remember_login("postgresql://ann:p%40ss-w0rd@host/db?sslpassword=q-s3cret&connect_timeout=5555")
    assert redact("p%40ss-w0rd p@ss-w0rd q-s3cret 5555") == "*** *** *** 5555"


def test_log_lines_and_their_tracebacks_are_redacted(caplog: pytest.LogCaptureFixture):
    """Of every logger and handler, the arguments of a record too, at every level, without anything being set up."""
    remember(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").debug("sent %s", {"password": SECRET})
        try:
            raise ValueError(f"refused {SECRET}")
        except ValueError:
            logging.getLogger("x").exception("failed")
    assert SECRET not in caplog.text and "sent" in caplog.text and "ValueError: refused ***" in caplog.text


def test_what_a_cut_leaves_of_a_long_secret_is_taken_out():
    """Tables and sentences cut long values before they leave."""
    remember("0123456789abcdefghijklmnopqrstuvwxyz")
    assert redact("0123456789abcdefghij… (16 more characters), 0123456789") == "***… (16 more characters), 0123456789"


def test_variables_with_the_name_of_a_secret_are_known():
    """Of any service; but no switch, number, path or short word."""
    remember_variables(
        {
            "AWS_SECRET_ACCESS_KEY": "aws-s3cret",
            "OPENAI_API_KEY": "sk-0123456789",
            "DATABASE_URL": "postgresql://ann:p%40ss-w0rd@host/db",
            "MLFLOW_MCP_TRACKERS": "dev=http://ann:one-s3cret@a,prod=https://bob:two-s3cret@b",
            "TOKENIZERS_PARALLELISM": "false",
            "MAX_TOKEN_COUNT": "10000000",
            "SSL_KEY_PASSWORD": "no",
            "SECRET_FILE": "/run/secrets/mlflow",
            "AWS_SECRET_NAME": "my-app-production",
            "DB_PASSWORD_PROD": "db-s3cret",
            "HOME_NAME": "something",
        }
    )
    hidden = "db-s3cret aws-s3cret sk-0123456789 p@ss-w0rd one-s3cret two-s3cret"
    kept = "my-app-production false 10000000 no /run/secrets/mlflow something dev prod"
    assert redact(f"{hidden} | {kept}") == f"*** *** *** *** *** *** | {kept}"


def test_words_of_the_protocol_stay_when_a_password_is_called_like_one():
    """An answer whose type or schema was masked could not be read."""
    for word in ("text", "object", "string", "complete", "name"):
        remember(word)
    answer = {"content": [{"type": "text", "text": "the text of an object"}], "resultType": "complete"}
    assert guarded(answer) == {"content": [{"type": "text", "text": "the *** of an ***"}], "resultType": "complete"}
    schema = {"type": "object", "properties": {"name": {"type": "string", "description": "A name."}}}
    described = {"type": "object", "properties": {"name": {"type": "string", "description": "A ***."}}}
    assert guarded({"tools": [{"inputSchema": schema}]}) == {"tools": [{"inputSchema": described}]}


@pytest.mark.parametrize(
    "uri",
    [
        "https://host/token/abc-DEF/mlflow",
        "https://host/dapi0123456789abcdef0123/mlflow",
        "https://host/x/eyJhbGciOiJIUzI1NiJ9aa.eyJzdWIi/mlflow?token=zzz",
    ],
)
def test_a_token_in_the_path_of_an_address_is_used_and_not_shown(uri: str):
    """Requests need it; no text does, and a link would either show it or lead nowhere."""
    location = locate(Settings(tracking_uri=uri))
    assert "***" in location.shown_uri and location.ui_url == ""
    for part in ("abc-DEF", "dapi0123", "eyJhbG", "zzz"):
        assert part not in location.shown_uri + location.why


@pytest.mark.parametrize(
    "address",
    ["https://host/mlflow", "https://host/mlflow-production-eu-west-1", "https://host/user/ann/proxy/8888"],
)
def test_an_ordinary_path_is_shown(address: str):
    """Names with digits are no tokens."""
    location = locate(Settings(tracking_uri=address))
    assert location.shown_uri == location.ui_url == address


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////data/mlflow.db?key=s3cret",
        "sqlite+pysqlcipher://:s3cret@/data/mlflow.db?cipher=aes",
        "postgresql://host/db?password=s3cret",
    ],
)
def test_keys_in_the_uri_of_a_database_are_not_shown(uri: str):
    """SQLite's encrypted kin takes them in the query or where a login stands."""
    assert "s3cret" not in without_credentials(uri) and without_credentials(uri).endswith(("/data/mlflow.db", "/db"))


async def test_a_secret_that_somebody_logged_is_not_shown(mock_engine: Engine):
    """A training script that logged its own token; both halves of the answer."""
    remember("canary-token-0123456789")
    async with connect(mock_engine) as agent:
        await agent.ask("log_run", experiment="leak", run_name="one", params={"token": "canary-token-0123456789"})
        run = (await agent.rows("search_runs", experiments=["leak"]))[0]["run_id"]
        result = await agent.client.call_tool("get_run", {"run": run})
    assert "canary" not in str(result.content) + str(result.structured_content)
    assert "***" in str(result.structured_content)


async def test_an_address_from_dotenv_never_receives_the_credentials_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The .env of a stranger's checkout names the stranger's server; the log and check name what was withheld."""
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = file\nmlflow_tracking_password = stored\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "environment-token")
    async with serving(OK) as server:
        (tmp_path / ".env").write_text(f"MLFLOW_TRACKING_URI={server.url}\n")
        await _ask()
        assert "authorization" not in server.asked[-1].headers
        assert "MLFLOW_TRACKING_TOKEN is not sent to" in "".join(Settings.load().ignored)
        # What the file itself holds is meant for that server.
        (tmp_path / ".env").write_text(
            f"MLFLOW_TRACKING_URI={server.url}\nMLFLOW_TRACKING_USERNAME=ann\nMLFLOW_TRACKING_PASSWORD=in-the-file\n"
        )
        await _ask()
        assert server.asked[-1].headers["authorization"].startswith("Basic ")
        # The same address, chosen by the user.
        (tmp_path / ".env").unlink()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        await _ask()
        assert server.asked[-1].headers["authorization"] == "Bearer environment-token"


async def _ask() -> None:
    engine = open_engine(Settings.load())
    await engine.transports[0].request("GET", PATH, idempotent=True)
    await engine.aclose()


async def test_no_secret_is_in_an_error(monkeypatch: pytest.MonkeyPatch):
    """A server that repeats what it was sent, as debug pages do."""
    from tests.test_http_transport import reply

    body = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad header canary-token-0123456789"}'
    async with serving(reply(400, body, Content_Type="application/json")) as server:
        settings = Settings(tracking_uri=server.url, token="canary-token-0123456789")
        async with connect(open_engine(settings)) as agent:
            text = await agent.refusal("search_experiments")
    assert "canary" not in text and "***" in text
    assert issubclass(MlflowToolError, Exception)
