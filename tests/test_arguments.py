"""Arguments as clients send them: every parameter of every tool, generated from the published schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.invalid_values import invalid_values
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.tools import TOOLSETS
from mcp_server.tools._arguments import as_declared, split_commas, under_declared_names
from mcp_server.tools._define import AnsweringTool, build
from tests.conftest import connect

DEFINITIONS = [d for definitions in TOOLSETS.values() for d in definitions if not d.between_trackers]
TOOLS = {d.name: build(d, 45.0) for d in DEFINITIONS}

PYDANTIC_WORDS = re.compile(
    r"valid (tuple|dictionary|list|string|integer|number|boolean)|input should|unable to|pydantic|parsing|"
    r"Field required|type=|errors\.|NoneType|literal",
    re.IGNORECASE,
)


def parameters(*types: str) -> Iterator[Any]:
    """(tool, parameter, schema) of every parameter of one of these JSON types."""
    for tool in TOOLS.values():
        for name, schema in tool.parameters["properties"].items():
            kind = "enum" if "enum" in schema else schema.get("type")
            if tool.fn_metadata.arg_model.model_fields[name].annotation is Any:
                continue  # Whatever is sent is meant: the content of an artifact.
            if not types or kind in types:
                yield pytest.param(tool, name, schema, id=f"{tool.name}.{name}")


def example(schema: dict[str, Any]) -> Any:
    """A value that fits a schema."""
    if "enum" in schema:
        return schema["enum"][-1]
    return {
        "string": "7",
        "integer": schema.get("minimum", 3),
        "number": schema.get("minimum", 0.5),
        "boolean": True,
        "array": [f"metrics.m{i}" for i in range(max(schema.get("minItems", 1), 1))],
        "object": {"a": "1"},
    }[schema["type"]]


def required(tool: AnsweringTool, *, without: str = "") -> dict[str, Any]:
    properties = tool.parameters["properties"]
    return {name: example(properties[name]) for name in tool.parameters.get("required", ()) if name != without}


def validated(tool: AnsweringTool, **arguments: Any) -> dict[str, Any]:
    return tool.fn_metadata.validate_arguments({**required(tool), **arguments})


def one(tool: AnsweringTool, name: str, value: Any) -> Any:
    """The value that the function of the tool gets for one argument."""
    return validated(tool, **{name: value})[name]


def is_optional(tool: AnsweringTool, name: str) -> bool:
    return name not in tool.parameters.get("required", ())


@pytest.mark.parametrize(("tool", "name", "schema"), parameters())
def test_null_means_left_out(tool: AnsweringTool, name: str, schema: dict[str, Any]):
    """Strict modes of model providers send null for everything that the model does not set."""
    if is_optional(tool, name):
        assert validated(tool, **{name: None}) == validated(tool)
    else:
        with pytest.raises(ValidationError, match="Field required"):
            validated(tool, **{name: None})


@pytest.mark.parametrize(("tool", "name", "schema"), parameters("string"))
def test_a_number_is_accepted_where_text_is_meant(tool: AnsweringTool, name: str, schema: dict[str, Any]):
    """Ids, versions and names of digits come as numbers; a float without a fraction is the same number."""
    assert one(tool, name, 7) == one(tool, name, 7.0) == one(tool, name, [7]) == "7"
    assert one(tool, name, 0.5) == "0.5"


@pytest.mark.parametrize(("tool", "name", "schema"), parameters("enum"))
def test_enums_are_accepted_in_any_case_and_empty_when_optional(tool: AnsweringTool, name: str, schema: dict[str, Any]):
    """Models write finished for FINISHED, and "" for what they leave out."""
    for choice in schema["enum"]:
        assert one(tool, name, choice.lower()) == one(tool, name, f" {choice.upper()} ") == choice
    assert "" not in schema["enum"]
    if is_optional(tool, name):
        assert validated(tool, **{name: ""}) == validated(tool)


@pytest.mark.parametrize(("tool", "name", "schema"), parameters("array"))
def test_one_text_and_json_text_are_lists(tool: AnsweringTool, name: str, schema: dict[str, Any]):
    """Claude Desktop sends lists as JSON text, others the one item alone."""
    if schema["items"].get("type") != "string":
        items = [{"name": "a"}]
        assert list(one(tool, name, json.dumps(items))) == list(one(tool, name, items[0])) == items
        return
    items = example(schema)
    for form in (json.dumps(items), str(items), tuple(items), [*items, None]):
        assert list(one(tool, name, form)) == items
    if len(items) == 1:
        assert list(one(tool, name, items[0])) == items
    if is_optional(tool, name):
        assert validated(tool, **{name: ""}) == validated(tool, **{name: []}) == validated(tool)


@pytest.mark.parametrize(("tool", "name", "schema"), parameters("object"))
def test_mappings_are_accepted_as_json_text_pairs_and_lists(tool: AnsweringTool, name: str, schema: dict[str, Any]):
    """Tags come as ["a=1"] from command lines, and as MLflow's own key and value from its REST examples."""
    meant = {"a": "1", "b": "x y"}
    forms: list[Any] = [
        json.dumps(meant),
        str(meant),
        ["a=1", "b=x y"],
        "a=1, b=x y",
        [{"key": key, "value": value} for key, value in meant.items()],
        [{"name": key, "value": value} for key, value in meant.items()],
        [{key: value} for key, value in meant.items()],
        list(meant.items()),
    ]
    if name != "metrics":  # A metric without a value is refused: leaving it out would lose a result.
        forms.append({**meant, "left_out": None})
    for form in forms:
        assert one(tool, name, form) == meant, form
    assert not one(tool, name, "[]")


@pytest.mark.parametrize("name", ["order_by", "columns", "metrics", "versions"])
def test_a_comma_separates_the_items_of_lists_whose_items_hold_none(name: str):
    """In lists of names and orders; not inside quotes."""
    for tool in TOOLS.values():
        schema = tool.parameters["properties"].get(name, {})
        # Names in a file of somebody's may hold commas; names in MLflow cannot.
        if schema.get("type") == "array" and tool.name != "read_artifact":
            assert one(tool, name, "metrics.a DESC, params.`b,c`") == ("metrics.a DESC", "params.`b,c`")


@given(st.lists(st.text(alphabet="ab c.`'\"", min_size=1).map(str.strip).filter(bool), max_size=5))
def test_splitting_at_commas_is_undone_by_joining(items: list[str]):
    """Nothing but commas and the spaces around them is lost, however quotes stand."""
    joined = ",".join(items)
    assert ",".join(split_commas([joined])).replace(" ", "") == joined.replace(" ", "")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
def test_whatever_is_sent_is_accepted_or_refused_in_our_words(data: st.DataObject):
    """No argument makes the conversion fail, and a refusal holds no word of the library that found it."""
    tool = data.draw(st.sampled_from(list(TOOLS.values())))
    arguments = data.draw(st.dictionaries(st.sampled_from([*tool.parameters["properties"], "other"]), ANYTHING))
    converted = as_declared(arguments, tool.parameters)
    assert None not in converted.values()
    try:
        tool.fn_metadata.validate_arguments(arguments)
    except ValidationError as error:
        rules = [value.rule for value in invalid_values(error) if value.kind not in ("missing", "extra_forbidden")]
        assert not any(PYDANTIC_WORDS.search(rule) or "another kind of value" in rule for rule in rules), rules


WRONG: dict[str, Any] = {
    "string": [1, 2],
    "integer": "many",
    "number": "many",
    "boolean": "perhaps",
    "array": {"a": {"b": 1}},
    "object": "text",
    "enum": "no such word",
}


async def test_a_refusal_names_the_argument_the_value_and_what_is_right(mock_engine: Engine):
    """For every kind of parameter of every tool; the words of pydantic never reach an agent."""
    seen: set[str] = set()
    async with connect(mock_engine) as agent:
        for param in parameters():
            tool, name, schema = param.values
            kind = "enum" if "enum" in schema else schema["type"]
            refusal = await agent.refusal(tool.name, **{**required(tool, without=name), name: WRONG[kind]})
            assert f"Argument '{name}" in refusal
            assert "expected" in refusal
            assert not PYDANTIC_WORDS.search(refusal), refusal
            seen.add(kind)
    assert seen >= {"string", "integer", "boolean", "array", "object", "enum"}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"run_id": "a"}, {"run": "a"}),
        ({"run_name": "a"}, {"run": "a"}),
        ({"runs": ["a"]}, {"run": "a"}),
        ({"metric_key": "loss"}, {"metrics": "loss"}),
        ({"experiment_ids": "1", "experiment_names": "a"}, {"experiments": "1", "experiment_names": "a"}),
        ({"experiments": "a", "experiment": "b"}, {"experiments": "a", "experiment": "b"}),
        ({"filter": "x"}, {"filter_string": "x"}),
        ({"_id": 1, "s": 2, "": 3}, {"_id": 1, "s": 2, "": 3}),
    ],
)
def test_other_names_of_an_argument_are_understood_and_never_replace_one_that_was_given(sent, meant):
    """MLflow's own names, and one or several of a thing; two names of one argument leave one to be refused."""
    schema: dict[str, Any] = {"properties": {"run": {}, "metrics": {}, "experiments": {}, "filter_string": {}}}
    named = under_declared_names(sent, schema)
    assert {name: value[0] if isinstance(value, list) else value for name, value in named.items()} == meant


async def test_limits_that_are_not_in_the_schema_are_still_checked(mock_engine: Engine):
    """Hosts that build grammars refuse a list of tools with a long maxLength; the limit holds all the same."""
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("create_experiment", name="x", description="d" * 8_001)
    assert "expected at most 8,000 characters" in refusal


async def test_a_refusal_is_one_short_line_whatever_was_sent(mock_engine: Engine):
    """Neither line breaks nor megabytes of the arguments come back."""
    hostile = "x\nrun_id: 1\u2028\u202e\x1b[31m" + "y" * 100_000
    async with connect(mock_engine) as agent:
        for param in parameters():
            tool, name, _ = param.values
            for value in (hostile, [hostile] * 20, {hostile: hostile}):
                result = await agent.client.call_tool(tool.name, {**required(tool, without=name), name: value})
                text = result.content[0].text  # type: ignore[union-attr]
                if result.is_error:
                    assert len(text) <= 4_100
                    assert not re.search("[\n\u2028\u202e\x1b]", text)
