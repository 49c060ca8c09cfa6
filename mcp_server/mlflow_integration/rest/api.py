"""What every endpoint of MLflow's REST interface shares: sending, and telling an answer from a failure."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.rest.error_responses import failure, json_object, nonsense, not_mlflow
from mcp_server.mlflow_integration.rest.fields import Json, required_text
from mcp_server.mlflow_integration.rest.transport import Method, Params, Reply, Transport

_requests: ContextVar[list[tuple[str, str]] | None] = ContextVar("requests", default=None)


@contextmanager
def counted_requests() -> Generator[list[tuple[str, str]]]:
    """Method and path of every request that is made inside, in order."""
    requests: list[tuple[str, str]] = []
    token = _requests.set(requests)
    try:
        yield requests
    finally:
        _requests.reset(token)


class RestApi:
    """MLflow behind one transport. `address` is what error texts call it; it holds no credentials."""

    def __init__(self, transport: Transport, address: str) -> None:
        self._transport = transport
        self._address = address

    async def version(self) -> str:
        """MLflow's version, such as `3.17.2`."""
        _count("GET", "/version")
        reply = await self._transport.request("GET", "/version", idempotent=True)
        text = reply.body.decode("utf-8", "replace").strip()
        if reply.status >= 400:
            raise failure(reply, self._address)
        if not text[:1].isdigit() or len(text) > 40:
            raise not_mlflow(self._address)
        return text

    async def pages_path(self) -> str | None:
        """Where MLflow's UI is below the address of the server, empty at the address itself; None: not found.

        Raises: TrackingServerError: it cannot be told.
        """
        _count("GET", "/")
        reply = await self._transport.request("GET", "/", idempotent=True)
        return None if reply.status == 404 else self._transport.pages_path

    async def _get(self, route: str, **params: Any) -> Json:
        return await self._call("GET", route, params=params, idempotent=True)

    async def _post(self, route: str, *, idempotent: bool = False, **body: Any) -> Json:
        return await self._call("POST", f"2.0/mlflow/{route}", json=body, idempotent=idempotent)

    async def _call(
        self, method: Method, route: str, *, params: Params | None = None, json: Json | None = None, idempotent: bool
    ) -> Json:
        _count(method, f"/api/{route}")
        reply = await self._transport.request(method, f"/api/{route}", params=params, json=json, idempotent=idempotent)
        if reply.status >= 400:
            raise failure(reply, self._address)
        found = json_object(reply.body)
        if found is None:
            raise not_mlflow(self._address)
        return found

    def _part(self, found: Json, key: str) -> Json:
        part = found.get(key)
        if not isinstance(part, dict):
            raise nonsense(self._address)
        return cast(Json, part)

    def _id(self, found: Json, key: str) -> str:
        return required_text(found, key)

    async def _first_bytes(self, route: str, params: Params, limit: int) -> Reply:
        _count("GET", route)
        headers = {"range": f"bytes=0-{limit - 1}"}
        return await self._transport.request("GET", route, params=params, headers=headers, idempotent=True)

    def _content(self, reply: Reply) -> bytes:
        if reply.status >= 400:
            raise failure(reply, self._address)
        return reply.body


def _count(method: Method, path: str) -> None:
    requests = _requests.get()
    if requests is not None:
        requests.append((method, path))


def present(**fields: Any) -> Json:
    """The fields that are set: MLflow's JSON leaves out what is absent."""
    return {key: value for key, value in fields.items() if value is not None and value != "" and value != []}


FILTER_LIMIT: Final = 10_000
"""Characters of a filter. A search for 100 run ids has 3,600; servers and proxies refuse longer addresses."""
CLAUSE_LIMIT: Final = 50
"""Clauses of a filter. MLflow joins a table for each, and SQLite joins at most 64."""

_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`""")
_AND: Final = re.compile(r"\sand\s", re.IGNORECASE)


def searchable(filter_string: str) -> str:
    """The filter, if MLflow can work with one of its size.

    Raises: InvalidInputError: it is too large; nothing was sent.
    """
    if len(filter_string) > FILTER_LIMIT:
        raise InvalidInputError(
            f"The filter has {len(filter_string):,} characters; MLflow takes at most {FILTER_LIMIT:,}. "
            "Split it into several searches."
        )
    clauses = len(_AND.findall(_QUOTED.sub("''", filter_string))) + 1
    if clauses > CLAUSE_LIMIT:
        raise InvalidInputError(
            f"The filter has {clauses} clauses; MLflow's store takes at most {CLAUSE_LIMIT}. Leave out the least "
            "important ones, or write several ids or names as IN ('a', 'b')."
        )
    return filter_string


def same(one: str, other: str) -> bool:
    """Whether a store may take one name or id for the other: MySQL ignores case and trailing spaces."""
    return one.casefold().rstrip() == other.casefold().rstrip()


def pairs(values: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]
