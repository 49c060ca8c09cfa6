"""Hints, errors and descriptions send an agent only to tools and arguments that exist."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import mcp_server
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.tools import TOOLSETS
from mcp_server.tools._define import build
from mcp_server.tools._offered import NOT_ENABLED
from tests.conftest import connect

PACKAGE = Path(mcp_server.__file__).parent
TOOLS = {definition.name for toolset in TOOLSETS.values() for definition in toolset}
VERBS = "|".join(sorted({name.partition("_")[0] for name in TOOLS}))
NOUNS = r"runs?|experiments?|models?|artifacts?|metrics?|params|metric_history|model_versions|server_info"
OF_THE_PYTHON_API = {"log_params", "log_metrics", "log_metric", "log_artifacts", "search_model_versions"}
"""Functions of the tracker and of MLflow that its docstrings name."""


def texts() -> list[tuple[str, str]]:
    """Every text in the code of the server: strings, parts of formatted strings and docstrings."""
    found: list[tuple[str, str]] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[:2] == ("mlflow_integration", "tracker"):
            continue
        nodes = ast.walk(ast.parse(path.read_text()))
        strings = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        # A single word is a name in the code and not a sentence for somebody.
        found += [(str(path.relative_to(PACKAGE)), text) for text in strings if " " in text]
    return found


def test_every_tool_that_a_text_names_exists():
    """A hint that names a tool of an earlier version sends the agent into an error."""
    named = [
        (place, word)
        for place, text in texts()
        for word in re.findall(rf"(?<![\w./])(?:{VERBS})_(?:{NOUNS})(?![\w(/.])", text)
    ]
    assert len(named) > 40
    assert [(place, word) for place, word in named if word not in TOOLS | OF_THE_PYTHON_API] == []


RESTRICTED: list[dict[str, Any]] = [{"read_only": True}, *({"toolsets": (toolset,)} for toolset in TOOLSETS)]

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("search_runs", {"experiments": ["none"]}),
    ("search_runs", {}),
    ("get_run", {"run": "none"}),
    ("search_experiments", {"name_contains": "none"}),
    ("search_models", {}),
    ("get_model", {"name": "none"}),
    ("list_artifacts", {"run": "none"}),
    ("diagnose_run", {"run": "broken"}),
    ("rank_runs", {"metric": "none"}),
    ("summarize_experiment", {"experiment": "named"}),
    ("get_server_info", {}),
]


def not_offered(text: str, offered: set[str]) -> list[str]:
    """Names of tools that exist elsewhere, and of which the text does not say so at their first mention."""
    found: list[str] = []
    for name in TOOLS - offered:
        match = re.search(rf"(?<![\w./-]){name}(?![\w/-]|\.\w)", text)
        if match and not text[match.end() :].startswith(f" ({NOT_ENABLED})"):
            found.append(name)
    return found


@pytest.mark.parametrize("restricted", RESTRICTED, ids=str)
async def test_no_text_of_a_restricted_server_sends_an_agent_to_a_tool_it_lacks(
    mock_engine: Engine, restricted: dict[str, Any]
):
    """Instructions, descriptions, prompts, hints and errors say that a tool is not enabled, or do not name it."""
    async with connect(mock_engine, closes=False) as agent:
        await agent.ask("log_run", experiment="named", run_name="broken", metrics={"loss": [[0, 1.0], [1, "NaN"]]})
    async with connect(mock_engine, **restricted) as agent:
        tools = (await agent.client.list_tools()).tools
        offered = {tool.name for tool in tools}
        assert offered < TOOLS
        texts = {"instructions": agent.client.instructions or ""}
        texts |= {tool.name: json.dumps([tool.description, tool.input_schema]) for tool in tools}
        for prompt in (await agent.client.list_prompts()).prompts:
            arguments = {argument.name: "named" for argument in prompt.arguments or ()}
            answer = await agent.client.get_prompt(prompt.name, arguments)
            texts[prompt.name] = "\n".join(message.content.text for message in answer.messages)  # type: ignore[union-attr]
        for tool, asked in QUESTIONS:
            if tool in offered:
                result = await agent.client.call_tool(tool, asked)
                texts[f"{tool} {asked}"] = result.content[0].text  # type: ignore[union-attr]
    assert len(texts) > len(offered)
    wrong = {place: found for place, text in texts.items() if (found := not_offered(text, offered))}
    assert wrong == {}


def test_every_argument_that_a_text_names_exists():
    """`exact=true` in a hint is an argument of a tool."""
    parameters = {
        name for tools in TOOLSETS.values() for one in tools for name in build(one, 1.0).parameters["properties"]
    }
    named = [
        (place, name)
        for place, text in texts()
        # Docstrings of private functions speak of data: `lr=0.1, depth=3`.
        if not re.search(r"`\w+=[^`]*, \w+=", text)
        and place.startswith(("tools", "mlflow_integration/operations", "prompts", "instructions", "paging"))
        for name in re.findall(r"(?<![\w.'\"])([a-z_]+)=(?:true|false|\d+|\[|'|\"|$)", text)
    ]
    assert len(named) > 15
    assert [(place, name) for place, name in named if name not in parameters] == []
