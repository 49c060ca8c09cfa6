"""The list of tools as hosts and model providers read it: one schema they cannot read, and they refuse all of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from mcp_server.tools import TOOLSETS
from mcp_server.tools._define import Definition, build
from tests.compatibility.strict_form import schemas, strict_table, without_strict_form
from tests.snapshots import assert_matches, with_generated

DEFINITIONS: dict[str, Definition] = {d.name: d for definitions in TOOLSETS.values() for d in definitions}
TOOLS = {name: build(definition, 45.0) for name, definition in DEFINITIONS.items()}

PAGE = "../../docs/compatibility.md"

REPETITIONS = 2_000
"""Largest count in a grammar of llama.cpp. Source: MAX_REPETITION_THRESHOLD in llama-grammar.cpp."""
GEMINI_KEYS = {
    *("type", "format", "description", "nullable", "enum", "default", "items", "properties", "required"),
    *("minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "additionalProperties"),
}
"""Keywords of the Gemini API's Schema; additionalProperties is dropped by its converters."""
PREFIXES = ("mcp__mlflow__", "mcp__plugin_mcp-server-mlflow_mlflow__", "mlflow-", "mcp_mlflow_")
"""What Claude Code (alone and for a plugin), Cursor and VS Code put before a name."""


@pytest.mark.parametrize("name", TOOLS)
def test_every_schema_is_valid_in_both_drafts(name: str):
    """Hosts validate by the draft they know: 2020-12 by the specification, draft-07 in older ones."""
    tool = TOOLS[name]
    for schema in filter(None, (tool.parameters, tool.output_schema)):
        Draft202012Validator.check_schema(schema)
        Draft7Validator.check_schema(schema)
        only_in_one = {"$defs", "definitions", "prefixItems", "dependentSchemas", "unevaluatedProperties", "$ref"}
        assert not only_in_one & {key for part in schemas(schema) for key in part}


@pytest.mark.parametrize("name", TOOLS)
def test_every_schema_is_in_the_subset_of_gemini(name: str):
    """One empty text in an enum, one list without items, and Gemini refuses every tool of every server."""
    for part in schemas(TOOLS[name].parameters):
        assert set(part) <= GEMINI_KEYS, set(part) - GEMINI_KEYS
        assert isinstance(part.get("type"), str), part
        if "enum" in part:
            assert part["type"] == "string"
            assert all(isinstance(choice, str) and choice for choice in part["enum"])
            assert len(set(part["enum"])) == len(part["enum"])
        if part["type"] == "array":
            assert part["items"].get("type"), part


@pytest.mark.parametrize("name", TOOLS)
def test_every_schema_makes_a_grammar_that_llama_cpp_takes(name: str):
    """Counts become repetitions of a rule; a pattern has to be anchored."""
    for part in schemas(TOOLS[name].parameters):
        for limit in ("minLength", "maxLength", "minItems", "maxItems"):
            assert part.get(limit, 0) <= REPETITIONS, part
        for bound in ("minimum", "maximum"):
            assert abs(part.get(bound, 0)) < 2**53
        if "pattern" in part:
            assert part["pattern"].startswith("^")
            assert part["pattern"].endswith("$")


@pytest.mark.parametrize("name", TOOLS)
def test_limits_of_lists_are_limits_of_items(name: str):
    """A text limit on a list means nothing, or breaks a host."""
    for part in schemas(TOOLS[name].parameters):
        if part["type"] != "string":
            assert not {"minLength", "maxLength", "pattern"} & set(part)
        if part["type"] != "array":
            assert not {"minItems", "maxItems"} & set(part)


def test_the_tools_that_cannot_be_strict_for_openai_are_those_with_free_names():
    """Params, metrics, tags and artifacts have names of the caller's; every other tool can be strict."""
    loose = {name: without_strict_form(tool.parameters) for name, tool in TOOLS.items()}
    free = {"params", "metrics", "tags", "artifacts", "datasets"}
    assert {name for name, reasons in loose.items() if reasons} == {
        name for name, tool in TOOLS.items() if free & _mappings(tool.parameters)
    }
    assert all(set(reasons) <= free for reasons in loose.values()), loose
    assert sum(not reasons for reasons in loose.values()) > len(loose) / 2


def test_the_page_on_compatibility_lists_which_tools_can_be_strict_and_why_not():
    """Generated, because whoever chooses strict mode wants to know before the provider refuses a tool."""
    table = strict_table({name: tool.parameters for name, tool in TOOLS.items()})
    assert_matches(PAGE, with_generated(PAGE, {"strict": table}))


def _mappings(schema: dict[str, Any]) -> set[str]:
    return {
        name
        for name, part in schema["properties"].items()
        if part["type"] == "object" or part.get("items", {}).get("type") == "object"
    }


@pytest.mark.parametrize("name", TOOLS)
def test_names_fit_behind_the_prefix_of_every_host(name: str):
    """64 characters for the whole; letters, digits, _ and - alone."""
    for prefix in PREFIXES:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", prefix + name)
    for parameter in TOOLS[name].parameters["properties"]:
        assert re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", parameter)


@pytest.mark.parametrize("name", TOOLS)
def test_what_an_answer_may_hold_is_not_closed_by_its_schema(name: str):
    """A client library that makes types of schemas would drop every fact that is not declared."""
    for part in schemas(TOOLS[name].output_schema or {}):
        if part.get("type") == "object":
            assert part.get("additionalProperties") is True


ADDITIVE = ("create_", "log_", "start_", "register_", "download_", "export_", "copy_")


@pytest.mark.parametrize("name", TOOLS)
def test_the_destructive_hint_means_what_the_specification_says(name: str):
    """False only for changes that add; what may replace a description, a tag or an alias is destructive."""
    hints = TOOLS[name].annotations
    assert hints is not None
    if hints.read_only_hint:
        assert hints.destructive_hint is False
    elif hints.destructive_hint is False:
        assert name.startswith(ADDITIVE)
    else:
        assert not name.startswith(("create_", "start_", "register_"))
    expected = {"promote_model", "rollback_model", "update_run", "update_experiment", "update_model", "finish_run"}
    if name in expected or name.startswith("delete_"):
        assert hints.destructive_hint is True
