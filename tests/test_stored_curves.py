"""Curves asked of the tables of a store: exactly what the points say, whatever they are."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries
from mcp_server.mlflow_integration.local.stored_curves import read_curves
from mcp_server.mlflow_integration.rest.transport import CurveLimits, CurveReader
from tests.conftest import connect

LARGEST = sys.float_info.max
CURVE = ("r" * 32, "loss")
ALL = 10**9

Stored = tuple[int, int, bool, float]
"""step, timestamp, is_nan, value, as MLflow stores them."""

VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([LARGEST, -LARGEST, 0.0, 1.0, 40.0])
STEPS = st.integers(-3, 12) | st.integers(-(10**12), 10**12) | st.sampled_from([-(2**63), 2**63 - 1])
ROWS = st.sets(
    st.builds(
        lambda step, time, nan, value: (step, time, nan, 0.0 if nan else value + 0.0),
        STEPS,
        st.integers(1, 4),
        st.booleans(),
        VALUES,
    ),
    max_size=60,
)


def database_of(rows: Sequence[Stored], *, run: str = CURVE[0], key: str = CURVE[1]) -> Any:
    """A table as MLflow makes it, with the points of another run and of another metric beside those of the curve."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    every = [(run, key, *row) for row in rows]
    every += [(run, "other", 3, 1, False, -5.0), ("s" * 32, key, 3, 1, False, 1e9), ("s" * 32, key, 4, 1, True, 0.0)]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE metrics (run_uuid VARCHAR(32), key VARCHAR(250), step BIGINT, timestamp BIGINT, "
            "is_nan BOOLEAN, value FLOAT, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan))"
        )
        connection.exec_driver_sql("CREATE INDEX by_step ON metrics (run_uuid, key, step)")
        connection.exec_driver_sql("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", every)
    return engine


def point(row: Stored) -> MetricPoint:
    step, time, nan, value = row
    if nan:
        return MetricPoint(step, math.nan, time)
    return MetricPoint(step, math.copysign(math.inf, value) if abs(value) == LARGEST else value, time)


def shown(points: Sequence[MetricPoint | None]) -> list[str]:
    """NaN equals itself as text."""
    return [repr(one) for one in points]


def read(rows: Sequence[Stored], limits: CurveLimits, steps: tuple[int, int] | None = None) -> MetricSeries | None:
    found = read_curves(database_of(rows), [CURVE], limits, steps)
    assert found is not None
    return found.get(CURVE)


@settings(max_examples=60)
@given(ROWS, st.none() | st.tuples(st.integers(-5, 5), st.integers(6, 20)))
def test_a_curve_within_the_limit_is_whole(rows: set[Stored], steps: tuple[int, int] | None):
    low, high = steps or (-math.inf, math.inf)
    inside = [point(row) for row in sorted(rows) if low <= row[0] <= high]
    series = read(list(rows), CurveLimits(ALL, ALL, 4, ALL), steps)
    assert shown(series.points if series else ()) == shown(inside)
    assert series is None or (not series.sampled and series.totals is None)


@settings(max_examples=150)
@given(ROWS.filter(bool), st.integers(2, 20), st.none() | st.tuples(st.integers(-5, 5), st.integers(6, 20)))
def test_the_totals_of_a_sampled_curve_are_those_of_every_point(
    rows: set[Stored], size: int, steps: tuple[int, int] | None
):
    """As found by going through all; the extremes, the first NaN and the first infinity are in the sample."""
    low, high = steps or (-math.inf, math.inf)
    every = [point(row) for row in sorted(rows) if low <= row[0] <= high]
    series = read(list(rows), CurveLimits(0, 0, size, ALL), steps)
    if not every:
        assert series is None
        return
    assert series is not None
    assert series.sampled
    assert series.totals is not None
    finite = [one for one in every if math.isfinite(one.value)]
    nans = [one for one in every if math.isnan(one.value)]
    infinities = [one for one in every if math.isinf(one.value)]
    least = min(finite, key=lambda one: (one.value, one.step, one.timestamp), default=None)
    most = min(finite, key=lambda one: (-one.value, one.step, one.timestamp), default=None)
    assert (series.totals.count, series.totals.nan_count, series.totals.infinity_count) == (
        len(every),
        len(nans),
        len(infinities),
    )
    sample = shown(series.points)
    assert [one for one in shown(every) if one in sample] == sample, "points of the curve, in its order, each once"
    named = [every[0], every[-1], least, most, *nans[:1], *infinities[:1]]
    assert set(shown([one for one in named if one])) <= set(sample)
    assert len(sample) <= 2 * size + 6


def test_steps_in_clusters_and_steps_with_many_points_are_sampled_by_rank():
    """A step of its own far away, or no steps at all, leaves neither a sample of two points nor one of all."""
    clustered = [(step, 1, False, float(step)) for step in (0, *range(10**9, 10**9 + 2_000))]
    stepless = [(0, time, False, float(time)) for time in range(2_000)]
    for rows in (clustered, stepless):
        series = read(rows, CurveLimits(100, 100, 50, ALL))
        assert series is not None
        assert 40 <= len(series.points) <= 60
        assert series.points[0].value == 0.0


def test_a_curve_too_long_to_be_counted_is_a_sample_without_totals():
    """What was not looked at is not told."""
    series = read([(step, 1, False, 1.0) for step in range(1_000)], CurveLimits(10, 10, 20, 999))
    assert series is not None
    assert (series.sampled, series.totals) == (True, None)
    assert (series.points[0].step, series.points[-1].step) == (0, 999)


def test_limits_are_those_of_all_curves_together():
    """The first curves are whole; the next ones are sampled."""
    database = database_of([(step, 1, False, 1.0) for step in range(100)])
    with database.begin() as connection:
        connection.exec_driver_sql("INSERT INTO metrics SELECT 't', key, step, timestamp, is_nan, value FROM metrics")
    found = read_curves(database, [CURVE, ("t", "loss")], CurveLimits(100, 150, 10, ALL), None)
    assert found is not None
    assert [series.sampled for series in found.values()] == [False, True]


def test_tables_that_cannot_be_asked_leave_the_question_to_mlflow(caplog: pytest.LogCaptureFixture):
    """Another schema, a lost connection: MLflow's own answer tells."""
    empty = sqlalchemy.create_engine("sqlite://")
    assert read_curves(empty, [CURVE], CurveLimits(1, 1, 1, 1), None) is None
    assert "OperationalError" in caplog.text


async def test_only_stores_in_this_process_are_asked_for_curves(engine: Engine):
    """A tracking server is asked for its own sample."""
    assert isinstance(engine.transports[0], CurveReader) == (engine.location.local_store is not None)


async def test_a_long_curve_of_a_local_store_is_told_exactly(mock_engine: Engine):
    """With a limit below its length the sample has the facts of all points, and the answer says which are not."""
    curve: list[list[Any]] = [[step, 1.0 + step % 7] for step in range(400)]
    curve[171][1], curve[222][1], curve[333][1] = 40.0, "NaN", "Infinity"
    reader = mock_engine.transports[0]
    assert isinstance(reader, CurveReader)
    async with connect(mock_engine, closes=False) as agent:
        run = await agent.ask("log_run", experiment="curves", metrics={"loss": curve})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mcp_server.mlflow_integration.operations.metric_history.EXACT_POINTS", 100)
            patch.setattr("mcp_server.mlflow_integration.operations.metric_history.SAMPLE_POINTS", 50)
            answer = await agent.ask("get_metric_history", runs=run["run_id"], metrics="loss")
            found = await agent.ask("diagnose_run", run=run["run_id"])
    (row,) = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    assert (row["points"], row["max"], row["first"]) == (400, "40 @171", "1 @0")
    assert (row["nan"], row["infinite"], row["first_nan_step"]) == (1, 1, 222)
    assert "those of an even sample" in answer["hint"]
    assert "exact=true" not in answer["hint"]
    evidence = " ".join(finding[2] for finding in found["findings"]["rows"])
    assert "NaN in 1 of 400 values, first at step 222" in evidence
    await mock_engine.aclose()
