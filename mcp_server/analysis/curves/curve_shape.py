"""A curve smoothed, turned so that higher is better, with its noise: what judgements about its shape are made from."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log, sqrt
from statistics import median
from typing import Final

from mcp_server.analysis.naming import Direction
from mcp_server.mlflow_integration.entities import MetricSeries

FEWEST_POINTS: Final = 10
"""Finite points below which nothing is said about the shape of a curve."""
WINDOW_PART: Final = 20
"""The running median covers 1/20 of the points, 3 to 21 of them."""
LOG_RATIO: Final = 30.0
"""A positive curve whose largest value is this many times the smallest is judged by its logarithm."""
_TOO_LARGE: Final = 1e300
_MAD: Final = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The finite points of a series with at least `FEWEST_POINTS` of them."""

    sign: float
    """Turns values: 1 where higher is better, -1 where lower is."""
    by_logarithm: bool
    """See `LOG_RATIO`."""
    steps: tuple[int, ...]
    turned: tuple[float, ...]
    """Values, or their logarithms, times `sign`."""
    smooth: tuple[float, ...]
    """Running median of `turned`."""
    noise: float
    """Robust standard deviation of each point from the middle of its neighbours, in the unit of `turned`."""

    @property
    def best_at(self) -> int:
        """Place of the best smoothed value, the earliest of equal ones."""
        return self.smooth.index(max(self.smooth))

    @property
    def top(self) -> float:
        """Median of as many points around the best place as `end` has: a single lucky point is not a level."""
        half = max(len(self.turned) // 20, 2)
        return median(self.turned[max(self.best_at - half, 0) : self.best_at + half + 1])

    @property
    def end(self) -> float:
        """Median of the last tenth, at least 3 points."""
        return median(self.turned[-max(len(self.turned) // 10, 3) :])

    @property
    def gain(self) -> float:
        """From the first smoothed value to the best one; never negative."""
        return max(self.smooth) - self.smooth[0]

    def value(self, turned: float) -> float:
        """A turned value as it was logged."""
        return exp(turned * self.sign) if self.by_logarithm else turned * self.sign


def shape_of(series: MetricSeries, direction: Direction) -> Shape | None:
    """None for a series that is too short, or too large to compute with."""
    sign = 1.0 if direction == "max" else -1.0
    points = [point for point in series.points if isfinite(point.value)]
    values = [point.value for point in points]
    if len(values) < FEWEST_POINTS or max(map(abs, values)) > _TOO_LARGE:
        return None
    # Perplexity falls from thousands to ten: of such a curve the fall at the start would hide all the rest.
    by_logarithm = min(values) > 0.0 and max(values) / min(values) >= LOG_RATIO
    turned = tuple(sign * (log(value) if by_logarithm else value) for value in values)
    steps = tuple(point.step for point in points)
    return Shape(sign, by_logarithm, steps, turned, running_median(turned), noise_of(turned))


def noise_of(values: Sequence[float]) -> float:
    """See `Shape.noise`; 0 for fewer than three values."""
    middles = [(before + after) / 2 for before, after in zip(values, values[2:], strict=False)]
    deviations = [abs(value - middle) for value, middle in zip(values[1:], middles, strict=False)]
    return median(deviations) * _MAD / sqrt(1.5) if deviations else 0.0


def running_median(values: Sequence[float]) -> tuple[float, ...]:
    """Median of the points around each point, fewer at both ends."""
    half = min(max(len(values) // WINDOW_PART // 2, 1), 10)
    medians: list[float] = []
    # Kept in order from point to point: sorting each window anew takes three times as long.
    window = sorted(values[:half])
    for at in range(len(values)):
        if at + half < len(values):
            insort(window, values[at + half])
        if at > half:
            del window[bisect_left(window, values[at - half - 1])]
        middle = len(window) // 2
        medians.append(window[middle] if len(window) % 2 else (window[middle - 1] + window[middle]) / 2)
    return tuple(medians)
