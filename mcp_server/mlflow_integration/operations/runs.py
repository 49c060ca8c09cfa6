"""Runs: search and read them. recording.py writes new ones, run_changes.py changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from mcp_server.errors import NotFoundError
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.filters import Clause, join_clauses, parse_filter, since_clause
from mcp_server.mlflow_integration.operations.order_by import order_column
from mcp_server.mlflow_integration.operations.references import References
from mcp_server.mlflow_integration.operations.why_empty import why_empty
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """One page of a search for runs."""

    runs: tuple[Run, ...]
    next_page_token: str
    experiments: tuple[Experiment, ...]
    """Those that were looked in."""
    clauses: tuple[Clause, ...]
    order_by: tuple[str, ...]
    why_empty: str = ""
    """A sentence, when nothing was found."""


class Tracking:
    """Runs of one MLflow."""

    def __init__(self, api: TrackingApi, references: References, ui_url: str = "") -> None:
        self._api = api
        self.references = references
        self._ui_url = ui_url

    async def search_runs(
        self,
        experiments: Sequence[str] = (),
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        since: str = "",
        max_results: int,
        page_token: str = "",
        view_type: ViewType = "ACTIVE_ONLY",
    ) -> FoundRuns:
        """One page of runs, newest first unless ordered otherwise.

        Raises: NotFoundError: an experiment is unknown. InvalidInputError: the filter or order cannot be read.
        """
        clauses = parse_filter(filter_string)
        if since:
            clauses += (since_clause(since, datetime.now(timezone.utc)),)
        order = tuple(order_column(item) for item in order_by)
        places = await self.references.experiments(experiments)
        if not places:
            return FoundRuns((), "", (), clauses, order, "MLflow holds no experiment yet; log_run makes the first.")
        page = await self._api.search_runs(
            [place.experiment_id for place in places],
            filter_string=join_clauses(clauses),
            order_by=order,
            view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        why = "" if page.items or page_token else await why_empty(self._api, places, clauses, view_type)
        return FoundRuns(page.items, page.next_page_token, places, clauses, order, why)

    async def get_run(self, reference: str) -> Run:
        return await self.references.run(reference)

    async def get_runs(self, references: Sequence[str]) -> tuple[Run, ...]:
        return await self.references.runs(references)

    async def experiment_name(self, experiment_id: str) -> str:
        """The name behind an id; the id itself if MLflow no longer lists it."""
        for experiment in await self.references.all_experiments():
            if experiment.experiment_id == experiment_id:
                return experiment.name
        try:
            return (await self._api.get_experiment(experiment_id)).name
        except NotFoundError:
            return experiment_id

    def run_url(self, run: Run) -> str:
        """Page of a run in MLflow's UI; empty where the store has none."""
        return f"{self._ui_url}/#/experiments/{run.experiment_id}/runs/{run.run_id}" if self._ui_url else ""
