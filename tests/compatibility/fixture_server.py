"""This server over HTTP with the fixtures of the official conformance suite registered on it.

Prints its address and serves until it is ended. The fixtures are those that the suite calls by name; everything
around them, from the handling of arguments to the errors, is `build_server`'s.
"""

from __future__ import annotations

import base64
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.types import (
    AudioContent,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.protocol import ProtocolServer
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.compatibility.input_fixtures import register_questions

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


class Person(BaseModel):
    username: str = Field(description="Your name")
    email: str = Field(description="Your address")


def register(server: ProtocolServer) -> None:
    """The tools, resources and prompts that the suite names."""
    _tools(server)
    _resources_and_prompts(server)
    register_questions(server)


def _tools(server: ProtocolServer) -> None:
    @server.tool()
    def test_simple_text() -> str:
        """A text."""
        return "This is a simple text response for testing."

    @server.tool()
    def test_image_content() -> Image:
        """An image."""
        return Image(data=PIXEL, format="png")

    @server.tool()
    def test_audio_content() -> list[AudioContent]:
        """A sound."""
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @server.tool()
    def test_embedded_resource() -> list[EmbeddedResource]:
        """A resource inside an answer."""
        return [_embedded("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool()
    def test_multiple_content_types() -> list[Any]:
        """A text, an image and a resource."""
        image = ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")
        text = TextContent(type="text", text="Multiple content types test:")
        return [text, image, _embedded("test://mixed-content-resource", '{"test":"data","value":123}')]

    @server.tool()
    async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
        """Reports progress."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        return "done"

    @server.tool()
    async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
        """Logs to the client."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(text)
        return "Tool with logging executed successfully"

    @server.tool()
    def test_error_handling() -> str:
        """Fails on purpose."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool()
    async def test_elicitation(message: str, ctx: Context[Any, Any]) -> str:
        """Asks the person."""
        answer = await ctx.elicit(message, Person)
        return f"User response: action={answer.action}, content={getattr(answer, 'data', None)}"


def _embedded(uri: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=contents)


def _resources_and_prompts(server: ProtocolServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return PIXEL

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        """A template."""
        return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'

    @server.prompt()
    def test_simple_prompt() -> str:
        """A prompt."""
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """A prompt with arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803 - the suite's name
        """A prompt with a resource."""
        return [
            UserMessage(_embedded(resourceUri, "Embedded resource content for testing.")),
            UserMessage("Process it."),
        ]

    @server.prompt()
    def test_prompt_with_image() -> list[Message]:
        """A prompt with an image."""
        image = ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]


async def main() -> None:
    engine = open_engine(Settings.load(mock_mode=True))
    server = build_server(engine)
    register(server)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = server.streamable_http_app()
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none"))
    async with anyio.create_task_group() as group:
        group.start_soon(running.serve)
        while not running.started:
            await anyio.lowlevel.checkpoint()
        print(f"http://127.0.0.1:{port}/mcp", flush=True)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
