"""What a tool is given besides its arguments: the halves of the engine, each by its type."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context, Resolve

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations import experiments, metric_history
from mcp_server.mlflow_integration.operations import runs as tracking
from mcp_server.mlflow_integration.operations.files import artifact_transfers, artifacts
from mcp_server.mlflow_integration.operations.models import promotion, registering, registry
from mcp_server.mlflow_integration.operations.writing import open_runs, recording, run_changes
from mcp_server.promotion_policy import PromotionPolicy
from mcp_server.trackers import ServerContext, Trackers
from mcp_server.untrusted import sentence

MODERN: Final = "2026-07-28"
"""Since this protocol, questions to a person travel in results, and unknown resources are invalid params."""


def context_of(context: Context[Any, Any]) -> ServerContext:
    return cast(ServerContext, context.request_context.lifespan_context)


def caller_of(context: Context[Any, Any]) -> str:
    """Name and version of the host, as it introduced itself."""
    client = context.request_context.session.client_params
    return f"{client.client_info.name} {client.client_info.version}".strip() if client else ""


async def _engine(context: Context[Any, Any]) -> Engine:
    return context_of(context).engine


async def _trackers(context: Context[Any, Any]) -> Trackers:
    return context_of(context).trackers


async def _experiments(context: Context[Any, Any]) -> experiments.Experiments:
    return context_of(context).engine.experiments


async def _metric_history(context: Context[Any, Any]) -> metric_history.MetricHistory:
    return context_of(context).engine.metric_history


async def _tracking(context: Context[Any, Any]) -> tracking.Tracking:
    return context_of(context).engine.tracking


async def _recording(context: Context[Any, Any]) -> recording.Recording:
    return context_of(context).engine.recording


async def _open_runs(context: Context[Any, Any]) -> open_runs.OpenRuns:
    return context_of(context).engine.open_runs


async def _run_changes(context: Context[Any, Any]) -> run_changes.RunChanges:
    return context_of(context).engine.run_changes


async def _registry(context: Context[Any, Any]) -> registry.Registry:
    return context_of(context).engine.registry


async def _registering(context: Context[Any, Any]) -> registering.Registering:
    return context_of(context).engine.registering


async def _artifacts(context: Context[Any, Any]) -> artifacts.Artifacts:
    return context_of(context).engine.artifacts


async def _transfers(context: Context[Any, Any]) -> artifact_transfers.ArtifactTransfers:
    return context_of(context).engine.transfers


async def _report_progress(context: Context[Any, Any]) -> artifact_transfers.Progress:
    """Reports the progress of a long call to a client that asked for it."""

    async def report(done: float, total: int, what: str) -> None:
        await context.report_progress(done, total, sentence(what, 200))

    return report


async def _promotions(context: Context[Any, Any]) -> promotion.Promotions:
    return context_of(context).engine.promotions


async def _policy(context: Context[Any, Any]) -> PromotionPolicy:
    return context_of(context).policy


async def _caller(context: Context[Any, Any]) -> str:
    return caller_of(context)


RESOLVED: Final = AcceptedElicitation[Any]
"""The class in which the SDK wraps each resolved value. Without a reference to it, pydantic would create it anew for
every call: half a millisecond."""

# Resolved by the SDK per call and invisible in the tool's schema.
OneEngine = Annotated[Engine, Resolve(_engine)]
AllTrackers = Annotated[Trackers, Resolve(_trackers)]
Experiments = Annotated[experiments.Experiments, Resolve(_experiments)]
MetricHistory = Annotated[metric_history.MetricHistory, Resolve(_metric_history)]
Tracking = Annotated[tracking.Tracking, Resolve(_tracking)]
OpenRuns = Annotated[open_runs.OpenRuns, Resolve(_open_runs)]
RunChanges = Annotated[run_changes.RunChanges, Resolve(_run_changes)]
Recording = Annotated[recording.Recording, Resolve(_recording)]
Registry = Annotated[registry.Registry, Resolve(_registry)]
Registering = Annotated[registering.Registering, Resolve(_registering)]
Artifacts = Annotated[artifacts.Artifacts, Resolve(_artifacts)]
ArtifactTransfers = Annotated[artifact_transfers.ArtifactTransfers, Resolve(_transfers)]
ReportProgress = Annotated[artifact_transfers.Progress, Resolve(_report_progress)]
Promotions = Annotated[promotion.Promotions, Resolve(_promotions)]
Policy = Annotated[PromotionPolicy, Resolve(_policy)]
Caller = Annotated[str, Resolve(_caller)]
