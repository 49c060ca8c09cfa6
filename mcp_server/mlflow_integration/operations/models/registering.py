"""Changing the model registry: register, copy, describe, tag and delete. promotion.py moves aliases."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mcp_server.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TrackingServerError,
)
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel
from mcp_server.mlflow_integration.operations.models.model_sources import ModelSource, ModelSources
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer, pointer_of
from mcp_server.mlflow_integration.operations.models.registry import Registry
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.operations.tag_values import need_unreserved
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.names import find_name, same_name, stands_for_nothing
from mcp_server.suggestions import closest
from mcp_server.untrusted import clean

_VERSIONS_PER_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Registered:
    """A version, and what had to be made for it."""

    version: ModelVersion
    existed: bool = False
    """True when this model was a version already: registering twice creates one version."""
    created_model: bool = False
    """True when the registered model itself is new."""
    similar: tuple[str, ...] = ()
    """Names of other models that are close to the name of a new one."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted, as it was when somebody agreed to it."""

    model: RegisteredModel
    version: ModelVersion | None = None
    """Only this version; with `alias`, the one that the alias points to."""
    alias: str = ""
    """Only this alias; no version is deleted."""
    newest: str = ""
    """The newest version of the model, when all of it is deleted; empty when it has none."""


class Registering:
    """Writes to the registry of one MLflow."""

    def __init__(self, api: RegistryApi, registry: Registry, sources: ModelSources) -> None:
        self._api = api
        self._registry = registry
        self._sources = sources

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
            several models. AlreadyExistsError: the name differs from an existing one only by case.
            InvalidInputError: the URI cannot be registered, or the alias belongs to another version.
        """
        need_unreserved(tags)
        known = await self._known_model(name)
        source = await self._sources.find(run, model, model_uri)
        version = await self._existing(known, source) if known else None
        pointer = pointer_of(alias, "") if alias else None
        if pointer and known:
            pointer = _need_free(known, pointer, version.version if version else "")
        if version is None:
            registered = await self._create_version(name, known, source, description, tags)
        else:
            registered = Registered(version, existed=True)
        name, number = registered.version.name, registered.version.version
        if pointer:
            await self._api.set_alias(name, pointer.alias, number)
        made = await self._api.get_model_version(name, number)
        return Registered(made, registered.existed, registered.created_model, registered.similar)

    async def update(
        self, name: str, version: str, *, description: str | None, tags: Mapping[str, str], alias: str
    ) -> ModelVersion | RegisteredModel:
        """Describes or tags a model, or with `version` one of its versions, which may also get an alias that is free.

        Raises: InvalidInputError: an alias without a version, or one that belongs to another version.
        """
        need_unreserved(tags)
        if alias and not version:
            raise InvalidInputError("An alias belongs to a version: give version too.")
        model = await self._registry.model(name)
        if not version:
            if description is not None:
                await self._api.update_registered_model(model.name, description)
            for key, value in tags.items():
                await self._api.set_registered_model_tag(model.name, key, value)
            return await self._api.get_registered_model(model.name)
        number = (await self._registry.version(name, version)).version
        pointer = _need_free(model, pointer_of(alias, ""), number) if alias else None
        if description is not None:
            await self._api.update_model_version(model.name, number, description)
        for key, value in tags.items():
            await self._api.set_model_version_tag(model.name, number, key, value)
        if pointer:
            await self._api.set_alias(model.name, pointer.alias, number)
        return await self._api.get_model_version(model.name, number)

    async def copy_of(self, version: ModelVersion, to_model: str) -> ModelVersion | None:
        """The version of another registered model that is a copy of this one; None when there is none."""
        known = await self._known_model(to_model)
        return await self._existing(known, _as_source(version)) if known else None

    async def copy(self, version: ModelVersion, to_model: str) -> Registered:
        """Makes the same model a version of another registered model, with its tags but not its promotions."""
        tags = {key: value for key, value in version.tags.items() if not tag_names.is_reserved(key)}
        known = await self._known_model(to_model)
        return await self._create_version(to_model, known, _as_source(version), version.description, tags)

    async def copied(self, name: str, key: str) -> ModelVersion | None:
        """The version that a copy from another MLflow made, by the key of the copy; the first of several."""
        model = await self._known_model(name)
        token, found = "", list[ModelVersion]()
        while model:
            page = await self._api.search_model_versions(
                f"name = {quoted(model.name)}", max_results=_VERSIONS_PER_PAGE, page_token=token
            )
            found += [version for version in page.items if version.tags.get(tag_names.COPY_KEY) == key]
            token = page.next_page_token
            if not token:
                break
        return min(found, key=lambda version: int(version.version), default=None)

    async def register_copy(
        self, name: str, key: str, source: ModelSource, description: str, tags: Mapping[str, str]
    ) -> Registered:
        """Makes a version of a model whose files were copied here, once for a key whoever else does the same now."""
        if existing := await self.copied(name, key):
            return Registered(existing, existed=True)
        known = await self._known_model(name)
        tags = {**tags, tag_names.COPY_KEY: key}
        made = await self._create_version(name, known, source, description, tags)
        first = await self.copied(made.version.name, key)
        if first is None or first.version == made.version.version:
            return made
        await self._api.delete_model_version(made.version.name, made.version.version)
        return Registered(first, existed=True)

    # Deleting

    async def deletion(self, name: str, *, version: str = "", alias: str = "") -> Deletion:
        """What the arguments of delete_model name: an alias, a version, or the whole model.

        Raises: NotFoundError: it is not there; the text lists what is. InvalidInputError: version and alias together.
        """
        if version and alias:
            raise InvalidInputError(
                "With both version and alias it is unclear what to delete: give version to delete a version, alias to "
                "delete only the alias."
            )
        model = await self._registry.model(name)
        if alias:
            known = find_name(alias.strip(), model.version_by_alias)
            if not known:
                there = ", ".join(sorted(model.version_by_alias)) or "none"
                raise NotFoundError(f"Model '{name}' has no alias '{alias}'. Its aliases: {there}.")
            number = model.version_by_alias[known]
            return Deletion(model, await self._api.get_model_version(model.name, number), known)
        if version:
            return Deletion(model, await self._registry.version(name, version))
        return Deletion(model, newest=await self._registry.newest(model.name))

    async def delete(self, deletion: Deletion) -> None:
        """Deletes exactly what was shown, for good.

        Raises: ConflictError: it has changed since it was shown; nothing was deleted.
        """
        name = deletion.model.name
        now = await self._registry.model(name)
        version = deletion.version
        if now.creation_time != deletion.model.creation_time:
            raise _changed(f"model '{name}' was deleted and made again")
        if deletion.alias:
            number = now.version_by_alias.get(deletion.alias, "")
            if version is None or number != version.version:
                raise _changed(f"alias '{deletion.alias}' of '{name}' was moved")
            await self._api.delete_alias(name, deletion.alias)
        elif version is not None:
            if (await self._api.get_model_version(name, version.version)).creation_time != version.creation_time:
                raise _changed(f"version {version.version} of '{name}' is another one")
            await self._api.delete_model_version(name, version.version)
        else:
            if await self._registry.newest(name) != deletion.newest:
                raise _changed(f"model '{name}' got another version")
            await self._api.delete_registered_model(name)

    # Making models and versions

    async def _known_model(self, name: str) -> RegisteredModel | None:
        if not name.strip():
            raise InvalidInputError("The name of a registered model cannot be empty.")
        return await self._registry.find_model(name)

    async def _existing(self, model: RegisteredModel, source: ModelSource) -> ModelVersion | None:
        """The version that was made from this source already."""
        # MLflow's own client registers a LoggedModel under the path of its files, which holds its id.
        of_run = f" AND run_id = {quoted(source.run_id)}" if source.run_id else ""
        token = ""
        while True:
            page = await self._api.search_model_versions(
                f"name = {quoted(model.name)}{of_run}", max_results=_VERSIONS_PER_PAGE, page_token=token
            )
            for version in page.items:
                if version.source == source.uri or (source.model_id and f"/{source.model_id}/" in f"{version.source}/"):
                    return version
            token = page.next_page_token
            if not token:
                return None

    async def _create_version(
        self,
        name: str,
        known: RegisteredModel | None,
        source: ModelSource,
        description: str,
        tags: Mapping[str, str],
    ) -> Registered:
        similar = () if known else await self._similar(name)
        created = known is None and await self._create_model(name)
        version = await self._create(known.name if known else name, source, description, tags)
        return Registered(version, created_model=created, similar=similar if created else ())

    async def _similar(self, name: str) -> tuple[str, ...]:
        """Existing names close to a new one.

        Raises: AlreadyExistsError: one differs only in case. InvalidInputError: it has invisible characters, or
            stands for a missing value.
        """
        if clean(name) != name or name != name.strip():
            raise InvalidInputError(
                f"The name of a new registered model has invisible characters or spaces at its ends: '{clean(name)}'."
            )
        if stands_for_nothing(name):
            raise InvalidInputError(f"'{name}' stands for a missing value. Give the new model another name.")
        names = await self._registry.names_like(name)
        if same := next((other for other in names if same_name(name, other)), ""):
            raise AlreadyExistsError(
                f"'{name}' would be a second model next to '{same}', and some stores treat the two names as one. "
                f"Give name='{same}', or another name."
            )
        return closest(name, names)

    async def _create_model(self, name: str) -> bool:
        """Whether this call made the registered model."""
        try:
            await self._api.create_registered_model(name)
        except AlreadyExistsError:
            return False  # Somebody else made it meanwhile.
        except TrackingServerError:
            await self._api.get_registered_model(name)  # Made, but the answer was lost; or the failure stands.
        return True

    async def _create(self, name: str, source: ModelSource, description: str, tags: Mapping[str, str]) -> ModelVersion:
        key = uuid.uuid4().hex
        try:
            return await self._api.create_model_version(
                name,
                source.uri,
                run_id=source.run_id,
                model_id=source.model_id,
                description=description,
                tags={**tags, tag_names.REQUEST_KEY: key},
            )
        except TrackingServerError as error:
            if error.carried_out is not False:
                page = await self._api.search_model_versions(
                    f"name = {quoted(name)}", order_by=["version_number DESC"], max_results=_VERSIONS_PER_PAGE
                )
                for version in page.items:
                    if version.tags.get(tag_names.REQUEST_KEY) == key:
                        return version
            raise


def _as_source(version: ModelVersion) -> ModelSource:
    return ModelSource(f"models:/{version.name}/{version.version}", version.run_id, version.model_id)


def _need_free(model: RegisteredModel, pointer: Pointer, version: str) -> Pointer:
    """The alias as the model spells it. Raises: InvalidInputError: it belongs to another version than `version`."""
    pointer = pointer.in_model(model)
    current = pointer.current_version(model)
    if current not in ("", version):
        raise InvalidInputError(
            f"The alias '{pointer.alias}' of '{model.name}' points to version {current}. promote_model moves it, "
            "through gates, and rollback_model can undo that."
        )
    return pointer


def _changed(what: str) -> ConflictError:
    return ConflictError(
        f"Nothing was deleted: {what} since it was shown. Call again to see what would be deleted now."
    )
