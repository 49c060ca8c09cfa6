"""Artifacts of a run listed and read, on every store."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

from mcp_server.resource_uris import artifact_uri
from tests.artifacts.conftest import FILES, LOG_LINES, TRACEBACK, Fill, content_of, log_text
from tests.conftest import connect


async def test_every_file_of_a_run_is_listed_by_path_with_its_size(
    engine: Any, name: Any, filled: Fill, contents: dict[str, bytes]
):
    """Folders are entered, names with spaces and unicode included."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        rows = await agent.rows("list_artifacts", run=run)
    assert {row["path"]: row["size_bytes"] for row in rows} == {path: len(data) for path, data in contents.items()}
    assert [row["path"] for row in rows] == sorted(FILES, key=lambda path: path.split("/"))


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_pages_of_files_follow_each_other_to_the_end(mock_engine: Any, filled: Fill, size: int):
    """Each file once, whatever the size of a page."""
    run = await filled(mock_engine, "files")
    seen: list[str] = []
    async with connect(mock_engine) as agent:
        token = ""
        while True:
            page = await agent.ask("list_artifacts", run=run, max_results=size, page_token=token)
            seen += [row[0] for row in page["rows"]]
            token = page.get("next_page_token", "")
            if not token:
                break
    assert seen == sorted(FILES, key=lambda path: path.split("/"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"pattern": "*.png"}, ["plots/confusion matrix.png", "plots/large.png"]),
        ({"pattern": "tables/*"}, ["tables/eval.json", "tables/predictions.csv", "tables/predictions.parquet"]),
        ({"pattern": "**/*.TXT"}, ["100% done.txt", "plots/deep/er/ünïcode 文.txt"]),
        ({"path": "plots/deep"}, ["plots/deep/er/ünïcode 文.txt"]),
        ({"path": "plots/", "pattern": "large*"}, ["plots/large.png"]),
        ({"path": "train.log"}, ["train.log"]),
        ({"pattern": "*.onnx"}, []),
    ],
)
async def test_a_folder_and_a_glob_choose_files(mock_engine: Any, filled: Fill, arguments: Any, expected: list[str]):
    """What a person would type in a shell."""
    run = await filled(mock_engine, "files")
    async with connect(mock_engine) as agent:
        found = await agent.ask("list_artifacts", run=run, **arguments)
    assert [row[0] for row in found["rows"]] == expected
    assert bool(expected) or "No file" in found["hint"]


async def test_one_call_finds_why_a_run_failed(engine: Any, name: Any, filled: Fill):
    """The traceback at the end of a long log, by pattern and by tail."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        found = await agent.ask("read_artifact", run=run, path="train.log", pattern="Traceback|error", context=1)
        last = await agent.ask("read_artifact", run=run, path="train.log", tail=8)
    texts = [line.split(" ", 1)[-1] for line in content_of(found)]
    assert "\n".join(TRACEBACK.split("\n")) in "\n".join(texts)
    assert found["total_lines"] == LOG_LINES + 7
    assert content_of(found)[0].startswith(f"{LOG_LINES}- ")
    assert content_of(last) == log_text().rstrip("\n").split("\n")[-8:]


async def test_a_text_is_read_by_lines_and_says_how_to_go_on(engine: Any, name: Any, filled: Fill):
    """The beginning without a range, then any range."""
    run = await filled(engine, name("files"))
    lines = log_text().split("\n")
    async with connect(engine) as agent:
        first = await agent.ask("read_artifact", run=run, path="train.log")
        shown = content_of(first)
        assert shown == lines[: len(shown)]
        assert len(shown) > 50
        assert f"start_line={len(shown) + 1}" in first["hint"]
        some = await agent.ask("read_artifact", run=run, path="train.log", start_line=15_000, end_line=15_003)
        assert content_of(some) == lines[14_999:15_003]
        deep = await agent.ask("read_artifact", run=run, path="plots/deep/er/ünïcode 文.txt")
        assert (deep["content"], deep["total_lines"]) == ("grüße\nzweite Zeile", 2)
        percent = await agent.ask("read_artifact", run=run, path="100% done.txt")
        assert percent["content"] == "all of it"
        beyond = await agent.ask("read_artifact", run=run, path="config.json", start_line=900)
        assert "1 line" in beyond["hint"]


async def test_images_come_as_images_and_large_ones_smaller(engine: Any, name: Any, filled: Fill, contents: Any):
    """Never beside structured content, which would hide them."""
    from PIL import Image

    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        for path, width, height in (("plots/confusion matrix.png", 400, 300), ("plots/large.png", 1_024, 683)):
            result = await agent.client.call_tool("read_artifact", {"run": run, "path": path})
            text, image = result.content
            assert result.structured_content is None
            data = base64.b64decode(image.data)  # type: ignore[union-attr]
            assert Image.open(io.BytesIO(data)).size == (width, height)
            assert "width: " in text.text  # type: ignore[union-attr]
            assert image.mime_type == "image/png"  # type: ignore[union-attr]
            assert (data == contents[path]) is (width == 400)


async def test_tables_are_shown_as_facts_about_columns_and_chosen_rows(engine: Any, name: Any, filled: Fill):
    """CSV, Parquet and mlflow.log_table alike."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        csv = await agent.ask("read_artifact", run=run, path="tables/predictions.csv")
        assert csv["rows_in_file"] == 50
        facts = {row[0]: dict(zip(csv["columns"]["columns"], row, strict=True)) for row in csv["columns"]["rows"]}
        assert (facts["score"]["min"], facts["score"]["mean"], facts["score"]["max"]) == (0.1, 2.55, 5)
        assert (facts["label"]["type"], facts["label"]["distinct"], facts["note"]["missing"]) == ("text", 2, 40)
        assert csv["rows"]["rows"][4] == [5, "5", "0.5", "yes", "x, y"]
        rows = await agent.ask(
            "read_artifact", run=run, path="tables/predictions.csv", start_line=49, end_line=60, columns=["id", "label"]
        )
        assert rows["rows"]["rows"] == [[49, "49", "yes"], [50, "50", "no"]]
        parquet = await agent.ask("read_artifact", run=run, path="tables/predictions.parquet")
        assert parquet["rows_in_file"] == 5_000
        assert parquet["columns"]["rows"][0] == ["id", "int64", 0, 4_999]
        late = await agent.ask(
            "read_artifact",
            run=run,
            path="tables/predictions.parquet",
            start_line=2_501,
            end_line=2_502,
            columns=["name"],
        )
        assert late["rows"]["rows"] == [[2_501, "n2500"], [2_502, "n2501"]]
        table = await agent.ask("read_artifact", run=run, path="tables/eval.json")
        assert table["rows"]["rows"] == [[1, "2+2?", "4", True], [2, "3+3?", "7", False]]


async def test_json_is_read_by_path(engine: Any, name: Any, filled: Fill):
    """Whole when it is small, one value by its path, and a wrong path names what is there."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        whole = await agent.ask("read_artifact", run=run, path="config.json")
        assert '"units": 64' in whole["content"]
        for path, value in (
            ("layers[1].units", "32"),
            ("$.lr", "0.1"),
            ('["a.b"]', '"dotted"'),
            ("layers[-1]", '{\n  "units": 32\n}'),
        ):
            assert (await agent.ask("read_artifact", run=run, path="config.json", json_path=path))["content"] == value
        wrong = await agent.refusal("read_artifact", run=run, path="config.json", json_path="layer[0]")
        assert "layers" in wrong


async def test_binary_files_are_described_and_never_sent(engine: Any, name: Any, filled: Fill):
    """A pickle is named as what it is; nothing loads it."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        weights = await agent.ask("read_artifact", run=run, path="weights.bin")
        pickle = await agent.ask("read_artifact", run=run, path="model.pkl", tail=5)
    assert weights["content_is"] == "binary data"
    assert "pickle" in pickle["content_is"]
    assert "content" not in weights and "content" not in pickle


async def test_a_file_that_is_not_there_is_answered_with_the_closest(engine: Any, name: Any, filled: Fill):
    """And a folder with the tool that lists it."""
    run = await filled(engine, name("files"))
    async with connect(engine) as agent:
        missing = await agent.refusal("read_artifact", run=run, path="plots/confusion_matrix.png")
        folder = await agent.refusal("read_artifact", run=run, path="plots")
        above = await agent.refusal("read_artifact", run=run, path="Confusion Matrix.png")
        similar = await agent.refusal("read_artifact", run=run, path="predictions.parq")
        nowhere = await agent.refusal("read_artifact", run=run, path="nowhere/x.txt")
    assert "plots/confusion matrix.png" in missing
    assert "folder" in folder and "list_artifacts" in folder
    assert "train.log" in nowhere
    assert "Closest: plots/confusion matrix.png." in above
    assert "tables/predictions.parquet" in similar


async def test_the_model_of_a_run_is_read_in_every_way_it_is_named(engine: Any, name: Any, logged_model: Any):
    """As a folder of the run (MLflow 3 keeps it elsewhere), by its own id, as a version and by an alias."""
    async with connect(engine) as agent:
        await agent.ask("get_server_info")  # Opens the store that MLflow's own client then shares.
        run = logged_model(engine)
        churn = name("churn")
        version = await agent.ask("register_model", name=churn, run=run, alias="champion")
        listed = await agent.ask("list_artifacts", run=run)
        assert "model/MLmodel" in [row[0] for row in listed["rows"]]
        model_id = listed["hint"].split("logged model ")[1].split(",")[0]
        ways = [
            (run, "model/"),
            (model_id, ""),
            (f"models:/{churn}/{version['version']}", ""),
            (f"models:/{churn}@champion", ""),
        ]
        for name_in_run in ("model", model_id):
            found = await agent.client.read_resource(artifact_uri(run, f"{name_in_run}/requirements.txt"))
            assert "cloudpickle" in found.contents[0].text  # type: ignore[union-attr]
        for place, folder in ways:
            files = [row[0] for row in (await agent.ask("list_artifacts", run=place))["rows"]]
            assert f"{folder}requirements.txt" in files
            requirements = await agent.ask("read_artifact", run=place, path=f"{folder}requirements.txt")
            assert {"scikit-learn", "cloudpickle"} <= {row[0] for row in requirements["packages"]["rows"]}
            model = await agent.ask("read_artifact", run=place, path=f"{folder}MLmodel")
            assert set(model["flavors"]) == {"python_function", "sklearn"}
            conda = await agent.ask("read_artifact", run=place, path=f"{folder}conda.yaml")
            assert ["cloudpickle", "any", "pip"] in conda["packages"]["rows"]


async def test_one_way_to_choose_a_part_and_no_more(mock_engine: Any, filled: Fill):
    """Two would leave open which part is shown."""
    run = await filled(mock_engine, "files")
    async with connect(mock_engine) as agent:
        both = await agent.refusal("read_artifact", run=run, path="train.log", tail=5, pattern="x")
        backwards = await agent.refusal("read_artifact", run=run, path="train.log", start_line=5, end_line=2)
    assert "tail" in both and "pattern" in both
    assert "before" in backwards
