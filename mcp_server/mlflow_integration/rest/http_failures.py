"""What a failure of the network means, in one sentence for the agent. No text of a library passes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx2

from mcp_server.errors import TrackingServerError, UnreachableError

_CERTIFICATE_PROBLEM_BY_CODE = {
    9: "it is not valid yet. Check the clock of this computer",
    10: "it has expired. Renew it on the server",
    62: "it is for another host name. Use the name it was made for in MLFLOW_TRACKING_URI",
    64: "it is for another address. Use the name it was made for in MLFLOW_TRACKING_URI",
}
"""By the verify codes of OpenSSL (x509_vfy.h)."""


def explain(
    error: httpx2.TransportError, address: str, *, connect_timeout_seconds: float
) -> tuple[TrackingServerError, bool]:
    """The failure for the agent, and whether it may pass by itself in a moment.

    `carried_out` is False when the request was certainly not sent.
    """
    unsent = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError))
    sentence, passing = _diagnosis(error, address, connect_timeout_seconds)
    return UnreachableError(sentence, carried_out=False if unsent else None), passing


def _diagnosis(error: httpx2.TransportError, address: str, connect_timeout_seconds: float) -> tuple[str, bool]:
    cause = _system_error(error)
    match error:
        case httpx2.ConnectTimeout():
            return (
                f"{address} did not accept a connection within {connect_timeout_seconds:g} s. Check that MLflow runs "
                "there and that the network leads to it; MLFLOW_MCP_CONNECT_TIMEOUT_SECONDS allows more time."
            ), True
        case httpx2.ProxyError():
            return (
                f"The proxy would not connect to {address}. Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or list the "
                "host in NO_PROXY."
            ), False
        # Also later than the handshake: TLS 1.3 servers refuse a client's certificate after it.
        case _ if isinstance(cause, ssl.SSLError):
            return f"No TLS connection to {address}: {_tls_problem(cause, address)}.", False
        case httpx2.ProtocolError():
            tls = address.replace("http://", "https://", 1)
            secure = f" If it uses TLS, set MLFLOW_TRACKING_URI to {tls}." if tls != address else ""
            return (
                f"{address} closed the connection before its answer was complete, or does not speak HTTP. Check that "
                f"MLFLOW_TRACKING_URI is the address of MLflow.{secure}"
            ), True
        case httpx2.ConnectError() if isinstance(cause, socket.gaierror):
            return (
                f"The host name in {address} cannot be resolved. Correct MLFLOW_TRACKING_URI, or check the network."
            ), False
        case httpx2.ConnectError():
            refused = isinstance(cause, ConnectionRefusedError)
            return (
                f"No MLflow answers at {address}: "
                f"{'the connection was refused' if refused else 'no connection could be opened'}. "
                'Start one with "mlflow server", or correct MLFLOW_TRACKING_URI.'
            ), True
        case _:
            return f"The connection to {address} was lost before the answer was complete.", True


def _tls_problem(error: ssl.SSLError, address: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = _CERTIFICATE_PROBLEM_BY_CODE.get(
            getattr(error, "verify_code", 0),
            "it is not signed by anyone whom this computer trusts. Set MLFLOW_TRACKING_SERVER_CERT_PATH to the CA "
            "bundle (PEM) of that server",
        )
        return f"its certificate cannot be accepted, {problem}"
    reason = error.reason or ""
    if "CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason or "UNKNOWN_CA" in reason:
        return "it refuses our certificate or requires one. Set MLFLOW_TRACKING_CLIENT_CERT_PATH to one it knows (PEM)"
    plain = address.replace("https://", "http://", 1)
    return f"what answers there does not speak it properly. If it is plain HTTP, set MLFLOW_TRACKING_URI to {plain}"


def _system_error(error: BaseException) -> OSError | None:
    """The nearest error of the operating system or of TLS beneath a library's.

    The pool re-raises `from None`, so the context counts as well as the cause; anyio wraps one
    attempt per address of a host into a group, within a bare OSError.
    """
    for beneath in _chain(error):
        if isinstance(beneath, OSError) and (beneath.errno is not None or type(beneath) is not OSError):
            return beneath
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        for attempt in getattr(current, "exceptions", ()):
            yield from _chain(attempt)
        current = current.__cause__ or current.__context__
