"""A transport that returns MLflow's replies changed: a field missing, null or of another type, or the body broken."""

from __future__ import annotations

import json
import random
from typing import Any, Final, cast

from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from tests.faults import Send, WrappedTransport

WRONG: Final = (None, 0, -1, 1.5, "", "text", True, [], {}, [None], {"a": 1}, "NaN", 10**400)
BROKEN_BODIES: Final = (b"", b"{", b"[]", b"null", b"<html>sign in</html>", b"\xff\xfe")


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
