"""Reading the model registry: registered models, their versions, and what is known of each version."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from mcp_server.errors import (
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    TrackingServerError,
    UnreachableError,
)
from mcp_server.mlflow_integration.entities import LoggedModel, ModelVersion, Page, RegisteredModel, Run
from mcp_server.mlflow_integration.operations.models.promotion import aliases_of
from mcp_server.mlflow_integration.operations.models.promotion_history import STAGES, Pointer
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.operations.searching.record_filters import MODELS, record_filter, record_order
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.ui_address import UiAddress
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.names import find_name, same_name
from mcp_server.suggestions import did_you_mean

NAMES_COMPARED: Final = 1_000
"""Registered models whose names are searched for the closest one: one request."""

VERSION_URI: Final = re.compile(r"models:/(?P<name>[^@]+?)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))/?")
"""A model version as MLflow writes it: models:/churn/3, models:/churn@champion."""
_LARGEST_VERSION: Final = 2**31 - 1
"""MLflow keeps versions in an integer column, and fails on a larger number."""
_NUMBER: Final = re.compile(r"(?:version\s*|v\.?\s*|#)?(?P<number>\d+)", re.IGNORECASE)
_NEWEST: Final = frozenset({"latest", "newest"})
_STAGE_BY_WORD: Final = {stage.lower(): stage for stage in (*STAGES, "Archived")}


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """A registered model with some of its versions and what is known of each."""

    model: RegisteredModel
    versions: tuple[ModelVersion, ...]
    """Newest first, with aliases."""
    older: str
    """Given as `below`, it continues with the next older version; empty when there is none."""
    runs: Mapping[str, Run] = field(default_factory=dict[str, Run])
    """Source runs by id; those that are gone are absent."""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What gates may ask of a version: metrics and params of its run and LoggedModel, and its tags."""

    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


class Registry:
    """Registered models of one MLflow. Runs and LoggedModels are read from the tracking side.

    `ui` is the UI of the MLflow that holds the registry, which may be another one than the runs'.
    """

    def __init__(self, api: RegistryApi, tracking_api: TrackingApi, references: References, ui: UiAddress) -> None:
        self._api = api
        self._tracking_api = tracking_api
        self._references = references
        self._ui = ui

    async def search_models(
        self,
        name_contains: str = "",
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        max_results: int,
        page_token: str = "",
    ) -> Page[RegisteredModel]:
        """Registered models whose name contains a text (any case) and that match an MLflow filter.

        Raises: InvalidInputError: the filter or an order cannot be read.
        """
        asked = record_filter(filter_string, MODELS, int(time.time() * 1_000))
        named = f"name ILIKE {quoted(f'%{name_contains}%')}" if name_contains else ""
        return await self._api.search_registered_models(
            filter_string=" AND ".join(part for part in (named, asked) if part),
            order_by=record_order(order_by, MODELS),
            max_results=max_results,
            page_token=page_token,
        )

    async def model(self, name: str) -> RegisteredModel:
        """Raises: NotFoundError: no such model; the text names the closest."""
        try:
            return await self._api.get_registered_model(name)
        except NotFoundError:
            raise NotFoundError(
                f"No registered model '{name}'.{did_you_mean(name, await self.names_like(name))} search_models lists "
                "them; register_model creates one from a run."
            ) from None

    async def find_model(self, name: str) -> RegisteredModel | None:
        """A model as the store spells it; None if there is none of that name."""
        try:
            return await self._api.get_registered_model(name)
        except NotFoundError:
            return None

    async def names_like(self, name: str) -> list[str]:
        """Names to compare a name with: those that differ only by case, and the first NAMES_COMPARED there are."""
        try:
            same = await self._api.search_registered_models(filter_string=f"name ILIKE {quoted(name)}", max_results=10)
        except InvalidInputError:
            same: Page[RegisteredModel] = Page(())  # A name that no filter can hold; the list below may still have it.
        listed = await self._api.search_registered_models(max_results=NAMES_COMPARED)
        return list(dict.fromkeys(model.name for model in (*same.items, *listed.items)))

    async def get_model(self, name: str, *, max_versions: int = 20, below: int | None = None) -> ModelVersions:
        """A model and its newest versions, with `below` those whose number is smaller.

        Continuing by number rather than by MLflow's page token keeps pages apart when a version is added meanwhile.
        Raises: NotFoundError: no such model; the text names the closest.
        """
        model = await self.model(name)
        older_than = f" AND version_number < {below}" if below is not None else ""
        page = await self._api.search_model_versions(
            f"name = {quoted(name)}{older_than}", order_by=["version_number DESC"], max_results=max_versions
        )
        aliases: dict[str, list[str]] = {}
        for alias, version in model.version_by_alias.items():
            aliases.setdefault(version, []).append(alias)
        versions = tuple(
            replace(version, aliases=tuple(aliases.get(version.version, ())) or version.aliases)
            for version in page.items
        )
        older = versions[-1].version if versions and page.next_page_token else ""
        return ModelVersions(model, versions, older, await self._source_runs(versions))

    async def version(self, name: str, reference: str) -> ModelVersion:
        """A version by number, by alias, by stage, or the newest by `latest`.

        Raises: NotFoundError: no such model or version; the text lists what there is.
        """
        model = await self.model(name)
        number = await self._version_number(model, _version_text(reference, model.name))
        if number:
            try:
                return await self._api.get_model_version(model.name, number)
            except NotFoundError:
                pass  # Reported below, with the versions there are.
        raise NotFoundError(
            f"Model '{name}' has no version, alias or stage '{reference}'. Newest version: "
            f"{await self.newest(model.name) or 'none'}; aliases: {aliases_of(model)}. get_model lists them."
        )

    async def newest(self, name: str) -> str:
        """The highest version number; empty when the model has no version."""
        page = await self._api.search_model_versions(
            f"name = {quoted(name)}", order_by=["version_number DESC"], max_results=1
        )
        return page.items[0].version if page.items else ""

    async def source_run(self, version: ModelVersion) -> Run | None:
        """The run that produced a version; None if it has none, or the run is gone."""
        return (await self._source_runs([version])).get(version.run_id)

    async def facts(self, version: ModelVersion) -> VersionFacts:
        """Metrics and params of the version's run and LoggedModel (the LoggedModel's win), tags of run and version."""
        metrics: dict[str, float] = {}
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        if version.run_id:
            try:
                run = await self._tracking_api.get_run(version.run_id)
            except NotFoundError:
                pass  # The run was purged; the version's own tags and its LoggedModel still count.
            else:
                metrics, params, tags = {**run.metrics}, {**run.params}, {**run.tags}
        if version.model_id:
            logged = await self.logged_model(version.model_id)
            metrics.update(logged.metrics if logged else {})
            params.update(logged.params if logged else {})
        return VersionFacts(metrics, params, {**tags, **version.tags})

    async def logged_model(self, model_id: str) -> LoggedModel | None:
        """A LoggedModel of MLflow 3; None if it is gone."""
        try:
            return await self._tracking_api.get_logged_model(model_id)
        except NotFoundError:
            return None

    async def files(self, version: ModelVersion, paths: Sequence[str], *, limit: int) -> dict[str, str]:
        """The first `limit` bytes of text files of a version, by path; those it does not have are absent."""
        texts: dict[str, str] = {}
        for path in paths:
            data = await read_if_present(
                self._api.read_model_version_artifact(version.name, version.version, artifact_path(path), limit=limit)
            )
            if data:
                texts[path] = data.decode("utf-8", "replace")
        return texts

    async def model_url(self, name: str, version: str = "") -> str:
        """Page of a model or version in the UI of the MLflow that holds the registry; empty where there is none."""
        return await self._ui.link(f"models/{quote(name, safe='')}" + (f"/versions/{version}" if version else ""))

    async def current_version(self, model: RegisteredModel, name: str) -> ModelVersion | None:
        """The version that an alias points to, or a stage if no alias is called that; None if there is none."""
        pointer = Pointer(alias=name).in_model(model)
        number = pointer.current_version(model)
        if not number and (stage := _STAGE_BY_WORD.get(name.lower(), "")):
            number = Pointer(stage=stage).current_version(model)
        return await self._api.get_model_version(model.name, number) if number else None

    async def _version_number(self, model: RegisteredModel, text: str) -> str:
        """The number a reference stands for; empty if it stands for none. A number is always a version."""
        if match := _NUMBER.fullmatch(text):
            number = int(match["number"])
            return str(number) if number <= _LARGEST_VERSION else ""
        if alias := find_name(text, model.version_by_alias):
            return model.version_by_alias[alias]
        if text.lower() in _NEWEST:
            return await self.newest(model.name)
        stage = _STAGE_BY_WORD.get(text.lower(), "")
        return Pointer(stage=stage).current_version(model) if stage else ""

    async def _source_runs(self, versions: Sequence[ModelVersion]) -> dict[str, Run]:
        ids = [version.run_id for version in versions if version.run_id]
        if not ids:
            return {}
        try:
            return {run.run_id: run for run in await self._references.runs(ids)}
        except NotFoundError:
            found: dict[str, Run] = {}
            for run_id in dict.fromkeys(ids):
                try:
                    found[run_id] = await self._tracking_api.get_run(run_id)
                except NotFoundError:
                    continue  # A version outlives its run.
            return found


async def read_if_present(reading: Awaitable[bytes]) -> bytes:
    """What is read, or nothing if there is no such file: 404, 400 or 500, by artifact store."""
    try:
        return await reading
    except (UnreachableError, DeadlineError):
        raise
    except (InvalidInputError, TrackingServerError):
        return b""


def _version_text(reference: str, name: str) -> str:
    """What a reference says about the version: for `models:/churn@champion` and `@champion` it is `champion`.

    Raises: InvalidInputError: it is a URI of another model.
    """
    text = reference.strip()
    match = VERSION_URI.fullmatch(text)
    if match is None:
        return text.removeprefix("@")
    if not same_name(match["name"], name):
        raise InvalidInputError(f"version '{reference}' belongs to a different model than '{name}'.")
    return match["version"] or match["alias"]
