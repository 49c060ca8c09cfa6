"""Several trackers, for all tools at once: chooses the one a call works with and keeps the others out of it.

Tools do not know about it: with one tracker nothing here does anything.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver.tools import ToolManager
from pydantic import Field

from mcp_server.errors import InvalidInputError
from mcp_server.paging import NOT_OUR_TOKEN
from mcp_server.rendering import Picture, Record, Table
from mcp_server.resource_uris import in_tracker
from mcp_server.tools._arguments import as_declared, under_declared_names
from mcp_server.tools._signatures import with_parameters
from mcp_server.trackers import ServerContext, Tracker, Trackers

ARGUMENT: Final = "tracker"
TARGET_ARGUMENT: Final = "to_tracker"
"""Of a tool that works with two trackers: the one that is written to, whose rules apply to the call."""

_TOKEN: Final = "page_token"
_MARK: Final = "@"
"""Between the name of a tracker and a page token of it; no name contains it."""
_TAKES_LINKS: Final = ("run", "runs", "other", "baseline", "parent_run", "experiment", "experiments")
"""Arguments that accept links to MLflow's UI; the ids in a link belong to one server."""

Answer = TypeVar("Answer", bound="Table | Record | Picture")


@dataclass(frozen=True, slots=True)
class ChooseTracker:
    """Middleware, the one place that chooses the tracker of a tool call; everything behind it sees only that one.

    An unknown name is passed on: the schema of the tool refuses it before anything is asked of MLflow.
    """

    trackers: Trackers
    tools: ToolManager

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/call" or not self.trackers.several:
            return await call_next(ctx)
        params = cast("Mapping[str, Any]", ctx.params or {})
        tool = self.tools.get_tool(str(params.get("name")))
        arguments = cast("dict[str, Any]", params.get("arguments") or {})
        if tool:  # Other names of an argument name the tracker too.
            arguments = under_declared_names(arguments, tool.parameters)
        schema = {"type": "string", "enum": list(self.trackers.names)}
        for argument in (ARGUMENT, TARGET_ARGUMENT):
            # Converted as for validation: otherwise ["prod"] would be accepted, but the default tracker be called.
            name = as_declared({argument: arguments.get(argument)}, {"properties": {argument: schema}}).get(argument)
            if chosen := self.trackers.find(name):
                params = {**params, "arguments": {**arguments, argument: chosen.name}}
                ctx = replace(ctx, lifespan_context=ServerContext(chosen, self.trackers), params=params)
        return await call_next(ctx)


def with_tracker(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The tool function with an additional parameter `tracker`, which `ChooseTracker` reads; as it is without names."""
    if not names:
        return function

    async def called(*, tracker: str, **arguments: Any) -> Any:
        return await function(**arguments)

    described = Annotated[Literal[tuple(names)], Field(description="MLflow to work with.")]  # type: ignore[valid-type]
    parameter = inspect.Parameter(ARGUMENT, inspect.Parameter.KEYWORD_ONLY, annotation=described, default=names[0])
    return with_parameters(called, function, parameter)


def need_writable(tool: str, tracker: Tracker) -> None:
    """Raises: InvalidInputError: the tracker is read-only."""
    if tracker.name and tracker.read_only:
        variable = tracker.engine.settings.variable("read_only")
        raise InvalidInputError(f"Tracker '{tracker.name}' is read-only ({variable}), so {tool} is refused there.")


def own_arguments(arguments: Mapping[str, Any], context: ServerContext) -> dict[str, Any]:
    """The arguments of a call, page tokens as the tracker gave them.

    Raises: InvalidInputError: a page token or a link is of another tracker than the one that is called.
    """
    name = context.tracker.name
    if not name:
        return dict(arguments)
    for argument in _TAKES_LINKS:
        value = arguments.get(argument)
        for text in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(text, str) and (other := _tracker_of_link(text, context)):
                raise InvalidInputError(f"Argument '{argument}' is a link of tracker '{other}'. {_give(other)}")
    token = arguments.get(_TOKEN)
    if not isinstance(token, str) or not token.strip():
        return dict(arguments)
    owner, mark, rest = token.strip().partition(_MARK)
    if not mark or owner not in context.trackers.names:
        raise InvalidInputError(NOT_OUR_TOKEN)
    if owner != name:
        raise InvalidInputError(f"page_token belongs to tracker '{owner}'. {_give(owner)}")
    return {**arguments, _TOKEN: rest}


def marked(value: Answer, name: str) -> Answer:
    """An answer whose page tokens and resource links carry the name of their tracker."""
    if not name:
        return value
    if isinstance(value, Picture):
        return replace(value, about=marked(value.about, name))
    links = tuple(replace(link, uri=in_tracker(link.uri, name)) for link in value.links)
    go_on = value.resume

    def resume(shown: int) -> str:
        return _marked(go_on(shown), name) if go_on else ""

    resumes = resume if go_on else None
    if isinstance(value, Table):
        return replace(value, next_page_token=_marked(value.next_page_token, name), resume=resumes, links=links)
    token = value.facts.get("next_page_token")
    facts = {**value.facts, "next_page_token": _marked(token, name)} if token else value.facts
    return replace(value, facts=facts, resume=resumes, links=links)


def _marked(token: str, name: str) -> str:
    return f"{name}{_MARK}{token}" if token else ""


def _tracker_of_link(text: str, context: ServerContext) -> str:
    """The tracker whose UI a link leads to, if it is not the one that is called."""
    here = _addresses(context.tracker)
    for other in context.trackers.all:
        if any(_is_below(text, address) for address in _addresses(other) - here):
            return other.name
    return ""


def _addresses(tracker: Tracker) -> set[str]:
    """Of its pages and of its server, which need not be the same."""
    location = tracker.engine.location
    return {location.ui_url, location.shown_uri} - {""}


def _is_below(text: str, address: str) -> bool:
    return re.match(rf"\s*{re.escape(address)}(?:[/#?]|$)", text, re.IGNORECASE) is not None


def _give(name: str) -> str:
    return f"Give {ARGUMENT}='{name}' with it."
