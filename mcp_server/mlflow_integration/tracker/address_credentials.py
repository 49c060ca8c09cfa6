"""Which credentials MLflow's own client sends where, once an address came from `.env`, which may be a stranger's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.locate import Location
from mcp_server.mlflow_integration.locate.uris import is_http, read_server_address
from mcp_server.mlflow_integration.rest.credentials import authorization, is_from_dotenv
from mcp_server.settings import ADDRESSES, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER: Final = "Authorization"

_given: dict[str, str] = {}
"""By origin of an address from `.env`, the only Authorization header that it gets; may be empty."""
_chosen: set[str] = set()
"""Origins that the person chose elsewhere."""
_wrapped = False


def keep_credentials_from_dotenv(location: Location, settings: Settings) -> None:
    """An address from `.env` gets what the server would send it, whatever MLflow finds in the environment.

    MLflow's client reads tokens, ~/.mlflow/credentials, netrc, certificates and signing plugins by itself, and sends
    them to wherever a tracking server says that artifacts are.
    """
    global _wrapped
    for field, uri in zip(ADDRESSES, (location.tracking_uri, location.registry_uri), strict=True):
        if not is_http(uri):
            continue
        # Without its own address the registry is the tracking server.
        source = field if getattr(settings, field) else ADDRESSES[0]
        if is_from_dotenv(settings, source):
            _given[_origin(uri)] = authorization(settings, read_server_address(uri).login, field=source)
        else:
            _chosen.add(_origin(uri))
    if _given and not _wrapped:
        _wrapped = True
        mlflow_internals.wrap_senders(_sending)


def _sending(send: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(method: str, url: str, *arguments: Any, **named: Any) -> Any:
        origin = _origin(url)
        if origin not in _given and origin in _chosen | {_origin(uri) for uri in mlflow_internals.set_uris() if uri}:
            return send(method, url, *arguments, **named)
        named.pop("cert", None)
        named["auth"] = _only(_given.get(origin, ""))
        named["allow_redirects"] = False  # `requests` looks into netrc again for the address it is sent to.
        return send(method, url, *arguments, **named)

    return guarded


def _only(header: str) -> Callable[[Any], Any]:
    """Takes the place of every other way to sign in, netrc included."""

    def sign(request: Any) -> Any:
        request.headers.pop(_HEADER, None)
        if header:
            request.headers[_HEADER] = header
        return request

    return sign


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
