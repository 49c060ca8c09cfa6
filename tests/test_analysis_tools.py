"""Whole experiments in one call: summarize_experiment, analyze_params and diagnose_run against a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.planted import START, Training, faulty, sweep
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations import all_runs
from mcp_server.tools import summaries
from tests.conftest import Agent, connect

Name = Callable[[str], str]


async def log_sweep(agent: Agent, experiment: str, configurations: int, seeds: int = 1) -> None:
    for run in sweep(0, configurations=configurations, seeds=seeds):
        await agent.ask(
            "log_run",
            experiment=experiment,
            run_name=run.run_name,
            params=dict(run.params),
            metrics=dict(run.metrics),
            start_time=run.start_time,
            end_time=run.end_time,
        )


async def log_training(agent: Agent, experiment: str, training: Training, **more: Any) -> str:
    metrics = {one.key: [[p.step, _json(p.value), p.timestamp] for p in one.points] for one in training.series}
    written = await agent.ask(
        "log_run",
        experiment=experiment,
        run_name=training.run.run_name,
        metrics=metrics,
        start_time=START,
        end_time=training.run.end_time or START + 60_000,
        **more,
    )
    return written["run_id"]


def _json(value: float) -> float | str:
    return "NaN" if value != value else value


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


async def test_an_experiment_is_summarized(engine: Engine, name: Name):
    """Counts, metrics with the best run, varying params with values, constants, datasets, oddities."""
    experiment = name("overview")
    async with connect(engine) as agent:
        for at, (lr, accuracy) in enumerate([("0.1", 0.7), ("0.1", 0.9), ("0.01", 0.8)]):
            await agent.ask(
                "log_run",
                experiment=experiment,
                run_name=f"run-{at}",
                params={"lr": lr, "epochs": "3"},
                metrics={"accuracy": accuracy, "val_loss": "NaN" if at == 2 else 1.0},
                tags={"team": "vision"},
                datasets=[{"name": "digits", "digest": "ab12", "context": "training"}],
                start_time=START,
                end_time=START + 60_000,
                status="FAILED" if at == 1 else "FINISHED",
            )
        found = await agent.ask("summarize_experiment", experiment=experiment)
        text = await agent.text("summarize_experiment", experiment=experiment)
        recent = await agent.ask("summarize_experiment", experiment=experiment, since="1h")
    assert (found["runs"], found["by_status"]) == (3, {"FINISHED": 2, "FAILED": 1})
    assert found["by_day"] == {"2025-11-13": 3}
    accuracy = rows(found["metrics"])[0]
    assert (accuracy["metric"], accuracy["n"], accuracy["min"], accuracy["max"]) == ("accuracy", 3, 0.7, 0.9)
    assert accuracy["best_run"] == "run-2", "the failed run with 0.9 is not the best"
    assert rows(found["varying_params"]) == [{"param": "lr", "values": 2, "runs_by_value": "0.01 (1), 0.1 (2)"}]
    assert found["constant_params"] == {"epochs": "3"}
    assert found["tags"] == {"team": "vision (3)"}
    assert found["datasets"] == {"digits ab12 (training)": 3}
    assert found["duration"]["median"] == "1 min"
    assert found["odd"] == ["The latest value is NaN or infinite in: val_loss (1)."]
    assert "run-2" in text
    assert recent["runs"] == 0
    assert recent["hint"]


async def test_a_wide_experiment_is_summarized_within_the_budget(mock_engine: Engine):
    """What is left out is counted and named."""
    async with connect(mock_engine) as agent:
        for at in range(8):
            await agent.ask(
                "log_run",
                experiment="wide",
                params={f"param_{n:03}": f"{at}-{'x' * 300}" for n in range(90)},
                metrics={f"metric_{n:03}": at + n for n in range(200)},
                tags={f"tag_{n}": "y" * 500 for n in range(40)},
            )
        found = await agent.ask("summarize_experiment", experiment="wide")
    assert len(json.dumps(found)) < 12_000
    assert len(found["metrics"]["rows"]) == summaries.METRICS_SHOWN
    assert "metrics metric_020, metric_021, metric_022, metric_023, metric_024 and 175 more" in found["hint"]


async def test_older_runs_that_were_not_read_are_said(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """A summary of the newest runs is not passed off as one of all."""
    monkeypatch.setattr(summaries, "MOST_RUNS", 2)
    async with connect(mock_engine) as agent:
        for at in range(3):
            await agent.ask("log_run", experiment="many", metrics={"loss": at})
        found = await agent.ask("summarize_experiment", experiment="many")
        monkeypatch.setattr(summaries, "MOST_RUNS", 3)
        whole = await agent.ask("summarize_experiment", experiment="many")
    assert (found["runs"], found["hint"]) == (
        2,
        "These are the newest 2 runs; there are older ones. Narrow with since or filter_string.",
    )
    assert (whole["runs"], whole.get("hint")) == (3, None)


async def test_a_summary_that_ran_out_of_time_says_so(engine: Engine, name: Name, monkeypatch: pytest.MonkeyPatch):
    """Reading stops after the page at which its part of the deadline is over; that page is told."""
    monkeypatch.setattr(all_runs, "PAGE", 2)
    monkeypatch.setattr(summaries, "READING_PART", -1.0)
    experiment = name("slow")
    async with connect(engine) as agent:
        for at in range(3):
            await agent.ask("log_run", experiment=experiment, metrics={"loss": at})
        found = await agent.ask("summarize_experiment", experiment=experiment)
    assert (found["runs"], found["hint"]) == (
        2,
        "These are the newest 2 runs; there are older ones. Narrow with since or filter_string.",
    )


async def test_the_params_that_moved_a_metric_are_named(engine: Engine, name: Name):
    """Through the whole chain, with the computation in its own process."""
    experiment = name("sweep")
    async with connect(engine) as agent:
        await log_sweep(agent, experiment, 30)
        found = await agent.ask("analyze_params", metric="accuracy", experiments=[experiment])
    assert found["verdict"].startswith("Out-of-bag R² ")
    assert found["configurations"] == 30
    effects = {row["param"]: row["effect"] for row in rows(found["effects"])}
    assert {"optimizer", "augment"} <= {param for param, effect in effects.items() if effect == "yes"}
    assert {"batch_size", "dropout", "warmup_steps"} <= {param for param, effect in effects.items() if effect == "no"}
    assert "Ignored as seeds or names: seed, output_dir" in found["hint"]


async def test_too_few_configurations_and_wrong_names_are_refused_with_what_helps(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        await log_sweep(agent, "small", 4)
        few = await agent.ask("analyze_params", metric="accuracy", experiments="small")
        metric = await agent.refusal("analyze_params", metric="acuracy", experiments="small")
        param = await agent.refusal("analyze_params", metric="accuracy", experiments="small", params=["optimiser"])
        constant = await agent.refusal("analyze_params", metric="accuracy", experiments="small", params=["epochs"])
        one = await agent.ask("analyze_params", metric="accuracy", experiments="small", params="optimizer")
        nothing = await agent.ask("analyze_params", metric="accuracy", experiments="small", since="1h")
    assert few["verdict"].startswith("No conclusion: 4 configurations are too few")
    assert few["values"]["rows"], "what each value gave is shown all the same"
    assert "Closest: accuracy" in metric
    assert "Closest: optimizer" in param
    assert constant == "Param 'epochs' is '20' in all these runs."
    assert {row["param"] for row in rows(one["values"])} == {"optimizer"}
    assert nothing["runs"] == 0


async def test_planted_faults_are_diagnosed_through_mlflow(engine: Engine, name: Name):
    """Overfit, NaN, spikes: the finding, its numbers, and a call that shows more and works."""
    experiment = name("training")
    planted = {one.run.run_id: one for one in faulty(0)}
    async with connect(engine) as agent:
        for number, which in enumerate(("overfit-loss", "nan-since", "spikes-accuracy", "stall-pause")):
            run_id = await log_training(agent, experiment, planted[which])
            found = await agent.ask("diagnose_run", run=run_id)
            findings = rows(found["findings"])
            assert planted[which].planted in {row["finding"] for row in findings}, which
            call = findings[0]["shown_by"]
            shown = await agent.ask("get_metric_history", **eval(f"dict{call.removeprefix('get_metric_history')}"))
            assert shown["rows"]
            assert found["looked_at"]["points"] > 50
            assert found["looked_at"]["finished_siblings"] == number, "the run itself is none"
        text = await agent.text("diagnose_run", run=run_id)
    assert "stalled" in text


async def test_a_failed_run_is_explained_by_its_log(engine: Engine, name: Name):
    """The end of a log among the artifacts, found in a folder."""
    async with connect(engine) as agent:
        written = await agent.ask(
            "log_run",
            experiment=name("failed"),
            status="FAILED",
            metrics={"loss": 1.0},
            tags={"failure_reason": "worker died"},
            artifacts={"logs/train.log": "step 1\nTraceback ...\nRuntimeError: CUDA out of memory\n", "notes.md": "x"},
        )
        found = await agent.ask("diagnose_run", run=written["run_id"])
    assert rows(found["findings"])[0]["evidence"] == (
        "The run is FAILED: tag failure_reason: worker died; logs/train.log: RuntimeError: CUDA out of memory."
    )
    assert found["looked_at"]["log"] == "logs/train.log"


async def test_curves_that_were_not_looked_at_are_named(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        written = await agent.ask(
            "log_run", experiment="e", metrics={f"m{n:02}": 1.0 for n in range(20)} | {"loss": 1.0}
        )
        found = await agent.ask("diagnose_run", run=written["run_id"])
        unknown = await agent.refusal("diagnose_run", run=written["run_id"], metrics="los")
    assert found["looked_at"]["curves"] == 16
    assert "Not read: m15, m16, m17, m18, m19" in found["hint"]
    assert "Closest: loss" in unknown
