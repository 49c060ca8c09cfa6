"""Changes made through this server, announced to clients that subscribed to a resource; both protocol eras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from mcp.server import MCPServer
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated
from mcp.types import CallToolResult, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from mcp_server import resource_uris as uris
from mcp_server.trackers import ServerContext

_VERSION_KEYS: Final = ("version", "previous_version")


class Announcements:
    """Which clients subscribed to which resources; notifies them after a tool wrote."""

    def __init__(self, writers: frozenset[str]) -> None:
        self.bus = InMemorySubscriptionBus()
        """For clients of protocol 2026-07-28 and later."""
        self._writers = writers
        self._wanted: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
        """URIs by the connection of an earlier client; gone with it."""

    def serve_earlier_clients(self, server: MCPServer[Any]) -> None:
        """Answers resources/subscribe and resources/unsubscribe, which the SDK leaves out."""
        low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def middleware(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Announces what a successful write changed, after its answer is ready."""
        result = await call_next(ctx)
        params = cast("Mapping[str, Any]", ctx.params or {})
        if ctx.method == "tools/call" and params.get("name") in self._writers:
            tracker = cast(ServerContext, ctx.lifespan_context).tracker.name
            for uri in (uris.in_tracker(uri, tracker) for uri in dict.fromkeys(changed(params, _structured(result)))):
                await self.bus.publish(ResourceUpdated(uri=uri))
                for connection, wanted in list(self._wanted.items()):
                    if uri in wanted:
                        await connection.send_resource_updated(uri)
        return result

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        self._wanted.setdefault(_connection(ctx), set()).add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._wanted.get(_connection(ctx), set()).discard(str(params.uri))
        return EmptyResult()


def _connection(ctx: ServerRequestContext[Any, Any]) -> Connection:
    # A session lives for one request only.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]


def changed(params: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """URIs of the resources that a call changed, by the ids in its answer and the model in its arguments.

    Yields nothing for a call that was refused: its arguments may hold anything.
    """
    if not answer:
        return
    arguments = cast("Mapping[str, Any]", params.get("arguments") or {})
    columns = cast("list[str]", answer.get("columns") or [])
    rows = cast("list[list[Any]]", answer.get("rows") or [])
    for key, make in (("run_id", uris.run_uri), ("experiment_id", uris.experiment_uri)):
        if answer.get(key):
            yield make(str(answer[key]))
        if key in columns:
            yield from (make(str(row[columns.index(key)])) for row in rows)
    if params.get("name") == "log_artifact" and answer.get("run_id"):
        table = cast("Mapping[str, Any]", answer.get("files") or {})
        files = cast("list[list[Any]]", table.get("rows") or [])
        yield from (uris.artifact_uri(str(answer["run_id"]), str(file[0])) for file in files)
    name = answer.get("name") or arguments.get("name")
    if name and (answer.get("version") or "model" in str(params.get("name"))):
        yield uris.model_uri(str(name))
        yield from (uris.model_version_uri(str(name), str(answer[key])) for key in _VERSION_KEYS if answer.get(key))


def _structured(result: HandlerResult) -> Mapping[str, Any]:
    """The structured half of a successful answer; nothing for a failure."""
    if isinstance(result, CallToolResult):
        return {} if result.is_error else (result.structured_content or {})
    if not isinstance(result, Mapping):
        return {}
    found = cast("Mapping[str, Any]", result)
    return {} if found.get("isError") else cast("Mapping[str, Any]", found.get("structuredContent") or {})
