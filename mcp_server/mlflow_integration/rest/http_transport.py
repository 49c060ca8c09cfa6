"""Requests to a tracking server over HTTP: deadlines, tries, limits, certificates."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import anyio
import httpx2
from anyio import to_thread

from mcp_server.errors import DeadlineError, SettingsError, TrackingServerError, UnreachableError
from mcp_server.mlflow_integration.locate.uris import read_server_address, tokens_in_path
from mcp_server.mlflow_integration.rest.circuit_breaker import CircuitBreaker
from mcp_server.mlflow_integration.rest.credentials import UriField, authorization, header_text, is_from_dotenv
from mcp_server.mlflow_integration.rest.http_failures import explain
from mcp_server.mlflow_integration.rest.server_paths import ServerPaths
from mcp_server.mlflow_integration.rest.transport import (
    OCTETS,
    RETRY_WAITS_SECONDS,
    STREAM_PIECE,
    Encoded,
    Method,
    Params,
    Reply,
    StreamedReply,
    UploadBody,
    encoded,
    is_busy,
    is_unknown_path,
)
from mcp_server.redaction import remember
from mcp_server.settings import Settings

REQUESTS_IN_FLIGHT: Final = 8
"""MLflow's SQL store loses work somewhere between 9 and 15 requests at a time (measured, MLflow 3.17)."""

RETRY_AFTER_LIMIT_SECONDS: Final = 2.0
"""A server that asks for a longer wait is not waited for: its reply goes up as it is."""

HANG_SECONDS: Final = 5.0
"""A call that was cancelled after this time, without an answer, counts as one that the server left hanging."""

KEEPALIVE_SECONDS: Final = 4.0
"""Idle connections are ours to close: `mlflow server` (uvicorn) closes them after 5 s, in the face of a request."""

BODY_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of one body after decompression; a page of 1,000 runs with 100 metrics each has 10 million."""


class HttpTransport:
    """A tracking server over HTTP. Making one costs nothing: it connects with its first request."""

    address: str
    """`scheme://host[:port][/path]` without credentials and tokens: all that any text shows of the server."""

    def __init__(self, uri: str, settings: Settings, *, field: UriField = "tracking_uri") -> None:
        """`field` is the setting that gave the URI.

        Raises: SettingsError: the address or a credential cannot be used.
        """
        found = read_server_address(uri)
        if found.problem:
            raise SettingsError(found.problem)
        self.address = found.shown
        self._base = found.address
        for token in tokens_in_path(found.address):
            remember(token)
        self._settings = settings
        self._trusted = not is_from_dotenv(settings, field)
        self._headers = {"User-Agent": "mcp-server-mlflow"}
        if credentials := authorization(settings, found.login, field):
            self._headers["Authorization"] = credentials
        if settings.workspace:
            self._headers["X-MLFLOW-WORKSPACE"] = header_text("MLFLOW_WORKSPACE", settings.workspace)
        self._paths = ServerPaths(self._base, settings.ui_url if field == "tracking_uri" else "", self._page)
        self._client: httpx2.AsyncClient | None = None
        self._slots = anyio.Semaphore(REQUESTS_IN_FLIGHT)
        self._breaker = CircuitBreaker(self._probe, hang_seconds=min(HANG_SECONDS, settings.timeout_seconds / 2))

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
        """One request, tried up to three times where that is safe, within the time of one tool call.

        Returns: the reply, whatever its status, decompressed.
        Raises: UnreachableError: no connection, it was lost, the address redirects, or the server has not answered
        lately. DeadlineError: the answer was not complete in time. TrackingServerError: the body is beyond `BODY_LIMIT`
        or garbled. InvalidInputError: text that is not Unicode. SettingsError: certificates or
        proxies that cannot be used.
        """
        asked = encoded(params, json, content, headers)
        base = self._paths.address(path)
        reply = await self._asked(base, method, path, asked, idempotent)
        if is_unknown_path(reply) and await self._paths.is_elsewhere(path, base):
            return await self._asked(self._paths.address(path), method, path, asked, idempotent)
        return reply

    @property
    def pages_path(self) -> str:
        """Where MLflow's pages are below the address, as far as a request for one of them has shown."""
        return self._paths.pages_path

    async def _page(self, url: str) -> Reply:
        return await self._asked("", "GET", url, encoded(None, None, None, None), True)

    async def _asked(self, base: str, method: Method, path: str, asked: Encoded, idempotent: bool) -> Reply:
        client = self._opened()
        url = f"{base}{path}?{asked.query}" if asked.query else base + path
        request = client.build_request(method, url, content=asked.body, headers=dict(asked.headers))
        async with self._breaker.watching():
            return await self._within_time(client, request, idempotent=idempotent)

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamedReply]:
        """One GET, not repeated: the reader may have used its beginning. Its body has the time of one tool call.

        Raises: DeadlineError: the body was not read to its end, or left, in that time; otherwise as `request`.
        """
        # A range is one of the bytes as they are stored, not of a compressed form.
        asked = encoded(params, None, None, {"Accept-Encoding": "identity", **(headers or {})})
        base = self._paths.address(path)
        async with self._streamed(base, path, asked) as reply:
            if not is_unknown_path(reply):
                yield reply
                return
        await self._paths.is_elsewhere(path, base)
        async with self._streamed(self._paths.address(path), path, asked) as reply:
            yield reply

    @asynccontextmanager
    async def _streamed(self, base: str, path: str, asked: Encoded) -> AsyncGenerator[StreamedReply]:
        client = self._opened()
        url = f"{base}{path}?{asked.query}" if asked.query else base + path
        request = client.build_request("GET", url, headers=dict(asked.headers))
        try:
            async with self._breaker.watching():
                with anyio.move_on_after(self._settings.timeout_seconds):
                    async with self._slots, aclosing(await client.send(request, stream=True)) as response:
                        if 300 <= response.status_code < 400:
                            raise self._redirected(response)
                        pieces = response.aiter_bytes(STREAM_PIECE)
                        yield StreamedReply(response.status_code, dict(response.headers), pieces)
                        return
                raise self._incomplete()
        except httpx2.DecodingError:
            raise TrackingServerError(f"The answer of {self.address} cannot be decoded.") from None
        except httpx2.TransportError as error:
            raise self._explained(error)[0] from None

    takes_large_artifacts = False

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """One request, not repeated. It has no time limit besides the deadline of the tool call."""
        client = self._opened()
        asked = encoded(params, None, None, {**OCTETS, "Content-Length": str(body.size)})
        url = self._paths.address(path) + path + (f"?{asked.query}" if asked.query else "")

        async def pieces() -> AsyncGenerator[bytes]:
            while piece := await to_thread.run_sync(body.read, STREAM_PIECE):
                yield piece

        request = client.build_request(method, url, content=pieces(), headers=dict(asked.headers))
        try:
            # Not watched: a cancelled upload is a sign of a slow network, not of a server that hangs.
            async with self._slots:
                return await self._send(client, request)
        except httpx2.TransportError as error:
            raise self._explained(error)[0] from None

    def warm_up(self) -> None:
        """Nothing takes long here."""

    def close(self) -> None:
        """Connections end with the process."""

    async def aclose(self) -> None:
        """Closes the connections; a later request would open new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            context = _tls(self._base, self._settings, offers_certificate=self._trusted)
            # At DEBUG they write the headers of every reply, cookies included.
            for library in ("httpx2", "httpcore2"):
                logging.getLogger(library).setLevel(logging.WARNING)
            try:
                self._client = httpx2.AsyncClient(
                    headers=self._headers,
                    verify=context,
                    # A limit per read would let a server drip for ever; `request` limits the whole.
                    timeout=httpx2.Timeout(None, connect=self._settings.connect_timeout_seconds),
                    # One more for the probe, when all requests hang.
                    limits=httpx2.Limits(max_connections=REQUESTS_IN_FLIGHT + 1, keepalive_expiry=KEEPALIVE_SECONDS),
                )
            except (ImportError, ValueError, httpx2.InvalidURL):  # of what urllib found in the environment
                raise SettingsError(
                    "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used. Form: http://host:port"
                ) from None
        return self._client

    async def _within_time(self, client: httpx2.AsyncClient, request: httpx2.Request, *, idempotent: bool) -> Reply:
        with anyio.move_on_after(self._settings.timeout_seconds):
            return await self._carry(client, request, idempotent=idempotent)
        raise self._incomplete()

    def _incomplete(self) -> DeadlineError:
        return DeadlineError(
            f"{self.address} did not complete its answer within {self._settings.timeout_seconds:g} s "
            "(MLFLOW_MCP_TIMEOUT_SECONDS). Ask for less at once, or try again when the server is less busy."
        )

    async def _probe(self) -> None:
        """Whether anything answers, whatever it says. Raises: TrackingServerError: nothing does."""
        client = self._opened()
        try:
            response = await client.send(client.build_request("GET", self._base + "/health"), stream=True)
            await response.aclose()
        except httpx2.TransportError as error:
            raise self._explained(error)[0] from None

    def _explained(self, error: httpx2.TransportError) -> tuple[TrackingServerError, bool]:
        return explain(error, self.address, connect_timeout_seconds=self._settings.connect_timeout_seconds)

    async def _carry(self, client: httpx2.AsyncClient, request: httpx2.Request, *, idempotent: bool) -> Reply:
        """Up to three tries. `arrived` remembers, over all of them, that MLflow may have had the request."""
        began = anyio.current_time()
        arrived = False
        waits = iter(RETRY_WAITS_SECONDS)
        while True:
            wait = next(waits, None)
            try:
                async with self._slots:
                    reply = await self._send(client, request)
            except httpx2.TransportError as error:
                failure, passing = self._explained(error)
                if failure.carried_out is None:
                    arrived = True
                    again = passing and idempotent
                else:
                    # Half a connect timeout to begin tries, a whole one for the last: 3 s in all by default.
                    spent = anyio.current_time() - began + (wait or 0)
                    again = passing and spent <= self._settings.connect_timeout_seconds / 2
                if wait is None or not again:
                    failure.carried_out = None if arrived else False
                    raise failure from None
            else:
                pause = _pause(reply) if idempotent else None
                if wait is None or pause is None:
                    return reply
                arrived = True
                wait = max(wait, pause)
            await anyio.sleep(wait)

    async def _send(self, client: httpx2.AsyncClient, request: httpx2.Request) -> Reply:
        """One try. Raises: httpx2.TransportError: the network failed, to be judged by `request`."""
        response = await client.send(request, stream=True)
        async with aclosing(response):
            if 300 <= response.status_code < 400:
                raise self._redirected(response)
            body = bytearray()
            try:
                async with aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > BODY_LIMIT:
                            raise TrackingServerError(
                                f"The answer of {self.address} is larger than {BODY_LIMIT // 1024**2} MB. "
                                "Ask for less at once: lower max_results, or read a part."
                            )
            except httpx2.DecodingError:
                raise TrackingServerError(f"The answer of {self.address} cannot be decoded.") from None
        return Reply(response.status_code, dict(response.headers), bytes(body))

    def _redirected(self, response: httpx2.Response) -> UnreachableError:
        target = response.next_request.url if response.next_request else None
        if target is None or (target.scheme, target.netloc) == (response.url.scheme, response.url.netloc):
            return UnreachableError(
                f"{self.address} redirects to another of its pages, as sign-in pages do. Correct MLFLOW_TRACKING_URI, "
                "or set the credentials it requires."
            )
        place = f"{target.scheme}://{target.netloc.decode()}"
        return UnreachableError(
            f"{self.address} redirects to {place}, and redirects are not followed. If MLflow is there, set "
            f"MLFLOW_TRACKING_URI to {place}; if that is a sign-in page, MLflow needs other credentials."
        )


def _pause(reply: Reply) -> float | None:
    """Seconds to wait before a second try, as the server asks; None when there should be no second try."""
    if not (is_busy(reply) or reply.status in (429, 502, 503, 504)):
        return None
    try:
        seconds = float(reply.headers.get("retry-after", "0"))
    except ValueError:  # A date: proxies under maintenance send those, and mean minutes.
        return None
    return seconds if 0 <= seconds <= RETRY_AFTER_LIMIT_SECONDS else None


def _tls(address: str, settings: Settings, *, offers_certificate: bool) -> ssl.SSLContext:
    """Raises: SettingsError: a certificate file cannot be used; names the variable."""
    if address.startswith("http://"):
        # Never used: given because the client would load the certificates of all authorities otherwise (50 ms).
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bundle = settings.server_cert_path
    try:
        if settings.insecure_tls or not bundle:
            context = httpx2.create_ssl_context(verify=not settings.insecure_tls)
        elif os.path.isdir(bundle):
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle)
    except OSError:
        raise SettingsError("MLFLOW_TRACKING_SERVER_CERT_PATH holds no CA bundle in PEM that can be read.") from None
    if settings.client_cert_path and offers_certificate:
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(settings.client_cert_path, password="")
        except OSError:
            raise SettingsError(
                "MLFLOW_TRACKING_CLIENT_CERT_PATH holds no certificate with its unencrypted key in PEM."
            ) from None
    return context
