"""What a metric's curve shows: its extremes, where it stopped improving, whether it diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, Literal

from mcp_server.analysis.naming import Direction
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries

Trend = Literal["improving", "flat", "worsening", "diverged", "too short"]

SHORTEST_CURVE: Final = 4
"""Finite points below which nothing is said about slope, plateau or trend."""

TAIL: Final = 4
"""The trend is that of the last 1/4 of the finite points, at least `SHORTEST_CURVE` of them."""

TOLERANCE: Final = 0.001
"""Relative change that counts: 0.1 % of the best value so far (plateau) or of the tail's mean magnitude (trend)."""

NOISE: Final = 2.0
"""Standard errors that the change over the tail must exceed to be a trend: about 95 % confidence."""

EXPLODED: Final = 3.0
"""Diverged when the end is worse than the best by more than this many times the larger of the best value's magnitude
and the distance from the first value to the best. Overfitting (a loss from 0.7 over 0.5 to 0.9) stays far below."""

COLLAPSED: Final = 0.5
"""A maximised metric has also diverged when the end is worse than the best by more than this part of the best value's
magnitude and has lost nine tenths of a gain as large: accuracy 0.1, 0.9, 0.1."""

SUDDEN: Final = 4
"""Both only when the middle half of the way down took at most 1/4 of the points after the best (or 2 points): a
learning rate that is annealed and seconds that add up change evenly, and nothing is wrong with them."""

END: Final = 20
"""The end whose median is judged for divergence: the last 1/20 of the finite points, 3 to 101 of them, as
far as they come after the best, and at least 2: one odd value at the end is not divergence."""


@dataclass(frozen=True, slots=True)
class Divergence:
    step: int
    """First step after the best one at which the rule held; first of the closing NaN or infinite values."""
    reason: str
    """Which rule: `ends in NaN`, `exploded from 0.41 (step 120) to 98.2`, ..."""


@dataclass(frozen=True, slots=True)
class CurveFacts:
    """Facts about one series. Values in the metric's unit; of several equal extremes the earliest."""

    count: int
    sampled: bool
    """True when these are facts about a sample of what MLflow holds."""
    counted: bool
    """True when count, extremes, NaN and infinities are nevertheless those of every point."""
    first: MetricPoint | None
    last: MetricPoint | None
    """First and last as logged, finite or not; None only for an empty series."""
    minimum: MetricPoint | None
    maximum: MetricPoint | None
    best: MetricPoint | None
    """Among the finite values; None when there is none. `best` is the maximum or minimum, by direction."""
    slope: float | None
    """Change per step, least squares over the last quarter; None for a short curve or a tail on one step."""
    plateau_step: int | None
    """Step of the last improvement of more than 0.1 % of the best value before it, when at least a quarter of the
    finite points follow it; None while it improves and when it diverged."""
    divergence: Divergence | None
    trend: Trend
    nan_count: int
    first_nan_step: int | None
    infinity_count: int
    """Both signs."""
    first_infinity_step: int | None

    seconds_per_step: float | None
    """Median over neighbours of time difference by step difference; where half of the points share their time
    (batched logging), the whole time by all steps. None when time stands still."""


def describe(series: MetricSeries, direction: Direction) -> CurveFacts:
    """The facts of one series; `direction` says whether the metric is maximised or minimised. O(n log n) at most."""
    points = series.points
    finite = [point for point in points if math.isfinite(point.value)]
    totals = series.totals
    minimum, maximum = _extremes(finite)
    best = maximum if direction == "max" else minimum
    divergence = _divergence(points, finite, best, direction)
    slope, change = _tail_trend(finite)

    nans = [point.step for point in points if math.isnan(point.value)] if len(finite) < len(points) else []
    infinities = [point.step for point in points if math.isinf(point.value)] if len(finite) < len(points) else []
    return CurveFacts(
        count=totals.count if totals else len(points),
        sampled=series.sampled,
        counted=totals is not None or not series.sampled,
        first=points[0] if points else None,
        last=points[-1] if points else None,
        minimum=minimum,
        maximum=maximum,
        best=best,
        slope=slope,
        plateau_step=None if divergence else _plateau(finite, direction),
        divergence=divergence,
        trend=_trend(finite, divergence, change, direction),
        nan_count=totals.nan_count if totals else len(nans),
        first_nan_step=nans[0] if nans else None,
        infinity_count=totals.infinity_count if totals else len(infinities),
        first_infinity_step=infinities[0] if infinities else None,
        seconds_per_step=_seconds_per_step(points),
    )


def _extremes(finite: Sequence[MetricPoint]) -> tuple[MetricPoint | None, MetricPoint | None]:
    if not finite:
        return None, None
    values = [point.value for point in finite]
    return finite[values.index(min(values))], finite[values.index(max(values))]


def _plateau(finite: Sequence[MetricPoint], direction: Direction) -> int | None:
    """See `CurveFacts.plateau_step`. Slow progress counts: steps add up until they exceed the tolerance."""
    if len(finite) < SHORTEST_CURVE:
        return None
    sign = 1.0 if direction == "max" else -1.0
    since = 0
    hurdle = -math.inf
    for at, point in enumerate(finite):
        value = sign * point.value
        if value > hurdle:
            hurdle = value + TOLERANCE * abs(value)
            since = at
    return finite[since].step if (len(finite) - 1 - since) * TAIL >= len(finite) else None


def _divergence(
    points: Sequence[MetricPoint], finite: Sequence[MetricPoint], best: MetricPoint | None, direction: Direction
) -> Divergence | None:
    """The rules of `EXPLODED` and `COLLAPSED`, and a series that ends in NaN or infinity."""
    if points and not math.isfinite(points[-1].value):
        end = len(points) - 1
        while end and not math.isfinite(points[end - 1].value):
            end -= 1
        return Divergence(points[end].step, f"ends in {'NaN' if math.isnan(points[-1].value) else 'infinity'}")
    if best is None or len(finite) < SHORTEST_CURVE:
        return None
    size = min(max(len(finite) // END, 3), 101)
    best_at = next(at for at, point in enumerate(finite) if point == best)
    end_points = finite[max(best_at + 1, len(finite) - size) :]
    if len(end_points) < 2:
        return None
    # Halved: the difference of two finite floats can be infinite, that of their halves cannot.
    sign = 0.5 if direction == "max" else -0.5
    top, start = sign * best.value, sign * finite[0].value
    level = median(sign * point.value for point in end_points)
    turned = [sign * point.value for point in finite[best_at:]]
    if level < (limit := _explosion_limit(top, start)):
        word = "exploded"
    elif direction == "max" and level < (limit := _collapse_limit(top, start)):
        word = "collapsed"
    else:
        return None
    if not _is_sudden(turned, level):
        return None
    step = next(finite[best_at + at].step for at, value in enumerate(turned) if value < limit)
    return Divergence(step, f"{word} from {best.value:.4g} (step {best.step}) to {level / sign:.4g}")


def _explosion_limit(top: float, start: float) -> float:
    """Below it the end has exploded; values are halved and turned so that larger is better."""
    reference = max(abs(top), top - start)
    return top - EXPLODED * reference if reference > 0.0 else -math.inf


def _collapse_limit(top: float, start: float) -> float:
    """Below it the end has collapsed; values as in `_explosion_limit`."""
    if top - start < COLLAPSED * abs(top):
        return -math.inf
    return min(start + (top - start) / 10, top - COLLAPSED * abs(top))


def _is_sudden(turned: Sequence[float], level: float) -> bool:
    """See `SUDDEN`; `turned` are the halved values from the best on, `level` is where they end."""
    fall = turned[0] - level
    high, low = turned[0] - fall / 4, turned[0] - fall * 0.75
    last_high = max(at for at, value in enumerate(turned) if value >= high)
    first_low = next((at for at in range(last_high, len(turned)) if turned[at] <= low), last_high)
    return first_low - last_high <= max((len(turned) - 1) / SUDDEN, 2)


def _tail_trend(finite: Sequence[MetricPoint]) -> tuple[float | None, float]:
    """Slope per step over the tail, and the significant relative change over it (0 when there is none)."""
    if len(finite) < SHORTEST_CURVE:
        return None, 0.0
    tail = finite[-max(-(-len(finite) // TAIL), SHORTEST_CURVE) :]
    n = len(tail)
    # Steps from the first and values by the largest: sums stay small whatever was logged.
    xs = [float(point.step - tail[0].step) for point in tail]
    scale = max(abs(point.value) for point in tail)
    if scale == 0.0 or min(xs) == max(xs):
        return (None if min(xs) == max(xs) else 0.0), 0.0
    ys = [point.value / scale for point in tail]
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    square_x = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / square_x
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    error = math.sqrt(residual / (n - 2) / square_x)
    magnitude = sum(map(abs, ys)) / n
    change = slope * (max(xs) - min(xs)) / magnitude
    significant = abs(change) > TOLERANCE and abs(slope) > NOISE * error
    per_step = slope * scale + 0.0  # -0.0 becomes 0.0
    return (per_step if math.isfinite(per_step) else None), change if significant else 0.0


def _trend(finite: Sequence[MetricPoint], divergence: Divergence | None, change: float, direction: Direction) -> Trend:
    if divergence:
        return "diverged"
    if len(finite) < SHORTEST_CURVE:
        return "too short"
    if change == 0.0:
        return "flat"
    return "improving" if (change > 0.0) == (direction == "max") else "worsening"


def _seconds_per_step(points: Sequence[MetricPoint]) -> float | None:
    """Seconds of one step, from timestamps in milliseconds; see `CurveFacts.seconds_per_step`."""
    rates = [
        (after.timestamp - before.timestamp) / (after.step - before.step)
        for before, after in pairwise(points)
        if after.step > before.step and after.timestamp >= before.timestamp
    ]
    if not rates:
        return None
    rate = median(rates)
    if rate == 0.0 and points[-1].step > points[0].step:
        rate = (points[-1].timestamp - points[0].timestamp) / (points[-1].step - points[0].step)
    return rate / 1000 if rate > 0.0 else None
