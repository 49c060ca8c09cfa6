"""Metric curves read from the tables of a store: whole, or sampled by index probes with totals over every point.

For its own sample MLflow reads every point of a curve: 4 s for a million. Its index on (run, key, step) finds
each point of a sample at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, SeriesTotals
from mcp_server.mlflow_integration.rest.fields import LARGEST
from mcp_server.mlflow_integration.rest.transport import Curve, CurveLimits

logger = logging.getLogger(__name__)

_ALL_STEPS: Final = (-(2**63), 2**63 - 1)

_Row = tuple[int, int, bool, float]
"""step, timestamp, is_nan, value: the primary key within a curve, in the order of its points."""


def read_curves(
    database: Any, curves: Sequence[Curve], limits: CurveLimits, steps: tuple[int, int] | None
) -> Mapping[Curve, MetricSeries] | None:
    """See `CurveReader.read_curves`; `database` is an SQLAlchemy engine. None when its tables cannot be read."""
    sqlalchemy: Any = import_module("sqlalchemy")
    found: dict[Curve, MetricSeries] = {}
    whole_left, counted_left = limits.whole_in_all, limits.counted_in_all
    try:
        with database.connect() as connection:
            for curve in curves:
                stored = _StoredCurve(connection, curve, steps or _ALL_STEPS)
                whole = min(limits.whole, whole_left)
                count = stored.count(most=whole + 1)
                if count <= whole:
                    whole_left -= count
                    series = MetricSeries(*curve, _points(stored.rows()))
                else:
                    count = stored.count(most=counted_left + 1)
                    known = count <= counted_left
                    counted_left -= count if known else 0
                    series = stored.sampled(limits.sample, count if known else None)
                if series.points:
                    found[curve] = series
    except sqlalchemy.exc.SQLAlchemyError as error:
        logger.warning("Curves could not be read from the tables of the store: %s", type(error).__name__)
        return None
    return found


class _StoredCurve:
    """One curve between two steps, both included."""

    def __init__(self, connection: Any, curve: Curve, steps: tuple[int, int]) -> None:
        self._connection = connection
        self._curve = curve
        self._range = {"run": curve[0], "key": curve[1], "low": steps[0], "high": steps[1]}

    def count(self, *, most: int) -> int:
        """Points, counted up to `most`."""
        return self._ask("count", most=most)[0][0]

    def rows(self) -> list[_Row]:
        return self._ask("rows")

    def sampled(self, size: int, count: int | None) -> MetricSeries:
        """About `size` points at even distances, with first and last; `count` says that totals are wanted, of so many.

        With totals, the extremes, the first NaN and the first infinity of all points are among them.
        """
        ((low, high),) = self._ask("ends")
        if low is None:
            return MetricSeries(*self._curve, ())
        rows = {*self._ask("first", low=low, high=low), *self._ask("last", low=high, high=high)}
        probed = self._probed(size, low, high)
        # Steps that lie in clusters, or hold many points each, are sampled by rank: every point is read.
        if count is not None and not size / 2 <= len(probed) < 2 * size:
            probed = self._ask("every", stride=-(-count // size))
        rows.update(probed)
        totals = None
        if count is not None:
            totals, marks = self._totals(count)
            rows.update(marks)
        return MetricSeries(*self._curve, _points(rows), sampled=True, totals=totals)

    def _probed(self, size: int, low: int, high: int) -> list[_Row]:
        """The points of the first step at or after each of about `size` places at even distances."""
        stride = min(max((high - low) // max(size - 1, 1), 1), _ALL_STEPS[1])
        until = max(high - stride, low)
        found = self._ask("probes", low=low, high=high, stride=stride, until=until, most=2 * size)
        return [row for row in found if row[0] is not None]

    def _totals(self, count: int) -> tuple[SeriesTotals, list[_Row]]:
        """The totals, and the rows of the extremes, of the first NaN and of the first infinity."""
        ((nans, infinities, low, high, nan_step, infinity_step),) = self._ask("totals")
        ((low_step, high_step),) = self._ask("steps_of", minimum=low, maximum=high)

        def mark(kind: str, step: int | None, **values: Any) -> list[_Row]:
            return [] if step is None else self._ask(kind, **values, low=step, high=step)

        extremes = [*mark("value", low_step, value=low), *mark("value", high_step, value=high)]
        totals = SeriesTotals(count=count, nan_count=nans, infinity_count=infinities)
        return totals, [*extremes, *mark("nan", nan_step), *mark("infinite", infinity_step)]

    def _ask(self, what: str, **values: Any) -> list[Any]:
        found = self._connection.execute(_statements()[what], {**self._range, **values})
        return [tuple(row) for row in found]


def _points(rows: Iterable[_Row]) -> tuple[MetricPoint, ...]:
    return tuple(_point(row) for row in sorted(rows))


def _point(row: _Row) -> MetricPoint:
    step, timestamp, is_nan, value = row
    if is_nan:  # MLflow stores 0 for NaN.
        value = math.nan
    elif abs(value) >= LARGEST:
        value = math.copysign(math.inf, value)
    return MetricPoint(step, value, timestamp)


@cache
def _statements() -> Mapping[str, Any]:
    """Built once: SQLAlchemy then finds their SQL in its cache. All are bound to run, key, low and high.

    Every condition names a range of steps, even of one: without statistics SQLite would otherwise read the points of
    this metric in all runs, which its primary key covers.
    """
    terms = _terms()
    return {**_reading(terms), **_sampling(terms), **_counting(terms)}


def _terms() -> Any:
    """Table, conditions and bound values that the statements share."""
    sql: Any = import_module("sqlalchemy")
    big = sql.BigInteger
    columns = {"step": big, "timestamp": big, "is_nan": sql.Boolean, "value": sql.Double}
    names = [sql.column(name) for name in ("run_uuid", "key")] + [sql.column(*one) for one in columns.items()]
    metrics = sql.table("metrics", *names).alias("m")
    one = metrics.c
    ours = sql.and_(one.run_uuid == sql.bindparam("run"), one.key == sql.bindparam("key"))
    low, high = sql.bindparam("low", type_=big), sql.bindparam("high", type_=big)
    return SimpleNamespace(
        sql=sql,
        metrics=metrics,
        one=one,
        row=(one.step, one.timestamp, one.is_nan, one.value),
        ours=ours,
        low=low,
        high=high,
        here=sql.and_(ours, one.step.between(low, high)),
        most=sql.bindparam("most", type_=sql.Integer),
        stride=sql.bindparam("stride", type_=big),
        until=sql.bindparam("until", type_=big),
    )


def _reading(t: Any) -> dict[str, Any]:
    rows = t.sql.select(*t.row).where(t.here)
    some = t.sql.select(t.one.step).where(t.here)

    def end(step: Any) -> Any:
        # Not min and max: SQLite 3.40 finds only one of them at once when both ends of a range are given.
        return some.order_by(step).limit(1).scalar_subquery()

    return {
        "rows": rows,
        "count": t.sql.select(t.sql.func.count()).select_from(some.limit(t.most).subquery()),
        "ends": t.sql.select(end(t.one.step), end(t.one.step.desc())),
        "first": rows.order_by(*t.row[1:]).limit(1),
        "last": rows.order_by(*(part.desc() for part in t.row[1:])).limit(1),
    }


def _sampling(t: Any) -> dict[str, Any]:
    """`probes` goes through the index from one step to the next that is `stride` further; `every` ranks all points."""
    sql, one = t.sql, t.one
    start = sql.select(sql.cast(t.low, sql.BigInteger).label("step")).cte("walk", recursive=True)
    after = sql.and_(t.ours, one.step.between(start.c.step + t.stride, t.high))
    following = sql.select(one.step).where(after).order_by(one.step).limit(1).correlate(start).scalar_subquery()
    walk = start.union_all(sql.select(following).where(start.c.step <= t.until))
    # An outer join, because SQLite may turn an inner one round and read the whole curve for each step.
    points = walk.outerjoin(t.metrics, sql.and_(t.ours, one.step.between(walk.c.step, walk.c.step)))
    rank = sql.func.row_number().over(order_by=t.row).label("rank")
    ranked = sql.select(*t.row, rank).where(t.here).subquery()
    return {
        "probes": sql.select(*t.row).select_from(points).limit(t.most),
        "every": sql.select(*(ranked.c[part.name] for part in t.row)).where(ranked.c.rank % t.stride == 0),
    }


def _counting(t: Any) -> dict[str, Any]:
    sql, one = t.sql, t.one
    func, number = sql.func, one.is_nan.is_(False)
    is_nan = one.is_nan.is_(True)
    is_infinite = sql.and_(number, sql.or_(one.value >= LARGEST, one.value <= -LARGEST))
    is_finite = sql.and_(number, one.value < LARGEST, one.value > -LARGEST)

    def only(condition: Any, value: Any) -> Any:
        return sql.case((condition, value))

    def equals(name: str) -> Any:
        return sql.and_(number, one.value == sql.bindparam(name, type_=sql.Double))

    def first(condition: Any) -> Any:
        return sql.select(*t.row).where(t.here, condition).order_by(*t.row[1:]).limit(1)

    totals = [func.coalesce(func.sum(only(condition, 1)), 0) for condition in (is_nan, is_infinite)]
    totals += [function(only(is_finite, one.value)) for function in (func.min, func.max)]
    totals += [func.min(only(condition, one.step)) for condition in (is_nan, is_infinite)]
    steps = [func.min(only(equals(name), one.step)) for name in ("minimum", "maximum")]
    return {
        "totals": sql.select(*totals).where(t.here),
        "steps_of": sql.select(*steps).where(t.here),
        "value": first(equals("value")),
        "nan": first(is_nan),
        "infinite": first(is_infinite),
    }
