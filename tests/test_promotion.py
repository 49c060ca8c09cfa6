"""What a promotion leaves behind: its history, its policy, and an alias that never loses its version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.entities import ModelVersion
from mcp_server.mlflow_integration.operations.models.promotion_history import (
    Pointer,
    PromotionEvent,
    events_of,
    previous_version,
)
from mcp_server.promotion_policy import read_policy
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.conftest import connect
from tests.registry_world import registered

CHAMPION = Pointer(alias="champion")

POLICY = """\
policies:
  - model: churn*
    alias: champion
    gates:
      - metrics.accuracy >= 0.85
      - tags.reviewed = 'yes'
"""


def event(version: str, before: str, kind: Any = "promotion", time: int = 0) -> PromotionEvent:
    return PromotionEvent(kind, "champion", version, before, time, "", "", ())


@pytest.mark.parametrize(
    ("events", "current", "before"),
    [
        ([], "1", ""),
        ([event("1", "")], "1", ""),
        ([event("2", "1")], "2", "1"),
        ([event("1", ""), event("2", "1"), event("3", "2")], "3", "2"),
        ([event("1", ""), event("2", "1"), event("3", "2"), event("2", "3", "rollback")], "2", "1"),
        ([event("1", ""), event("2", "1"), event("1", "2", "rollback")], "1", ""),
        # Promoted, rolled back, promoted again: the previous version is the same.
        ([event("2", "1"), event("1", "2", "rollback"), event("2", "1")], "2", "1"),
        # Recorded, but the process died before the alias moved.
        ([event("2", "1"), event("3", "2")], "2", "1"),
        ([event("2", "1"), event("3", "2"), event("4", "2")], "4", "2"),
        # Moved by somebody without this server: nothing is known of 9, and 9 is known to come before 4.
        ([event("2", "1")], "9", ""),
        ([event("2", "1"), event("4", "9")], "4", "9"),
    ],
)
def test_the_previous_version_is_known_from_the_record(events: list[PromotionEvent], current: str, before: str):
    """Whatever happened in between: rollbacks, deaths half way, moves by other hands."""
    assert previous_version(events, CHAMPION, current) == before


@given(st.lists(st.integers(1, 9).map(str), min_size=1, max_size=12, unique=True))
def test_as_many_rollbacks_as_promotions_lead_back_to_the_first(versions: list[str]):
    """Any chain of promotions is undone link by link."""
    pairs = zip(versions, ["", *versions], strict=False)
    events = [event(version, before) for version, before in pairs]
    current = versions[-1]
    for expected in reversed(versions[:-1]):
        found = previous_version(events, CHAMPION, current)
        assert found == expected
        events.append(event(found, current, "rollback"))
        current = found
    assert previous_version(events, CHAMPION, current) == ""


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=60), max_size=5))
def test_tags_that_are_no_records_are_no_history(tags: dict[str, str]):
    """Anybody can write tags; the reader of the history survives them."""
    hostile = {f"mcp.promotion.champion.{i}": text for i, text in enumerate(tags.values())}
    found = events_of(ModelVersion("churn", "1", tags={**tags, **hostile, "mcp.promotion.x.1": "[]"}))
    assert all(entry.version == "1" for entry in found)


async def test_a_policy_adds_its_gates_and_cannot_be_lowered(mock_engine: Engine, tmp_path: Path):
    """Whatever gates an agent asks for, those of the policy are added."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    async with connect(mock_engine, promotion_policy=policy) as agent:
        await registered(agent, "churn-eu", 0.9)
        held_back = await agent.ask("promote_model", name="churn-eu", version=1)
        weaker = await agent.ask("promote_model", name="churn-eu", version=1, gates=["metrics.accuracy > 0.5"])
        around = await agent.refusal("update_model", name="churn-eu", version=1, alias="champion")
        copied = await agent.ask("promote_model", name="churn-eu", version=1, to_model="churn-us")
        await agent.ask("update_model", name="churn-eu", version=1, tags={"reviewed": "yes"})
        stronger = await agent.ask("promote_model", name="churn-eu", version=1, gates=["metrics.accuracy > 0.89"])
        elsewhere = await agent.ask("promote_model", name="churn-eu", version=1, alias="challenger")
    assert held_back["promoted"] is False
    assert [row[:2] for row in held_back["gates"]["rows"]] == [
        ["metrics.accuracy >= 0.85", "passed"],
        ["tags.reviewed = 'yes'", "failed"],
    ]
    assert [row[1] for row in weaker["gates"]["rows"]] == ["passed", "failed", "passed"]
    assert "the promotion policy guards the alias 'champion' of 'churn-eu' (line 2, for churn*)" in around
    assert copied["promoted"] is False
    assert stronger["promoted"] is True
    assert len(stronger["gates"]["rows"]) == 3
    assert "gates" not in elsewhere


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("policies: [", "is not YAML"),
        ("", "there is no list 'policies'"),
        ("[]", "line 1: there is no list 'policies'"),
        ("policies: {}", "line 1: policies: expected a list"),
        ("policies:\n  - churn\n", "line 2: an entry is a mapping"),
        ("policies:\n  - model: churn\n", "line 2: an entry needs gates, confirm, protected_tags or protected_metrics"),
        ("policies:\n  - gates: [metrics.a > 1]\n", "line 2: an entry needs model"),
        ("policies:\n  - modell: churn\n    gates: []\n", "'modell' is not one of model, alias, stages, gates"),
        ("policies:\n  - model: churn\n    gates:\n      - accuracy > 1\n", "line 4: gates: The gate is malformed"),
        ("policies:\n  - model: churn\n    gates: metrics.a > 1\n", "line 3: gates: expected a list"),
        ("policies:\n  - model: churn\n    gates:\n      - 0.9\n", "line 4: gates: a gate is a sentence"),
        ("policies:\n  - model: churn\n    confirm: never\n", "line 3: confirm: expected 'always'"),
        ("policies:\n  - model: churn\n    gates: [a > 1]\n    gates: [a > 0]\n", "line 4: 'gates' appears twice"),
        ("polices:\n  - model: churn\n", "there is no list 'policies'"),
    ],
)
def test_a_policy_that_cannot_be_read_stops_the_start_with_its_line(tmp_path: Path, text: str, sentence: str):
    """A server that guards nothing because of a typing mistake must not start."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="MLFLOW_MCP_PROMOTION_POLICY") as caught:
        read_policy(path)
    assert sentence in str(caught.value)
    with pytest.raises(SettingsError):
        build_server(open_engine(Settings.load(mock_mode=True, promotion_policy=path)))


async def test_the_first_version_of_an_alias_is_let_in_once(engine: Engine, name: Any):
    """Asked about like a move, shown in the answer; without it a gate against the alias has nothing to compare with."""
    churn = name("churn")
    gates = ["metrics.accuracy > champion + 0.005"]
    async with connect(engine) as agent:
        await registered(agent, churn, 0.7, 0.6)
        missing = await agent.ask("promote_model", name=churn, version=1, gates=gates)
        asked = await agent.refusal("promote_model", name=churn, version=1, gates=gates, allow_first=True)
        first = await agent.ask(
            "promote_model", name=churn, version=1, gates=gates, allow_first=True, confirm_name=churn
        )
        again = await agent.ask("promote_model", name=churn, version=2, gates=gates, allow_first=True)
        await agent.ask("delete_model", name=churn, alias="champion", confirm_name=f"{churn} alias champion")
        after = await agent.ask("promote_model", name=churn, version=2, gates=gates, allow_first=True)
    row = dict(zip(missing["gates"]["columns"], missing["gates"]["rows"][0], strict=True))
    assert (missing["promoted"], row["result"]) == (False, "failed")
    assert row["reason"] == "nothing to compare with: no version has the alias champion"
    assert "allow_first=true lets the first version pass" in missing["hint"]
    assert f"Give alias 'champion' of model '{churn}' its first version, version 1, without a comparison?" in asked
    assert (first["promoted"], first["first_version"]) == (True, True)
    assert first["gates"]["rows"][0][-1] == "first version: nothing to compare with"
    assert (again["promoted"], again["gates"]["rows"][0][1]) == (False, "failed")
    assert (after["promoted"], "first_version" in after) == (False, False)


async def test_allow_first_is_for_the_alias_that_moves(mock_engine: Engine):
    """A comparison with an alias that never had a version does not pass for one that has a version."""
    async with connect(mock_engine, confirm="never") as agent:
        await registered(agent, "churn", 0.7, 0.6)
        await agent.ask("promote_model", name="churn", version=1)
        gates = ["metrics.accuracy > prod"]
        refused = await agent.ask("promote_model", name="churn", version=2, gates=gates, allow_first=True)
        other = await agent.ask("promote_model", name="churn", version=2, alias="new", gates=gates, allow_first=True)
        failed = await agent.ask(
            "promote_model",
            name="churn",
            version=2,
            alias="third",
            gates=["metrics.accuracy > third", "metrics.accuracy > 0.65"],
            allow_first=True,
        )
    assert refused["promoted"] is False
    assert (other["promoted"], other["first_version"]) == (True, True)
    assert [row[1] for row in failed["gates"]["rows"]] == ["passed", "failed"]
    assert failed["promoted"] is False


async def test_a_gate_names_the_alias_it_means(engine: Engine, name: Any):
    """Whatever alias is being moved: `champion` is the one called champion, `prod` the one called prod."""
    churn = name("churn")
    async with connect(engine, confirm="never") as agent:
        await registered(agent, churn, 0.7, 0.9, 0.8)
        await agent.ask("promote_model", name=churn, version=1)
        await agent.ask("promote_model", name=churn, version=2, alias="prod-eu")
        gates = ["metrics.accuracy > champion + 0.005", "metrics.accuracy > PROD-eu - 1%"]
        answer = await agent.ask("promote_model", name=churn, version=3, alias="challenger", gates=gates)
        passed = await agent.ask("promote_model", name=churn, version=3, alias="challenger", gates=gates[:1])
    assert [row[1:4] for row in answer["gates"]["rows"]] == [
        ["passed", "0.8", "> 0.705"],
        ["failed", "0.8", "> 0.891"],
    ]
    assert (answer["promoted"], passed["promoted"]) == (False, True)


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        ("alias: champion", {"champion", "Production"}),
        ("alias: Champion", {"champion", "Production"}),
        ("alias: champion\n    stages: []", {"champion"}),
        ("alias: champion\n    stages: [Staging]", {"champion", "Staging"}),
        ("alias: Production", {"champion", "Production"}),
        ("alias: challenger", {"challenger", "Staging"}),
        ("alias: [champion, prod]", {"champion", "prod", "Production"}),
        ("alias: ch*", {"champion", "challenger", "Production", "Staging"}),
        ("model: CHURN*", {"champion", "challenger", "prod", "Production", "Staging"}),
        ("model: [fraud, price]", set()),
    ],
)
def test_what_a_rule_covers(tmp_path: Path, rule: str, covered: set[str]):
    """A stage counts as the alias that takes its place unless the rule says otherwise; case does not count."""
    path = tmp_path / "policy.yaml"
    model = "" if rule.startswith("model") else "model: churn*\n    "
    path.write_text(f"policies:\n  - {model}{rule}\n    gates: [metrics.accuracy > 0]\n")
    policy = read_policy(path)
    pointers = [Pointer(alias=alias) for alias in ("champion", "challenger", "prod")]
    pointers += [Pointer(stage=stage) for stage in ("Production", "Staging")]
    assert {pointer.name for pointer in pointers if policy.gates_for("Churn-EU", pointer)} == covered
