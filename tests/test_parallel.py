"""Many calls at once: every answer is the answer to its question, and every write is there afterwards."""

from __future__ import annotations

from typing import Any

import anyio

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import connect

READS = 40
WRITES = 16
METRICS = ("accuracy", "f1", "auc", "precision", "recall", "loss")


async def test_forty_reads_at_once_each_get_their_own_run(engine: Engine, name: Any):
    """Peers answer with other calls' data from two calls at a time on."""
    churn = name("churn")
    answers: dict[str, dict[str, Any]] = {}
    async with connect(engine) as agent:
        runs = [
            (await agent.ask("log_run", experiment=churn, run_name=f"r{i}", metrics={"m": i}))["run_id"]
            for i in range(10)
        ]

        async def read(number: int) -> None:
            answers[str(number)] = await agent.ask("get_run", run=runs[number % len(runs)])

        async with anyio.create_task_group() as group:
            for number in range(READS):
                group.start_soon(read, number)
    for number in range(READS):
        assert answers[str(number)]["run_id"] == runs[number % len(runs)]
        assert answers[str(number)]["metrics"] == {"m": number % len(runs)}


async def test_sixteen_runs_logged_at_once_are_all_there(engine: Engine, name: Any):
    """Into a new experiment, which is made once."""
    churn = name("churn")
    async with connect(engine) as agent:

        async def log(number: int) -> None:
            await agent.ask(
                "log_run", experiment=churn, run_name=f"w{number}", metrics={"m": number}, params={"n": number}
            )

        async with anyio.create_task_group() as group:
            for number in range(WRITES):
                group.start_soon(log, number)
        rows = await agent.rows("search_runs", experiments=[churn], columns=["metrics.m", "params.n", "status"])
        experiments = await agent.rows("search_experiments", name_contains=churn)
    assert sorted((row["run_name"], row["metrics.m"], row["params.n"], row["status"]) for row in rows) == sorted(
        (f"w{number}", number, str(number), "FINISHED") for number in range(WRITES)
    )
    assert len(experiments) == 1


async def test_a_thousand_params_and_two_thousand_tags_are_split_and_all_there(engine: Engine, name: Any):
    """MLflow takes a hundred of each in one request; nothing is lost and nothing is said to be there that is not."""
    params = {f"p{i}": i for i in range(1_000)}
    tags = {f"t{i}": "x" * 100 for i in range(2_000)}
    async with connect(engine) as agent:
        logged = await agent.ask("log_run", experiment=name("churn"), params=params, tags=tags)
        run = await engine.api.get_run(logged["run_id"])
    assert logged["logged"] == {"params": 1_000, "tags": 2_000}
    assert run.params == {key: str(value) for key, value in params.items()}
    assert {key: run.tags[key] for key in tags} == tags


async def test_ten_thousand_points_in_one_call_read_back_in_two_thousand_bytes(engine: Engine, name: Any):
    """Both halves of the answer together, ends and extremes kept."""
    curve = [[step, 1.0 / (step + 1)] for step in range(10_000)]
    async with connect(engine) as agent:
        logged = await agent.ask("log_run", experiment=name("curves"), run_name="long", metrics={"loss": curve})
        result = await agent.client.call_tool("get_metric_history", {"runs": [logged["run_id"]], "metrics": ["loss"]})
        stored = await engine.api.metric_history_sample(
            [logged["run_id"]], "loss", max_results=2_500, start_step=None, end_step=None
        )
    assert logged["logged"] == {"metric_points": 10_000}
    assert len(stored[logged["run_id"]]) >= 2_500
    table = result.structured_content
    assert table is not None
    facts = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert facts["first"] == "1 @0"
    assert facts["last"] == "0.0001 @9999"
    assert table["curves"][0]["steps"][0] == 0
    assert table["curves"][0]["steps"][-1] == 9_999
    assert len(result.model_dump_json(by_alias=True, exclude_none=True).encode()) <= 2_000


async def test_the_best_twenty_of_two_hundred_fit_into_three_thousand_bytes(mock_engine: Engine):
    """The text half, with every metric and param that varies: nobody has to ask again to tell the runs apart."""
    async with connect(mock_engine) as agent:
        for i in range(200):
            await agent.ask(
                "log_run",
                experiment="sweep",
                run_name=f"run-{i:03}",
                metrics={name: 0.8 + (i * (7 + at) % 200) / 1_000 for at, name in enumerate(METRICS)},
                params={f"param_{j}": (i * j) % 7 for j in range(9)},
            )
        result = await agent.client.call_tool(
            "search_runs",
            {
                "experiments": ["sweep"],
                "filter_string": "metrics.accuracy > 0.9",
                "order_by": ["metrics.accuracy DESC"],
                "max_results": 20,
            },
        )
    table = result.structured_content
    assert table is not None
    assert len(table["rows"]) == 20
    assert table["columns"][:3] == ["run_id", "run_name", "metrics.accuracy"]
    varying = {f"params.param_{j}" for j in (1, 2, 3, 4, 5, 6, 8)} | {f"metrics.{name}" for name in METRICS}
    assert varying <= set(table["columns"])
    assert len(result.content[0].text.encode()) <= 3_000
