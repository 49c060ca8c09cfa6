"""What the tools ask of the model registry: find, read, register, describe, delete. promotion.py moves aliases."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from mcp_server.errors import (
    AlreadyExistsError,
    AmbiguousError,
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    TrackingServerError,
    UnreachableError,
)
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import LoggedModel, ModelVersion, Page, RegisteredModel, Run
from mcp_server.mlflow_integration.operations.filters import quoted
from mcp_server.mlflow_integration.operations.promotion import seat_of
from mcp_server.mlflow_integration.operations.references import References
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.suggestions import did_you_mean

_MODEL_ID: Final = re.compile(r"(?:models:/)?(?P<id>m-[0-9a-f]{8,64})")
_RUNS_URI: Final = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
_VERSIONS_PER_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A registered model with its newest versions and what is known of each."""

    model: RegisteredModel
    versions: tuple[ModelVersion, ...]
    """Newest first, with aliases."""
    next_page_token: str
    runs: Mapping[str, Run] = field(default_factory=dict[str, Run])
    """Source runs by id; those that are gone are absent."""


@dataclass(frozen=True, slots=True)
class Registered:
    version: ModelVersion
    existed: bool
    """True when this model was a version already, so that asking twice makes one."""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What gates may ask of a version: its run's and its LoggedModel's, its own tags first."""

    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


class Registry:
    """Registered models of one MLflow. Runs and LoggedModels are read from the tracking side."""

    def __init__(self, api: RegistryApi, tracking_api: TrackingApi, references: References, ui_url: str = "") -> None:
        self._api = api
        self._tracking_api = tracking_api
        self._references = references
        self._ui_url = ui_url

    async def search_models(
        self,
        name_contains: str = "",
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        max_results: int,
        page_token: str = "",
    ) -> Page[RegisteredModel]:
        """Registered models whose name contains a text (any case) and that a filter of MLflow's holds for."""
        named = f"name ILIKE {quoted(f'%{name_contains}%')}" if name_contains else ""
        return await self._api.search_registered_models(
            filter_string=" AND ".join(part for part in (named, filter_string) if part),
            order_by=order_by,
            max_results=max_results,
            page_token=page_token,
        )

    async def get_model(self, name: str, *, max_versions: int = 20, page_token: str = "") -> ModelCard:
        """Raises: NotFoundError: no such model; the text names the closest."""
        model = await self._model(name)
        page = await self._api.search_model_versions(
            f"name = {quoted(name)}",
            order_by=["version_number DESC"],
            max_results=max_versions,
            page_token=page_token,
        )
        aliases: dict[str, list[str]] = {}
        for alias, version in model.version_by_alias.items():
            aliases.setdefault(version, []).append(alias)
        versions = tuple(_with_aliases(version, aliases.get(version.version, ())) for version in page.items)
        return ModelCard(model, versions, page.next_page_token, await self._source_runs(versions))

    async def version(self, name: str, reference: str) -> ModelVersion:
        """By number, by alias, or `latest`.

        Raises: NotFoundError: no such model or version; the text lists what there is.
        """
        model = await self._model(name)
        text = reference.strip()
        number = model.version_by_alias.get(text, text.removeprefix("v"))
        if text.lower() == "latest":
            number = await self._latest(name)
        if number.isdigit():
            try:
                return await self._api.get_model_version(name, number)
            except NotFoundError:
                pass  # Said below, with the versions there are.
        aliases = ", ".join(f"{alias} (version {at})" for alias, at in sorted(model.version_by_alias.items()))
        raise NotFoundError(
            f"Model '{name}' has no version or alias '{reference}'. "
            f"Newest version: {await self._latest(name) or 'none'}; aliases: {aliases or 'none'}. get_model lists them."
        )

    async def register(
        self,
        name: str,
        *,
        run: str = "",
        model: str = "",
        model_uri: str = "",
        description: str = "",
        tags: Mapping[str, str],
        alias: str = "",
    ) -> Registered:
        """Makes a version of a run's logged model, and the registered model itself if it is new.

        Raises: NotFoundError: no such run or model, or it has no MLmodel file. AmbiguousError: the run logged
            several models. InvalidInputError: the URI is none that can be registered from here.
        """
        if not name.strip():
            raise InvalidInputError("A registered model needs a name that is not empty.")
        source, run_id, model_id = await self._source(run, model, model_uri)
        version = await self._existing(name, source, model_id)
        existed = version is not None
        if alias:
            await self._need_free(name, alias, version=version.version if version else "")
        if version is None:
            version = await self._create_version(name, source, run_id, model_id, description, tags)
        if alias:
            await self._api.set_alias(name, alias, version.version)
        return Registered(await self._api.get_model_version(name, version.version), existed)

    async def facts(self, version: ModelVersion) -> VersionFacts:
        """Metrics and params of the version's run and LoggedModel (the LoggedModel's win), tags of the version."""
        metrics: dict[str, float] = {}
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        if version.run_id:
            try:
                run = await self._tracking_api.get_run(version.run_id)
            except NotFoundError:
                pass  # The run was purged; what the version itself says still counts.
            else:
                metrics, params, tags = {**run.metrics}, {**run.params}, {**run.tags}
        if version.model_id:
            logged = await self._logged_model(version.model_id)
            metrics.update(logged.metrics if logged else {})
            params.update(logged.params if logged else {})
        return VersionFacts(metrics, params, {**tags, **version.tags})

    async def update(
        self, name: str, version: str, *, description: str | None, tags: Mapping[str, str], alias: str
    ) -> ModelVersion | RegisteredModel:
        """Describes or tags a model, or with `version` one of its versions, which may also get an alias that is free.

        Raises: InvalidInputError: an alias without a version, or one that another version holds.
        """
        if alias and not version:
            raise InvalidInputError("An alias belongs to a version: give version too.")
        target = await self.version(name, version) if version else await self._model(name)
        if alias:
            await self._need_free(name, alias, version=cast(ModelVersion, target).version)
        if isinstance(target, ModelVersion):
            return await self._update_version(target, description, tags, alias)
        if description is not None:
            await self._api.update_registered_model(name, description)
        for key, value in tags.items():
            await self._api.set_registered_model_tag(name, key, value)
        return await self._api.get_registered_model(name)

    async def _update_version(
        self, target: ModelVersion, description: str | None, tags: Mapping[str, str], alias: str
    ) -> ModelVersion:
        name, number = target.name, target.version
        if description is not None:
            await self._api.update_model_version(name, number, description)
        for key, value in tags.items():
            await self._api.set_model_version_tag(name, number, key, value)
        if alias:
            await self._api.set_alias(name, alias, number)
        return await self._api.get_model_version(name, number)

    async def delete(self, name: str, *, version: str = "", alias: str = "") -> None:
        """An alias, a version, or a whole model, for good.

        Raises: NotFoundError: it is not there; the text lists what is.
        """
        model = await self._model(name)
        if alias:
            if alias not in model.version_by_alias:
                there = ", ".join(sorted(model.version_by_alias)) or "none"
                raise NotFoundError(f"Model '{name}' has no alias '{alias}'. Its aliases: {there}.")
            await self._api.delete_alias(name, alias)
        elif version:
            await self._api.delete_model_version(name, (await self.version(name, version)).version)
        else:
            await self._api.delete_registered_model(name)

    async def copy_of(self, version: ModelVersion, to_model: str) -> ModelVersion | None:
        """The version of another registered model that is a copy of this one; None when there is none."""
        return await self._existing(to_model, _copy_source(version), version.model_id)

    async def copy(self, version: ModelVersion, to_model: str) -> ModelVersion:
        """Makes the same model a version of another registered model; its tags go along, its promotions do not."""
        tags = {key: value for key, value in version.tags.items() if not key.startswith(tag_names.RESERVED_PREFIX)}
        source = _copy_source(version)
        return await self._create_version(to_model, source, version.run_id, version.model_id, version.description, tags)

    async def files(self, version: ModelVersion, paths: Sequence[str], *, limit: int) -> dict[str, str]:
        """The beginnings of text files of a version, by path; those it does not have are absent."""
        texts: dict[str, str] = {}
        for path in paths:
            # Models differ in what they keep; a missing file is what a comparison shows.
            data = await _present(
                self._api.read_model_version_artifact(version.name, version.version, artifact_path(path), limit=limit)
            )
            if data:
                texts[path] = data.decode("utf-8", "replace")
        return texts

    def model_url(self, name: str, version: str = "") -> str:
        """Page of a model or version in MLflow's UI; empty where the store has none."""
        if not self._ui_url:
            return ""
        return f"{self._ui_url}/#/models/{name}" + (f"/versions/{version}" if version else "")

    # Beneath

    async def _model(self, name: str) -> RegisteredModel:
        try:
            return await self._api.get_registered_model(name)
        except NotFoundError:
            names = [m.name for m in (await self._api.search_registered_models(max_results=1_000)).items]
            raise NotFoundError(
                f"No registered model '{name}'.{did_you_mean(name, names)} search_models lists them; "
                "register_model makes one from a run."
            ) from None

    async def _latest(self, name: str) -> str:
        page = await self._api.search_model_versions(
            f"name = {quoted(name)}", order_by=["version_number DESC"], max_results=1
        )
        return page.items[0].version if page.items else ""

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

    async def _source(self, run: str, model: str, model_uri: str) -> tuple[str, str, str]:
        """Source URI, run id and LoggedModel id of what is to be registered."""
        if model_uri:
            if run or model:
                raise InvalidInputError("Give either model_uri or run (with model), not both.")
            if match := _MODEL_ID.fullmatch(model_uri.strip()):
                return await self._from_logged_model(await self._need_logged_model(match["id"]))
            match = _RUNS_URI.fullmatch(model_uri.strip())
            if match is None:
                raise InvalidInputError(
                    f"model_uri '{model_uri}' cannot be registered. Give runs:/<run_id>/<model name> or "
                    "models:/m-<id>; get_run shows the models a run logged."
                )
            run, model = match["run"], match["path"]
        if not run:
            raise InvalidInputError("Name the run whose model is to be registered (run), or give its model_uri.")
        return await self._from_run(await self._references.run(run), model)

    async def _from_run(self, run: Run, model: str) -> tuple[str, str, str]:
        if match := _MODEL_ID.fullmatch(model):
            return await self._from_logged_model(await self._need_logged_model(match["id"]))
        logged = [found for model_id in run.logged_model_ids if (found := await self._logged_model(model_id))]
        logged.sort(key=lambda found: (found.name, found.model_id))
        named = [found for found in logged if found.name == model] if model else logged
        if len(named) > 1:
            listed = ", ".join(f"{found.name} ({found.model_id})" for found in named)
            raise AmbiguousError(f"Run {run.run_id} logged several models: {listed}. Choose one with model=.")
        if named:
            return await self._from_logged_model(named[0])
        # MLflow 2 kept models among the artifacts of the run.
        path = artifact_path(model or "model")
        if await _present(self._tracking_api.read_run_artifact(run.run_id, f"{path}/MLmodel", limit=64)):
            return f"{run.artifact_uri}/{path}", run.run_id, ""
        names = ", ".join(found.name for found in logged)
        raise NotFoundError(
            f"Run {run.run_id} has no model '{path}': no MLmodel file is there. "
            + (f"It logged: {names}." if names else "It logged no model; a training script logs one with log_model.")
        )

    async def _from_logged_model(self, logged: LoggedModel) -> tuple[str, str, str]:
        if not await _present(self._tracking_api.read_logged_model_artifact(logged.model_id, "MLmodel", limit=64)):
            raise NotFoundError(
                f"Logged model '{logged.name}' ({logged.model_id}) has no readable MLmodel file, so a version of it "
                "could not be loaded; nothing was registered."
            )
        return f"models:/{logged.model_id}", logged.source_run_id, logged.model_id

    async def _logged_model(self, model_id: str) -> LoggedModel | None:
        try:
            return await self._tracking_api.get_logged_model(model_id)
        except NotFoundError:
            return None

    async def _need_logged_model(self, model_id: str) -> LoggedModel:
        logged = await self._logged_model(model_id)
        if logged is None:
            raise NotFoundError(f"No logged model '{model_id}'. get_run shows the models a run logged.")
        return logged

    async def _existing(self, name: str, source: str, model_id: str) -> ModelVersion | None:
        page = await self._api.search_model_versions(f"name = {quoted(name)}", max_results=_VERSIONS_PER_PAGE)
        for version in page.items:
            same = f"/{model_id}/" in f"{version.source}/" if model_id else version.source == source
            if same:
                return version
        return None

    async def _create_version(
        self, name: str, source: str, run_id: str, model_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        try:
            await self._api.create_registered_model(name)
        except AlreadyExistsError:
            pass  # A new version of a known model.
        except TrackingServerError:
            await self._api.get_registered_model(name)  # Made, but the answer was lost; or the failure stands.
        key = uuid.uuid4().hex
        try:
            return await self._api.create_model_version(
                name,
                source,
                run_id=run_id,
                model_id=model_id,
                description=description,
                tags={**tags, tag_names.REQUEST_KEY: key},
            )
        except TrackingServerError as error:
            if error.carried_out is not False:
                page = await self._api.search_model_versions(f"name = {quoted(name)}", max_results=_VERSIONS_PER_PAGE)
                for version in page.items:
                    if version.tags.get(tag_names.REQUEST_KEY) == key:
                        return version
            raise

    async def _need_free(self, name: str, alias: str, version: str = "") -> None:
        """Raises: InvalidInputError: another version than `version` holds the alias."""
        seat_of(alias, "")
        try:
            held = (await self._api.get_registered_model(name)).version_by_alias.get(alias, version)
        except NotFoundError:
            return
        if held != version:
            raise InvalidInputError(
                f"Version {held} of '{name}' holds the alias '{alias}'. promote_model moves it, through gates and with "
                "a way back."
            )


def _copy_source(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"


async def _present(reading: Awaitable[bytes]) -> bytes:
    """What is read, or nothing if there is no such file: 404, 400 or 500, by artifact store."""
    try:
        return await reading
    except (UnreachableError, DeadlineError):
        raise
    except (InvalidInputError, TrackingServerError):
        return b""


def _with_aliases(version: ModelVersion, aliases: Sequence[str]) -> ModelVersion:
    return replace(version, aliases=tuple(aliases) or version.aliases)
