"""Typical mistakes of agents: answered right, or refused with what to call instead; never answered wrongly."""

from __future__ import annotations

from typing import Any

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import connect
from tests.questions.store import seed

C = "churn"
RIGHT, REPAIRED = "right", "repaired"
S, R, G, H, K = "search_runs", "rank_runs", "get_run", "get_metric_history", "compare_runs"

MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    (S, {"experiments": C}, RIGHT, "crashed"),
    (S, {"experiments": '["churn"]'}, RIGHT, "crashed"),
    (S, {"experiments": "1"}, RIGHT, "crashed"),
    (S, {"experiments": [1]}, RIGHT, "crashed"),
    (S, {"experiments": ["Churn"]}, REPAIRED, "churn"),
    (S, {"experiments": ["chrun"]}, REPAIRED, "churn"),
    (S, {"experiment": C}, RIGHT, "crashed"),
    (S, {"experiment_names": [C]}, RIGHT, "crashed"),
    (S, {"experiment_name": C, "experiments": "vision"}, REPAIRED, "Unknown argument 'experiment_name'"),
    (S, {"filter": "metrics.accuracy > 0.8"}, RIGHT, "lr0.01-s0"),
    (S, {"filters": "metrics.accuracy > 0.8"}, REPAIRED, "filter_string"),
    (G, {"run_id": "crashed"}, RIGHT, "crashed"),
    (G, {"run_name": "crashed", "run": "resnet"}, REPAIRED, "Unknown argument 'run_name'"),
    (S, {"limit": 5}, RIGHT, "next_page_token"),
    (S, {"sort": "metrics.accuracy"}, RIGHT, "metrics.accuracy"),
    (S, {"filter_string": None, "since": None, "columns": None}, RIGHT, "resnet"),
    (S, {"filter_string": "accuracy > 0.9"}, REPAIRED, "metrics.accuracy"),
    (S, {"filter_string": "metrics.accuracy > '0.8'"}, RIGHT, "lr0.01-s0"),
    (S, {"filter_string": "metric.accuracy > 0.8"}, RIGHT, "lr0.01-s0"),
    (S, {"filter_string": "metrics.accuracy >> 0.8"}, REPAIRED, "metrics.accuracy > 0.9"),
    (S, {"filter_string": "metrics.accuracy > 0.8 && status = 'FINISHED'"}, REPAIRED, "metrics.accuracy"),
    (S, {"filter_string": "metrics.accuracy > 0.8 or metrics.accuracy < 0.3"}, REPAIRED, "Call once for each"),
    (S, {"filter_string": "(metrics.accuracy > 0.8)"}, RIGHT, "lr0.001-s2"),
    (S, {"filter_string": "metrics.accuracy > high"}, REPAIRED, "metrics.accuracy"),
    (S, {"filter_string": "params.lr = 0.1"}, RIGHT, "lr0.1-s0"),
    (S, {"filter_string": "params.lr < 0.05"}, RIGHT, "lr0.001-s0"),
    (S, {"filter_string": "params.lr >= '0.1'"}, RIGHT, "lr0.1-s0"),
    (S, {"filter_string": "params.model > 'cnn'"}, REPAIRED, "=, !=, LIKE or IN"),
    (S, {"filter_string": "params.lr IN (0.1, 0.01)"}, RIGHT, "lr0.01-s1"),
    (S, {"filter_string": "params.model in ('cnn')"}, RIGHT, "lr0.01-s1"),
    (S, {"filter_string": "params.model = cnn"}, REPAIRED, "params.model = 'cnn'"),
    (S, {"filter_string": "params.model LIKE 'c*'"}, REPAIRED, "c%"),
    (S, {"filter_string": "parameters.model = 'cnn'"}, RIGHT, "lr0.01-s1"),
    (S, {"filter_string": "tags.team = growth"}, REPAIRED, "'growth'"),
    (S, {"filter_string": "tag.team = 'growth'"}, RIGHT, "lr0.01-s1"),
    (S, {"filter_string": "status = 'failed'"}, RIGHT, "crashed"),
    (S, {"filter_string": "attributes.status = 'Failed'"}, RIGHT, "crashed"),
    (S, {"filter_string": "state = 'FAILED'"}, RIGHT, "crashed"),
    (S, {"filter_string": "start_time > '2020-01-01'"}, RIGHT, "resnet"),
    (S, {"filter_string": "start_time > 'yesterday'"}, RIGHT, "resnet"),
    (S, {"filter_string": "duration > '2 parsecs'"}, REPAIRED, "duration > 3600"),
    (S, {"filter_string": "duration > 60"}, RIGHT, "lr0.1-s1"),
    (S, {"filter_string": "duration > 1h30m"}, REPAIRED, "'1h30m' is not a number"),
    (S, {"experiment_names": "churn", "experiment_ids": ["1"]}, REPAIRED, "Unknown argument 'experiment_ids'"),
    (S, {"filter_string": "experiment = 'vision'"}, RIGHT, "resnet"),
    (S, {"filter_string": "metrics.acuracy > 0.5"}, REPAIRED, "Closest: accuracy"),
    (S, {"filter_string": "params.modl = 'cnn'"}, REPAIRED, "Closest: model"),
    (S, {"filter_string": "params.model = 'CNN'"}, REPAIRED, "'cnn'"),
    (S, {"filter_string": "metrics.accuracy > 0.9 and"}, REPAIRED, "clause"),
    (S, {"filter_string": "SELECT * FROM runs"}, REPAIRED, "filter_string has an invalid clause"),
    (S, {"filter_string": "run_name LIKE '%s0'"}, RIGHT, "lr0.1-s0"),
    (S, {"order_by": "metrics.accuracy desc"}, RIGHT, "lr0.001-s2"),
    (S, {"order_by": "-metrics.accuracy"}, RIGHT, "lr0.001-s2"),
    (S, {"order_by": "metrics.accuracy:desc"}, RIGHT, "lr0.001-s2"),
    (S, {"order_by": "metrics.accuracy descending"}, RIGHT, "lr0.001-s2"),
    (S, {"order_by": "accuracy DESC"}, REPAIRED, "metrics.accuracy DESC"),
    (S, {"order_by": "metrics.accuracy DOWN"}, REPAIRED, "metrics.accuracy DESC"),
    (S, {"order_by": "duration"}, RIGHT, "lr0.1-s0"),
    (S, {"order_by": "start_time DESC"}, RIGHT, "resnet"),
    (S, {"since": "24 hours"}, RIGHT, "resnet"),
    (S, {"since": "last week"}, RIGHT, "resnet"),
    (S, {"since": "2 days ago"}, RIGHT, "resnet"),
    (S, {"since": "2020-01-01T00:00:00Z"}, RIGHT, "resnet"),
    (S, {"since": "recently"}, REPAIRED, "24h"),
    (S, {"since": "999999d"}, REPAIRED, "before 1970"),
    (S, {"since": "31.12.2026"}, REPAIRED, "2026-11-20"),
    (S, {"until": "gestern"}, REPAIRED, "yesterday"),
    (S, {"columns": "accuracy,lr"}, RIGHT, "metrics.accuracy"),
    (S, {"columns": ["metric.accuracy"]}, RIGHT, "metrics.accuracy"),
    (S, {"columns": ["metrics.acuracy"]}, REPAIRED, "Closest: metrics.accuracy"),
    (S, {"columns": ["Accuracy"]}, REPAIRED, "metrics.accuracy"),
    (S, {"columns": ["metrics.*"], "experiments": C}, RIGHT, "train_seconds"),
    (S, {"max_results": "5"}, RIGHT, "resnet"),
    (S, {"max_results": 0}, REPAIRED, "at least 1"),
    (S, {"max_results": 5_000}, REPAIRED, "1,000"),
    (S, {"page_token": "p1.abc"}, REPAIRED, "next_page_token"),
    (S, {"parent": "nobody"}, REPAIRED, "search_runs"),
    (S, {"parent": "parent"}, RIGHT, "resnet"),
    (R, {"metric": "acuracy"}, REPAIRED, "Closest: accuracy"),
    (R, {"metric": "Accuracy"}, REPAIRED, "accuracy"),
    (R, {"metric": "accuracy", "direction": "MAX"}, RIGHT, "lr0.001-s2"),
    (R, {"metric": "accuracy", "direction": "highest"}, REPAIRED, "max"),
    (R, {"metric": "accuracy", "direction": None}, RIGHT, "lr0.001-s2"),
    (R, {"metrics": "accuracy"}, REPAIRED, "metric"),
    (R, {"metric": "accuracy", "experiments": C}, RIGHT, "lr0.001-s2"),
    (R, {"metric": "accuracy", "top": 3}, RIGHT, "\n3|"),
    (R, {"metric": "train_seconds", "direction": "min"}, RIGHT, "lr0.1-s0"),
    (R, {"metric": "accuracy", "pareto_metrics": "val_loss"}, RIGHT, "dominates"),
    (R, {"metric": "accuracy", "pareto_metrics": ["accuracy"]}, REPAIRED, "different metrics"),
    (G, {"run": "resnet "}, RIGHT, "vision"),
    (G, {"run_id": "resnet"}, REPAIRED, "run"),
    (G, {"run": ""}, REPAIRED, "search_runs"),
    (G, {"run": "no such run"}, REPAIRED, "search_runs"),
    (G, {"run": "abc"}, REPAIRED, "6 characters"),
    (G, {"run": ["resnet"]}, RIGHT, "vision"),
    (G, {"run": "0" * 32}, REPAIRED, "search_runs"),
    (G, {"run": "resnet", "columns": ["nope"]}, REPAIRED, "does not have nope"),
    (H, {"runs": "resnet", "metrics": "los"}, REPAIRED, "loss"),
    (H, {"run": "resnet", "metric": "loss"}, RIGHT, "resnet"),
    (H, {"runs": "resnet", "metric": "loss"}, RIGHT, "@199"),
    (H, {"runs": "resnet"}, REPAIRED, "metrics"),
    (H, {"runs": "resnet", "metrics": "loss", "max_points": 1}, RIGHT, "@199"),
    (H, {"runs": "resnet", "metrics": "loss", "start_step": 90, "end_step": 10}, REPAIRED, "is after end_step"),
    (H, {"runs": "resnet, parent", "metrics": "loss"}, REPAIRED, "search_runs"),
    (K, {"runs": ["resnet"]}, REPAIRED, "2 to 100"),
    (K, {"runs": ["resnet", "resnet"]}, REPAIRED, "2 to 100"),
    (K, {"runs": ["lr0.1-s0", "crashed"], "baseline": "resnet"}, RIGHT, "baseline: "),
    (K, {"runs": ["lr0.1-s0", "crashed"], "metrics": "acuracy"}, REPAIRED, "accuracy"),
    (K, {"run_ids": ["lr0.1-s0", "crashed"]}, REPAIRED, "runs"),
    ("search_experiments", {"name": "churn"}, REPAIRED, "name_contains"),
    ("search_experiments", {"name_contains": "CHURN"}, RIGHT, "churn"),
    ("search_experiments", {"order_by": "name"}, RIGHT, "churn"),
]


async def test_every_mistake_is_answered_right_or_repaired_in_one_call(mock_engine: Engine):
    """`right`: the answer has what was meant. `repaired`: an error or hint has what to write instead."""
    assert len(MISTAKES) >= 100
    wrong: list[str] = []
    async with connect(mock_engine) as agent:
        await seed(agent)
        for tool, arguments, outcome, part in MISTAKES:
            result = await agent.client.call_tool(tool, arguments)
            text = result.content[0].text  # type: ignore[union-attr]
            if (outcome == RIGHT and result.is_error) or part not in text or "pydantic" in text or "Traceback" in text:
                wrong.append(f"{tool} {arguments} should be {outcome} with '{part}': {text[:250]}")
    assert wrong == []
