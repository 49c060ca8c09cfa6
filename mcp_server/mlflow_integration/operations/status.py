"""Whether MLflow answers, and what it holds: the facts behind `get_server_info` and the `check` command."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.operations.models.registry import Registry
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

_COUNTED = 1_000
"""Experiments or models that are counted; above it the count reads `1000+`."""


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    answers: bool
    problem: str = ""
    """A sentence, when something does not answer."""
    version: str = ""
    experiments: str = ""
    """A number as text; `1000+` for more than a page."""
    models: str = ""


async def connection_status(api: TrackingApi, registry: Registry) -> ConnectionStatus:
    """Asks MLflow for its version and for what it holds. An MLflow that does not answer is reported, not raised."""
    version = experiments = ""
    try:
        version = await api.version()
        found = await api.search_experiments(max_results=_COUNTED)
        experiments = _count(len(found.items), found.next_page_token)
        models = await registry.search_models(max_results=_COUNTED)
    except MlflowToolError as error:
        return ConnectionStatus(False, str(error), version, experiments)
    return ConnectionStatus(True, "", version, experiments, _count(len(models.items), models.next_page_token))


def _count(number: int, more: str) -> str:
    return f"{number}+" if more else str(number)
