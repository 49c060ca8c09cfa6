"""Runs: search and read them. recording.py writes new ones, run_changes.py changes them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mcp_server.errors import NotFoundError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.models.registry import VERSION_URI, Registry
from mcp_server.mlflow_integration.operations.run_surroundings import Surroundings, surroundings
from mcp_server.mlflow_integration.operations.searching.best_runs import BestRuns, best_runs
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.searching.run_search import FoundRuns, RunQuery, search_runs
from mcp_server.mlflow_integration.operations.ui_address import UiAddress
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi


class Tracking:
    """Runs of one MLflow."""

    def __init__(
        self, api: TrackingApi, registry: RegistryApi, references: References, models: Registry, ui: UiAddress
    ) -> None:
        self._api = api
        self._models = models
        self._registry = registry
        self.references = references
        self._ui = ui

    async def search_runs(self, query: RunQuery, *, max_results: int, page_token: str = "") -> FoundRuns:
        """One page of runs, newest first unless ordered otherwise.

        Raises: NotFoundError: an experiment or the parent is unknown. InvalidInputError: a text cannot be read.
        """
        return await search_runs(self._api, self.references, query, max_results=max_results, page_token=page_token)

    async def best_runs(self, query: RunQuery, metric: str, *, descending: bool, wanted: int) -> BestRuns:
        """The best runs by a metric, read from the top. Raises: InvalidInputError: no run has the metric."""
        now_ms = int(time.time() * 1_000)
        return await best_runs(
            self._api, self.references, query, metric=metric, descending=descending, wanted=wanted, now_ms=now_ms
        )

    async def get_run(self, reference: str) -> Run:
        """By id, prefix, name or link, or as the source of a model version (models:/churn@champion)."""
        return await self.references.run(await self._source_of(reference))

    async def surroundings(self, run: Run) -> Surroundings:
        """Its children and registered versions, as far as they can be read in time."""
        return await surroundings(self._api, self._registry, run)

    async def get_runs(self, references: Sequence[str]) -> tuple[Run, ...]:
        """As `get_run`, each once, in the order named."""
        return await self.references.runs([await self._source_of(reference) for reference in references])

    async def _source_of(self, reference: str) -> str:
        """The id of the run behind a model version; any other reference as it is.

        Raises: NotFoundError: no such version, or no run is known for it.
        """
        match = VERSION_URI.fullmatch(reference.strip())
        if match is None:
            return reference
        version = await self._models.version(match["name"], match["version"] or match["alias"])
        if not version.run_id:
            raise NotFoundError(f"Version {version.version} of '{version.name}' does not say which run it came from.")
        return version.run_id

    async def experiment_name(self, experiment_id: str) -> str:
        """The name behind an id; the id itself if MLflow no longer lists it."""
        for experiment in await self.references.all_experiments():
            if experiment.experiment_id == experiment_id:
                return experiment.name
        try:
            return (await self._api.get_experiment(experiment_id)).name
        except NotFoundError:
            return experiment_id

    async def run_url(self, run: Run) -> str:
        """Page of a run in MLflow's UI; empty where the store has none."""
        return await self._ui.link(f"experiments/{run.experiment_id}/runs/{run.run_id}")
