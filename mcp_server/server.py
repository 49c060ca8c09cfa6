"""The MCP server, put together: settings, engine, tools, resources, prompts. Composition only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import anyio
from mcp.server import MCPServer
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError

from mcp_server import __version__
from mcp_server.audit import AuditLog
from mcp_server.completions import register_completions
from mcp_server.incoming import read_as_meant
from mcp_server.instructions import instructions
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.outgoing import guard_messages
from mcp_server.prompts import register_prompts
from mcp_server.protocol import AdvertiseWhatExists, ProtocolServer
from mcp_server.resource_uris import tracker_of
from mcp_server.resources import register_resources, with_mime_types
from mcp_server.subscriptions import Announcements
from mcp_server.tools import chosen_tools, missing_tools
from mcp_server.tools._define import build
from mcp_server.tools._offered import Offered
from mcp_server.tools._on_demand import ToolsOnDemand
from mcp_server.tools._trackers import ChooseTracker
from mcp_server.tracker_settings import own_words
from mcp_server.trackers import ServerContext, Trackers


class MlflowServer(ProtocolServer):
    """The server of this project: artifacts as resources have the type of their file."""

    trackers: Trackers
    """Set by `build_server`."""

    async def read_resource(self, uri: Any, context: Context[ServerContext, Any] | None = None) -> Any:
        try:
            return with_mime_types(await super().read_resource(uri, context), str(uri))
        except MCPError as error:
            tracker = self.trackers.find(tracker_of(str(uri))) or self.trackers.default
            message = own_words(error.error.message, tracker.engine.settings)
            error.error = error.error.model_copy(update={"message": message})
            raise


LISTS: Final[tuple[CacheableMethod, ...]] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
)
LIST_LIFETIME_MS: Final = 3_600_000
"""How long a client may keep a list: it never changes while a server runs."""


def build_server(over: Engine | Trackers) -> ProtocolServer:
    """A server over an engine or over several trackers, with the settings of the engine or of the default tracker.

    The caller closes them.

    Raises: SettingsError: a toolset is unknown, or the promotion policy cannot be read.
    """
    trackers = over if isinstance(over, Trackers) else Trackers.over([over])
    settings = trackers.default.engine.settings.model_copy(update={"read_only": trackers.read_only})

    definitions = chosen_tools(settings, several_trackers=trackers.several)
    announcements = Announcements(frozenset(tool.name for tool in definitions if not tool.reads_only))
    missing = missing_tools(settings, several_trackers=trackers.several)
    offered = Offered(missing)
    tools = ToolsOnDemand(definitions, lambda one: build(one, settings.timeout_seconds, trackers.names, missing))
    server = MlflowServer(
        name="mlflow",
        title="MLflow",
        version=__version__,
        instructions=offered.text(instructions(trackers.default.engine.location, settings, _descriptions(trackers))),
        lifespan=_lifespan(trackers),
        middleware=[
            guard_messages,
            read_as_meant,
            ChooseTracker(trackers, tools),
            _warm_up_after_the_first_answer(trackers),
            announcements.middleware,
        ],
        subscriptions=announcements.bus,
        cache_hints={method: CacheHint(ttl_ms=LIST_LIFETIME_MS) for method in LISTS},
        log_level=settings.log_level,
    )
    server.trackers = trackers
    server.middleware.append(AdvertiseWhatExists(server))
    audit = AuditLog(settings.audit_log)
    server.configure(tools, timeout_seconds=settings.timeout_seconds, missing_tools=missing, audit=audit)
    announcements.serve_earlier_clients(server)
    register_resources(server, trackers)
    register_prompts(server, offered)
    register_completions(server, trackers)
    return server


def _lifespan(
    trackers: Trackers,
) -> Callable[[MCPServer[ServerContext]], AbstractAsyncContextManager[ServerContext]]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[ServerContext]) -> AsyncGenerator[ServerContext]:
        async with anyio.create_task_group() as background:
            for tracker in trackers.all:
                background.start_soon(tracker.engine.recording.unfinished.settle_forever)
            yield ServerContext(trackers.default, trackers)
            background.cancel_scope.cancel()

    return lifespan


def _warm_up_after_the_first_answer(trackers: Trackers) -> ServerMiddleware[Any]:
    """Hosts give up on a server that is slow to introduce itself; MLflow's import waits until that is done."""
    cold = True

    async def warm_up(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        nonlocal cold
        result = await call_next(ctx)
        if cold:
            cold = False
            for tracker in trackers.all:
                tracker.engine.warm_up()
        return result

    return warm_up


def _descriptions(trackers: Trackers) -> list[str]:
    """One line for each of several trackers."""
    return [
        f"{tracker.name}: {tracker.engine.location.shown_uri}{' (read-only)' if tracker.read_only else ''}"
        for tracker in trackers.all
        if trackers.several
    ]
