"""The model registry: find, read, register, promote through gates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mcp_server.analysis.gates import Evidence, GateResult, check_gates, parse_gates
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel, Run
from mcp_server.mlflow_integration.registry import Registry as RegistryOperations
from mcp_server.mlflow_integration.registry import VersionFacts, check_alias
from mcp_server.rendering import Record, Table, moment
from mcp_server.tools._context import Caller, Registry
from mcp_server.tools._params import (
    NOTHING,
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
)
from mcp_server.tools._views import run_cell, shown_tags

_METRIC_COLUMNS = 6
"""Metrics of the source runs shown beside the versions; get_run has all."""


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
        name_contains,
        filter_string=filter_string,
        order_by=order_by,
        max_results=max_results,
        page_token=page_token,
    )
    rows = [[m.name, _newest(m), _aliases(m), moment(m.last_update_time), m.description] for m in page.items]
    hint = ""
    if page.next_page_token:
        hint = "There are more; pass next_page_token as page_token."
    elif not rows and not page_token:
        hint = "No registered model matches; without arguments this lists all. register_model makes one from a run."
    return Table(["name", "latest_version", "aliases", "last_update", "description"], rows, page.next_page_token, hint)


async def get_model(
    registry: Registry,
    name: ModelName,
    max_results: MaxResults = 20,
    page_token: PageToken = "",
) -> Record:
    """Show a registered model: its aliases, and its versions newest first with run, metrics, stage and tags."""
    card = await registry.get_model(name, max_versions=max_results, page_token=page_token)
    return Record(
        {
            "name": card.model.name,
            "description": card.model.description,
            "tags": shown_tags(card.model.tags),
            "aliases": dict(card.model.version_by_alias),
            "last_update": moment(card.model.last_update_time),
            "versions": Table(*_versions_table(card.versions, card.runs)),
            "next_page_token": card.next_page_token,
            "url": registry.model_url(name),
        },
        hint="There are more versions; pass next_page_token as page_token." if card.next_page_token else "",
    )


async def register_model(
    registry: Registry,
    name: Annotated[str, Field(min_length=1, max_length=500, description="Registered model; a new name makes it.")],
    run: Annotated[RunRef, Field(description="Run whose logged model becomes the version.")] = "",
    model: Annotated[str, Field(description="Which of the run's models, by name or id, if it logged several.")] = "",
    model_uri: Annotated[str, Field(description="Instead of run: runs:/<run_id>/<model> or models:/m-<id>.")] = "",
    description: Description = "",
    tags: Tags = NOTHING,
    alias: Alias = "",
) -> Record:
    """Make a new version of a registered model from a model that a run logged.

    The same model registered again returns the version it has. promote_model moves an alias
    through gates; alias here sets one without any.
    """
    texts = {key: str(value) for key, value in tags.items()}
    registered = await registry.register(
        name, run=run, model=model, model_uri=model_uri, description=description, tags=texts, alias=alias
    )
    hint = "This model was registered already; no new version was made." if registered.existed else ""
    return Record(_version_facts(registry, registered.version), hint=hint)


async def promote_model(
    registry: Registry,
    caller: Caller,
    name: ModelName,
    version: Version,
    alias: Alias = "champion",
    gates: Annotated[
        tuple[str, ...],
        Field(
            max_length=30,
            description="Conditions that must all hold: metrics.accuracy >= 0.9, metrics.auc > champion + 0.005 "
            "(the alias's holder), metrics.loss < champion - 1%, tags.reviewed = 'yes'.",
        ),
    ] = (),
    dry_run: Annotated[bool, Field(description="Measure the gates and change nothing.")] = False,
    reason: Annotated[str, Field(max_length=1_000, description="Why, for the record.")] = "",
) -> Record:
    """Point an alias of a registered model to a version, only when every gate holds.

    Shows each gate with the measured and the required value. The holder before is recorded.
    """
    check_alias(alias)
    asked = parse_gates(gates)
    candidate = await registry.version(name, version)
    holder = await registry.holder(name, alias)
    evidence = _evidence(await registry.facts(candidate))
    champion = _evidence(await registry.facts(holder)) if holder else None
    results = check_gates(asked, evidence, champion)
    failed = [result for result in results if not result.passed]
    previous = holder.version if holder else ""
    promoted = not failed and not dry_run and previous != candidate.version
    if promoted:
        record = {"by": caller, "reason": reason, "gates": [_gate_record(result) for result in results]}
        candidate = await registry.promote(candidate, alias, previous, record)
    return Record(
        {
            "name": name,
            "version": candidate.version,
            "alias": alias,
            "promoted": promoted,
            "dry_run": dry_run or None,
            "previous_version": previous,
            "gates": _gates_table(results) if results else None,
            "url": registry.model_url(name, candidate.version),
        },
        hint=_promotion_hint(failed, promoted, dry_run, alias, previous, candidate.version),
    )


def _promotion_hint(
    failed: list[GateResult], promoted: bool, dry_run: bool, alias: str, previous: str, version: str
) -> str:
    holds = f"version {previous}" if previous else "no version"
    if failed:
        texts = ", ".join(result.gate for result in failed)
        return f"Not promoted: {len(failed)} of the gates failed ({texts}). '{alias}' stays with {holds}."
    if previous == version:
        return f"Version {version} has '{alias}' already; nothing was changed."
    if dry_run:
        return (
            f"Every gate holds. Nothing was changed; without dry_run '{alias}' moves from {holds} to version {version}."
        )
    return "" if promoted else "Nothing was changed."


def _gates_table(results: tuple[GateResult, ...]) -> Table:
    rows = [[r.gate, "passed" if r.passed else "failed", r.measured, r.required, r.reason] for r in results]
    columns = ["gate", "result", "measured", "required", "reason"]
    kept = [i for i in range(len(columns)) if i < 4 or any(row[i] for row in rows)]
    return Table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _gate_record(result: GateResult) -> dict[str, str]:
    return {"gate": result.gate, "measured": result.measured or "", "required": result.required or ""}


def _evidence(facts: VersionFacts) -> Evidence:
    return Evidence(metrics=facts.metrics, params=facts.params, tags=facts.tags)


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


def _versions_table(versions: tuple[ModelVersion, ...], runs: Any) -> tuple[list[str], list[list[Any]]]:
    known: list[Run] = [runs[v.run_id] for v in versions if v.run_id in runs]
    metrics = sorted({f"metrics.{key}" for run in known for key in run.metrics})[:_METRIC_COLUMNS]
    columns = ["version", "aliases", "status", "stage", "run_id", "created", *metrics, "tags", "description"]
    rows: list[list[Any]] = []
    for v in versions:
        run = runs.get(v.run_id)
        rows.append(
            [
                v.version,
                ", ".join(v.aliases),
                "" if v.status == "READY" else v.status,
                "" if v.stage in ("None", "") else v.stage,
                v.run_id,
                moment(v.creation_time),
                *(run_cell(run, metric) if run else "" for metric in metrics),
                ", ".join(f"{key}={value}" for key, value in shown_tags(v.tags).items()),
                v.description,
            ]
        )
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] != "" for row in rows)]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _newest(model: RegisteredModel) -> str:
    return str(max((int(v.version) for v in model.latest_versions), default=0) or "")


def _aliases(model: RegisteredModel) -> str:
    return ", ".join(f"{alias}={version}" for alias, version in sorted(model.version_by_alias.items()))
