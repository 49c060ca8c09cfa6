"""From what a tool function returns to the result of the call: text, structured content, images, links."""

from __future__ import annotations

import base64
from typing import Any, cast

from mcp.types import CallToolResult, ContentBlock, ImageContent, ResourceLink, TextContent

from mcp_server.rendering import TABLE_SCHEMA, Link, Picture, Record, Table, answer


def output_schema(returns: Any) -> dict[str, Any] | None:
    """The schema of a tool's structured content: that of tables; a Record's would only say that it is an object."""
    return TABLE_SCHEMA if returns is Table else None


def call_result(value: object) -> CallToolResult:
    """The result of a call whose function returned a Table, a Record or a Picture."""
    if isinstance(value, Picture):
        text, _ = answer(value.about)
        picture = ImageContent(
            type="image", data=base64.b64encode(value.image).decode("ascii"), mime_type=value.mime_type
        )
        # Never structured content with an image: Claude Code would show the model only that.
        return CallToolResult(content=[TextContent(type="text", text=text), picture, *_links(value.about.links)])
    shown = cast("Table | Record", value)
    text, structured = answer(shown)
    content: list[ContentBlock] = [TextContent(type="text", text=text), *_links(shown.links)]
    return CallToolResult(content=content, structured_content=structured)


def _links(links: tuple[Link, ...]) -> list[ResourceLink]:
    return [
        ResourceLink(
            type="resource_link",
            uri=link.uri,
            name=link.name,
            mime_type=link.mime_type or None,
            description=link.description or None,
            size=link.size,
        )
        for link in links
    ]
