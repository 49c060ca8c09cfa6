"""A long series cut down to the few points that keep its shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricPoint


def thin(points: Sequence[MetricPoint], max_points: int) -> tuple[MetricPoint, ...]:
    """At most `max_points` of the points, in their order; all of them when they fit.

    Kept first, as far as `max_points` reaches: first, last, minimum, maximum, first NaN, first infinity (six points;
    so from 6 on nothing of this is lost). The rest are the minimum and maximum of equal buckets, then points at even
    distances. The same input gives the same output; only comparisons, so no value is too large. O(n).
    Raises: InvalidInputError: `max_points` is below 2.
    Source: min-max aggregation as in Jugel, Jerzak, Hackenbroich, Markl: M4, a visualization-oriented time series
        data aggregation, PVLDB 7(10), 2014.
    """
    if max_points < 2:
        raise InvalidInputError(f"max_points is {max_points}; give 2 or more: the first and the last point are kept.")
    if len(points) <= max_points:
        return tuple(points)
    finite = [at for at, point in enumerate(points) if math.isfinite(point.value)]
    values = [points[at].value for at in finite]
    kept = set(_landmarks(points, finite, values)[:max_points])
    for at in _bucket_extremes(finite, values, (max_points - len(kept)) // 2):
        kept.add(at)
    for at in _evenly(len(points), max_points - len(kept)):
        kept.add(at)
    return tuple(points[at] for at in sorted(kept))


def _landmarks(points: Sequence[MetricPoint], finite: Sequence[int], values: Sequence[float]) -> list[int]:
    """Indices that must stay, the most important first, each once."""
    marks = [0, len(points) - 1]
    if finite:
        marks += [finite[values.index(min(values))], finite[values.index(max(values))]]
    if len(finite) < len(points):
        for odd in (math.isnan, math.isinf):
            marks += [next((at for at, point in enumerate(points) if odd(point.value)), 0)]
    return list(dict.fromkeys(marks))


def _bucket_extremes(finite: Sequence[int], values: Sequence[float], buckets: int) -> Iterable[int]:
    """Index of the least and the greatest value of each bucket, the earliest where several are equal."""
    for bucket in range(buckets):
        start, end = len(values) * bucket // buckets, len(values) * (bucket + 1) // buckets
        if start < end:
            part = values[start:end]
            yield finite[start + part.index(min(part))]
            yield finite[start + part.index(max(part))]


def _evenly(length: int, count: int) -> Iterable[int]:
    """`count` indices inside a series of `length`, at even distances from each other and from the ends."""
    return (length * (place + 1) // (count + 1) for place in range(count))
