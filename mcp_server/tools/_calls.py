"""One call of a tool: arguments as declared, one deadline, and every failure as a sentence.

This is the one place where our errors become answers. Whatever is not one of ours is logged with its
traceback on stderr, and the agent gets a sentence that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import InputRequiredResult
from pydantic import PrivateAttr, ValidationError

from mcp_server.errors import InvalidInputError, MlflowToolError, TrackingServerError, internal_failure
from mcp_server.invalid_values import MISSING, UNKNOWN, InvalidValue, invalid_values
from mcp_server.suggestions import did_you_mean
from mcp_server.tools._arguments import as_declared, under_declared_names
from mcp_server.tools._context import context_of
from mcp_server.tools._deadline import deadline, too_slow
from mcp_server.tools._offered import Offered
from mcp_server.tools._results import call_result
from mcp_server.tools._schema import Json
from mcp_server.tools._trackers import marked, need_writable, own_arguments
from mcp_server.tracker_settings import own_words
from mcp_server.untrusted import sentence, shown

logger = logging.getLogger(__name__)

ECHO_LIMIT: Final = 500
"""Characters of an argument that an error may repeat; longer than any name."""
LONG_TEXTS: Final = 100
"""Long texts of the arguments that are looked for in an error."""
PROBLEMS_NAMED: Final = 10
"""Wrong arguments that one error names; further ones are counted."""


class AnsweringTool(Tool):
    """A tool whose result is a Table, Record or Picture and whose failures are sentences."""

    _seconds: float = PrivateAttr(default=0.0)
    _offered: Offered = PrivateAttr(default_factory=Offered)

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        here = context_of(context)
        arguments = under_declared_names(arguments, self.parameters)
        try:
            with deadline(self._seconds):
                if not self.reads_only:
                    need_writable(self.name, here.tracker)
                result = await super().run(own_arguments(arguments, here), context, convert_result=False)
        except TimeoutError as error:
            raise ToolError(self._too_slow()) from error
        except MlflowToolError as error:
            raise ToolError(self._offered.text(_shortened(str(error), arguments))) from error
        except ToolError as error:
            cause = own_words(self._sentence(error.__cause__), here.engine.settings)
            raise ToolError(self._offered.text(_shortened(cause, arguments))) from error.__cause__
        if isinstance(result, InputRequiredResult):
            return result
        return call_result(self._offered.answer(marked(result, here.tracker.name)))

    def configure(self, seconds: float, offered: Offered) -> None:
        """Sets the deadline of a call, and marks tools that are not offered in the description and the answers."""
        self._seconds, self._offered = seconds, offered
        self.description = offered.text(self.description or "")

    @property
    def reads_only(self) -> bool:
        return bool(self.annotations and self.annotations.read_only_hint)

    def _sentence(self, cause: BaseException | None) -> str:
        if isinstance(cause, ValidationError):
            return _explain(cause, self.parameters)
        if isinstance(cause, TimeoutError):
            return self._too_slow()
        if isinstance(cause, TrackingServerError) and cause.carried_out is not False and not self.reads_only:
            return f"{cause} It may have been carried out anyway: check before repeating it."
        if isinstance(cause, MlflowToolError):
            return str(cause)
        if isinstance(cause, ToolError):
            # Raised only by the SDK, when the host's answer to a question does not have the requested form.
            return "The host's answer to the question could not be used. Nothing was changed."
        logger.error("%s failed", self.name, exc_info=cause)
        return f"{internal_failure(self.name)} Other tools are not affected."

    def _too_slow(self) -> str:
        advice = (
            "Narrow the filter or lower max_results."
            if self.reads_only
            else "It may be partly done: check before repeating it, or repeat it with its idempotency_key."
        )
        return f"{too_slow(self.name, self._seconds)} {advice}"


class DeclaredArguments(FuncMetadata):
    """Arguments brought into the form that the published schema declares, then validated."""

    _schema: Json = PrivateAttr(default_factory=dict)
    _limits: dict[str, int] = PrivateAttr(default_factory=dict)

    def declare(self, schema: Json, limits: dict[str, int]) -> None:
        """Takes the published schema, and the characters that the text of each parameter may have."""
        self._schema, self._limits = schema, limits

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        # The SDK's own reading of JSON text takes a param's value '{"a": 1}' for a mapping where text is meant.
        arguments = as_declared(data, self._schema)
        for name, field in self.arg_model.model_fields.items():
            if field.annotation is Any and name in arguments:
                arguments[name] = data[name]  # Any value is allowed; the schema says text for hosts that need a type.
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
    """Texts in arguments, names included, that are longer than an error may repeat."""
    for value in values:
        if isinstance(value, str) and len(value) > ECHO_LIMIT:
            yield value
        elif isinstance(value, dict):
            pairs = cast(Json, value)
            yield from _long_texts([*pairs, *pairs.values()])
        elif isinstance(value, list):
            yield from _long_texts(cast("list[Any]", value))


def _explain(error: ValidationError, schema: Json) -> str:
    """What is wrong with the arguments, one sentence each, and which ones there are."""
    valid = list(schema["properties"])
    values = list(invalid_values(error))
    problems = list(dict.fromkeys(_problem(value, valid) for value in values[:PROBLEMS_NAMED]))
    more = f" {len(values) - PROBLEMS_NAMED} more." if len(values) > PROBLEMS_NAMED else ""
    return f"{' '.join(problems)}{more} Arguments: {', '.join(valid) or 'none'}."


_FILTERED: Final = {
    **dict.fromkeys(("status", "state"), "status"),
    **dict.fromkeys(("user", "author", "owner"), "user"),
    **dict.fromkeys(("dataset", "datasets", "dataset_name"), "dataset.name"),
    **dict.fromkeys(("parent", "parent_run", "parent_run_id"), "parent"),
    **dict.fromkeys(("git_commit", "commit"), "git_commit"),
    **dict.fromkeys(("name", "run", "runs", "run_name", "name_contains"), "run_name"),
    **dict.fromkeys(("tag", "tags"), "tags.team"),
    **dict.fromkeys(("param", "params"), "params.model"),
}
"""Arguments that callers give to a search for runs, and how its filter says them."""
_EXAMPLES: Final = {"status": "FAILED", "tags.team": "vision", "params.model": "cnn"}


def _problem(value: InvalidValue, valid: list[str]) -> str:
    if value.kind == UNKNOWN:
        if (key := _FILTERED.get(value.name)) and {"filter_string", "experiments"} <= set(valid):
            example = shown(value.value, 60) if isinstance(value.value, str) else _EXAMPLES.get(key, "name")
            return f"Unknown argument '{value.name}': filter_string says it, as {key} = '{example}'."
        return f"Unknown argument '{value.name}'.{did_you_mean(value.name, valid)}"
    if value.kind == MISSING:
        return f"Argument '{value.path}' is missing."
    return value.sentence(f"Argument '{value.path}'")
