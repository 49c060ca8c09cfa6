"""The model registry: find, read, compare, register, describe, delete. promotion.py moves aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from mcp.server.mcpserver import Resolve
from pydantic import Field

from mcp_server.analysis import compare
from mcp_server.analysis.files.model_files import MODEL_FILES, ModelFiles, describe_model
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import ModelVersion, Run
from mcp_server.mlflow_integration.operations.models.promotion import VERSIONS_SHOWN
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer, pointer_of, pointers_of
from mcp_server.mlflow_integration.operations.models.registering import Deletion
from mcp_server.mlflow_integration.operations.models.registry import Registry as RegistryOperations
from mcp_server.paging import Cursor
from mcp_server.rendering import Record, Table, moment
from mcp_server.tools._comparison import side_by_side
from mcp_server.tools._confirm import Question
from mcp_server.tools._context import OneEngine, Policy, Promotions, Registering, Registry
from mcp_server.tools._model_views import (
    alias_list,
    created_hint,
    file_differences,
    history_table,
    lineage_facts,
    newest_version,
    stage_list,
    version_facts,
    versions_table,
)
from mcp_server.tools._params import (
    Alias,
    ChangedTags,
    Description,
    MaxResults,
    ModelName,
    NameContains,
    OrderBy,
    PageToken,
    RunRef,
    Tags,
    Version,
    Versions,
)
from mcp_server.tools._views import shown_tags

MODEL_FILE_LIMIT: Final = 65_536
"""Bytes of an MLmodel or requirements file that are read."""


async def search_models(
    registry: Registry,
    name_contains: NameContains = "",
    filter_string: Annotated[str, Field(description="MLflow filter, such as tags.task = 'churn'.")] = "",
    order_by: Annotated[
        OrderBy, Field(max_length=5, description="name ASC or last_updated_timestamp DESC; by name when left out.")
    ] = (),
    max_results: MaxResults = 50,
    page_token: PageToken = "",
) -> Table:
    """List or find models of the registry: which are registered, with newest version and aliases such as champion or
    production."""
    cursor = Cursor.read(page_token, name_contains, filter_string, order_by)
    found = await registry.search_models(
        name_contains,
        filter_string=filter_string,
        order_by=order_by,
        max_results=cursor.request_size(max_results),
        page_token=cursor.page_token,
    )
    page = cursor.window(found.items, found.next_page_token, max_results)
    rows = [
        [m.name, newest_version(m), alias_list(m), moment(m.last_update_time), stage_list(m), m.description]
        for m in page.items
    ]
    hint = ""
    if not rows and not page_token:
        hint = "No registered model matches; without arguments this lists all. register_model creates one from a run."
    columns = ["name", "latest_version", "aliases", "last_update", "stages", "description"]
    return Table(columns, rows, page.next_page_token, hint, resume=page.resume).without_empty(keep=4)


async def get_model(
    registry: Registry,
    promotions: Promotions,
    name: ModelName,
    version: Annotated[Version, Field(description="Only this version, in full: number, alias, stage or latest.")] = "",
    max_results: MaxResults = 20,
    page_token: PageToken = "",
) -> Record:
    """Show a registered model: aliases, versions with the run, data and metrics behind each, and its promotions.

    Answers which version is champion or in production and which run produced it; with version also that one's
    params, signature and environment.
    """
    if version:
        return await _one_version(registry, await registry.version(name, version))
    found = await registry.get_model(name, max_versions=max_results, below=_below(page_token))
    events = () if page_token else await promotions.history(name, versions=VERSIONS_SHOWN)
    return Record(
        {
            "name": found.model.name,
            "description": found.model.description,
            "tags": shown_tags(found.model.tags),
            "aliases": dict(found.model.version_by_alias),
            "last_update": moment(found.model.last_update_time),
            "versions": versions_table(found.versions, found.runs),
            "promotions": history_table(events) if events else None,
            "next_page_token": found.older,
            "url": await registry.model_url(found.model.name),
        },
        resume=lambda shown: found.versions[shown - 1].version,
        paged="versions",
    )


def _below(page_token: str) -> int | None:
    """The version that a page token continues after. Raises: InvalidInputError: it is not one of get_model."""
    text = page_token.strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInputError(f"page_token '{page_token}' did not come from get_model; leave it out to start again.")
    return int(text) if text else None


async def _one_version(registry: RegistryOperations, version: ModelVersion) -> Record:
    run = await registry.source_run(version)
    files = describe_model(await registry.files(version, MODEL_FILES, limit=MODEL_FILE_LIMIT))
    return Record({**await version_facts(registry, version), **lineage_facts(run, files)})


async def compare_model_versions(registry: Registry, name: ModelName, versions: Versions) -> Record:
    """Compare 2 to 10 versions of a registered model: metrics, params, signature, requirements, environment.

    The first is the baseline of the deltas.
    """
    found = [await registry.version(name, reference) for reference in versions]
    _need_different(versions, found)
    runs = [await _as_run(registry, version) for version in found]
    files: list[ModelFiles] = [
        describe_model(await registry.files(v, MODEL_FILES, limit=MODEL_FILE_LIMIT)) for v in found
    ]
    labels = [f"v{version.version}" for version in found]
    facts = side_by_side(compare.compare_runs(runs), labels)
    sources = Table(
        ["label", "version", "aliases", "run_id", "model_id"],
        [[f"v{v.version}", v.version, ", ".join(v.aliases), v.run_id, v.model_id] for v in found],
    )
    return Record(
        {
            "name": name,
            **facts,
            "runs": None,
            "versions": sources.without_empty(keep=2),
            **file_differences(labels, files),
        }
    )


def _need_different(references: Sequence[str], found: Sequence[ModelVersion]) -> None:
    """Raises: InvalidInputError: two references mean one version."""
    first: dict[str, str] = {}
    for reference, version in zip(references, found, strict=True):
        if version.version in first:
            raise InvalidInputError(
                f"'{first[version.version]}' and '{reference}' are both version {version.version} of '{version.name}'. "
                "Name each version once; get_model lists them."
            )
        first[version.version] = reference


async def register_model(
    registry: Registry,
    registering: Registering,
    policy: Policy,
    name: Annotated[str, Field(min_length=1, max_length=500, description="Registered model; a new name creates it.")],
    run: Annotated[RunRef, Field(description="Run whose logged model becomes the version.")] = "",
    model: Annotated[str, Field(description="Which of the run's models, by name or id, if it logged several.")] = "",
    model_uri: Annotated[str, Field(description="Instead of run: runs:/<run_id>/<model> or models:/m-<id>.")] = "",
    description: Description = "",
    tags: Tags | None = None,
    alias: Annotated[Alias, Field(description="An unused alias to give it, such as challenger.")] = "",
) -> Record:
    """Register a model that a run logged as a new version. Repeating the call returns the same version."""
    policy.need_unprotected(tags or {})
    if alias:
        policy.need_unguarded(name, pointer_of(alias, ""), "Giving an alias with register_model")
    registered = await registering.register(
        name, run=run, model=model, model_uri=model_uri, description=description, tags=tags or {}, alias=alias
    )
    hint = "This model was registered already; no new version was made." if registered.existed else ""
    facts = {
        "created": "model" if registered.created_model else "",
        **await version_facts(registry, registered.version),
    }
    return Record(facts, hint=hint or created_hint(registered))


async def update_model(
    registry: Registry,
    registering: Registering,
    policy: Policy,
    name: ModelName,
    version: Annotated[
        Version, Field(description="Version to change: number, alias, stage or latest. Default: the model.")
    ] = "",
    description: Description = "",
    tags: ChangedTags | None = None,
    alias: Annotated[Alias, Field(description="An unused alias to give to the version. promote_model moves one.")] = "",
) -> Record:
    """Describe or tag a registered model or one version of it, or give a version an unused alias."""
    policy.need_unprotected(tags or {})
    if alias:
        policy.need_unguarded(name, pointer_of(alias, ""), "Giving an alias with update_model")
    changed = await registering.update(name, version, description=description or None, tags=tags or {}, alias=alias)
    if isinstance(changed, ModelVersion):
        return Record(await version_facts(registry, changed))
    facts = {"name": changed.name, "description": changed.description, "tags": shown_tags(changed.tags)}
    return Record({**facts, "aliases": dict(changed.version_by_alias), "url": await registry.model_url(changed.name)})


async def _deletion(engine: OneEngine, policy: Policy, name: str, version: str, alias: str) -> Deletion:
    """What would be deleted. Refused when a guarded alias, or the record of its promotions, would be lost."""
    deletion = await engine.registering.deletion(name, version=version, alias=alias)
    for pointer in await _lost_with(engine, deletion):
        policy.need_unguarded(deletion.model.name, pointer, f"Deleting {_what(deletion)}")
    return deletion


async def _lost_with(engine: OneEngine, deletion: Deletion) -> list[Pointer]:
    """The aliases and stages that would lose their version, or the record of what they had."""
    if deletion.alias:
        return [Pointer(alias=deletion.alias)]
    if deletion.version:
        return pointers_of(deletion.version)
    model = deletion.model
    pointers = [Pointer(alias=alias) for alias in model.version_by_alias]
    pointers += [pointer for version in model.latest_versions for pointer in pointers_of(version)]
    return pointers + [event.pointer for event in await engine.promotions.history(model.name)]


def _what(deletion: Deletion) -> str:
    name = deletion.model.name
    if deletion.alias:
        return f"the alias '{deletion.alias}' of model '{name}'"
    return f"version {deletion.version.version} of model '{name}'" if deletion.version else f"registered model '{name}'"


ShownDeletion = Annotated[Deletion, Resolve(_deletion)]


async def ask_delete(deletion: ShownDeletion) -> Question:
    """The question shows what the deletion is pinned to: when that changes, the question changes and is asked again."""
    version, name = deletion.version, deletion.model.name
    if version and deletion.alias:
        known, detail = f"{name} alias {deletion.alias}", f", which points to version {version.version}"
    elif version:
        aliases = f", aliases {', '.join(version.aliases)}" if version.aliases else ""
        known, detail = (
            f"{name} version {version.version}",
            f" (made {moment(version.creation_time)}{aliases}), for good",
        )
    else:
        newest = f" up to version {deletion.newest}" if deletion.newest else ""
        made = moment(deletion.model.creation_time)
        known, detail = name, f" (made {made}) with all versions{newest}, for good"
    return Question(f"Delete {_what(deletion)}{detail}?", confirm_name=known)


async def delete_model(
    registering: Registering,
    deletion: ShownDeletion,
    name: ModelName,
    version: Annotated[Version, Field(description="Only this version: number, alias, stage or latest.")] = "",
    alias: Annotated[Alias, Field(description="Only this alias; no version is deleted.")] = "",
) -> Record:
    """Delete a registered model, one of its versions, or an alias. Models and versions cannot be restored."""
    await registering.delete(deletion)
    number = deletion.version.version if deletion.version else ""
    return Record(
        {
            "name": deletion.model.name,
            "version": "" if deletion.alias else number,
            "alias": deletion.alias,
            "was_version": number if deletion.alias else "",
            "deleted": True,
        }
    )


async def _as_run(registry: RegistryOperations, version: ModelVersion) -> Run:
    """A version with its metrics and params in the form that comparisons take."""
    facts = await registry.facts(version)
    return Run(
        run_id=f"v{version.version}",
        experiment_id="",
        run_name=f"v{version.version}",
        status="FINISHED",
        metrics=facts.metrics,
        params=facts.params,
    )
