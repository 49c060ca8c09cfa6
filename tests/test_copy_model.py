"""copy_model: a model version and what is known of it, brought whole from one tracker to another, once."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from mcp_server.copies.arriving_body import ArrivingBody
from mcp_server.copies.model_copies import CopyOrder, ModelCopies
from mcp_server.copies.sources import CopySource, files_of, read_source
from mcp_server.errors import ConflictError, IncompleteWriteError, InvalidInputError, MlflowToolError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine, engine_over
from mcp_server.mlflow_integration.entities import Artifact, Run
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPage, ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT, ArtifactContent, ArtifactRoot, ArtifactsApi
from mcp_server.mlflow_integration.rest.transport import STREAM_PIECE
from mcp_server.trackers import Trackers
from tests.conftest import Agent, predicted
from tests.faults import FaultyTransport
from tests.snapshots import assert_matches
from tests.test_confirmation import YES, Person
from tests.test_trackers import ADDRESSES, connected

MLMODEL = "flavors:\n  python_function:\n    loader_module: nowhere\n"
FILES = {
    "model/MLmodel": MLMODEL,
    "model/code/first.py": "print('first')\n" * 300,
    "model/data/weights ä.txt": "0.5\n" * 1_000,
}
CURVE = [[step, 1 / (step + 1), 1_700_000_000_000 + step] for step in range(50)]


async def a_version(agent: Agent, name: str, tracker: str, **extra: Any) -> str:
    """A registered model of one version in a tracker; gives the id of its run."""
    logged = await agent.ask(
        "log_run",
        experiment=name,
        run_name="baseline",
        params={"lr": 0.1},
        metrics={"loss": CURVE, "accuracy": 0.9, "broken": "NaN"},
        tags={"team": "red", "reviewed": "yes"},
        description="the first one",
        datasets=[{"name": "customers", "digest": "abc"}],
        artifacts={**FILES, **extra},
        tracker=tracker,
    )
    registered = {"description": "a version", "tags": {"stage": "draft"}, "tracker": tracker}
    await agent.ask("register_model", name=name, run=logged["run_id"], **registered)
    return logged["run_id"]


@pytest.mark.parametrize(("source", "target"), [("dev", "prod"), ("prod", "dev")])
async def test_a_copy_has_the_files_and_all_that_is_known_of_the_version(
    source: str, target: str, mlflow_server: str, name: Callable[..., str]
):
    """Both ways between a private store and a real server: bytes, curves, params, tags, and where it came from."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        if target == "prod":  # So that ids differ.
            await agent.ask("create_experiment", name=name("other"), tracker=target)
        original = await a_version(agent, model, source)
        copied = await agent.ask("copy_model", name=model, version=1, from_tracker=source, to_tracker=target)
        run = await opened.get(target).engine.api.get_run(copied["run_id"])
        version = await opened.get(target).engine.registry.version(model, "1")
        curves = [
            await opened.get(one).engine.api.metric_history_page(run_id, "loss", max_results=1_000)
            for one, run_id in ((source, original), (target, run.run_id))
        ]
        contents = [
            await agent.ask("compare_artifacts", run=f"models:/{model}/1", other=run.run_id, tracker=target),
            await agent.text("read_artifact", run=f"models:/{model}/1", path="data/weights ä.txt", tracker=target),
        ]
        again = await agent.ask("copy_model", name=model, version="1", from_tracker=source, to_tracker=target)
        versions = (await agent.ask("get_model", name=model, tracker=target))["versions"]
    assert (copied["tracker"], copied["version"], copied["files"]) == (target, "1", 3)
    assert (copied["files_sent"], copied["compared_by_content"]) == (3, 3)
    assert (run.status, run.run_name, dict(run.params)) == ("FINISHED", "baseline", {"lr": "0.1"})
    assert math.isnan(run.metrics["broken"]) and run.metrics["accuracy"] == 0.9
    assert curves[0].items == curves[1].items and len(curves[0].items) == 50
    assert [dataset.name for dataset in run.datasets] == ["customers"]
    assert {key: run.tags[key] for key in ("team", "reviewed", tag_names.NOTE)} == {
        "team": "red",
        "reviewed": "yes",
        tag_names.NOTE: "the first one",
    }
    for tags in (run.tags, version.tags):
        assert tags[tag_names.COPY_TRACKER].startswith(f"{source} (")
        assert (tags[tag_names.COPY_VERSION], tags[tag_names.COPY_RUN]) == (f"{model}/1", original)
    assert (version.description, version.tags["stage"], version.aliases) == ("a version", "draft", ())
    assert tag_names.REQUEST_KEY not in run.tags
    assert copied.get("url", "").startswith(mlflow_server if target == "prod" else "")
    assert ("url" in copied) == (target == "prod")
    assert "0.5" in contents[1]
    assert (again["version"], again["hint"]) == ("1", "This version was copied before; nothing was written.")
    assert len(versions["rows"]) == 1


async def test_a_logged_model_of_mlflow_3_is_copied_and_can_be_loaded(
    mlflow_server: str, logged_model: Callable[..., str], name: Callable[..., str]
):
    """Files that MLflow itself wrote, loaded by MLflow itself from the other server."""
    model = name("iris")
    async with connected(f"prod={mlflow_server},dev=mock") as (agent, opened):
        source, target = opened.get("dev").engine, opened.get("prod").engine
        await agent.ask("get_server_info", tracker="dev")
        run = logged_model(source, accuracy=0.8, labels=(4, 7))
        await agent.ask("register_model", name=model, run=run, tracker="dev")
        arguments = {"from_tracker": "dev", "to_tracker": "prod", "experiment": model}
        copied = await agent.ask("copy_model", name=model, version="latest", **arguments)
        found = await read_source(target, model, copied["version"])
        original = await read_source(source, model, "1")
        # Last: MLflow writes a file beside a model that it loads from a local store.
        predictions = [predicted(target, f"{model}/{copied['version']}"), predicted(source, f"{model}/1")]
    assert predictions == [[4, 7], [4, 7]]
    assert {path: one.artifact.file_size for path, one in found.files.items()} == {
        path: one.artifact.file_size for path, one in original.files.items()
    }
    assert "model.pkl" in found.files or "model.skops" in found.files
    assert found.metrics == original.metrics and original.metrics
    assert found.params == original.params


@dataclass
class Pair:
    """A source with one version, and a target whose requests can be made to fail."""

    source: Engine
    target: Engine
    version: CopySource

    @classmethod
    async def of(cls, opened: Trackers, source: str, target: str, model: str) -> Pair:
        one = opened.get(source).engine
        return cls(one, opened.get(target).engine, await read_source(one, model, "1"))

    def copies(self) -> ModelCopies:
        return ModelCopies(self.source, self.target)

    def failing(self, fail_at: int, *, carried_out: bool, for_good: bool) -> tuple[ModelCopies, FaultyTransport]:
        """Copies to a target that loses the n-th request, and if it is for good all later ones."""
        faulty = FaultyTransport(self.target.transports[0], fail_at, carried_out=carried_out, for_good=for_good)
        engine = engine_over(self.target.location, self.target.settings, faulty, faulty)
        return ModelCopies(self.source, engine), faulty

    async def failing_half_way(
        self, model: str, *, carried_out: bool, for_good: bool
    ) -> tuple[ModelCopies, FaultyTransport]:
        """The same in the middle of a copy, whose requests an undisturbed copy into another model counts."""
        healthy, counted = self.failing(0, carried_out=True, for_good=False)
        await healthy.copy(self.version, order(f"{model}-counted"), silent)
        return self.failing(counted.requests // 2, carried_out=carried_out, for_good=for_good)

    async def runs(self, experiment: str) -> list[Run]:
        found = await self.target.api.get_experiment_by_name(experiment)
        return list((await self.target.api.search_runs([found.experiment_id])).items)

    async def versions(self, model: str) -> int:
        return len((await self.target.registry.get_model(model)).versions)


async def silent(done: float, total: int, what: str) -> None:
    """Nobody wants to know."""


def order(model: str) -> CopyOrder:
    return CopyOrder(model, model, lambda key: key != "reviewed")


async def contents(engine: Engine, model: str) -> dict[str, str]:
    """SHA-256 of every file of the first version of a model."""
    found = await files_of(engine, await engine.artifacts.place(f"models:/{model}/1"))
    return {path: await engine.transfers.digest(one) for path, one in found.items()}


SMALL = {"model/MLmodel": MLMODEL, "model/weights.txt": "0.5\n" * 1_000}


async def a_small_version(agent: Agent, name: str, tracker: str) -> None:
    logged = await agent.ask(
        "log_run", experiment=name, metrics={"loss": CURVE[:3]}, params={"lr": 0.1}, artifacts=SMALL, tracker=tracker
    )
    await agent.ask("register_model", name=name, run=logged["run_id"], tracker=tracker)


@pytest.mark.parametrize(("source", "target", "every"), [("dev", "prod", 1), ("prod", "dev", 6)])
async def test_a_copy_that_dies_at_any_request_is_completed_by_its_repetition(
    source: str, target: str, every: int, mlflow_server: str, name: Callable[..., str]
):
    """Before the request or after it, half a file included: then one run, one version, the same bytes."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, source)
        pair = await Pair.of(opened, source, target, model)
        expected = await contents(pair.source, model)
        fail_at, deaths, faulty = 1, 0, None
        while faulty is None or faulty.requests >= fail_at - every:
            copy = f"{model}-{fail_at}"
            dying, faulty = pair.failing(fail_at, carried_out=fail_at // every % 2 == 0, for_good=True)
            try:
                await dying.copy(pair.version, order(copy), silent)
            except MlflowToolError:
                deaths += 1
            copied = await pair.copies().copy(pair.version, order(copy), silent)
            assert await pair.versions(copy) == 1, fail_at
            assert await contents(pair.target, copy) == expected, fail_at
            (run,) = await pair.runs(copy)
            assert (run.run_id, run.status, dict(run.params)) == (copied.run_id, "FINISHED", {"lr": "0.1"})
            assert run.tags[tag_names.STATE] == tag_names.COMPLETE and tag_names.MISSING not in run.tags
            fail_at += every
    assert deaths >= 15 // every


async def test_a_copy_that_stops_is_marked_and_says_what_is_missing(mlflow_server: str, name: Callable[..., str]):
    """The run is not left RUNNING, and the sentence says how to go on."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        stops, _ = await pair.failing_half_way(model, carried_out=False, for_good=False)
        with pytest.raises(IncompleteWriteError, match=r"Missing: .*Repeat the call to continue"):
            await stops.copy(pair.version, order(model), silent)
        (run,) = await pair.runs(model)
        assert (run.status, run.tags[tag_names.STATE]) == ("FAILED", tag_names.PARTIAL)
        await pair.copies().copy(pair.version, order(model), silent)
        (run,) = await pair.runs(model)
    assert (run.status, run.tags[tag_names.STATE]) == ("FINISHED", tag_names.COMPLETE)


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_copy_whose_mark_was_lost_is_marked_in_the_background(
    repeated: bool, mlflow_server: str, name: Callable[..., str]
):
    """Unless the repeated call, which takes over, was faster."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        stops, faulty = await pair.failing_half_way(model, carried_out=False, for_good=True)
        with pytest.raises(MlflowToolError):
            await stops.copy(pair.version, order(model), silent)
        (lost,) = await pair.runs(model)
        unfinished = stops._target.recording.unfinished
        assert (lost.status, len(unfinished)) == ("RUNNING", 1)
        faulty.recover()
        if repeated:
            await stops.copy(pair.version, order(model), silent)
        await unfinished.look(now=True)
        (run,) = await pair.runs(model)
    expected = ("FINISHED", tag_names.COMPLETE) if repeated else ("FAILED", tag_names.PARTIAL)
    assert (run.run_id, run.status, run.tags[tag_names.STATE]) == (lost.run_id, *expected)
    assert len(unfinished) == 0


async def test_a_copy_that_is_cancelled_is_marked_and_can_be_continued(mlflow_server: str, name: Callable[..., str]):
    """As when the host gives up, or the server is told to end."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        with anyio.CancelScope() as scope:

            async def cancel(done: float, total: int, what: str) -> None:
                if done == 1:
                    scope.cancel()

            await pair.copies().copy(pair.version, order(model), cancel)
        (run,) = await pair.runs(model)
        assert scope.cancelled_caught
        assert (run.status, run.tags[tag_names.STATE]) == ("FAILED", tag_names.PARTIAL)
        copied = await pair.copies().copy(pair.version, order(model), silent)
    assert (copied.run_id, copied.uploaded) == (run.run_id, 1)


async def test_parallel_copies_of_one_version_make_one_version(mlflow_server: str, name: Callable[..., str]):
    """In one process by a lock; two processes may refuse each other, and never leave two."""
    model, other = name("churn"), name("other")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        arguments = {"name": model, "version": "1", "from_tracker": "dev", "to_tracker": "prod"}
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await agent.ask("copy_model", **arguments))["version"])

        async def as_another_process() -> None:
            with suppress(MlflowToolError):
                await pair.copies().copy(pair.version, order(other), silent)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ask)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(as_another_process)
        await pair.copies().copy(pair.version, order(other), silent)
        assert answers == ["1", "1", "1"]
        for one in (model, other):
            assert await pair.versions(one) == 1
            assert len(await pair.runs(one)) == 1


@pytest.mark.parametrize("forged", ["metric", "file"])
async def test_what_somebody_puts_into_an_unfinished_copy_does_not_become_a_version(
    forged: str, mlflow_server: str, name: Callable[..., str]
):
    """A version that says where it was copied from has what is there, and nothing else."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        expected = await contents(pair.source, model)
        stops, _ = await pair.failing_half_way(model, carried_out=True, for_good=True)
        with pytest.raises(MlflowToolError):
            await stops.copy(pair.version, order(model), silent)
        (run,) = await pair.runs(model)
        if forged == "metric":
            await agent.ask("log_to_run", run=run.run_id, metrics={"accuracy": 0.99}, tracker="prod")
            with pytest.raises(ConflictError, match=r"is not a copy of the source: metric accuracy\. .*Nothing was"):
                await pair.copies().copy(pair.version, order(model), silent)
            assert await pair.target.registry.find_model(model) is None
        else:
            weights = FILES["model/MLmodel"].replace("nowhere", "elsewhr")
            await agent.ask("log_artifact", run=run.run_id, path="model/MLmodel", content=weights, tracker="prod")
            await pair.copies().copy(pair.version, order(model), silent)
            assert await contents(pair.target, model) == expected


@pytest.mark.parametrize("target", ["staging", "dev"])
async def test_large_files_go_from_store_to_store_in_pieces(
    target: str, mlflow_server: str, name: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Beyond what MLflow takes in one request, and never whole in memory; empty files too."""
    model, read = name("churn"), list[int]()
    size = UPLOAD_LIMIT + 1_000_000
    async with connected(f"prod={mlflow_server},staging={mlflow_server},dev=mock") as (agent, opened):
        await a_large_version(agent, opened.get("prod").engine, model, size)
        read_piece = ArrivingBody.read

        def counted(self: ArrivingBody, size: int = -1, /) -> bytes:
            piece = read_piece(self, size)
            read.append(len(piece))
            return piece

        monkeypatch.setattr(ArrivingBody, "read", counted)
        arguments = {"from_tracker": "prod", "to_tracker": target, "to_model": f"{model}-copy"}
        copied = await agent.ask("copy_model", name=model, version="1", **arguments)
        assert await contents(opened.get(target).engine, f"{model}-copy") == await contents(
            opened.get("prod").engine, model
        )
    assert (copied["files"], copied["size_bytes"]) == (3, size + len(MLMODEL))
    assert sum(read) == copied["size_bytes"] and max(read) <= STREAM_PIECE


async def a_large_version(agent: Agent, engine: Engine, name: str, size: int) -> None:
    """With a file of `size` bytes and an empty one, in the tracker `prod`."""
    logged = await agent.ask("log_run", experiment=name, artifacts={"model/MLmodel": MLMODEL}, tracker="prod")
    run = await engine.api.get_run(logged["run_id"])
    for path, data in {"weights.bin": bytes(size), "code/__init__.py": b""}.items():
        body = ArrivingBody(path, len(data), _pieces(data))
        await engine.artifacts.upload(run, f"model/{path}", body)
    await agent.ask("register_model", name=name, run=logged["run_id"], tracker="prod")


async def _pieces(data: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(data), STREAM_PIECE):
        yield data[start : start + STREAM_PIECE]


async def test_a_file_that_the_target_does_not_take_is_refused_before_anything_is_written(
    mlflow_server: str, name: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """A server whose artifacts are elsewhere takes 10 MiB."""
    model = name("churn")
    async with connected(f"prod={mlflow_server},dev=mock") as (agent, opened):
        await a_large_version(agent, opened.get("prod").engine, model, 1)
        monkeypatch.setattr(ArtifactsApi, "takes_large", lambda *_: False)
        refusal = await agent.refusal("copy_model", name=model, version="1", from_tracker="prod", to_tracker="dev")
        left = await agent.rows("search_runs", tracker="dev")
    assert "'code/__init__.py' has 0 bytes; MLflow accepts 1 to 10,485,760" in refusal
    assert left == []


@pytest.mark.parametrize("size", [9, 11])
async def test_a_file_that_changes_while_it_is_copied_stops_the_copy(
    size: int, mlflow_server: str, name: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Shorter or longer than its listing said."""
    model = name("churn")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)

        @asynccontextmanager
        async def other(*_: Any, **__: Any) -> AsyncGenerator[ArtifactContent]:
            yield ArtifactContent(0, size, _pieces(bytes(size)))

        monkeypatch.setattr(type(pair.source.artifacts), "open", other)
        listed = pair.version.files.items()
        files = {path: replace(one, artifact=replace(one.artifact, file_size=10)) for path, one in listed}
        with pytest.raises(ConflictError, match="changed at its source while it was copied"):
            await pair.copies().copy(replace(pair.version, files=files), order(model), silent)
        (run,) = await pair.runs(model)
        assert await pair.target.registry.find_model(model) is None
    assert run.status == "FAILED"


async def test_the_policy_of_the_target_holds_for_copies(
    mlflow_server: str, name: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, era: str
):
    """Protected tags stay behind, a person lets the version in, and the alias is not touched."""
    model, person = name("churn"), Person(YES)
    policy = tmp_path / "policy.yaml"
    rule = f"  - model: '{model}'\n    confirm: always\n    protected_tags: [reviewed, stage]\n"
    policy.write_text(f"policies:\n{rule}    gates: [metrics.accuracy > 0.95]\n")
    monkeypatch.setenv("MLFLOW_MCP_TRACKER_PROD_PROMOTION_POLICY", str(policy))
    arguments = {"name": model, "version": "latest", "from_tracker": "dev", "to_tracker": "PROD"}
    trackers = f"dev=mock,prod={mlflow_server}"
    async with connected(trackers, era, confirm="never", client=person.client) as (agent, opened):
        await a_version(agent, model, "dev")
        copied = await agent.ask("copy_model", **arguments)
        version = await opened.get("prod").engine.registry.version(model, "1")
        run = await opened.get("prod").engine.api.get_run(copied["run_id"])
        promoted = await agent.ask("promote_model", name=model, version="1", tracker="prod")
    assert person.questions == [
        f"On tracker prod: Copy version 1 of model '{model}' from tracker dev into model '{model}'?"
    ]
    assert copied["tags_left_out"] == ["reviewed", "stage"]
    assert not {"reviewed", "stage"} & {*version.tags, *run.tags}
    assert promoted["promoted"] is False
    async with connected(trackers, era, confirm="never") as (agent, _):
        await a_small_version(agent, model, "dev")
        refusal = await agent.refusal("copy_model", **arguments)
    assert "A person has to agree to this" in refusal


async def test_a_copy_brings_no_tags_of_this_server_with_it(mlflow_server: str, name: Callable[..., str]):
    """Whoever may write to the source with another client would otherwise forge promotions at the target."""
    model = name("churn")
    forged = {
        "mcp.promotion.champion.1795233300953": '{"version": "1"}',
        "MCP.state": "complete",
        tag_names.COPY_TRACKER: "prod (http://trusted)",
        tag_names.REQUEST_KEY: "a key",
        "mlflow.parentRunId": "0" * 32,
    }
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        pair = await Pair.of(opened, "dev", "prod", model)
        for key, value in forged.items():
            await pair.source.api.log_batch(pair.version.version.run_id, [], [], [{"key": key, "value": value}])
            await pair.source.registering._api.set_model_version_tag(model, "1", key, value)
        copied = await agent.ask("copy_model", name=model, version="1", from_tracker="dev", to_tracker="prod")
        run = await pair.target.api.get_run(copied["run_id"])
        version = await pair.target.registry.version(model, "1")
        record = await agent.ask("get_model", name=model, tracker="prod")
    for tags in (run.tags, version.tags):
        assert {key: tags.get(key) for key in forged if tags.get(key) == forged[key]} == {}
        assert tags[tag_names.COPY_TRACKER] == "dev (mock)"
    assert "promotions" not in record


async def test_what_cannot_be_copied_is_refused_in_a_sentence(
    mlflow_server: str, name: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Before anything is written anywhere."""
    model = name("churn")
    monkeypatch.setenv("MLFLOW_MCP_TRACKER_PROD_READ_ONLY", "true")
    async with connected(f"dev=mock,prod={mlflow_server}") as (agent, opened):
        await a_small_version(agent, model, "dev")
        refusals = [
            await agent.refusal("copy_model", name=model, version="1", from_tracker=source, to_tracker=target)
            for source, target in (("dev", "prod"), ("dev", "dev"), ("prd", "dev"), ("dev", "prd"))
        ]
        refusals.append(
            await agent.refusal("copy_model", name=model, version="7", from_tracker="dev", to_tracker="prod")
        )
        assert await opened.get("prod").engine.registry.find_model(model) is None
    assert "Tracker 'prod' is read-only (MLFLOW_MCP_TRACKER_PROD_READ_ONLY)" in refusals[0]
    assert "are both 'dev'" in refusals[1]
    assert refusals[2] == refusals[3] == "No tracker 'prd'. Closest: prod. Trackers: dev, prod."
    assert "read-only" in refusals[4]
    async with connected(f"prod={mlflow_server}") as (agent, _):
        with pytest.raises(MCPError, match="read-only"):
            await agent.client.call_tool("copy_model", {})
    monkeypatch.delenv("MLFLOW_MCP_TRACKER_PROD_READ_ONLY")
    async with connected(f"prod={mlflow_server}") as (agent, _):
        with pytest.raises(MCPError, match=r"It works between several trackers \(MLFLOW_MCP_TRACKERS\)"):
            await agent.client.call_tool("copy_model", {})


async def test_a_listing_that_leads_elsewhere_is_not_followed(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """A hostile server names the files; their paths are judged before anything is sent."""

    async def hostile(*_: Any, **__: Any) -> ArtifactPage:
        found = FoundArtifact(ArtifactPlace(ArtifactRoot("run", "0" * 32), "it"), Artifact("../../x", False, 3))
        return ArtifactPage((found,), "")

    monkeypatch.setattr(type(mock_engine.artifacts), "walk", hostile)
    with pytest.raises(InvalidInputError, match="is not an artifact path"):
        await files_of(mock_engine, ArtifactPlace(ArtifactRoot("run", "0" * 32), "it"))


async def test_the_schema_of_copy_model_is_the_one_that_was_reviewed():
    """As of the other tools; it is in no list of a server with one tracker."""
    async with connected(ADDRESSES) as (agent, _):
        (tool,) = [tool for tool in (await agent.client.list_tools()).tools if tool.name == "copy_model"]
    text = json.dumps(tool.model_dump(by_alias=True, exclude_none=True, mode="json"), indent=2, ensure_ascii=False)
    assert_matches("several_trackers/copy_model.json", text)
