"""One finding of a diagnosis, and what the curves of a run's own metrics show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from mcp_server.analysis.curves.curve_shape import Shape, noise_of, shape_of
from mcp_server.analysis.curves.curves import CurveFacts, describe
from mcp_server.analysis.curves.spikes import spikes_of
from mcp_server.analysis.naming import direction_of, has_known_direction, is_resource
from mcp_server.mlflow_integration.entities import MetricSeries
from mcp_server.suggestions import words

Level = Literal["problem", "warning", "note"]

FLAT_GAIN: Final = 0.02
"""A curve is flat from where it gains less than this part of what it gained before."""
LONG_PLATEAU: Final = 0.7
"""Part of the run without gain that makes a plateau a warning; `SHORT_PLATEAU` makes it a note."""
SHORT_PLATEAU: Final = 0.4
OVERFIT_NOISE: Final = 3.5
"""Standard errors (of a difference of two medians) by which the end must be worse than the best."""
OVERFIT_GAIN: Final = 0.05
"""Part of what the curve had gained, and of the best value, that it must have lost as well."""
IMPROVING: Final = 0.02
"""Part of the whole gain that the last tenth must bring for a curve to count as still improving."""

_TRAINING: Final = frozenset({"train", "training", "tr", "trn"})
_VALIDATION: Final = frozenset({"val", "valid", "validation", "eval", "evaluation", "test", "dev", "holdout"})

_TRADED_OFF: Final = frozenset(
    {"kl", "kld", "policy", "value", "actor", "critic", "entropy", "generator", "discriminator", "gen", "disc"}
    | {"adversarial", "adv", "aux", "auxiliary", "reg", "regularization", "commitment", "penalty", "surrogate"}
)
"""Parts of a loss that rise while others fall, in reinforcement learning, autoencoders and adversarial training: a rise
or fall of one alone says nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    """failed, killed, NaN, infinite, diverged, overfit, worsening, no learning, plateau, spiky, improving, stalled,
    slowing, worse than siblings, slower than siblings, GPU starved, ..."""
    level: Level
    evidence: str
    """A sentence with the numbers."""
    metric: str = ""
    step: int | None = None
    """Since when."""


def curve_findings(series: Sequence[MetricSeries]) -> list[Finding]:
    """What is remarkable about the curves; machines, schedules and parts of a loss are only searched for NaN."""
    found: list[Finding] = []
    shapes: dict[str, Shape] = {}
    for one in series:
        direction = direction_of(one.key).direction
        facts = describe(one, direction)
        found += _not_finite(one, facts)
        if is_resource(one.key) or _TRADED_OFF.intersection(words(one.key)):
            continue
        if facts.divergence and not facts.divergence.reason.startswith("ends in"):
            reason = facts.divergence.reason
            found.append(Finding("diverged", "problem", f"{one.key} {reason}.", one.key, facts.divergence.step))
        if shape := shape_of(one, direction):
            found += _spikes(one, shape)
            if facts.divergence is None:
                shapes[one.key] = shape
    overfit = list(_overfit(shapes))
    found += overfit
    told = {finding.metric for finding in overfit}
    for key, shape in shapes.items():
        if key not in told and has_known_direction(key):
            found += _course(key, shape)
    return found


def _not_finite(series: MetricSeries, facts: CurveFacts) -> Iterator[Finding]:
    kinds = (
        ("NaN", facts.nan_count, facts.first_nan_step, math.isnan),
        ("infinite", facts.infinity_count, facts.first_infinity_step, math.isinf),
    )
    for kind, count, step, is_odd in kinds:
        if step is None:
            continue
        finite = [point for point in series.points if math.isfinite(point.value)]
        of = f"{count} of {facts.count} {'' if facts.counted else 'sampled '}values"
        if not finite:
            yield Finding(kind, "problem", f"{series.key} has no finite value: {of} are {kind}.", series.key, step)
        elif is_odd(series.points[-1].value):
            before = finite[-1]
            since = next(point.step for point in series.points if point.step >= before.step and is_odd(point.value))
            last = f"the last finite value is {before.value:.4g} at step {before.step}"
            yield Finding(kind, "problem", f"{series.key} is {kind} since step {since}; {last}.", series.key, since)
        else:
            text = f"{series.key} is {kind} in {of}, first at step {step}, and recovers."
            yield Finding(kind, "warning", text, series.key, step)


def _spikes(series: MetricSeries, shape: Shape) -> Iterator[Finding]:
    """Single points, or a few in a row, that are far worse than what comes before and after."""
    found = spikes_of(shape)
    if found:
        first, worst = found[0], max(found, key=lambda spike: spike.depth)
        at_least = "at least " if series.sampled else ""
        text = (
            f"{series.key} has {at_least}{len(found)} {'spike' if len(found) == 1 else 'spikes'}, the largest "
            f"{worst.value:.4g} at step {worst.step} among values near {worst.near:.4g}."
        )
        yield Finding("spiky", "warning" if len(found) > 1 else "note", text, series.key, first.first_step)


def _overfit(shapes: dict[str, Shape]) -> Iterator[Finding]:
    """Validation curves that get worse while their training curves go on getting better."""
    for key, validation in shapes.items():
        partner = _training_partner(key, shapes)
        if partner is None or not _lost(validation):
            continue
        training, best = shapes[partner], validation.best_at
        step = validation.steps[best]
        then = _level_at(training, step)
        if training.end - then <= 2 * training.noise:
            continue
        text = (
            f"{key} is best near step {step} (median {validation.value(validation.top):.4g}) and ends at a median of "
            f"{validation.value(validation.end):.4g}, while {partner} goes on from "
            f"{training.value(then):.4g} to {training.value(training.end):.4g}; medians are of several points."
        )
        yield Finding("overfit", "problem", text, key, step)


def _lost(shape: Shape) -> bool:
    """Whether the end is clearly worse than the best, which was reached well before the end."""
    best, top = shape.best_at, shape.top
    after = len(shape.turned) - 1 - best
    loss = top - shape.end
    # The noise of the end may be larger than that of the whole, where logarithms stretch it.
    noise = max(shape.noise, noise_of(shape.turned[best:]))
    error = 1.25 * noise * math.sqrt(2 / max(len(shape.turned) // 10, 3))
    enough = max(OVERFIT_NOISE * error, OVERFIT_GAIN * shape.gain, OVERFIT_GAIN * abs(top) / 2)
    # A curve that swings has come back from as deep a fall before.
    enough = max(enough, 1.5 * _deepest_fall(shape.smooth[:best]))
    return after >= max(3, len(shape.turned) // 10) and loss > enough


def _deepest_fall(levels: Sequence[float]) -> float:
    """From a level to the worst one after it; 0 for a curve that only rises."""
    top, deepest = -math.inf, 0.0
    for level in levels:
        top = max(top, level)
        deepest = max(deepest, top - level)
    return deepest


def _level_at(shape: Shape, step: int) -> float:
    """The smoothed value at a step, or at the last one logged before it."""
    at = max((at for at, one in enumerate(shape.steps) if one <= step), default=0)
    return shape.smooth[at]


def _training_partner(key: str, shapes: dict[str, Shape]) -> str | None:
    """The training curve of a validation metric: `train_loss` or `loss` for `val_loss`."""
    tokens = words(key)
    if not _VALIDATION.intersection(tokens):
        return None
    rest = [token for token in tokens if token not in _VALIDATION]
    for other in shapes:
        others = words(other)
        if _TRAINING.intersection(others) and [token for token in others if token not in _TRAINING] == rest:
            return other
    return next((other for other in shapes if list(words(other)) == rest), None)


def _course(key: str, shape: Shape) -> Iterator[Finding]:
    """Worsening, not learning, plateau or still improving: at most one of them."""
    total, steps = shape.gain, shape.steps
    if _lost(shape):
        best = shape.best_at
        text = (
            f"{key} is best near step {steps[best]} (median {shape.value(shape.top):.4g} of several points) and gets "
            f"worse, to a median of {shape.value(shape.end):.4g}."
        )
        yield Finding("worsening", "warning", text, key, steps[best])
        return
    if not _learned(shape):
        first, last = shape.value(shape.smooth[0]), shape.value(shape.end)
        text = f"{key} never improves: median {first:.4g} of the first points, {last:.4g} of the last."
        yield Finding("no learning", "warning", text, key)
        return
    flat_from = _flat_from(shape)
    part = (steps[-1] - steps[flat_from]) / ((steps[-1] - steps[0]) or 1)
    if part >= SHORT_PLATEAU:
        text = (
            f"{key} has gained almost nothing since step {steps[flat_from]}, for {part:.0%} of the run: "
            f"median {shape.value(shape.smooth[flat_from]):.4g} then, {shape.value(shape.end):.4g} at the end."
        )
        yield Finding("plateau", "warning" if part >= LONG_PLATEAU else "note", text, key, steps[flat_from])
        return
    tenth = max(len(shape.turned) // 10, 3)
    before = median(shape.turned[-2 * tenth : -tenth])
    recent = shape.end - before
    if recent > max(IMPROVING * total, 2 * shape.noise / math.sqrt(tenth)):
        values = (
            f"median {shape.value(before):.4g} in the tenth before the last, {shape.value(shape.end):.4g} in the last"
        )
        text = f"{key} still improves at the end: {values}."
        yield Finding("improving", "note", text, key, steps[-1])


def _learned(shape: Shape) -> bool:
    """Whether the last third is better than the first tenth by more than noise and a thousandth."""
    turned = shape.turned
    first, last = turned[: max(len(turned) // 10, 3)], turned[-len(turned) // 3 :]
    error = 1.25 * shape.noise * math.sqrt(1 / len(first) + 1 / len(last))
    return max(median(last), shape.end) - median(first) > max(2 * error, 1e-3 * abs(shape.smooth[0]))


def _flat_from(shape: Shape) -> int:
    """First place after which the smoothed curve gains less than `FLAT_GAIN` of its gain, or twice its noise."""
    goal = max(shape.smooth) - max(FLAT_GAIN * shape.gain, 2 * shape.noise)
    return next(at for at, level in enumerate(shape.smooth) if level >= goal)
