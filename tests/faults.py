"""Transports over another one, which lose requests or change what passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.rest.transport import Method, Reply, StreamedReply, Transport, UploadBody

Send = Callable[[], Awaitable[Reply]]
"""Sends a request on, each time it is called."""


class WrappedTransport:
    """Passes every request on; a subclass decides in `carry` what becomes of it."""

    def __init__(self, wrapped: Transport) -> None:
        self._wrapped = wrapped

    async def request(self, method: Method, path: str, **parts: Any) -> Reply:
        return await self.carry(method, path, lambda: self._wrapped.request(method, path, **parts))

    async def upload(self, method: Method, path: str, body: UploadBody, **parts: Any) -> Reply:
        return await self.carry(method, path, lambda: self._wrapped.upload(method, path, body, **parts))

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        return await send()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def close(self) -> None:
        """The engine of the wrapped transport closes it."""

    async def aclose(self) -> None:
        """The same."""


class FaultyTransport(WrappedTransport):
    """Loses the n-th request, before MLflow gets it or after MLflow has carried it out.

    `for_good` loses every later one as well, as when the process dies at that moment.
    """

    def __init__(self, wrapped: Transport, fail_at: int, *, carried_out: bool, for_good: bool = False) -> None:
        super().__init__(wrapped)
        self._fail_at = fail_at
        self._carried_out = carried_out
        self._for_good = for_good
        self.requests = 0
        self.lost = 0

    def recover(self) -> None:
        """Loses no further request."""
        self._fail_at = 0

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        fails = self._counted(self._carried_out)
        reply = await send()
        if fails:
            raise UnreachableError("The connection was lost.")
        return reply

    @asynccontextmanager
    async def stream(self, path: str, **parts: Any) -> AsyncGenerator[StreamedReply]:
        """A reading: whether it was carried out makes no difference."""
        self._counted(False)
        async with self._wrapped.stream(path, **parts) as reply:
            yield reply

    def _counted(self, carried_out: bool) -> bool:
        """Whether this request is the one to lose. Raises: UnreachableError: it is lost before MLflow gets it."""
        self.requests += 1
        fails = self.requests == self._fail_at
        gone = self._for_good and 0 < self._fail_at < self.requests
        self.lost += fails or gone
        if gone or (fails and not carried_out):
            raise UnreachableError("The connection was lost.")
        return fails
