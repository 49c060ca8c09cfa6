"""The main job from the wire to MLflow and back: log, search, compare, read a curve, look after runs."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot
from mcp_server.rendering.text_half import SHORT_ID
from tests.conftest import connect

SERIES = [[step, 1.0 / (step + 1)] for step in range(20)]


async def test_a_run_logged_in_one_call_reads_back_whole(engine: Any, name: Any):
    """log_run writes params, series, tags, a note, datasets and an artifact; get_run shows them all."""
    churn = name("churn")
    async with connect(engine) as agent:
        logged = await agent.ask(
            "log_run",
            experiment=churn,
            run_name="baseline",
            params={"lr": 0.1, "model": "cnn", "layers": [1, 2]},
            metrics={"accuracy": 0.91, "loss": SERIES},
            tags={"team": "vision"},
            description="First try.",
            datasets=[{"name": "churn-2026", "digest": "abc", "context": "training"}],
            artifacts={"notes/readme.md": "# Notes"},
        )
        shown = await agent.ask("get_run", run=logged["run_id"])
        content = await engine.artifacts_api.read(ArtifactRoot("run", logged["run_id"]), "notes/readme.md", limit=100)
    assert logged["logged"] == {"params": 3, "metric_points": 21, "tags": 1, "datasets": 1, "artifacts": 1}
    assert shown["status"] == "FINISHED"
    assert shown["experiment"] == churn
    assert shown["params"] == {"lr": "0.1", "model": "cnn", "layers": "[1, 2]"}
    assert shown["metrics"] == {"accuracy": 0.91, "loss": 0.05}
    assert shown["tags"] == {"team": "vision"}
    assert shown["description"] == "First try."
    assert shown["datasets"] == ["churn-2026 digest abc (training)"]
    assert content == b"# Notes"


async def test_a_run_that_goes_on_is_opened_filled_and_finished(engine: Any, name: Any):
    """start_run leaves the run RUNNING, log_to_run adds to it, finish_run ends it once and for all."""
    async with connect(engine) as agent:
        run = (await agent.ask("start_run", experiment=name("churn"), run_name="open", params={"lr": 0.2}))["run_id"]
        for step in range(3):
            await agent.ask("log_to_run", run=run, metrics={"loss": 1.0 - step / 10}, step=step)
        going_on = await agent.ask("get_run", run=run)
        first = await agent.ask("finish_run", run=run)
        again = await agent.ask("finish_run", run=run)
        ended = await agent.ask("get_run", run=run)
    assert going_on["status"] == "RUNNING"
    assert "end_time" not in going_on
    assert "nothing was changed" in again.pop("hint")
    assert first == again
    assert (ended["status"], ended["metrics"]) == ("FINISHED", {"loss": 0.8})


@pytest.mark.parametrize("form", ["id", "prefix", "name", "link"])
async def test_a_run_answers_to_every_form_of_its_name(engine: Any, name: Any, form: str):
    """Id, unique prefix, exact name and UI link mean the same run."""
    async with connect(engine) as agent:
        run_name = name("only")
        run = (await agent.ask("log_run", experiment=name("churn"), run_name=run_name))["run_id"]
        reference = {
            "id": run,
            "prefix": run[:12],
            "name": run_name,
            "link": f"https://mlflow.example.com/#/experiments/1/runs/{run}/artifacts",
        }[form]
        assert (await agent.ask("get_run", run=reference))["run_id"] == run


async def test_search_filters_orders_and_pages_to_the_end(engine: Any, name: Any):
    """Pages follow each other by token, none is lost or twice, and the last one carries no token."""
    churn = name("churn")
    async with connect(engine) as agent:
        for i in range(7):
            await agent.ask("log_run", experiment=churn, run_name=f"r{i}", metrics={"accuracy": i / 10})
        seen: list[str] = []
        token = ""
        while True:
            page = await agent.ask(
                "search_runs",
                experiments=[churn],
                filter_string="metrics.accuracy > 0.05",
                order_by=["metrics.accuracy DESC"],
                max_results=4,
                page_token=token,
            )
            seen += [row[page["columns"].index("run_name")] for row in page["rows"]]
            token = page.get("next_page_token", "")
            if not token:
                break
    assert seen == ["r6", "r5", "r4", "r3", "r2", "r1"]


async def test_experiments_are_made_found_changed_deleted_and_restored(engine: Any, name: Any):
    """The whole life of an experiment, by name throughout."""
    old, new = name("first"), name("second")
    async with connect(engine) as agent:
        made = await agent.ask("create_experiment", name=old, description="Why", tags={"team": "vision"})
        await agent.ask("update_experiment", experiment=old, name=new)
        (found,) = await agent.rows("search_experiments", name_contains=new)
        await agent.ask("delete_experiment", experiment=new, confirm_name=new)
        gone = await agent.ask("search_experiments", name_contains=new)
        restored = await agent.ask("update_experiment", experiment=new, restore=True)
    assert found["experiment_id"] == made["experiment_id"]
    assert (found["description"], found["tags"]) == ("Why", "team=vision")
    assert gone["rows"] == []
    assert restored["lifecycle_stage"] == "active"


async def test_deleted_runs_disappear_and_come_back(engine: Any, name: Any):
    """delete_runs is soft: update_run with restore brings the run back."""
    churn = name("churn")
    async with connect(engine) as agent:
        logged = await agent.ask("log_run", experiment=churn)
        run = logged["run_id"]
        await agent.ask("delete_runs", runs=[run], confirm_name=logged["run_name"])
        assert (await agent.ask("search_runs", experiments=[churn]))["rows"] == []
        await agent.ask("update_run", runs=[run], restore=True, tags={"kept": "yes"})
        assert [row["run_id"] for row in await agent.rows("search_runs", experiments=[churn])] == [run]


async def test_not_a_number_and_infinity_survive_the_round_trip(engine: Any, name: Any):
    """NaN and infinities are texts on the wire and stay what they are in MLflow."""
    async with connect(engine) as agent:
        logged = await agent.ask(
            "log_run",
            experiment=name("churn"),
            metrics={"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": [[0, "NaN"], [1, 2.5]]},
        )
        shown = await agent.ask("get_run", run=logged["run_id"])
    assert shown["metrics"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 2.5}
    assert "has no infinity" in logged["hint"]


async def test_both_eras_answer_the_same(mock_engine: Any, era: str, name: Any):
    """Text and structured content carry the same facts in either protocol."""
    async with connect(mock_engine, era) as agent:
        await agent.ask("log_run", experiment="churn", run_name="a", params={"lr": 1}, metrics={"accuracy": 0.5})
        table = await agent.ask("search_runs", experiments=["churn"])
        text = await agent.text("search_runs", experiments=["churn"])
    header, row = text.splitlines()[:2]
    assert header.split("|") == table["columns"]
    run_id, *cells = map(str, table["rows"][0])
    assert row.split("|") == [run_id[:SHORT_ID], *cells]
