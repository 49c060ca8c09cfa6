"""What the protocol requires where the SDK answers differently: unknown names, capabilities, error texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.tools import ToolManager
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult, GetPromptResult, InputRequiredResult

from mcp_server.audit import AuditLog
from mcp_server.errors import InvalidInputError, MlflowToolError, NotFoundError, internal_failure
from mcp_server.suggestions import did_you_mean
from mcp_server.tools._context import MODERN, caller_of
from mcp_server.tools._deadline import deadline, too_slow
from mcp_server.trackers import ServerContext
from mcp_server.untrusted import clean, sentence, shown

logger = logging.getLogger(__name__)

RESOURCE_NOT_FOUND: Final = -32002
"""Code of an unknown resource until 2025-11-25; since 2026-07-28 it is INVALID_PARAMS."""


class ProtocolServer(MCPServer[ServerContext]):
    """The SDK's server with the protocol's errors for names that do not exist, and our sentences for the rest."""

    def configure(
        self, tools: ToolManager, *, timeout_seconds: float, missing_tools: Mapping[str, str], audit: AuditLog
    ) -> None:
        """Sets the tools, why others are missing, the deadline of prompts and resources, and the audit log."""
        self._tool_manager = tools
        self._audit = audit
        self._timeout_seconds = timeout_seconds
        self._missing_tools = dict(missing_tools)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[ServerContext, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Raises: MCPError: there is no such tool."""
        if self._tool_manager.get_tool(name) is None:
            known = [tool.name for tool in self._tool_manager.list_tools()]
            near = did_you_mean(name, known).strip() or "tools/list lists every tool."
            reason = self._missing_tools.get(name, near)
            raise MCPError(INVALID_PARAMS, f"Unknown tool '{shown(name)}'. {reason}")
        who = caller_of(context) if context else ""
        with self._audit.call(who, name, arguments, _tracker(context)) as outcome:
            result = await super().call_tool(name, arguments, context)
            if isinstance(result, InputRequiredResult):
                outcome.text = "asked"
            return result

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[ServerContext, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Raises: MCPError: there is no such prompt, its arguments are wrong, or MLflow did not answer."""
        prompts = {prompt.name: prompt for prompt in self._prompt_manager.list_prompts()}
        if name not in prompts:
            near = did_you_mean(name, prompts).strip() or "prompts/list lists every prompt."
            raise MCPError(INVALID_PARAMS, f"Unknown prompt '{shown(name)}'. {near}")
        declared = {argument.name: argument for argument in prompts[name].arguments or ()}
        if unknown := sorted(set(arguments or {}) - set(declared)):
            valid = f"Arguments: {', '.join(declared) or 'none'}."
            raise MCPError(INVALID_PARAMS, f"Prompt '{name}' has no argument '{shown(unknown[0])}'. {valid}")
        if missing := [a.name for a in declared.values() if a.required and not (arguments or {}).get(a.name)]:
            raise MCPError(INVALID_PARAMS, f"Prompt '{name}' needs {' and '.join(missing)}.")
        try:
            with deadline(self._timeout_seconds):
                return await super().get_prompt(name, arguments, context)
        except (ValueError, TimeoutError) as error:
            raise self._failure(f"Prompt '{name}'", error, not_found=INVALID_PARAMS) from None

    async def read_resource(self, uri: Any, context: Context[ServerContext, Any] | None = None) -> Any:
        """Raises: MCPError: there is no such resource, or MLflow did not answer."""
        modern = context is None or (context.protocol_version or "") >= MODERN
        try:
            with deadline(self._timeout_seconds):
                return await super().read_resource(uri, context)
        except (ResourceError, TimeoutError) as error:
            not_found = INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
            failure = self._failure(f"Resource '{shown(str(uri), 300)}'", error, not_found=not_found)
            raise MCPError(failure.code, failure.message, {"uri": clean(str(uri))}) from None

    async def serve_streams(self, receiving: Any, sending: Any) -> None:
        """Serves the messages of one stream, answering on the other, until the first ends."""
        server = self._lowlevel_server
        await server.run(receiving, sending, server.create_initialization_options())

    def has(self, capability: str) -> bool:
        """Whether there is anything behind a capability that is optional for this server."""
        if capability == "prompts":
            return bool(self._prompt_manager.list_prompts())
        if capability == "resources":
            return bool(self._resource_manager.list_resources() or self._resource_manager.list_templates())
        return True

    def _failure(self, what: str, error: BaseException, *, not_found: int) -> MCPError:
        for cause in _causes(error):
            if isinstance(cause, ResourceNotFoundError | NotFoundError):
                ours = isinstance(cause, NotFoundError)
                return MCPError(not_found, sentence(str(cause) if ours else f"{what} does not exist."))
            if isinstance(cause, MlflowToolError):
                code = INVALID_PARAMS if isinstance(cause, InvalidInputError) else INTERNAL_ERROR
                return MCPError(code, sentence(str(cause)))
            if isinstance(cause, TimeoutError):
                return MCPError(INTERNAL_ERROR, too_slow(what, self._timeout_seconds))
        logger.error("%s failed", what, exc_info=error)
        return MCPError(INTERNAL_ERROR, internal_failure(what))


def _tracker(context: Context[ServerContext, Any] | None) -> str:
    return context.request_context.lifespan_context.tracker.name if context else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


class AdvertiseWhatExists:
    """Middleware: prompts and resources are capabilities of a server that has some."""

    def __init__(self, server: ProtocolServer) -> None:
        self._server = server

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method in ("initialize", "server/discover") and isinstance(result, dict):
            capabilities = cast("dict[str, Any]", result.get("capabilities", {}))
            result["capabilities"] = {name: value for name, value in capabilities.items() if self._server.has(name)}
        return result
