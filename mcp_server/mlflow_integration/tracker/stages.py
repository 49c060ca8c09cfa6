"""Stages of model versions, and the aliases that replace them. The one place that maps them.

    stage        alias         set by transition_model_stage       read as the stage of
    Production   champion      the alias moves to the version      the version that champion points to
    Staging      challenger    the alias moves to the version      the version that challenger points to
    Archived     -             its champion, challenger removed    -
    None         -             its champion, challenger removed    every other version

MLflow deprecated stages in 2.9 in favour of aliases, and some registries no longer have them. Where a
registry has stages, setting one sets the stage and no alias; on the others it sets the alias. Reading,
the alias counts where no version of the model is in the stage itself: so a version that an agent promoted
to champion is in Production for a script that knows only stages, and MLflow's own stages keep their meaning.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.mlflow_integration.entities import ALIAS_OF_STAGE
from mcp_server.suggestions import did_you_mean

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

STAGES: Final = ("None", "Staging", "Production", "Archived")

_GONE: Final = (404, 405, 501)
"""HTTP codes of a registry without the endpoint, once it is known that the version exists."""


def canonical(stage: str) -> str:
    """The stage as MLflow writes it. Raises: InvalidInputError: there is none of that name."""
    for known in STAGES:
        if known.lower() == stage.strip().lower():
            return known
    raise InvalidInputError(f"'{stage}' is not a stage. Stages are {', '.join(STAGES)}.{did_you_mean(stage, STAGES)}")


def model_versions(client: Any, name: str) -> list[ModelVersion]:
    """Every version, newest first, `current_stage` and `aliases` filled in.

    Raises: NotFoundError: no such registered model; the text names the closest.
    """
    exceptions: Any = import_module("mlflow.exceptions")
    try:
        model = client.get_registered_model(name)
    except exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [other.name for other in client.search_registered_models(max_results=1_000)]
        raise NotFoundError(
            f"No registered model '{name}'.{did_you_mean(name, names)} register_model_from_run creates one."
        ) from None
    aliases: dict[str, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    found: list[ModelVersion] = []
    token: str | None = None
    escaped = name.replace("'", "\\'")
    while token != "":
        page = client.search_model_versions(f"name='{escaped}'", page_token=token)
        found += page
        token = page.token or ""
    free = ALIAS_OF_STAGE.keys() - {version.current_stage for version in found}
    for version in found:
        # A search returns versions without their aliases.
        version.aliases = aliases.get(str(version.version), [])
        if version.current_stage in (None, "", "None"):
            version.current_stage = next((stage for stage in free if ALIAS_OF_STAGE[stage] in version.aliases), "None")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def in_stages(client: Any, name: str, stages: Sequence[str]) -> list[ModelVersion]:
    """Versions in any of these stages, newest first."""
    wanted = {canonical(stage) for stage in stages}
    return [version for version in model_versions(client, name) if version.current_stage in wanted]


def transition(client: Any, name: str, version: str, stage: str, *, archive_existing: bool) -> ModelVersion:
    """Put a version into a stage, or give it the alias of the stage where the registry has no stages."""
    stage = canonical(stage)
    # Raises when there is no such version, so that a 404 below means only that the registry has no stages.
    client.get_model_version(name, version)
    exceptions: Any = import_module("mlflow.exceptions")
    try:
        with warnings.catch_warnings():
            # The caller's docstring documents the deprecation.
            warnings.simplefilter("ignore", FutureWarning)
            client.transition_model_version_stage(name, version, stage, archive_existing_versions=archive_existing)
    except AttributeError:
        _move_aliases(client, name, version, stage)
    except exceptions.MlflowException as error:
        if error.get_http_status_code() not in _GONE and error.error_code != "FEATURE_DISABLED":
            raise
        _move_aliases(client, name, version, stage)
    return next(found for found in model_versions(client, name) if str(found.version) == version)


def _move_aliases(client: Any, name: str, version: str, stage: str) -> None:
    alias = ALIAS_OF_STAGE.get(stage)
    if alias:
        client.set_registered_model_alias(name, alias, version)
    version_by_alias: dict[str, Any] = client.get_registered_model(name).aliases
    for other in ALIAS_OF_STAGE.values():
        if other != alias and str(version_by_alias.get(other)) == version:
            client.delete_registered_model_alias(name, other)
