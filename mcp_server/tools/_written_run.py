"""What a call that wrote to a run answers: which run, and how much was written."""

from __future__ import annotations

from mcp_server.mlflow_integration.operations.run_content import RunContent
from mcp_server.mlflow_integration.operations.writing.recording import Recorded
from mcp_server.rendering import Record
from mcp_server.tools._context import Tracking


async def written(tracking: Tracking, recorded: Recorded, content: RunContent) -> Record:
    hints = list(content.warnings)
    if recorded.existed:
        hints.insert(0, "A run with this key already exists, and is shown here; nothing was written again.")
    if recorded.created_experiment:
        hints.insert(
            0, f"Experiment '{recorded.experiment.name}' did not exist and was created." + recorded.near_experiments
        )
    return Record(
        {
            "run_id": recorded.run.run_id,
            "run_name": recorded.run.run_name,
            "status": recorded.run.status,
            "experiment": recorded.experiment.name,
            "experiment_id": recorded.experiment.experiment_id,
            "created": "experiment" if recorded.created_experiment else None,
            "idempotency_key": recorded.idempotency_key,
            "logged": None if recorded.existed else counts(content, recorded.files),
            "url": await tracking.run_url(recorded.run),
        },
        hint=" ".join(hints),
    )


def counts(content: RunContent, files: int = 0) -> dict[str, int]:
    number_by_kind = {
        "params": len(content.params),
        "metric_points": len(content.metrics),
        "tags": len(content.tags),
        "datasets": len(content.datasets),
        "artifacts": len(content.artifacts or {}),
        "files": files,
    }
    return {name: count for name, count in number_by_kind.items() if count}
