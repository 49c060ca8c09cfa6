"""Promotion gates and rollback."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from mcp_server.analysis.gates import GateResult
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.models.registering import Registered
from mcp_server.rendering import Record, Table
from mcp_server.tools._confirm import Question
from mcp_server.tools._context import Caller, OneEngine
from mcp_server.tools._model_views import created_hint
from mcp_server.tools._params import Alias, ModelName, Version
from mcp_server.tools._promotion_plans import Plan, PromotionPlan, Rollback

Stage = Annotated[
    Literal["none", "Staging", "Production"],
    Field(description="Instead of alias; deprecated by MLflow. Archives the current version."),
]
Gates = Annotated[
    tuple[str, ...],
    Field(
        max_length=30,
        description="Conditions that must all hold: metrics.accuracy >= 0.9, metrics.auc > champion + 0.005 (or "
        "another alias), metrics.loss < prod - 1%, tags.reviewed = 'yes'.",
    ),
]
ToModel = Annotated[
    str,
    Field(max_length=500, description="Promote a copy in this registered model instead, such as prod.churn."),
]
Reason = Annotated[str, Field(max_length=1_000, description="Why, for the record.")]
AllowFirst = Annotated[
    bool,
    Field(description="Let comparisons with an alias that never had a version pass."),
]


async def ask_promotion(plan: Plan, version: str, dry_run: bool) -> Question | None:
    replaces = plan.current is not None or plan.is_first or plan.leaves_stage or plan.person_only
    if dry_run or plan.failed or plan.is_there_already or not replaces:
        return None
    # `latest` may mean another version when the call is repeated, so the version is part of the name to repeat.
    name = plan.model if version.strip().isdigit() else f"{plan.model} version {plan.candidate.version}"
    return Question(_question(plan), confirm_name=name, person_only=plan.person_only)


def _question(plan: PromotionPlan) -> str:
    copied = f" of '{plan.candidate.name}'" if plan.candidate.name != plan.model else ""
    to = f"version {plan.candidate.version}{copied}"
    leaves = f" It leaves stage {plan.leaves_stage}." if plan.leaves_stage else ""
    if plan.current:
        return f"Move {plan.pointer} of model '{plan.model}' from version {plan.current_version} to {to}?{leaves}"
    if plan.is_first:
        return f"Give {plan.pointer} of model '{plan.model}' its first version, {to}, without a comparison?{leaves}"
    return f"Give {plan.pointer} of model '{plan.model}' to {to}?{leaves}"


async def promote_model(
    engine: OneEngine,
    caller: Caller,
    plan: Plan,
    name: ModelName,
    version: Version,
    alias: Alias = "champion",
    gates: Gates = (),
    dry_run: Annotated[bool, Field(description="Measure the gates and change nothing.")] = False,
    reason: Reason = "",
    stage: Stage = "none",
    to_model: ToModel = "",
    allow_first: AllowFirst = False,
) -> Record:
    """Deploy a model version: point an alias such as champion, production or staging to it, if every gate holds.

    Shows each gate with what was measured and required. A person is asked before another version is
    replaced; rollback_model can undo it.
    """
    if dry_run or plan.failed or plan.is_there_already:
        unmoved = Registered(plan.target or plan.candidate)
        return await _promotion_record(engine, plan, unmoved, moved=False, dry_run=dry_run)
    promoted = Registered(plan.target) if plan.target else await engine.registering.copy(plan.candidate, plan.model)
    await engine.promotions.move(
        plan.pointer,
        promoted.version,
        from_version=plan.current_version,
        kind="promotion",
        by=caller,
        reason=reason,
        gates=[_gate_record(result) for result in plan.results],
    )
    return await _promotion_record(engine, plan, promoted, moved=True, dry_run=False)


async def _promotion_record(
    engine: Engine, plan: PromotionPlan, promoted: Registered, *, moved: bool, dry_run: bool
) -> Record:
    copied = plan.candidate.name != plan.model
    # A copy that was not made yet has no version.
    number = promoted.version.version if promoted.version.name == plan.model else ""
    return Record(
        {
            "name": plan.model,
            "version": number,
            "alias": plan.pointer.alias,
            "stage": plan.pointer.stage,
            "promoted": moved,
            "dry_run": dry_run or None,
            "first_version": plan.is_first or None,
            "previous_version": plan.current_version,
            "copied_from": f"{plan.candidate.name} version {plan.candidate.version}" if copied else "",
            "created": "model" if promoted.created_model else "",
            "gates": _gates_table(plan.results) if plan.results else None,
            "url": await engine.registry.model_url(plan.model, number),
        },
        hint=" ".join(filter(None, [_promotion_hint(plan, dry_run), created_hint(promoted)])),
    )


async def ask_rollback(plan: Rollback) -> Question:
    name, target = plan.current.name, plan.target.version
    question = f"Roll {plan.pointer} of model '{name}' back from version {plan.current.version} to version {target}?"
    return Question(question, confirm_name=name, person_only=plan.person_only)


async def rollback_model(
    engine: OneEngine,
    caller: Caller,
    plan: Rollback,
    name: ModelName,
    alias: Alias = "champion",
    reason: Reason = "",
    stage: Stage = "none",
) -> Record:
    """Undo a promotion: return an alias to its previous version. Calling it twice goes back two versions."""
    await engine.promotions.move(
        plan.pointer,
        plan.target,
        from_version=plan.current.version,
        kind="rollback",
        by=caller,
        reason=reason,
        gates=[_gate_record(result) for result in plan.results],
    )
    return Record(
        {
            "name": plan.current.name,
            "alias": plan.pointer.alias,
            "stage": plan.pointer.stage,
            "version": plan.target.version,
            "previous_version": plan.current.version,
            "gates": _gates_table(plan.results) if plan.results else None,
            "url": await engine.registry.model_url(plan.current.name, plan.target.version),
        }
    )


def _promotion_hint(plan: PromotionPlan, dry_run: bool) -> str:
    stage = plan.pointer.alias.capitalize()
    apart = f"The stage {stage} is separate from the alias: version {plan.staged} is in it; stage='{stage}' moves it."
    return f"{_outcome_hint(plan, dry_run)} {apart if plan.staged else ''}".strip()


def _outcome_hint(plan: PromotionPlan, dry_run: bool) -> str:
    pointer, number = plan.pointer, (plan.target or plan.candidate).version
    current = f"version {plan.current_version}" if plan.current else "no version"
    if plan.failed:
        failed = "; ".join(result.gate for result in plan.failed)
        stays = f"The {pointer} stays with {current}." if plan.current else f"No version has the {pointer}."
        hint = f"Not promoted, because this does not hold: {failed}. {stays}"
        return f"{hint}{_first_version_hint(plan)}"
    if plan.is_there_already:
        return f"Version {number} has the {pointer} already; nothing was changed."
    if dry_run:
        gates = "Every gate holds." if plan.results else "There are no gates."
        return f"{gates} Nothing was changed; without dry_run the {pointer} moves from {current} to version {number}."
    return "MLflow deprecates stages in favour of aliases." if pointer.stage else ""


def _first_version_hint(plan: PromotionPlan) -> str:
    unused = list(dict.fromkeys(result.alias for result in plan.failed if result.alias_unused))
    if not unused:
        return ""
    return (
        f" No version has the alias {', '.join(unused)}. If no version ever had it, nor the {plan.pointer}, "
        "allow_first=true lets the first version pass; otherwise use an alias that get_model lists."
    )


def _gates_table(results: tuple[GateResult, ...]) -> Table:
    rows = [
        [r.gate, "passed" if r.passed else "failed", *_rounded(r.measured or "", r.required or ""), _why(r)]
        for r in results
    ]
    return Table(["gate", "result", "measured", "required", "reason"], rows).without_empty(keep=4)


def _rounded(measured: str, required: str) -> tuple[str, str]:
    """Both with 6 significant digits, or as they are where that would hide the difference."""

    def short(text: str) -> str:
        return _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.6g}", text)

    if short(measured) == short(required).lstrip("<>=! "):
        return measured, required
    return short(measured), short(required)


_LONG_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+\.\d{7,}(?:e[+-]?\d+)?(?![\w.])")


def _why(result: GateResult) -> str:
    """The reason, where the two values do not show it."""
    shown = result.measured and result.required
    return "" if shown and (not result.passed or not result.reason) else result.reason


def _gate_record(result: GateResult) -> dict[str, str]:
    return {"gate": result.gate, "measured": result.measured or "", "required": result.required or ""}
