"""Servers that only MLflow's own client can sign in to: Databricks, AWS SigV4, authentication plugins.

Its requests are sent by mlflow's `http_request` in a thread, never repeated, without redirects.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import anyio
from anyio import CapacityLimiter, to_thread

from mcp_server.errors import DeadlineError, MlflowToolError, TrackingServerError, UnreachableError, UnsupportedError
from mcp_server.mlflow_integration.rest.http_transport import BODY_LIMIT, REQUESTS_IN_FLIGHT
from mcp_server.mlflow_integration.rest.transport import (
    OCTETS,
    Method,
    Params,
    Reply,
    StreamedReply,
    UploadBody,
    encoded,
)
from mcp_server.settings import Settings

logger = logging.getLogger(__name__)

_PIECE: Final = 65_536


class PluginTransport:
    """Carries requests with MLflow's own HTTP function. The caller sets MLflow's environment before."""

    def __init__(self, uri: str, address: str, settings: Settings) -> None:
        """`address` is what texts call the server."""
        self._uri = uri
        self._address = address
        self._settings = settings
        self._limiter = CapacityLimiter(REQUESTS_IN_FLIGHT)

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
        """One request, sent once. Cancelled, it ends in its thread.

        Raises: UnreachableError: no reply. DeadlineError: none in time. UnsupportedError: a package is missing.
        TrackingServerError: the body is too large. InvalidInputError: text that is not Unicode.
        """
        encoded(params, json, content, headers)
        body: dict[str, Any] = {"json": json} if json is not None else {"data": content}
        return await self._in_time(method, path, params=dict(params or {}), extra_headers=dict(headers or {}), **body)

    pages_path = ""
    takes_large_artifacts = False

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """One request, sent once, whose body `requests` reads as it sends it."""
        headers = {**OCTETS, "Content-Length": str(body.size)}
        return await self._in_time(method, path, params=dict(params or {}), extra_headers=headers, data=body)

    async def _in_time(self, method: Method, path: str, **request: Any) -> Reply:
        def carry() -> Reply:
            return self._carry(method, path, **request)

        seconds = self._settings.timeout_seconds
        with anyio.move_on_after(seconds):
            return await to_thread.run_sync(carry, abandon_on_cancel=True, limiter=self._limiter)
        raise DeadlineError(f"{self._address} did not complete its answer within {seconds:g} s.")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamedReply]:
        """One GET; MLflow's function gives its body as a whole."""
        reply = await self.request("GET", path, params=params, headers=headers, idempotent=True)
        yield StreamedReply(reply.status, reply.headers, _pieces(reply.body))

    def warm_up(self) -> None:
        """MLflow is imported with the first request."""

    def close(self) -> None:
        """Connections end with the process."""

    async def aclose(self) -> None:
        """The same."""

    def _carry(self, method: Method, path: str, **request: Any) -> Reply:
        try:
            rest: Any = import_module("mlflow.utils.rest_utils")
            patience = (self._settings.connect_timeout_seconds, self._settings.timeout_seconds)
            response = rest.http_request(
                self._credentials(),
                path,
                method,
                max_retries=0,
                timeout=patience,
                raise_on_status=False,
                retry_timeout_seconds=int(self._settings.timeout_seconds) or 1,
                stream=True,
                **request,
            )
            with response:
                return Reply(
                    response.status_code,
                    {name.lower(): value for name, value in response.headers.items()},
                    self._read(response),
                )
        except MlflowToolError:
            raise
        except ImportError as error:
            raise UnsupportedError(
                f"Signing in to {self._address} needs the Python package {error.name}, which is not installed where "
                f"this server runs: pip install {error.name}.",
                carried_out=False,
            ) from error
        except Exception as error:
            logger.warning("%s could not be asked", self._address, exc_info=True)
            raise UnreachableError(
                f"MLflow's client could not ask {self._address}: no connection, or its sign-in failed. Check the "
                "address and the credentials of the plugin; the log on stderr has the cause."
            ) from error

    def _credentials(self) -> Any:
        if self._uri.startswith("databricks"):
            return import_module("mlflow.utils.databricks_utils").get_databricks_host_creds(self._uri)
        return import_module("mlflow.utils.credentials").get_default_host_creds(self._uri)

    def _read(self, response: Any) -> bytes:
        body = bytearray()
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > BODY_LIMIT:
                raise TrackingServerError(
                    f"The answer of {self._address} is larger than {BODY_LIMIT // 1024**2} MB. Ask for less at once."
                )
        return bytes(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
