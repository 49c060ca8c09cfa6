"""Reading registered models: every version reachable, words for versions, where a version comes from, links."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine, engine_over
from mcp_server.mlflow_integration.locate import locate
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.rendering import ANSWER_LIMIT
from mcp_server.settings import Settings
from tests.conftest import Agent, connect
from tests.registry_world import logged_run, registered

MANY = 400


async def made(engine: Engine, name: str, count: int) -> None:
    """A model with many versions, straight through MLflow's REST interface, with texts as long as people write them."""
    api = RegistryApi(engine.transports[0], "test")
    await api.create_registered_model(name)
    for number in range(count):
        await api.create_model_version(
            name,
            "s3://bucket/model",
            run_id="",
            model_id="",
            description=f"Trained on week {number}. " + "What was changed, and why, in some detail. " * 6,
            tags={"week": str(number), "team": "retention"},
        )


async def every_version(agent: Agent, name: str, **arguments: Any) -> list[int]:
    """Versions of all pages of get_model, in the order shown."""
    seen: list[int] = []
    token = ""
    while True:
        result = await agent.client.call_tool("get_model", {"name": name, "page_token": token, **arguments})
        page = result.structured_content
        assert page is not None, result.content
        assert max(len(json_text(page)), len(result.content[0].text)) <= ANSWER_LIMIT  # type: ignore[union-attr]
        seen += [int(row[0]) for row in page["versions"]["rows"]]
        token = page.get("next_page_token", "")
        if not token:
            return seen


def json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def test_every_version_is_on_one_page_whatever_the_page_size(mock_engine: Engine):
    """Pages that are cut to fit continue after the last row shown: none lost, none twice."""
    async with connect(mock_engine) as agent:
        await made(mock_engine, "churn", MANY)
        for size in (1_000, 90):
            assert await every_version(agent, "churn", max_results=size) == list(range(MANY, 0, -1))


async def test_a_version_that_is_added_between_two_pages_moves_nothing(engine: Engine, name: Any):
    """Pages continue by number, not by offset."""
    churn = name("churn")
    async with connect(engine) as agent:
        await made(engine, churn, 7)
        first = await agent.ask("get_model", name=churn, max_results=3)
        await registered(agent, churn, 0.9)
        second = await agent.ask("get_model", name=churn, max_results=3, page_token=first["next_page_token"])
        last = await agent.ask("get_model", name=churn, max_results=3, page_token=second["next_page_token"])
        wrong = await agent.refusal("get_model", name=churn, page_token="abc")
    pages = [[row[0] for row in page["versions"]["rows"]] for page in (first, second, last)]
    assert pages == [["7", "6", "5"], ["4", "3", "2"], ["1"]]
    assert "next_page_token" not in last
    assert "did not come from get_model" in wrong


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("2", "2"),
        (2, "2"),
        ("v2", "2"),
        ("V2", "2"),
        ("version 2", "2"),
        ("champion", "1"),
        ("Champion", "1"),
        ("@champion", "1"),
        ("models:/churn@champion", "1"),
        ("models:/churn/2", "2"),
        ("latest", "4"),
        ("newest", "4"),
        ("Production", "3"),
        ("production", "3"),
        ("staging", "2"),
    ],
)
async def test_a_version_is_named_in_many_ways(mock_engine: Engine, reference: Any, version: str):
    """By number, alias, stage, URI, in any case."""
    async with connect(mock_engine, confirm="never") as agent:
        await registered(agent, "churn", 0.6, 0.7, 0.8, 0.9)
        await agent.ask("promote_model", name="churn", version=1)
        await agent.ask("promote_model", name="churn", version=3, stage="Production")
        await agent.ask("promote_model", name="churn", version=2, stage="Staging")
        shown = await agent.ask("get_model", name="churn", version=reference)
        unknown = await agent.refusal("get_model", name="churn", version="prod")
        other = await agent.refusal("get_model", name="churn", version="models:/fraud/1")
    assert shown["version"] == version
    assert "no version, alias or stage 'prod'. Newest version: 4; aliases: champion (version 1)" in unknown
    assert "a different model" in other


async def test_a_version_shows_the_run_data_and_environment_behind_it(engine: Engine, name: Any):
    """The question 'which run produced the champion, and what does it need?' is one call."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        run = await logged_run(agent, 0.93, run_name="wide", datasets=[{"name": "customers", "digest": "d1"}])
        await agent.ask("register_model", name=churn, run=run)
        await agent.ask("promote_model", name=churn, version=1)
        one = await agent.ask("get_model", name=churn, version="champion")
        listed = await agent.ask("get_model", name=churn)
    assert (one["run_id"], one["run_name"], one["metrics"]) == (run, "wide", {"accuracy": 0.93})
    assert one["environment"]["python"] == "3.11.7"
    assert one["environment"]["mlflow"] == "3.17.2"
    assert one["signature"] == {"inputs": "age: long", "outputs": "double"}
    assert any("customers" in dataset for dataset in one["datasets"])
    (row,) = [dict(zip(listed["versions"]["columns"], row, strict=True)) for row in listed["versions"]["rows"]]
    assert (row["run_id"], row["run_name"], row["datasets"]) == (run, "wide", "customers")


async def test_links_lead_to_the_mlflow_that_holds_the_registry(mock_engine: Engine):
    """A registry elsewhere has its own UI; names are quoted; a database has none."""
    transport = mock_engine.transports[0]

    async def url(registry_uri: str, name: str) -> str:
        settings = Settings.load(tracking_uri="http://tracking:5000", registry_uri=registry_uri)
        return await engine_over(locate(settings), settings, transport, transport).registry.model_url(name, "3")

    elsewhere = "http://models:5001"
    assert (
        await url(elsewhere, "prod.churn #1 ü?")
        == "http://models:5001/#/models/prod.churn%20%231%20%C3%BC%3F/versions/3"
    )
    assert await url("", "churn") == "http://tracking:5000/#/models/churn/versions/3"
    assert await url("sqlite:///models.db", "churn") == ""


async def test_aliases_are_one_whatever_their_case(engine: Engine, name: Any):
    """MySQL keeps one alias where SQLite would keep two; here there is always one."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await registered(agent, churn, 0.7, 0.8)
        await agent.ask("promote_model", name=churn, version=1)
        moved = await agent.ask("promote_model", name=churn, version=2, alias="CHAMPION")
        taken = await agent.refusal("update_model", name=churn, version=1, alias="Champion")
        back = await agent.ask("rollback_model", name=churn, alias="Champion")
        model = await agent.ask("get_model", name=churn)
    assert (moved["alias"], moved["previous_version"]) == ("champion", "1")
    assert "points to version 2" in taken
    assert back["version"] == "1"
    assert model["aliases"] == {"champion": "1"}


@pytest.mark.parametrize("alias", ["3", "007", "latest", "v3", "a b", "ü", "a/b", "x" * 201, "stage-Production"])
async def test_what_cannot_be_an_alias_is_refused(mock_engine: Engine, alias: str):
    """A number is always a version."""
    async with connect(mock_engine, confirm="never") as agent:
        await registered(agent, "churn", 0.7)
        for refused in (
            await agent.refusal("promote_model", name="churn", version=1, alias=alias),
            await agent.refusal("update_model", name="churn", version=1, alias=alias),
        ):
            assert "cannot be an alias" in refused
        assert await mock_engine.promotions.current_version("churn", Pointer(alias=alias)) is None
