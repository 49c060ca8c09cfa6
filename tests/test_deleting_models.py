"""Deletion hits what was shown: pinned, named, and never more than asked for."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.types import ElicitResult

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from tests.conftest import Agent, connect
from tests.registry_world import logged_run, registered


class SlowPerson:
    """Says yes to every question; while they think for the first time, something happens."""

    def __init__(self, meanwhile: Any) -> None:
        self._meanwhile = meanwhile
        self.questions: list[str] = []

    @property
    def client(self) -> dict[str, Any]:
        async def asked(_: Any, params: Any) -> ElicitResult:
            self.questions.append(params.message)
            if len(self.questions) == 1:
                await self._meanwhile()
            return ElicitResult(action="accept", content={"proceed": True})

        return {"elicitation_callback": asked}


async def versions(agent: Agent, name: str = "churn") -> list[str]:
    return [row[0] for row in (await agent.ask("get_model", name=name))["versions"]["rows"]]


async def prepared(engine: Engine) -> None:
    async with connect(engine, closes=False, confirm="never") as agent:
        await registered(agent, "churn", 0.7, 0.8)
        await agent.ask("promote_model", name="churn", version=1)


async def test_the_version_that_was_shown_is_deleted_not_the_one_registered_meanwhile(mock_engine: Engine, era: str):
    """`latest` is version 2 when the person is asked and 3 when they answer."""
    await prepared(mock_engine)

    async def meanwhile() -> None:
        async with connect(mock_engine, closes=False) as other:
            await registered(other, "churn", 0.9)

    person = SlowPerson(meanwhile)
    async with connect(mock_engine, era, client=person.client) as agent:
        deleted = await agent.ask("delete_model", name="churn", version="latest")
        left = await versions(agent)
    assert person.questions[0].startswith("Delete version 2 of model 'churn' (made ")
    if era == "auto":
        # The question travels in the result: a changed question is asked again, and answered for version 3.
        assert person.questions[1].startswith("Delete version 3 of model 'churn' (made ")
        assert (deleted["version"], left) == ("3", ["2", "1"])
    else:
        assert (deleted["version"], left) == ("2", ["3", "1"])


@pytest.mark.parametrize("what", ["model", "alias", "version"])
async def test_what_changed_while_the_person_thought_is_not_deleted(mock_engine: Engine, what: str):
    """A further version, a moved alias, a model that was deleted and made again: nothing is deleted."""
    await prepared(mock_engine)

    async def meanwhile() -> None:
        async with connect(mock_engine, closes=False, confirm="never") as other:
            if what == "model":
                await registered(other, "churn", 0.9)
            elif what == "alias":
                await other.ask("promote_model", name="churn", version=2)
            else:
                await other.ask("delete_model", name="churn")
                await registered(other, "churn", 0.9, 0.95)

    arguments = {"model": {}, "alias": {"alias": "champion"}, "version": {"version": 2}}[what]
    person = SlowPerson(meanwhile)
    async with connect(mock_engine, "legacy", client=person.client) as agent:
        refused = await agent.refusal("delete_model", name="churn", **arguments)
        left = await versions(agent)
        model = await agent.ask("get_model", name="churn")
    assert "Nothing was deleted" in refused
    assert len(person.questions) == 1
    assert left == {"model": ["3", "2", "1"], "alias": ["2", "1"], "version": ["2", "1"]}[what]
    assert model.get("aliases") == {"model": {"champion": "1"}, "alias": {"champion": "2"}, "version": None}[what]


async def test_a_number_is_a_version_whatever_aliases_are_called(engine: Engine, name: Any):
    """Another client may have made an alias `3`; only alias= means it."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await registered(agent, churn, 0.7, 0.8, 0.9)
        await RegistryApi(engine.transports[-1], "test").set_alias(churn, "3", "1")
        for reference in ("3", 3, "v3"):
            assert (await agent.ask("get_model", name=churn, version=reference))["version"] == "3"
        deleted = await agent.ask("delete_model", name=churn, version="3")
        gone = await agent.refusal("delete_model", name=churn, version="3")
        left = await versions(agent, churn)
        alias = await agent.ask("delete_model", name=churn, alias="3")
    assert deleted["version"] == "3"
    assert "no version, alias or stage '3'" in gone
    assert left == ["2", "1"]
    assert (alias["alias"], alias["was_version"]) == ("3", "1")


async def test_version_and_alias_together_are_refused(mock_engine: Engine):
    """It would be open what is deleted."""
    async with connect(mock_engine, confirm="never") as agent:
        await registered(agent, "churn", 0.7)
        await agent.ask("promote_model", name="churn", version=1)
        refused = await agent.refusal("delete_model", name="churn", version=1, alias="champion")
        assert await versions(agent) == ["1"]
    assert "With both version and alias it is unclear what to delete" in refused


async def test_the_name_to_repeat_says_what_is_deleted(mock_engine: Engine, era: str):
    """The name of a version or an alias never deletes the model, and the model's name never a version."""
    async with connect(mock_engine, era) as agent:
        await registered(agent, "churn", 0.7, 0.8)
        await agent.ask("promote_model", name="churn", version=1)
        wanted = {
            "churn version 2": {"version": "latest"},
            "churn alias champion": {"alias": "Champion"},
            "churn": {},
        }
        for name, arguments in wanted.items():
            told = await agent.refusal("delete_model", name="churn", **arguments)
            assert f"confirm_name='{name}'" in told
            for wrong in wanted.keys() - {name}:
                assert "Nothing was changed" in await agent.refusal(
                    "delete_model", name="churn", confirm_name=wrong, **arguments
                )
        assert await versions(agent) == ["2", "1"]
        for name, arguments in wanted.items():
            assert (await agent.ask("delete_model", name="churn", confirm_name=name, **arguments))["deleted"] is True


async def test_a_new_model_is_reported_and_a_near_name_shown(engine: Engine, name: Any):
    """A misspelt name makes a model nobody meant; one that differs only by case is refused."""
    churn = name("churn-model")
    near = churn.replace("model", "modell")
    async with connect(engine, confirm="never") as agent:
        run = await logged_run(agent)
        first = await agent.ask("register_model", name=churn, run=run)
        second = await agent.ask("register_model", name=near, run=run)
        again = await agent.ask("register_model", name=near, run=await logged_run(agent))
        case = await agent.refusal("register_model", name=churn.upper(), run=run)
        copied = await agent.ask("promote_model", name=churn, version=1, to_model=f"prod-{churn}")
        names = [row["name"] for row in await agent.rows("search_models", name_contains=churn[-8:])]
    assert first["created"] == "model"
    assert (second["created"], f"Similar models exist: {churn}" in second["hint"]) == ("model", True)
    assert "created" not in again
    assert f"Give name='{churn}'" in case
    assert copied["created"] == "model"
    assert sorted(names) == sorted([churn, near, f"prod-{churn}"])
