"""Replies of MLflow with a field missing, null or of another type: an entity or one sentence, whatever the field."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from mcp_server.errors import MlflowToolError, UnreachableError
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.mlflow_integration.entities import Dataset, Page, Run
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot, ArtifactsApi
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from mcp_server.settings import Settings
from tests.conftest import connect
from tests.faults import Send, WrappedTransport
from tests.reliability.faulty_server import faulty_server

WRONG = ("text", "", 7, -1, 1.5, True, [], {}, [1], ["a", None], {"x": 1}, 10**40, "NaN", 1e308, None)
"""What stands in the place of a field; None is JSON's null."""


class Passing(WrappedTransport):
    """A transport that notes the replies it passes on, or alters them first."""

    def __init__(self, wrapped: Transport, alter: Callable[[Reply], Reply] = lambda reply: reply) -> None:
        super().__init__(wrapped)
        self.alter = alter
        self.replies: list[Reply] = []

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        reply = await send()
        self.replies.append(reply)
        return self.alter(reply)


class Canned:
    """A transport that always gives the same reply."""

    def __init__(self, body: bytes) -> None:
        self.reply = Reply(200, {"content-type": "application/json"}, body)

    async def request(self, method: Method, path: str, **_: Any) -> Reply:
        return self.reply

    def warm_up(self) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


def mutations(value: Any) -> Iterator[Any]:
    """The value with each of its parts in turn missing, null or of another type."""
    for path in paths(value):
        for wrong in (..., *WRONG):
            changed = copy.deepcopy(value)
            *parents, last = path
            target = changed
            for step in parents:
                target = target[step]
            if wrong is ...:
                del target[last]
            else:
                target[last] = wrong
            yield changed


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*above, key)
        yield from paths(value[key], (*above, key))


Call = Callable[[TrackingApi, RegistryApi], Awaitable[Any]]


async def filled(engine: Engine) -> dict[str, Call]:
    """A store with one of everything, and every reading call of both interfaces by its name."""
    api = engine.api
    registry = RegistryApi(engine.transports[-1], "mock")
    experiment_id = await api.create_experiment("churn", {"team": "growth"})
    run = await api.create_run(experiment_id, "one", 1_700_000_000_000, {"kind": "test"})
    run_id, root = run.run_id, ArtifactRoot.of_run(run)
    point = {"key": "acc", "value": 0.5, "timestamp": 1_700_000_000_000, "step": 1}
    await api.log_batch(run_id, [point], [{"key": "lr", "value": "0.1"}], [])
    await api.log_inputs(run_id, [Dataset("data", "d1", "local", "{}", "train")])
    await engine.artifacts_api.upload(run, "notes.txt", b"notes")
    await registry.create_registered_model("model", "A model.", {"team": "growth"})
    source = (await api.get_run(run_id)).artifact_uri
    made = await registry.create_model_version(
        "model", source, run_id=run_id, model_id="", description="first", tags={"checked": "yes"}
    )
    await registry.set_alias("model", "champion", made.version)
    return {
        "search_experiments": lambda api, _: api.search_experiments(),
        "get_experiment": lambda api, _: api.get_experiment(experiment_id),
        "get_experiment_by_name": lambda api, _: api.get_experiment_by_name("churn"),
        "search_runs": lambda api, _: api.search_runs([experiment_id]),
        "get_run": lambda api, _: api.get_run(run_id),
        "metric_history_sample": lambda api, _: api.metric_history_sample(
            [run_id], "acc", max_results=10, start_step=None, end_step=None
        ),
        "list_folder": lambda api, _: ArtifactsApi(api._transport, "mock").list_folder(root),
        "search_registered_models": lambda _, registry: registry.search_registered_models(),
        "get_registered_model": lambda _, registry: registry.get_registered_model("model"),
        "search_model_versions": lambda _, registry: registry.search_model_versions("name='model'"),
        "get_model_version": lambda _, registry: registry.get_model_version("model", made.version),
    }


def assert_well_typed(found: Any) -> None:
    items = found.items if isinstance(found, Page) else found if isinstance(found, tuple) else [found]
    assert not isinstance(found, Page) or isinstance(found.next_page_token, str)
    if isinstance(found, dict):
        items = [point for points in found.values() for point in points]
    for item in items:
        for name, kind in get_type_hints(type(item)).items():
            TypeAdapter(kind).validate_python(getattr(item, name), strict=True)


async def test_every_field_of_every_reply_may_be_wrong(mock_engine: Engine):
    """All fields of all replies of a real MLflow, each in turn missing, null and of every other type."""
    calls = await filled(mock_engine)
    noting = Passing(mock_engine.transports[0])
    refused = accepted = 0
    for name, call in calls.items():
        noting.replies.clear()
        assert_well_typed(await call(TrackingApi(noting, "mlflow"), RegistryApi(noting, "mlflow")))
        body = json.loads(noting.replies[-1].body)
        for changed in (*mutations(body), [], None, "text", 7):
            carrier = Canned(json.dumps(changed).encode())
            # A page token in a reply that never ends would be followed for ever.
            if name == "list_artifacts" and isinstance(changed, dict) and changed.get("next_page_token"):
                continue
            try:
                found = await call(TrackingApi(carrier, "mlflow"), RegistryApi(carrier, "mlflow"))
            except MlflowToolError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 400, (name, changed)
            else:
                accepted += 1
                assert_well_typed(found)
    assert refused > 500 and accepted > 500, "faults happened, and harmless ones were taken"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>Sign in</html>", b'{"run": ', b"\xff\xfe"])
async def test_an_answer_that_is_no_object_is_never_a_success(body: bytes):
    """An empty 200 above all: MLflow's own client takes it for an empty result."""
    api = TrackingApi(Canned(body), "http://mlflow")
    for call in (api.search_experiments(), api.create_experiment("churn", {}), api.update_run("a", run_name="b")):
        with pytest.raises(MlflowToolError, match="not MLflow's REST interface"):
            await call


async def test_an_answer_about_another_run_is_not_passed_on(mock_engine: Engine):
    """A cache that mixes up answers would otherwise show one run's metrics under another's id."""
    calls = await filled(mock_engine)
    noting = Passing(mock_engine.transports[0])
    await calls["get_run"](TrackingApi(noting, "mlflow"), RegistryApi(noting, "mlflow"))
    with pytest.raises(MlflowToolError, match="answered with another one"):
        await TrackingApi(Canned(noting.replies[-1].body), "mlflow").get_run("0" * 32)


async def test_half_a_character_in_an_answer_is_no_reason_to_refuse_it():
    """MLflow keeps lone surrogates in some texts; what shows them takes them out."""
    body = b'{"experiments": [{"experiment_id": "1", "name": "a\\ud83d"}]}'
    page = await TrackingApi(Canned(body), "mlflow").search_experiments()
    assert page.items[0].name == "a\ud83d"


READING: Mapping[str, dict[str, Any]] = {
    "search_experiments": {},
    "search_runs": {"experiments": ["churn"]},
    "get_run": {"run": "one"},
    "compare_runs": {"runs": ["one", "two"]},
    "rank_runs": {"metric": "acc", "experiments": ["churn"], "direction": "max"},
    "get_metric_history": {"runs": ["one"], "metrics": ["acc"]},
    "list_artifacts": {"run": "one"},
    "search_models": {},
    "get_model": {"name": "model"},
    "get_server_info": {},
}


async def test_no_altered_reply_is_called_a_failure_of_this_server(mock_engine: Engine):
    """All reading tools, one part of every second reply altered; the seed is in the message."""
    await filled(mock_engine)
    experiment_id = (await mock_engine.api.get_experiment_by_name("churn")).experiment_id
    await mock_engine.api.create_run(experiment_id, "two", 1_700_000_000_001, {})
    altered = 0
    chance = random.Random(0)

    def alter(reply: Reply) -> Reply:
        nonlocal altered
        if chance.random() < 0.5 or not reply.body.startswith(b"{"):
            return reply
        altered += 1
        changed = chance.choice([*mutations(json.loads(reply.body))] or [None])
        return Reply(reply.status, reply.headers, json.dumps(changed).encode())

    transport = Passing(mock_engine.transports[0], alter)
    engine = engine_over(mock_engine.location, mock_engine.settings, transport, transport)
    async with connect(engine, closes=False) as agent:
        for seed in range(20):
            chance.seed(seed)
            for tool, arguments in READING.items():
                result = await agent.client.call_tool(tool, dict(arguments))
                assert "inside this server" not in result.content[0].text, (seed, tool)  # type: ignore[union-attr]
    assert altered > 100


async def test_an_upload_that_a_sign_in_page_answers_is_reported():
    """The page comes with status 200, as a successful upload does."""
    async with faulty_server("sign-in page") as (address, requests):
        engine = open_engine(Settings.load(tracking_uri=address))
        with pytest.raises(UnreachableError, match="not MLflow's REST interface"):
            await engine.artifacts_api.upload(Run("a" * 32, "1"), "a.txt", b"a")
        await engine.aclose()
    assert requests
