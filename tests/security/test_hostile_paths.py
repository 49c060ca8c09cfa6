"""Hostile paths and URIs through every tool and resource that takes one: nothing comes out, nobody is called."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from pydantic import SecretStr

from mcp_server.mlflow_integration.engine import engine_over
from tests.conftest import connect
from tests.security.hostile_paths import hostile_paths

CANARY = "canary-of-a-file-outside"
SECRET = "canary-of-a-credential"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are made as POSIX has them")


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port on this machine and everybody who connected to it."""
    callers: list[Any] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                callers.append(address)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], callers
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_artifacts", {"run": "{run}", "path": "{path}"}),
    ("list_artifacts", {"run": "{path}"}),
    ("read_artifact", {"run": "{run}", "path": "{path}"}),
    ("read_artifact", {"run": "{path}", "path": "passwd"}),
    ("compare_artifacts", {"run": "{run}", "other": "{run}", "path": "{path}"}),
    ("log_artifact", {"run": "{run}", "path": "{path}", "content": "x"}),
    ("log_artifact", {"run": "{run}", "files": ["{path}"]}),
    ("download_artifacts", {"run": "{run}", "to": "{path}", "path": "notes.txt"}),
    ("download_artifacts", {"run": "{run}", "to": "down", "path": "{path}"}),
    ("log_run", {"experiment": "uploads", "files": ["{path}"]}),
    ("register_model", {"name": "m", "model_uri": "{path}"}),
    ("register_model", {"name": "m", "run": "{run}", "model": "{path}"}),
]


async def test_no_hostile_path_gets_anything_out_or_calls_anybody(
    mock_engine: Any, tmp_path: Path, listener: tuple[int, list[Any]]
):
    """Every path in every place: no byte of a file outside, no credential, no connection, no file outside changed."""
    port, callers = listener
    outside, allowed = tmp_path / "outside", tmp_path / "allowed"
    outside.mkdir()
    allowed.mkdir()
    (outside / "secret.txt").write_text(CANARY)
    (allowed / "plain.txt").write_text("plain")
    paths = hostile_paths(str(outside), port)
    assert len(paths) >= 200
    settings = mock_engine.settings.model_copy(
        update={"allowed_folders": (allowed,), "password": SecretStr(SECRET), "token": SecretStr(SECRET)}
    )
    engine = engine_over(mock_engine.location, settings, *([mock_engine.transports[0]] * 2))
    passwd = _first_line("/etc/passwd")
    refused = 0
    async with connect(engine) as agent:
        run = await agent.ask("log_run", experiment="files", artifacts={"notes.txt": "notes", "sub/x.txt": "x"})
        _plant(await _artifact_folder(engine, run["run_id"]), outside)
        before = _tree(outside)
        for path in paths:
            for tool, arguments in CALLS:
                filled = json.loads(json.dumps(arguments).replace("{run}", run["run_id"]))
                filled = {k: _with(v, path) for k, v in filled.items()}
                result = await agent.client.call_tool(tool, filled)
                refused += bool(result.is_error)
                text = result.model_dump_json()
                assert CANARY not in text and SECRET not in text and passwd not in text, (tool, path)
                assert "inside this server" not in text, (tool, path, text)
            for uri in (
                f"mlflow://runs/{run['run_id']}/artifacts/{path}",
                f"mlflow://runs/{path}",
                f"mlflow://models/{path}",
            ):
                try:
                    contents = (await agent.client.read_resource(uri)).contents
                except (MCPError, UnicodeEncodeError) as error:
                    assert CANARY not in str(error) and "inside this server" not in str(error), (uri, error)
                    refused += 1
                else:
                    assert CANARY not in str(contents), uri
    assert callers == []
    assert _tree(outside) == before
    assert refused > len(paths) * len(CALLS) / 2


def _first_line(path: str) -> str:
    return Path(path).read_text().splitlines()[0]


def _with(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_with(item, path) for item in value]
    return path if value == "{path}" else value


async def _artifact_folder(engine: Any, run_id: str) -> Path:
    return Path((await engine.api.get_run(run_id)).artifact_uri.removeprefix("file://"))


def _plant(folder: Path, outside: Path) -> None:
    """What somebody with access to the store may leave among the artifacts."""
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (folder / "within.txt").symlink_to(folder / "notes.txt")
    (folder / "linked folder").symlink_to(outside)
    os.link(outside / "secret.txt", folder / "hard.txt")
    os.mkfifo(folder / "pipe")


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["link.txt", "hard.txt", "pipe", "linked folder/secret.txt", "within.txt"])
async def test_links_and_pipes_among_the_artifacts_are_refused_with_a_sentence(
    mock_engine: Any, tmp_path: Path, name: str
):
    """By the tool and the resource alike, without waiting for the pipe."""
    (tmp_path / "secret.txt").write_text(CANARY)
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="files", artifacts={"notes.txt": "notes"}))["run_id"]
        _plant(await _artifact_folder(mock_engine, run), tmp_path)
        sentence = await agent.refusal("read_artifact", run=run, path=name)
        with pytest.raises(MCPError) as refused:
            await agent.client.read_resource(f"mlflow://runs/{run}/artifacts/{name.replace(' ', '%20')}")
    assert CANARY not in sentence + str(refused.value)
    assert sentence.endswith(".")


async def test_artifacts_at_a_place_mlflow_did_not_choose_are_not_read(
    mock_engine: Any, tmp_path: Path, listener: tuple[int, list[Any]]
):
    """A run whose location was rewritten in the database: no file of it, no connection to it."""
    from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts

    port, callers = listener
    (tmp_path / "secret.txt").write_text(CANARY)
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="files", artifacts={"notes.txt": "notes"}))["run_id"]
        for uri in (
            str(tmp_path),
            f"file://{tmp_path}",
            f"http://127.0.0.1:{port}/x",
            f"mlflow-artifacts://127.0.0.1:{port}/x",
        ):
            with pytest.MonkeyPatch.context() as patch:
                check = Artifacts._need_trusted
                changed = lambda self, _, ending, uri=uri, check=check: check(self, uri, ending)  # noqa: E731
                patch.setattr(Artifacts, "_need_trusted", changed)
                sentence = await agent.refusal("read_artifact", run=run, path="secret.txt")
            assert "is not one that MLflow would choose" in sentence
    assert callers == []
