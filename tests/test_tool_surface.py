"""What every tool owes an agent, checked on all of them at once: schema, hints, descriptions, size."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from mcp.client import Client
from mcp.server.mcpserver.tools import Tool

from mcp_server.errors import SettingsError
from mcp_server.instructions import LIMIT as INSTRUCTIONS_LIMIT
from mcp_server.instructions import instructions
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.mlflow_integration.locate import locate
from mcp_server.server import build_server
from mcp_server.settings import Settings
from mcp_server.tools import TOOLSETS, chosen_tools
from mcp_server.tools._define import Definition, build
from mcp_server.tools._on_demand import ToolsOnDemand
from tests.snapshots import FOLDER, assert_matches

TOKENS_LIMIT = 9_000
"""Of the default tools/list, characters / 4."""
DESCRIPTION_LIMIT = 2_048
"""Characters; Claude Code cuts there."""

DEFINITIONS = [definition for toolset in TOOLSETS.values() for definition in toolset]


async def listed(**settings: Any) -> list[dict[str, Any]]:
    """tools/list as it goes over the wire."""
    engine = open_engine(Settings.load(mock_mode=True, **settings))
    async with Client(build_server(engine)) as client:
        found = await client.list_tools()
    engine.close()
    return [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in found.tools]


async def test_the_schema_of_every_tool_is_the_one_that_was_reviewed():
    """A change of a name, type or description is seen by a person."""
    tools = await listed(toolsets="all")
    for tool in tools:
        assert_matches(f"tools/{tool['name']}.json", json.dumps(tool, indent=2, ensure_ascii=False))
    kept = {path.stem for path in (FOLDER / "tools").glob("*.json")}
    assert kept == {tool["name"] for tool in tools}


def test_a_tool_is_built_when_it_is_asked_for_and_the_order_of_the_list_stays():
    """No host waits for 35 schemas before the server introduces itself."""
    built: list[str] = []

    def build_noted(definition: Definition) -> Tool:
        built.append(definition.name)
        return build(definition, 45.0)

    tools = ToolsOnDemand(DEFINITIONS, build_noted)
    last = DEFINITIONS[-1].name
    assert built == []
    assert tools.get_tool("no_such_tool") is None
    assert tools.get_tool(last) is tools.get_tool(last)
    assert built == [last]
    assert [tool.name for tool in tools.list_tools()] == [definition.name for definition in DEFINITIONS]
    assert sorted(built) == sorted(definition.name for definition in DEFINITIONS), "each once"


async def test_the_default_list_stays_within_its_token_budget():
    """Every session pays for the list."""
    size = len(json.dumps(await listed(), separators=(",", ":"), ensure_ascii=False))
    assert size // 4 <= TOKENS_LIMIT


async def test_every_parameter_is_described_and_every_schema_is_plain_and_closed():
    """No $ref, no union, no title, no unknown arguments: what every host understands."""
    for tool in await listed(toolsets="all"):
        schema = tool["inputSchema"]
        assert schema["additionalProperties"] is False, tool["name"]
        for name, parameter in schema["properties"].items():
            assert parameter.get("description"), f"{tool['name']}.{name}"
        text = json.dumps(schema)
        assert not re.search(r'"(\$ref|anyOf|oneOf|title)":', text), tool["name"]


async def test_every_tool_states_its_four_hints_and_a_title():
    """Hosts decide by them whether to ask a person first."""
    for tool in await listed(toolsets="all"):
        hints = tool["annotations"]
        assert tool["title"]
        assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        assert not (hints["readOnlyHint"] and hints["destructiveHint"])
        assert len(tool["description"]) <= DESCRIPTION_LIMIT
        assert len(f"mcp__mlflow__{tool['name']}") <= 60


async def test_names_say_what_a_tool_does_to_mlflow():
    """Verb and noun; a tool that reads never begins with a verb that writes."""
    reading = ("search_", "get_", "compare_", "rank_", "list_", "read_", "summarize_", "diagnose_", "wait_")
    for definition in DEFINITIONS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", definition.name)
        if definition.name.startswith(reading):
            assert definition.reads_only, definition.name


def test_read_only_leaves_only_tools_that_read():
    """Whatever else is set."""
    chosen = chosen_tools(Settings.load(read_only=True, toolsets="all"))
    assert chosen
    assert all(definition.reads_only for definition in chosen)


def test_toolsets_choose_and_an_unknown_one_is_refused_with_the_closest():
    """A misspelt toolset would otherwise leave the agent without tools and without a word."""
    names = {definition.name for definition in chosen_tools(Settings.load(toolsets="runs,server"))}
    assert "log_run" in names
    assert "register_model" not in names
    with pytest.raises(SettingsError, match=r"'registri'.*Closest: registry"):
        chosen_tools(Settings.load(toolsets="runs,registri"))


async def test_the_list_is_the_same_at_every_start():
    """Hosts cache it, and people review it."""
    assert await listed() == await listed()


@pytest.mark.parametrize("settings", [{}, {"read_only": True}, {"experiment_name": "churn"}], ids=str)
def test_the_instructions_fit_and_say_what_this_server_is_connected_to(settings: dict[str, Any]):
    """Hosts cut longer ones; without writing tools they do not speak of writing."""
    loaded = Settings.load(mock_mode=True, **settings)
    text = instructions(locate(loaded), loaded)
    assert len(text) < INSTRUCTIONS_LIMIT
    assert "mock mode" in text
    assert ("log_run" in text) is not loaded.read_only
