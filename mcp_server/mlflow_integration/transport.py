"""The seam beneath everything: one asynchronous request in MLflow's REST JSON.

`HttpTransport` carries it to a tracking server, `InProcessTransport` (embedded.py) to
MLflow's own server application inside this process. Nothing above this line knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

Params = Mapping[str, str | int | Sequence[str]]
"""Query parameters; a sequence is sent as one `key=value` pair per item, as MLflow expects of lists."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status: the meaning of a status is `api.py`'s business."""

    status: int
    headers: Mapping[str, str]
    """Header names in lower case."""
    body: bytes


class Transport(Protocol):
    """Carries one request to MLflow and brings its reply back.

    `idempotent` says that the request may be sent twice without harm; only then may a transport
    repeat it after it might have been carried out.

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

    async def aclose(self) -> None: ...
