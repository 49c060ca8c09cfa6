"""Servers that differ from a new one: older, below a prefix, behind TLS, with logins that hide what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mcp_server.errors import InvalidInputError, PermissionDeniedError, UnreachableError
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.settings import Settings
from tests.conftest import connect
from tests.test_http_transport import (
    LittleServer,
    connected,
    failure,
    read_request,
    reply,
    serving,
    undisturbed,  # noqa: F401
)

NOT_FOUND = reply(404, b"<!doctype html><title>404 Not Found</title>", Content_Type="text/html")
Route = Callable[[str], bytes]


class Routed(LittleServer):
    """Answers by the target of a request."""

    route: Route

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                writer.write(self.route((await read_request(reader)).target))
        except (OSError, EOFError):
            pass  # The client has gone, as it may.
        finally:
            writer.close()


async def asked_over(route: Route, path: str, use: Callable[[TrackingApi], Awaitable[Any]]) -> tuple[Any, str]:
    """What `use` returns against a server with these routes, reached at an address with this path."""
    async with routed(route) as url, connected(url + path) as carrier:
        return await use(TrackingApi(carrier, carrier.address)), carrier.address


@asynccontextmanager
async def routed(route: Route) -> AsyncIterator[str]:
    """The address of a server with these routes."""
    server = Routed(())
    server.route = route
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


NO_SAMPLING = {
    "message": "Column-expression-level unary distinct() should not be used outside of an aggregate function."
}


@pytest.mark.parametrize(
    "refusal", [NOT_FOUND, reply(500, json.dumps({"error_code": "BAD_REQUEST", **NO_SAMPLING}).encode())]
)
async def test_a_server_without_sampled_history_is_asked_for_all_of_it(refusal: bytes):
    """MLflow before 2.11, or before 3.15 with SQLAlchemy 2.1.

    Sampled here, every page read, and the missing endpoint asked for only once.
    """
    asked: list[str] = []

    def route(target: str) -> bytes:
        asked.append(target)
        if "get-history-bulk-interval" in target:
            return refusal
        first = "page_token" not in target
        steps = range(500) if first else range(500, 1_000)
        points = [{"key": "loss", "value": 1 / (s + 1), "step": s, "timestamp": s} for s in steps]
        return reply(200, json.dumps({"metrics": points, **({"next_page_token": "x"} if first else {})}).encode())

    async def curves(api: TrackingApi) -> Any:
        arguments: dict[str, Any] = {"max_results": 50, "start_step": 100, "end_step": 899}
        first = await api.metric_history_sample(["a"], "loss", **arguments)
        assert await api.metric_history_sample(["a"], "loss", **arguments) == first
        return first

    found, _ = await asked_over(route, "", curves)
    steps = [point.step for point in found["a"]]
    assert (steps[0], steps[-1]) == (100, 899) and 40 <= len(steps) <= 51
    assert sum("bulk-interval" in target for target in asked) == 1 and len(asked) == 5


async def test_a_prefixed_mlflow_2_is_reached_by_the_address_of_its_ui():
    """Its API is at the root, its UI and artifacts are below the prefix; found out once."""
    asked: list[str] = []

    def route(target: str) -> bytes:
        asked.append(target)
        if target.startswith("/api/"):
            return reply(200, b'{"experiments": [{"experiment_id": "1", "name": "churn"}]}')
        return reply(200, b"notes") if target.startswith("/tracking/get-artifact") else NOT_FOUND

    async def use(api: TrackingApi) -> Any:
        for _ in range(2):
            assert (await api.search_experiments()).items[0].name == "churn"
        return await api._transport.request("GET", "/get-artifact", idempotent=True)

    artifact, address = await asked_over(route, "/tracking", use)
    assert artifact.body == b"notes" and address.endswith("/tracking")
    assert [target.split("?")[0].rpartition("/2.0")[0] or target for target in asked] == [
        "/tracking/api",
        "/api",
        "/api",
        "/tracking/get-artifact",
    ]


@pytest.mark.parametrize(
    ("page", "linked"),
    [
        (reply(200, b"<!doctype html><title>MLflow</title>", Content_Type="text/html"), True),
        (reply(302, b"", Location="/login"), True),
        (NOT_FOUND, False),
    ],
)
async def test_the_root_of_a_prefixed_mlflow_2_gives_no_links(page: bytes, linked: bool):
    """Its pages are below a prefix that nothing names; a wrong link is worse than none, and artifacts are refused."""
    asked: list[str] = []
    info = {"run_id": "a" * 32, "experiment_id": "1", "status": "FINISHED", "artifact_uri": "s3://bucket/a"}

    def route(target: str) -> bytes:
        asked.append(target)
        if target.startswith("/api/2.0/mlflow/runs/get?"):
            return reply(200, json.dumps({"run": {"info": info, "data": {}}}).encode())
        if target.startswith("/api/"):
            return reply(200, b'{"experiment": {"experiment_id": "1", "name": "churn"}, "experiment_id": "1"}')
        return reply(200, b"2.22.5") if target == "/version" else page if target == "/" else NOT_FOUND

    async with routed(route) as url:
        engine = open_engine(Settings.load(tracking_uri=url))
        async with connect(engine) as agent:
            made = [await agent.ask("create_experiment", name="churn") for _ in range(2)]
            about = await agent.ask("get_server_info")
            refusal = await agent.refusal("log_artifact", run="a" * 32, path="a.txt", content="text")
    links = {"url": f"{url}/#/experiments/1"} if linked else {}
    assert [{key: value for key, value in one.items() if key == "url"} for one in made] == [links, links]
    assert ("url" in about) == linked
    assert ("--static-prefix" in about.get("hint", "")) != linked
    assert asked.count("/") == 1
    assert url in refusal and "has a --static-prefix that MLFLOW_TRACKING_URI lacks" in refusal
    assert "It may have been carried out" not in refusal


async def test_a_prefixed_mlflow_3_is_asked_below_its_prefix_only():
    """A missing run is an answer of MLflow's, and no reason to look elsewhere."""
    asked: list[str] = []

    def route(target: str) -> bytes:
        asked.append(target)
        return reply(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}')

    with pytest.raises(Exception, match="no"):
        await asked_over(route, "/tracking", lambda api: api.get_run("a" * 32))
    assert len(asked) == 1


@pytest.mark.parametrize("body", [b"Permission denied", b'{"error_code": "PERMISSION_DENIED", "message": "no"}'])
async def test_a_server_with_logins_does_not_tell_missing_from_forbidden(body: bytes):
    """Basic auth answers 403 for a run that does not exist."""
    with pytest.raises(PermissionDeniedError, match="does not exist, or this user may not see"):
        await asked_over(lambda _: reply(403, body), "", lambda api: api.get_run("a" * 32))


@pytest.mark.parametrize(
    ("filter_string", "said"),
    [
        ("params.a = '" + "x" * 20_000 + "'", "has 20,013 characters; MLflow takes at most 10,000"),
        (" AND ".join(["metrics.a > 1"] * 300), "has 300 clauses; MLflow's store takes at most 50"),
    ],
)
async def test_a_filter_too_large_for_mlflow_is_refused_before_it_is_sent(filter_string: str, said: str):
    """SQLite would answer with 59 KB of SQL."""
    async with serving(reply(200)) as server, connected(server.url) as carrier:
        with pytest.raises(InvalidInputError, match=said):
            await TrackingApi(carrier, server.url).search_runs(["1"], filter_string=filter_string)
    assert server.asked == []


async def test_words_inside_quotes_are_no_clauses():
    """A value may hold a whole sentence."""
    async with serving(reply(200)) as server, connected(server.url) as carrier:
        value = " and ".join(["it's"] * 100).replace("'", "\\'")
        await TrackingApi(carrier, server.url).search_runs(["1"], filter_string=f"tags.note = '{value}'")
    assert len(server.asked) == 1


async def test_plain_http_to_an_https_port_is_named():
    """As nginx answers it, and as a server answers that only closes the connection."""
    nginx = reply(400, b"<html>The plain HTTP request was sent to HTTPS port</html>")
    with pytest.raises(UnreachableError, match=r"expects HTTPS .* Set MLFLOW_TRACKING_URI to https://127"):
        await asked_over(lambda _: nginx, "", lambda api: api.get_run("a" * 32))

    async def alert(writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")
        writer.close()

    async with serving(alert) as server:
        error = await failure(server.url)
    assert f"If it uses TLS, set MLFLOW_TRACKING_URI to {server.url.replace('http:', 'https:')}." in str(error)
