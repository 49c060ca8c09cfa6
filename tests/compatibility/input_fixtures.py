"""Fixtures of the conformance suite that ask the client: questions, sampling, roots, in one round or several."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.resolve import Sample
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    EmptyResult,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
)
from pydantic import BaseModel

from mcp_server.protocol import ProtocolServer

Ctx = Context[Any, Any]


def register_questions(server: ProtocolServer) -> None:
    _one_round(server)
    _several(server)
    _older(server)
    _diagnostics(server)


def _question(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sampling(text: str, tokens: int) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=text))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=tokens))


def _answered(ctx: Ctx, *keys: str) -> bool:
    return all(key in (ctx.input_responses or {}) for key in keys)


def _one_round(server: ProtocolServer) -> None:
    def asks(name: str, key: str, request: Any, state: str | None = None, answer: str = "done") -> None:
        async def tool(ctx: Ctx) -> str | InputRequiredResult:
            if _answered(ctx, key):
                return f"{answer} {ctx.input_responses[key].model_dump_json()}"  # type: ignore[index]
            return InputRequiredResult(input_requests={key: request}, request_state=state)

        server.add_tool(tool, name=f"test_input_required_result_{name}", description=name, structured_output=False)

    asks("elicitation", "user_name", _question("What is your name?", "name"))
    asks("sampling", "capital_question", _sampling("What is the capital of France?", 100))
    asks("list_roots", "client_roots", ListRootsRequest())
    asks("request_state", "confirm", _question("Please confirm", "ok", "boolean"), "round-1", "state-ok")
    asks("tampered_state", "confirm", _question("Please confirm", "ok", "boolean"), "round-1")


def _several(server: ProtocolServer) -> None:
    requests = {
        "user_name": _question("What is your name?", "name"),
        "greeting": _sampling("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }

    @server.tool(structured_output=False)
    async def test_input_required_result_multiple_inputs(ctx: Ctx) -> str | InputRequiredResult:
        """Several questions at once."""
        if _answered(ctx, *requests):
            return "done"
        return InputRequiredResult(input_requests=requests, request_state="several")

    @server.tool(structured_output=False)
    async def test_input_required_result_multi_round(ctx: Ctx) -> str | InputRequiredResult:
        """One question after the other."""
        if _answered(ctx, "step2") and ctx.request_state == "round-2":
            return "done"
        if _answered(ctx, "step1"):
            second = _question("Step 2: What is your favorite color?", "color")
            return InputRequiredResult(input_requests={"step2": second}, request_state="round-2")
        first = _question("Step 1: What is your name?", "name")
        return InputRequiredResult(input_requests={"step1": first}, request_state="round-1")

    @server.tool(structured_output=False)
    async def test_input_required_result_capabilities(ctx: Ctx) -> str | InputRequiredResult:
        """Asks only for what the client has declared."""
        capabilities = ctx.client_capabilities
        allowed = {
            "user_name": capabilities and capabilities.elicitation,
            "greeting": capabilities and capabilities.sampling,
            "client_roots": capabilities and capabilities.roots,
        }
        asked = {key: request for key, request in requests.items() if allowed[key]}
        if not asked or _answered(ctx, *asked):
            return "done"
        return InputRequiredResult(input_requests=asked)

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Ctx) -> Any:
        """A prompt that asks first."""
        if _answered(ctx, "user_context"):
            return [UserMessage("Use the context that was given.")]
        question = _question("What context should the prompt use?", "context")
        return InputRequiredResult(input_requests={"user_context": question})


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


OPTIONS = ["option1", "option2", "option3"]
FIRST = _titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
LEGACY = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]}
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {"type": "string", "oneOf": FIRST},
        "legacyEnum": {"type": "string", **LEGACY},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": FIRST}},
    },
}


def _older(server: ProtocolServer) -> None:
    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
        """Asks with defaults."""
        answer = await ctx.elicit("Review the defaults", Defaults)
        return f"Elicitation completed: action={answer.action}"

    @server.tool()
    async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
        """Asks with every form of an enum."""
        request = await ctx.session.elicit_form("Choose", ENUMS, ctx.request_id)
        return f"Elicitation completed: action={request.action}"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Ctx) -> str:
        """Asks the client's model."""
        answer = await ctx.session.send_request(_sampling(prompt, 100), CreateMessageResult)
        return f"LLM response: {answer.content}"

    async def set_level(_: Any, __: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    server._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)


def _ask_name() -> Elicit[Defaults]:
    return Elicit("Who are you?", Defaults)


def _ask_model() -> Sample:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Hello"))
    return Sample([message], max_tokens=10)


def _diagnostics(server: ProtocolServer) -> None:
    @server.tool()
    async def test_missing_capability(answer: Annotated[CreateMessageResult, Resolve(_ask_model)]) -> str:
        """Needs sampling."""
        return str(answer.content)

    @server.tool()
    async def test_streaming_elicitation(answer: Annotated[Defaults, Resolve(_ask_name)]) -> str:
        """Asks in the middle of a stream."""
        return answer.name

    @server.tool()
    async def test_logging_tool(ctx: Ctx) -> str:
        """Logs to the client when that was asked for."""
        await ctx.info("This is a log message")
        return "done"
