"""What a promotion leaves behind: its history, its policy, and an alias that never loses its version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.mlflow_integration.entities import ModelVersion
from mcp_server.mlflow_integration.operations.promotion_history import (
    Pointer,
    PromotionEvent,
    events_of,
    previous_version,
)
from mcp_server.promotion_policy import read_policy
from mcp_server.server import build_server
from mcp_server.settings import Settings
from tests.conftest import connect
from tests.faults import FaultyTransport

CHAMPION = Pointer(alias="champion")
REQUESTS_LIMIT = 30

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


async def test_a_policy_adds_its_gates_and_cannot_be_lowered(mock_engine: Engine, tmp_path: Path, logged_model: Any):
    """Whatever gates an agent asks for, those of the policy are added."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    async with connect(mock_engine, promotion_policy=policy) as agent:
        await agent.ask("get_server_info")
        await agent.ask("register_model", name="churn-eu", run=logged_model(mock_engine, accuracy=0.9))
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
        ("policies:\n  - modell: churn\n    gates: []\n", "'modell' is none of model, alias, stages, gates"),
        ("policies:\n  - model: churn\n    gates:\n      - accuracy > 1\n", "line 4: gates: The gate is malformed"),
        ("policies:\n  - model: churn\n    gates: metrics.a > 1\n", "line 3: gates: expected a list"),
        ("policies:\n  - model: churn\n    gates:\n      - 0.9\n", "line 4: gates: a gate is a sentence"),
        ("policies:\n  - model: churn\n    confirm: never\n", "line 3: confirm: expected 'always'"),
        ("policies:\n  - model: churn\n    gates: [metrics.a > 1]\n    gates: [metrics.a > 0]\n", "line 4: 'gates' is"),
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


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("pointer", [{"alias": "champion"}, {"stage": "Production"}], ids=["alias", "stage"])
@pytest.mark.parametrize("tool", ["promote_model", "rollback_model"])
async def test_a_server_that_dies_at_any_moment_leaves_the_alias_with_a_version(
    mock_engine: Engine, logged_model: Any, tool: str, pointer: dict[str, str], carried_out: bool
):
    """For every request of a promotion or rollback: the alias has one of two versions before and after."""
    async with connect(mock_engine, closes=False, confirm="never") as agent:
        await agent.ask("get_server_info")
        for accuracy in (0.7, 0.8, 0.9):
            await agent.ask("register_model", name="churn", run=logged_model(mock_engine, accuracy=accuracy))
    for n in range(1, REQUESTS_LIMIT):
        async with connect(mock_engine, closes=False, confirm="never") as agent:
            for version in (1, 2):
                await agent.ask("promote_model", name="churn", version=version, **pointer)
        transport = FaultyTransport(mock_engine.transports[0], n, carried_out=carried_out, for_good=True)
        dying = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
        arguments = {"version": 3} if tool == "promote_model" else {}
        async with connect(dying, confirm="never") as agent:
            result = await agent.client.call_tool(tool, {"name": "churn", **arguments, **pointer})
        current = await mock_engine.promotions.current_version("churn", Pointer(**pointer))
        assert current is not None
        assert current.version in ("2", "3" if tool == "promote_model" else "1")
        if transport.requests < n:
            assert not result.is_error
            return
    pytest.fail("one call sent more requests than any should")


async def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(mock_engine: Engine, logged_model: Any):
    """The loser's record is taken back, so the history holds only what happened."""
    async with connect(mock_engine, confirm="never") as agent:
        await agent.ask("get_server_info")
        for accuracy in (0.7, 0.8, 0.9):
            await agent.ask("register_model", name="churn", run=logged_model(mock_engine, accuracy=accuracy))
        await agent.ask("promote_model", name="churn", version=1)
        third = await mock_engine.registry.version("churn", "3")
        await agent.ask("promote_model", name="churn", version=2)
        with pytest.raises(Exception, match="Somebody moved alias 'champion' of 'churn' meanwhile"):
            await mock_engine.promotions.move(
                CHAMPION, third, from_version="1", kind="promotion", by="other", reason=""
            )
        model = await agent.ask("get_model", name="churn")
    assert model["aliases"] == {"champion": "2"}
    assert [row[3] for row in model["promotions"]["rows"]] == ["2", "1"]
