"""Servers that differ from a new one: older, below a prefix, behind TLS, with logins that hide what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
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


JSON = {"Content_Type": "application/json"}
CHURN = reply(200, b'{"experiment": {"experiment_id": "1", "name": "churn"}, "experiment_id": "1"}', **JSON)
DEFAULT = reply(200, b'{"experiment": {"experiment_id": "0", "name": "Default", "creation_time": 7}}', **JSON)
PAGE = reply(200, b"<!doctype html><title>MLflow</title>", Content_Type="text/html")
RUN = {"run_id": "a" * 32, "experiment_id": "1", "status": "FINISHED"}
BY_SERVER = f"mlflow-artifacts:/1/{'a' * 32}/artifacts"


def prefixed(prefix: str, artifact_uri: str, asked: list[str]) -> Route:
    """An MLflow 2 with --static-prefix: its API at the root, its pages and files of artifacts below the prefix."""
    run = {"run": {"info": {**RUN, "artifact_uri": artifact_uri}, "data": {}}}

    def route(target: str) -> bytes:
        asked.append(target)
        path, _, query = target.partition("?")
        if path == "/version":
            return reply(200, b"2.22.5")
        if path.startswith("/api/2.0/mlflow-artifacts/artifacts/1/"):
            return reply(200, b"{}", **JSON)  # To a PUT as well.
        if path.startswith(("/api/", f"{prefix}/ajax-api/2.0/mlflow/experiments/")):
            if path.endswith("runs/get"):
                return reply(200, json.dumps(run).encode(), **JSON)
            if path.endswith("artifacts/list"):
                return reply(200, b'{"files": [{"path": "notes.txt", "is_dir": false, "file_size": 6}]}', **JSON)
            return DEFAULT if query.endswith("experiment_id=0") else CHURN
        if path == f"{prefix}/get-artifact":
            return reply(200, b"served", Content_Type="text/plain")
        if path == f"{prefix}/ajax-api/2.0/mlflow/upload-artifact":
            return reply(200, b"{}", **JSON)
        return PAGE if path == f"{prefix}/" else NOT_FOUND

    return route


@dataclass(frozen=True)
class Outcome:
    url: str
    """Of an experiment; empty for none."""
    content: str
    about: Mapping[str, Any]


async def worked_with(address: str, **settings: Any) -> Outcome:
    """What an agent gets from a server with one run, whose artifact it writes and reads."""
    async with connect(open_engine(Settings.load(tracking_uri=address, **settings))) as agent:
        made = [await agent.ask("create_experiment", name="churn") for _ in range(2)]
        assert made[0].get("url") == made[1].get("url")
        await agent.ask("log_artifact", run="a" * 32, path="notes.txt", content="text")
        read = await agent.ask("read_artifact", run="a" * 32, path="notes.txt")
        return Outcome(made[0].get("url", ""), read["content"], await agent.ask("get_server_info"))


@pytest.mark.parametrize("path", ["", "/tracking"])
async def test_a_prefixed_mlflow_2_is_reached_by_both_of_its_addresses(path: str):
    """Its API is at the root, its pages and files are below the prefix; each is found once."""
    asked: list[str] = []
    async with routed(prefixed("/tracking", "s3://bucket/1", asked)) as url:
        found = await worked_with(url + path)
    assert (found.url, found.content) == (f"{url}/tracking/#/experiments/1", "served")
    assert found.about["url"] == f"{url}/tracking" and "hint" not in found.about
    assert len([target for target in asked if target.startswith("/tracking/api/")]) <= 1
    assert asked.count("/tracking/") == 1


@pytest.mark.parametrize("setting", ["{url}/a/b", "{url}/a/b/#/experiments/7", "https://mlflow.example.com"])
async def test_links_of_an_unusual_prefix_follow_the_setting(setting: str):
    """People may also open MLflow at another host than the one that this server reaches."""
    async with routed(prefixed("/a/b", BY_SERVER, [])) as url:
        found = await worked_with(url, ui_url=setting.format(url=url))
    pages = setting.format(url=url).partition("/#")[0]
    assert (found.url, found.about["url"]) == (f"{pages}/#/experiments/1", pages)
    assert found.content == ("served" if pages.startswith(url) else "{}")


async def test_an_unusual_prefix_costs_only_the_links():
    """A wrong link is worse than none; artifacts that the server stores are reached through its API."""
    asked: list[str] = []
    async with routed(prefixed("/a/b", BY_SERVER, asked)) as url:
        found = await worked_with(url)
    assert (found.url, found.content) == ("", "{}")
    assert "url" not in found.about and "--static-prefix" in found.about["hint"]
    assert asked.count("/mlflow/ajax-api/2.0/mlflow/experiments/get?experiment_id=0") == 1


async def test_artifacts_in_a_bucket_cannot_be_reached_without_the_prefix():
    """The API at the root has no request for them; the refusal gives the reason."""
    route = prefixed("/a/b", "s3://bucket/1", [])
    async with routed(route) as url, connect(open_engine(Settings.load(tracking_uri=url))) as agent:
        refusal = await agent.refusal("log_artifact", run="a" * 32, path="a.txt", content="text")
    assert url in refusal and "has a --static-prefix that MLFLOW_TRACKING_URI lacks" in refusal
    assert "It may have been carried out" not in refusal


async def test_the_pages_of_another_mlflow_on_the_same_host_are_not_linked():
    """One host may serve several MLflows below several prefixes."""

    def route(target: str) -> bytes:
        if target.startswith("/mlflow/ajax-api/"):
            return reply(200, b'{"experiment": {"experiment_id": "0", "name": "Default", "creation_time": 8}}', **JSON)
        return prefixed("/a/b", "s3://bucket/1", [])(target)

    async with routed(route) as url, connect(open_engine(Settings.load(tracking_uri=url))) as agent:
        assert "url" not in await agent.ask("create_experiment", name="churn")


@pytest.mark.parametrize("page", [PAGE, reply(302, b"", Location="/login")])
async def test_links_lead_to_the_root_where_its_page_is_one(page: bytes):
    """A sign-in page counts: a person may pass it."""
    asked: list[str] = []

    def route(target: str) -> bytes:
        asked.append(target)
        return page if target == "/" else CHURN if target.startswith("/api/") else NOT_FOUND

    async with routed(route) as url, connect(open_engine(Settings.load(tracking_uri=url))) as agent:
        made = [await agent.ask("create_experiment", name="churn") for _ in range(2)]
    assert [one["url"] for one in made] == [f"{url}/#/experiments/1"] * 2
    assert asked.count("/") == 1


async def test_a_prefixed_mlflow_3_is_asked_below_its_prefix_only():
    """A missing run is an answer of MLflow's, and no reason to look elsewhere."""
    asked: list[str] = []

    def route(target: str) -> bytes:
        asked.append(target)
        return reply(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}', **JSON)

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
