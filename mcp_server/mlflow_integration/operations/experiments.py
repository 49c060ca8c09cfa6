"""Experiments: search, create, change and delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcp_server.errors import AlreadyExistsError, InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Page
from mcp_server.mlflow_integration.operations.filters import quoted
from mcp_server.mlflow_integration.operations.references import References
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType


class Experiments:
    """Experiments of one MLflow."""

    def __init__(self, api: TrackingApi, references: References, ui_url: str = "") -> None:
        self._api = api
        self._references = references
        self._ui_url = ui_url

    async def get(self, reference: str) -> Experiment:
        """By id, exact name or UI link. Raises: NotFoundError: there is none; the text names the closest."""
        return await self._references.experiment(reference)

    async def search(
        self,
        name_contains: str = "",
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        max_results: int,
        page_token: str = "",
        view_type: ViewType = "ACTIVE_ONLY",
    ) -> Page[Experiment]:
        """Experiments whose name contains a text (any case) and that a filter of MLflow's holds for."""
        named = f"name ILIKE {quoted(f'%{name_contains}%')}" if name_contains else ""
        return await self._api.search_experiments(
            filter_string=" AND ".join(part for part in (named, filter_string) if part),
            order_by=order_by or ("last_update_time DESC",),
            max_results=max_results,
            page_token=page_token,
            view_type=view_type,
        )

    async def create(self, name: str, *, description: str, tags: Mapping[str, str]) -> Experiment:
        """Raises: AlreadyExistsError: also for a deleted experiment of that name, which MLflow keeps until purged."""
        if not name.strip():
            raise InvalidInputError("An experiment needs a name that is not empty.")
        note = {tag_names.NOTE: description} if description else {}
        try:
            experiment_id = await self._api.create_experiment(name, {**tags, **note})
        except AlreadyExistsError:
            existing = await self._api.get_experiment_by_name(name)
            if existing.lifecycle_stage == "deleted":
                raise AlreadyExistsError(
                    f"A deleted experiment holds the name '{name}' (id {existing.experiment_id}). "
                    "update_experiment with restore=true brings it back."
                ) from None
            raise AlreadyExistsError(
                f"Experiment '{name}' exists (id {existing.experiment_id}); log_run and start_run take its name."
            ) from None
        self._references.forget()
        return await self._api.get_experiment(experiment_id)

    async def update(
        self, reference: str, *, name: str, description: str | None, tags: Mapping[str, str], restore: bool
    ) -> Experiment:
        experiment = await self._references.experiment(reference)
        experiment_id = experiment.experiment_id
        if restore and experiment.lifecycle_stage == "deleted":
            await self._api.restore_experiment(experiment_id)
        if name and name != experiment.name:
            await self._api.rename_experiment(experiment_id, name)
        note = {} if description is None else {tag_names.NOTE: description}
        for key, value in {**tags, **note}.items():
            await self._api.set_experiment_tag(experiment_id, key, value)
        self._references.forget()
        return await self._api.get_experiment(experiment_id)

    async def delete(self, reference: str) -> Experiment:
        """Moves it to the deleted stage, from which update_experiment restores it."""
        experiment = await self._references.experiment(reference)
        if experiment.lifecycle_stage != "deleted":
            await self._api.delete_experiment(experiment.experiment_id)
            self._references.forget()
        return experiment

    def url(self, experiment_id: str) -> str:
        """Page of an experiment in MLflow's UI; empty where the store has none."""
        return f"{self._ui_url}/#/experiments/{experiment_id}" if self._ui_url else ""
