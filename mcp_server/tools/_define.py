"""From a plain function to an MCP tool: schema, hints, consent, deadline."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mcp.types import ToolAnnotations

from mcp_server.tools._calls import AnsweringTool, DeclaredArguments
from mcp_server.tools._confirm import Ask, with_consent
from mcp_server.tools._offered import Offered
from mcp_server.tools._results import output_schema
from mcp_server.tools._schema import published, text_limits
from mcp_server.tools._trackers import with_tracker


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool function with what it does to MLflow."""

    function: Callable[..., Any]
    hints: ToolAnnotations
    ask: Ask | None = None
    """What a person is asked before the function runs."""
    between_trackers: bool = False
    """Whether it works with two trackers, and so exists only where there are several."""

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def reads_only(self) -> bool:
        return bool(self.hints.read_only_hint)


def reads(function: Callable[..., Any]) -> Definition:
    """Changes nothing."""
    return Definition(function, _hints(read_only=True, destructive=False, idempotent=True))


def writes(function: Callable[..., Any], *, idempotent: bool = False) -> Definition:
    """Adds something and changes nothing that exists; `idempotent` when a repeated call adds nothing more."""
    return Definition(function, _hints(read_only=False, destructive=False, idempotent=idempotent))


def changes(function: Callable[..., Any], *, idempotent: bool = True, ask: Ask | None = None) -> Definition:
    """May replace what exists: a description, a tag, the version of an alias. `ask` where a person should agree."""
    return Definition(function, _hints(read_only=False, destructive=True, idempotent=idempotent), ask)


def copies(function: Callable[..., Any], *, ask: Ask) -> Definition:
    """Adds to one tracker what another one has; repeated, it adds nothing. Exists only with several trackers."""
    hints = _hints(read_only=False, destructive=False, idempotent=True)
    return Definition(function, hints, ask, between_trackers=True)


def destroys(function: Callable[..., Any], *, ask: Ask) -> Definition:
    """Deletes, though it may be possible to restore it. Runs only after somebody agreed to what `ask` returns.

    Raises: TypeError: there is no question.
    """
    if not callable(ask):
        raise TypeError(f"{function.__name__} deletes something; it needs a question for a person.")
    return Definition(function, _hints(read_only=False, destructive=True, idempotent=True), ask)


def _hints(*, read_only: bool, destructive: bool, idempotent: bool) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=read_only,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        # Tools reach MLflow and nothing else.
        open_world_hint=False,
    )


def build(
    definition: Definition, timeout_seconds: float, trackers: Sequence[str] = (), missing: Collection[str] = ()
) -> AnsweringTool:
    """The MCP tool of a definition; its description is the function's docstring.

    `trackers` are the names of several trackers, `missing` those of the tools that the server does not offer.
    """
    function, hints = definition.function, definition.hints
    # Evaluated once here: the SDK would evaluate the text of each annotation four times.
    function.__annotations__ = inspect.get_annotations(function, eval_str=True)
    asking = with_consent(function, definition.ask) if definition.ask else function
    tool = cast(
        AnsweringTool,
        AnsweringTool.from_function(
            asking if definition.between_trackers else with_tracker(asking, trackers),
            title=definition.name.replace("_", " ").capitalize(),
            description=inspect.cleandoc(function.__doc__ or ""),
            annotations=hints,
            structured_output=False,
        ),
    )
    offered = Offered(missing)
    tool.configure(timeout_seconds, offered)
    model = tool.fn_metadata.arg_model
    # The SDK drops unknown arguments silently: a misspelled filter would answer unfiltered, as if all were well.
    model.model_config["extra"] = "forbid"
    model.model_rebuild(force=True)
    limits = text_limits(tool.parameters)
    tool.parameters = offered.schema(published(tool.parameters))
    returns = inspect.signature(function, eval_str=True).return_annotation
    tool.fn_metadata = DeclaredArguments(arg_model=model, output_schema=output_schema(returns))
    tool.fn_metadata.declare(tool.parameters, limits)
    return tool
