"""Which params of a sweep moved a metric: tested effects first, then what each value of each param gave."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mcp_server.analysis.naming import Direction
from mcp_server.analysis.sweeps.repeats import Spread, spread
from mcp_server.analysis.sweeps.sweep import FEW_LEVELS, FEWEST_CONFIGURATIONS, MISSING, Configuration, Factor, Sweep

T = TypeVar("T")

QUANTILE_GROUPS: Final = 4
"""Groups of a number with more than a few values, each of about as many configurations."""
WEAK_FIT: Final = 0.1
"""Out-of-bag R² below which the params together predict next to nothing."""


@dataclass(frozen=True, slots=True)
class ValueGroup:
    """Configurations that share a value of a param, or a range of it."""

    label: str
    """The value as logged, or `0.001 to 0.01`."""
    spread: Spread
    """Of the configurations' means."""
    best: float
    best_run: str
    """Run id of the best single run."""


@dataclass(frozen=True, slots=True)
class ParamEffect:
    param: str
    same_as: tuple[str, ...]
    """Params that change exactly with it."""
    p: float | None
    """Of the partial F test, corrected for the params tried; None where no effect was found."""
    rank_correlation: float | None
    """Spearman's, with the metric; None for categories."""
    importance: float | None
    """Fall of the forest's out-of-bag R² when the param is shuffled; None when nothing was computed."""
    best_group: str
    """Label of the group with the best mean."""
    groups: tuple[ValueGroup, ...]
    """By value, in ascending order."""

    @property
    def name(self) -> str:
        return " = ".join([self.param, *self.same_as])


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two params whose joint effect is more than the sum of their own."""

    params: tuple[str, str]
    p: float
    best: tuple[str, str]
    """Groups of both with the best mean among those with at least two configurations, else among all."""


@dataclass(frozen=True, slots=True)
class ParamAnalysis:
    metric: str
    direction: Direction
    verdict: str
    """What can be concluded, in a sentence or two; begins with the out-of-bag R² when it was computed."""
    concluded: bool
    """False when there are too few configurations, or nothing varies."""
    oob_r2: float | None
    moved: tuple[ParamEffect, ...]
    """Params with an effect, the strongest first."""
    others: tuple[ParamEffect, ...]
    """Params that vary without a visible effect, by importance."""
    interactions: tuple[Interaction, ...]
    inseparable: tuple[str, ...]
    """Params that the moving ones determine, so that they may be the cause as well."""


def columns_of(sweep: Sweep) -> dict[str, Any] | None:
    """The request for `mcp_server.analysis.sweeps.forest.explain`; None when no conclusion may be drawn anyway."""
    means = [one.mean for one in sweep.configurations]
    if not sweep.factors or len(means) < FEWEST_CONFIGURATIONS or min(means) == max(means):
        return None
    return {"y": means, "columns": [{"kind": factor.kind, "numbers": factor.numbers} for factor in sweep.factors]}


def analyze_params(sweep: Sweep, fitted: Mapping[str, Any] | None) -> ParamAnalysis:
    """Put the answer of `forest.explain` (None: it was not asked) and the groups of each param together."""
    effects = [_effect(sweep, factor, fitted, at) for at, factor in enumerate(sweep.factors)]
    if fitted is None:
        return ParamAnalysis(sweep.metric, sweep.direction, _no_verdict(sweep), False, None, (), tuple(effects), (), ())
    interactions = tuple(_interaction(sweep, item["columns"], item["p"]) for item in fitted["interactions"])
    determined: list[int] = fitted["inseparable"]
    inseparable = [sweep.factors[at].key for at in determined]
    moved = sorted((effect for effect in effects if effect.p is not None), key=_by_importance)
    others = sorted((effect for effect in effects if effect.p is None), key=_by_importance)
    verdict = _verdict(sweep, fitted["oob_r2"], moved, interactions, inseparable)
    return ParamAnalysis(
        sweep.metric,
        sweep.direction,
        verdict,
        True,
        fitted["oob_r2"],
        tuple(moved),
        tuple(others),
        interactions,
        tuple(inseparable),
    )


def strongest_first(sweep: Sweep) -> list[str]:
    """Varying params by how much of the metric's variance lies between their values, corrected for their number.

    A guess that costs nothing, for what to show first; `analyze_params` judges.
    """
    means = [one.mean for one in sweep.configurations]
    return sorted((factor.key for factor in sweep.factors), key=lambda key: (-_between(sweep, key, means), key))


def _between(sweep: Sweep, key: str, means: Sequence[float]) -> float:
    factor = next(one for one in sweep.factors if one.key == key)
    # Ranks: one exploded loss must not decide.
    order = sorted(range(len(means)), key=means.__getitem__)
    ranks = {at: float(rank) for rank, at in enumerate(order)}
    middle = (len(means) - 1) / 2
    groups = list(_places(labels_of(factor)).values())
    total = sum((rank - middle) ** 2 for rank in ranks.values()) or 1.0
    between = sum(len(group) * (sum(ranks[at] for at in group) / len(group) - middle) ** 2 for group in groups)
    return between / total - (len(groups) - 1) / max(len(means) - 1, 1)


def _by_importance(effect: ParamEffect) -> tuple[float, str]:
    return -(effect.importance or 0.0), effect.param


def _effect(sweep: Sweep, factor: Factor, fitted: Mapping[str, Any] | None, at: int) -> ParamEffect:
    groups = _groups(sweep, factor)
    p_by_column = {item["column"]: item["p"] for item in fitted["chosen"]} if fitted else {}
    return ParamEffect(
        param=factor.key,
        same_as=factor.same_as,
        p=p_by_column.get(at),
        rank_correlation=fitted["rank_correlation"][at] if fitted else None,
        importance=fitted["importance"][at] if fitted else None,
        best_group=_best(sweep, {group.label: group.spread for group in groups}),
        groups=groups,
    )


def _best(sweep: Sweep, groups: Mapping[T, Spread]) -> T:
    """The group with the best mean among those of at least two configurations, else among all."""
    sign = -1.0 if sweep.direction == "max" else 1.0
    repeated = {label: found for label, found in groups.items() if found.n > 1} or groups
    return min(repeated, key=lambda label: sign * repeated[label].mean)


def _groups(sweep: Sweep, factor: Factor) -> tuple[ValueGroup, ...]:
    better = max if sweep.direction == "max" else min
    groups: list[tuple[float, ValueGroup]] = []
    for label, places in _places(labels_of(factor)).items():
        found = [sweep.configurations[at] for at in places]
        numbers = [number for at in places if (number := factor.numbers[at]) is not None]
        best, best_run = better(pair for one in found for pair in zip(one.values, one.run_ids, strict=True))
        groups.append((min(numbers, default=math.inf), ValueGroup(label, _means(found), best, best_run)))
    return tuple(group for _, group in sorted(groups, key=lambda pair: (pair[0], pair[1].label)))


def _places(labels: Sequence[T]) -> dict[T, list[int]]:
    places: dict[T, list[int]] = {}
    for at, label in enumerate(labels):
        places.setdefault(label, []).append(at)
    return places


def _means(configurations: Sequence[Configuration]) -> Spread:
    found = spread(one.mean for one in configurations)
    assert found is not None, "means of finite values are finite"
    return found


def labels_of(factor: Factor) -> tuple[str, ...]:
    """The group of each configuration: the value itself, or a range of values where there are many."""
    if factor.kind == "category":
        return factor.values
    ordered = sorted(number for number in factor.numbers if number is not None)
    if len(set(ordered)) <= FEW_LEVELS:
        # 0.10 and 0.1 are one group, named as it was logged first.
        first: dict[float | None, str] = {None: MISSING}
        for number, text in zip(factor.numbers, factor.values, strict=True):
            first.setdefault(number, text)
        return tuple(first[number] for number in factor.numbers)
    edges = sorted({ordered[len(ordered) * part // QUANTILE_GROUPS] for part in range(1, QUANTILE_GROUPS)})
    inside = _places([bisect_right(edges, number) for number in ordered])
    ranges = {part: (f"{ordered[at[0]]:.3g}", f"{ordered[at[-1]]:.3g}") for part, at in inside.items()}
    names = {part: low if low == high else f"{low} to {high}" for part, (low, high) in ranges.items()}
    return tuple(MISSING if number is None else names[bisect_right(edges, number)] for number in factor.numbers)


def _interaction(sweep: Sweep, columns: Sequence[int], p: float) -> Interaction:
    one, other = (sweep.factors[at] for at in columns)
    places = _places(list(zip(labels_of(one), labels_of(other), strict=True)))
    cells = {labels: _means([sweep.configurations[at] for at in found]) for labels, found in places.items()}
    return Interaction((one.key, other.key), p, _best(sweep, cells))


def _no_verdict(sweep: Sweep) -> str:
    n = len(sweep.configurations)
    if not n:
        return f"No finished run has a usable value of {sweep.metric}."
    if not sweep.factors:
        return f"No conclusion: no param varies over these {sweep.runs} runs{_ignoring(sweep)}."
    if n < FEWEST_CONFIGURATIONS:
        return (
            f"No conclusion: {n} configurations are too few to tell an effect from chance; "
            f"{FEWEST_CONFIGURATIONS} or more are needed."
        )
    return f"No conclusion: {sweep.metric} is the same in all {n} configurations."


def _ignoring(sweep: Sweep) -> str:
    ignored = [*sweep.seeds, *sweep.identifiers]
    return f" (ignored: {', '.join(ignored)})" if ignored else ""


def _verdict(
    sweep: Sweep,
    oob_r2: float,
    moved: Sequence[ParamEffect],
    interactions: Sequence[Interaction],
    inseparable: Sequence[str],
) -> str:
    fit = f"Out-of-bag R² {oob_r2:.2f} over {len(sweep.configurations)} configurations"
    if oob_r2 < WEAK_FIT:
        fit += " (the params predict little of it)"
    parts: list[str] = []
    if moved:
        parts.append(f"{sweep.metric} moved with " + ", ".join(effect.name for effect in moved))
    if interactions:
        pairs = "; ".join(" and ".join(one.params) for one in interactions)
        parts.append(f"in combination: {pairs}")
    if not parts:
        parts.append(f"no param shows an effect on {sweep.metric} that stands out from chance")
    if inseparable:
        parts.append(f"{', '.join(inseparable)} cannot be told apart from them")
    return f"{fit}: {'; '.join(parts)}."
