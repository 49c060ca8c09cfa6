"""Spikes of a curve: single points, or a few in a row, far worse than what comes before and after."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

from mcp_server.analysis.curves.curve_shape import Shape

SPIKE_NOISE: Final = 8.0
"""Robust standard deviations by which a spike stands out from the points before and after it."""
SPIKE_GAIN: Final = 0.1
"""Part of the whole range of the curve that it must be high as well."""
SPIKE_REACH: Final = 3
"""Points on either side that a spike is compared with: so few that a curve which swings is not full of spikes."""


@dataclass(frozen=True, slots=True)
class Spike:
    """Neighbouring points that stand out together."""

    first_step: int
    step: int
    """Of its worst point."""
    value: float
    """There, as it was logged."""
    near: float
    """Median of the points before it, as they were logged."""
    depth: float
    """By how much it is worse, in the unit of `Shape.turned`."""


def spikes_of(shape: Shape) -> tuple[Spike, ...]:
    """In the order of their steps."""
    values = shape.turned
    ordered = sorted(values)
    span = ordered[-1 - len(values) // 20] - ordered[len(values) // 20]
    limit = max(SPIKE_NOISE * shape.noise, SPIKE_GAIN * span)
    spikes: list[Spike] = []
    begun = -SPIKE_REACH - 1
    for at in range(2, len(values) - 2):
        # No median is above the largest value, and finding that costs a tenth.
        if max(values[max(at - SPIKE_REACH, 0) : at]) - values[at] <= limit:
            continue
        before = median(values[max(at - SPIKE_REACH, 0) : at])
        after = median(values[at + 1 : at + 1 + SPIKE_REACH])
        depth = min(before, after) - values[at]
        if not (limit > 0.0 and depth > limit):
            continue
        first = spikes[-1].first_step if at - begun <= SPIKE_REACH else shape.steps[at]
        one = Spike(first, shape.steps[at], shape.value(values[at]), shape.value(before), depth)
        if at - begun > SPIKE_REACH:
            spikes.append(one)
            begun = at
        elif depth > spikes[-1].depth:
            spikes[-1] = one
    return tuple(spikes)
