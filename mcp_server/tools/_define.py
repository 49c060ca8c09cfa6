"""From a plain function to an MCP tool: schema, hints, deadline, the answer's two halves, and errors as sentences.

This is the one place where our errors become answers. Whatever is not one of ours is logged with its
traceback on stderr, and the agent gets a sentence that says so.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import InputRequiredResult, ToolAnnotations
from pydantic import PrivateAttr, ValidationError

from mcp_server.errors import DeadlineError, InvalidInputError, MlflowToolError, TrackingServerError
from mcp_server.invalid_values import MISSING, UNKNOWN, InvalidValue, invalid_values
from mcp_server.suggestions import did_you_mean
from mcp_server.tools._arguments import as_declared
from mcp_server.tools._results import call_result, output_schema
from mcp_server.tools._schema import Json, published, text_limits
from mcp_server.untrusted import SHOWN_LIMIT, sentence, shown

logger = logging.getLogger(__name__)

LONG_TEXTS: Final = 100
"""Long texts of the arguments that are looked for in an error."""
PROBLEMS_NAMED: Final = 10
"""Wrong arguments that one error names; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool function with what it does to MLflow."""

    function: Callable[..., Any]
    hints: ToolAnnotations

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def reads_only(self) -> bool:
        return bool(self.hints.read_only_hint)


def reads(function: Callable[..., Any]) -> Definition:
    """Changes nothing."""
    return Definition(function, _hints(function, read_only=True, destructive=False, idempotent=True))


def writes(function: Callable[..., Any], *, idempotent: bool = False) -> Definition:
    """Adds or changes; `idempotent` when the same call twice leaves what one call leaves."""
    return Definition(function, _hints(function, read_only=False, destructive=False, idempotent=idempotent))


def destroys(function: Callable[..., Any]) -> Definition:
    """Takes something away, be it for a time."""
    return Definition(function, _hints(function, read_only=False, destructive=True, idempotent=True))


def _hints(function: Callable[..., Any], *, read_only: bool, destructive: bool, idempotent: bool) -> ToolAnnotations:
    return ToolAnnotations(
        title=function.__name__.replace("_", " ").capitalize(),
        read_only_hint=read_only,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        # One MLflow and nothing beyond it.
        open_world_hint=False,
    )


class AnsweringTool(Tool):
    """A tool whose result is a Table, Record or Picture and whose failures are sentences."""

    _seconds: float = PrivateAttr(default=0.0)

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        try:
            result = await super().run(arguments, context, convert_result=False)
        except ToolError as error:
            raise ToolError(_shortened(self._sentence(error.__cause__), arguments)) from error.__cause__
        if isinstance(result, InputRequiredResult):
            return result
        return call_result(result)

    def limit(self, seconds: float) -> None:
        """Bounds the time of the function; the time in which a person makes up their mind does not count."""
        function, self._seconds = self.fn, seconds

        async def limited(**arguments: Any) -> Any:
            with anyio.fail_after(seconds):
                return await function(**arguments)

        self.fn = limited

    def _sentence(self, cause: BaseException | None) -> str:
        if isinstance(cause, ValidationError):
            return _explain(cause, self.parameters)
        if isinstance(cause, TimeoutError):
            return str(_too_slow(self, self._seconds))
        if isinstance(cause, TrackingServerError) and cause.carried_out is not False and not _reads_only(self):
            return f"{cause} It may have been carried out all the same: look before repeating it."
        if isinstance(cause, MlflowToolError | ToolError):
            return str(cause)
        logger.error("%s failed", self.name, exc_info=cause)
        return f"{self.name} failed inside this server; its log on stderr says why. Other tools are not affected."


def build(definition: Definition, timeout_seconds: float) -> AnsweringTool:
    """The MCP tool of a definition; its description is the function's docstring."""
    function, hints = definition.function, definition.hints
    tool = cast(
        AnsweringTool,
        AnsweringTool.from_function(
            function,
            title=hints.title,
            description=inspect.cleandoc(function.__doc__ or ""),
            annotations=hints,
            structured_output=False,
        ),
    )
    tool.limit(timeout_seconds)
    model = tool.fn_metadata.arg_model
    # The SDK drops unknown arguments silently: a misspelt filter would answer unfiltered, as if all were well.
    model.model_config["extra"] = "forbid"
    model.model_rebuild(force=True)
    limits = text_limits(tool.parameters)
    tool.parameters = published(tool.parameters)
    returns = inspect.signature(function, eval_str=True).return_annotation
    tool.fn_metadata = _DeclaredArguments(arg_model=model, output_schema=output_schema(returns))
    tool.fn_metadata.declare(tool.parameters, limits)
    return tool


class _DeclaredArguments(FuncMetadata):
    """Arguments brought into the form that the published schema declares, then validated."""

    _schema: Json = PrivateAttr(default_factory=dict)
    _limits: dict[str, int] = PrivateAttr(default_factory=dict)

    def declare(self, schema: Json, limits: dict[str, int]) -> None:
        """Takes the published schema, and the characters that the text of each parameter may have."""
        self._schema, self._limits = schema, limits

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        # The SDK's own reading of JSON text takes a param's value '{"a": 1}' for a mapping where text is meant.
        arguments = as_declared(data, self._schema)
        for name, limit in self._limits.items():
            values = arguments.get(name)
            for text in cast("list[Any]", values) if isinstance(values, list) else [values]:
                if isinstance(text, str) and len(text) > limit:
                    have = f"Argument '{name}' is '{shown(text)}'"
                    raise InvalidInputError(f"{have}: expected at most {limit:,} characters, not {len(text):,}.")
        return arguments


def _shortened(error: str, arguments: Mapping[str, Any]) -> str:
    """An error as one line of bounded length, whatever the arguments that it repeats hold."""
    for text in islice(_long_texts(list(arguments.values())), LONG_TEXTS):
        error = error.replace(text, shown(text)).replace(repr(text)[1:-1], shown(text))
    return sentence(error)


def _long_texts(values: Sequence[Any]) -> Iterator[str]:
    """Texts in arguments, names included, that are longer than a sentence repeats."""
    for value in values:
        if isinstance(value, str) and len(value) > SHOWN_LIMIT:
            yield value
        elif isinstance(value, dict):
            pairs = cast(Json, value)
            yield from _long_texts([*pairs, *pairs.values()])
        elif isinstance(value, list):
            yield from _long_texts(cast("list[Any]", value))


def _explain(error: ValidationError, schema: Json) -> str:
    """What is wrong with the arguments, one sentence each, and which ones there are."""
    valid = list(schema["properties"])
    problems = list(dict.fromkeys(_problem(value, valid) for value in invalid_values(error)))
    more = f" {len(problems) - PROBLEMS_NAMED} more." if len(problems) > PROBLEMS_NAMED else ""
    return f"{' '.join(problems[:PROBLEMS_NAMED])}{more} Arguments: {', '.join(valid) or 'none'}."


def _problem(value: InvalidValue, valid: list[str]) -> str:
    if value.kind == UNKNOWN:
        return f"Unknown argument '{value.name}'.{did_you_mean(value.name, valid)}"
    if value.kind == MISSING:
        return f"Argument '{value.path}' is missing."
    return value.sentence(f"Argument '{value.path}'")


def _reads_only(tool: Tool) -> bool:
    return bool(tool.annotations and tool.annotations.read_only_hint)


def _too_slow(tool: Tool, seconds: float) -> DeadlineError:
    advice = (
        "Narrow the filter or lower max_results."
        if _reads_only(tool)
        else "It may have been carried out in part: look before repeating it, or repeat it with its idempotency_key."
    )
    return DeadlineError(
        f"{tool.name} took longer than {seconds:g} s and was given up (MLFLOW_MCP_TIMEOUT_SECONDS). {advice}"
    )
