"""The MCP server, put together: settings, engine, tools. Composition only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from mcp_server import __version__
from mcp_server.instructions import instructions
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.promotion_policy import read_policy
from mcp_server.settings import Settings
from mcp_server.tools import chosen_tools
from mcp_server.tools._context import ServerContext
from mcp_server.tools._define import build


def build_server(settings: Settings, engine: Engine | None = None) -> MCPServer[ServerContext]:
    """A server over the MLflow that the settings lead to, or over a given engine, which then stays the caller's.

    Raises: SettingsError: a toolset is unknown, or the promotion policy cannot be read.
    """
    one_engine = engine or open_engine(settings)
    policy = read_policy(settings.promotion_policy)

    @asynccontextmanager
    async def lifespan(_: MCPServer[ServerContext]) -> AsyncGenerator[ServerContext]:
        try:
            yield ServerContext(one_engine, policy)
        finally:
            if engine is None:
                await one_engine.aclose()

    async def warm_up_after_the_first_answer(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        # Hosts give up on a server that is slow to introduce itself; MLflow's import waits until that is done.
        nonlocal cold
        result = await call_next(ctx)
        if cold:
            cold = False
            one_engine.warm_up()
        return result

    cold = True

    return MCPServer(
        name="mlflow",
        title="MLflow",
        version=__version__,
        instructions=instructions(one_engine.location, settings),
        tools=[build(definition, settings.timeout_seconds) for definition in chosen_tools(settings)],
        lifespan=lifespan,
        middleware=[warm_up_after_the_first_answer],
        log_level=settings.log_level,
    )
