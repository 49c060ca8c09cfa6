"""Datasets: recorded whole, found again, and named where a comparison would mislead."""

from __future__ import annotations

from typing import Any

from tests.conftest import connect


async def test_datasets_are_recorded_found_and_compared(engine: Any, name: Any):
    """Name, digest, source, schema and context reach MLflow; runs on other data are said to be."""
    churn = name("churn")
    schema = '{"columns": [{"type": "long", "name": "age"}]}'
    async with connect(engine) as agent:
        runs: list[str] = []
        for digest in ("a1", "a1", "b2"):
            data = {
                "name": "churn-2026",
                "digest": digest,
                "source": "s3://b/x",
                "context": "validation",
                "schema": schema,
            }
            logged = await agent.ask("log_run", experiment=churn, metrics={"auc": 0.9}, datasets=[data])
            runs.append(logged["run_id"])
        run = await engine.api.get_run(runs[0])
        found = await agent.ask("search_runs", experiments=[churn], filter_string="datasets.digest = 'b2'")
        same = await agent.ask("compare_runs", runs=runs[:2])
        other = await agent.ask("compare_runs", runs=runs)
    (dataset,) = run.datasets
    assert (dataset.name, dataset.digest, dataset.context, dataset.schema) == ("churn-2026", "a1", "validation", schema)
    assert "s3://b/x" in dataset.source
    assert [row[0] for row in found["rows"]] == [runs[2]]
    assert "did not use the same data" not in same.get("hint", "")
    assert "did not use the same data (see validation dataset)" in other["hint"]
