"""Functions and attributes that MLflow renamed or removed, under their old names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mcp_server.mlflow_integration.tracker import stages
from mcp_server.mlflow_integration.tracker.mlflow2.adaptations import (
    GET_REGISTERED_MODEL,
    LIST_EXPERIMENTS,
    LIST_REGISTERED_MODELS,
    LIST_RUN_INFOS,
    RUN_UUID,
    STAGES,
    note,
)
from mcp_server.mlflow_integration.tracker.mlflow2.model_uris import with_model_found

_ACTIVE = 1
"""`ViewType.ACTIVE_ONLY`."""


def restore_names() -> None:
    """Add what is missing to the client, to `mlflow` and to run infos; what MLflow has itself is left alone."""
    mlflow: Any = import_module("mlflow")
    client: Any = mlflow.MlflowClient
    for name, method in {
        "list_experiments": _list_experiments,
        "list_run_infos": _list_run_infos,
        "list_registered_models": _list_registered_models,
    }.items():
        if not hasattr(client, name):
            setattr(client, name, method)
    _adapt_stages(client)
    for name, function in {
        "list_experiments": _all_experiments,
        "list_run_infos": _all_run_infos,
        "get_registered_model": _get_registered_model,
    }.items():
        if not hasattr(mlflow, name):
            setattr(mlflow, name, function)
    mlflow.register_model = with_model_found(mlflow.register_model)
    run_info: Any = import_module("mlflow.entities").RunInfo
    if not hasattr(run_info, "run_uuid"):
        run_info.run_uuid = _RunUuid()


def _list_experiments(
    self: Any, view_type: int = _ACTIVE, max_results: int | None = None, page_token: str | None = None
) -> Any:
    note(LIST_EXPERIMENTS)
    return self.search_experiments(view_type, max_results or 1_000, page_token=page_token)


def _list_run_infos(
    self: Any,
    experiment_id: str,
    run_view_type: int = _ACTIVE,
    max_results: int = 1_000,
    order_by: list[str] | None = None,
    page_token: str | None = None,
) -> Any:
    note(LIST_RUN_INFOS)
    found = self.search_runs([experiment_id], "", run_view_type, max_results, order_by, page_token)
    # MLflow's own kind of list, which carries the token of the next page.
    return type(found)([run.info for run in found], found.token)


def _list_registered_models(self: Any, max_results: int = 100, page_token: str | None = None) -> Any:
    note(LIST_REGISTERED_MODELS)
    return self.search_registered_models(max_results=max_results, page_token=page_token)


def _all_experiments(view_type: int = _ACTIVE, max_results: int | None = None) -> list[Any]:
    note(LIST_EXPERIMENTS)
    return import_module("mlflow").search_experiments(view_type, max_results)


def _all_run_infos(
    experiment_id: str,
    run_view_type: int = _ACTIVE,
    max_results: int = 50_000,
    order_by: list[str] | None = None,
) -> list[Any]:
    note(LIST_RUN_INFOS)
    search: Any = import_module("mlflow").search_runs
    found = search([experiment_id], "", run_view_type, max_results, order_by, output_format="list")
    return [run.info for run in found]


def _get_registered_model(name: str) -> Any:
    note(GET_REGISTERED_MODEL)
    return import_module("mlflow").MlflowClient().get_registered_model(name)


class _RunUuid:
    """No `property`: MLflow prints those of a run, one by one."""

    def __get__(self, info: Any, owner: Any = None) -> Any:
        if info is None:
            return self
        note(RUN_UUID)
        return info.run_id


def _adapt_stages(client: Any) -> None:
    transition: Any = getattr(client, "transition_model_version_stage", None)
    latest: Any = getattr(client, "get_latest_versions", None)

    def transition_model_version_stage(
        self: Any, name: str, version: str, stage: str, archive_existing_versions: bool = False
    ) -> Any:
        note(STAGES)
        own = _Unadapted(self, transition)
        return stages.transition(own, name, str(version), stage, archive_existing=archive_existing_versions)

    def get_latest_versions(self: Any, name: str, stages: list[str] | None = None) -> Any:
        note(STAGES)
        return _latest(self, latest, name, stages)

    client.transition_model_version_stage = transition_model_version_stage
    client.get_latest_versions = get_latest_versions


class _Unadapted:
    """A client whose `transition_model_version_stage` is MLflow's own, or missing where MLflow has none."""

    def __init__(self, client: Any, transition: Any) -> None:
        self._client = client
        if transition is not None:
            self.transition_model_version_stage = transition.__get__(client)

    def __getattr__(self, name: str) -> Any:
        if name == "transition_model_version_stage":
            raise AttributeError(name)
        return getattr(self._client, name)


def _latest(client: Any, latest: Any, name: str, wanted: list[str] | None) -> list[Any]:
    """MLflow's answer; where a stage is empty in it, the version that holds the alias of the stage."""
    found: list[Any] = list(latest(client, name, wanted)) if latest is not None else []
    has = {version.current_stage for version in found}
    missing = [stage for stage in wanted or () if stages.canonical(stage) not in has]
    return found + [version for stage in missing for version in stages.in_stages(client, name, [stage])[:1]]
