"""The model registry: find, read, compare, register, describe, delete. promotion.py moves aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context, Elicit, Resolve
from pydantic import Field

from mcp_server.analysis import compare
from mcp_server.analysis.model_files import MODEL_FILES, ModelFiles, describe_model
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel, Run
from mcp_server.mlflow_integration.operations.promotion import PromotionEvent
from mcp_server.mlflow_integration.operations.registry import Registry as RegistryOperations
from mcp_server.rendering import Record, Table, moment
from mcp_server.tools._comparison import side_by_side
from mcp_server.tools._confirm import Answer, Confirmation, ConfirmName, ask, need_yes
from mcp_server.tools._context import Policy, Promotions, Registry
from mcp_server.tools._params import (
    Alias,
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
from mcp_server.tools._views import run_cell, shown_tags

METRIC_COLUMNS: Final = 6
"""Metrics of the source runs shown beside the versions; get_run has all."""
PROMOTIONS_SHOWN: Final = 10
"""Latest entries of the history that get_model shows."""
MODEL_FILE_LIMIT: Final = 65_536
"""Bytes of an MLmodel or requirements file that are compared."""


async def search_models(
    registry: Registry,
    name_contains: NameContains = "",
    filter_string: Annotated[str, Field(description="MLflow filter, such as tags.task = 'churn'.")] = "",
    order_by: OrderBy = (),
    max_results: MaxResults = 50,
    page_token: PageToken = "",
) -> Table:
    """List or find registered models with their newest version and aliases. For the versions of one use get_model."""
    page = await registry.search_models(
        name_contains, filter_string=filter_string, order_by=order_by, max_results=max_results, page_token=page_token
    )
    rows = [[m.name, _newest(m), _aliases(m), moment(m.last_update_time), m.description] for m in page.items]
    hint = ""
    if not rows and not page_token:
        hint = "No registered model matches; without arguments this lists all. register_model makes one from a run."
    columns = ["name", "latest_version", "aliases", "last_update", "description"]
    return Table(columns, rows, page.next_page_token, hint).without_empty(keep=4)


async def get_model(
    registry: Registry,
    promotions: Promotions,
    name: ModelName,
    max_results: MaxResults = 20,
    page_token: PageToken = "",
) -> Record:
    """Show a registered model: aliases, versions newest first with run, metrics, stage and tags, and its promotions."""
    card = await registry.get_model(name, max_versions=max_results, page_token=page_token)
    events = () if page_token else await promotions.history(name)
    return Record(
        {
            "name": card.model.name,
            "description": card.model.description,
            "tags": shown_tags(card.model.tags),
            "aliases": dict(card.model.version_by_alias),
            "last_update": moment(card.model.last_update_time),
            "versions": _versions_table(card.versions, card.runs),
            "promotions": _history_table(events) if events else None,
            "next_page_token": card.next_page_token,
            "url": registry.model_url(name),
        }
    )


async def compare_model_versions(registry: Registry, name: ModelName, versions: Versions) -> Record:
    """Put 2 to 10 versions of a registered model side by side: metrics, params, signature, requirements.

    The first is the baseline of the deltas.
    """
    found = [await registry.version(name, reference) for reference in versions]
    runs = [await _as_run(registry, version) for version in found]
    files = [describe_model(await registry.files(v, MODEL_FILES, limit=MODEL_FILE_LIMIT)) for v in found]
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
            **_file_differences(labels, files),
        }
    )


async def register_model(
    registry: Registry,
    policy: Policy,
    name: Annotated[str, Field(min_length=1, max_length=500, description="Registered model; a new name makes it.")],
    run: Annotated[RunRef, Field(description="Run whose logged model becomes the version.")] = "",
    model: Annotated[str, Field(description="Which of the run's models, by name or id, if it logged several.")] = "",
    model_uri: Annotated[str, Field(description="Instead of run: runs:/<run_id>/<model> or models:/m-<id>.")] = "",
    description: Description = "",
    tags: Tags | None = None,
    alias: Annotated[Alias, Field(description="A free alias to give it, such as challenger.")] = "",
) -> Record:
    """Make a new version of a registered model from a model that a run logged.

    The same model registered again returns the version it has. promote_model moves an alias
    through gates.
    """
    policy.need_none(name, alias)
    registered = await registry.register(
        name, run=run, model=model, model_uri=model_uri, description=description, tags=tags or {}, alias=alias
    )
    hint = "This model was registered already; no new version was made." if registered.existed else ""
    return Record(_version_facts(registry, registered.version), hint=hint)


async def update_model(
    registry: Registry,
    policy: Policy,
    name: ModelName,
    version: Annotated[
        Version, Field(description="Version to change: number, alias or latest. Left out: the model.")
    ] = "",
    description: Description = "",
    tags: Tags | None = None,
    alias: Annotated[Alias, Field(description="A free alias to give to the version. promote_model moves one.")] = "",
) -> Record:
    """Describe or tag a registered model or one version of it, or give a version an alias that is free."""
    policy.need_none(name, alias)
    changed = await registry.update(
        name,
        version,
        description=description or None,
        tags=tags or {},
        alias=alias,
    )
    if isinstance(changed, ModelVersion):
        return Record(_version_facts(registry, changed))
    facts = {"name": changed.name, "description": changed.description, "tags": shown_tags(changed.tags)}
    return Record({**facts, "aliases": dict(changed.version_by_alias), "url": registry.model_url(name)})


async def _ask_delete(
    context: Context[Any, Any], registry: Registry, name: str, version: str, alias: str, confirm_name: str
) -> Confirmation | Elicit[Confirmation]:
    if alias:
        what = f"the alias '{alias}' of model '{name}'"
    elif version:
        found = await registry.version(name, version)
        holds = f", which holds {', '.join(found.aliases)}" if found.aliases else ""
        what = f"version {found.version} of model '{name}'{holds}, for good"
    else:
        card = await registry.get_model(name, max_versions=1)
        newest = f" up to version {card.versions[0].version}" if card.versions else ""
        what = f"registered model '{name}' with all versions{newest}, for good"
    return ask(context, f"Delete {what}?", name=name, confirm_name=confirm_name)


async def delete_model(
    registry: Registry,
    answer: Annotated[Answer, Resolve(_ask_delete)],
    name: ModelName,
    version: Annotated[Version, Field(description="Only this version: number, alias or latest.")] = "",
    alias: Annotated[Alias, Field(description="Only this alias; no version goes.")] = "",
    confirm_name: ConfirmName = "",
) -> Record:
    """Delete a registered model, one of its versions, or an alias. Models and versions cannot be restored."""
    need_yes(answer)
    await registry.delete(name, version=version, alias=alias)
    return Record({"name": name, "version": version, "alias": alias, "deleted": True})


def _versions_table(versions: Sequence[ModelVersion], runs: Mapping[str, Run]) -> Table:
    known = [runs[v.run_id] for v in versions if v.run_id in runs]
    metrics = sorted({f"metrics.{key}" for run in known for key in run.metrics})[:METRIC_COLUMNS]
    columns = ["version", "aliases", "status", "stage", "run_id", "model_id", "created", *metrics, "datasets"]
    rows: list[list[Any]] = []
    for v in versions:
        run = runs.get(v.run_id)
        rows.append(
            [
                v.version,
                ", ".join(v.aliases),
                "" if v.status == "READY" else v.status,
                "" if v.stage == "None" else v.stage,
                v.run_id,
                v.model_id,
                moment(v.creation_time),
                *(run_cell(run, metric) if run else "" for metric in metrics),
                ", ".join(dataset.name for dataset in run.datasets) if run else "",
                ", ".join(f"{key}={value}" for key, value in shown_tags(v.tags).items()),
                v.description,
            ]
        )
    return Table([*columns, "tags", "description"], rows).without_empty(keep=1)


def _history_table(events: Sequence[PromotionEvent]) -> Table:
    latest = events[: -PROMOTIONS_SHOWN - 1 : -1]
    rows = [
        [
            moment(event.time),
            event.kind,
            event.seat,
            event.version,
            event.from_version,
            event.by,
            "; ".join(f"{gate.get('gate', '')} ({gate.get('measured', '')})" for gate in event.gates),
            event.reason,
        ]
        for event in latest
    ]
    more = f"{len(events) - len(latest)} earlier entries are not shown." if len(events) > len(latest) else ""
    columns = ["time", "event", "alias", "version", "from_version", "by", "gates", "reason"]
    return Table(columns, rows, hint=more).without_empty(keep=4)


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


def _file_differences(labels: Sequence[str], files: Sequence[ModelFiles]) -> dict[str, Any]:
    """Signature, input example, flavors and requirements, where they are not the same in all versions."""
    rows = [
        [what, *values]
        for what, values in (
            ("inputs", [f.inputs for f in files]),
            ("outputs", [f.outputs for f in files]),
            ("input_example", [f.input_example for f in files]),
            ("flavors", [f.flavors for f in files]),
            ("model_size", [f.model_size for f in files]),
        )
        if len(set(values)) > 1
    ]
    names = sorted({name for f in files for name in f.requirements})
    pins = [[name, *(f.requirements.get(name, "") for f in files)] for name in names]
    changed = [row for row in pins if len(set(row[1:])) > 1]
    return {
        "model": Table(["what", *labels], rows) if rows else None,
        "requirements": Table(["package", *labels], changed) if changed else None,
        "requirements_equal": len(pins) - len(changed),
    }


def _version_facts(registry: RegistryOperations, version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "status": version.status,
        "run_id": version.run_id,
        "model_id": version.model_id,
        "description": version.description,
        "tags": shown_tags(version.tags),
        "url": registry.model_url(version.name, version.version),
    }


def _newest(model: RegisteredModel) -> str:
    return str(max((int(v.version) for v in model.latest_versions), default=0) or "")


def _aliases(model: RegisteredModel) -> str:
    return ", ".join(f"{alias}={version}" for alias, version in sorted(model.version_by_alias.items()))
