"""The one place through which every message goes to an MCP client: known secrets and invalid Unicode are replaced.

Results, errors, questions, notifications and progress pass here, whatever the transport and whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, ErrorData
from pydantic import ValidationError

from mcp_server.redaction import redact, redacted, redacted_base64

_WORDS_OF_THE_PROTOCOL: Final = frozenset(
    {"type", "resultType", "method", "role", "mode", "mimeType", "cacheScope", "protocolVersion", "$schema"}
)
"""Fields whose values the client acts on; a password such as `text` must not change them."""
_SEALED: Final = "requestState"
"""Encrypted by the SDK after it has passed here, and compared when it comes back."""
_BYTES: Final = frozenset({"data", "blob"})
_SCHEMAS: Final = frozenset({"inputSchema", "outputSchema", "requestedSchema"})
_SCHEMA_TEXTS: Final = frozenset({"description", "title"})
_STRUCTURED: Final = "structuredContent"


async def guard_messages(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: guards what is sent while a message is handled, and its answer.

    A lone surrogate in an answer would end the process, because no JSON frame can carry it.
    """
    _guard_channels(ctx)
    try:
        result = await call_next(ctx)
    except MCPError as error:
        error.error = ErrorData(code=error.code, message=_text(error.message), data=redacted(_unicode(error.data)))
        raise
    except ValidationError:
        raise  # The SDK answers it without its text.
    except Exception as error:
        if redact(str(error)) == str(error):
            raise
        raise MCPError(INTERNAL_ERROR, redact(str(error))) from None
    return guarded(result) if isinstance(result, dict) else result


def guarded(value: Any, field: str = "") -> Any:
    """The fields of a message as they may leave; `field` is the one that holds the value."""
    if isinstance(value, str):
        if field in _WORDS_OF_THE_PROTOCOL or field == _SEALED:
            return value
        return redacted_base64(value) if field in _BYTES else _text(value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if field == _STRUCTURED:
            return redacted(_unicode(fields))
        if field in _SCHEMAS:
            return _schema(fields)
        return {_unicode(name): guarded(part, name) for name, part in fields.items()}
    if isinstance(value, list):
        return [guarded(part, field) for part in cast("list[Any]", value)]
    return value


def _schema(value: Any, field: str = "") -> Any:
    """A schema names arguments and types, and a password may be the same word; only its texts are redacted."""
    if isinstance(value, str):
        return _text(value) if field in _SCHEMA_TEXTS else value
    if isinstance(value, dict):
        return {name: _schema(part, name) for name, part in cast("dict[str, Any]", value).items()}
    return [_schema(part, field) for part in cast("list[Any]", value)] if isinstance(value, list) else value


def _text(text: str) -> str:
    return redact(_unicode(text))


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_unicode(item) for item in cast("list[Any]", value)]
    return value


class _GuardedChannel:
    """A channel to the client whose requests, notifications and progress are guarded."""

    def __init__(self, beneath: Any) -> None:
        self._beneath = beneath

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> dict[str, Any]:
        return await self._beneath.send_raw_request(method, guarded(params), opts)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> None:
        await self._beneath.notify(method, guarded(params), opts)

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        await self._beneath.progress(progress, total, message and _text(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


def _guard_channels(ctx: ServerRequestContext[Any, Any]) -> None:
    session: Any = ctx.session
    if not isinstance(session._request_outbound, _GuardedChannel):
        session._request_outbound = _GuardedChannel(session._request_outbound)
    connection = session._connection
    if connection.has_standalone_channel and not isinstance(connection.outbound, _GuardedChannel):
        connection.outbound = _GuardedChannel(connection.outbound)
