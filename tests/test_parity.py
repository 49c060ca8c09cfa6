"""Mock mode, an SQLite file and an MLflow server answer alike: one script of all tools, ids and times masked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mcp.types import ResourceLink, TextResourceContents

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.settings import Settings
from mcp_server.tools import TOOLSETS
from tests.conftest import Agent, connect
from tests.registry_world import MLMODEL

NOT_COMPARED = {"get_server_info", "copy_model"}
"""The one says which store it is, which is what differs; the other needs two of them (test_copy_model.py)."""
STARTED = 1_700_000_000_000
SUFFIX = "parity"
LONG = {"sub folder/ü 100%.log": "\n".join(f"line {number}" for number in range(9_000))}

Answer = tuple[str, str, Any]
"""Tool, text half and structured half."""


async def _script(agent: Agent, model: str) -> AsyncIterator[Answer]:
    """Every tool in use, in an order in which each finds what it needs."""
    place, other = f"{SUFFIX}-churn", f"{SUFFIX}-other"
    ids: dict[str, str] = {}

    async def follow(link: ResourceLink) -> None:
        """A link leads to a resource of this server or to a file that is there, of the size it says."""
        if link.uri.startswith("file://"):
            size = os.stat(url2pathname(urlsplit(link.uri).path)).st_size
        else:
            (content,) = (await agent.client.read_resource(link.uri)).contents
            size = len(content.text.encode()) if isinstance(content, TextResourceContents) else None
        assert link.size in (None, size), link

    async def call(tool: str, **arguments: Any) -> Answer:
        result = await agent.client.call_tool(tool, arguments)
        text = "\n".join(getattr(part, "text", f"<{part.type}>") for part in result.content)
        assert not result.is_error, f"{tool}: {text}"
        for part in result.content:
            if isinstance(part, ResourceLink):
                await follow(part)
        structured = result.structured_content
        if structured and {"run_id", "run_name"} <= structured.keys():
            ids[str(structured["run_name"])] = structured["run_id"]
        return tool, text, structured

    yield await call("create_experiment", name=place, description="Which customers leave.", tags={"team": "vision"})
    for number, name in enumerate(("a", "b", "c", "d")):
        yield await call(
            "log_run",
            experiment=place,
            run_name=name,
            params={"lr": 0.1 * (number + 1), "seed": 7_000 + number % 2, "model": "cnn"},
            metrics={"accuracy": 0.5 + number / 10, "loss": [[step, 1 / (step + number + 1)] for step in range(40)]},
            tags={"team": "vision"},
            datasets=[{"name": "train", "digest": "abc", "context": "training"}],
            artifacts={"notes.md": f"Run {name}.\n", "model/MLmodel": MLMODEL},
            start_time=STARTED + 1_000 * number,
            end_time=STARTED + 60_000 * (number + 1),
            idempotency_key=f"{SUFFIX}-{name}",
        )
    yield await call("log_run", experiment=place, run_name="a", idempotency_key=f"{SUFFIX}-a")
    yield await call(
        "start_run", experiment=other, run_name="parity-open", params={"lr": 1}, idempotency_key=f"{SUFFIX}-o"
    )
    yield await call("log_to_run", run="parity-open", metrics={"loss": 0.5}, step=3)
    yield await call("log_artifact", run="parity-open", path="more.txt", content="more")
    yield await call("finish_run", run="parity-open")
    yield await call("finish_run", run="parity-open")
    yield await call("update_run", runs=["a", "b"], tags={"reviewed": "yes"})
    yield await call("wait_for_runs", runs=["a", "parity-open"])
    yield await call(
        "log_run", experiment=other, run_name="parity-long", params={"prompt": "word " * 900}, artifacts=LONG
    )
    yield await call("search_experiments", name_contains=SUFFIX, order_by=["name ASC"])
    yield await call("update_experiment", experiment=other, description="Elsewhere.")
    yield await call("search_runs", experiments=[place], order_by=["metrics.accuracy DESC"])
    yield await call(
        "search_runs", experiments=[place], filter_string="metrics.accuracy > 0.55 and params.model = 'cnn'"
    )
    yield await call("search_runs", experiments=[place], filter_string="metrics.acuracy > 0.55")
    yield await call("get_run", run=ids["c"])
    yield await call("get_run", run="parity-long")
    yield await call("compare_runs", runs=["a", "b", "c"])
    yield await call("rank_runs", metric="accuracy", experiments=[place])
    yield await call("get_metric_history", runs=["a", "d"], metrics=["loss"])
    yield await call("summarize_experiment", experiment=place)
    yield await call("analyze_params", metric="accuracy", experiments=[place])
    yield await call("diagnose_run", run="a")
    yield await call("plot_metrics", metrics=["loss"], runs=["a", "b"])
    yield await call("list_artifacts", run="a")
    yield await call("read_artifact", run="a", path="notes.md")
    yield await call("read_artifact", run="parity-long", path="sub folder/ü 100%.log")
    yield await call("compare_artifacts", run="parity-long", other="parity-long", path="sub folder/ü 100%.log")
    yield await call("compare_artifacts", run="a", other="b")
    yield await call("download_artifacts", run="a", to="downloaded")
    yield await call("export_runs", path="runs.csv", experiments=[place])
    for run in ("a", "b"):
        yield await call("register_model", name=model, run=ids[run])
    yield await call("update_model", name=model, description="Leavers.", tags={"team": "vision"})
    yield await call("search_models", name_contains=model)
    yield await call("compare_model_versions", name=model, versions=["1", "2"])
    for version in ("1", "2"):
        yield await call("promote_model", name=model, version=version, gates=["metrics.accuracy > 0.4"])
    yield await call("rollback_model", name=model)
    yield await call("get_model", name=model)
    yield await call("delete_model", name=model)
    yield await call("delete_runs", runs=["d"])
    yield await call("delete_experiment", experiment=other)


def masked(answers: list[Answer]) -> list[Answer]:
    """The answers with ids by the order in which they appear, without times and links."""
    whole = json.dumps(answers)
    run_ids = list(dict.fromkeys(re.findall(r"\b[0-9a-f]{32}\b", whole)))
    experiment_ids = list(dict.fromkeys(re.findall(r'"experiment_id": "(\d+)"', whole)))

    def mask(text: str) -> str:
        for number, run_id in enumerate(run_ids):
            text = re.sub(rf"\b{run_id}\b|\b{run_id[:12]}\b|\b{run_id[:10]}\b", f"<id {number}>", text)
        for number, experiment_id in enumerate(experiment_ids):
            text = re.sub(rf"(experiment_id: |\(id |experiments/){experiment_id}\b", rf"\1<experiment {number}>", text)
            text = re.sub(rf"(?m)^{experiment_id}(?=\|parity-)", f"<experiment {number}>", text)
        text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?Z?", "<time>", text)
        text = re.sub(r"\b(\d+(\.\d+)? ?(ms|s|min|h|d)\b ?)+", "<duration>", text)
        text = re.sub(r"(_seconds: )\S+", r"\1<duration>", text)
        return re.sub(r"\S*(https?|file|sqlite)://\S+|/tmp/\S+", "<place>", text)

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            kept = {name: walk(part, name) for name, part in value.items() if name != "url"}
            if "experiment_id" in value.get("columns", ()):  # by column: a version or a count may be the same number
                column = value["columns"].index("experiment_id")
                for row in kept["rows"]:
                    row[column] = f"<experiment {experiment_ids.index(str(row[column]))}>"
            return kept
        if isinstance(value, list):
            return [walk(part) for part in value]
        if key.endswith("_seconds"):
            return "<duration>"
        if key == "experiment_id":
            return f"<experiment {experiment_ids.index(str(value))}>"
        return mask(value) if isinstance(value, str) else value

    masked: list[Answer] = []
    for tool, text, structured in answers:
        if tool == "export_runs":  # the file holds durations, whose digits differ from store to store
            text = re.sub(r"(?m)^bytes: \d+$", "bytes: <size>", text)
            structured = {**structured, "bytes": "<size>"}
        for end in re.findall(r"up to ([0-9a-f]{8})\)", text):
            text = text.replace(end, "<end of the text>")
        lines = [mask(line) for line in text.splitlines() if not line.startswith("url: ")]
        masked.append((tool, "\n".join(lines), walk(structured)))
    return masked


async def _answers(settings: Settings) -> list[Answer]:
    """The script's answers of one store."""
    engine = open_engine(settings)
    try:
        async with connect(engine, confirm="never") as agent:
            return [answer async for answer in _script(agent, f"{SUFFIX}-model")]
    finally:
        engine.close()


async def test_every_tool_answers_alike_on_every_store(mlflow_server: str, tmp_path: Path):
    """Successful answers, both halves; refusals have their own tests."""
    stores: dict[str, dict[str, Any]] = {
        "mock": {"mock_mode": True},
        "sqlite": {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
        "server": {"tracking_uri": mlflow_server},
    }
    answers: dict[str, list[Answer]] = {}
    for kind, chosen in stores.items():
        (tmp_path / kind).mkdir()
        settings = Settings.load(**chosen, toolsets="all", allowed_folders=str(tmp_path / kind))
        answers[kind] = masked(await _answers(settings))
    called = {tool for tool, _, _ in answers["mock"]}
    assert called == {one.name for tools in TOOLSETS.values() for one in tools} - NOT_COMPARED
    for kind in ("sqlite", "server"):
        for expected, found in zip(answers["mock"], answers[kind], strict=True):
            assert found == expected, f"{found[0]} on {kind}"
