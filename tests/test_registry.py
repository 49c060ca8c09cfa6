"""The registry from the wire to MLflow: register, promote through gates, refuse, roll back, compare, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer
from tests.conftest import connect, predicted, store_uri
from tests.registry_world import MLMODEL, logged_run, registered

ROLL_BACK = """
import anyio, json, sys
from mcp.client import Client
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings

async def main():
    engine = open_engine(Settings.load(tracking_uri=sys.argv[1], confirm="never"))
    async with Client(build_server(engine)) as client:
        result = await client.call_tool("rollback_model", {"name": sys.argv[2]})
    print(json.dumps(result.structured_content))
    await engine.aclose()

anyio.run(main)
"""


async def test_the_champion_that_loads_is_the_one_that_was_promoted(
    engine: Engine, name: Any, logged_model: Callable[..., str]
):
    """Three models that predict differently: after promotion, rollback, and rollback by another process."""
    churn = name("churn")
    labels = [(0, 1), (1, 0), (2, 3)]
    async with connect(engine, confirm="never") as agent:
        await agent.ask("get_server_info")  # Opens the store.
        for number, pair in enumerate(labels):
            run = logged_model(engine, accuracy=0.9 + number / 100, labels=pair)
            await agent.ask("register_model", name=churn, run=run)
        loaded: list[list[int]] = []
        for version in (1, 2, 3):
            await agent.ask("promote_model", name=churn, version=version)
            loaded.append(predicted(engine, f"{churn}@champion"))
        await agent.ask("rollback_model", name=churn)
        loaded.append(predicted(engine, f"{churn}@champion"))
        if engine.location.kind == "mock":  # A private store: no other process can open it.
            await agent.ask("rollback_model", name=churn)
        else:
            done = await anyio.run_process([sys.executable, "-c", ROLL_BACK, store_uri(engine), churn])
            assert json.loads(done.stdout)["version"] == "1"
        loaded.append(predicted(engine, f"{churn}@champion"))
    assert loaded == [[0, 1], [1, 0], [2, 3], [1, 0], [0, 1]]


async def test_a_model_is_registered_promoted_refused_and_rolled_back(
    engine: Engine, name: Any, logged_model: Callable[..., str]
):
    """The whole life of a champion."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await agent.ask("get_server_info")  # Opens the store.
        good, better, worse = (logged_model(engine, accuracy=value) for value in (0.90, 0.95, 0.80))
        for run in (good, better, worse):
            await agent.ask("register_model", name=churn, run=run)
        first = await agent.ask("promote_model", name=churn, version=1, gates=["metrics.accuracy >= 0.9"])
        dry = await agent.ask(
            "promote_model", name=churn, version=2, gates=["metrics.accuracy > champion + 0.01"], dry_run=True
        )
        second = await agent.ask("promote_model", name=churn, version=2, gates=["metrics.accuracy > champion + 0.01"])
        refused = await agent.ask("promote_model", name=churn, version="latest", gates=["metrics.accuracy > champion"])
        back = await agent.ask("rollback_model", name=churn, reason="drift")
        model = await agent.ask("get_model", name=churn)
    assert (first["promoted"], first.get("previous_version")) == (True, None)
    assert (dry["promoted"], dry["previous_version"], dry["gates"]["rows"][0][1]) == (False, "1", "passed")
    assert (second["promoted"], second["version"], second["previous_version"]) == (True, "2", "1")
    assert refused["promoted"] is False
    assert refused["gates"]["rows"][0][1:4] == ["failed", "0.8", "> 0.95"]
    assert "stays with version 2" in refused["hint"]
    assert (back["version"], back["previous_version"]) == ("1", "2")
    assert model["aliases"] == {"champion": "1"}
    events = [dict(zip(model["promotions"]["columns"], row, strict=True)) for row in model["promotions"]["rows"]]
    assert [(e["event"], e["version"], e["from_version"]) for e in events] == [
        ("rollback", "1", "2"),
        ("promotion", "2", "1"),
        ("promotion", "1", ""),
    ]
    assert events[0]["reason"] == "drift"


async def test_rolling_back_twice_goes_back_two_versions_also_for_another_client(
    mock_engine: Engine, logged_model: Callable[..., str]
):
    """Not there and back again; the history is MLflow's, so any client can follow it."""
    async with connect(mock_engine, confirm="never") as agent:
        await agent.ask("get_server_info")
        for accuracy in (0.7, 0.8, 0.9):
            await agent.ask("register_model", name="churn", run=logged_model(mock_engine, accuracy=accuracy))
        for version in (1, 2, 3):
            await agent.ask("promote_model", name="churn", version=version)
        await agent.ask("rollback_model", name="churn")
        async with connect(mock_engine, "legacy", closes=False, confirm="never") as other:
            assert (await other.ask("rollback_model", name="churn"))["version"] == "1"
            sentence = await other.refusal("rollback_model", name="churn")
    assert "the previous version is not known" in sentence


async def test_a_run_with_several_models_asks_which_one(mock_engine: Engine, logged_model: Callable[..., str]):
    """Each by its name; a wrong one is answered with those there are."""
    async with connect(mock_engine) as agent:
        await agent.ask("get_server_info")
        run = logged_model(mock_engine, names=("small", "large"))
        ambiguous = await agent.refusal("register_model", name="churn", run=run)
        unknown = await agent.refusal("register_model", name="churn", run=run, model="medium")
        made = await agent.ask("register_model", name="churn", run=run, model="large", alias="challenger")
        again = await agent.ask("register_model", name="churn", run=run, model="large", alias="challenger")
    assert "small (m-" in ambiguous
    assert "It logged: large, small" in unknown
    assert made["aliases"] == ["challenger"]
    assert (again["version"], "no new version" in again["hint"]) == (made["version"], True)


async def test_versions_are_compared_by_metrics_signature_and_requirements(
    engine: Engine, name: Any, logged_model: Callable[..., str]
):
    """Deltas against the first; what is the same in both is counted, not listed."""
    churn = name("churn")
    async with connect(engine) as agent:
        await agent.ask("get_server_info")
        for accuracy in (0.7, 0.8):
            await agent.ask("register_model", name=churn, run=logged_model(engine, accuracy=accuracy))
        compared = await agent.ask("compare_model_versions", name=churn, versions=[1, "latest"])
    (accuracy,) = compared["metrics"]["rows"]
    assert accuracy[:4] == ["accuracy", "max", 0.7, 0.8]
    assert accuracy[-1] == "v2"
    assert compared["requirements_equal"] >= 2
    assert "requirements" not in compared


async def test_signatures_that_differ_are_put_side_by_side(engine: Engine, name: Any):
    """What is the same in both, here the outputs, is not repeated."""
    churn = name("churn")
    longer = MLMODEL.replace('"type": "long", "required": true}', '"type": "double", "required": true}')
    async with connect(engine) as agent:
        for mlmodel in (MLMODEL, longer.replace("3.11.7", "3.12.1")):
            await agent.ask("register_model", name=churn, run=await logged_run(agent, mlmodel=mlmodel))
        compared = await agent.ask("compare_model_versions", name=churn, versions=[1, 2])
        await agent.ask("register_model", name=churn, run=await logged_run(agent))
        same = await agent.ask("compare_model_versions", name=churn, versions=[1, 3])
        twice = await agent.refusal("compare_model_versions", name=churn, versions=["3", "latest"])
    assert compared["model"]["columns"] == ["what", "v1", "v2"]
    assert compared["model"]["rows"] == [
        ["inputs", "age: long", "age: double"],
        ["python", "3.11.7", "3.12.1"],
    ]
    assert "model" not in same
    assert f"'3' and 'latest' are both version 3 of '{churn}'" in twice


async def test_search_models_finds_by_part_of_the_name_filter_and_page(engine: Engine, name: Any):
    """In any case; each model once, with newest version and aliases; the end has no token."""
    stem = name("Sales")
    async with connect(engine) as agent:
        for number in range(3):
            await registered(agent, f"{stem}-{number}", 0.9)
        await agent.ask("register_model", name=f"{stem}-1", run=await logged_run(agent), alias="challenger")
        await agent.ask("update_model", name=f"{stem}-2", tags={"task": stem})
        found = await agent.rows("search_models", name_contains=stem.lower())
        tagged = await agent.rows("search_models", filter_string=f"tags.task = '{stem}'")
        seen: list[str] = []
        page = await agent.ask("search_models", name_contains=stem, max_results=2)
        while True:
            seen += [row[0] for row in page["rows"]]
            if "next_page_token" not in page:
                break
            page = await agent.ask(
                "search_models", name_contains=stem, max_results=2, page_token=page["next_page_token"]
            )
        nothing = await agent.ask("search_models", name_contains=f"{stem}-none")
    names = [f"{stem}-{number}" for number in range(3)]
    assert [(row["name"], row["latest_version"], row["aliases"]) for row in found] == [
        (names[0], "1", ""),
        (names[1], "2", "challenger=2"),
        (names[2], "1", ""),
    ]
    assert [row["name"] for row in tagged] == [names[2]]
    assert seen == names
    assert nothing["rows"] == []
    assert "No registered model matches" in nothing["hint"]


async def test_a_model_is_described_tagged_and_deleted(engine: Engine, name: Any, logged_model: Callable[..., str]):
    """Alias, then version, then the whole model."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await agent.ask("get_server_info")
        await agent.ask("register_model", name=churn, run=logged_model(engine), alias="champion")
        await agent.ask("update_model", name=churn, description="Who leaves", tags={"task": "churn"})
        version = await agent.ask(
            "update_model", name=churn, version="champion", tags={"reviewed": "yes"}, alias="blue"
        )
        taken = await agent.refusal("register_model", name=churn, run=logged_model(engine), alias="blue")
        await agent.ask("delete_model", name=churn, alias="blue")
        model = await agent.ask("get_model", name=churn)
        await agent.ask("delete_model", name=churn, version=1)
        empty = await agent.ask("get_model", name=churn)
        await agent.ask("delete_model", name=churn)
        gone = await agent.refusal("get_model", name=churn)
    assert (version["aliases"], version["tags"]) == (["blue", "champion"], {"reviewed": "yes"})
    assert f"The alias 'blue' of '{churn}' points to version 1." in taken
    assert (model["description"], model["tags"], model["aliases"]) == (
        "Who leaves",
        {"task": "churn"},
        {"champion": "1"},
    )
    assert empty["versions"]["rows"] == []
    assert "No registered model" in gone


async def test_a_version_is_promoted_into_another_registered_model(engine: Engine, name: Any, logged_model: Any):
    """From dev to prod: a copy is made once, and the alias is the destination's."""
    dev, prod = name("dev.churn"), name("prod.churn")
    async with connect(engine, confirm="never") as agent:
        await agent.ask("get_server_info")
        await agent.ask("register_model", name=dev, run=logged_model(engine))
        promoted = await agent.ask("promote_model", name=dev, version=1, to_model=prod)
        again = await agent.ask("promote_model", name=dev, version=1, to_model=prod)
        model = await agent.ask("get_model", name=prod)
    assert (promoted["name"], promoted["version"], promoted["promoted"]) == (prod, "1", True)
    assert again["promoted"] is False
    assert model["aliases"] == {"champion": "1"}
    assert len(model["versions"]["rows"]) == 1


async def test_stages_are_served_for_old_workflows_and_said_to_be_deprecated(
    engine: Engine, name: Any, logged_model: Any
):
    """The previous version is archived, and rollback works the same."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await agent.ask("get_server_info")
        for _ in range(2):
            await agent.ask("register_model", name=churn, run=logged_model(engine))
        await agent.ask("promote_model", name=churn, version=1, stage="Production")
        second = await agent.ask("promote_model", name=churn, version=2, stage="Production")
        archived = await engine.registry.version(churn, "1")
        await agent.ask("rollback_model", name=churn, stage="Production")
        current = await engine.promotions.current_version(churn, Pointer(stage="Production"))
    assert "deprecates stages" in second["hint"]
    assert archived.stage == "Archived"
    assert current is not None
    assert current.version == "1"


@pytest.mark.parametrize(
    "gate", ["metrics.missing > 1", "metrics.nan > 0", "params.C = '2.0'", "tags.reviewed = 'yes'"]
)
async def test_a_gate_that_does_not_hold_keeps_the_alias_where_it_is(mock_engine: Engine, logged_model: Any, gate: str):
    """Missing, not a number, another text: each is refused with its reason."""
    async with connect(mock_engine) as agent:
        await agent.ask("get_server_info")
        run = logged_model(mock_engine)
        await agent.ask("log_to_run", run=run, metrics={"nan": "NaN"})
        await agent.ask("register_model", name="churn", run=run)
        answer = await agent.ask("promote_model", name="churn", version=1, gates=[gate])
        model = await agent.ask("get_model", name="churn")
    assert answer["promoted"] is False
    (row,) = answer["gates"]["rows"]
    assert row[1] == "failed"
    assert row[-1]
    assert "aliases" not in model


async def test_a_name_that_no_filter_can_hold_is_still_compared_with_the_others(mock_engine: Engine, logged_model: Any):
    """MLflow's filters have no way to write both kinds of quotes in one text."""
    async with connect(mock_engine) as agent:
        await agent.ask("search_experiments")  # Opens the store.
        made = await agent.ask("register_model", name="a`b'c\"d", run=logged_model(mock_engine))
    assert (made["name"], made["version"]) == ("a`b'c\"d", "1")
