"""Large pages of runs read from the tables of a store: the very runs, order and tokens that MLflow answers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.entities import Dataset, Page, Run
from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.local.stored_runs import read_page
from mcp_server.mlflow_integration.rest.api import counted_requests
from mcp_server.mlflow_integration.rest.transport import RunPageReader
from tests.conftest import connect

BEGAN = 1_700_000_000_000
LARGE_PAGE = "mcp_server.mlflow_integration.rest.tracking_api._LARGE_PAGE"
OLDEST_FIRST = ("attributes.start_time ASC",)


async def filled(engine: Engine) -> list[str]:
    """Two experiments with runs of every kind; their ids."""
    api = engine.api
    ids = [await api.create_experiment(name, {}) for name in ("one", "two")]
    # Three runs begin at a time: their ids decide.
    made = [
        await api.create_run(ids[at % 2], f"run-{at}" if at else "", BEGAN + at // 3, {"team": "a|b"})
        for at in range(12)
    ]
    metrics = [
        {"key": "loss", "value": value, "timestamp": BEGAN, "step": step}
        for step, value in enumerate([0.25, "NaN", "Infinity"])
    ]
    for run, metric in zip(made, metrics, strict=False):
        params = [
            {"key": "lr", "value": "0.10"},
            {"key": "empty", "value": ""},
            {"key": tag_names.SETTLED, "value": "c"},
        ]
        await api.log_batch(run.run_id, [metric, {**metric, "key": "größe", "value": 3}], params, [])
    data = [Dataset("digits", "d1", "local", "{}", "train", "fit"), Dataset("digits", "d2", "local", "{}", "", "")]
    await api.log_inputs(made[1].run_id, data)
    await api.log_inputs(made[3].run_id, data[:1])
    await api.update_run(made[4].run_id, status="FINISHED", end_time=BEGAN + 60_000)
    await api.update_run(made[5].run_id, status="KILLED", end_time=BEGAN + 1)
    for run in made[6:8]:
        await api.delete_run(run.run_id)
    with mlflow_internals.tracking_database().begin() as connection:
        for at, model in enumerate(("m-2", "m-1")):
            connection.exec_driver_sql(
                "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) "
                "VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, 0)",
                (f"output-{at}", made[2].run_id, model),
            )
        connection.exec_driver_sql("UPDATE runs SET name = '' WHERE run_uuid = ?", (made[10].run_id,))
        connection.exec_driver_sql(
            "INSERT INTO input_tags SELECT input_uuid, 'more', 'yes' FROM inputs WHERE destination_id = ?",
            (made[1].run_id,),
        )
    return ids


async def every_page(engine: Engine, ids: Sequence[str], **search: Any) -> list[Page[Run]]:
    pages = [await engine.api.search_runs(ids, **search)]
    while token := pages[-1].next_page_token:
        pages.append(await engine.api.search_runs(ids, **search, page_token=token))
    return pages


def shown(pages: Sequence[Page[Run]]) -> list[tuple[list[str], str]]:
    """NaN equals itself as text; neither MLflow nor anybody else promises an order within a run."""

    def one(run: Run) -> str:
        facts: dict[str, Any] = {name: getattr(run, name) for name in Run.__slots__}
        for name, value in facts.items():
            if isinstance(value, Mapping):
                facts[name] = sorted(value.items())
        return repr({**facts, "datasets": sorted(map(repr, run.datasets)), "models": sorted(run.logged_model_ids)})

    return [([one(run) for run in page.items], page.next_page_token) for page in pages]


async def test_a_page_from_the_tables_is_the_one_that_mlflow_answers(
    mock_engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    ids = await filled(mock_engine)
    compared = 0
    for filter_string, order_by, view_type, size, some in itertools.product(
        (
            "",
            f"attributes.start_time >= {BEGAN + 1}",
            f"attributes.start_time >= {BEGAN + 1} and attributes.start_time <= {BEGAN + 2}",
        ),
        ((), OLDEST_FIRST),
        ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"),
        (5,),
        (ids, ids[:1]),
    ):
        search: Any = {
            "filter_string": filter_string, "order_by": order_by, "view_type": view_type, "max_results": size
        }  # fmt: skip
        monkeypatch.setattr(LARGE_PAGE, 1)
        with counted_requests() as requests:
            ours = await every_page(mock_engine, some, **search)
        assert not requests, "MLflow was asked"
        monkeypatch.setattr(LARGE_PAGE, 10**9)
        theirs = await every_page(mock_engine, some, **search)
        assert shown(ours) == shown(theirs), search
        compared += sum(len(page.items) for page in theirs)
    assert compared > 100
    await mock_engine.aclose()


@pytest.mark.parametrize(
    "search",
    [
        {"filter_string": "metrics.loss < 1"},
        {"filter_string": "attributes.start_time > 5"},
        {"filter_string": f"attributes.start_time >= {BEGAN} and params.lr = '0.10'"},
        {"order_by": ("metrics.loss ASC",)},
        {"order_by": ("attributes.start_time ASC", "metrics.loss ASC")},
    ],
)
async def test_other_searches_are_left_to_mlflow(
    mock_engine: Engine, monkeypatch: pytest.MonkeyPatch, search: dict[str, Any]
):
    ids = await filled(mock_engine)
    monkeypatch.setattr(LARGE_PAGE, 1)
    with counted_requests() as requests:
        found = await mock_engine.api.search_runs(ids, **search)
    assert requests == [("POST", "/api/2.0/mlflow/runs/search")]
    assert found.items
    await mock_engine.aclose()


@pytest.mark.parametrize("token", ["nonsense", "e30=", "W10=", "é"])
async def test_a_page_token_that_mlflow_refuses_is_refused_in_its_words(mock_engine: Engine, token: str):
    experiment = await mock_engine.api.create_experiment("one", {})
    refused: list[str] = []
    for size in (10, 1_000):
        with pytest.raises(MlflowToolError) as caught:
            await mock_engine.api.search_runs([experiment], max_results=size, page_token=token)
        refused.append(repr(caught.value))
    assert refused[0] == refused[1]
    await mock_engine.aclose()


async def test_a_store_that_shows_a_part_of_its_tables_is_not_read_around(mock_engine: Engine):
    """Such as MLflow's store of workspaces, which is derived from its plain one."""
    reader = mock_engine.transports[0]
    assert isinstance(reader, RunPageReader)
    experiment = await mock_engine.api.create_experiment("one", {})
    search = {"experiment_ids": [experiment], "max_results": 1_000}
    assert await reader.read_run_page(search) == {"runs": [], "next_page_token": ""}
    (store, *_) = mlflow_internals._server_stores()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "__class__", type("WorkspaceStore", (type(store),), {}))
        assert await reader.read_run_page(search) is None
    await mock_engine.aclose()


def test_tables_that_cannot_be_asked_leave_the_question_to_mlflow(caplog: pytest.LogCaptureFixture):
    """Another schema, a locked database: MLflow's own answer tells."""
    empty = sqlalchemy.create_engine("sqlite://")
    assert read_page(empty, {"experiment_ids": ["1"], "max_results": 1_000}) is None
    assert "OperationalError" in caplog.text


async def test_more_runs_than_one_statement_names_are_read_whole(mock_engine: Engine):
    """Metrics, params and tags of run 1 and of run 1,200 alike, and their count in a summary."""
    experiment = await mock_engine.api.create_experiment("many", {})
    runs = [(f"{at:032x}", f"run-{at}", BEGAN + at, int(experiment)) for at in range(1_200)]
    with mlflow_internals.tracking_database().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO runs (run_uuid, name, start_time, experiment_id, status, lifecycle_stage, artifact_uri) "
            "VALUES (?, ?, ?, ?, 'FINISHED', 'active', '')",
            runs,
        )
        connection.exec_driver_sql("INSERT INTO params (key, value, run_uuid) SELECT 'lr', name, run_uuid FROM runs")
        connection.exec_driver_sql(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            f"SELECT 'acc', start_time - {BEGAN}, 1, 0, 0, run_uuid FROM runs"
        )
    async with connect(mock_engine, closes=False) as agent:
        with counted_requests() as requests:
            found = await agent.ask("summarize_experiment", experiment="many")
    assert not any(path.endswith("runs/search") for _, path in requests)
    (metric,) = [dict(zip(found["metrics"]["columns"], row, strict=True)) for row in found["metrics"]["rows"]]
    (param,) = found["varying_params"]["rows"]
    assert (found["runs"], metric["n"], param[1]) == (1_200, 1_200, 1_200)
    assert (metric["min"], metric["max"]) == (0, 1_199)
    await mock_engine.aclose()
