"""Which part of a server's address answers which request: --static-prefix moves some of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import httpx2

from mcp_server.mlflow_integration.rest.transport import Reply, is_unknown_path

USUAL_PREFIXES: Final = ("/mlflow", "/tracking", "/mlflow-tracking", "/mlflow-server", "/ml", "/mlops", "/ui")
"""Prefixes that are tried when the root of a server has an API and no pages: nothing there names the prefix."""

_API_PATHS: Final = ("/api/", "/version", "/health")
"""What MLflow 2 serves at the root even when it has a --static-prefix."""
_EXPERIMENT: Final = "2.0/mlflow/experiments/get?experiment_id=0"
"""Answered the same by both halves of one MLflow, and otherwise by another: it holds the time of its creation."""

Get = Callable[[str], Awaitable[Reply]]
"""The reply to a GET of a whole address."""


class ServerPaths:
    """The addresses of one server's two halves.

    MLflow 2 with --static-prefix has its API at the root, and its pages, curves and files of artifacts below the
    prefix. MLflow 3 has all of them below the prefix. Either half of MLflow 2 may be given as its address.
    """

    def __init__(self, address: str, pages: str, get: Get) -> None:
        """`pages` is the address of the UI where a setting gives it, else empty."""
        url = httpx2.URL(address)
        self._root = str(url.copy_with(path="/")).rstrip("/")
        self._given = address
        self._api = address
        self._pages = address
        self._get = get
        below = pages.removeprefix(self._root)
        self._prefixes = (below,) if pages.startswith(f"{self._root}/") else USUAL_PREFIXES
        self._looked_for_api = address == self._root
        self._looked_for_pages = address != self._root
        self._lock = anyio.Lock()

    def address(self, path: str) -> str:
        """The beginning of the address of a request."""
        return self._api if path.startswith(_API_PATHS) else self._pages

    @property
    def pages_path(self) -> str:
        """Where the UI is below the given address; empty where it is that address."""
        return self._pages.removeprefix(self._given)

    async def is_elsewhere(self, path: str, tried: str) -> bool:
        """Whether another address knows a path that is unknown at `tried`. Each half is looked for once."""
        async with self._lock:
            if self.address(path) == tried:
                if path.startswith(_API_PATHS):
                    await self._look_for_api()
                else:
                    await self._look_for_pages()
        return self.address(path) != tried

    async def _look_for_api(self) -> None:
        if self._looked_for_api:
            return
        given, root = await self._get(f"{self._given}/version"), await self._get(f"{self._root}/version")
        if is_unknown_path(given) and root.status == 200 and root.body[:1].isdigit():
            self._api = self._root
        self._looked_for_api = True

    async def _look_for_pages(self) -> None:
        if self._looked_for_pages:
            return
        api = await self._get(f"{self._root}/api/{_EXPERIMENT}")
        for prefix in self._prefixes if _is_json(api) else ():
            other = await self._get(f"{self._root}{prefix}/ajax-api/{_EXPERIMENT}")
            if _is_json(other) and (other.status, other.body) == (api.status, api.body):
                self._pages = f"{self._root}{prefix}"
                break
        self._looked_for_pages = True


def _is_json(reply: Reply) -> bool:
    return "json" in reply.headers.get("content-type", "")
