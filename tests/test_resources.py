"""Resources, prompts and completions through the client, in both protocol eras."""

from __future__ import annotations

import base64
import json
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

from mcp_server import resource_uris as uris
from mcp_server.prompts import PROMPTS
from mcp_server.subscriptions import changed
from tests.artifacts.conftest import picture
from tests.conftest import connect

PNG = picture(20, 10)


async def logged(agent: Any, name: str = "churn") -> dict[str, Any]:
    return await agent.ask(
        "log_run",
        experiment=name,
        run_name=f"{name}-run",
        params={"lr": 0.1},
        metrics={"accuracy": 0.9, "val_loss": 0.2},
        artifacts={"notes/ü 1.md": "# Grüße", "config.json": '{"a": 1}'},
    )


async def test_every_resource_is_listed_and_read_with_its_type(engine: Any, name: Any, logged_model: Any, era: str):
    """Ids in the URIs, JSON for records, the file's own type for artifacts."""

    async with connect(engine, era) as agent:
        one = await logged(agent, name("churn"))
        model = name("model")
        await agent.ask("register_model", name=model, run=logged_model(engine), alias="champion")
        await engine.artifacts_api.upload(await engine.api.get_run(one["run_id"]), "plot.png", PNG)
        listed = {str(resource.uri) for resource in (await agent.client.list_resources()).resources}
        templates = {one.uri_template for one in (await agent.client.list_resource_templates()).resource_templates}
        assert listed == {uris.SERVER}
        assert templates == {uris.EXPERIMENT, uris.RUN, uris.RUN_ARTIFACT, uris.MODEL, uris.MODEL_VERSION}
        expected = {
            uris.SERVER: "mlflow_version",
            uris.experiment_uri(one["experiment_id"]): "latest_runs",
            uris.run_uri(one["run_id"]): "metrics",
            uris.model_uri(model): "aliases",
            uris.model_version_uri(model, "1"): "version",
        }
        for uri, fact in expected.items():
            (content,) = (await agent.client.read_resource(uri)).contents
            assert fact in json.loads(content.text), uri  # type: ignore[union-attr]
            assert content.mime_type == "application/json"
        (text,) = (await agent.client.read_resource(uris.artifact_uri(one["run_id"], "notes/ü 1.md"))).contents
        assert (text.text, text.mime_type) == ("# Grüße", "text/plain")  # type: ignore[union-attr]
        (image,) = (await agent.client.read_resource(uris.artifact_uri(one["run_id"], "plot.png"))).contents
        assert (base64.b64decode(image.blob), image.mime_type) == (PNG, "image/png")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "uri",
    [
        *("mlflow://runs/" + "0" * 32, "mlflow://models/none", "mlflow://models/none/versions/1", "mlflow://nothing"),
        *(
            "mlflow://experiments/99999",
            "mlflow://runs/{run}/artifacts/none.txt",
            "mlflow://runs/{run}/artifacts/notes",
        ),
    ],
)
async def test_what_is_not_there_is_answered_as_the_protocol_says(mock_engine: Any, era: str, uri: str):
    """Invalid params with the URI, never an internal error."""
    async with connect(mock_engine, era) as agent:
        one = await logged(agent)
        with pytest.raises(MCPError) as refused:
            await agent.client.read_resource(uri.format(run=one["run_id"]))
    # A folder is a wrong parameter in both; "not found" had a code of its own until 2025-11-25.
    found_nothing = era == "legacy" and not uri.endswith("notes")
    assert refused.value.error.code == (-32002 if found_nothing else -32602)
    assert "inside" not in str(refused.value)


async def test_an_answer_that_was_cut_links_to_the_whole_file(mock_engine: Any):
    """The link is a resource that can be read."""
    async with connect(mock_engine) as agent:
        text = "\n".join(f"line {i}" for i in range(5_000))
        run = (await agent.ask("log_run", experiment="churn", artifacts={"train.log": text}))["run_id"]
        result = await agent.client.call_tool("read_artifact", {"run": run, "path": "train.log"})
        link = result.content[-1]
        (content,) = (await agent.client.read_resource(str(link.uri))).contents  # type: ignore[union-attr]
    assert content.text == text  # type: ignore[union-attr]
    assert (link.type, link.mime_type) == ("resource_link", "text/plain")  # type: ignore[union-attr]


async def test_changes_are_announced_to_subscribers_of_today(mock_engine: Any):
    """subscriptions/listen: the run, its experiment, and not other runs."""
    async with connect(mock_engine) as agent:
        one, other = await logged(agent), await logged(agent, "other")
        wanted = [uris.run_uri(one["run_id"]), uris.run_uri(other["run_id"])]
        async with agent.client.listen(resource_subscriptions=wanted) as events:
            await agent.ask("log_to_run", run=one["run_id"], metrics={"accuracy": 0.95})
            with anyio.fail_after(10):
                event = await anext(aiter(events))
    assert str(event.uri) == wanted[0]


async def test_an_artifact_that_is_replaced_is_announced(mock_engine: Any):
    """By the URI of its resource."""
    async with connect(mock_engine) as agent:
        run = (await logged(agent))["run_id"]
        wanted = uris.artifact_uri(run, "notes/ü 1.md")
        async with agent.client.listen(resource_subscriptions=[wanted]) as events:
            await agent.ask("log_artifact", run=run, path="other.md", content="# Other")
            await agent.ask("log_artifact", run=run, path="notes/ü 1.md", content="# New")
            with anyio.fail_after(10):
                event = await anext(aiter(events))
    assert str(event.uri) == wanted


@pytest.mark.parametrize("name", ["churn", "\ud800"])
def test_a_refused_call_announces_nothing(name: str):
    params = {"name": "update_model", "arguments": {"name": name, "version": "99"}}
    assert list(changed(params, {})) == []
    assert list(changed(params, {"name": "churn"})) == [uris.model_uri("churn")]


@pytest.mark.filterwarnings("ignore:resources/")
async def test_changes_are_announced_to_earlier_subscribers(mock_engine: Any):
    """resources/subscribe and notifications/resources/updated, until unsubscribed."""
    told: list[str] = []

    async def heard(message: Any) -> None:
        root = getattr(message, "root", message)
        if getattr(root, "method", "") == "notifications/resources/updated":
            told.append(str(root.params.uri))

    async with connect(mock_engine, "legacy", client={"message_handler": heard}) as agent:
        one = await logged(agent)
        uri = uris.run_uri(one["run_id"])
        await agent.client.session.subscribe_resource(uri)
        await agent.ask("update_run", runs=[one["run_id"]], tags={"a": "b"})
        await agent.client.session.unsubscribe_resource(uri)
        await agent.ask("update_run", runs=[one["run_id"]], tags={"a": "c"})
        await agent.client.list_tools()
    assert told == [uri]


async def test_prompts_are_listed_described_and_name_tools_that_exist(mock_engine: Any, era: str):
    """Each argument is described; a prompt that names a tool of yesterday would lead nowhere."""
    async with connect(mock_engine, era) as agent:
        prompts = (await agent.client.list_prompts()).prompts
        tools = {tool.name for tool in (await agent.client.list_tools()).tools}
        assert [prompt.name for prompt in prompts] == [function.__name__ for function in PROMPTS]
        for prompt in prompts:
            assert prompt.title and prompt.description
            assert all(argument.description for argument in prompt.arguments or [])
            arguments = {argument.name: "x" for argument in prompt.arguments or []}
            text = (await agent.client.get_prompt(prompt.name, arguments)).messages[0].content.text  # type: ignore[union-attr]
            named = {word.strip(".,:;()'") for word in text.split() if "_" in word and "=" not in word}
            assert named & tools
            assert {word for word in named if word.split("_")[0] in _VERBS} <= tools
            assert len(text) < 1_500
        for wrong in (("nothing", {}), ("compare_two_runs", {"first": "a"})):
            with pytest.raises(MCPError) as refused:
                await agent.client.get_prompt(*wrong)
            assert refused.value.error.code == -32602


_VERBS = {
    "search",
    "get",
    "list",
    "read",
    "compare",
    "rank",
    "log",
    "register",
    "promote",
    "summarize",
    "analyze",
    "diagnose",
}


async def test_arguments_are_completed_by_what_exists(mock_engine: Any, era: str, logged_model: Any):
    """By prefix, then inside the word, then by resemblance; an unknown argument has none."""
    async with connect(mock_engine, era) as agent:
        one = await logged(agent)
        await logged(agent, "churn-old")
        await agent.ask("register_model", name="fraud", run=logged_model(mock_engine), alias="champion")

        async def complete(ref: Any, argument: str, typed: str, **others: str) -> list[str]:
            found = await agent.client.complete(ref, {"name": argument, "value": typed}, context_arguments=others)
            return list(found.completion.values)

        promote = PromptReference(type="ref/prompt", name="find_best_and_promote")
        assert await complete(promote, "experiment", "chu") == ["churn", "churn-old"] or sorted(
            await complete(promote, "experiment", "chu")
        ) == ["churn", "churn-old"]
        assert await complete(promote, "experiment", "CHRUN") == ["churn"]
        assert await complete(promote, "metric", "loss", experiment="churn") == ["val_loss"]
        assert await complete(promote, "model", "fr") == ["fraud"]
        assert await complete(promote, "alias", "", model="fraud") == ["champion"]
        assert await complete(promote, "nothing", "x") == []
        assert await complete(promote, "metric", "", experiment="not there") == []
        artifact = ResourceTemplateReference(type="ref/resource", uri=uris.RUN_ARTIFACT)
        assert await complete(artifact, "path", "notes", run_id=one["run_id"]) == ["notes/ü 1.md"]
        version = ResourceTemplateReference(type="ref/resource", uri=uris.MODEL_VERSION)
        assert await complete(version, "version", "", name="fraud") == ["champion", "1"]
