"""export_runs: every run of a search in a file of an allowed folder, and nothing else on the disk."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations import all_runs
from mcp_server.tools import exports
from tests.conftest import Agent, connect

Name = Callable[[str], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exports"
    made.mkdir()
    return made


def files_of(folder: Path) -> dict[str, int]:
    """Names and sizes."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def table_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def log(agent: Agent, experiment: str, count: int = 5) -> None:
    for at in range(count):
        await agent.ask(
            "log_run",
            experiment=experiment,
            run_name=f'run, "{at}"\nnext',
            params={"lr": f"0.{at}", **({"rare": "x"} if at == 2 else {})},
            metrics={"loss": "NaN" if at == 1 else at + 0.123456789012},
            tags={"team": "vision"},
            start_time=1_763_000_000_000 + at * 1_000,
            end_time=1_763_000_060_000 + at * 1_000,
        )


async def test_all_pages_are_written_in_every_format(
    engine: Engine, name: Name, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same runs, with every digit, oldest first; pages of two."""
    monkeypatch.setattr(all_runs.run_pages, "__kwdefaults__", {**all_runs.run_pages.__kwdefaults__, "page_size": 2})
    experiment = name("export")
    async with connect(engine, allowed_folders=(folder,)) as agent:
        await log(agent, experiment)
        found = {
            ending: await agent.ask("export_runs", path=f"runs.{ending}", experiments=experiment)
            for ending in ("csv", "jsonl", "parquet")
        }
    assert {(one["runs"], one["complete"]) for one in found.values()} == {(5, True)}
    assert {one["bytes"] for one in found.values()} == set(files_of(folder).values())
    rows = table_of(folder / "runs.csv")
    records = [json.loads(line) for line in (folder / "runs.jsonl").read_text("utf-8").splitlines()]
    table = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    assert [row["params.lr"] for row in rows] == [f"0.{at}" for at in range(5)]
    assert [row["run_id"] for row in rows] == [one["run_id"] for one in records] == [row["run_id"] for row in table]
    assert rows[0]["run_name"] == records[0]["run_name"] == table[0]["run_name"] == 'run, "0"\nnext'
    assert (rows[0]["metrics.loss"], records[0]["metrics"]["loss"], table[0]["metrics.loss"]) == (
        "0.123456789012",
        0.123456789012,
        0.123456789012,
    )
    assert (rows[1]["metrics.loss"], records[1]["metrics"]["loss"]) == ("NaN", "NaN")
    assert math.isnan(table[1]["metrics.loss"])
    assert [row["params.rare"] for row in rows] == ["", "", "x", "", ""]
    assert table[0]["params.rare"] is None
    assert (
        rows[0]["start_time"]
        == "2025-11-13T02:13:20.000+00:00"
        == table[0]["start_time"].isoformat(timespec="milliseconds")
    )
    assert (rows[0]["duration_seconds"], rows[0]["experiment"], rows[0]["tags.team"]) == ("60.0", experiment, "vision")
    assert not [column for column in rows[0] if column.startswith("tags.mlflow.log")]


async def test_a_param_is_no_formula_in_a_spreadsheet(mock_engine: Engine, folder: Path):
    """Numbers stay numbers, and the other formats hold what was logged."""
    params = {"a": '=HYPERLINK("http://x")', "b": "-0.5", "c": "@cmd", "d": "-1e-3"}
    async with connect(mock_engine, allowed_folders=(folder,)) as agent:
        await agent.ask("log_run", experiment="export", params=params)
        found = await agent.ask("export_runs", path="runs.csv", experiments="export")
        await agent.ask("export_runs", path="runs.jsonl", experiments="export")
    (row,) = table_of(folder / "runs.csv")
    assert [row[f"params.{key}"] for key in "abcd"] == ['\'=HYPERLINK("http://x")', "-0.5", "'@cmd", "-1e-3"]
    assert json.loads((folder / "runs.jsonl").read_text())["params"] == params
    assert found["hint"] == "2 texts that a spreadsheet would run as formulas begin with an apostrophe."


async def test_no_folder_is_allowed_by_default(mock_engine: Engine, tmp_path: Path):
    async with connect(mock_engine) as agent:
        said = await agent.refusal("export_runs", path=str(tmp_path / "runs.csv"))
    assert "MLFLOW_MCP_ALLOWED_FOLDERS" in said
    assert not (tmp_path / "runs.csv").exists()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("taken.csv", "exists already"),
        ("../out.csv", ".."),
        ("/etc/out.csv", "outside"),
        ("link/out.csv", "link"),
        (".hidden.csv", "hidden"),
        ("runs.xlsx", ".parquet"),
    ],
)
async def test_what_must_not_be_written_is_not(mock_engine: Engine, folder: Path, path: str, expected: str):
    (folder / "taken.csv").write_text("mine")
    (folder.parent / "outside").mkdir()
    os.symlink(folder.parent / "outside", folder / "link")
    async with connect(mock_engine, allowed_folders=(folder,)) as agent:
        await log(agent, "export", 1)
        said = await agent.refusal("export_runs", path=path, experiments="export")
    assert expected in said
    assert (folder / "taken.csv").read_text() == "mine"
    assert sorted(files_of(folder)) == ["link", "taken.csv"]
    assert files_of(folder.parent / "outside") == {}


async def test_a_failed_export_leaves_no_file(mock_engine: Engine, folder: Path):
    async with connect(mock_engine, allowed_folders=(folder,)) as agent:
        await log(agent, "export", 1)
        said = await agent.refusal("export_runs", path="runs.csv", experiments="exprt")
    assert "Closest: export" in said
    assert files_of(folder) == {}


async def test_an_export_that_runs_out_of_time_continues_in_another_file(
    mock_engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every run is in exactly one of the files."""
    monkeypatch.setattr(all_runs.run_pages, "__kwdefaults__", {**all_runs.run_pages.__kwdefaults__, "page_size": 2})
    monkeypatch.setattr(exports, "READING_PART", 0.0)
    async with connect(mock_engine, allowed_folders=(folder,)) as agent:
        await log(agent, "export")
        token, written = "", []
        while True:
            path = f"part-{len(written)}.jsonl"
            found = await agent.ask("export_runs", path=path, experiments="export", page_token=token)
            written += (folder / path).read_text().splitlines()
            assert found["complete"] == ("next_page_token" not in found)
            if found["complete"]:
                break
            token = found["next_page_token"]
    assert sorted(json.loads(line)["params"]["lr"] for line in written) == [f"0.{at}" for at in range(5)]


async def test_progress_is_reported_and_an_empty_search_says_why(mock_engine: Engine, folder: Path):
    seen: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    async with connect(mock_engine, allowed_folders=(folder,)) as agent:
        await log(agent, "export", 3)
        await agent.client.call_tool(
            "export_runs", {"path": "a.csv", "experiments": "export"}, progress_callback=progress
        )
        nothing = await agent.ask("export_runs", path="b.csv", experiments="export", filter_string="metrics.loss > 99")
    assert seen == ["3 runs read"]
    assert (nothing["runs"], "metrics.loss > 99" in nothing["hint"]) == (0, True)
