"""What goes into the result of a call besides text and structured content."""

from __future__ import annotations

import base64

from mcp.types import ImageContent, ResourceLink, TextContent

from mcp_server.rendering import Link, LongText, Picture, Record, Table
from mcp_server.tools._results import call_result, output_schema

LINK = Link("mlflow://runs/a", "run a", "application/json", "All of it")


def test_a_picture_comes_with_its_facts_as_text_and_without_structured_content():
    """Claude Code drops an image that stands beside structured content."""
    result = call_result(Picture(b"\x89PNG", "image/png", Record({"width": 3}, links=(LINK,))))
    text, image, link = result.content
    assert isinstance(text, TextContent) and text.text == "width: 3"
    assert isinstance(image, ImageContent) and base64.b64decode(image.data) == b"\x89PNG"
    assert isinstance(link, ResourceLink) and str(link.uri) == "mlflow://runs/a"
    assert result.structured_content is None
    assert output_schema(Record | Picture) is None


def test_links_follow_the_text_of_tables_and_records():
    """The host may fetch what the answer had no room for."""
    for shown in (Table(["a"], [[1]], links=(LINK,)), Record({"a": 1}, links=(LINK,))):
        result = call_result(shown)
        assert [type(part) for part in result.content] == [TextContent, ResourceLink]
        assert result.structured_content is not None
        assert (output_schema(type(shown)) is not None) == isinstance(shown, Table)


def test_a_long_text_is_shown_whole_where_others_are_cut():
    """An artifact is what was asked for."""
    result = call_result(Record({"content": LongText("x" * 9_000), "note": "y" * 9_000}))
    assert result.structured_content is not None
    assert result.structured_content["content"] == "x" * 9_000
    assert len(result.structured_content["note"]) < 5_000
