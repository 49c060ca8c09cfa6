"""Artifacts logged, downloaded and compared, on every store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcp_server.mlflow_integration.operations.files import uploads
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT
from tests.artifacts.conftest import Fill
from tests.conftest import connect


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """An allowed folder with files in folders, and what is never uploaded."""
    folder = tmp_path / "allowed"
    for path, content in {"a/m.json": "1", "b/m.json": "2", "report/é 1.md": "# A", "report/deep/x.txt": "x"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / "report" / ".env").write_text("canary")
    (folder / "report" / "id_rsa").write_text("canary")
    (folder / "report" / "out").symlink_to("/etc/passwd")
    return folder


async def test_text_and_json_are_logged_to_a_run_that_exists(engine: Any, name: Any):
    """And what they replace is named."""
    async with connect(engine) as agent:
        run = (await agent.ask("log_run", experiment=name("churn"), run_name=name("r")))["run_id"]
        first = await agent.ask("log_artifact", run=run, path="notes/plan.md", content="# Plan")
        again = await agent.ask("log_artifact", run=run, path="notes/plan.md", content="# Other")
        await agent.ask("log_artifact", run=run, path="config.json", content={"lr": 0.1, "layers": [1, 2]})
        text = await agent.ask("read_artifact", run=run, path="notes/plan.md")
        value = await agent.ask("read_artifact", run=run, path="config.json", json_path="layers[1]")
    assert (first["logged"], "replaced" in first) == (1, False)
    assert again["replaced"] == ["notes/plan.md"]
    assert (text["content"], value["content"]) == ("# Other", "2")


async def test_files_and_folders_are_logged_from_allowed_folders(mock_engine: Any, allowed: Path):
    """Same names keep their folders, a folder keeps its tree; hidden files and links are left out and named."""
    told: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total))

    engine = mock_engine
    engine = _with_folder(engine, allowed)
    async with connect(engine) as agent:
        run = (await agent.ask("log_run", experiment="churn"))["run_id"]
        twins = await agent.ask("log_artifact", run=run, files=["a/m.json", str(allowed / "b" / "m.json")])
        result = await agent.client.call_tool(
            "log_artifact", {"run": run, "files": ["report"], "path": "docs"}, progress_callback=progress
        )
        listed = [row[0] for row in (await agent.ask("list_artifacts", run=run))["rows"]]
    assert twins["logged"] == 2
    assert listed == ["a/m.json", "b/m.json", "docs/report/deep/x.txt", "docs/report/é 1.md"]
    assert len(result.structured_content["skipped"]) == 3  # type: ignore[index]
    assert told == [(0, 2), (1, 2)]


async def test_files_are_downloaded_into_an_allowed_folder_whole_and_once(
    engine: Any, name: Any, filled: Fill, contents: dict[str, bytes], tmp_path: Path
):
    """Each below its own path; a second call finds them there; nothing is overwritten."""
    folder = tmp_path / "down"
    folder.mkdir()
    run = await filled(engine, name("files"))
    engine = _with_folder(engine, folder)
    async with connect(engine) as agent:
        first = await agent.ask("download_artifacts", run=run, to=str(folder / "new"))
        again = await agent.ask("download_artifacts", run=run, to="new")
        (folder / "new" / "train.log").write_text("mine")
        refused = await agent.refusal("download_artifacts", run=run, to="new", path="train.log")
    found = {
        path.relative_to(folder / "new").as_posix(): path for path in (folder / "new").rglob("*") if path.is_file()
    }
    assert sorted(found) == sorted(contents)
    assert all(path.read_bytes() == contents[key] for key, path in found.items() if key != "train.log")
    assert (first["downloaded"], again["downloaded"]) == (len(contents), 0)
    assert (folder / "new" / "train.log").read_text() == "mine"
    assert "not overwritten" in refused


async def test_the_model_of_a_run_is_downloaded_and_compared(mock_engine: Any, logged_model: Any, tmp_path: Path):
    """The folder that MLflow 3 keeps beside the run."""
    engine = _with_folder(mock_engine, tmp_path)
    async with connect(engine) as agent:
        await agent.ask("get_server_info")
        first, second = logged_model(engine), logged_model(engine)
        got = await agent.ask("download_artifacts", run=first, to="model copy", path="model", pattern="*.txt")
        compared = await agent.ask("compare_artifacts", run=first, other=second)
    assert got["files"]["rows"][0][0] == "model copy/model/requirements.txt"
    assert (tmp_path / "model copy" / "model" / "requirements.txt").exists()
    assert ["model/MLmodel", "differs"] in [row[:2] for row in compared["differences"]["rows"]]
    assert compared["same"] >= 2


async def test_runs_are_compared_by_path_size_and_content(engine: Any, name: Any):
    """Equal size and other content differs; a text shows its lines."""
    files = {"one.txt": "a\nb\nc\n", "same.txt": "same", "left.txt": "x"}
    other = {"one.txt": "a\nB\nc\n", "same.txt": "same", "right.txt": "yy"}
    async with connect(engine) as agent:
        first = (await agent.ask("log_run", experiment=name("churn"), artifacts=files))["run_id"]
        second = (await agent.ask("log_run", experiment=name("churn"), artifacts=other))["run_id"]
        compared = await agent.ask("compare_artifacts", run=first, other=second)
        shown = await agent.ask("compare_artifacts", run=first, other=second, path="one.txt")
        missing = await agent.refusal("compare_artifacts", run=first, other=second, path="left.txt")
    rows = {row[0]: row[1] for row in compared["differences"]["rows"]}
    assert rows == {"left.txt": "only in first", "one.txt": "differs", "right.txt": "only in second"}
    assert compared["same"] == 1
    assert "-b\n+B" in shown["difference"]
    assert "left.txt" in missing


async def test_local_files_need_an_allowed_folder(mock_engine: Any, allowed: Path, filled: Fill):
    """None by default; nothing is read or written without one."""
    run = await filled(mock_engine, "files")
    async with connect(mock_engine) as agent:
        up = await agent.refusal("log_artifact", run=run, files=[str(allowed / "a" / "m.json")])
        down = await agent.refusal("download_artifacts", run=run, to=str(allowed), path="config.json")
        neither = await agent.refusal("log_artifact", run=run, path="x.txt")
    assert "MLFLOW_MCP_ALLOWED_FOLDERS" in up and "MLFLOW_MCP_ALLOWED_FOLDERS" in down
    assert "content" in neither
    assert not (allowed / "config.json").exists()


def _with_folder(engine: Any, folder: Path) -> Any:
    """The engine as it would be with this folder allowed."""
    from mcp_server.mlflow_integration.engine import engine_over

    settings = engine.settings.model_copy(update={"allowed_folders": (folder,)})
    return engine_over(engine.location, settings, engine.transports[0], engine.transports[-1])


LARGE = UPLOAD_LIMIT + 1


async def test_files_larger_than_mlflow_posts_and_empty_ones_are_uploaded_in_pieces(
    engine: Any, name: Any, tmp_path: Path
):
    """By log_artifact with progress within a file, and by log_run, to the byte."""
    told: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(done)

    (tmp_path / "weights ü.bin").write_bytes(b"start" + bytes(LARGE - 5))
    (tmp_path / "__init__.py").touch()
    files = ["weights ü.bin", "__init__.py"]
    async with connect(_with_folder(engine, tmp_path)) as agent:
        run = (await agent.ask("log_run", experiment=name("churn"), run_name=name("r"), files=files))["run_id"]
        first = await agent.rows("list_artifacts", run=run)
        await agent.client.call_tool(
            "log_artifact", {"run": run, "files": files[:1], "path": "sub folder"}, progress_callback=progress
        )
        await agent.ask("download_artifacts", run=run, to="down", path="sub folder")
    assert {row["path"]: row["size_bytes"] for row in first} == {"weights ü.bin": LARGE, "__init__.py": 0}
    content = (tmp_path / "down" / "sub folder" / "weights ü.bin").read_bytes()
    assert content == (tmp_path / "weights ü.bin").read_bytes()
    assert told == sorted(told)
    assert any(0 < done < 1 for done in told)


@pytest.mark.parametrize("change", ["shorter", "longer", "key"])
async def test_a_file_that_changes_while_it_is_uploaded_is_noticed(
    engine: Any, name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    """A shorter one and one with a key in it are not stored; of a longer one, what it held."""
    path = tmp_path / "train.log"
    path.write_bytes(b"x" * LARGE)
    read = uploads._Body.read

    def changing(self: Any, size: int) -> bytes:
        piece = read(self, size)
        with open(path, "r+b") as file:
            if change == "shorter":
                file.truncate(5)
            else:
                file.seek(0, 2)
                file.write(b"more" if change == "longer" else b"")
                file.seek(LARGE - 100)
                file.write(b"-----BEGIN RSA PRIVATE KEY-----" if change == "key" else b"")
        return piece

    monkeypatch.setattr(uploads._Body, "read", changing)
    async with connect(_with_folder(engine, tmp_path)) as agent:
        run = (await agent.ask("log_run", experiment=name("churn"), run_name=name("r")))["run_id"]
        if change == "longer":
            answer = await agent.ask("log_artifact", run=run, files=["train.log"])
            assert (answer["size_bytes"], "train.log" in answer["hint"]) == (LARGE, True)
        else:
            refused = await agent.refusal("log_artifact", run=run, files=["train.log"])
            assert ("became shorter" if change == "shorter" else "key material") in refused
            assert (await agent.ask("list_artifacts", run=run))["rows"] == []


async def test_a_link_planted_among_the_artifacts_is_not_written_through(mock_engine: Any, tmp_path: Path):
    """Neither a linked folder nor a linked file."""
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="churn", artifacts={"a.txt": "a"}))["run_id"]
        folder = Path((await mock_engine.api.get_run(run)).artifact_uri.removeprefix("file://"))
        (tmp_path / "outside.txt").write_text("mine")
        (folder / "linked").symlink_to(tmp_path)
        (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
        refused = await agent.refusal("log_artifact", run=run, path="linked/new.txt", content="x")
        await agent.ask("log_artifact", run=run, path="link.txt", content="x")
    assert "link" in refused
    assert (tmp_path / "outside.txt").read_text() == "mine"
    assert not (tmp_path / "new.txt").exists()
