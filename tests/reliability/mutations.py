"""MLflow's replies changed, by a transport or a proxy: a field missing, null or of another type, or the body broken."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast

import httpx2

from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from tests.faults import Send, WrappedTransport

WRONG: Final = (None, 0, -1, 1.5, "", "text", True, [], {}, [None], {"a": 1}, "NaN", 10**400)
BROKEN_BODIES: Final = (b"", b"{", b"[]", b"null", b"<html>sign in</html>", b"\xff\xfe")
OF_ONE_HOP: Final = {"connection", "content-encoding", "content-length", "date", "host", "server", "transfer-encoding"}
"""Headers that a proxy does not pass on; bodies are passed on decompressed."""


class MutatingTransport(WrappedTransport):
    """Passes requests on and changes a share of the replies, chosen by a seeded generator."""

    def __init__(self, wrapped: Transport, chance: random.Random, share: float = 0.5) -> None:
        super().__init__(wrapped)
        self._chance = chance
        self._share = share
        self.mutated = 0
        self.replies = 0

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        reply = await send()
        self.replies += 1
        if self._chance.random() >= self._share:
            return reply
        self.mutated += 1
        return mutated(reply, self._chance)


@contextmanager
def mutating_proxy(address: str, chance: random.Random, share: float = 0.5) -> Iterator[tuple[str, Counter[str]]]:
    """A proxy before an MLflow server that changes a share of its replies: its address, and how many passed."""
    passed = Counter[str](replies=0, changed=0)

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if self.raw_requestline and self.parse_request():
                self._pass_on()
            self.close_connection = True

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = upstream.request(
                self.command, address + self.path, headers=_passed(dict(self.headers)), content=body
            )
            reply = Reply(answer.status_code, answer.headers, answer.content)
            passed["replies"] += 1
            if chance.random() < share:
                passed["changed"] += 1
                reply = mutated(reply, chance)
            self.send_response(reply.status)
            for name, value in _passed(reply.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the campaign counts."""

    with httpx2.Client(timeout=None) as upstream, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        serving = threading.Thread(target=proxy.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}", passed
        finally:
            proxy.shutdown()
            serving.join()


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in OF_ONE_HOP}


def mutated(reply: Reply, chance: random.Random) -> Reply:
    """The reply with one thing wrong."""
    try:
        value = json.loads(reply.body)
    except ValueError:
        value = None
    if value is None or chance.random() < 0.2:
        body = chance.choice((*BROKEN_BODIES, reply.body[: len(reply.body) // 2]))
        return Reply(chance.choice((200, 200, 204, 302, 400, 404, 429, 500, 502, 503)), reply.headers, body)
    _change(value, chance)
    return Reply(reply.status, reply.headers, json.dumps(value).encode())


def _change(value: Any, chance: random.Random) -> None:
    """Changes one field, somewhere inside."""
    while True:
        if isinstance(value, dict) and value:
            fields = cast("dict[str, Any]", value)
            key = chance.choice(list(fields))
            if isinstance(fields[key], dict | list) and fields[key] and chance.random() < 0.8:
                value = fields[key]
                continue
            if chance.random() < 0.4:
                del fields[key]
            else:
                fields[key] = chance.choice(WRONG)
        elif isinstance(value, list) and value:
            items = cast("list[Any]", value)
            at = chance.randrange(len(items))
            if isinstance(items[at], dict | list) and items[at] and chance.random() < 0.8:
                value = items[at]
                continue
            items[at] = chance.choice(WRONG)
        return
