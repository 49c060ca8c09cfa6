"""What the agent is connected to."""

from __future__ import annotations

from mcp_server import __version__
from mcp_server.mlflow_integration.operations.status import connection_status
from mcp_server.rendering import Record
from mcp_server.tools._context import OneEngine


async def get_server_info(engine: OneEngine) -> Record:
    """Show which MLflow this is, why it was chosen, whether it answers, its version, and what is allowed here."""
    status = await connection_status(engine.api, engine.registry)
    return Record(
        {
            "mlflow": engine.location.shown_uri,
            "chosen_because": engine.location.why,
            "answers": status.answers,
            "problem": status.problem,
            "mlflow_version": status.version,
            "experiments": status.experiments,
            "registered_models": status.models,
            "url": engine.location.ui_url,
            "default_experiment": engine.settings.experiment_name,
            "read_only": engine.settings.read_only,
            "server_version": __version__,
        }
    )
