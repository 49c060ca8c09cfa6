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
    # A metric without a value is refused: leaving it out would lose a result. So is a tag where tags are changed: it
    # would stay as it is.
    if name != "metrics" and not tool.name.startswith("update_"):
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
        (
            {"runId": "a", "filterString": "x", "metric-name": "loss"},
            {"run": "a", "filter_string": "x", "metrics": "loss"},
        ),
        ({"Run ": "a"}, {"run": "a"}),
        ({"arguments": {"run_id": "a"}}, {"run": "a"}),
        ({"input": '{"run": "a"}'}, {"run": "a"}),
        ({"kwargs": {"run": "a"}, "metrics": "loss"}, {"kwargs": {"run": "a"}, "metrics": "loss"}),
    ],
)
def test_other_names_of_an_argument_are_understood_and_never_replace_one_that_was_given(sent, meant):
    """MLflow's own names, other spellings, one or several of a thing, all inside one object; two names of one
    argument leave one to be refused."""
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


AMBIGUOUS: list[Any] = [
    {"key": "a", "value": "b"},
    {"name": "a", "value": "b"},
    [{"key": "a", "value": 1, "type": "string"}],
    [{"key": "a", "value": 1}, {"key": "a", "value": 2}],
    ["a=1", "a=2"],
    "a=1, a=2",
    [["a", 1], {"a": 2}],
    [{"id": "a", "is": 1}, {"id": "b", "is": 2}],
    [[["a", 1]]],
]


@pytest.mark.parametrize("value", AMBIGUOUS, ids=str)
@pytest.mark.parametrize("name", ["params", "tags", "metrics", "artifacts"])
async def test_a_mapping_that_could_mean_two_things_is_refused_and_nothing_is_written(
    mock_engine: Engine, name: str, value: Any
):
    """Guessing would store other names than were meant, or one of two values."""
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("log_run", experiment="churn", **{name: value})
        assert "expected a JSON object" in refusal or "may be the one entry 'a', or two entries" in refusal
        assert not (await agent.ask("search_runs")).get("rows")


async def test_both_ways_out_of_an_ambiguous_mapping_are_the_ones_that_the_refusal_gives(mock_engine: Engine):
    """One call repairs it, whichever was meant."""
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("log_run", experiment="churn", tags={"key": "a", "value": "b"})
        one, two = (json.loads(form) for form in re.findall(r"Give (.+) for the one, (.+) for the two", refusal)[0])
        for tags, stored in ((one, {"a": "b"}), (two, {"key": "a", "value": "b"})):
            run = await agent.ask("log_run", experiment="churn", tags=tags)
            assert (await agent.ask("get_run", run=run["run_id"]))["tags"] == stored


SECOND = 1_700_000_000

SERIES: list[tuple[Any, list[list[Any]]]] = [
    ([{"key": "acc", "value": 0.9, "step": 3, "timestamp": SECOND * 1_000}], [[3, 0.9, SECOND]]),
    ([{"key": "acc", "value": 0.9, "timestamp": SECOND}], [[0, 0.9, SECOND]]),
    ([{"name": "acc", "value": "0.9", "step": "3", "timestamp": None}], [[3, 0.9, None]]),
    ([{"key": "acc", "value": 0.9, "step": None}], [[0, 0.9, None]]),
    ({"acc": "[[0, 1], [1, 0.5]]"}, [[0, 1.0, None], [1, 0.5, None]]),
    ({"acc": [{"step": 0, "value": 1}, {"step": 1, "value": 0.5}]}, [[0, 1.0, None], [1, 0.5, None]]),
    ({"acc": {"value": 1}}, [[0, 1.0, None]]),
    ({"acc": {"step": 2, "value": 1}}, [[2, 1.0, None]]),
    ({"acc": [["1", "0.5", "2023-11-14T22:13:20Z"], [2.0, 1, float(SECOND)]]}, [[1, 0.5, SECOND], [2, 1.0, SECOND]]),
    ({"acc": [{"step": 1, "value": 0.5, "timestamp": None}]}, [[1, 0.5, None]]),
]


@pytest.mark.parametrize(("metrics", "points"), SERIES, ids=str)
async def test_series_in_other_forms_are_stored_as_they_were_meant(
    mock_engine: Engine, metrics: Any, points: list[list[Any]]
):
    """MLflow's API has one object for each value; read back from MLflow itself. `points` have seconds, or no time."""
    async with connect(mock_engine) as agent:
        run = await agent.ask("log_run", experiment="churn", metrics=metrics)
        page = await mock_engine.tracking._api.metric_history_page(run["run_id"], "acc", max_results=10)
    stored = [
        [point.step, point.value, point.timestamp // 1_000]
        for point in sorted(page.items, key=lambda point: point.step)
    ]
    assert [point[:2] for point in stored] == [point[:2] for point in points]
    assert all(then in (None, at) for (*_, then), (*_, at) in zip(points, stored, strict=True))


async def test_a_value_without_a_step_gets_the_step_of_the_call(mock_engine: Engine):
    """Whatever its form; 0 would put it before the values that were logged already."""
    async with connect(mock_engine) as agent:
        run = await agent.ask("log_run", experiment="churn")
        forms: list[Any] = [
            {"a": 1},
            [{"key": "b", "value": 1, "timestamp": SECOND}],
            {"c": {"value": 1}},
            {"d": {"value": 1, "timestamp": SECOND}},
        ]
        for form in forms:
            await agent.ask("log_to_run", run=run["run_id"], metrics=form, step=7)
        history = await agent.rows("get_metric_history", runs=run["run_id"], metrics=["a", "b", "c", "d"])
    assert [row["last"] for row in history] == ["1 @7"] * 4


@pytest.mark.parametrize("tool", ["log_run", "log_to_run", "update_run"])
@pytest.mark.parametrize("parent", ["nobody", "deleted", "itself"])
async def test_no_tool_sets_a_parent_that_there_is_not(mock_engine: Engine, tool: str, parent: str):
    """By its argument or by MLflow's tag."""
    tags = {"mlflow.parentRunId": parent}
    async with connect(mock_engine, confirm="never") as agent:
        for name in ("itself", "deleted"):
            await agent.ask("log_run", experiment="churn", run_name=name)
        await agent.ask("delete_runs", runs=["deleted"])
        place = {"log_run": {"experiment": "churn"}, "log_to_run": {"run": "itself"}, "update_run": {"runs": "itself"}}
        if (tool, parent) != ("log_run", "itself"):
            refusal = await agent.refusal(tool, **place[tool], tags=tags)
            assert {"nobody": "No run", "deleted": "is deleted", "itself": "its own parent"}[parent] in refusal


async def test_a_step_is_never_made_up_for_one_of_several_points(mock_engine: Engine):
    """Two points on one step would be a curve that nobody measured."""
    mixed = [{"key": "acc", "value": 0.9}, {"key": "acc", "value": 0.95, "step": 2}]
    async with connect(mock_engine) as agent:
        assert "has the step null" in await agent.refusal("log_run", experiment="churn", metrics=mixed)


@pytest.mark.parametrize("time", [SECOND, float(SECOND), f"{SECOND}.0", SECOND * 1_000, "2023-11-14T22:13:20Z"])
async def test_times_in_seconds_milliseconds_and_words_are_the_same_time(mock_engine: Engine, time: Any):
    """Python's time.time() counts seconds, with a fraction."""
    async with connect(mock_engine) as agent:
        run = await agent.ask("log_run", experiment="churn", start_time=time, end_time=time)
        shown = await agent.ask("get_run", run=run["run_id"])
        refusal = await agent.refusal("log_run", experiment="churn", start_time="14.11.2023")
    assert shown["start_time"] == shown["end_time"] == "2023-11-14 22:13:20"
    assert "expected UTC milliseconds, or a time such as" in refusal


async def test_json_is_taken_where_its_text_is_stored(mock_engine: Engine):
    """A file of JSON, the schema of a dataset, and a digest of digits."""
    async with connect(mock_engine) as agent:
        run = await agent.ask(
            "log_run",
            experiment="churn",
            artifacts={"a.json": {"x": [1]}, "b.json": [1], "c.txt": 5},
            datasets=[{"name": "train", "digest": 12, "schema": {"age": "long"}}],
        )
        files = [await agent.ask("read_artifact", run=run["run_id"], path=path) for path in ("a.json", "b.json")]
        stored = await mock_engine.tracking.get_run(run["run_id"])
    assert [json.loads(file["content"]) for file in files] == [{"x": [1]}, [1]]
    assert [(dataset.digest, dataset.schema) for dataset in stored.datasets] == [("12", '{"age": "long"}')]


async def test_no_model_is_made_of_null_and_no_version_is_looked_for_that_cannot_be(mock_engine: Engine):
    """A program writes null where it has no name; MLflow keeps versions in 32 bits."""
    model = {"model/MLmodel": "flavors:\n  python_function:\n    loader_module: churn\n"}
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="churn", artifacts=model))["run_id"]
        assert "stands for a missing value" in await agent.refusal("register_model", name="null", run=run)
        await agent.ask("register_model", name="churn", run=run)
        refusal = await agent.refusal("get_model", name="churn", version=10**20)
    assert "has no version" in refusal


async def test_a_list_whose_items_are_refused_is_not_called_empty(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("compare_runs", runs=[{"run_id": "a"}, {"run_id": "b"}])
    assert "runs[0]" in refusal
    assert "empty" not in refusal and "at least" not in refusal


@pytest.mark.parametrize("name", ["null", "None", "undefined", "NaN", float("nan"), "\u200b", 10**30])
async def test_no_experiment_is_made_of_what_is_no_name(mock_engine: Engine, name: Any):
    """Programs write such texts for a value that is missing; 64 bits hold no id of 31 digits."""
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("log_run", experiment=name)
        names = [row["name"] for row in await agent.rows("search_experiments")]
    assert "failed" not in refusal
    assert names == ["Default"]


async def test_a_run_is_named_without_the_spaces_around_its_name(mock_engine: Engine):
    """It could not be found by its name otherwise."""
    async with connect(mock_engine) as agent:
        run = await agent.ask("log_run", experiment="churn", run_name="  first ")
        assert (await agent.ask("get_run", run=" first"))["run_id"] == run["run_id"]
        assert run["run_name"] == "first"


async def test_many_wrong_arguments_are_answered_at_once(mock_engine: Engine):
    """The closest valid name is looked for only where it is shown."""
    async with connect(mock_engine) as agent:
        refusal = await agent.refusal("search_runs", **{f"k{number}": 1 for number in range(20_000)})
    assert "19990 more" in refusal


async def test_a_page_token_that_is_no_ascii_is_refused_before_mlflow_fails_on_it(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        for tool in ("search_runs", "search_experiments", "search_models"):
            assert "page_token is not one of this server's" in await agent.refusal(tool, page_token="😀")
