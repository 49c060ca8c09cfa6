"""What a promotion or rollback would do: measured and decided, but not begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from mcp.server.mcpserver import Resolve

from mcp_server.analysis.gates import Evidence, Gate, GateResult, check_gates, parse_gates
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel
from mcp_server.mlflow_integration.operations.models.promotion import aliases_of
from mcp_server.mlflow_integration.operations.models.promotion_history import (
    STAGES,
    Pointer,
    PromotionEvent,
    pointer_of,
    previous_version,
)
from mcp_server.names import same_name
from mcp_server.rendering import moment
from mcp_server.tools._context import OneEngine, Policy

_FIRST_VERSION: Final = "first version: nothing to compare with"


@dataclass(frozen=True, slots=True)
class PromotionPlan:
    """A promotion with its gates measured."""

    candidate: ModelVersion
    model: str
    """The registered model whose alias moves; not the candidate's own when a copy is promoted."""
    target: ModelVersion | None
    """The version to promote: the candidate, or the copy it already has; None when the copy is still to be made."""
    pointer: Pointer
    current: ModelVersion | None
    """The version that has the alias now."""
    results: tuple[GateResult, ...]
    person_only: bool
    """True when the policy requires a person's agreement."""
    staged: str = ""
    """The version in the stage of the same name as the alias, such as Production; the two are independent."""

    @property
    def current_version(self) -> str:
        return self.current.version if self.current else ""

    @property
    def failed(self) -> list[GateResult]:
        return [result for result in self.results if not result.passed]

    @property
    def is_there_already(self) -> bool:
        return self.target is not None and self.target.version == self.current_version

    @property
    def is_first(self) -> bool:
        """Whether a gate passes only because the alias never had a version."""
        return any(result.passed and result.alias_unused for result in self.results)

    @property
    def leaves_stage(self) -> str:
        """The stage that the version leaves by moving to another one; empty for an alias."""
        stage = self.target.stage if self.target and self.pointer.stage else ""
        return stage if stage in STAGES and stage != self.pointer.stage else ""


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """A rollback that the policy allows."""

    pointer: Pointer
    current: ModelVersion
    target: ModelVersion
    results: tuple[GateResult, ...]
    person_only: bool


async def _promotion_plan(
    engine: OneEngine,
    policy: Policy,
    name: str,
    version: str,
    alias: str,
    stage: str,
    to_model: str,
    gates: tuple[str, ...],
    allow_first: bool,
) -> PromotionPlan:
    asked = parse_gates(gates)
    pointer = pointer_of(alias, stage)
    candidate = await engine.registry.version(name, version)
    if candidate.status not in ("READY", ""):
        raise InvalidInputError(
            f"Version {candidate.version} of '{name}' is {candidate.status}, not READY; it cannot be promoted."
        )
    copies = bool(to_model.strip()) and not same_name(to_model, candidate.name)
    destination = await engine.registry.find_model(to_model if copies else candidate.name)
    model = destination.name if destination else to_model
    pointer = pointer.in_model(destination) if destination else pointer
    target = await engine.registering.copy_of(candidate, model) if copies else candidate
    needed = policy.gates_for(model, pointer, asked)
    results = await _measured(engine, needed, candidate, destination)
    if allow_first:
        results = await _with_first_version(engine, model, pointer, results)
    current = await engine.promotions.current_version(model, pointer)
    person_only = policy.needs_person(model, pointer)
    same_named = next((one for one in STAGES if one.casefold() == pointer.alias.casefold()), "")
    staged = Pointer(stage=same_named).current_version(destination) if destination and same_named else ""
    plan = PromotionPlan(candidate, model, target, pointer, current, results, person_only, staged)
    if plan.leaves_stage == "Production":
        doing = f"Moving version {candidate.version} from stage Production to stage {pointer.stage}"
        policy.need_unguarded(model, Pointer(stage="Production"), doing)
    return plan


async def _measured(
    engine: Engine, gates: Sequence[Gate], candidate: ModelVersion, destination: RegisteredModel | None
) -> tuple[GateResult, ...]:
    """Each gate; an alias in a gate is one of the model whose alias moves."""
    if not gates:
        return ()
    by_alias: dict[str, Evidence | None] = {}
    for alias in dict.fromkeys(gate.alias for gate in gates if gate.alias):
        other = await engine.registry.current_version(destination, alias) if destination else None
        by_alias[alias] = await _evidence(engine, other) if other else None
    return check_gates(gates, await _evidence(engine, candidate), by_alias)


async def _evidence(engine: Engine, version: ModelVersion) -> Evidence:
    facts = await engine.registry.facts(version)
    return Evidence(metrics=facts.metrics, params=facts.params, tags=facts.tags)


async def _with_first_version(
    engine: Engine, model: str, pointer: Pointer, results: tuple[GateResult, ...]
) -> tuple[GateResult, ...]:
    """The results; a comparison with an alias that never had a version passes for the first version of an alias."""
    unused = {result.alias for result in results if result.alias_unused}
    if not unused or not await engine.promotions.never_had_a_version(model, pointer):
        return results
    never = {a for a in unused if await engine.promotions.never_had_a_version(model, Pointer(alias=a))}
    return tuple(
        replace(result, passed=True, reason=_FIRST_VERSION) if result.alias_unused and result.alias in never else result
        for result in results
    )


async def _rollback_plan(engine: OneEngine, policy: Policy, name: str, alias: str, stage: str) -> RollbackPlan:
    model = await engine.registry.model(name)
    name, pointer = model.name, pointer_of(alias, stage).in_model(model)
    current = await engine.promotions.current_version(name, pointer)
    if current is None:
        raise InvalidInputError(
            f"No version of '{name}' has the {pointer}, so there is nothing to roll back. Aliases: {aliases_of(model)}."
        )
    events = await engine.promotions.history(name)
    before = previous_version(events, pointer, current.version)
    if not before:
        raise InvalidInputError(
            f"No promotion on record replaced another version with version {current.version} as {pointer} of '{name}', "
            "so the previous version is not known. get_model lists the versions; promote_model moves it to the one you "
            "name."
        )
    target = await engine.registry.version(name, before)
    results = await _measured(engine, policy.gates_for(name, pointer), target, model)
    results = tuple(_as_recorded(result, pointer, target, events) for result in results)
    _need_all(results, name, pointer, target, current)
    return RollbackPlan(pointer, current, target, results, policy.needs_person(name, pointer))


def _as_recorded(
    result: GateResult, pointer: Pointer, target: ModelVersion, events: Sequence[PromotionEvent]
) -> GateResult:
    """A comparison with another version counts as it did when the target was promoted.

    A rollback often returns to a version that measured worse than the one it replaces, which must not prevent it.
    """
    own = [e for e in events if e.version == target.version and e.kind == "promotion" and e.concerns(pointer)]
    if result.passed or not result.alias or not own:
        return result
    if all(gate.get("gate") != result.gate for gate in own[-1].gates):
        return result
    return replace(
        result, passed=True, reason=f"held when version {target.version} was promoted, {moment(own[-1].time)}"
    )


def _need_all(
    results: Sequence[GateResult], name: str, pointer: Pointer, target: ModelVersion, current: ModelVersion
) -> None:
    if failed := [f"{result.gate} ({result.reason})" for result in results if not result.passed]:
        raise InvalidInputError(
            f"Not rolled back: version {target.version} of '{name}' does not pass what the promotion policy requires: "
            f"{'; '.join(failed)}. The {pointer} stays with version {current.version}; promote_model moves it to a "
            "version that passes."
        )


Plan = Annotated[PromotionPlan, Resolve(_promotion_plan)]
Rollback = Annotated[RollbackPlan, Resolve(_rollback_plan)]
