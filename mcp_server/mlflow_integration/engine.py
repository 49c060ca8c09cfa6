"""Everything this server can do with one MLflow, put together once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_server.mlflow_integration.locate import LocalStore, Location, locate, private_folder
from mcp_server.mlflow_integration.locate.uris import is_http, needs_plugin
from mcp_server.mlflow_integration.operations.experiments import Experiments
from mcp_server.mlflow_integration.operations.files.artifact_transfers import ArtifactTransfers
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts
from mcp_server.mlflow_integration.operations.files.uploads import Uploads
from mcp_server.mlflow_integration.operations.metric_history import MetricHistory
from mcp_server.mlflow_integration.operations.models.model_sources import ModelSources
from mcp_server.mlflow_integration.operations.models.promotion import Promotions
from mcp_server.mlflow_integration.operations.models.registering import Registering
from mcp_server.mlflow_integration.operations.models.registry import Registry
from mcp_server.mlflow_integration.operations.runs import Tracking
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.ui_address import UiAddress
from mcp_server.mlflow_integration.operations.writing.open_runs import OpenRuns
from mcp_server.mlflow_integration.operations.writing.recording import Recording
from mcp_server.mlflow_integration.operations.writing.run_changes import RunChanges
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactsApi
from mcp_server.mlflow_integration.rest.credentials import UriField, takes_login_of_mlflow, withheld_credentials
from mcp_server.mlflow_integration.rest.http_transport import HttpTransport
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.mlflow_integration.rest.transport import CurveReader, Transport, UnusableTransport
from mcp_server.redaction import remember_login
from mcp_server.settings import Settings

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mcp_server.mlflow_integration.local.in_process import InProcessTransport


@dataclass(frozen=True, slots=True)
class Engine:
    """One MLflow: where it is, and what can be asked of it."""

    settings: Settings
    location: Location
    api: TrackingApi
    artifacts_api: ArtifactsApi
    ui: UiAddress
    experiments: Experiments
    tracking: Tracking
    metric_history: MetricHistory
    recording: Recording
    open_runs: OpenRuns
    run_changes: RunChanges
    registry: Registry
    registering: Registering
    promotions: Promotions
    artifacts: Artifacts
    transfers: ArtifactTransfers
    transports: tuple[Transport, ...]

    def warm_up(self) -> None:
        """Begins what takes long (MLflow's import, for stores inside this process) in the background."""
        for transport in self.transports:
            transport.warm_up()

    def close(self) -> None:
        """Removes private folders at once; for a process that is about to end without an event loop."""
        for transport in self.transports:
            transport.close()

    async def aclose(self) -> None:
        for transport in self.transports:
            await transport.aclose()


def open_engine(settings: Settings) -> Engine:
    """The engine for the MLflow that the settings lead to; nothing is connected or imported yet."""
    location = locate(settings)
    for sentence in (*settings.ignored, *withheld_credentials(settings)):
        logger.warning("%s", sentence)
    for uri in (location.tracking_uri, location.registry_uri):
        remember_login(uri)
    return engine_over(location, settings, *open_transports(location, settings))


def engine_over(location: Location, settings: Settings, tracking: Transport, registry: Transport) -> Engine:
    """The engine over given transports: the seam that tests put their faults into."""
    api = TrackingApi(tracking, location.shown_uri)
    registry_api = RegistryApi(registry, location.shown_registry_uri)
    references = References(api, settings.experiment_name)
    ui = UiAddress(api, location.ui_url, is_certain=bool(settings.ui_url))
    registry_ui = (
        ui if location.registry_ui_url == location.ui_url else UiAddress(registry_api, location.registry_ui_url)
    )
    models = Registry(registry_api, api, references, registry_ui)
    experiments = Experiments(api, references, ui)
    artifacts_api = ArtifactsApi(tracking, location.shown_uri)
    artifacts = Artifacts(artifacts_api, api, models, references, _host(location))
    uploads = Uploads(artifacts_api, settings.allowed_folders)
    return Engine(
        settings=settings,
        location=location,
        api=api,
        artifacts_api=artifacts_api,
        ui=ui,
        experiments=experiments,
        tracking=Tracking(api, registry_api, references, models, ui),
        metric_history=MetricHistory(api, tracking if isinstance(tracking, CurveReader) else None),
        recording=Recording(api, references, experiments, artifacts_api, uploads),
        open_runs=OpenRuns(api, references),
        run_changes=RunChanges(api, references),
        registry=models,
        registering=Registering(registry_api, models, ModelSources(artifacts_api, references, models)),
        promotions=Promotions(registry_api),
        artifacts=artifacts,
        transfers=ArtifactTransfers(artifacts_api, artifacts, uploads),
        transports=(tracking,) if registry is tracking else (tracking, registry),
    )


def _host(location: Location) -> str:
    """Of a tracking server; some name themselves in the locations of their artifacts."""
    return (urlsplit(location.tracking_uri).hostname or "") if is_http(location.tracking_uri) else ""


def open_transports(location: Location, settings: Settings) -> tuple[Transport, Transport]:
    """Carriers of requests to tracking and to the registry; one object when both are one MLflow.

    Nothing is connected or imported yet. An address that cannot be used gets a transport whose
    every request raises UnsupportedError with the reason.
    """
    in_process = _in_process(location.local_store, settings) if location.local_store is not None else None

    def transport(field: UriField, uri: str, problem: str) -> Transport:
        if problem:
            return UnusableTransport(problem)
        if needs_plugin(uri) and (not is_http(uri) or takes_login_of_mlflow(settings, field)):
            return _plugin(uri, location, settings)
        return HttpTransport(uri, settings, field=field) if in_process is None or is_http(uri) else in_process

    tracking = transport("tracking_uri", location.tracking_uri, location.problem)
    if location.registry_uri == location.tracking_uri:
        return tracking, tracking
    return tracking, transport("registry_uri", location.registry_uri, location.registry_problem)


def _plugin(uri: str, location: Location, settings: Settings) -> Transport:
    from mcp_server.mlflow_integration.local.environment import prepare_environment
    from mcp_server.mlflow_integration.rest.plugin_transport import PluginTransport

    prepare_environment("server")
    shown = location.shown_uri if uri == location.tracking_uri else location.shown_registry_uri
    return PluginTransport(uri, shown, settings)


def _in_process(store: LocalStore, settings: Settings) -> InProcessTransport:
    from mcp_server.mlflow_integration.local.in_process import InProcessTransport

    return InProcessTransport(store, cache_dir=private_folder(settings) if settings.data_dir else None)
