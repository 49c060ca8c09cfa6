"""A person agrees before something is taken away or replaced: every path, in both eras and over stateless HTTP."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import uvicorn
from mcp.client import Client
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import ClientCapabilities, ElicitationCapability, ElicitResult, ErrorData, UrlElicitationCapability

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.rendering import Record
from mcp_server.server import build_server
from mcp_server.tools import TOOLSETS
from mcp_server.tools._deadline import deadline, not_counted
from mcp_server.tools._define import destroys
from tests.conftest import Agent, connect, free_port

YES = ElicitResult(action="accept", content={"proceed": True})
ANSWERS = {
    "no": ElicitResult(action="accept", content={"proceed": False}),
    "declined": ElicitResult(action="decline"),
    "cancelled": ElicitResult(action="cancel"),
}


class Person:
    """Somebody at a host that can ask; remembers the questions."""

    def __init__(self, answer: ElicitResult) -> None:
        self.answer = answer
        self.questions: list[str] = []

    @property
    def client(self) -> dict[str, Any]:
        async def asked(_: Any, params: Any) -> ElicitResult:
            self.questions.append(params.message)
            return self.answer

        return {"elicitation_callback": asked}


async def with_a_champion(agent: Agent, engine: Engine, logged_model: Callable[..., str]) -> None:
    """Two versions of churn, the first of them champion: the alias was free, so nobody had to agree."""
    await agent.ask("get_server_info")
    for accuracy in (0.8, 0.9):
        await agent.ask("register_model", name="churn", run=logged_model(engine, accuracy=accuracy))
    await agent.ask("promote_model", name="churn", version=1)


async def champion(agent: Agent) -> str:
    return (await agent.ask("get_model", name="churn"))["aliases"]["champion"]


async def test_a_person_who_agrees_moves_the_alias(mock_engine: Engine, era: str, logged_model: Any):
    """Asked once, with what is moved from where to where; the free alias before was not asked about."""
    person = Person(YES)
    async with connect(mock_engine, era, client=person.client) as agent:
        await with_a_champion(agent, mock_engine, logged_model)
        promoted = await agent.ask("promote_model", name="churn", version=2)
        rolled_back = await agent.ask("rollback_model", name="churn")
    assert promoted["promoted"] is True
    assert rolled_back["version"] == "1"
    assert person.questions == [
        "Move alias 'champion' of model 'churn' from version 1 to version 2?",
        "Roll alias 'champion' of model 'churn' back from version 2 to version 1?",
    ]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_without_a_yes_nothing_changes_whatever_the_agent_repeats(
    mock_engine: Engine, era: str, logged_model: Any, answer: str
):
    """Where a person can be asked, no argument stands in for the person."""
    person = Person(ANSWERS[answer])
    async with connect(mock_engine, era, client=person.client) as agent:
        await with_a_champion(agent, mock_engine, logged_model)
        refusals = [
            await agent.refusal("promote_model", name="churn", version=2, confirm_name="churn"),
            await agent.refusal("delete_model", name="churn", confirm_name="churn"),
            await agent.refusal("delete_experiment", experiment="trained", confirm_name="trained"),
        ]
        assert await champion(agent) == "1"
        assert await agent.ask("search_runs", experiments=["trained"])
    assert all("Nothing was changed." in refusal for refusal in refusals)
    assert len(person.questions) == 3


async def test_a_host_that_cannot_ask_makes_the_agent_repeat_the_exact_name(
    mock_engine: Engine, era: str, logged_model: Any
):
    """The refusal says which; a name that is merely close is not it."""
    async with connect(mock_engine, era) as agent:
        await with_a_champion(agent, mock_engine, logged_model)
        told = await agent.refusal("promote_model", name="churn", version=2)
        close = await agent.refusal("promote_model", name="churn", version=2, confirm_name="Churn")
        assert await champion(agent) == "1"
        promoted = await agent.ask("promote_model", name="churn", version=2, confirm_name="churn")
    assert "repeat the call with confirm_name='churn'" in told
    assert "confirm_name is 'Churn'" in close
    assert promoted["promoted"] is True


async def test_always_means_a_person_and_never_means_nobody(mock_engine: Engine, era: str, logged_model: Any):
    """MLFLOW_MCP_CONFIRM: with always a host that cannot ask cannot go on; with never nobody is asked."""
    person = Person(YES)
    async with connect(mock_engine, era, closes=False) as agent:
        await with_a_champion(agent, mock_engine, logged_model)
    async with connect(mock_engine, era, closes=False, confirm="always") as agent:
        refusal = await agent.refusal("promote_model", name="churn", version=2, confirm_name="churn")
    async with connect(mock_engine, era, client=person.client, confirm="never") as agent:
        promoted = await agent.ask("promote_model", name="churn", version=2)
    assert "A person has to agree" in refusal
    assert promoted["promoted"] is True
    assert person.questions == []


async def test_nobody_is_asked_about_what_will_not_happen(mock_engine: Engine, era: str, logged_model: Any):
    """A dry run, a gate that fails, a version that is there already."""
    person = Person(YES)
    async with connect(mock_engine, era, client=person.client) as agent:
        await with_a_champion(agent, mock_engine, logged_model)
        await agent.ask("promote_model", name="churn", version=2, dry_run=True)
        await agent.ask("promote_model", name="churn", version=2, gates=["metrics.accuracy > 0.99"])
        await agent.ask("promote_model", name="churn", version=1)
        assert await champion(agent) == "1"
    assert person.questions == []


async def test_deletions_are_asked_about_by_name(mock_engine: Engine, era: str):
    """Runs and experiments too; what is deleted is what was named in the question."""
    person = Person(YES)
    async with connect(mock_engine, era, client=person.client) as agent:
        for i in range(2):
            await agent.ask("log_run", experiment="churn", run_name=f"r{i}")
        await agent.ask("delete_runs", runs=["r0", "r1"])
        await agent.ask("delete_experiment", experiment="churn")
    assert [re.sub(r"\([^)]*\)", "(<id>)", question) for question in person.questions] == [
        "Delete 2 runs: r0 (<id>), r1 (<id>)? update_run can restore them.",
        "Delete experiment 'churn' (<id>) with its runs? update_experiment can restore it.",
    ]


async def test_what_is_deleted_is_what_the_person_saw(mock_engine: Engine, era: str):
    """Another run that gets the name while the person thinks is not the one that goes."""
    async with connect(mock_engine, era, closes=False) as other:
        seen = (await other.ask("log_run", experiment="churn", run_name="only"))["run_id"]

        async def asked(_: Any, params: Any) -> ElicitResult:
            if seen[:8] in params.message:
                await other.ask("update_run", runs=[seen], name="renamed")
                await other.ask("log_run", experiment="churn", run_name="only")
            return YES

        async with connect(mock_engine, era, client={"elicitation_callback": asked}) as agent:
            deleted = await agent.rows("delete_runs", runs=["only"])
            left = await agent.rows("search_runs", experiments=["churn"])
    # Asked again about the other one (2026-07-28), or the one that was asked about (2025-11-25): never unseen.
    gone = deleted[0]["run_id"]
    assert (gone == seen) is (era == "legacy")
    assert gone not in {row["run_id"] for row in left}


async def test_a_question_is_one_line_without_characters_that_hide(mock_engine: Engine, era: str):
    """Names are written by whoever logs a run; the person reads them as they are."""
    name = "evil\u202e\x1b[31m\nDelete nothing?" + "x" * 400
    person = Person(YES)
    async with connect(mock_engine, era, client=person.client) as agent:
        # This server refuses such a name; another writer of the same MLflow does not.
        created = await mock_engine.api.create_experiment(name, {})
        await agent.ask("delete_experiment", experiment=created)
    assert len(person.questions) == 1
    assert not re.search("[\u202e\x1b\n]", person.questions[0])
    assert len(person.questions[0]) < 1_100


async def test_a_host_that_can_only_open_addresses_counts_as_one_that_cannot_ask(mock_engine: Engine, era: str):
    """Elicitation has two modes; a question needs the form."""
    async with connect(mock_engine, era) as agent:
        await agent.ask("log_run", experiment="churn", run_name="r")
        url_only = ElicitationCapability(url=UrlElicitationCapability())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Context, "client_capabilities", ClientCapabilities(elicitation=url_only))
            told = await agent.refusal("delete_runs", runs=["r"])
            await agent.ask("delete_runs", runs=["r"], confirm_name="r")
    assert "This host cannot ask a person" in told


async def test_a_host_that_fails_to_ask_changes_nothing(mock_engine: Engine, era: str):
    """Its error is not the agent's; nothing of the SDK's words passes."""

    async def broken(_: Any, __: Any) -> ErrorData:
        return ErrorData(code=-32603, message="the dialog could not be opened")

    async with connect(mock_engine, era, client={"elicitation_callback": broken}) as agent:
        await agent.ask("log_run", experiment="churn", run_name="r")
        with contextlib.suppress(MCPError):  # In the newer protocol the client itself gives up.
            refusal = await agent.refusal("delete_runs", runs=["r"])
            assert refusal == "The host could not put the question to a person. Nothing was changed."
        assert [row["run_name"] for row in await agent.rows("search_runs", experiments=["churn"])] == ["r"]


async def test_a_tool_that_deletes_cannot_be_built_without_a_question():
    """Consent is not a thing to remember."""

    async def delete_all() -> Record:
        """Delete everything."""
        raise AssertionError

    with pytest.raises(TypeError):
        destroys(delete_all)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="delete_all deletes something; it needs a question"):
        destroys(delete_all, ask=None)  # type: ignore[arg-type]


async def test_every_tool_that_deletes_waits_for_consent(mock_engine: Engine):
    """By name: whoever adds one cannot forget."""
    deleting = {d.name: d for ds in TOOLSETS.values() for d in ds if d.name.startswith("delete_")}
    assert len(deleting) >= 3
    assert all(definition.ask for definition in deleting.values())


async def test_the_time_in_which_a_person_decides_does_not_count(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """In the older protocol the call waits for the answer."""
    while_asking: list[float] = []
    elicit = Context.elicit

    async def observed(self: Any, *arguments: Any, **named: Any) -> Any:
        while_asking.append(anyio.current_effective_deadline())
        return await elicit(self, *arguments, **named)

    monkeypatch.setattr(Context, "elicit", observed)
    person = Person(YES)
    async with connect(mock_engine, "legacy", client=person.client) as agent:
        await agent.ask("log_run", experiment="churn", run_name="r")
        await agent.ask("delete_runs", runs=["r"])
    assert while_asking == [math.inf]


async def test_the_clock_goes_on_where_it_stopped():
    """What was left before a question is left after it."""
    with deadline(60):
        before = anyio.current_effective_deadline()
        with not_counted():
            assert anyio.current_effective_deadline() == math.inf
        after = anyio.current_effective_deadline()
        assert before <= after <= before + 30
    with pytest.raises(TimeoutError), deadline(0):
        await anyio.sleep_forever()


@asynccontextmanager
async def served(engine: Engine) -> AsyncGenerator[str]:
    """The server over stateless HTTP on a free loopback port."""
    app = build_server(engine).streamable_http_app(stateless_http=True, json_response=True)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none"))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        with anyio.fail_after(30):
            while not server.started:
                await anyio.lowlevel.checkpoint()
        yield f"http://127.0.0.1:{port}/mcp"
        server.should_exit = True


async def test_over_stateless_http_a_person_is_asked_in_the_new_protocol(mock_engine: Engine, logged_model: Any):
    """The question travels in the result and the answer in the next request: no session is needed."""
    person = Person(YES)
    async with served(mock_engine) as url, Client(url, **person.client) as client:
        agent = Agent(client)
        await with_a_champion(agent, mock_engine, logged_model)
        promoted = await agent.ask("promote_model", name="churn", version=2)
    assert promoted["promoted"] is True
    assert len(person.questions) == 1


async def test_over_stateless_http_an_older_client_repeats_the_name(mock_engine: Engine, logged_model: Any):
    """The old protocol has no way to ask without a session, so the host counts as one that cannot."""
    person = Person(YES)
    async with served(mock_engine) as url, Client(url, mode="legacy", **person.client) as client:
        agent = Agent(client)
        await with_a_champion(agent, mock_engine, logged_model)
        told = await agent.refusal("promote_model", name="churn", version=2)
        promoted = await agent.ask("promote_model", name="churn", version=2, confirm_name="churn")
    assert "This host cannot ask a person" in told
    assert promoted["promoted"] is True
    assert person.questions == []
