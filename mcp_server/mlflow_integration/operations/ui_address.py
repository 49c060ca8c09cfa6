"""Where links to MLflow's pages lead."""

from __future__ import annotations

from typing import Final

import anyio

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.rest.api import RestApi

LOOK_SECONDS: Final = 2.0
"""Longest wait for the first page of the UI; a server that does not answer by then keeps its links."""

PAGES_ELSEWHERE: Final = (
    "MLflow's pages are not at this address: the server was probably started with --static-prefix. Set "
    "MLFLOW_TRACKING_URI to the address of its pages, so that answers have links."
)


class UiAddress:
    """Address of MLflow's pages, looked for once, when the first link is needed."""

    def __init__(self, api: RestApi, address: str, *, is_certain: bool = False) -> None:
        """`address` is empty for a store without pages. `is_certain`: it is used as it is."""
        self._api = api
        self._address = address
        self._looked = is_certain or not address

    async def found(self) -> str:
        """Without a final slash; empty where there are no pages."""
        if not self._looked:
            with anyio.move_on_after(LOOK_SECONDS):
                try:
                    path = await self._api.pages_path()
                    self._address = "" if path is None else self._address + path
                except MlflowToolError:
                    pass  # A sign-in page, for one: a person may still pass it.
            self._looked = True
        return self._address

    async def link(self, path: str) -> str:
        """A page of the UI by its path; empty where there are no pages."""
        address = await self.found()
        return f"{address}/#/{path}" if address else ""
