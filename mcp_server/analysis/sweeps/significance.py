"""Whether configurations differ by more than the noise between their seeds: Welch's interval of the difference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mcp_server.analysis.sweeps.repeats import Spread, configurations, is_seed, spread
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run

Verdict = Literal["differs", "within noise", "cannot tell"]

CONFIDENCE: Final = 0.95
"""Of the intervals of one comparison together: with k groups against a baseline each has 1 - 0.05 / k (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What seeds alone change, estimated over several configurations."""

    std: float
    """Pooled standard deviation within configurations, in the metric's unit."""
    degrees: int
    """Degrees of freedom: runs minus configurations, over the configurations that have at least two runs."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A group against the baseline group, in the metric's unit."""

    difference: float
    """Mean of the group minus mean of the baseline."""
    low: float | None
    high: float | None
    """Confidence interval of the difference; absent where it cannot be estimated."""
    verdict: Verdict
    """`within noise` when the interval contains 0; `cannot tell` where single runs leave the noise unknown."""
    reason: str
    """How it was estimated, or what is missing; half a sentence."""


@dataclass(frozen=True, slots=True)
class GroupContrast:
    """One configuration and how it compares with the baseline's."""

    run_ids: tuple[str, ...]
    """Finished runs with a finite value, in the order they were given."""
    spread: Spread
    contrast: Contrast | None
    """None for the baseline group itself."""


@dataclass(frozen=True, slots=True)
class SeedComparison:
    """One metric of several configurations, seeds folded."""

    metric: str
    groups: tuple[GroupContrast, ...]
    """The baseline's first, then in the order of the runs."""
    noise: Noise | None

    verdict: str
    """One sentence when all runs are seeds of one configuration; else empty."""


def compare_seed_groups(runs: Sequence[Run], metric: str, *, baseline: str = "") -> SeedComparison | None:
    """Compare the configurations of some runs by one metric; `baseline` is a run id (default: the first run's group).

    Only FINISHED runs with a finite value count. Imports `scipy.special` (0.3 s the first time): call it in a thread.
    Returns: None when fewer than two runs count, or none of the baseline's group does.
    """
    usable = [run for run in runs if run.status == "FINISHED" and run.lifecycle_stage != "deleted"]
    usable = [run for run in usable if math.isfinite(run.metrics.get(metric, math.nan))]
    groups = list(configurations(usable))
    base_id = baseline or runs[0].run_id
    base = next((group for group in groups if any(run.run_id == base_id for run in group)), None)
    if base is None or len(usable) < 2:
        return None
    others = [group for group in groups if group is not base]
    samples = {id(group): [run.metrics[metric] for run in group] for group in groups}
    noise = pooled_noise(samples.values())
    found = [_group(base, samples[id(base)], None)]
    for group in others:
        judged = contrast(samples[id(base)], samples[id(group)], noise=noise, comparisons=len(others))
        found.append(_group(group, samples[id(group)], judged))
    verdict = "" if others else _only_seeds(base, found[0].spread, metric)
    return SeedComparison(metric, tuple(found), noise, verdict)


def contrast(
    baseline: Sequence[float], group: Sequence[float], *, noise: Noise | None = None, comparisons: int = 1
) -> Contrast:
    """The difference of two groups of finite values with Welch's confidence interval.

    Where a group has one run, or neither shows any spread, `noise` (from `pooled_noise`) stands in for its own.
    `comparisons` is how many such differences are looked at together; it widens the interval.
    Raises: InvalidInputError: a group is empty.
    Source: B. L. Welch, Biometrika 34 (1947); the quantile of Student's t is scipy's.
    """
    first, second = spread(baseline), spread(group)
    if first is None or second is None:
        raise InvalidInputError("A comparison of groups needs at least one finite value in each of them.")
    difference = second.mean - first.mean
    own = min(first.n, second.n) > 1 and bool(first.std or second.std)
    if own:
        error, degrees = _welch(first, second)
        how = f"Welch's t interval, n = {first.n} and {second.n}"
    elif noise is not None and noise.std > 0.0:
        error, degrees = noise.std * math.sqrt(1 / first.n + 1 / second.n), float(noise.degrees)
        how = f"spread between seeds pooled over configurations, n = {first.n} and {second.n}"
    else:
        return _without_spread(difference, first, second)
    half = _quantile(1 - (1 - CONFIDENCE) / comparisons, degrees) * error
    if not math.isfinite(abs(difference) + half):
        return Contrast(difference, None, None, "cannot tell", "the values are too large to be compared")
    verdict = "within noise" if abs(difference) <= half else "differs"
    return Contrast(difference, difference - half, difference + half, verdict, how)


def pooled_noise(groups: Iterable[Sequence[float]]) -> Noise | None:
    """The spread within groups of finite values, pooled; None when no group has two values.

    Assumes that seeds move every configuration about as much.
    """
    found = [(one.std, one.n - 1) for one in map(spread, groups) if one is not None and one.std is not None]
    degrees = sum(free for _, free in found)
    # hypot: the square of a large float overflows, the root of the sum need not.
    std = math.hypot(*(std * math.sqrt(free / degrees) for std, free in found)) if degrees else math.inf
    return Noise(std, degrees) if math.isfinite(std) else None


def _group(group: Sequence[Run], values: Sequence[float], judged: Contrast | None) -> GroupContrast:
    found = spread(values)
    assert found is not None, "groups hold runs with finite values only"
    return GroupContrast(tuple(run.run_id for run in group), found, judged)


def _welch(first: Spread, second: Spread) -> tuple[float, float]:
    """Standard error of the difference and Welch's degrees of freedom."""
    one, two = (first.std or 0.0) / math.sqrt(first.n), (second.std or 0.0) / math.sqrt(second.n)
    error = math.hypot(one, two)
    # Relative to the sum, so that the squares of tiny deviations do not vanish, nor those of huge ones overflow.
    share = (one / error) ** 2
    return error, 1 / (share**2 / (first.n - 1) + (1 - share) ** 2 / (second.n - 1))


def _quantile(confidence: float, degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def _without_spread(difference: float, first: Spread, second: Spread) -> Contrast:
    if min(first.n, second.n) > 1:
        if difference == 0.0:
            return Contrast(0.0, 0.0, 0.0, "within noise", "every value is the same")
        return Contrast(difference, None, None, "differs", "no spread: all seeds of each give the same value")
    lone = "each has" if first.n == second.n == 1 else "one of them has"
    return Contrast(difference, None, None, "cannot tell", f"{lone} a single run; repeat both with 3 or more seeds")


def _only_seeds(group: Sequence[Run], found: Spread, metric: str) -> str:
    seeds = sorted({key for run in group for key in run.params if is_seed(key)})
    changed = [key for key in seeds if len({run.params.get(key) for run in group}) > 1]
    what = f"differ only in {', '.join(changed)}" if changed else f"have all params equal, {', '.join(seeds)} too"
    of = f" of {found.std:.2g}" if found.std is not None else ""
    return (
        f"Within noise: these {found.n} runs {what}; a standard deviation{of} in {metric} comes from repeating alone."
    )
