"""Resources: the server, experiments, runs, their artifacts, models and versions, each by a URI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.types import InputRequiredResult

from mcp_server import resource_uris as uris
from mcp_server.analysis.files.file_kinds import encoding_of, mime_type
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.rendering import Record, Table, answer, dumps
from mcp_server.tools import registry, runs, server
from mcp_server.tools._artifact_streams import whole
from mcp_server.tools._trackers import marked
from mcp_server.trackers import Tracker, Trackers
from mcp_server.untrusted import clean

RUNS_SHOWN: Final = 20
"""Latest runs in the resource of an experiment."""
_JSON: Final = "application/json"
_ARTIFACT_MARK: Final = "/artifacts/"


def register_resources(to: MCPServer[Any], trackers: Trackers) -> None:
    """Adds the resources of every tracker to a server; with several, their URIs name the tracker."""
    for tracker in trackers.all:
        _register(to, tracker, trackers)


def _register(to: MCPServer[Any], tracker: Tracker, trackers: Trackers) -> None:
    engine = tracker.engine

    def json(record: Record) -> str:
        return dumps(answer(marked(record, tracker.name), uris.RESOURCE_LIMIT)[1])

    async def server_info() -> str:
        return json(await server.get_server_info(engine, tracker.policy, trackers))

    async def experiment(experiment_id: str) -> str:
        return json(await _experiment(engine, experiment_id))

    async def run(run_id: str) -> str:
        return json(await runs.whole_run(engine.tracking, run_id))

    async def run_artifact(run_id: str, path: str) -> str | bytes:
        return await _artifact(engine, run_id, path)

    async def model(name: str) -> str:
        return json(await registry.get_model(engine.registry, engine.promotions, name))

    async def model_version(name: str, version: str) -> str:
        return json(await registry.get_model(engine.registry, engine.promotions, name, version))

    of = f" of {tracker.name}" if tracker.name else ""
    for uri, name, function, what, kind in (
        (uris.SERVER, "server", server_info, "Which MLflow this is and what is allowed here", _JSON),
        (uris.EXPERIMENT, "experiment", experiment, "An experiment with its latest runs", _JSON),
        (uris.RUN_ARTIFACT, "run artifact", run_artifact, "A file that a run stored", "application/octet-stream"),
        (uris.RUN, "run", run, "A run: status, metrics, params, tags, datasets, models", _JSON),
        (uris.MODEL_VERSION, "model version", model_version, "A version of a registered model, in full", _JSON),
        (uris.MODEL, "model", model, "A registered model: aliases, versions, promotions", _JSON),
    ):
        add = to.resource(
            uris.in_tracker(uri, tracker.name),
            name=name + of,
            title=name.capitalize() + of,
            description=what,
            mime_type=kind,
        )
        add(function)


def with_mime_types(
    contents: Iterable[ReadResourceContents] | InputRequiredResult, uri: str
) -> Iterable[ReadResourceContents] | InputRequiredResult:
    """The contents of a resource, those of an artifact with the type of the file and not of the template."""
    if isinstance(contents, InputRequiredResult) or _ARTIFACT_MARK not in uri:
        return contents
    kind = mime_type(uri)
    return [ReadResourceContents(content=one.content, mime_type=kind, meta=one.meta) for one in contents]


async def _experiment(engine: Engine, experiment_id: str) -> Record:
    found = await engine.tracking.references.experiment(experiment_id)
    latest = await runs.search_runs(engine.tracking, (found.experiment_id,), max_results=RUNS_SHOWN)
    facts: dict[str, Any] = {
        "experiment_id": found.experiment_id,
        "name": found.name,
        "lifecycle_stage": found.lifecycle_stage,
        "tags": dict(found.tags),
        "latest_runs": Table(latest.columns, latest.rows),
        "url": await engine.experiments.url(found.experiment_id),
    }
    return Record(facts)


async def _artifact(engine: Engine, run_id: str, path: str) -> str | bytes:
    found = await engine.artifacts.find(await engine.artifacts.place(run_id), path)
    data = await whole(engine.artifacts, found, uris.RESOURCE_LIMIT)
    encoding = encoding_of(data[:8_192])
    return clean(data.decode(encoding, "replace")) if encoding else data
