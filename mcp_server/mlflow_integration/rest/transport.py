"""What carries one asynchronous request in MLflow's REST JSON, and what every such carrier shares.

`HttpTransport` carries it to a tracking server, `InProcessTransport` (local/in_process.py) to
MLflow's own server application inside this process, `PluginTransport` to servers that MLflow's client
reaches by a plugin. Nothing above knows which.
"""

from __future__ import annotations

import json as json_module
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable
from urllib.parse import urlencode

from mcp_server.errors import InvalidInputError, UnsupportedError
from mcp_server.mlflow_integration.entities import MetricSeries

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

Params = Mapping[str, str | int | Sequence[str]]
"""Query parameters; a sequence is sent as one `key=value` pair per item, as MLflow expects of lists."""

RETRY_WAITS_SECONDS: Final = (0.2, 0.6)
"""Waits before the second and the third try: together well under the second that a caller notices."""


OCTETS: Final = {"Content-Type": "application/octet-stream"}
"""Headers of an upload."""

STREAM_PIECE: Final = 256 * 1024
"""Bytes of one piece of a streamed body."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status: the meaning of a status is for `api.py` to judge."""

    status: int
    headers: Mapping[str, str]
    """Header names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """A reply whose body arrives in pieces, as they are asked for."""

    status: int
    headers: Mapping[str, str]
    """Header names in lower case."""
    pieces: AsyncIterator[bytes]


class UploadBody(Protocol):
    """The body of an upload: of known size, read once from its beginning, in worker threads."""

    @property
    def size(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; nothing at the end. Raises: MlflowToolError: the upload must stop."""
        ...


class Transport(Protocol):
    """Carries one request to MLflow and brings its reply back.

    `path` is percent-encoded, begins with a slash and has no query. At most one of `json` and
    `content` is given. `idempotent` says that the request may be sent twice without harm; only then
    may a transport repeat it after it might have been carried out.

    Raises: UnreachableError, DeadlineError: no reply. `carried_out` tells whether the request
        certainly never reached MLflow (False) or may have (None).
    """

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
    ) -> Reply: ...

    def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """One GET whose body is never held as a whole; leaving the context ends the transfer.

        Raises: as `request`, also while pieces are read.
        """
        ...

    @property
    def pages_path(self) -> str:
        """Where MLflow's pages are below the address, as far as a request for one of them has shown."""
        ...

    @property
    def takes_large_artifacts(self) -> bool:
        """Whether an artifact of any size can be posted to a run; MLflow servers take 10 MiB there."""
        ...

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """One request whose body is never held as a whole; sent once.

        Raises: as `request`.
        """
        ...

    def warm_up(self) -> None:
        """Begins in the background what the first request would wait for."""
        ...

    def close(self) -> None:
        """Gives up what must not outlive the process; callable without an event loop."""
        ...

    async def aclose(self) -> None: ...


Curve = tuple[str, str]
"""Run id and metric."""


@dataclass(frozen=True, slots=True)
class CurveLimits:
    """How much of the curves of one call is read."""

    whole: int
    """Points of one curve that is read whole; longer ones are sampled."""
    whole_in_all: int
    """The same over all curves."""
    sample: int
    """Points of a sampled curve, about."""
    counted_in_all: int
    """Points over which the totals of sampled curves are counted."""


@runtime_checkable
class CurveReader(Protocol):
    """What a transport may be able to do besides: read curves where they are stored, with facts about every point."""

    async def read_curves(
        self, curves: Sequence[Curve], limits: CurveLimits, steps: tuple[int, int] | None
    ) -> Mapping[Curve, MetricSeries] | None:
        """The curves that have points in the range of `steps`, both ends included; None: this store cannot say.

        Raises: UnreachableError: the store cannot be opened.
        """
        ...


@runtime_checkable
class RunPageReader(Protocol):
    """What a transport may be able to do besides: answer large searches for runs from where they are stored."""

    async def read_run_page(self, search: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to runs/search with this body, in MLflow's JSON; None: MLflow itself must be asked.

        Raises: UnreachableError: the store cannot be opened.
        """
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request as it is sent."""

    query: str
    body: bytes | None
    headers: Mapping[str, str]


def encoded(params: Params | None, json: Any, content: bytes | None, headers: Mapping[str, str] | None) -> Encoded:
    """Raises: InvalidInputError: a text that is not whole Unicode; nothing was sent."""
    all_headers = dict(headers or {})
    try:
        query = urlencode(params or {}, doseq=True)
        if json is not None:
            content = json_module.dumps(json, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
            all_headers["Content-Type"] = "application/json"
    except UnicodeEncodeError as error:
        raise InvalidInputError(_not_unicode(error)) from None
    return Encoded(query, content, all_headers)


def is_unknown_path(reply: Reply | StreamedReply) -> bool:
    """Whether MLflow serves nothing at the path of a request: what it says itself is JSON."""
    return reply.status == 404 and "json" not in reply.headers.get("content-type", "")


def is_busy(reply: Reply) -> bool:
    """Whether MLflow's own store was locked, out of connections, or written by two requests at once.

    MLflow gives that the status of a bug, or of a mistake of the caller (a full pool is 400 BAD_REQUEST in 3.17). Of
    two requests that log one param at the same moment, it refuses one with the words of its database.
    """
    return (
        reply.status >= 400
        and any(sign in reply.body for sign in _BUSY_SIGNS)
        # What is there already, such as a model of that name, will still be there at the next try.
        and b"RESOURCE_ALREADY_EXISTS" not in reply.body
    )


_BUSY_SIGNS: Final = (
    b"QueuePool",
    b"database is locked",
    b"UNIQUE constraint failed",  # SQLite
    b"violates unique constraint",  # PostgreSQL
    b"Duplicate entry",  # MySQL
)


def _not_unicode(error: UnicodeEncodeError) -> str:
    before = error.object[max(0, error.start - 20) : error.start]
    return (
        f"The request holds half a character (U+{ord(error.object[error.start]):04X}, a lone surrogate) "
        f"after {before!r}. Send whole Unicode characters."
    )


class UnusableTransport:
    """Stands in for an MLflow whose address cannot be used, so that the server starts and says why."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

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
        """Raises: UnsupportedError: always, with the sentence."""
        raise UnsupportedError(self._problem, carried_out=False)

    def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """Raises: UnsupportedError: always, with the sentence."""
        raise UnsupportedError(self._problem, carried_out=False)

    pages_path = ""
    takes_large_artifacts = False

    async def upload(self, method: Method, path: str, body: UploadBody, *, params: Params | None = None) -> Reply:
        """Raises: UnsupportedError: always, with the sentence."""
        raise UnsupportedError(self._problem, carried_out=False)

    def warm_up(self) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""
