"""Long series cut down to their shape."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.curves.thinning import thin
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricPoint


def points(values: list[float]) -> tuple[MetricPoint, ...]:
    return tuple(MetricPoint(step, value, step) for step, value in enumerate(values))


def test_a_series_that_fits_is_left_alone():
    """Nothing is dropped without need."""
    assert thin(points([1.0, 2.0]), 2) == points([1.0, 2.0])
    assert thin((), 2) == ()


def test_a_single_spike_among_a_million_survives():
    """Even sampling loses it."""
    values = [1.0] * 1_000_000
    values[654_321], values[765_432] = -7.0, 9.0
    kept = thin(points(values), 50)
    assert len(kept) == 50
    assert (kept[0].step, kept[-1].step) == (0, 999_999)
    assert {-7.0, 9.0} <= {point.value for point in kept}


def test_a_flat_series_is_sampled_evenly():
    """No bucket has an extreme of its own, and still no long stretch goes unseen."""
    steps = [point.step for point in thin(points([1.0] * 1000), 21)]
    assert max(later - step for step, later in pairwise(steps)) <= 150


def test_fewer_than_two_points_are_refused():
    """The first and the last are always kept."""
    with pytest.raises(InvalidInputError, match="max_points is 1; give 2 or more"):
        thin(points([1.0]), 1)


@given(st.lists(st.floats() | st.sampled_from([0.0, 1.0, 1.7e308, -1.7e308, 5e-324]), max_size=60), st.integers(2, 70))
def test_thinning_keeps_the_size_the_order_the_ends_and_the_extremes(values: list[float], most: int):
    """From six points on all of them; the same series always gives the same points."""
    series = points(values)
    kept = thin(series, most)
    steps = [point.step for point in kept]
    assert len(kept) <= most
    assert steps == sorted(set(steps))
    assert all(point is series[point.step] for point in kept)
    assert kept == thin(series, most)
    if not values:
        return
    assert {0, len(values) - 1} <= set(steps)
    if most >= 6:
        finite = [value for value in values if math.isfinite(value)]
        shown = [point.value for point in kept if math.isfinite(point.value)]
        assert (min(shown, default=None), max(shown, default=None)) == (
            min(finite, default=None),
            max(finite, default=None),
        )
        for odd in (math.isnan, math.isinf):
            first = next((step for step, value in enumerate(values) if odd(value)), None)
            assert first is None or first in steps
