"""Servers that MLflow's own client signs in to, played by a server on this machine and a plugin of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_server.errors import DeadlineError, TrackingServerError, UnreachableError
from mcp_server.mlflow_integration.rest import plugin_transport
from mcp_server.mlflow_integration.rest.plugin_transport import PluginTransport
from mcp_server.settings import Settings
from tests.test_http_transport import BUSY, OK, PATH, hang, reply, serving, undisturbed  # noqa: F401


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLFLOW_TRACKING_AUTH=sso, as a package that is installed would provide it."""
    from mlflow.tracking.request_auth import registry

    class Provider:
        def get_name(self) -> str:
            return "sso"

        def get_auth(self) -> Any:
            def sign(request: Any) -> Any:
                request.headers["Authorization"] = "Signed abc"
                return request

            return sign

    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "sso")
    monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")
    providers = registry._request_auth_provider_registry
    monkeypatch.setattr(providers, "_registry", [*providers._registry, Provider()])
    yield


def plugin(url: str, **settings: Any) -> PluginTransport:
    return PluginTransport(url, url, Settings(**settings))


async def test_the_plugin_signs_what_arrives_like_any_request():
    """Body, query and the reply's headers in lower case."""
    async with serving(OK) as server:
        got = await plugin(server.url).request("POST", PATH, json={"filter": "é"}, idempotent=True)
        await plugin(server.url).request("GET", PATH, params={"run_ids": ["a", "b"]}, idempotent=True)
    assert (got.status, got.body, got.headers["content-type"]) == (200, b'{"runs":[]}', "application/json")
    assert server.asked[0].headers["authorization"] == "Signed abc"
    assert server.asked[1].target == PATH + "?run_ids=a&run_ids=b"


async def test_nothing_is_sent_twice():
    """MLflow's client would try for four minutes."""
    async with serving(BUSY) as server:
        assert (await plugin(server.url).request("POST", PATH, json={}, idempotent=True)).status == 503
    assert len(server.asked) == 1


async def test_a_redirect_is_not_followed():
    """The signature stays with the server it is for."""
    async with serving(OK) as other, serving(reply(302, Location=other.url)) as server:
        try:
            got = await plugin(server.url).request("GET", PATH, idempotent=True)
            assert got.status == 302
        except UnreachableError:
            pass
    assert other.asked == []


async def test_a_server_that_hangs_is_given_up_in_time():
    """The thread goes on until its own timeout."""
    async with serving(hang) as server:
        with pytest.raises((DeadlineError, UnreachableError)):
            await plugin(server.url, timeout_seconds=0.2).request("GET", PATH, idempotent=True)


async def test_a_server_that_is_away_is_a_sentence_without_library_text():
    """One try."""
    with pytest.raises(UnreachableError) as raised:
        await plugin("http://127.0.0.1:9").request("GET", PATH, idempotent=True)
    assert str(raised.value).startswith("MLflow's client could not ask http://127.0.0.1:9")
    assert "urllib3" not in str(raised.value) and "HTTPConnection" not in str(raised.value)


async def test_a_large_answer_is_cut(monkeypatch: pytest.MonkeyPatch):
    """As over HTTP."""
    monkeypatch.setattr(plugin_transport, "BODY_LIMIT", 4)
    async with serving(OK) as server:
        with pytest.raises(TrackingServerError, match="is larger than"):
            await plugin(server.url).request("GET", PATH, idempotent=True)


async def test_artifacts_arrive_in_pieces():
    """What reads them does not know which transport it has."""
    async with serving(OK) as server, plugin(server.url).stream("/get-artifact") as got:
        assert b"".join([piece async for piece in got.pieces]) == b'{"runs":[]}'
