"""A tracking server that fails in one chosen way at every request, on a loopback port."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import SocketStream

Fault = Callable[[SocketStream], Awaitable[None]]


def _reply(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def _sends(data: bytes) -> Fault:
    async def fault(stream: SocketStream) -> None:
        await stream.send(data)

    return fault


def _drips(head: bytes, drop: bytes) -> Fault:
    async def fault(stream: SocketStream) -> None:
        await stream.send(head)
        while True:
            await stream.send(drop)
            await anyio.sleep(0.2)

    return fault


async def _hangs(stream: SocketStream) -> None:
    await anyio.sleep_forever()


async def _resets(stream: SocketStream) -> None:
    """Closes without a word."""


async def _never_ends(stream: SocketStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    while True:
        await stream.send(b" " * 65_536)


_JSON: Final = "Content-Type: application/json"
_PAGE: Final = b"<html><body>Sign in to continue</body></html>"
_BOMB: Final = gzip.compress(b" " * 80_000_000)

FAULTS: Final[dict[str, Fault]] = {
    "hangs": _hangs,
    "resets": _resets,
    "slow headers": _drips(b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n"),
    "slow body": _drips(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", b" "),
    "never ends": _never_ends,
    "gzip bomb": _sends(_reply("200 OK", _BOMB, _JSON, "Content-Encoding: gzip")),
    "bad gzip": _sends(_reply("200 OK", b"not gzip", _JSON, "Content-Encoding: gzip")),
    "not HTTP": _sends(b"220 mail.example ESMTP\r\n"),
    "cut short": _sends(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"runs": ['),
    "empty answer": _sends(_reply("200 OK", b"", _JSON)),
    "empty object": _sends(_reply("200 OK", b"{}", _JSON)),
    "a list": _sends(_reply("200 OK", b"[]", _JSON)),
    "null": _sends(_reply("200 OK", b"null", _JSON)),
    "broken JSON": _sends(_reply("200 OK", b'{"runs": [', _JSON)),
    "sign-in page": _sends(_reply("200 OK", _PAGE, "Content-Type: text/html")),
    "redirect": _sends(_reply("302 Found", b"", "Location: http://127.0.0.1:9/elsewhere")),
    "400 page": _sends(_reply("400 Bad Request", _PAGE)),
    "401": _sends(_reply("401 Unauthorized", b"You are not authenticated.")),
    "403": _sends(_reply("403 Forbidden", b"Permission denied")),
    "404 page": _sends(_reply("404 Not Found", _PAGE)),
    "429": _sends(_reply("429 Too Many Requests", b"slow down", "Retry-After: 3600")),
    "500 page": _sends(_reply("500 Internal Server Error", b"Traceback (most recent call last): secret.py")),
    "502": _sends(_reply("502 Bad Gateway", _PAGE)),
    "503": _sends(_reply("503 Service Unavailable", b"no healthy upstream")),
}


@asynccontextmanager
async def faulty_server(fault: str) -> AsyncIterator[tuple[str, list[int]]]:
    """Its address, and a list that grows by one for every request it failed."""
    requests: list[int] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
                requests.append(1)
                await FAULTS[fault](stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return  # The client has gone, as it may.

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            yield f"http://127.0.0.1:{port}", requests
            group.cancel_scope.cancel()
