"""Several trackers on one server: every call works with one, and nothing of it reaches another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import ResourceTemplateReference

from mcp_server import redaction
from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.rest.http_transport import HttpTransport
from mcp_server.mlflow_integration.rest.plugin_transport import PluginTransport
from mcp_server.redaction import redact
from mcp_server.server import build_server
from mcp_server.settings import Settings
from mcp_server.tracker_settings import settings_by_tracker
from mcp_server.trackers import Trackers, open_trackers
from tests.conftest import Agent
from tests.test_cli import run
from tests.test_confirmation import YES, Person
from tests.test_http_transport import LittleServer, reply, serving

ADDRESSES = "dev=http://127.0.0.1:9,prod=http://127.0.0.2:9"
"""Where nothing is asked."""
WORDS = "MLFLOW_MCP_TRACKER_"


@asynccontextmanager
async def connected(
    trackers: str, era: str = "auto", *, client: Any = None, **settings: Any
) -> AsyncGenerator[tuple[Agent, Trackers]]:
    """An agent at a server with these trackers."""
    opened = open_trackers(Settings.load(trackers=trackers, **settings))
    try:
        async with Client(build_server(opened), mode=era, **(client or {})) as connection:
            yield Agent(connection), opened
    finally:
        await opened.aclose()
        opened.close()


@pytest.fixture
def two(mlflow_server: str) -> str:
    """A private store and a real server; the private one is the default."""
    return f"dev=mock,prod={mlflow_server}"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables of trackers."""

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(WORDS + name, value)

    return set_variables


async def test_each_tracker_answers_with_what_it_holds_and_parallel_calls_do_not_mix(
    two: str, name: Callable[..., str]
):
    """One experiment name, one run name, one model name; other ids, values and contents."""
    experiment = name("churn")
    found: list[tuple[str, str, float]] = []
    async with connected(two) as (agent, _):
        runs = {}
        for tracker, accuracy in (("dev", 0.25), ("prod", 0.75)):
            if tracker == "prod":  # So that the two have other ids.
                await agent.ask("create_experiment", name=name("other"), tracker=tracker)
            logged = await agent.ask(
                "log_run", experiment=experiment, run_name="one", metrics={"accuracy": accuracy}, tracker=tracker
            )
            runs[tracker] = logged["run_id"]

        async def read(tool: str, tracker: str) -> None:
            if tool == "search_runs":
                (row,) = await agent.rows(tool, experiments=[experiment], tracker=tracker)
                found.append((tracker, row["run_id"], row["metrics.accuracy"]))
            else:
                record = await agent.ask(tool, run="one", tracker=tracker)
                found.append((tracker, record["run_id"], record["metrics"]["accuracy"]))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                for tool in ("search_runs", "get_run"):
                    for tracker in ("dev", "prod"):
                        group.start_soon(read, tool, tracker)
        default = await agent.rows("search_runs", experiments=[experiment])
    assert len(found) == 40
    assert set(found) == {("dev", runs["dev"], 0.25), ("prod", runs["prod"], 0.75)}
    assert [row["run_id"] for row in default] == [runs["dev"]]


async def test_the_argument_appears_in_every_tool_and_only_with_several_trackers():
    """Otherwise the list is what it always was."""
    lists: dict[str, dict[str, Any]] = {}
    for trackers in ("", "only=http://127.0.0.1:9", ADDRESSES):
        async with connected(trackers, toolsets="all", tracking_uri="http://127.0.0.1:9") as (agent, _):
            tools = (await agent.client.list_tools()).tools
        lists[trackers] = {tool.name: tool.model_dump(mode="json", by_alias=True) for tool in tools}
    one, alone, several = lists.values()
    assert alone == one
    for tool in one.values():
        properties = several[tool["name"]]["inputSchema"]["properties"]
        argument = properties.pop("tracker")
        assert (argument["enum"], argument["default"]) == (["dev", "prod"], "dev")
        assert several[tool["name"]] == tool
    assert set(several) - set(one) == {"copy_model"}
    assert "tracker" not in several["copy_model"]["inputSchema"]["properties"]


@pytest.mark.parametrize(
    "given",
    [
        *({"tracker": name} for name in ("prod", "PROD", ["prod"], " prod ")),
        {"Tracker": "prod"},
        {"trackerName": "prod"},
        {"arguments": {"tracker": "prod"}},
        {"input": '{"trackers": "prod"}'},
    ],
    ids=str,
)
async def test_the_tracker_of_a_call_is_found_in_the_forms_that_clients_send(given: Any):
    """Whatever the schema accepts is what is called: never the default by mistake."""
    async with serving(reply(404)) as dev, serving(reply(200, b'{"experiments": []}')) as prod:
        async with connected(f"dev={dev.url},prod={prod.url}") as (agent, _):
            await agent.ask("search_experiments", **given)
        assert (len(dev.asked), len(prod.asked)) == (0, 1)


@pytest.mark.parametrize("given", ["prd", ["prod", "dev"], {"prod": 1}, 7])
async def test_a_tracker_that_does_not_exist_is_refused_and_nothing_is_asked(given: Any):
    """A call for production must not work on the default by accident."""
    async with serving(reply(200)) as dev, serving(reply(200)) as prod:
        async with connected(f"dev={dev.url},prod={prod.url}") as (agent, _):
            refusal = await agent.refusal("search_experiments", tracker=given)
        assert "'tracker'" in refusal and "'dev' or 'prod'" in refusal
        assert (dev.asked, prod.asked) == ([], [])


async def test_read_only_is_a_matter_of_each_tracker(own: Callable[..., None]):
    """The tool is there for the other one; with all of them read-only it is gone."""
    own(PROD_READ_ONLY="true")
    async with serving(reply(200, b'{"experiment_id": "7"}')) as dev, serving(reply(200)) as prod:
        async with connected(f"dev={dev.url},prod={prod.url}") as (agent, _):
            refusal = await agent.refusal("create_experiment", name="churn", tracker="prod")
            await agent.client.call_tool("create_experiment", {"name": "churn"})
        assert prod.asked == []
        assert any(asked.target.endswith("experiments/create") for asked in dev.asked)
    assert refusal == (
        "Tracker 'prod' is read-only (MLFLOW_MCP_TRACKER_PROD_READ_ONLY), so create_experiment is refused there."
    )
    own(DEV_READ_ONLY="true")
    async with connected(ADDRESSES) as (agent, _):
        with pytest.raises(MCPError, match="read-only"):
            await agent.client.call_tool("create_experiment", {"name": "churn", "tracker": "dev"})


def test_a_general_read_only_holds_for_every_tracker(own: Callable[..., None]):
    """No tracker opens what the person closed."""
    own(DEV_READ_ONLY="false")
    both = settings_by_tracker(Settings.load(trackers=ADDRESSES, read_only=True))
    assert [settings.read_only for settings in both.values()] == [True, True]


async def test_each_tracker_has_its_own_policy(two: str, own: Callable[..., None], tmp_path: Path, name: Any):
    """The file of one does not bind the other; without one of its own the general file holds."""
    for who, tag in (("prod", "reviewed"), ("general", "audited")):
        (tmp_path / who).write_text(f"policies:\n  - model: '*'\n    protected_tags: [{tag}]\n")
    own(PROD_PROMOTION_POLICY=str(tmp_path / "prod"))
    allowed: dict[tuple[str, str], bool] = {}
    async with connected(two, promotion_policy=tmp_path / "general") as (agent, _):
        for tracker in ("dev", "prod"):
            for tag in ("reviewed", "audited"):
                arguments = {"experiment": name("e"), "tags": {tag: "yes"}, "tracker": tracker}
                result = await agent.client.call_tool("log_run", arguments)
                allowed[tracker, tag] = not result.is_error
    assert allowed == {
        ("dev", "reviewed"): True,
        ("dev", "audited"): False,
        ("prod", "reviewed"): False,
        ("prod", "audited"): True,
    }


# Credentials


def authorizations(server: LittleServer) -> set[str]:
    return {asked.headers.get("authorization", "") for asked in server.asked}


async def test_every_tracker_gets_its_own_credentials_and_no_others(
    own: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The general ones go to the default tracker; those of MLflow's own file and of a plugin nowhere else either."""
    stored = tmp_path / "credentials"
    stored.write_text("[mlflow]\nmlflow_tracking_username = filed\nmlflow_tracking_password = filed-password\n")
    monkeypatch.setattr("mcp_server.mlflow_integration.rest.credentials.CREDENTIALS_FILE", str(stored))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "general-token")
    monkeypatch.setenv("MLFLOW_WORKSPACE", "general-workspace")
    own(PROD_TOKEN="prod-token", TEST_WORKSPACE="test-workspace")
    empty = reply(200, b'{"experiments": []}')
    async with serving(empty) as dev, serving(empty) as prod, serving(empty) as test:
        async with connected(f"dev={dev.url},prod={prod.url},test={test.url}") as (agent, _):
            for tracker in ("dev", "prod", "test"):
                await agent.ask("search_experiments", tracker=tracker)
                await agent.client.call_tool("log_run", {"experiment": "churn", "tracker": tracker})
            await agent.ask("get_server_info")
        assert authorizations(dev) == {"Bearer general-token"}
        assert authorizations(prod) == {"Bearer prod-token"}
        assert authorizations(test) == {""}
        workspaces = [server.asked[0].headers.get("x-mlflow-workspace") for server in (dev, prod, test)]
        assert workspaces == ["general-workspace", None, "test-workspace"]


def test_a_sign_in_of_mlflows_client_is_for_the_default_tracker(monkeypatch: pytest.MonkeyPatch):
    """AWS SigV4 and authentication plugins sign with what the environment holds."""
    monkeypatch.setenv("MLFLOW_TRACKING_AWS_SIGV4", "true")
    opened = open_trackers(Settings.load(trackers=ADDRESSES))
    kinds = {tracker.name: type(tracker.engine.transports[0]) for tracker in opened.all}
    assert kinds == {"dev": PluginTransport, "prod": HttpTransport}


async def test_the_general_credentials_go_to_the_tracker_at_the_general_address(monkeypatch: pytest.MonkeyPatch):
    """MLFLOW_TRACKING_URI says which tracker is the default, wherever it stands in the list."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "general-token")
    empty = reply(200, b'{"experiments": []}')
    async with serving(empty) as dev, serving(empty) as prod:
        trackers = f"dev={dev.url},prod={prod.url}"
        async with connected(trackers, tracking_uri=f"{prod.url}/") as (agent, opened):
            await agent.ask("search_experiments")
            await agent.ask("search_experiments", tracker="dev")
            assert opened.names == ("prod", "dev")
        assert authorizations(prod) == {"Bearer general-token"}
        assert authorizations(dev) == {""}


def test_a_login_of_its_own_is_not_mixed_with_the_general_one(own: Callable[..., None], monkeypatch: Any):
    """A token beside the general user name would send the user name's password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "general-password")
    own(DEV_TOKEN="dev-token")
    dev = settings_by_tracker(Settings.load(trackers=ADDRESSES))["dev"]
    assert (dev.username, dev.password.get_secret_value(), dev.token.get_secret_value()) == ("", "", "dev-token")


@pytest.fixture
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_known", set())
    redaction._pattern.cache_clear()
    yield
    redaction._pattern.cache_clear()


@pytest.mark.usefixtures("_forget")
def test_the_secrets_of_every_tracker_are_known(own: Callable[..., None]):
    """Of the addresses and of the variables, sent or not."""
    own(DEV_PASSWORD="dev-canary", PROD_TOKEN="prod-canary")
    open_trackers(Settings.load(trackers="dev=http://127.0.0.1:9,prod=http://ann:uri-canary@127.0.0.1:9")).close()
    assert redact("dev-canary prod-canary uri-canary") == "*** *** ***"


async def test_errors_name_the_variables_of_the_tracker():
    """The general variable would not reach it."""
    async with (
        serving(reply(401)) as dev,
        serving(reply(401)) as prod,
        connected(f"dev={dev.url},prod={prod.url}") as (agent, _),
    ):
        refusal = await agent.refusal("search_experiments", tracker="prod")
        info = await agent.ask("get_server_info")
        with pytest.raises(MCPError) as raised:
            await agent.client.read_resource("mlflow://prod/experiments/1")
    wanted = "Set MLFLOW_MCP_TRACKER_PROD_USERNAME and MLFLOW_MCP_TRACKER_PROD_PASSWORD"
    assert wanted in refusal and "MLFLOW_TRACKING_TOKEN" not in refusal
    assert wanted in str(raised.value)
    table = info["trackers"]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert wanted in rows["prod"]["problem"]
    assert (rows["dev"]["default"], rows["prod"]["default"], rows["dev"]["answers"]) == (True, False, False)


# What belongs to one tracker


async def test_page_tokens_and_links_of_one_tracker_are_refused_by_another(two: str, name: Callable[..., str]):
    """An id or a place in one answer means something else, or nothing, in the other MLflow."""
    async with connected(two) as (agent, opened):
        for tracker in opened.names:
            for number in range(3):
                await agent.ask("create_experiment", name=name(f"e{number}"), tracker=tracker)
        page = await agent.ask("search_experiments", max_results=2, tracker="prod")
        token = page["next_page_token"]
        rest = await agent.ask("search_experiments", max_results=2, tracker="prod", page_token=token)
        refusals = [
            await agent.refusal("search_experiments", max_results=2, page_token=token),
            await agent.refusal("search_experiments", max_results=2, page_token=token.partition("@")[2]),
        ]
        link = f"{opened.get('prod').engine.location.ui_url}/#/experiments/1"
        refusals.append(await agent.refusal("search_runs", experiments=[link]))
        text = await agent.text("search_experiments", max_results=2, tracker="prod")
    assert token in text
    assert {row[0] for row in page["rows"]} & {row[0] for row in rest["rows"]} == set()
    assert refusals == [
        "page_token belongs to tracker 'prod'. Give tracker='prod' with it.",
        "page_token is not one of this server's. Give next_page_token of the previous page, unchanged, "
        "or leave it out.",
        "Argument 'experiments' is a link of tracker 'prod'. Give tracker='prod' with it.",
    ]


async def test_resources_links_completions_and_announcements_name_the_tracker(two: str, name: Callable[..., str]):
    """An address that says which tracker cannot show what another has."""
    experiment = name("churn")
    async with connected(two) as (agent, _):
        ids = {}
        for tracker in ("dev", "prod"):
            logged = await agent.ask(
                "log_run",
                experiment=experiment,
                run_name=tracker,
                artifacts={"big.log": f"{tracker} line\n" * 20_000},
                tracker=tracker,
            )
            ids[tracker] = logged["run_id"]
        templates = (await agent.client.list_resource_templates()).resource_templates
        read = await agent.client.call_tool("read_artifact", {"run": ids["prod"], "path": "big.log", "tracker": "prod"})
        link = str(read.content[-1].uri)  # type: ignore[union-attr]
        (content,) = (await agent.client.read_resource(link)).contents
        (info,) = (await agent.client.read_resource("mlflow://prod/server")).contents
        with pytest.raises(MCPError):
            await agent.client.read_resource(f"mlflow://dev/runs/{ids['prod']}")
        completed = await agent.client.complete(
            ResourceTemplateReference(uri="mlflow://prod/runs/{run_id}"), {"name": "run_id", "value": ids["prod"][:6]}
        )
        wanted = [f"mlflow://{tracker}/runs/{ids['prod']}" for tracker in ("dev", "prod")]
        async with agent.client.listen(resource_subscriptions=wanted) as events:
            await agent.ask("log_to_run", run=ids["prod"], metrics={"accuracy": 0.95}, tracker="prod")
            with anyio.fail_after(10):
                event = await anext(aiter(events))
    assert {str(one.uri_template).split("/")[2] for one in templates} == {"dev", "prod"}
    assert link == f"mlflow://prod/runs/{ids['prod']}/artifacts/big.log"
    assert content.text.startswith("prod line")  # type: ignore[union-attr]
    assert json.loads(info.text)["tracker"] == "prod"  # type: ignore[union-attr]
    assert completed.completion.values[0] == ids["prod"]
    assert str(event.uri) == wanted[1]


async def test_questions_and_their_answers_are_about_one_tracker(two: str, era: str, name: Callable[..., str]):
    """What a person or the agent agrees to on one tracker deletes nothing on the other."""
    experiment = name("churn")
    person = Person(YES)
    async with connected(two, era) as (agent, _):
        for tracker in ("dev", "prod"):
            await agent.ask("create_experiment", name=experiment, tracker=tracker)
        asked = await agent.refusal("delete_experiment", experiment=experiment, tracker="prod")
        forgotten = await agent.refusal(
            "delete_experiment", experiment=experiment, confirm_name=f"{experiment} on prod"
        )
        await agent.ask(
            "delete_experiment", experiment=experiment, confirm_name=f"{experiment} on prod", tracker="prod"
        )
        left = await agent.rows("search_experiments", name_contains=experiment)
    assert f"confirm_name='{experiment} on prod'" in asked
    assert asked.startswith("On tracker prod: ") and forgotten.startswith("On tracker dev: ")
    assert len(left) == 1
    async with connected(two, era, client=person.client) as (agent, _):
        await agent.ask("create_experiment", name=experiment)
        await agent.ask("delete_experiment", experiment=experiment)
    assert [question.partition(":")[0] for question in person.questions] == ["On tracker dev"]


async def test_the_audit_log_names_the_tracker(tmp_path: Path):
    """As chosen, whether it was named or is the default."""
    path = tmp_path / "audit.jsonl"
    async with connected(ADDRESSES, audit_log=path) as (agent, _):
        await agent.refusal("search_experiments", tracker="prod", max_results="many")
        await agent.refusal("search_experiments", max_results="many")
    assert [json.loads(line)["tracker"] for line in path.read_text().splitlines()] == ["prod", "dev"]


async def test_the_overview_does_not_wait_for_a_tracker_that_hangs(monkeypatch: pytest.MonkeyPatch):
    """It says so of that one, and answers for the others."""

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("mcp_server.tools.server.OTHERS_SECONDS", 0.1)
    async with (
        serving(hang) as prod,
        connected(f"dev=mock,prod={prod.url}") as (agent, _),
    ):
        info = await agent.ask("get_server_info")
    table = info["trackers"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [row["answers"] for row in rows] == [True, False]
    assert rows[1]["problem"] == "It did not answer within 0.1 s."


async def test_a_tracker_that_does_not_answer_leaves_the_others_alone():
    """Its failures do not open the circuit of the other."""
    async with (
        serving(reply(200, b'{"experiments": []}')) as prod,
        connected(f"dev=http://127.0.0.1:9,prod={prod.url}") as (agent, _),
    ):
        for _ in range(5):
            await agent.refusal("search_experiments")
        for _ in range(5):
            await agent.ask("search_experiments", tracker="prod")


# Settings


@pytest.mark.parametrize(
    ("trackers", "variables", "sentence"),
    [
        ("dev", {}, "Entry 1 of MLFLOW_MCP_TRACKERS is not name=address"),
        ("dev=http://a,http://ann:canary@b", {}, "Entry 2 of MLFLOW_MCP_TRACKERS is not name=address"),
        ("dev=http://a,runs=http://canary", {}, "Entry 2 of MLFLOW_MCP_TRACKERS has a name that cannot be used"),
        ("Dev=http://a", {}, "has a name that cannot be used"),
        ("dev=http://a,dev=http://b", {}, "MLFLOW_MCP_TRACKERS lists 'dev' twice."),
        (ADDRESSES, {"PRD_TOKEN": "canary"}, "MLFLOW_MCP_TRACKER_PRD_TOKEN sets nothing"),
        (ADDRESSES, {"PROD_READONLY": "true"}, "Closest: MLFLOW_MCP_TRACKER_PROD_READ_ONLY"),
        ("", {"PROD_READ_ONLY": "true"}, "sets nothing: MLFLOW_MCP_TRACKERS is not set"),
        (
            ADDRESSES,
            {"PROD_READ_ONLY": "maybe"},
            "MLFLOW_MCP_TRACKER_PROD_READ_ONLY is 'maybe': expected true or false",
        ),
        (ADDRESSES, {"PROD_PROMOTION_POLICY": "/no/such"}, "MLFLOW_MCP_TRACKER_PROD_PROMOTION_POLICY names /no/such"),
        ("dev=mock,prod=sqlite:////tmp/x.db", {}, "dev and prod in MLFLOW_MCP_TRACKERS are stores that MLflow opens"),
    ],
)
def test_trackers_that_cannot_work_stop_the_start(
    trackers: str, variables: dict[str, str], sentence: str, own: Callable[..., None]
):
    """A misspelt variable would leave a tracker unprotected. No error shows an address."""
    own(**variables)
    with pytest.raises(SettingsError) as refused:
        open_trackers(Settings.load(trackers=trackers))
    assert sentence in str(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_URI", "http://elsewhere"),
        ("MLFLOW_MOCK_MODE", "true"),
        ("MLFLOW_REGISTRY_URI", "http://elsewhere"),
    ],
)
def test_settings_for_one_mlflow_contradict_trackers_and_those_of_env_do_not_count(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Rather than guessing which is meant; a stranger's file changes nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{variable}={value}\n{WORDS}PROD_READ_ONLY=false\nMLFLOW_MCP_TRACKERS=x=http://x\n")
    monkeypatch.setenv("MLFLOW_MCP_TRACKERS", ADDRESSES)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "general-token")
    settings = Settings.load()
    assert {sentence.partition(" ")[0] for sentence in settings.ignored} >= {variable, f"{WORDS}PROD_READ_ONLY"}
    both = settings_by_tracker(settings)
    assert [one.tracking_uri for one in both.values()] == ["http://127.0.0.1:9", "http://127.0.0.2:9"]
    assert [one.token.get_secret_value() for one in both.values()] == ["general-token", ""]
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        settings_by_tracker(Settings.load())


def test_check_reports_each_tracker():
    """What it is, that it does not answer, and that it may not be changed."""
    checked = run("check", MLFLOW_MCP_TRACKERS=ADDRESSES, MLFLOW_MCP_TRACKER_PROD_READ_ONLY="true")
    assert checked.returncode == 1
    assert "MLflow of tracker dev: http://127.0.0.1:9\n" in checked.stdout
    assert "Why this one: given by prod in MLFLOW_MCP_TRACKERS. It is read-only." in checked.stdout
    assert checked.stdout.count("No MLflow answers at") == 2
