"""Datasets: recorded whole, found again, and named where a comparison would mislead."""

from __future__ import annotations

from typing import Any

from tests.conftest import connect
from tests.registry_world import MLMODEL


async def test_datasets_are_recorded_found_and_compared(engine: Any, name: Any):
    """Name, digest, source, schema and context reach MLflow; runs on other data are said to be."""
    churn, model = name("churn"), name("model")
    schema = '{"columns": [{"type": "long", "name": "age"}]}'
    async with connect(engine) as agent:
        runs: list[str] = []
        for digest in ("a1", "a1", "b2"):
            data = {
                "name": "churn-2026",
                "digest": digest,
                "source": "s3://user:hunter22@b/x",
                "context": "validation",
                "schema": schema,
            }
            made = {"experiment": churn, "metrics": {"auc": 0.9}, "artifacts": {"model/MLmodel": MLMODEL}}
            logged = await agent.ask("log_run", **made, datasets=[data])
            runs.append(logged["run_id"])
        run = await engine.api.get_run(runs[0])
        found = await agent.ask("search_runs", experiments=[churn], filter_string="datasets.digest = 'b2'")
        same = await agent.ask("compare_runs", runs=runs[:2])
        other = await agent.ask("compare_runs", runs=runs)
        whole = await agent.ask("get_run", run=runs[0])
        await agent.ask("register_model", name=model, run=runs[2])
        lineage = await agent.ask("get_model", name=model, version="1")
        listed = await agent.rows("search_runs", experiments=[churn], columns=["datasets"])
    (dataset,) = run.datasets
    assert (dataset.name, dataset.digest, dataset.context, dataset.schema) == ("churn-2026", "a1", "validation", schema)
    assert dataset.source == "s3://user:hunter22@b/x"
    assert whole["datasets"] == ["churn-2026 digest a1 (validation) from s3://b/x; columns: age long"]
    assert lineage["datasets"] == ["churn-2026 digest b2 (validation) from s3://b/x; columns: age long"]
    assert {row["datasets"] for row in listed} == {"churn-2026"}
    assert [row[0] for row in found["rows"]] == [runs[2]]
    assert "did not use the same data" not in same.get("hint", "")
    assert "did not use the same data (see validation dataset)" in other["hint"]
