"""What artifact tools, resources and completions refuse or answer is the same on every store, ids and times masked."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

from mcp_server import resource_uris as uris
from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.settings import Settings
from tests.conftest import Agent, connect
from tests.registry_world import MLMODEL
from tests.test_parity import Answer, masked

PLACE = "alike-churn"
MODEL = "alike-model"
HOSTILE = (
    *("../secret.txt", "/etc/passwd", "sub/../../x", "%2e%2e/%2e%2e/secret.txt", "..%2fsecret.txt", "%252e%252e/x"),
    *("..\\secret.txt", "..%5csecret.txt", "C:\\Windows\\win.ini", "\\\\host\\share\\x", "file:///etc/passwd"),
    *("a\x00b", "x" * 300, "a/" * 700 + "x", ".", "..", "/", " ", "http://127.0.0.1:9/x", "\ud800", "CON", "\u202ex"),
)


async def _world(agent: Agent) -> dict[str, str]:
    """Two runs with files and a model; the ids by name."""
    files = {
        "notes.txt": "first\nsecond\n",
        "config.json": '{"lr": 0.1}',
        "broken.json": "{",
        "sub/table.csv": "a,b\n1,2\n",
        "not.parquet": "PAR1 no",
        "not.png": "no image",
        "model/MLmodel": MLMODEL,
    }
    ids: dict[str, str] = {}
    for name in ("one", "two"):
        made = await agent.ask(
            "log_run",
            experiment=PLACE,
            run_name=f"alike-{name}",
            params={"lr": 1},
            metrics={"auc": 0.5},
            artifacts=files,
        )
        ids |= {name: made["run_id"], "experiment": made["experiment_id"]}
    await agent.ask("register_model", name=MODEL, run=ids["one"], alias="champion")
    return ids


def _calls(run: str, other: str) -> list[tuple[str, dict[str, Any]]]:
    """Calls that cannot be carried out as they are, or only just."""
    return [
        *(("read_artifact", {"run": run, "path": path}) for path in HOSTILE),
        *(("list_artifacts", {"run": run, "path": path}) for path in HOSTILE[::4]),
        *(("log_artifact", {"run": run, "path": path, "content": "x"}) for path in HOSTILE[::4]),
        *(("log_artifact", {"run": run, "files": [path]}) for path in HOSTILE[::4]),
        *(("download_artifacts", {"run": run, "to": path, "path": "notes.txt"}) for path in HOSTILE[::4]),
        *(("compare_artifacts", {"run": run, "other": other, "path": path}) for path in HOSTILE[::4]),
        *(("read_artifact", {"run": reference, "path": "x"}) for reference in ("none", "0" * 32, "", "m-" + "0" * 32)),
        *(
            ("list_artifacts", {"run": place})
            for place in ("models:/none/1", f"models:/{MODEL}@no", f"models:/{MODEL}")
        ),
        ("list_artifacts", {"run": f"models:/{MODEL}/7"}),
        ("list_artifacts", {"run": f"models:/{MODEL}@champion"}),
        ("read_artifact", {"run": run, "path": "note.txt"}),
        ("read_artifact", {"run": run, "path": "sub"}),
        ("read_artifact", {"run": run, "path": "notes.txt/x"}),
        ("read_artifact", {"run": run, "path": "not.parquet"}),
        ("read_artifact", {"run": run, "path": "not.png"}),
        ("read_artifact", {"run": run, "path": "broken.json"}),
        ("read_artifact", {"run": run, "path": "broken.json", "json_path": "a"}),
        ("read_artifact", {"run": run, "path": "notes.txt", "json_path": "a"}),
        ("read_artifact", {"run": run, "path": "config.json", "json_path": "rl"}),
        ("read_artifact", {"run": run, "path": "notes.txt", "pattern": "(a+)+$"}),
        ("read_artifact", {"run": run, "path": "notes.txt", "pattern": "(["}),
        ("read_artifact", {"run": run, "path": "notes.txt", "pattern": "third"}),
        ("read_artifact", {"run": run, "path": "notes.txt", "tail": 1, "start_line": 1}),
        ("read_artifact", {"run": run, "path": "notes.txt", "tail": -1}),
        ("read_artifact", {"run": run, "path": "sub/table.csv", "columns": ["c"]}),
        ("read_artifact", {"run": run, "path": "sub/table.csv", "start_line": 9}),
        ("list_artifacts", {"run": run, "pattern": "*.onnx"}),
        ("list_artifacts", {"run": run, "path": "nowhere"}),
        ("list_artifacts", {"run": run, "max_results": 2}),
        ("list_artifacts", {"run": run, "page_token": "zzz"}),
        ("compare_artifacts", {"run": run, "other": "none"}),
        ("compare_artifacts", {"run": run, "other": other, "path": "nothing.txt"}),
        ("log_artifact", {"run": run}),
        ("log_artifact", {"run": run, "content": "x"}),
        ("log_artifact", {"run": run, "path": "notes.txt/below", "content": "x"}),
        ("log_artifact", {"run": run, "path": "sub", "content": "x"}),
        ("log_artifact", {"run": run, "path": "large.txt", "content": "x" * 1_000_001}),
        ("log_artifact", {"run": "none", "path": "a.txt", "content": "x"}),
        ("log_artifact", {"run": f"models:/{MODEL}/1", "path": "a.txt", "content": "x"}),
        ("log_artifact", {"run": run, "files": ["missing.txt", "plain.txt"]}),
        ("log_artifact", {"run": run, "files": ["link.txt"]}),
        ("log_artifact", {"run": run, "files": ["pipe"]}),
        ("log_artifact", {"run": run, "files": [".env"]}),
        ("log_artifact", {"run": run, "files": ["id_rsa"]}),
        ("log_artifact", {"run": run, "files": ["empty.txt"]}),
        ("log_artifact", {"run": run, "files": ["plain.txt"], "path": "up"}),
        ("download_artifacts", {"run": run, "to": "down", "path": "nothing.txt"}),
        ("download_artifacts", {"run": run, "to": "down", "pattern": "*.onnx"}),
        ("download_artifacts", {"run": run, "to": "down", "path": "notes.txt"}),
        ("download_artifacts", {"run": run, "to": "down", "path": "notes.txt"}),
        ("download_artifacts", {"run": run, "to": "taken", "path": "notes.txt"}),
        ("download_artifacts", {"run": run, "to": "plain.txt", "path": "notes.txt"}),
        ("log_run", {"experiment": PLACE, "run_name": "alike-no", "files": ["../x"]}),
        ("log_run", {"experiment": PLACE, "run_name": "alike-no", "artifacts": {"../x": "y"}}),
    ]


def _uris(run: str, experiment: str) -> list[str]:
    return [
        *(
            uris.SERVER,
            "mlflow://nothing",
            "http://127.0.0.1:9/x",
            "file:///etc/passwd",
            "mlflow://runs",
            "mlflow://runs/",
        ),
        *(uris.run_uri(run), uris.run_uri("0" * 32), "mlflow://runs/none", uris.experiment_uri(experiment)),
        *("mlflow://experiments/99999", "mlflow://experiments/x", uris.model_uri(MODEL), "mlflow://models/none"),
        *(uris.model_version_uri(MODEL, "1"), uris.model_version_uri(MODEL, "9"), uris.model_version_uri(MODEL, "x")),
        *(uris.artifact_uri(run, path) for path in ("notes.txt", "sub", "none.txt", "model/MLmodel", "not.png")),
        *(f"{uris.run_uri(run)}/artifacts/{path}" for path in HOSTILE if path != "\ud800"),
    ]


def _completions(run: str) -> list[tuple[Any, str, str, dict[str, str]]]:
    promote = PromptReference(type="ref/prompt", name="find_best_and_promote")
    compare = PromptReference(type="ref/prompt", name="compare_two_runs")
    artifact = ResourceTemplateReference(type="ref/resource", uri=uris.RUN_ARTIFACT)
    version = ResourceTemplateReference(type="ref/resource", uri=uris.MODEL_VERSION)
    return [
        *((promote, "experiment", typed, {}) for typed in (PLACE, "ALIKE-CH", "alike-chrun", "x" * 10_000, "\x00%_'")),
        *((promote, "metric", typed, {"experiment": PLACE}) for typed in ("", "a", "zzz")),
        *((promote, "metric", "", {"experiment": place}) for place in ("none", "../x", "\x00")),
        *((promote, "model", typed, {}) for typed in (MODEL, "alike-modle")),
        *((promote, "alias", "", {"model": model}) for model in (MODEL, "none", "../x")),
        *((compare, argument, "alike-", {}) for argument in ("first", "second", "third")),
        *((artifact, "path", typed, {"run_id": run}) for typed in ("", "sub", "NOTES", "nots.txt", "../")),
        *((artifact, "path", "", {"run_id": other}) for other in ("none", "../x", "0" * 32)),
        *((version, "version", typed, {"name": MODEL}) for typed in ("", "1", "ch")),
    ]


async def _answers(agent: Agent) -> AsyncIterator[Answer]:
    ids = await _world(agent)
    for tool, arguments in _calls(ids["one"], ids["two"]):
        result = await agent.client.call_tool(tool, arguments)
        text = "\n".join(getattr(part, "text", f"<{part.type}>") for part in result.content)
        assert "inside this server" not in text and "Traceback" not in text, (tool, arguments, text)
        yield _named(f"{tool} {arguments}", ids), text, result.structured_content
    for uri in _uris(ids["one"], ids["experiment"]):
        try:
            contents = (await agent.client.read_resource(uri)).contents
        except MCPError as error:
            yield _named(uri, ids), f"{error.error.code} {error.error.message}", {}
        else:
            yield _named(uri, ids), "", {} if uri == uris.SERVER else _content(contents[0])
    for ref, argument, typed, others in _completions(ids["one"]):
        found = await agent.client.complete(ref, {"name": argument, "value": typed}, context_arguments=others)
        values = found.completion.values
        if argument in ("experiment", "model"):  # Other tests use the same server, with names that resemble these.
            values = [value for value in values if value.startswith("alike-")]
        yield f"complete {argument} {typed!r:.100}", "", {"values": values}


def _named(asked: str, ids: dict[str, str]) -> str:
    """What was asked, with names in the place of ids."""
    for name, found in ids.items():
        asked = asked.replace(found, f"<{name}>") if len(found) > 9 else asked.replace(f"experiments/{found}", "<e>")
    return ascii(asked)[:200]


def _content(found: Any) -> dict[str, Any]:
    """A content of a resource, JSON as what it says; not the id of the experiment, which is another everywhere."""
    if found.mime_type != "application/json":
        return found.model_dump()
    return {name: value for name, value in json.loads(found.text).items() if name != "experiment_id"}


def _local_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "taken").mkdir()
    for name, content in {
        "plain.txt": "plain",
        "empty.txt": "",
        ".env": "x",
        "id_rsa": "x",
        "taken/notes.txt": "y",
    }.items():
        (folder / name).write_text(content)
    (folder / "link.txt").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")


async def test_refusals_resources_and_completions_are_alike_on_every_store(mlflow_server: str, tmp_path: Path):
    """Hostile paths, missing files, wrong kinds, too much, wrong URIs; both halves of each answer."""
    stores: dict[str, dict[str, Any]] = {
        "mock": {"mock_mode": True},
        "sqlite": {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
        "server": {"tracking_uri": mlflow_server},
    }
    answers: dict[str, list[Answer]] = {}
    for kind, chosen in stores.items():
        folder = tmp_path / kind
        _local_files(folder)
        engine = open_engine(Settings.load(**chosen, allowed_folders=str(folder)))
        try:
            async with connect(engine, confirm="never") as agent:
                found = [answer async for answer in _answers(agent)]
                await agent.ask("delete_model", name=MODEL)
                await agent.ask("delete_experiment", experiment=PLACE)
        finally:
            engine.close()
        answers[kind] = masked([(asked, text.replace(str(folder), "<folder>"), value) for asked, text, value in found])
    for kind in ("sqlite", "server"):
        for expected, found in zip(answers["mock"], answers[kind], strict=True):
            assert found == expected, f"{found[0]} on {kind}"
