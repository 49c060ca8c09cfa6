"""Promoting a model version through gates, and the way back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import Context, Elicit, Resolve
from pydantic import Field

from mcp_server.analysis.gates import Evidence, Gate, GateResult, check_gates, parse_gates
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import ModelVersion
from mcp_server.mlflow_integration.operations.promotion import Seat, previous_holder, seat_of
from mcp_server.mlflow_integration.operations.registry import VersionFacts
from mcp_server.rendering import Record, Table
from mcp_server.tools._confirm import Answer, Confirmation, ConfirmName, ask, need_yes
from mcp_server.tools._context import Caller, OneEngine, Policy
from mcp_server.tools._params import Alias, ModelName, Version

Stage = Annotated[
    Literal["none", "Staging", "Production"],
    Field(description="Instead of alias, for old workflows: MLflow deprecates stages. Its holder is archived."),
]
Gates = Annotated[
    tuple[str, ...],
    Field(
        max_length=30,
        description="Conditions that must all hold: metrics.accuracy >= 0.9, metrics.auc > champion + 0.005 "
        "(compared with the holder), metrics.loss < champion - 1%, tags.reviewed = 'yes'.",
    ),
]
ToModel = Annotated[
    str,
    Field(max_length=500, description="Promote a copy of the version in this registered model instead, as prod.churn."),
]
Reason = Annotated[str, Field(max_length=1_000, description="Why, for the record.")]


@dataclass(frozen=True, slots=True)
class PromotionPlan:
    """What a promotion would do, measured but not begun."""

    candidate: ModelVersion
    model: str
    """The registered model whose seat it is; another than the candidate's when a copy is promoted."""
    target: ModelVersion | None
    """The version to promote: the candidate, or the copy it already has; None when the copy is still to be made."""
    seat: Seat
    holder: ModelVersion | None
    results: tuple[GateResult, ...]

    @property
    def previous(self) -> str:
        return self.holder.version if self.holder else ""

    @property
    def failed(self) -> list[GateResult]:
        return [result for result in self.results if not result.passed]

    @property
    def is_there_already(self) -> bool:
        return self.target is not None and self.target.version == self.previous


async def _plan(
    engine: OneEngine,
    policy: Policy,
    name: str,
    version: str,
    alias: str,
    stage: str,
    to_model: str,
    gates: tuple[str, ...],
) -> PromotionPlan:
    seat, model = seat_of(alias, stage), to_model or name
    needed = policy.gates_for(model, seat.name, parse_gates(gates))
    candidate = await engine.registry.version(name, version)
    if candidate.status not in ("READY", ""):
        raise InvalidInputError(
            f"Version {candidate.version} of '{name}' is {candidate.status}, not READY; it cannot be promoted."
        )
    target = candidate if model == name else await engine.registry.copy_of(candidate, model)
    holder = await engine.promotions.holder(model, seat)
    return PromotionPlan(candidate, model, target, seat, holder, await _judged(engine, needed, candidate, holder))


async def _judged(
    engine: OneEngine, gates: Sequence[Gate], candidate: ModelVersion, holder: ModelVersion | None
) -> tuple[GateResult, ...]:
    if not gates:
        return ()
    evidence = _evidence(await engine.registry.facts(candidate))
    return check_gates(gates, evidence, _evidence(await engine.registry.facts(holder)) if holder else None)


Plan = Annotated[PromotionPlan, Resolve(_plan)]


async def _ask_promotion(
    context: Context[Any, Any], plan: Plan, dry_run: bool, confirm_name: str
) -> Confirmation | Elicit[Confirmation]:
    if dry_run or plan.failed or plan.holder is None or plan.is_there_already:
        return Confirmation(proceed=True)
    question = (
        f"Move {plan.seat} of model '{plan.model}' from version {plan.previous} to version "
        f"{plan.candidate.version}{f' of {plan.candidate.name}' if plan.candidate.name != plan.model else ''}?"
    )
    return ask(context, question, name=plan.model, confirm_name=confirm_name)


async def promote_model(
    engine: OneEngine,
    caller: Caller,
    plan: Plan,
    answer: Annotated[Answer, Resolve(_ask_promotion)],
    name: ModelName,
    version: Version,
    alias: Alias = "champion",
    gates: Gates = (),
    dry_run: Annotated[bool, Field(description="Measure the gates and change nothing.")] = False,
    reason: Reason = "",
    stage: Stage = "none",
    to_model: ToModel = "",
    confirm_name: ConfirmName = "",
) -> Record:
    """Point an alias of a registered model to a version, only when every gate holds.

    Shows each gate with the measured and the required value. If the alias has a holder a person is
    asked, and the holder is recorded, so that rollback_model can return to it.
    """
    need_yes(answer)
    moves = not plan.failed and not dry_run and not plan.is_there_already
    promoted = plan.target or plan.candidate
    if moves:
        promoted = plan.target or await engine.registry.copy(plan.candidate, plan.model)
        await engine.promotions.move(
            plan.seat,
            promoted,
            from_version=plan.previous,
            kind="promotion",
            by=caller,
            reason=reason,
            gates=[_gate_record(result) for result in plan.results],
        )
    return Record(
        {
            "name": plan.model,
            "version": promoted.version if promoted.name == plan.model else "",
            "alias": plan.seat.alias,
            "stage": plan.seat.stage,
            "promoted": moves,
            "dry_run": dry_run or None,
            "previous_version": plan.previous,
            "copied_from": f"{name} version {plan.candidate.version}" if plan.model != name else "",
            "gates": _gates_table(plan.results) if plan.results else None,
            "url": engine.registry.model_url(plan.model, promoted.version),
        },
        hint=_promotion_hint(plan, dry_run),
    )


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    seat: Seat
    holder: ModelVersion
    target: ModelVersion


async def _rollback_plan(engine: OneEngine, name: str, alias: str, stage: str) -> RollbackPlan:
    seat = seat_of(alias, stage)
    holder = await engine.promotions.holder(name, seat)
    if holder is None:
        card = await engine.registry.get_model(name, max_versions=1)
        held = ", ".join(f"{a} (version {v})" for a, v in sorted(card.model.version_by_alias.items())) or "none"
        raise InvalidInputError(f"Nothing holds {seat} of '{name}', so there is nothing to roll back. Aliases: {held}.")
    before = previous_holder(await engine.promotions.history(name), seat, holder.version)
    if not before:
        raise InvalidInputError(
            f"No promotion on record put version {holder.version} into {seat} of '{name}' in place of another, so the "
            "holder before it is not known. get_model lists the versions; promote_model moves it to the one you name."
        )
    return RollbackPlan(seat, holder, await engine.registry.version(name, before))


RollbackTarget = Annotated[RollbackPlan, Resolve(_rollback_plan)]


async def _ask_rollback(
    context: Context[Any, Any], plan: RollbackTarget, name: str, confirm_name: str
) -> Confirmation | Elicit[Confirmation]:
    question = (
        f"Roll {plan.seat} of model '{name}' back from version {plan.holder.version} to version {plan.target.version}?"
    )
    return ask(context, question, name=name, confirm_name=confirm_name)


async def rollback_model(
    engine: OneEngine,
    caller: Caller,
    plan: RollbackTarget,
    answer: Annotated[Answer, Resolve(_ask_rollback)],
    name: ModelName,
    alias: Alias = "champion",
    reason: Reason = "",
    stage: Stage = "none",
    confirm_name: ConfirmName = "",
) -> Record:
    """Return an alias to the version that held it before the last promotion; twice returns two holders back."""
    need_yes(answer)
    await engine.promotions.move(
        plan.seat, plan.target, from_version=plan.holder.version, kind="rollback", by=caller, reason=reason
    )
    return Record(
        {
            "name": name,
            "alias": plan.seat.alias,
            "stage": plan.seat.stage,
            "version": plan.target.version,
            "previous_version": plan.holder.version,
            "url": engine.registry.model_url(name, plan.target.version),
        }
    )


def _promotion_hint(plan: PromotionPlan, dry_run: bool) -> str:
    seat, number = plan.seat, (plan.target or plan.candidate).version
    holds = f"version {plan.previous}" if plan.previous else "no version"
    old = "MLflow deprecates stages in favour of aliases." if seat.stage else ""
    if plan.failed:
        failed = "; ".join(result.gate for result in plan.failed)
        return f"Not promoted, because this does not hold: {failed}. The {seat} stays with {holds}."
    if plan.is_there_already:
        return f"Version {number} has the {seat} already; nothing was changed."
    if dry_run:
        hold = "Every gate holds." if plan.results else "No gate was asked for."
        return f"{hold} Nothing was changed; without dry_run the {seat} moves from {holds} to version {number}."
    return old


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
    """The reason, where the two values do not say it already."""
    return "" if result.passed or (result.measured and result.required) else result.reason


def _gate_record(result: GateResult) -> dict[str, str]:
    return {"gate": result.gate, "measured": result.measured or "", "required": result.required or ""}


def _evidence(facts: VersionFacts) -> Evidence:
    return Evidence(metrics=facts.metrics, params=facts.params, tags=facts.tags)
