"""Experiments: search, create, change and delete them."""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_server.errors import (
    AlreadyExistsError,
    InvalidInputError,
    MlflowToolError,
    NotFoundError,
    TrackingServerError,
)
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Page
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.operations.searching.record_filters import (
    EXPERIMENTS,
    record_filter,
    record_order,
)
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.tag_values import writable_tags
from mcp_server.mlflow_integration.operations.ui_address import UiAddress
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType
from mcp_server.names import same_name, stands_for_nothing
from mcp_server.suggestions import did_you_mean
from mcp_server.untrusted import clean, shown

NAME_LIMIT: Final = 500
"""Characters. Source: mlflow/utils/validation.py."""


class Experiments:
    """Experiments of one MLflow."""

    def __init__(self, api: TrackingApi, references: References, ui: UiAddress) -> None:
        self._api = api
        self._references = references
        self._ui = ui

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
        """Experiments whose name contains a text (any case) and that a filter of MLflow's holds for.

        Raises: InvalidInputError: the filter or an order cannot be read.
        """
        asked = record_filter(filter_string, EXPERIMENTS, int(time.time() * 1_000))
        named = f"name ILIKE {quoted(f'%{name_contains}%')}" if name_contains else ""
        return await self._api.search_experiments(
            filter_string=" AND ".join(part for part in (named, asked) if part),
            order_by=record_order(order_by, EXPERIMENTS) or ("last_update_time DESC",),
            max_results=max_results,
            page_token=page_token,
            view_type=view_type,
        )

    async def create(self, name: str, *, description: str = "", tags: Mapping[str, Any]) -> Experiment:
        """A new experiment.

        Raises: AlreadyExistsError: one of this name, or of one that differs only by case, exists or is deleted.
            InvalidInputError: a name or tag that MLflow would refuse.
        """
        name = _checked_name(name)
        own = uuid.uuid4().hex
        all_tags = {**writable_tags(tags, description=description or None), tag_names.REQUEST_KEY: own}
        await self._need_new_name(name)
        try:
            experiment_id = await self._api.create_experiment(name, all_tags)
        except AlreadyExistsError:
            raise _exists(await self._api.get_experiment_by_name(name)) from None
        except TrackingServerError as error:
            return await self._made_after_all(name, own, error)
        finally:
            self._references.forget()
        return await self._api.get_experiment(experiment_id)

    async def get_or_create(self, reference: str) -> tuple[Experiment, bool]:
        """An experiment by id, name or UI link, else a new one of this name, and whether it is new.

        Raises: InvalidInputError: the experiment is deleted, or a number or link that leads nowhere.
        """
        try:
            experiment = await self._references.experiment(reference)
        except NotFoundError as error:
            name = self._references.named(reference)
            if name.isdigit() or stands_for_nothing(name):
                raise NotFoundError(
                    f"{error} To create an experiment of this name, use create_experiment(name='{name}')."
                ) from None
            if "://" in name:
                raise  # A link that leads nowhere is a mistake, not a name for something new.
            return await self._create_unless_made(name)
        need_active_experiment(experiment)
        return experiment, False

    async def update(
        self, reference: str, *, name: str, description: str | None, tags: Mapping[str, Any], restore: bool
    ) -> Experiment:
        """Renames, describes, tags or restores an experiment. Everything is checked before the first change."""
        texts = writable_tags(tags, description=description)
        experiment = await self._references.experiment(reference)
        experiment_id = experiment.experiment_id
        renamed = bool(name) and name != experiment.name
        if renamed:
            name = _checked_name(name)
            await self._need_new_name(name, own_id=experiment_id)
        if experiment.lifecycle_stage == "deleted":
            if not restore:
                need_active_experiment(experiment)
            await self._api.restore_experiment(experiment_id)
        try:
            if renamed:
                await self._api.rename_experiment(experiment_id, name)
            for key, value in texts.items():
                await self._api.set_experiment_tag(experiment_id, key, value)
        finally:
            self._references.forget()
        return await self._api.get_experiment(experiment_id)

    async def delete(self, reference: str) -> Experiment:
        """Moves it to the deleted stage, from which update_experiment restores it."""
        experiment = await self._references.experiment(reference)
        if experiment.lifecycle_stage != "deleted":
            try:
                await self._api.delete_experiment(experiment.experiment_id)
            except TrackingServerError as error:
                # Only the answer may have been lost.
                after = await self._api.get_experiment(experiment.experiment_id)
                if error.carried_out is False or after.lifecycle_stage != "deleted":
                    raise
            finally:
                self._references.forget()
        return experiment

    async def near(self, name: str) -> str:
        """` Closest: a, b.`: experiments that a new name may have been meant for; empty when none is close."""
        try:
            others = [experiment.name for experiment in await self._references.all_experiments()]
        except MlflowToolError:
            return ""  # The call that the suggestion is for must not fail because of it.
        return did_you_mean(name, [other for other in others if other != name])

    async def url(self, experiment_id: str) -> str:
        """Page of an experiment in MLflow's UI; empty where the store has none."""
        return await self._ui.link(f"experiments/{experiment_id}")

    async def _create_unless_made(self, name: str) -> tuple[Experiment, bool]:
        try:
            return await self.create(name, tags={}), True
        except AlreadyExistsError:
            # Another call may have made it since it was looked for.
            experiment = await self._by_name(name)
            if experiment is None:
                raise
            need_active_experiment(experiment)
            return experiment, False

    async def _made_after_all(self, name: str, key: str, error: TrackingServerError) -> Experiment:
        """The experiment whose creation was not acknowledged. Raises: `error`: it was not made."""
        made = None if error.carried_out is False else await self._by_name(name)
        if made is None:
            raise error
        if made.tags.get(tag_names.REQUEST_KEY) != key:
            raise _exists(made)
        return made

    async def _by_name(self, name: str) -> Experiment | None:
        try:
            return await self._api.get_experiment_by_name(name)
        except NotFoundError:
            return None

    async def _need_new_name(self, name: str, own_id: str = "") -> None:
        """Raises: AlreadyExistsError: an experiment has this name, or one that differs only by case."""
        page = await self._api.search_experiments(
            # _ stands for any character: a name with both kinds of quotes cannot be asked for.
            filter_string=f"name ILIKE {quoted(name.replace(chr(34), '_'))}",
            view_type="ALL",
        )
        for other in page.items:
            if other.experiment_id != own_id and same_name(other.name, name):
                raise _exists(other, asked=name)


def need_active_experiment(experiment: Experiment) -> None:
    """Raises: InvalidInputError: it is deleted, so nothing can be written to it."""
    if experiment.lifecycle_stage == "deleted":
        raise InvalidInputError(
            f"Experiment '{experiment.name}' is deleted. "
            f"update_experiment(experiment='{experiment.experiment_id}', restore=true) restores it."
        )


def _checked_name(name: str) -> str:
    name = name.strip()
    if not clean(name).strip():
        raise InvalidInputError("The name of an experiment cannot be empty.")
    if len(name) > NAME_LIMIT:
        raise InvalidInputError(f"The experiment name has {len(name):,} characters; MLflow accepts {NAME_LIMIT}.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise InvalidInputError(f"The experiment name '{shown(name)}' has control characters.")
    return name


def _exists(existing: Experiment, asked: str = "") -> AlreadyExistsError:
    """The refusal of a name that is taken."""
    by_id = existing.experiment_id
    if existing.lifecycle_stage == "deleted":
        return AlreadyExistsError(
            f"A deleted experiment has the name '{existing.name}' (id {by_id}). "
            f"update_experiment(experiment='{by_id}', restore=true) restores it."
        )
    if asked and asked != existing.name:
        return AlreadyExistsError(
            f"Experiment '{existing.name}' (id {by_id}) exists, and '{asked}' differs from it only by case. "
            f"Use '{existing.name}', or a name that differs more."
        )
    return AlreadyExistsError(
        f"Experiment '{existing.name}' exists (id {by_id}). log_run and start_run log to it by this name."
    )
