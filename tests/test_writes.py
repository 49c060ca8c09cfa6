"""What a write leaves: one run per key, complete only when everything is there, refused before the first request."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_server.errors import IncompleteWriteError, UnreachableError
from mcp_server.mlflow_integration.engine import Engine, engine_over
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.files.uploads import upload_names
from mcp_server.mlflow_integration.operations.run_content import batches, run_content
from mcp_server.mlflow_integration.operations.writing.run_drafts import RunDraft
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot
from mcp_server.mlflow_integration.rest.transport import Method, Reply, Transport
from tests.conftest import connect
from tests.faults import Send, WrappedTransport
from tests.reliability.lost_acknowledgements import storm

Hook = Callable[[str, Send], Awaitable[Reply]]


class HookedTransport(WrappedTransport):
    """Hands every request to a hook, which decides what becomes of it."""

    def __init__(self, wrapped: Transport, hook: Hook) -> None:
        super().__init__(wrapped)
        self._hook = hook

    async def carry(self, method: Method, path: str, send: Send) -> Reply:
        return await self._hook(path.rpartition("mlflow/")[2], send)


def hooked(engine: Engine, hook: Hook) -> Engine:
    """A second process on the same MLflow: nothing is shared with the engine but the store."""
    transport = HookedTransport(engine.transports[0], hook)
    return engine_over(engine.location, engine.settings, transport, transport)


async def passed_on(_: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
    return await send()


def draft(key: str = "", **content: Any) -> RunDraft:
    filled = run_content(**{"params": {}, "metrics": {"loss": [[0, 1.0], [1, 0.5]]}, "tags": {}, **content})
    return RunDraft("churn", "baseline", filled, idempotency_key=key)


async def runs_of(engine: Engine) -> list[Run]:
    """All active runs of the experiment, whoever made them."""
    experiment = await engine.api.get_experiment_by_name("churn")
    return list((await engine.api.search_runs([experiment.experiment_id], max_results=100)).items)


# One key, one run


async def test_one_key_at_once_from_several_processes_is_one_run_for_every_caller(mock_engine: Engine):
    """None of them sees the others before it creates; all end with the run that the rule chooses."""
    processes = 4
    waiting = 0
    all_created = anyio.Event()

    async def create_together(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        nonlocal waiting
        if path == "runs/create":
            waiting += 1
            if waiting == processes:
                all_created.set()
            await all_created.wait()
        return await send()

    await mock_engine.experiments.create("churn", tags={})
    answered: list[str] = []

    async def write() -> None:
        recorded = await hooked(mock_engine, create_together).recording.record(draft("same", params={"lr": 0.1}))
        answered.append(recorded.run.run_id)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(processes):
                group.start_soon(write)
    assert waiting == processes, "every process created a run"
    (run,) = await runs_of(mock_engine)
    assert answered == [run.run_id] * processes
    assert (run.status, run.tags["mcp.state"], run.params) == ("FINISHED", "complete", {"lr": "0.1"})


async def test_a_run_that_was_complete_before_its_deletion_is_the_one(mock_engine: Engine):
    """The first process has answered its caller; a second with an older start must not take the run away."""
    first = await mock_engine.recording.record(draft("key"))
    older = await mock_engine.api.create_run(
        first.run.experiment_id, "", 1, {"mcp.request_key": "key", "mcp.state": "writing"}
    )
    second = await hooked(mock_engine, passed_on).recording.record(draft("key"))
    assert second.run.run_id == first.run.run_id
    assert second.existed
    assert [run.run_id for run in await runs_of(mock_engine)] == [first.run.run_id]
    assert (await mock_engine.api.get_run(older.run_id)).lifecycle_stage == "deleted"


async def test_a_create_that_a_proxy_delivers_twice_leaves_one_run(mock_engine: Engine):
    """Also without a key of the caller's."""
    delivered = 0

    async def twice(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        nonlocal delivered
        if path == "runs/create":
            delivered += 1
            await send()
        return await send()

    recorded = await hooked(mock_engine, twice).recording.record(draft())
    assert delivered == 1
    assert [run.run_id for run in await runs_of(mock_engine)] == [recorded.run.run_id]


@pytest.mark.parametrize("key", ["it's", 'say "x"', "both ' and \"", "C:\\", "100 %", "ключ", "`"])
async def test_a_key_of_any_characters_is_found_again(mock_engine: Engine, key: str):
    """A key that MLflow's filters cannot ask for is stored as its digest."""
    first = await mock_engine.recording.record(draft(key))
    again = await mock_engine.recording.record(draft(key))
    assert again.run.run_id == first.run.run_id
    assert again.existed
    assert again.idempotency_key == key


# Complete means complete


def test_the_state_goes_with_the_last_batch_whatever_the_content():
    """For contents around every limit of a batch: it is there once, in the last one, and every batch fits."""
    for params, points, tags in [
        (0, 0, 0),
        (100, 900, 99),
        (450, 0, 100),
        (1, 999, 0),
        (0, 1_000, 0),
        (250, 2_500, 250),
    ]:
        content = run_content(
            params={f"p{i}": i for i in range(params)},
            metrics={"loss": [[step, 0.5] for step in range(points)]} if points else {},
            tags={f"t{i}": i for i in range(tags)},
        )
        made = batches(content, 1, last_tags={"mcp.state": "complete"})
        there = [any(tag["key"] == "mcp.state" for tag in batch.tags) for batch in made]
        assert there == [False] * (len(made) - 1) + [True]
        assert sum(len(batch) for batch in made) == params + points + tags + 1
        assert all(len(batch) <= 1_000 and len(batch.params) <= 100 and len(batch.tags) <= 100 for batch in made)


async def test_a_start_that_stopped_between_batches_is_continued_by_its_repeat(mock_engine: Engine):
    """The process dies after the first of several batches; the run does not say complete, and the repeat fills it."""
    sent = 0

    async def dies_after_one_batch(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        nonlocal sent
        sent += path == "runs/log-batch"
        if sent > 1:
            raise UnreachableError("The connection was lost.")
        return await send()

    many = draft("start", params={f"p{i}": i for i in range(450)})
    with pytest.raises(IncompleteWriteError, match="idempotency_key='start'"):
        await hooked(mock_engine, dies_after_one_batch).recording.record(many)
    (left,) = await runs_of(mock_engine)
    assert (len(left.params), left.tags["mcp.state"]) == (100, "writing")
    again = await mock_engine.recording.record(many)
    assert not again.existed
    (run,) = await runs_of(mock_engine)
    assert (len(run.params), run.tags["mcp.state"], run.status) == (450, "complete", "FINISHED")


# Giving up


async def test_a_call_that_runs_out_of_time_names_its_key_and_the_run_is_marked(mock_engine: Engine):
    """The answer comes before the deadline of the tool, with the key that this server made up."""

    async def hangs_at_batches(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        if path == "runs/log-batch" and not told:
            await anyio.sleep_forever()
        return await send()

    told: list[str] = []
    await mock_engine.experiments.create("churn", tags={})  # The first request waits for MLflow's import.
    async with connect(hooked(mock_engine, hangs_at_batches), closes=False, timeout_seconds=10.0) as agent:
        text = await agent.refusal("log_run", experiment="churn", run_name="slow", params={"lr": 0.1})
        (left,) = await runs_of(mock_engine)
        key = left.tags["mcp.request_key"]
        assert f"idempotency_key='{key}'" in text
        assert left.run_id in text
        told.append(text)
        again = await agent.ask("log_run", experiment="churn", run_name="slow", params={"lr": 0.1}, idempotency_key=key)
    assert again["run_id"] == left.run_id


async def test_a_run_whose_creation_was_carried_out_late_is_found_and_marked(mock_engine: Engine):
    """The answer says that it is not known; the background look then ends the run as FAILED and partial."""

    async def loses_create_and_search(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        if path == "runs/search" and away:
            raise UnreachableError("The connection was lost.")
        reply = await send()
        if path == "runs/create":
            away.append(path)
            raise UnreachableError("The connection was lost.")
        return reply

    away: list[str] = []
    engine = hooked(mock_engine, loses_create_and_search)
    with pytest.raises(IncompleteWriteError, match=r"not known whether a run was created.*idempotency_key="):
        await engine.recording.record(draft())
    (left,) = await runs_of(mock_engine)
    assert left.status == "RUNNING"
    away.clear()
    await engine.recording.unfinished.look(now=True)
    (run,) = await runs_of(mock_engine)
    assert (run.status, run.tags["mcp.state"]) == ("FAILED", "partial")
    assert run.tags["mcp.missing"]


async def test_the_background_look_runs_with_the_server(mock_engine: Engine):
    """Nobody calls again, and the run is marked all the same."""
    marked = anyio.Event()

    async def loses_once(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        if path == "runs/search" and len(seen) == 1:
            seen.append(path)
            raise UnreachableError("The connection was lost.")
        reply = await send()
        if path == "runs/create":
            seen.append(path)
            raise UnreachableError("The connection was lost.")
        if path == "runs/update":
            marked.set()
        return reply

    seen: list[str] = []

    async def every_later_search_fails(path: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
        if path == "runs/search" and len(seen) in (2, 3):
            seen.append(path)
            raise UnreachableError("The connection was lost.")
        return await loses_once(path, send)

    async with connect(hooked(mock_engine, every_later_search_fails), closes=False) as agent:
        await agent.refusal("log_run", experiment="churn", metrics={"loss": 0.5})
        with anyio.fail_after(30):
            await marked.wait()
    (run,) = await runs_of(mock_engine)
    assert (run.status, run.tags["mcp.state"]) == ("FAILED", "partial")


async def test_a_cancelled_write_is_marked(mock_engine: Engine):
    """Cancelled at each kind of request in turn: the run is complete, or ended and marked, or there is none."""
    for number, where in enumerate(["runs/create", "runs/log-inputs", "runs/log-batch", "runs/update"]):
        there = anyio.Event()

        async def pauses(path: str, send: Callable[[], Awaitable[Reply]], where: str = where) -> Reply:
            if path == where and not there.is_set():  # noqa: B023
                there.set()  # noqa: B023
                await anyio.sleep(0.2)
            return await send()

        engine = hooked(mock_engine, pauses)
        content = {"params": {"lr": number}, "datasets": [{"name": "train"}]}
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(engine.recording.record, draft(f"cancelled {where}", **content))
                await there.wait()
                group.cancel_scope.cancel()
        (run,) = [run for run in await runs_of(mock_engine) if run.tags["mcp.request_key"] == f"cancelled {where}"]
        assert run.status != "RUNNING", where
        assert run.tags["mcp.state"] in ("complete", "partial"), where


async def test_a_storm_of_lost_requests_and_answers_leaves_every_run_once_and_whole(mock_engine: Engine):
    """The short form of tests/reliability/lost_acknowledgements.py."""
    outcome = await storm(mock_engine, writes=40, seed=7)
    assert outcome.lost_requests > 5
    assert outcome.lost_answers > 5
    assert (outcome.twins, outcome.acknowledged_lost, outcome.unmarked) == (0, 0, 0)
    assert len(outcome.run_id_by_key) >= 38


# Refused before the first write


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"metrics": {"loss": [[0, 0.5, -1]]}}, "not negative"),
        ({"metrics": {"loss": [[0, 0.5, 1_795_233_300_953_000_000]]}}, "not micro- or nanoseconds"),
        ({"metrics": {"loss": [[float("inf"), 0.5]]}}, "a step is a whole number"),
        ({"metrics": {"loss": [[0, 0.5, float("inf")]]}}, "a timestamp is a whole number"),
        ({"metrics": {"loss": []}}, "has no points"),
        ({"datasets": [{"name": "n" * 501}]}, "501 characters"),
        ({"datasets": [{"name": "n", "digest": "d" * 37}]}, "37 characters"),
        ({"datasets": [{"name": "n", "source_type": "s" * 37}]}, "37 characters"),
        ({"datasets": [{"name": "n", "source": "s" * 65_536}]}, "65,536 characters"),
        ({"datasets": [{"name": "n", "context": "c" * 501}]}, "501 characters"),
        ({"datasets": [{"name": " "}]}, "A dataset has a name"),
        ({"artifacts": {" ": "x"}}, "not an artifact path"),
        ({"artifacts": {"a" * 300: "x"}}, "not an artifact path"),
        ({"artifacts": {"a": "x", "a/b": "y"}}, "no folder of that name"),
        ({"tags": {"mcp.state": "complete"}}, "reserved"),
        ({"tags": {"MCP.State": "complete"}}, "reserved"),
        ({"start_time": 2_000, "end_time": 1_000}, "before start_time"),
        ({"end_time": 1_000}, "before start_time"),
        ({"start_time": 1_795_233_300_953_000_000}, "not micro- or nanoseconds"),
        ({"parent_run": "0" * 32}, "No run"),
        ({"tags": {"mlflow.parentRunId": "0" * 32}}, "No run"),
        ({"description": "one", "tags": {"mlflow.note.content": "two"}}, "differ"),
        ({"run_name": "one", "tags": {"mlflow.runName": "two"}}, "differ"),
        ({"files": ["."]}, "is not a file"),
    ],
    ids=str,
)
async def test_a_refusal_comes_before_the_first_write(mock_engine: Engine, arguments: dict[str, Any], problem: str):
    """Not even the experiment is created."""
    async with connect(mock_engine) as agent:
        text = await agent.refusal("log_run", experiment="churn", **arguments)
        assert problem in text
        assert "churn" not in [row["name"] for row in await agent.rows("search_experiments")]


async def test_a_parent_that_is_deleted_or_contradicted_is_refused(mock_engine: Engine):
    """parent_run and MLflow's tag are two ways to say one thing."""
    async with connect(mock_engine, confirm="never", closes=False) as agent:
        parents = [(await agent.ask("log_run", experiment="churn", run_name=name))["run_id"] for name in ("a", "b")]
        both = {"parent_run": parents[0], "tags": {"mlflow.parentRunId": parents[1]}}
        assert "different runs" in await agent.refusal("log_run", experiment="churn", **both)
        child = await agent.ask("log_run", experiment="churn", tags={"mlflow.parentRunId": "a"})
        await agent.ask("delete_runs", runs=[parents[0]])
        assert "is deleted" in await agent.refusal("log_run", experiment="churn", parent_run=parents[0])
    run = await mock_engine.api.get_run(child["run_id"])
    assert run.tags["mlflow.parentRunId"] == parents[0], "a parent named in the tag is stored by id"


async def test_reserved_tags_are_refused_by_every_writer(mock_engine: Engine):
    """Experiments, runs new and old; the registry has its own tests."""
    tags = {"mcp.request_key": "forged"}
    async with connect(mock_engine) as agent:
        run = (await agent.ask("start_run", experiment="churn"))["run_id"]
        for tool, arguments in [
            ("create_experiment", {"name": "forged"}),
            ("update_experiment", {"experiment": "churn"}),
            ("log_run", {"experiment": "churn"}),
            ("start_run", {"experiment": "churn"}),
            ("log_to_run", {"run": run}),
            ("update_run", {"runs": [run]}),
        ]:
            assert "reserved" in await agent.refusal(tool, **arguments, tags=tags), tool


# Files


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/m.json", "b/m.json"], ["a/m.json", "b/m.json"]),
        (["x/a/m.json", "y/a/m.json", "plot.png"], ["x/a/m.json", "y/a/m.json", "plot.png"]),
        (["/data/m.json", "/data/sub/m.json"], ["data/m.json", "sub/m.json"]),
        (["m.json", "b/m.json"], ["m.json", "b/m.json"]),
        (["./a/m.json", "a/m.json"], ["m.json", "m.json"]),
    ],
    ids=str,
)
def test_uploads_keep_as_many_folders_as_tell_them_apart(paths: list[str], names: list[str]):
    """None replaces another; one file named twice is one."""
    assert upload_names(paths) == names


async def test_files_of_one_name_are_all_uploaded_and_counted(mock_engine: Engine, tmp_path: Path):
    """No silent overwrite, and `logged` counts files."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.json").write_text(f"from {folder}")
    settings = mock_engine.settings.model_copy(update={"allowed_folders": (tmp_path,)})
    engine = engine_over(mock_engine.location, settings, mock_engine.transports[0], mock_engine.transports[0])
    async with connect(engine, closes=False) as agent:
        logged = await agent.ask("log_run", experiment="churn", files=["a/m.json", "b/m.json"], artifacts={"n.md": "x"})
        clash = await agent.refusal("log_run", experiment="churn", files=["a/m.json"], artifacts={"m.json": "x"})
        descriptors = len(os.listdir("/proc/self/fd"))
        for path in ("a", "a/", "a/none.json"):
            await agent.refusal("log_run", experiment="churn", files=[path])
        assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert logged["logged"] == {"artifacts": 1, "files": 2}
    for folder in ("a", "b"):
        content = await mock_engine.artifacts_api.read(
            ArtifactRoot("run", logged["run_id"]), f"{folder}/m.json", limit=20
        )
        assert content == f"from {folder}".encode()
    assert "the second would replace the first" in clash


# Experiments by name


async def test_an_experiment_that_a_write_creates_is_named_with_the_closest_one(mock_engine: Engine):
    """A misspelt name is seen at once; one that differs only by case is refused."""
    async with connect(mock_engine) as agent:
        first = await agent.ask("log_run", experiment="churn-2026")
        misspelt = await agent.ask("log_run", experiment="chrun-2026")
        known = await agent.ask("log_run", experiment="churn-2026")
        refused = await agent.refusal("log_run", experiment="Churn-2026")
        also_refused = await agent.refusal("create_experiment", name="CHURN-2026")
        names = {row["name"] for row in await agent.rows("search_experiments")}
    assert first["created"] == "experiment"
    assert "Closest: churn-2026" in misspelt["hint"]
    assert "created" not in known
    assert "'churn-2026'" in refused
    assert "'churn-2026'" in also_refused
    assert {"churn-2026", "chrun-2026"} <= names
    assert len(names) == 3, "and the one that MLflow makes itself"


async def test_an_experiment_whose_name_is_a_number_is_made_when_asked_for(mock_engine: Engine):
    """log_run takes an unknown number for a mistaken id and says how to make it a name."""
    async with connect(mock_engine) as agent:
        refused = await agent.refusal("log_run", experiment="2026")
        assert "create_experiment(name='2026')" in refused
        made = await agent.ask("create_experiment", name="2026")
        logged = await agent.ask("log_run", experiment="2026")
    assert logged["experiment_id"] == made["experiment_id"]


# Runs that exist


async def test_finishing_an_ended_run_changes_only_what_is_asked(mock_engine: Engine):
    """Without a status nothing changes, and the answer says so."""
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="churn", status="FAILED"))["run_id"]
        left = await agent.ask("finish_run", run=run)
        changed = await agent.ask("finish_run", run=run, status="FINISHED")
    assert left["status"] == "FAILED"
    assert "nothing was changed" in left["hint"]
    assert changed["status"] == "FINISHED"
    assert "had ended as FAILED" in changed["hint"]
    assert changed["end_time"] == left["end_time"]


async def test_update_run_changes_several_runs_and_says_what(mock_engine: Engine):
    """Old and new values; a run that has it all already is said to be unchanged."""
    async with connect(mock_engine) as agent:
        runs = [
            (await agent.ask("log_run", experiment="churn", run_name=name, tags={"stage": "old"}))["run_id"]
            for name in ("a", "b")
        ]
        table = await agent.rows("update_run", runs=runs, tags={"stage": "new"}, description="Kept.")
        renamed = await agent.rows("update_run", runs=[runs[0]], name="c")
        same = await agent.ask("update_run", runs=runs, tags={"stage": "new"})
        together = await agent.refusal("update_run", runs=runs, name="d")
        nothing = await agent.refusal("update_run", runs=runs)
    assert [row["changed"] for row in table] == ["tags.stage: old -> new; description: Kept."] * 2
    assert renamed[0]["changed"] == "run_name: a -> c"
    assert "2 of 2" in same["hint"]
    assert "one by one" in together
    assert "nothing to change" in nothing


async def test_a_run_of_another_process_is_found_at_once(mock_engine: Engine):
    """In an experiment that did not exist when this process last listed them."""
    other = hooked(mock_engine, passed_on)
    async with connect(mock_engine) as agent:
        await agent.ask("log_run", experiment="first")
        assert "No run" in await agent.refusal("get_run", run="fresh")
        made = await other.recording.record(RunDraft("second", "fresh", run_content(params={}, metrics={}, tags={})))
        found = await agent.ask("get_run", run="fresh")
    assert found["run_id"] == made.run.run_id


async def test_runs_are_found_by_names_that_no_filter_can_quote_or_of_other_case(mock_engine: Engine):
    """The exact name wins over one of other case; two of other case are ambiguous."""
    names = ['it\'s "the" one', "Baseline", "baseline", "SWEEP", "Sweep", "C:\\run\\"]
    async with connect(mock_engine) as agent:
        ids = {name: (await agent.ask("log_run", experiment="churn", run_name=name))["run_id"] for name in names}
        for asked, name in [(name, name) for name in names] + [('IT\'S "THE" ONE', names[0]), ("c:\\RUN\\", names[5])]:
            assert (await agent.ask("get_run", run=asked))["run_id"] == ids[name], asked
        ambiguous = await agent.refusal("get_run", run="sweep")
    assert ids["SWEEP"] in ambiguous
    assert ids["Sweep"] in ambiguous


async def test_an_ambiguous_name_or_prefix_lists_five_of_the_runs_and_says_that_there_are_more(mock_engine: Engine):
    """With what tells them apart; each id that is listed leads to its run."""
    async with connect(mock_engine) as agent:
        ids = {(await agent.ask("log_run", experiment="churn", run_name="same"))["run_id"] for _ in range(6)}
        many = await agent.refusal("get_run", run="same")
        listed = re.findall(r"([0-9a-f]{32}) \(same, churn, FINISHED, \d{4}-\d\d-\d\d \d\d:\d\d\)", many)
        assert (len(listed), len(set(listed) & ids)) == (5, 5)
        assert many.startswith("'same' matches several runs: ")
        assert many.endswith(" and more. Give the id of one.")
        for run in listed[1:]:
            assert (await agent.ask("get_run", run=run))["run_id"] == run
            await agent.ask("update_run", runs=run, name=f"other {run}")
        two = await agent.refusal("get_run", run="same")
    assert len(re.findall(r"[0-9a-f]{32} \(", two)) == 2
    assert two.endswith("). Give the id of one.")


async def test_runs_with_nanosecond_times_are_listed_when_their_name_is_ambiguous(mock_engine: Engine):
    """Some clients log such times; no calendar holds them."""
    experiment = await mock_engine.experiments.create("churn", tags={})
    for _ in range(2):
        await mock_engine.api.create_run(experiment.experiment_id, "same", 1_795_233_300_953_000_000, {})
    async with connect(mock_engine) as agent:
        text = await agent.refusal("get_run", run="same")
    assert "several runs" in text
    assert "1795233300953000000" in text
