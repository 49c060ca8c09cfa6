"""Everything this server can do with one MLflow, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_server.mlflow_integration.api import MlflowApi
from mcp_server.mlflow_integration.locate import Location, locate, open_transports
from mcp_server.mlflow_integration.promotion import Promotions
from mcp_server.mlflow_integration.recording import Recording
from mcp_server.mlflow_integration.references import References
from mcp_server.mlflow_integration.registry import Registry
from mcp_server.mlflow_integration.tracking import Tracking
from mcp_server.mlflow_integration.transport import Transport
from mcp_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Engine:
    """One MLflow: where it is, and what can be asked of it."""

    settings: Settings
    location: Location
    api: MlflowApi
    tracking: Tracking
    recording: Recording
    registry: Registry
    promotions: Promotions
    transports: tuple[Transport, ...]

    def warm_up(self) -> None:
        """Begins what takes long (MLflow's import, for stores inside this process) in the background."""
        for transport in self.transports:
            transport.warm_up()

    def close(self) -> None:
        """Gives up private folders at once; for a process that is about to end without an event loop."""
        for transport in self.transports:
            transport.close()

    async def aclose(self) -> None:
        for transport in self.transports:
            await transport.aclose()


def open_engine(settings: Settings) -> Engine:
    """The engine for the MLflow that the settings lead to; nothing is connected or imported yet."""
    location = locate(settings)
    return engine_over(location, settings, *open_transports(location, settings))


def engine_over(location: Location, settings: Settings, tracking: Transport, registry: Transport) -> Engine:
    """The engine over given transports: the seam that tests put their faults into."""
    api = MlflowApi(tracking, location.shown_uri)
    registry_api = api if registry is tracking else MlflowApi(registry, location.shown_registry_uri)
    references = References(api, settings.experiment_name)
    return Engine(
        settings=settings,
        location=location,
        api=api,
        tracking=Tracking(api, references, location.ui_url),
        recording=Recording(api, references, settings.upload_roots),
        registry=Registry(registry_api, api, references, location.ui_url),
        promotions=Promotions(registry_api),
        transports=(tracking,) if registry is tracking else (tracking, registry),
    )
