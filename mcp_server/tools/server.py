"""What the agent is connected to."""

from __future__ import annotations

from math import inf
from typing import Final

import anyio

from mcp_server import __version__
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.status import ConnectionStatus, connection_status
from mcp_server.mlflow_integration.operations.ui_address import PAGES_ELSEWHERE
from mcp_server.promotion_policy import PromotionPolicy
from mcp_server.rendering import Record, Table
from mcp_server.tools._context import AllTrackers, OneEngine, Policy
from mcp_server.tracker_settings import own_words
from mcp_server.trackers import Trackers

OTHERS_SECONDS: Final = 3.0
"""How long the answer about one tracker waits for the others."""


async def get_server_info(engine: OneEngine, policy: Policy, trackers: AllTrackers) -> Record:
    """Show which MLflow this is, why it was chosen, whether it answers, its version, and what is allowed here."""
    here = engine.settings.tracker
    answers: dict[str, ConnectionStatus] = {}
    async with anyio.create_task_group() as group:
        for tracker in trackers.all:
            its = tracker.engine.settings.tracker
            group.start_soon(_ask, tracker.engine, answers, inf if its == here else OTHERS_SECONDS)
    status = answers[here]
    url = await engine.ui.found() if status.answers else engine.location.ui_url
    return Record(
        {
            "tracker": here if trackers.several else "",
            "mlflow": engine.location.shown_uri,
            "chosen_because": engine.location.why,
            "answers": status.answers,
            "problem": own_words(status.problem, engine.settings),
            "mlflow_version": status.version,
            "experiments": status.experiments,
            "registered_models": status.models,
            "url": url,
            "default_experiment": engine.settings.experiment_name,
            "read_only": engine.settings.read_only,
            "toolsets": list(engine.settings.toolsets),
            "confirm": engine.settings.confirm,
            "promotion_policy": _rules(policy),
            "allowed_folders": [str(folder) for folder in engine.settings.allowed_folders],
            "timeout_seconds": engine.settings.timeout_seconds,
            "server_version": __version__,
            "trackers": _table(trackers, answers) if trackers.several else None,
        },
        hint=own_words(PAGES_ELSEWHERE, engine.settings) if engine.location.ui_url and not url else "",
    )


def _rules(policy: PromotionPolicy) -> list[str]:
    """What each rule applies to and which gates it requires, one line each."""
    rules: list[str] = []
    for rule in policy.policies:
        parts = [gate.text for gate in rule.required]
        parts += ["a person confirms"] if rule.confirm else []
        parts += [f"tag {tag} is protected" for tag in rule.protected_tags]
        parts += ["ended runs are protected"] if rule.protected_metrics else []
        rules.append(f"{', '.join(rule.model)} ({', '.join(rule.alias)}): {'; '.join(parts)}")
    return rules


async def _ask(engine: Engine, answers: dict[str, ConnectionStatus], seconds: float) -> None:
    """Adds the status of a tracker; one that does not answer in time does not delay the others."""
    name = engine.settings.tracker
    answers[name] = ConnectionStatus(False, f"It did not answer within {seconds:g} s.")
    with anyio.move_on_after(seconds):
        answers[name] = await connection_status(engine.api, engine.registry)


def _table(trackers: Trackers, answers: dict[str, ConnectionStatus]) -> Table:
    rows: list[list[object]] = []
    for tracker in trackers.all:
        status = answers[tracker.name]
        is_default = tracker is trackers.default
        problem = own_words(status.problem, tracker.engine.settings)
        place = tracker.engine.location.shown_uri
        rows.append([tracker.name, place, is_default, tracker.read_only, status.answers, status.version, problem])
    return Table(["tracker", "mlflow", "default", "read_only", "answers", "mlflow_version", "problem"], rows)
