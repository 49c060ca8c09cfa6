"""How registered models and their versions look in answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_server.analysis.files.model_files import ModelFiles
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel, Run
from mcp_server.mlflow_integration.operations.models.promotion_history import PromotionEvent
from mcp_server.mlflow_integration.operations.models.registering import Registered
from mcp_server.mlflow_integration.operations.models.registry import Registry
from mcp_server.rendering import Table, moment, pairs_text
from mcp_server.tools._datasets import dataset_text
from mcp_server.tools._views import run_cell, shown_tags

METRIC_COLUMNS: Final = 6
"""Metrics of the source runs shown with the versions; get_run has all."""
PROMOTIONS_SHOWN: Final = 10
"""Latest promotions and rollbacks that get_model shows."""
REQUIREMENTS_SHOWN: Final = 60
"""Packages of one version's environment that are shown."""


def versions_table(versions: Sequence[ModelVersion], runs: Mapping[str, Run]) -> Table:
    """A row for each version, with the run that produced it."""
    known = [runs[v.run_id] for v in versions if v.run_id in runs]
    metrics = sorted({f"metrics.{key}" for run in known for key in run.metrics})[:METRIC_COLUMNS]
    columns = ["version", "aliases", "status", "stage", "run_id", "run_name", "model_id", "created", *metrics]
    rows = [_version_row(version, runs.get(version.run_id), metrics) for version in versions]
    return Table([*columns, "datasets", "git_commit", "tags", "description"], rows).without_empty(keep=1)


def _version_row(version: ModelVersion, run: Run | None, metrics: Sequence[str]) -> list[Any]:
    return [
        version.version,
        ", ".join(version.aliases),
        "" if version.status == "READY" else version.status,
        "" if version.stage == "None" else version.stage,
        version.run_id,
        run.run_name if run else "",
        version.model_id,
        moment(version.creation_time),
        *(run_cell(run, metric) if run else "" for metric in metrics),
        ", ".join(dataset.name for dataset in run.datasets) if run else "",
        run.tags.get(tag_names.GIT_COMMIT, "")[:12] if run else "",
        pairs_text(shown_tags(version.tags)),
        version.description,
    ]


def history_table(events: Sequence[PromotionEvent]) -> Table:
    """The latest promotions and rollbacks, newest first."""
    latest = events[: -PROMOTIONS_SHOWN - 1 : -1]
    rows = [
        [
            moment(event.time),
            event.kind,
            event.key,
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


async def version_facts(registry: Registry, version: ModelVersion) -> dict[str, Any]:
    """One version, without the facts of its run and its files."""
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "status": version.status,
        "stage": "" if version.stage == "None" else version.stage,
        "run_id": version.run_id,
        "model_id": version.model_id,
        "creation_time": moment(version.creation_time),
        "description": version.description,
        "tags": shown_tags(version.tags),
        "url": await registry.model_url(version.name, version.version),
    }


def lineage_facts(run: Run | None, files: ModelFiles) -> dict[str, Any]:
    """Where a version comes from and what it needs: its run, data, code and environment."""
    requirements = [f"{name}{pin if pin != 'any' else ''}" for name, pin in sorted(files.requirements.items())]
    return {
        "run_name": run.run_name if run else "",
        "user": run.tags.get(tag_names.USER) if run else "",
        "source": run.tags.get(tag_names.SOURCE_NAME) if run else "",
        "git_commit": run.tags.get(tag_names.GIT_COMMIT) if run else "",
        "metrics": dict(run.metrics) if run else {},
        "params": dict(run.params) if run else {},
        "datasets": [dataset_text(dataset) for dataset in run.datasets] if run else [],
        "signature": {"inputs": files.inputs, "outputs": files.outputs},
        "environment": {
            "python": files.python,
            "mlflow": files.mlflow,
            "flavors": files.flavors,
            "requirements": requirements[:REQUIREMENTS_SHOWN],
            "more_requirements": max(len(requirements) - REQUIREMENTS_SHOWN, 0) or None,
        },
    }


def created_hint(registered: Registered) -> str:
    """What was created without being asked for, so that a misspelt name is noticed; empty when nothing was."""
    if not registered.created_model:
        return ""
    name = registered.version.name
    similar = f" Similar models exist: {', '.join(registered.similar)}." if registered.similar else ""
    return f"The registered model '{name}' is new.{similar}"


def newest_version(model: RegisteredModel) -> str:
    return str(max((int(v.version) for v in model.latest_versions), default=0) or "")


def alias_list(model: RegisteredModel) -> str:
    """In a cell: `challenger=4, champion=3`."""
    return ", ".join(f"{alias}={version}" for alias, version in sorted(model.version_by_alias.items()))


def stage_list(model: RegisteredModel) -> str:
    """In a cell: `Production=2, Staging=3`, each with the newest version in that stage."""
    staged = sorted((v.stage, v.version) for v in model.latest_versions if v.stage not in ("", "None"))
    return ", ".join(f"{stage}={version}" for stage, version in staged)


def file_differences(labels: Sequence[str], files: Sequence[ModelFiles]) -> dict[str, Any]:
    """Signature, input example, flavors and environment, where they are not the same in all versions."""
    rows = [
        [what, *values]
        for what, values in (
            ("inputs", [f.inputs for f in files]),
            ("outputs", [f.outputs for f in files]),
            ("input_example", [f.input_example for f in files]),
            ("flavors", [f.flavors for f in files]),
            ("model_size", [f.model_size for f in files]),
            ("python", [f.python for f in files]),
            ("mlflow", [f.mlflow for f in files]),
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
