"""What a reply means that does not have what was asked for: MLflow's error codes, refused credentials, web pages.

The texts are ours. Of MLflow's own words, only those that describe the caller's mistake are passed on, cleaned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic_core import from_json

from mcp_server.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    MlflowToolError,
    NotFoundError,
    PermissionDeniedError,
    TrackingServerError,
    UnreachableError,
    UnsupportedError,
)
from mcp_server.mlflow_integration.rest.transport import Reply, is_busy
from mcp_server.untrusted import public_text


def failure(reply: Reply, address: str) -> MlflowToolError:
    """The error of a reply whose status is 400 or more; `address` is what its text calls this MLflow."""
    body = json_object(reply.body) or {}
    code, message = str(body.get("error_code", "")), public_text(str(body.get("message", "")))
    if reply.status == 403 and _REFUSED_HOST in reply.body:
        return _unknown_host_name(address)
    if reply.status in (401, 403) or code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return _refused(reply.status, message, address)
    if any(sign in reply.body for sign in _PLAIN_HTTP_REFUSED):
        return UnreachableError(
            f"{address} expects HTTPS and was asked over plain HTTP. Set MLFLOW_TRACKING_URI to "
            f"{address.replace('http://', 'https://', 1)}.",
            carried_out=False,
        )
    if reply.status == 404 and not code:
        return UnsupportedError(
            f"The MLflow server at {address} does not know this request: it is too old for it, the address "
            "is not that of an MLflow server, or the server has a --static-prefix that MLFLOW_TRACKING_URI lacks. "
            "get_server_info shows its version.",
            carried_out=False,
        )
    if _NO_SAMPLING in message:
        return UnsupportedError(
            f"MLflow at {address} cannot sample curves: versions before 3.15 do not work with SQLAlchemy 2.1. "
            "Update MLflow there, or install sqlalchemy<2.1 with it."
        )
    if is_busy(reply):
        return TrackingServerError(
            f"The database of MLflow at {address} is busy: others hold its lock or all of its connections, or write "
            "the same as this call. Try again in a moment."
        )
    kind = _ERROR_BY_CODE.get(code)
    if kind is not None and _STORE_TROUBLE not in message:
        return kind(_reworded(message) or f"MLflow refused the request ({code}).")
    busy = code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED") or reply.status in (429, 503)
    advice = "Try again in a moment." if busy else "See the log of that server."
    detail = f" ({message})" if message else ""
    return TrackingServerError(f"MLflow at {address} failed to answer: status {reply.status}{detail}. {advice}")


def _unknown_host_name(address: str) -> PermissionDeniedError:
    host = address.partition("://")[2].partition("/")[0]
    return PermissionDeniedError(
        f"The MLflow server at {address} refuses this host name (403, Invalid Host header): it answers only to names "
        f'that it knows. Start it with `mlflow server --allowed-hosts "{host},localhost:*"`, or use a name that it '
        "knows in MLFLOW_TRACKING_URI."
    )


def _refused(status: int, message: str, address: str) -> PermissionDeniedError:
    if status == 401 or "authenticat" in message.lower():
        return PermissionDeniedError(
            f"MLflow at {address} requires credentials, or different ones. Set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, where this server is started."
        )
    return PermissionDeniedError(
        f"MLflow at {address} refused the request: what it names does not exist, or this user may not see or change "
        "it; MLflow does not say which. Check the id or name. An owner of the experiment or model can grant access; or "
        "start this server with other credentials (MLFLOW_TRACKING_USERNAME)."
    )


def not_mlflow(address: str) -> UnreachableError:
    """For a successful reply that is not JSON."""
    return UnreachableError(
        f"Something answers at {address}, but it is not MLflow's REST interface: a web page, a login "
        "page or another service. Correct MLFLOW_TRACKING_URI."
    )


def misdirected(address: str, kind: str, asked: str) -> TrackingServerError:
    """For an answer about something other than what was asked for, as from a broken cache."""
    return TrackingServerError(
        f"MLflow at {address} was asked for {kind} {asked} and answered with another one. A proxy or cache between "
        "it and this server mixes up answers."
    )


def nonsense(address: str) -> TrackingServerError:
    """For a reply that lacks what it must name."""
    return TrackingServerError(f"MLflow at {address} reported success, but its answer lacks what was asked for.")


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body; None for anything else."""
    try:
        value = from_json(body)
    except ValueError:
        # Half a character (a lone surrogate) is valid JSON to MLflow, and not to pydantic.
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


_ERROR_BY_CODE: Final[Mapping[str, type[MlflowToolError]]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": AlreadyExistsError,
    "INVALID_PARAMETER_VALUE": InvalidInputError,
    "BAD_REQUEST": InvalidInputError,
    "INVALID_STATE": InvalidInputError,
    "MALFORMED_REQUEST": InvalidInputError,
    "RESOURCE_CONFLICT": ConflictError,
    "FEATURE_DISABLED": UnsupportedError,
    "ENDPOINT_NOT_FOUND": UnsupportedError,
    "NOT_IMPLEMENTED": UnsupportedError,
}
"""MLflow's error codes that the caller can correct. Source: mlflow/exceptions.py. The rest are failures."""

_REFUSED_HOST: Final = b"Invalid Host header"
"""What MLflow 3.5 and later answer, as plain text, to a host name that --allowed-hosts does not list."""

_PLAIN_HTTP_REFUSED: Final = (
    b"The plain HTTP request was sent to HTTPS port",
    b"Client sent an HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL-enabled server port",
)
"""What nginx, servers written in Go, and Apache answer."""

_STORE_TROUBLE: Final = "OperationalError"
"""MLflow labels trouble of its database BAD_REQUEST, as if the caller were wrong (seen with 3.17.2)."""


_NO_SAMPLING: Final = "Column-expression-level unary distinct()"
"""What SQLAlchemy 2.1 answers to the sampled history of MLflow 3.14 and before."""

_CHANGED_PARAM: Final = re.compile(r"'key': '(.*?)', 'old_value': '(.*?)', 'new_value': '(.*?)'")


def _reworded(message: str) -> str:
    """MLflow's refusal, or our sentence where MLflow's is about its internals (wording of 3.17)."""
    if "Changing param values is not allowed" in message and (changed := _CHANGED_PARAM.search(message)):
        key, old, new = changed.groups()
        return (
            f"Param '{key}' is '{old}' and cannot become '{new}': logged params never change. Use another name or run."
        )
    if message.startswith("Invalid path"):
        return "The path leads out of the artifacts, or through a link that does."
    if "page token" in message.lower():
        return "page_token did not come from MLflow. Pass next_page_token of the previous page, unchanged."
    return message
