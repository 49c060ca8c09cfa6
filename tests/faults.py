"""A transport that loses requests, to test what is built on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.rest.transport import (
    Method,
    Params,
    Reply,
    StreamedReply,
    Transport,
    UploadBody,
)


class FaultyTransport:
    """Loses the n-th request, before MLflow gets it or after MLflow has carried it out.

    `for_good` loses every later one as well, as when the process dies at that moment.
    """

    def __init__(self, beneath: Transport, fail_at: int, *, carried_out: bool, for_good: bool = False) -> None:
        self._beneath = beneath
        self._fail_at = fail_at
        self._carried_out = carried_out
        self._for_good = for_good
        self.requests = 0

    async def request(
        self,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
    ) -> Reply:
        self.requests += 1
        fails = self.requests == self._fail_at
        gone = self._for_good and 0 < self._fail_at < self.requests
        if gone or (fails and not self._carried_out):
            raise UnreachableError("The connection was lost.")
        reply = await self._beneath.request(
            method, path, params=params, json=json, content=content, headers=headers, idempotent=idempotent
        )
        if fails:
            raise UnreachableError("The connection was lost.")
        return reply

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamedReply]:
        """A reading: whether it was carried out makes no difference."""
        self._count()
        async with self._beneath.stream(path, params=params, headers=headers) as reply:
            yield reply

    @property
    def takes_large_artifacts(self) -> bool:
        return self._beneath.takes_large_artifacts

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """Lost before the body is sent, or when all of it has arrived."""
        lost_before = not self._carried_out or self.requests + 1 != self._fail_at
        self._count(lost_before)
        reply = await self._beneath.upload(method, path, body, params=params)
        if self.requests == self._fail_at:
            raise UnreachableError("The connection was lost.")
        return reply

    def _count(self, fails: bool = True) -> None:
        self.requests += 1
        gone = self._for_good and 0 < self._fail_at < self.requests
        if gone or (fails and self.requests == self._fail_at):
            raise UnreachableError("The connection was lost.")

    def warm_up(self) -> None:
        self._beneath.warm_up()

    def close(self) -> None:
        """The engine beneath closes its own transport."""

    async def aclose(self) -> None:
        """The same."""
