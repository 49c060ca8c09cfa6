"""Requests to a tracking server over real sockets: what arrives, what is tried again, what a failure says."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import struct
import traceback
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcp_server.errors import (
    DeadlineError,
    InvalidInputError,
    MlflowToolError,
    SettingsError,
    TrackingServerError,
    UnreachableError,
)
from mcp_server.mlflow_integration.rest import http_transport as transport_module
from mcp_server.mlflow_integration.rest.circuit_breaker import FAILURES
from mcp_server.mlflow_integration.rest.http_transport import BODY_LIMIT, REQUESTS_IN_FLIGHT, HttpTransport
from mcp_server.mlflow_integration.rest.transport import STREAM_PIECE
from mcp_server.settings import Settings

PATH = "/api/2.0/mlflow/runs/search"
SECRET = "hunter2"
WITHIN_SECONDS = 20
"""Bound of every wait; far beyond what any of them takes, so that only a hang fails."""


@dataclass
class Asked:
    """One request as the server read it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class LittleServer:
    """Answers its n-th request with its n-th answer, the last one again and again."""

    answers: tuple[Answer, ...]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.ensure_future(self.converse(reader, writer)))

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                self.asked.append(await read_request(reader))
                answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
        except (OSError, EOFError):
            pass  # The client has gone, as it may.
        finally:
            writer.close()


Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def serving(*answers: Answer, tls: ssl.SSLContext | None = None, port: int = 0):
    server = LittleServer(answers)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", port, ssl=tls)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        with anyio.fail_after(WITHIN_SECONDS):
            yield server
    finally:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


@asynccontextmanager
async def connected(url: str, **settings: Any):
    carrier = HttpTransport(url, Settings(**settings))
    try:
        with anyio.fail_after(WITHIN_SECONDS):
            yield carrier
    finally:
        await carrier.aclose()


async def failure(url: str, *, idempotent: bool = True, **settings: Any) -> MlflowToolError:
    """The error of one request, after a look at its text and traceback for what must not be there."""
    async with connected(url, **settings) as carrier:
        with pytest.raises(MlflowToolError) as raised:
            await carrier.request("POST", PATH, json={}, idempotent=idempotent)
    told = "".join(traceback.format_exception(raised.value))
    assert SECRET not in told and "httpx" not in str(raised.value) and "Errno" not in str(raised.value)
    return raised.value


def reply(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *lines, "", ""]).encode() + body


OK = reply(200, b'{"runs":[]}', Content_Type="application/json")
BUSY = reply(503, b"busy")


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def break_off(writer: asyncio.StreamWriter) -> None:
    writer.write(OK[:-3])
    writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no MLflow variable and no credentials file of this machine; no waits between tries."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(transport_module, "RETRY_WAITS_SECONDS", (0, 0))


# What arrives


async def test_a_request_arrives_as_compact_json_and_its_reply_comes_back_whole():
    """Header names of the reply are in lower case."""
    async with serving(OK) as server, connected(server.url) as carrier:
        got = await carrier.request("POST", PATH, json={"filter": "é", "max_results": 5}, idempotent=True)
    asked = server.asked[0]
    assert (asked.method, asked.target) == ("POST", PATH)
    assert asked.body == '{"filter":"é","max_results":5}'.encode()
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers and "x-mlflow-workspace" not in asked.headers
    assert (got.status, got.body, got.headers["content-type"]) == (200, b'{"runs":[]}', "application/json")


async def test_list_parameters_repeat_their_key():
    """MLflow reads lists from a query so."""
    async with serving(OK) as server, connected(server.url) as carrier:
        await carrier.request("GET", PATH, params={"run_ids": ["a", "b c"], "max_results": 5}, idempotent=True)
    path, _, query = server.asked[0].target.partition("?")
    assert path == PATH
    assert parse_qsl(query) == [("run_ids", "a"), ("run_ids", "b c"), ("max_results", "5")]


async def test_content_and_headers_of_the_caller_are_sent_as_they_are():
    """Artifact uploads and range reads."""
    async with serving(OK) as server, connected(server.url) as carrier:
        await carrier.request("PUT", "/a%20b.txt", content=b"\x00\xff", headers={"Range": "bytes=0-9"}, idempotent=True)
    assert (server.asked[0].target, server.asked[0].body) == ("/a%20b.txt", b"\x00\xff")
    assert server.asked[0].headers["range"] == "bytes=0-9"


async def test_a_path_of_the_tracking_uri_stays_before_every_request():
    """Servers behind a reverse proxy; the fragment of a link copied from the UI is dropped."""
    async with serving(OK) as server, connected(server.url + "/mlflow/#/experiments/3") as carrier:
        await carrier.request("GET", PATH, idempotent=True)
    assert carrier.address == server.url + "/mlflow"
    assert server.asked[0].target == "/mlflow" + PATH


async def test_one_connection_serves_one_request_after_another():
    """Keep-alive: a TLS handshake per request would cost more than the request."""
    async with serving(OK) as server, connected(server.url) as carrier:
        for _ in range(5):
            await carrier.request("GET", PATH, idempotent=True)
    assert (len(server.asked), server.connections) == (5, 1)


async def test_no_more_than_eight_requests_are_in_flight():
    """The others wait for a slot, however long, and are all answered."""
    full, release = asyncio.Event(), asyncio.Event()
    in_flight: list[int] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        in_flight.append(1)
        if len(in_flight) == REQUESTS_IN_FLIGHT:
            full.set()
        await release.wait()
        writer.write(OK)

    async with serving(answer) as server, connected(server.url) as carrier:
        calls = [asyncio.ensure_future(carrier.request("GET", PATH, idempotent=False)) for _ in range(20)]
        await full.wait()
        await anyio.wait_all_tasks_blocked()
        assert len(in_flight) == server.connections == REQUESTS_IN_FLIGHT
        release.set()
        assert {got.status for got in await asyncio.gather(*calls)} == {200}
    assert server.connections == REQUESTS_IN_FLIGHT


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 501])
async def test_a_status_is_handed_up_after_one_request(status: int):
    """What it means is not the transport's to say; nor is HTML."""
    async with serving(reply(status, b"<html>Sign in</html>")) as server, connected(server.url) as carrier:
        got = await carrier.request("GET", PATH, idempotent=True)
    assert (got.status, got.body, len(server.asked)) == (status, b"<html>Sign in</html>", 1)


# Who we are


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("login", "settings", "stored", "header"),
    [
        ("", {}, False, None),
        ("", {"username": "ann", "password": "p:w", "token": "t"}, True, basic("ann", "p:w")),
        ("uri:pw@", {"token": "t0ken\n"}, True, "Bearer t0ken"),
        ("", {"username": "ann", "token": "t"}, True, "Bearer t"),
        ("uri:p%40w%2F@", {}, True, basic("uri", "p@w/")),
        ("uri:p@w@", {}, False, basic("uri", "p@w")),
        ("", {}, True, basic("file", "pä")),
    ],
)
async def test_credentials_come_from_settings_then_uri_then_mlflows_file(
    login: str, settings: dict[str, str], stored: bool, header: str | None, tmp_path: Path
):
    """User name and password win over a token, as in MLflow's own client."""
    if stored:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = file\nmlflow_tracking_password = pä\n", encoding="utf-8"
        )
    async with serving(OK) as server, connected(server.url.replace("//", f"//{login}"), **settings) as carrier:
        await carrier.request("GET", PATH, idempotent=True)
    assert server.asked[0].headers.get("authorization") == header
    assert carrier.address == server.url


@pytest.mark.parametrize("content", ["", "no section", "[mlflow]\n", "[other]\nmlflow_tracking_username=x", "\x00[[["])
async def test_a_credentials_file_that_cannot_be_used_is_no_error(content: str, tmp_path: Path):
    """The server may want none."""
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(content, encoding="utf-8")
    async with serving(OK) as server, connected(server.url) as carrier:
        await carrier.request("GET", PATH, idempotent=True)
    assert "authorization" not in server.asked[0].headers


async def test_the_workspace_goes_along_as_a_header():
    """Servers with workspaces refuse requests without it."""
    async with serving(OK) as server, connected(server.url, workspace="team-a") as carrier:
        await carrier.request("GET", PATH, idempotent=True)
    assert server.asked[0].headers["x-mlflow-workspace"] == "team-a"


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:{SECRET}", f"http://ann:{SECRET}@h:port", f"http://ann:1/{SECRET}@h", f"http://ann:1#{SECRET}@h",
        f"http://ann:{SECRET}@h:99999", f"ftp://ann:{SECRET}@h", f"http://ann:{SECRET}@", f"http://ann:{SECRET}@[::1",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_refused_without_showing_it(uri: str):
    """Part of it may be a password whose special characters were not encoded."""
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI") as raised:
        HttpTransport(uri, Settings())
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "variable"),
    [({"token": f"a\n{SECRET}"}, "MLFLOW_TRACKING_TOKEN"), ({"workspace": "a\r\nX: y"}, "MLFLOW_WORKSPACE")],
)
def test_a_value_that_no_header_can_carry_is_refused_by_name(settings: dict[str, str], variable: str):
    """A line end would begin another header."""
    with pytest.raises(SettingsError, match=variable) as raised:
        HttpTransport("http://127.0.0.1", Settings(**settings))
    assert SECRET not in str(raised.value)


# What is tried again


async def test_a_busy_server_is_asked_again_when_that_is_harmless():
    """503 twice, then the answer."""
    async with serving(BUSY, BUSY, OK) as server, connected(server.url) as carrier:
        got = await carrier.request("POST", PATH, json={}, idempotent=True)
    assert (got.status, len(server.asked)) == (200, 3)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_server_that_stays_busy_is_asked_three_times(status: int):
    """Then its reply goes up as it is."""
    async with serving(reply(status, b"busy")) as server, connected(server.url) as carrier:
        got = await carrier.request("GET", PATH, idempotent=True)
    assert (got.status, got.body, len(server.asked)) == (status, b"busy", 3)


@pytest.mark.parametrize(
    "text",
    [
        "QueuePool limit of size 5 overflow 10 reached",
        "database is locked",
        "(sqlite3.IntegrityError) UNIQUE constraint failed: params.key, params.run_uuid",
        'duplicate key value violates unique constraint "param_pk"',
        "(1062, \"Duplicate entry 'lr-0123' for key 'params.PRIMARY'\")",
    ],
)
async def test_a_store_that_others_hold_or_write_at_the_same_moment_counts_as_busy(text: str):
    """MLflow gives it status 500, or 400; two processes may write the same param to the run of one key."""
    answer = reply(500, json.dumps({"error_code": "INTERNAL_ERROR", "message": text}).encode())
    async with serving(answer, OK) as server, connected(server.url) as carrier:
        assert (await carrier.request("GET", PATH, idempotent=True)).status == 200
    assert len(server.asked) == 2


async def test_a_name_that_is_taken_is_not_asked_for_again():
    """MLflow says so with the words of its database as well."""
    message = "Registered Model (name=churn) already exists. UNIQUE constraint failed: registered_models.name"
    answer = reply(400, json.dumps({"error_code": "RESOURCE_ALREADY_EXISTS", "message": message}).encode())
    async with serving(answer, OK) as server, connected(server.url) as carrier:
        assert (await carrier.request("POST", PATH, json={}, idempotent=True)).status == 400
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [BUSY, reply(429), reply(500, b"database is locked")])
async def test_a_write_that_may_have_happened_is_sent_once(answer: bytes):
    """MLflow's own client turns one create into eight runs."""
    async with serving(answer) as server, connected(server.url) as carrier:
        await carrier.request("POST", PATH, json={}, idempotent=False)
    assert len(server.asked) == 1


@pytest.mark.parametrize("retry_after", ["3600", "2.1", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "nan"])
async def test_a_long_or_odd_retry_after_hands_the_reply_up_at_once(retry_after: str):
    """The caller decides whether to wait."""
    async with serving(reply(429, Retry_After=retry_after)) as server, connected(server.url) as carrier:
        got = await carrier.request("GET", PATH, idempotent=True)
    assert (got.status, got.headers["retry-after"], len(server.asked)) == (429, retry_after, 1)


async def test_the_waits_are_ours_or_the_longer_ones_of_the_server(monkeypatch: pytest.MonkeyPatch):
    """Short waits of the server are honoured."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.undo()
    async with serving(reply(429, Retry_After="1.5"), BUSY, OK) as server, connected(server.url) as carrier:
        monkeypatch.setattr(anyio, "sleep", note)
        await carrier.request("GET", PATH, idempotent=True)
    assert waits == [1.5, 0.6]


@pytest.mark.parametrize("fault", [reset, close, break_off])
async def test_a_lost_connection_is_tried_again_when_that_is_harmless(fault: Answer):
    """Reset after the request was read, closed without an answer, closed in mid-answer."""
    async with serving(fault, fault, OK) as server, connected(server.url) as carrier:
        got = await carrier.request("POST", PATH, json={}, idempotent=True)
    assert (got.status, len(server.asked)) == (200, 3)


@pytest.mark.parametrize("fault", [reset, close, break_off])
@pytest.mark.parametrize(("idempotent", "times"), [(True, 3), (False, 1)])
async def test_a_connection_lost_every_time_leaves_open_what_happened(fault: Answer, idempotent: bool, times: int):
    """A write is sent once only, for it may have been carried out."""
    async with serving(fault) as server:
        error = await failure(server.url, idempotent=idempotent)
    assert isinstance(error, UnreachableError) and error.carried_out is None
    assert "before" in str(error) and "answer was complete" in str(error)
    assert len(server.asked) == times


async def test_a_server_that_begins_to_listen_between_two_tries_is_found(monkeypatch: pytest.MonkeyPatch):
    """A refused connection carried nothing, so that even a write is tried again."""
    port = free_port()
    opened = asyncio.Event()
    async with anyio.create_task_group() as group:
        done = asyncio.Event()

        async def serve(*, task_status: anyio.abc.TaskStatus[LittleServer]) -> None:
            async with serving(OK, port=port) as server:
                task_status.started(server)
                await done.wait()

        servers: list[LittleServer] = []

        async def open_meanwhile(seconds: float) -> None:
            servers.append(await group.start(serve))
            opened.set()

        monkeypatch.setattr(anyio, "sleep", open_meanwhile)
        async with connected(f"http://127.0.0.1:{port}", connect_timeout_seconds=60) as carrier:
            got = await carrier.request("POST", PATH, json={}, idempotent=False)
        assert (got.status, len(servers), len(servers[0].asked)) == (200, 1, 1)
        done.set()


async def test_after_a_lost_try_a_refused_one_does_not_say_that_nothing_happened(monkeypatch: pytest.MonkeyPatch):
    """`carried_out` speaks of all tries."""
    listener: list[asyncio.Server] = []

    async def reset_and_stop(writer: asyncio.StreamWriter) -> None:
        listener[0].close()
        await reset(writer)

    server = LittleServer((reset_and_stop,))
    listener.append(await asyncio.start_server(server.accept, "127.0.0.1", 0))
    error = await failure(f"http://127.0.0.1:{listener[0].sockets[0].getsockname()[1]}", connect_timeout_seconds=60)
    assert "refused" in str(error) and error.carried_out is None
    assert len(server.asked) == 1


# What a failure says


async def test_a_refused_server_is_named_with_the_way_to_start_one(monkeypatch: pytest.MonkeyPatch):
    """Tried three times, waits of 0.2 s and 0.6 s; nothing was sent."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(transport_module, "RETRY_WAITS_SECONDS", (0.2, 0.6))
    monkeypatch.setattr(anyio, "sleep", note)
    port = free_port()
    error = await failure(f"http://ann:{SECRET}@127.0.0.1:{port}", idempotent=False, connect_timeout_seconds=60)
    assert isinstance(error, UnreachableError) and error.carried_out is False
    assert str(error) == (
        f"No MLflow answers at http://127.0.0.1:{port}: the connection was refused. "
        'Start one with "mlflow server", or correct MLFLOW_TRACKING_URI.'
    )
    assert waits == [0.2, 0.6]


async def test_no_try_begins_after_half_of_the_connect_timeout(monkeypatch: pytest.MonkeyPatch):
    """So a host that refuses slowly, or drops packets, is given up after 1.5 connect timeouts: 3 s by default."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(transport_module, "RETRY_WAITS_SECONDS", (0.2, 31))
    monkeypatch.setattr(anyio, "sleep", note)
    await failure(f"http://127.0.0.1:{free_port()}", connect_timeout_seconds=60)
    assert waits == [0.2]


async def test_every_address_of_a_host_may_refuse():
    """`localhost` has two; the library wraps their errors into a group."""
    error = await failure(f"http://localhost:{free_port()}")
    assert "the connection was refused" in str(error)


async def test_a_host_that_is_not_known_is_asked_for_once(monkeypatch: pytest.MonkeyPatch):
    """A wrong name stays wrong."""
    lookups: list[Any] = []

    def unknown(host: Any, *rest: Any, **more: Any) -> Any:
        lookups.append(host)
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known {SECRET}")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure(f"http://ann:{SECRET}@mlflow.invalid:5000")
    assert error.carried_out is False and len(lookups) == 1
    assert str(error) == (
        "The host name in http://mlflow.invalid:5000 cannot be resolved. Correct MLFLOW_TRACKING_URI, "
        "or check the network."
    )


async def drip(writer: asyncio.StreamWriter) -> None:
    """A body that never ends, byte by byte."""
    writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    """Headers that never end."""
    writer.write(b"HTTP/1.1 200 X\r\n")
    while not writer.is_closing():
        writer.write(b"a: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("silence", [hang, drip, drip_headers])
async def test_an_answer_that_is_not_complete_in_time_is_given_up(silence: Answer, idempotent: bool):
    """Silence, slow headers and a slow body alike. The server has the request: asking again would double its work."""
    async with serving(silence) as server:
        error = await failure(server.url, idempotent=idempotent, timeout_seconds=0.5)
    assert isinstance(error, DeadlineError) and error.carried_out is None
    assert str(error).startswith(f"{server.url} did not complete its answer within 0.5 s (MLFLOW_MCP_TIMEOUT_SECONDS)")
    assert len(server.asked) == 1


async def test_a_server_that_never_finishes_the_handshake_is_given_up_after_the_connect_timeout():
    """Nothing was sent; the sentence names the variable that allows more time."""
    async with serving(hang) as server:
        url = server.url.replace("http:", "https:")
        error = await failure(url, idempotent=False, connect_timeout_seconds=0.2)
    assert isinstance(error, UnreachableError) and error.carried_out is False
    assert str(error).startswith(f"{url} did not accept a connection within 0.2 s.")
    assert "MLFLOW_MCP_CONNECT_TIMEOUT_SECONDS" in str(error)


async def test_a_dripping_answer_ends_with_the_callers_cancel_scope_and_frees_its_slot():
    """No single read is slow enough to time out; the call as a whole has an end."""
    dripping = asyncio.Event()

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            dripping.set()
            await asyncio.sleep(0)

    async with serving(*[drip] * REQUESTS_IN_FLIGHT, OK) as server, connected(server.url) as carrier:
        for _ in range(REQUESTS_IN_FLIGHT):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(lambda: carrier.request("GET", PATH, idempotent=True))
                    await dripping.wait()
                    scope.cancel()
            dripping.clear()
        assert (await carrier.request("GET", PATH, idempotent=True)).status == 200


async def read_stream(carrier: HttpTransport) -> bytes:
    async with carrier.stream("/artifact") as reply:
        return b"".join([piece async for piece in reply.pieces])


async def test_a_dripping_artifact_has_the_time_of_one_call_and_counts_as_hanging():
    """Without a deadline of its reader. After three of them a probe asks whether the server is there at all."""
    async with serving(drip) as server, connected(server.url, timeout_seconds=0.5) as carrier:
        for _ in range(FAILURES + 1):
            with pytest.raises(DeadlineError, match="did not complete its answer"):
                await read_stream(carrier)
        assert [asked.target for asked in server.asked] == ["/artifact"] * FAILURES + ["/health", "/artifact"]


async def test_an_artifact_that_is_left_before_its_end_is_no_failure():
    """Its reader has what it wanted, and its slot is free again."""

    async def beginning(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n" + b" " * 2 * STREAM_PIECE)
        await asyncio.Event().wait()

    async with serving(beginning) as server, connected(server.url) as carrier:
        for _ in range(REQUESTS_IN_FLIGHT + FAILURES):
            async with carrier.stream("/artifact") as reply:
                assert len(await anext(aiter(reply.pieces))) == STREAM_PIECE
        assert [asked.target for asked in server.asked] == ["/artifact"] * (REQUESTS_IN_FLIGHT + FAILURES)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_but_named(status: int):
    """Credentials stay with the address they are for; path and query of the target are not shown."""
    async with serving(OK) as other, serving(reply(status, Location=f"{other.url}/x?token={SECRET}")) as server:
        error = await failure(server.url, token=SECRET)
    assert isinstance(error, UnreachableError) and error.carried_out is None
    assert str(error).startswith(f"{server.url} redirects to {other.url}, and redirects are not followed.")
    assert f"set MLFLOW_TRACKING_URI to {other.url};" in str(error)
    assert (len(server.asked), len(other.asked)) == (1, 0)


@pytest.mark.parametrize("headers", [{"Location": f"/login?next={SECRET}"}, {"Location": "http://[::1"}, {}])
async def test_a_redirect_to_a_page_of_the_same_server_is_taken_for_a_sign_in(headers: dict[str, str]):
    """So is one that does not say where."""
    async with serving(reply(302, **headers)) as server:
        error = await failure(server.url)
    assert "redirects to another of its pages, as sign-in pages do" in str(error)


async def test_something_that_does_not_speak_http_is_told_from_a_lost_connection():
    """A database port, for instance."""

    async def greet(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    async with serving(greet) as server:
        error = await failure(server.url)
    assert "does not speak HTTP" in str(error) and "MLFLOW_TRACKING_URI" in str(error)


async def test_a_gzip_bomb_is_cut_at_the_limit():
    """Counted after decompression: 64 KB here would become 64 MB."""
    bomb = reply(200, gzip.compress(bytes(2 * BODY_LIMIT), 1), Content_Encoding="gzip")
    async with serving(bomb) as server:
        error = await failure(server.url)
    assert type(error) is TrackingServerError
    assert str(error) == (
        f"The answer of {server.url} is larger than 32 MB. Ask for less at once: lower max_results, or read a part."
    )
    assert len(server.asked) == 1


async def test_an_endless_answer_is_cut_and_its_connection_closed(monkeypatch: pytest.MonkeyPatch):
    """No header announces its length."""
    monkeypatch.setattr(transport_module, "BODY_LIMIT", 1024**2)
    stopped = asyncio.Event()

    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
        except OSError:
            stopped.set()

    async with serving(flood) as server:
        error = await failure(server.url)
        await stopped.wait()
    assert "larger than 1 MB" in str(error)


async def test_an_answer_that_cannot_be_decompressed_is_said_to_be():
    """Library text stays inside."""
    async with serving(reply(200, b"no gzip", Content_Encoding="gzip")) as server:
        error = await failure(server.url)
    assert str(error) == f"The answer of {server.url} cannot be decoded."


@pytest.mark.parametrize("request_parts", [{"json": {"a": ["run \ud83d"]}}, {"params": {"a": "run \ud83d"}}])
async def test_half_a_character_is_refused_before_anything_is_sent(request_parts: dict[str, Any]):
    """A lone surrogate cannot be encoded; the sentence says where it stands."""
    async with serving(OK) as server, connected(server.url) as carrier:
        with pytest.raises(InvalidInputError) as raised:
            await carrier.request("POST", PATH, **request_parts, idempotent=True)
    assert "U+D83D, a lone surrogate" in str(raised.value) and "run '" in str(raised.value)
    assert server.asked == []


# TLS


@dataclass(frozen=True)
class Certificate:
    path: Path

    def server_side(self, *, mutual: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        return context


def make_certificate(folder: Path, *, address: str = "127.0.0.1", age_days: int = 0) -> Certificate:
    """Self-signed, valid for ten days from `age_days` ago; its own CA bundle."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=age_days, hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}-{age_days}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return Certificate(path)


async def test_a_certificate_of_the_given_bundle_is_accepted(tmp_path: Path):
    """MLFLOW_TRACKING_SERVER_CERT_PATH."""
    certificate = make_certificate(tmp_path)
    async with (
        serving(OK, tls=certificate.server_side()) as server,
        connected(server.url, server_cert_path=str(certificate.path)) as carrier,
    ):
        assert (await carrier.request("GET", PATH, idempotent=True)).status == 200


async def test_insecure_tls_accepts_any_certificate(tmp_path: Path):
    """MLFLOW_TRACKING_INSECURE_TLS."""
    tls = make_certificate(tmp_path, age_days=30).server_side()
    async with serving(OK, tls=tls) as server, connected(server.url, insecure_tls=True) as carrier:
        assert (await carrier.request("GET", PATH, idempotent=True)).status == 200


@pytest.mark.parametrize(
    ("address", "age_days", "trusted", "said"),
    [
        (
            "127.0.0.1",
            0,
            False,
            "it is not signed by anyone whom this computer trusts. Set MLFLOW_TRACKING_SERVER_CERT_PATH",
        ),
        ("127.0.0.1", 30, True, "it has expired"),
        ("127.0.0.1", -5, True, "it is not valid yet"),
        ("127.0.0.9", 0, True, "it is for another address"),
    ],
)
async def test_a_certificate_that_cannot_be_accepted_is_refused_at_once_with_its_reason(
    address: str, age_days: int, trusted: bool, said: str, tmp_path: Path
):
    """One connection: a certificate does not get better by waiting. Nothing was sent."""
    certificate = make_certificate(tmp_path, address=address, age_days=age_days)
    async with serving(OK, tls=certificate.server_side()) as server:
        settings = {"server_cert_path": str(certificate.path)} if trusted else {}
        error = await failure(server.url.replace("//", f"//ann:{SECRET}@"), **settings)
    assert isinstance(error, UnreachableError) and error.carried_out is False
    assert str(error).startswith(f"No TLS connection to {server.url}: ") and said in str(error)
    assert server.asked == []


async def test_plain_http_behind_an_https_address_is_recognized():
    """The sentence gives the address that would work."""

    def answer_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(400))
        writer.close()

    listener = await asyncio.start_server(answer_plainly, "127.0.0.1", 0)
    async with listener:
        place = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        error = await failure(f"https://{place}")
    assert f"If it is plain HTTP, set MLFLOW_TRACKING_URI to http://{place}." in str(error)


async def test_a_server_that_wants_a_client_certificate_gets_the_given_one(tmp_path: Path):
    """MLFLOW_TRACKING_CLIENT_CERT_PATH: certificate and key in one file."""
    certificate = make_certificate(tmp_path)
    path = str(certificate.path)
    async with (
        serving(OK, tls=certificate.server_side(mutual=True)) as server,
        connected(server.url, server_cert_path=path, client_cert_path=path) as carrier,
    ):
        assert (await carrier.request("GET", PATH, idempotent=True)).status == 200


async def test_a_server_that_misses_a_client_certificate_is_told_from_a_broken_one(tmp_path: Path):
    """OpenSSL itself on the other side: asyncio drops the alert. TLS 1.2: with 1.3 a reset may overtake the refusal."""
    certificate = make_certificate(tmp_path)
    tls = certificate.server_side(mutual=True)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WITHIN_SECONDS)

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ssl.SSLError):
                tls.wrap_socket(connection, server_side=True)

        refusing = asyncio.ensure_future(asyncio.to_thread(refuse))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        error = await failure(url, server_cert_path=str(certificate.path))
        await refusing
    assert error.carried_out is False and "Set MLFLOW_TRACKING_CLIENT_CERT_PATH" in str(error)


@pytest.mark.parametrize("variable", ["server_cert_path", "client_cert_path"])
async def test_a_certificate_file_that_cannot_be_used_is_named_by_its_variable(variable: str, tmp_path: Path):
    """Its path stays inside."""
    (tmp_path / "no.pem").write_text("no certificate")
    error = await failure("https://127.0.0.1:1", **{variable: str(tmp_path / "no.pem")})
    assert isinstance(error, SettingsError) and f"MLFLOW_TRACKING_{variable.upper()}" in str(error)
    assert str(tmp_path) not in str(error)


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch):
    """Nothing reached the server."""
    async with serving(reply(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//ann:{SECRET}@"))
        error = await failure("https://mlflow.example")
    assert error.carried_out is False and str(error).startswith("The proxy would not connect to https://mlflow.example")
    assert len(proxy.asked) == 1


async def test_a_proxy_address_that_cannot_be_used_is_a_setting_to_correct(monkeypatch: pytest.MonkeyPatch):
    """The three variables are named, their values are not."""
    monkeypatch.setenv("HTTP_PROXY", f"gopher://ann:{SECRET}@proxy")
    error = await failure("http://mlflow.example")
    assert isinstance(error, SettingsError) and "HTTP_PROXY" in str(error)


async def test_a_closed_transport_connects_again_when_it_is_asked():
    """Closing is harmless, also twice."""
    async with serving(OK) as server, connected(server.url) as carrier:
        for _ in range(2):
            await carrier.request("GET", PATH, idempotent=True)
            await carrier.aclose()
            await carrier.aclose()
    assert server.connections == 2


def test_making_a_transport_opens_nothing(monkeypatch: pytest.MonkeyPatch):
    """No TLS context, no client: the server starts as fast with an address as without."""
    monkeypatch.setattr(transport_module.httpx2, "AsyncClient", None)
    monkeypatch.setattr(transport_module, "_tls", None)
    assert HttpTransport("https://mlflow.example/", Settings()).address == "https://mlflow.example"
