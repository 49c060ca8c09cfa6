"""Promotions whose answers are lost, that hang, or that meet another one: the answer is what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from mcp_server.errors import UnreachableError
from mcp_server.mlflow_integration.engine import Engine, engine_over
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer
from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from tests.conftest import connect
from tests.faults import FaultyTransport, Send, WrappedTransport
from tests.registry_world import registered

CHAMPION = Pointer(alias="champion")
MOVE = {
    "alias": ("registered-models/alias", CHAMPION, {}),
    "stage": ("model-versions/transition-stage", Pointer(stage="Production"), {"stage": "Production"}),
}
REQUESTS_LIMIT = 30

Hook = Callable[[], Awaitable[None]]


class HookedTransport(WrappedTransport):
    """Does something before or after the first request that moves an alias or stage, or loses its answer."""

    def __init__(
        self, wrapped: Transport, path: str, *, before: Hook | None = None, after: Hook | None = None, lost: str = ""
    ) -> None:
        super().__init__(wrapped)
        self._path = path
        self._before = before
        self._after = after
        self._lost = lost
        self.moves = 0

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        if method != "POST" or not path.endswith(self._path):
            return await send()
        self.moves += 1
        if self._before:
            await self._before()
        if self._lost == "before":
            raise UnreachableError("The connection was lost.")
        reply = await send()
        if self._after:
            await self._after()
        if self._lost == "after":
            raise UnreachableError("The connection was lost.")
        if self._lost == "hangs":
            await anyio.sleep_forever()
        return reply


async def two_versions(engine: Engine, what: str) -> None:
    """`churn` with three versions, the first of them current."""
    async with connect(engine, closes=False, confirm="never") as agent:
        await registered(agent, "churn", 0.7, 0.8, 0.9)
        await agent.ask("promote_model", name="churn", version=1, **MOVE[what][2])


@pytest.mark.parametrize("what", MOVE)
@pytest.mark.parametrize(("lost", "promoted"), [("after", True), ("hangs", True), ("before", False)])
async def test_a_lost_answer_is_answered_with_what_happened(mock_engine: Engine, what: str, lost: str, promoted: bool):
    """The alias is read again: promoted, or not moved; never an error about a move that happened."""
    path, pointer, arguments = MOVE[what]
    await two_versions(mock_engine, what)
    transport = HookedTransport(mock_engine.transports[0], path, lost=lost)
    losing = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
    async with connect(losing, closes=False, confirm="never", timeout_seconds=4.0) as agent:
        result = await agent.client.call_tool("promote_model", {"name": "churn", "version": "3", **arguments})
    async with connect(mock_engine, confirm="never") as agent:
        current = await mock_engine.promotions.current_version("churn", pointer)
        history = (await agent.ask("get_model", name="churn"))["promotions"]
    assert transport.moves == 1
    assert current is not None
    assert current.version == ("3" if promoted else "1")
    assert len(history["rows"]) == (2 if promoted else 1)
    if promoted:
        assert result.structured_content["promoted"] is True  # type: ignore[index]
    else:
        text = result.content[0].text  # type: ignore[union-attr]
        assert result.is_error
        assert f"Not moved: the {pointer} still points to version 1" in text
        assert "may have been carried out" not in text


@pytest.mark.parametrize("what", MOVE)
async def test_an_answer_lost_for_good_is_said_to_be_unknown(mock_engine: Engine, what: str):
    """When MLflow is gone, nobody can know; get_model shows it later."""
    path, _, arguments = MOVE[what]
    await two_versions(mock_engine, what)

    class Dying(HookedTransport):
        async def carry(self, method: Method, path: str, send: Send) -> Reply:
            if self.moves:
                raise UnreachableError("The connection was refused.")
            return await super().carry(method, path, send)

    transport = Dying(mock_engine.transports[0], path, lost="after")
    dying = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
    async with connect(dying, confirm="never") as agent:
        refused = await agent.refusal("promote_model", name="churn", version=3, **arguments)
    assert transport.moves == 1
    assert f"It is not known whether the {MOVE[what][1]} of 'churn' moved" in refused
    assert "get_model shows it" in refused


@pytest.mark.parametrize("what", MOVE)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_of_two_promotions_at_once_the_one_that_did_not_last_is_told(mock_engine: Engine, what: str, moment: str):
    """Another one between this one's read and write is overwritten; one between write and re-read wins."""
    path, pointer, arguments = MOVE[what]
    await two_versions(mock_engine, what)

    async def somebody_else() -> None:
        async with connect(mock_engine, closes=False, confirm="never") as other:
            await other.ask("promote_model", name="churn", version=2, **arguments)

    transport = HookedTransport(mock_engine.transports[0], path, **{moment: somebody_else})
    interleaved = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
    async with connect(interleaved, closes=False, confirm="never") as agent:
        result = await agent.client.call_tool("promote_model", {"name": "churn", "version": "3", **arguments})
    async with connect(mock_engine, confirm="never") as agent:
        current = await mock_engine.promotions.current_version("churn", pointer)
        history = (await agent.ask("get_model", name="churn"))["promotions"]
    assert transport.moves == 1
    assert current is not None
    recorded = [row[3] for row in history["rows"]]
    if moment == "after":
        assert result.is_error
        assert "it points to version 2 now" in result.content[0].text  # type: ignore[union-attr]
        assert (current.version, recorded) == ("2", ["2", "1"])
    else:
        assert result.structured_content["promoted"] is True  # type: ignore[index]
        assert (current.version, recorded) == ("3", ["2", "3", "1"])


async def test_a_promotion_that_another_one_overtook_before_it_began_changes_nothing(mock_engine: Engine):
    """The decision was made about another current version; the record is withdrawn."""
    async with connect(mock_engine, confirm="never") as agent:
        await registered(agent, "churn", 0.7, 0.8, 0.9)
        for version in (1, 2):
            await agent.ask("promote_model", name="churn", version=version)
        third = await mock_engine.registry.version("churn", "3")
        with pytest.raises(Exception, match="Somebody else moved alias 'champion' of 'churn' meanwhile"):
            await mock_engine.promotions.move(
                CHAMPION, third, from_version="1", kind="promotion", by="other", reason=""
            )
        model = await agent.ask("get_model", name="churn")
    assert model["aliases"] == {"champion": "2"}
    assert [row[3] for row in model["promotions"]["rows"]] == ["2", "1"]


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", MOVE)
@pytest.mark.parametrize("tool", ["promote_model", "rollback_model"])
async def test_a_server_that_dies_at_any_moment_leaves_the_alias_with_a_version(
    mock_engine: Engine, tool: str, what: str, carried_out: bool
):
    """For every request of a promotion or rollback: the alias has one of two versions before and after."""
    _, pointer, arguments = MOVE[what]
    async with connect(mock_engine, closes=False, confirm="never") as agent:
        await registered(agent, "churn", 0.7, 0.8, 0.9)
    for n in range(1, REQUESTS_LIMIT):
        async with connect(mock_engine, closes=False, confirm="never") as agent:
            for version in (1, 2):
                await agent.ask("promote_model", name="churn", version=version, **arguments)
        transport = FaultyTransport(mock_engine.transports[0], n, carried_out=carried_out, for_good=True)
        dying = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
        chosen = {"version": 3} if tool == "promote_model" else {}
        async with connect(dying, confirm="never") as agent:
            result = await agent.client.call_tool(tool, {"name": "churn", **chosen, **arguments})
        current = await mock_engine.promotions.current_version("churn", pointer)
        assert current is not None
        assert current.version in ("2", "3" if tool == "promote_model" else "1")
        if transport.requests < n:
            assert not result.is_error
            assert n > 5, "read, record, read, move and read again"
            return
        assert transport.lost >= 1
    pytest.fail("one call sent more requests than any should")
