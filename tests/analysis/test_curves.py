"""Facts about curves."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.curves.curve_shape import shape_of
from mcp_server.analysis.curves.curves import CurveFacts, Divergence, describe
from mcp_server.analysis.curves.spikes import spikes_of
from mcp_server.analysis.naming import Direction
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, SeriesTotals


def series(values: list[float], *, milliseconds: int = 500) -> MetricSeries:
    return MetricSeries(
        "r", "m", tuple(MetricPoint(step, value, step * milliseconds) for step, value in enumerate(values))
    )


def facts(values: list[float], direction: Direction = "min") -> CurveFacts:
    return describe(series(values), direction)


def noise(size: float, count: int) -> list[float]:
    source = random.Random(7)
    return [size * source.random() for _ in range(count)]


def test_an_empty_series_has_no_facts():
    """Absent, not zero."""
    assert facts([]) == CurveFacts(
        count=0,
        sampled=False,
        counted=True,
        first=None,
        last=None,
        minimum=None,
        maximum=None,
        best=None,
        slope=None,
        plateau_step=None,
        divergence=None,
        trend="too short",
        nan_count=0,
        first_nan_step=None,
        infinity_count=0,
        first_infinity_step=None,
        seconds_per_step=None,
    )


def test_one_or_two_points_are_too_short_for_a_trend():
    """Their extremes are known all the same."""
    one, two = facts([3.0]), facts([3.0, 2.0])
    assert (one.trend, one.slope, one.best) == ("too short", None, MetricPoint(0, 3.0, 0))
    assert (two.trend, two.plateau_step, two.best, two.seconds_per_step) == (
        "too short",
        None,
        MetricPoint(1, 2.0, 500),
        0.5,
    )
    assert facts([1.0, 1e6, 1e6]).trend == "too short"


def test_first_and_last_are_those_logged_finite_or_not():
    found = facts([math.inf, 1.0, 2.0, -math.inf])
    assert (found.first, found.last) == (MetricPoint(0, math.inf, 0), MetricPoint(3, -math.inf, 1500))


def test_extremes_come_with_their_first_step_and_the_best_follows_the_direction():
    """Of several equal extremes the earliest."""
    values = [2.0, 1.0, 3.0, 1.0, 3.0]
    found = facts(values)
    assert (found.minimum, found.maximum) == (MetricPoint(1, 1.0, 500), MetricPoint(2, 3.0, 1000))
    assert found.best == found.minimum
    assert facts(values, "max").best == found.maximum


def test_the_slope_is_that_of_the_last_quarter():
    """Per step: here 0.5 after a long flat start."""
    assert facts([0.0] * 76 + [0.5 * step for step in range(25)], "max").slope == pytest.approx(0.5, rel=0.05)


def test_a_falling_loss_improves_and_a_rising_accuracy_too():
    """One word, by direction."""
    falling = [2.0 / (1 + step / 30) for step in range(200)]
    assert facts(falling).trend == "improving"
    assert facts(falling, "max").trend == "worsening"
    assert facts([-value for value in falling], "max").trend == "improving"
    assert facts(falling).plateau_step is None
    assert facts([4.0, 3.0, 2.0, 1.0]).trend == "improving"


def test_noise_around_a_level_is_flat_and_a_plateau():
    """The change over the last quarter must exceed twice its standard error."""
    found = facts([1 - 0.01 * step for step in range(50)] + [0.5 + value for value in noise(0.0004, 150)])
    assert (found.trend, found.plateau_step, found.divergence) == ("flat", 50, None)
    assert facts([1.0 - 1e-6 * step for step in range(100)]).trend == "flat"


def test_all_equal_values_are_a_plateau_from_the_first_step():
    """Nothing ever improved."""
    found = facts([0.25] * 10)
    assert (found.trend, found.plateau_step, found.slope, found.divergence) == ("flat", 0, 0.0, None)
    assert facts([0.0] * 10).plateau_step == 0


def test_a_plateau_is_at_least_a_quarter_of_the_points():
    """Those after the last improvement count."""
    assert facts([4.0, 3.0, 2.0, 2.0]).plateau_step == 2
    assert facts([5.0, 4.0, 3.0, 2.0, 2.0]).plateau_step is None


def test_overfitting_worsens_but_has_not_diverged():
    """A validation loss that ends above its start is a common thing."""
    found = facts([0.7 - 0.002 * step for step in range(100)] + [0.5 + 0.004 * step for step in range(100)])
    assert (found.trend, found.plateau_step, found.divergence) == ("worsening", 100, None)


def test_an_exploding_loss_has_diverged_where_it_left_its_range():
    """More than three times the larger of the best and what had been gained."""
    found = facts([2.0 - 0.01 * step for step in range(150)] + [10.0**step for step in range(50)])
    assert found.trend == "diverged"
    assert found.divergence is not None
    assert found.divergence.step == 151
    assert found.divergence.reason.startswith("exploded from 0.51 (step 149) to ")
    assert found.plateau_step is None


def test_a_loss_that_grows_from_the_start_has_diverged():
    """Its first value is its best."""
    assert facts([1.0 * 2**step for step in range(12)]).trend == "diverged"


def test_a_collapsed_accuracy_has_diverged():
    """Back to chance after having learned."""
    found = facts([0.1 + 0.8 * min(step / 50, 1) for step in range(150)] + [0.1] * 50, "max")
    assert found.divergence == Divergence(150, "collapsed from 0.9 (step 50) to 0.1")


def test_what_goes_evenly_has_not_diverged():
    """A learning rate warmed up and annealed, seconds that add up: both end far from their best, step by step."""
    warm = [step / 10 for step in range(10)]
    assert facts(warm + [0.5 + 0.5 * math.cos(math.pi * step / 90) for step in range(91)], "max").divergence is None
    assert facts([10.0 + 3 * step for step in range(100)]).divergence is None
    assert facts([0.1 * 0.97**step for step in range(100)], "max").divergence is None
    three_steps, two_steps = [1.0] * 4 + [40.0, 80.0] + [150.0] * 3, [1.0] * 4 + [40.0] + [150.0] * 4
    assert facts(three_steps).divergence is None
    assert facts(two_steps).divergence is not None


def test_a_best_of_zero_at_the_start_leaves_no_range_to_leave():
    """Nothing says how much is much."""
    assert facts([0.0] * 20 + [5.0] * 20).divergence is None


def test_one_odd_value_at_the_end_is_no_divergence():
    """The median of the end is judged."""
    assert facts([1 / (step + 1) for step in range(40)] + [1e9]).divergence is None


def test_a_series_that_ends_in_nan_has_diverged_at_its_first():
    """An earlier NaN that was overcome is only counted."""
    found = facts([1.0, math.nan, 0.5, 0.4, 0.3, math.inf, math.nan, math.nan])
    assert found.divergence == Divergence(5, "ends in NaN")
    assert (found.nan_count, found.first_nan_step, found.infinity_count, found.first_infinity_step) == (3, 1, 1, 5)
    assert facts([1.0, math.nan, 0.5, 0.4, 0.3, 0.2]).trend == "improving"
    assert facts([math.nan] * 3).divergence == Divergence(0, "ends in NaN")
    assert facts([math.nan] * 3).best is None
    assert facts([1.0, 0.5, math.nan]).divergence == Divergence(2, "ends in NaN")
    assert facts([1.0, 0.5, math.nan, -math.inf]).divergence == Divergence(2, "ends in infinity")


def test_the_time_of_a_step_survives_gaps_and_batched_logging():
    """Seconds: one pause does not move the median; points of one batch share their time."""
    paused = [MetricPoint(step, 1.0, step * 2000 + (90_000_000 if step > 5 else 0)) for step in range(12)]
    batched = [MetricPoint(step, 1.0, (step + 9) // 10 * 10_000) for step in range(31)]
    every_tenth = [MetricPoint(step, 1.0, step * 300) for step in range(0, 100, 10)]
    still = [MetricPoint(step, 1.0, 7) for step in range(5)]
    seconds = [
        describe(MetricSeries("r", "m", tuple(points)), "min").seconds_per_step
        for points in (paused, batched, every_tenth, still)
    ]
    assert seconds == [2.0, 1.0, 0.3, None]


def test_facts_about_a_sample_say_so():
    """MLflow may hold more points."""
    found = describe(MetricSeries("r", "m", (), sampled=True), "min")
    assert (found.sampled, found.counted) == (True, False)


def test_what_the_store_counted_over_every_point_stands_above_the_sample():
    """NaN and infinities between the points of a sample are not lost."""
    sample = replace(series([1.0, math.nan, 2.0, math.inf, 3.0]), sampled=True, totals=SeriesTotals(1_000, 7, 5))
    found = describe(sample, "max")
    assert (found.count, found.nan_count, found.infinity_count) == (1_000, 7, 5)
    assert (found.sampled, found.counted) == (True, True)


def test_a_million_points_are_described():
    """Sums stay small however long the series is."""
    values = [math.exp(-step / 300_000) + value for step, value in enumerate(noise(0.001, 1_000_000))]
    found = facts(values)
    assert (found.count, found.trend, found.divergence) == (1_000_000, "improving", None)


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ({40: 0.1}, [(40, 40, 0.1)]),
        ({40: 0.3, 42: 0.1}, [(40, 42, 0.1)]),
        ({40: 0.1, 42: 0.3}, [(40, 40, 0.1)]),
        ({40: 0.1, 43: 0.2}, [(40, 40, 0.1)]),
        ({40: 0.1, 44: 0.2}, [(40, 40, 0.1), (44, 44, 0.2)]),
        ({1: 0.1, 98: 0.1}, []),
        ({2: 0.1, 97: 0.1}, [(2, 2, 0.1), (97, 97, 0.1)]),
        ({40: 0.1, 41: 0.1, 42: 0.1, 43: 0.1}, []),
    ],
)
def test_spikes_within_three_points_are_one_and_its_worst_point_is_named(
    places: dict[int, float], found: list[tuple[int, int, float]]
):
    """A level of its own is no spike, and nothing says what comes beyond the ends."""
    values = [places.get(step, 0.5 + 0.004 * step) for step in range(100)]
    shape = shape_of(series(values), "max")
    assert shape is not None
    spikes = spikes_of(shape)
    assert [(spike.first_step, spike.step, spike.value) for spike in spikes] == found
    if places == {40: 0.1}:
        assert spikes[0].near == pytest.approx(0.652), "the median of the three points before it"


ODD_VALUES = st.floats() | st.sampled_from([0.0, -0.0, sys.float_info.max, -sys.float_info.max, 5e-324, -5e-324, 1.0])
INT64 = st.integers(-(2**63), 2**63 - 1)
POINTS = st.lists(st.builds(MetricPoint, INT64 | st.integers(0, 3), ODD_VALUES, INT64 | st.integers(0, 3)), max_size=40)


@given(POINTS, st.sampled_from(["max", "min"]))
def test_no_series_makes_the_description_fail(points: list[MetricPoint], direction: Direction):
    """Huge, denormal, NaN, infinite, repeated and backward: every number that comes out is finite."""
    found = describe(MetricSeries("r", "m", tuple(points)), direction)
    finite = [point.value for point in points if math.isfinite(point.value)]
    assert found.count == len(points) == len(finite) + found.nan_count + found.infinity_count
    assert found.slope is None or math.isfinite(found.slope)
    assert found.seconds_per_step is None or found.seconds_per_step > 0
    assert (found.best is None) == (not finite)
    if found.best:
        assert found.best.value == (max(finite) if direction == "max" else min(finite))
    assert (found.trend == "diverged") == (found.divergence is not None)


@given(st.lists(st.floats(-100, 100), max_size=40))
def test_turning_the_curve_over_turns_the_direction(values: list[float]):
    """A maximised metric is a minimised one with the other sign, except that only a maximised one can collapse."""
    up, down = facts(values, "max"), facts([-value for value in values], "min")
    assert up.plateau_step == down.plateau_step or up.divergence
    if not up.divergence:
        assert up.trend == down.trend
