"""The one registry of tools: toolset name to tools, with what each does to MLflow.

A new tool is a function in the module of its noun and a line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.errors import SettingsError
from mcp_server.settings import Settings
from mcp_server.suggestions import did_you_mean
from mcp_server.tools import (
    analysis,
    artifact_transfers,
    artifacts,
    copying,
    diagnosis,
    experiments,
    exports,
    plots,
    promotion,
    registry,
    runs,
    server,
    summaries,
    sweeps,
    waiting,
)
from mcp_server.tools._define import Definition, changes, copies, destroys, reads, writes

TOOLSETS: Final[dict[str, tuple[Definition, ...]]] = {
    "experiments": (
        reads(experiments.search_experiments),
        writes(experiments.create_experiment),
        changes(experiments.update_experiment),
        destroys(experiments.delete_experiment, ask=experiments.ask_delete),
    ),
    "runs": (
        reads(runs.search_runs),
        reads(runs.get_run),
        reads(waiting.wait_for_runs),
        reads(exports.export_runs),
        writes(runs.log_run),
        writes(runs.start_run),
        changes(runs.log_to_run, idempotent=False),
        changes(runs.finish_run),
        changes(runs.update_run),
        destroys(runs.delete_runs, ask=runs.ask_delete),
    ),
    "analysis": (
        reads(analysis.compare_runs),
        reads(analysis.rank_runs),
        reads(analysis.get_metric_history),
        reads(summaries.summarize_experiment),
        reads(sweeps.analyze_params),
        reads(diagnosis.diagnose_run),
        reads(plots.plot_metrics),
    ),
    "artifacts": (
        reads(artifacts.list_artifacts),
        reads(artifacts.read_artifact),
        reads(artifact_transfers.compare_artifacts),
        changes(artifact_transfers.log_artifact),
        writes(artifact_transfers.download_artifacts, idempotent=True),
    ),
    "registry": (
        reads(registry.search_models),
        reads(registry.get_model),
        reads(registry.compare_model_versions),
        writes(registry.register_model, idempotent=True),
        changes(registry.update_model),
        changes(promotion.promote_model, ask=promotion.ask_promotion),
        changes(promotion.rollback_model, idempotent=False, ask=promotion.ask_rollback),
        copies(copying.copy_model, ask=copying.ask_copy),
        destroys(registry.delete_model, ask=registry.ask_delete),
    ),
    "server": (reads(server.get_server_info),),
}


def chosen_tools(settings: Settings, *, several_trackers: bool = False) -> tuple[Definition, ...]:
    """The tools that these settings offer, in a fixed order; read-only wins over every other choice.

    Raises: SettingsError: a toolset is unknown.
    """
    wanted = _toolsets(settings.toolsets)
    definitions = [definition for name in TOOLSETS if name in wanted for definition in TOOLSETS[name]]
    return tuple(
        d
        for d in definitions
        if (d.reads_only or not settings.read_only) and (several_trackers or not d.between_trackers)
    )


def missing_tools(settings: Settings, *, several_trackers: bool = False) -> dict[str, str]:
    """By name, why a tool is not offered with these settings."""
    offered = {definition.name for definition in chosen_tools(settings, several_trackers=several_trackers)}
    reasons: dict[str, str] = {}
    for toolset, definitions in TOOLSETS.items():
        for definition in definitions:
            if definition.name not in offered:
                if settings.read_only and not definition.reads_only:
                    reasons[definition.name] = "This server is read-only (MLFLOW_MCP_READ_ONLY)."
                elif definition.between_trackers and not several_trackers:
                    reasons[definition.name] = "It works between several trackers (MLFLOW_MCP_TRACKERS)."
                else:
                    reasons[definition.name] = f"Its toolset {toolset} is not offered (MLFLOW_MCP_TOOLSETS)."
    return reasons


def _toolsets(names: Sequence[str]) -> tuple[str, ...]:
    if not names or "all" in names:
        return tuple(TOOLSETS)
    for name in names:
        if name not in TOOLSETS:
            raise SettingsError(
                f"MLFLOW_MCP_TOOLSETS contains '{name}', which is not a toolset.{did_you_mean(name, TOOLSETS)} "
                f"Toolsets: {', '.join(TOOLSETS)}, or all."
            )
    return tuple(names)
