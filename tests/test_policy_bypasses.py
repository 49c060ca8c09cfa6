"""Ways around the promotion policy, each really tried through the tools: all of them refused, and nothing moved."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitResult

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer
from mcp_server.names import find_name, matches, same_name
from tests.conftest import Agent, connect
from tests.registry_world import logged_run, registered

POLICY = """\
policies:
  - model: churn*
    alias: champion
    gates:
      - metrics.accuracy >= 0.85
      - metrics.accuracy > champion + 0.005
      - tags.reviewed = 'yes'
    protected_tags: [reviewed]
    protected_metrics: true
  - model: fraud
    alias: champion
    gates: metrics.accuracy > prod
  - model: prices
    alias: production
    confirm: always
""".replace("gates: metrics.accuracy > prod", "gates: [metrics.accuracy > prod]")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Churn", "churn"),
        ("café", "cafe\u0301"),
        ("café", "cafe"),
        ("\uff23hurn", "churn"),
        ("chu\u200brn", "churn"),
        (" churn\t", "churn"),
        ("straße", "STRASSE"),
        ("Ærø", "aero"),
        ("Łódź", "lodz"),
        ("İstanbul", "istanbul"),
        ("ı", "i"),
    ],
)
def test_names_that_some_store_takes_for_one_are_one_name(name: str, other: str):
    """Case, accents, invisible characters, outer spaces, and letters that MySQL writes with others."""
    assert same_name(name, other)
    assert matches(f"team/{name.strip()}", f"TEAM/{other.strip()}")
    assert matches(f"team/{name}", "team/*")
    assert find_name(name, ["x", other]) == other
    assert find_name(name, [other, name]) == name, "the exact one comes first"


@pytest.mark.parametrize(("name", "other"), [("churn", "churn2"), ("a b", "ab"), ("a-b", "a_b"), ("", "a")])
def test_other_names_stay_apart(name: str, other: str):
    assert not same_name(name, other)
    assert find_name(name, [other]) == ""


CHAMPION = Pointer(alias="champion")
PRODUCTION = Pointer(stage="Production")

GOOD, BAD = "1", "2"
"""Versions of `churn`: the champion, reviewed by a person, and one that the agent would like to see in its place."""


class Person:
    """Somebody with MLflow's own client, whom the policy of this server does not bind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def reviews(self, name: str, version: str) -> None:
        await self._engine.registering.update(name, version, description=None, tags={"reviewed": "yes"}, alias="")

    async def moves(self, name: str, version: str, pointer: Pointer = CHAMPION) -> None:
        """Through a server without a policy, so that the move is recorded."""
        current = await self._engine.promotions.current_version(name, pointer)
        await self._engine.promotions.move(
            pointer,
            await self._engine.registry.version(name, version),
            from_version=current.version if current else "",
            kind="promotion",
            by="a person",
            reason="",
        )

    async def deletes_alias(self, name: str, alias: str) -> None:
        await self._engine.registering.delete(await self._engine.registering.deletion(name, alias=alias))


@asynccontextmanager
async def guarded(engine: Engine, folder: Path, **settings: Any) -> AsyncGenerator[tuple[Agent, Person]]:
    """An agent under the policy, nobody asked; `churn` has a good champion (1) and a bad version (2)."""
    path = folder / "policy.yaml"
    path.write_text(POLICY)
    async with connect(engine, promotion_policy=path, **{"confirm": "never", **settings}) as agent:
        person = Person(engine)
        await registered(agent, "churn", 0.9, 0.5)
        await person.reviews("churn", GOOD)
        await person.moves("churn", GOOD)
        yield agent, person
        await unmoved(engine)


async def unmoved(engine: Engine) -> None:
    """The champion is still the good version, and nothing is in Production."""
    champion = await engine.promotions.current_version("churn", CHAMPION)
    assert champion is not None
    assert champion.version == GOOD
    assert await engine.promotions.current_version("churn", PRODUCTION) is None


FORGED = '{"kind":"promotion","from_version":"2","by":"","gates":[]}'
RECORDS = [
    "mcp.promotion.champion.1",
    "MCP.promotion.champion.1",
    "mcp\u200b.promotion.champion.1",
    "ｍcp.promotion.champion.1",
    " mcp.promotion.champion.1",
    "mcṕ.promotion.champion.1",
]


@pytest.mark.parametrize("tag", RECORDS)
async def test_the_record_of_promotions_cannot_be_forged(mock_engine: Engine, tmp_path: Path, tag: str):
    """A forged record would make rollback_model put the agent's version in place."""
    tags = {tag: FORGED}
    async with guarded(mock_engine, tmp_path) as (agent, _):
        run = await logged_run(agent)
        for refused in (
            await agent.refusal("update_model", name="churn", version=GOOD, tags=tags),
            await agent.refusal("update_model", name="churn", tags=tags),
            await agent.refusal("register_model", name="churn", run=run, tags=tags),
            await agent.refusal("log_to_run", run=run, tags=tags),
            await agent.refusal("log_run", experiment="trained", tags=tags),
        ):
            assert "is reserved" in refused or "MLflow does not accept a tag named" in refused
        assert "previous version is not known" in await agent.refusal("rollback_model", name="churn")


ALIASES = ["champion", "Champion", "CHAMPION", " champion ", "сhampion", "cham\u200bpion", "ｃhampion", "chámpion"]


@pytest.mark.parametrize("alias", ALIASES)
async def test_the_alias_is_given_by_no_other_tool_however_it_is_spelt(mock_engine: Engine, tmp_path: Path, alias: str):
    """Free or not, in another case, with look-alike letters or invisible characters."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        run = await logged_run(agent, 0.4)
        await registered(agent, "churn-new", 0.5)
        for refused in (
            await agent.refusal("update_model", name="churn", version=BAD, alias=alias),
            await agent.refusal("update_model", name="churn-new", version=1, alias=alias),
            await agent.refusal("register_model", name="churn-new", run=run, alias=alias),
            await agent.refusal("register_model", name="churn", run=run, alias=alias),
        ):
            assert "guards the alias" in refused or "cannot be an alias" in refused
        result = await agent.client.call_tool("promote_model", {"name": "churn", "version": BAD, "alias": alias})
        assert result.is_error or result.structured_content["promoted"] is False  # type: ignore[index]
        assert "aliases" not in await agent.ask("get_model", name="churn-new")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"gates": ["metrics.accuracy > 0.1"]},
        {"gates": ["metrics.accuracy >= 0.85 and metrics.accuracy > champion - 90%"]},
        {"stage": "Production"},
        {"stage": "Production", "alias": "other"},
        {"allow_first": True},
        {"allow_first": True, "stage": "Production"},
        {"to_model": "churn"},
        {"to_model": "Churn"},
        {"to_model": "churn-copy"},
        {"to_model": "churn-copy", "allow_first": True},
    ],
    ids=str,
)
async def test_promotion_adds_the_gates_whatever_is_asked(mock_engine: Engine, tmp_path: Path, arguments: Any):
    """Weaker gates, the stage for the alias, the first version, copies: the required gates are measured."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        answer = await agent.ask("promote_model", name="churn", version=BAD, **arguments)
        assert answer["promoted"] is False
        assert ["metrics.accuracy >= 0.85", "failed"] in [row[:2] for row in answer["gates"]["rows"]]
        models = [row["name"] for row in await agent.rows("search_models")]
        assert models == ["churn"]


@pytest.mark.parametrize("destination", ["churn", "CHURN", "churn ", "ch\u200burn", "chürn"])
async def test_a_copy_from_another_model_passes_the_gates_of_its_destination(
    mock_engine: Engine, tmp_path: Path, destination: str
):
    """Also under names that some store takes for the guarded one."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        await registered(agent, "scratch", 0.5)
        answer = await agent.ask("promote_model", name="scratch", version=1, to_model=destination)
        assert answer["promoted"] is False
        assert [row[1] for row in answer["gates"]["rows"]].count("failed") == 3


@pytest.mark.parametrize("name", ["Churn", "churn ", "ch\u200burn", "chürn"])
async def test_no_second_model_takes_the_name_of_the_guarded_one(mock_engine: Engine, tmp_path: Path, name: str):
    """In a store that ignores case the two would be one."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        run = await logged_run(agent)
        refused = await agent.refusal("register_model", name=name, run=run)
        assert "'churn'" in refused or "invisible characters" in refused
        assert "guards the alias" in await agent.refusal("register_model", name=name, run=run, alias="champion")


@pytest.mark.parametrize(
    "arguments",
    [
        {"alias": "champion"},
        {"alias": "Champion"},
        {"version": GOOD},
        {"version": "v1"},
        {"version": "champion"},
        {"version": "models:/churn@champion"},
        {},
    ],
    ids=str,
)
async def test_nothing_that_the_gates_compare_with_can_be_deleted(
    mock_engine: Engine, tmp_path: Path, arguments: dict[str, str]
):
    """Without a champion there would be nothing to beat, and without its record allow_first would let anything in."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        names = ["churn", "churn version 1", "churn alias champion"]
        for name in names:
            refused = await agent.refusal("delete_model", name="churn", confirm_name=name, **arguments)
            assert "the promotion policy guards the alias 'champion' of 'churn' (line 2, for churn*)" in refused


async def test_a_version_that_was_champion_keeps_its_record(mock_engine: Engine, tmp_path: Path):
    """Deleting it, or the model, would empty the history that allow_first and rollback_model rely on."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await registered(agent, "churn-old", 0.9)
        await person.moves("churn-old", "1")
        await person.deletes_alias("churn-old", "champion")
        for arguments in ({"version": 1}, {}):
            assert "guards" in await agent.refusal("delete_model", name="churn-old", **arguments)
        answer = await agent.ask("promote_model", name="churn-old", version=1, allow_first=True)
        assert answer["promoted"] is False
        assert ["metrics.accuracy > champion + 0.005", "failed"] in [row[:2] for row in answer["gates"]["rows"]]


async def test_an_alias_without_a_version_leaves_nothing_to_compare_with(mock_engine: Engine, tmp_path: Path):
    """A person may remove the champion; that opens nothing for the agent."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await person.reviews("churn", BAD)
        await person.deletes_alias("churn", "champion")
        answer = await agent.ask("promote_model", name="churn", version=BAD, allow_first=True)
        reasons = {row[0]: row[-1] for row in answer["gates"]["rows"]}
        await person.moves("churn", GOOD)
    assert answer["promoted"] is False
    assert reasons["metrics.accuracy > champion + 0.005"] == (
        "nothing to compare with: no version has the alias champion"
    )


async def test_rollback_returns_only_to_a_version_that_passes(mock_engine: Engine, tmp_path: Path):
    """Champion before there was a policy: the record knows the bad version, and that is not enough."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await person.moves("churn", BAD)
        await person.moves("churn", GOOD)
        refused = await agent.refusal("rollback_model", name="churn", confirm_name="churn")
    assert "version 2 of 'churn' does not pass what the promotion policy requires" in refused
    assert "tags.reviewed = 'yes'" in refused


async def test_rollback_returns_to_a_version_that_passed_when_it_was_promoted(mock_engine: Engine, tmp_path: Path):
    """It beat the champion of its time, and need not beat the one that it replaces."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        better, best = await registered(agent, "churn", 0.92, 0.94)
        for version in (better, best):
            await person.reviews("churn", version)
            assert (await agent.ask("promote_model", name="churn", version=version))["promoted"] is True
        back = await agent.ask("rollback_model", name="churn")
        await person.moves("churn", GOOD)
    assert back["version"] == better
    rows = {row[0]: row[1:] for row in back["gates"]["rows"]}
    assert rows["metrics.accuracy > champion + 0.005"][0] == "passed"
    assert "held when version 3 was promoted" in rows["metrics.accuracy > champion + 0.005"][-1]


@pytest.mark.parametrize("tag", ["reviewed", "Reviewed", "REVIEWED", "rev\u200biewed", "revíewed"])
async def test_protected_tags_are_written_nowhere(mock_engine: Engine, tmp_path: Path, tag: str):
    """They count from the version and from its run, and a copy takes the tags of another model along."""
    tags = {tag: "yes"}
    async with guarded(mock_engine, tmp_path) as (agent, _):
        await registered(agent, "scratch", 0.99)
        run = await logged_run(agent)
        opened = (await agent.ask("start_run", experiment="trained"))["run_id"]
        for refused in (
            await agent.refusal("update_model", name="churn", version=BAD, tags=tags),
            await agent.refusal("update_model", name="scratch", version=1, tags=tags),
            await agent.refusal("register_model", name="scratch", run=run, tags=tags),
            await agent.refusal("log_to_run", run=run, tags=tags),
            await agent.refusal("log_to_run", run=opened, tags=tags),
            await agent.refusal("update_run", runs=[run], tags=tags),
            await agent.refusal("log_run", experiment="trained", tags=tags),
            await agent.refusal("start_run", experiment="trained", tags=tags),
        ):
            assert (
                "protected by the promotion policy (line 2, for churn*)" in refused
                or "MLflow does not accept" in refused
            )
        assert (await agent.ask("promote_model", name="scratch", version=1, to_model="churn"))["promoted"] is False


async def test_measurements_of_ended_runs_cannot_be_changed(mock_engine: Engine, tmp_path: Path):
    """Neither added to, nor through the key of the run, nor by opening it again; open runs take metrics."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        key = {"idempotency_key": "k1", "experiment": "trained"}
        keyed = (await agent.ask("log_run", metrics={"accuracy": 0.5}, **key))["run_id"]
        bad = (await agent.ask("get_model", name="churn", version=BAD))["run_id"]
        for run in (bad, keyed):
            for content in ({"metrics": {"accuracy": 0.99}}, {"metrics": {"other": 1}}, {"params": {"reviewer": "me"}}):
                assert "the promotion policy protects" in await agent.refusal("log_to_run", run=run, **content)
        again = await agent.ask("log_run", metrics={"accuracy": 0.99}, **key)
        opened = (await agent.ask("start_run", **key))["run_id"]
        assert opened == again["run_id"] == keyed
        assert "protects" in await agent.refusal("log_to_run", run=keyed, metrics={"accuracy": 0.99})
        for run in (bad, keyed):
            assert (await agent.ask("get_run", run=run))["metrics"]["accuracy"] == 0.5
        assert await agent.ask("log_to_run", run=bad, tags={"note": "seen"})
        going_on = (await agent.ask("start_run", experiment="trained"))["run_id"]
        assert await agent.ask("log_to_run", run=going_on, metrics={"accuracy": 0.7})
        await agent.ask("finish_run", run=going_on)
        assert "protects" in await agent.refusal("log_to_run", run=going_on, metrics={"accuracy": 0.99})


async def test_the_files_of_ended_runs_cannot_be_changed(mock_engine: Engine, tmp_path: Path):
    """Else an agent could put its model into the run of a good one, or replace the champion's files."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        good = (await agent.ask("get_model", name="churn", version=GOOD))["run_id"]
        for path in ("model/MLmodel", "other/MLmodel"):
            refused = await agent.refusal("log_artifact", run=good, path=path, content="flavors: {}")
            assert "the promotion policy protects" in refused
        for reference in ("models:/churn@champion", "models:/churn/1"):
            assert await agent.refusal("log_artifact", run=reference, path="MLmodel", content="flavors: {}")
        assert "no MLmodel file" in await agent.refusal("register_model", name="churn", run=good, model="other")
        shown = await agent.text("read_artifact", run=good, path="model/MLmodel")
    assert "mlflow_version: 3.17.2" in shown


async def test_the_champion_cannot_be_moved_out_of_its_stage(mock_engine: Engine, tmp_path: Path):
    """A version has one stage: promoting it to Staging would empty Production."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await person.moves("churn", GOOD, PRODUCTION)
        refused = await agent.refusal("promote_model", name="churn", version=GOOD, stage="Staging")
        in_production = await mock_engine.promotions.current_version("churn", PRODUCTION)
        await person.moves("churn", GOOD, Pointer(stage="Staging"))
    assert "from stage Production to stage Staging is refused" in refused
    assert in_production is not None
    assert in_production.version == GOOD


async def test_the_threshold_of_a_gate_cannot_be_lowered(mock_engine: Engine, tmp_path: Path):
    """`prod` has no rule of its own, but the gate of another alias compares with it."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await registered(agent, "fraud", 0.9, 0.1)
        await person.moves("fraud", "1", Pointer(alias="prod"))
        for refused in (
            await agent.refusal("promote_model", name="fraud", version=2, alias="prod", confirm_name="fraud"),
            await agent.refusal("delete_model", name="fraud", alias="prod", confirm_name="fraud alias prod"),
            await agent.refusal("delete_model", name="fraud", version=1, confirm_name="fraud version 1"),
            await agent.refusal("update_model", name="fraud", version=2, alias="prod"),
        ):
            assert "promotion policy" in refused
        prod = await mock_engine.promotions.current_version("fraud", Pointer(alias="prod"))
    assert prod is not None
    assert prod.version == "1"


@pytest.mark.parametrize("confirm", ["never", "auto"])
async def test_a_rule_can_want_a_person_whatever_the_settings_say(mock_engine: Engine, tmp_path: Path, confirm: str):
    """For the first version too, for rollback, and no repeated name stands in for the person."""
    async with guarded(mock_engine, tmp_path, confirm=confirm) as (agent, person):
        await registered(agent, "prices", 0.5, 0.6)
        arguments = {"name": "prices", "alias": "production", "confirm_name": "prices"}
        first = await agent.refusal("promote_model", version=1, **arguments)
        for version in "12":
            await person.moves("prices", version, Pointer(alias="production"))
        back = await agent.refusal("rollback_model", **arguments)
        dry = await agent.ask("promote_model", version=1, dry_run=True, **arguments)
    assert "A person has to agree to this (the promotion policy)" in first
    assert "A person has to agree to this (the promotion policy)" in back
    assert dry["promoted"] is False


@pytest.mark.parametrize("proceed", [True, False])
async def test_the_person_that_a_rule_wants_decides(mock_engine: Engine, tmp_path: Path, proceed: bool):
    """Although MLFLOW_MCP_CONFIRM=never: asked about the first version too."""
    questions: list[str] = []

    async def asked(_: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"proceed": proceed})

    async with guarded(mock_engine, tmp_path, client={"elicitation_callback": asked}) as (agent, _):
        await registered(agent, "prices", 0.5)
        await agent.client.call_tool("promote_model", {"name": "prices", "version": "1", "alias": "production"})
        current = await mock_engine.promotions.current_version("prices", Pointer(alias="production"))
    assert questions == ["Give alias 'production' of model 'prices' to version 1?"]
    assert (current is not None) is proceed


async def test_deleting_the_champions_run_leaves_its_measurements(mock_engine: Engine, tmp_path: Path):
    """Deleted runs can be restored, and their metrics still count."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        (close,) = await registered(agent, "churn", 0.9)
        await person.reviews("churn", close)
        run = (await agent.ask("get_model", name="churn", version=GOOD))["run_id"]
        await agent.ask("delete_runs", runs=[run])
        await agent.ask("delete_experiment", experiment="trained")
        answer = await agent.ask("promote_model", name="churn", version=close)
    assert answer["promoted"] is False
    rows = {row[0]: row[1:4] for row in answer["gates"]["rows"]}
    assert rows["metrics.accuracy > champion + 0.005"] == ["failed", "0.9", "> 0.905"]


async def test_an_alias_cannot_pass_for_the_record_of_a_stage(mock_engine: Engine, tmp_path: Path):
    """Its promotions would be recorded under the same name as those to the stage."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        refused = await agent.refusal("promote_model", name="churn", version=BAD, alias="stage-Production")
    assert "cannot be an alias" in refused


async def test_every_store_keeps_the_policy(engine: Engine, name: Any, tmp_path: Path):
    """The ways around it once more, in mock mode, on SQLite and behind a server."""
    churn, scratch = name("churn"), name("scratch")
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    async with connect(engine, promotion_policy=path, confirm="never") as agent:
        person = Person(engine)
        await registered(agent, churn, 0.9, 0.5)
        await registered(agent, scratch, 0.99)
        await person.reviews(churn, GOOD)
        await person.moves(churn, BAD)
        await person.moves(churn, GOOD)
        run = (await agent.ask("get_model", name=churn, version=BAD))["run_id"]
        for tool, arguments in (
            ("rollback_model", {"name": churn}),
            ("update_model", {"name": churn, "version": BAD, "alias": "Champion"}),
            ("update_model", {"name": churn, "version": BAD, "tags": {"reviewed": "yes"}}),
            ("update_model", {"name": churn, "version": BAD, "tags": {"mcp.promotion.champion.1": FORGED}}),
            ("register_model", {"name": churn, "run": run, "alias": "champion"}),
            ("register_model", {"name": churn.upper(), "run": run}),
            ("delete_model", {"name": churn}),
            ("delete_model", {"name": churn, "version": GOOD}),
            ("delete_model", {"name": churn, "alias": "champion"}),
            ("log_to_run", {"run": run, "metrics": {"accuracy": 0.99}}),
            ("log_artifact", {"run": run, "path": "model/MLmodel", "content": "flavors: {}"}),
            ("update_run", {"runs": [run], "tags": {"reviewed": "yes"}}),
        ):
            assert await agent.refusal(tool, **arguments), tool
        for arguments in (
            {"name": churn, "version": BAD},
            {"name": churn, "version": BAD, "stage": "Production", "allow_first": True},
            {"name": scratch, "version": 1, "to_model": churn},
        ):
            assert (await agent.ask("promote_model", **arguments))["promoted"] is False
        model = await agent.ask("get_model", name=churn)
        before = await agent.ask("get_run", run=run)
    assert model["aliases"] == {"champion": GOOD}
    assert [row[0] for row in model["versions"]["rows"]] == [BAD, GOOD]
    assert before["metrics"]["accuracy"] == 0.5


async def test_an_agent_can_read_what_the_policy_requires_before_it_tries(mock_engine: Engine, tmp_path: Path):
    async with guarded(mock_engine, tmp_path, allowed_folders=(tmp_path,)) as (agent, _):
        info = await agent.ask("get_server_info")
    assert info["promotion_policy"] == [
        "churn* (champion): metrics.accuracy >= 0.85; metrics.accuracy > champion + 0.005; tags.reviewed = 'yes'; "
        "tag reviewed is protected; ended runs are protected",
        "fraud (champion): metrics.accuracy > prod",
        "prices (production): a person confirms",
    ]
    assert (info["confirm"], info["allowed_folders"]) == ("never", [str(tmp_path)])


async def bad_is_refused(agent: Agent, **more: Any) -> str:
    """The hint of a promotion of the bad version that the gates stopped."""
    answer = await agent.ask("promote_model", name="churn", version=BAD, **more)
    assert answer["promoted"] is False
    return answer["hint"]


@pytest.mark.parametrize("restored", [False, True])
async def test_deleting_the_experiment_of_the_evidence_opens_nothing(
    mock_engine: Engine, tmp_path: Path, restored: bool
):
    """The champion's measurements still stand, so the bad version still has to beat them."""
    async with guarded(mock_engine, tmp_path) as (agent, person):
        await person.reviews("churn", BAD)
        runs = [(await agent.ask("get_model", name="churn", version=version))["run_id"] for version in (GOOD, BAD)]
        if restored:
            await agent.ask("delete_runs", runs=runs)
            await agent.ask("update_run", runs=runs, restore=True)
            assert "protects" in await agent.refusal("log_to_run", run=runs[1], metrics={"accuracy": 0.99})
        else:
            await agent.ask("delete_experiment", experiment="trained")
        hint = await bad_is_refused(agent)
        assert "metrics.accuracy >= 0.85" in hint and "metrics.accuracy > champion" in hint
        assert "metrics.accuracy" in await bad_is_refused(agent, allow_first=True)


@pytest.mark.parametrize("version", ["2", " 2 ", "02", "２", "v2", "latest", "2.0", 2])
async def test_a_version_named_otherwise_passes_the_same_gates(mock_engine: Engine, tmp_path: Path, version: Any):
    """Promoted by no spelling of its number; what is no version is refused."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        result = await agent.client.call_tool("promote_model", {"name": "churn", "version": version})
        assert result.is_error or result.structured_content["promoted"] is False  # type: ignore[index]


@pytest.mark.parametrize("name", ["churn ", " churn", "CHURN", "models:/churn", "churn\u200b", "ｃhurn"])
async def test_a_model_named_otherwise_is_the_guarded_one_or_none(mock_engine: Engine, tmp_path: Path, name: str):
    """No spelling of its name gets an alias past the gates."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        for tool, arguments in (
            ("promote_model", {"version": BAD}),
            ("promote_model", {"version": BAD, "stage": "Production"}),
            ("rollback_model", {}),
            ("update_model", {"version": BAD, "alias": "champion"}),
            ("delete_model", {"alias": "champion"}),
        ):
            result = await agent.client.call_tool(tool, {"name": name, **arguments})
            assert result.is_error or result.structured_content.get("promoted") is False, tool  # type: ignore[union-attr]


async def test_the_files_of_a_logged_model_cannot_be_changed(mock_engine: Engine, logged_model: Any, tmp_path: Path):
    """MLflow 3 keeps them apart from the files of the run."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    async with connect(mock_engine, promotion_policy=path, confirm="never") as agent:
        await agent.ask("get_server_info")
        run = await mock_engine.tracking.get_run(logged_model(mock_engine))
        for reference in (*run.logged_model_ids, *(f"models:/{one}" for one in run.logged_model_ids)):
            assert await agent.refusal("log_artifact", run=reference, path="MLmodel", content="flavors: {}")
        assert "protects" in await agent.refusal("log_artifact", run=run.run_id, path="model/MLmodel", content="x")


async def test_a_protected_tag_is_not_written_on_experiments_either(mock_engine: Engine, tmp_path: Path):
    """The policy says that this server never writes it."""
    async with guarded(mock_engine, tmp_path) as (agent, _):
        for tool, arguments in (
            ("create_experiment", {"name": "reviewed", "tags": {"reviewed": "yes"}}),
            ("update_experiment", {"experiment": "trained", "tags": {"Reviewed": "yes"}}),
        ):
            assert "protected by the promotion policy" in await agent.refusal(tool, **arguments)
