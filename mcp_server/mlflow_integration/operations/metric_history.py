"""Metric histories: the logged values of metrics, sampled by MLflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run
from mcp_server.mlflow_integration.operations.searching.why_empty import listing
from mcp_server.mlflow_integration.rest.tracking_api import BULK_INTERVAL_RUNS, TrackingApi
from mcp_server.mlflow_integration.rest.transport import Curve, CurveLimits, CurveReader
from mcp_server.suggestions import did_you_mean
from mcp_server.untrusted import shown

SAMPLE_POINTS: Final = 1_000
"""Points of one curve that are asked of MLflow: curves of fewer steps come whole, and the answer costs little more."""
_SAMPLE_POINTS_SOME: Final = 500
_SAMPLE_POINTS_MANY: Final = 200
"""The same when a call asks for several curves, or for more than _FEW_CURVES: 500 points are 50 kB of JSON."""
_FEW_CURVES: Final = 10
_STEP_LIMIT: Final = 2**53
"""Beyond any step; MLflow takes both bounds of a range or none."""

EXACT_POINTS: Final = 50_000
"""Points of one curve that are read one by one when all are asked for: two requests, some seconds."""
EXACT_IN_ALL: Final = 200_000
_PAGE_POINTS: Final = 25_000
"""Source: MLflow's limit for a page of metrics/get-history."""


COUNTED_IN_ALL: Final = 5_000_000
"""Points over which a store counts what it does not send: half a second per million in SQLite."""


class MetricHistory:
    """Reads metric histories of one MLflow."""

    def __init__(self, api: TrackingApi, reader: CurveReader | None = None) -> None:
        """`reader`: for stores that can be asked for curves and their totals directly."""
        self._api = api
        self._reader = reader

    async def read(
        self,
        runs: Sequence[Run],
        metrics: Sequence[str],
        *,
        start_step: int | None = None,
        end_step: int | None = None,
        exact: bool = False,
    ) -> tuple[MetricSeries, ...]:
        """One series per run and metric that exists: whole, or a sample of about SAMPLE_POINTS.

        A store that can be asked directly returns whole curves up to EXACT_POINTS each and EXACT_IN_ALL together, and
        totals with a sample. Others return whole curves only with `exact`.
        Raises: InvalidInputError: no run has one of the metrics; the text names the closest.
        """
        _refuse_unknown(runs, metrics)
        bounds = _bounds(start_step, end_step)
        wanted = [(run.run_id, metric) for run in runs for metric in metrics if metric in run.metrics]
        size = _sample_size(len(runs) * len(metrics))
        if self._reader is not None:
            limits = CurveLimits(EXACT_POINTS, EXACT_IN_ALL, size, COUNTED_IN_ALL)
            stored = await self._reader.read_curves(wanted, limits, bounds)
            if stored is not None:
                return tuple(stored[curve] for curve in wanted if curve in stored)
        series = await self._sampled(runs, metrics, size, bounds)
        found = [series[curve] for curve in wanted if curve in series]
        return tuple(await self._completed(found, bounds) if exact else found)

    async def _sampled(
        self, runs: Sequence[Run], metrics: Sequence[str], size: int, bounds: tuple[int, int] | None
    ) -> dict[Curve, MetricSeries]:
        """Source: metrics/get-history-bulk-interval, which thins evenly on the server."""
        series: dict[Curve, MetricSeries] = {}
        # One after the other: an MLflow server works one curve at a time, and side by side they only wait longer.
        for metric in metrics:
            ids = [run.run_id for run in runs if metric in run.metrics]
            for start in range(0, len(ids), BULK_INTERVAL_RUNS):
                by_run = await self._api.metric_history_sample(
                    ids[start : start + BULK_INTERVAL_RUNS],
                    metric,
                    max_results=size,
                    start_step=bounds[0] if bounds else None,
                    end_step=bounds[1] if bounds else None,
                )
                for run_id, points in by_run.items():
                    points.sort(key=lambda point: (point.step, point.timestamp))
                    series[run_id, metric] = MetricSeries(run_id, metric, tuple(points), sampled=len(points) >= size)
        return series

    async def _completed(self, series: Sequence[MetricSeries], bounds: tuple[int, int] | None) -> list[MetricSeries]:
        """The same series, sampled ones replaced by all of their points as far as the limits reach."""
        left = EXACT_IN_ALL
        found: list[MetricSeries] = []
        for one in series:
            points: list[MetricPoint] = []
            token = ""
            while one.sampled and left > 0 and len(points) < EXACT_POINTS:
                page = await self._api.metric_history_page(
                    one.run_id, one.key, max_results=_PAGE_POINTS, page_token=token
                )
                points += page.items
                left -= len(page.items)
                token = page.next_page_token
                if not token:
                    break
            if not points or token:
                found.append(one)
                continue
            low, high = bounds or (-math.inf, math.inf)
            points = sorted(
                (point for point in points if low <= point.step <= high),
                key=lambda point: (point.step, point.timestamp),
            )
            found.append(MetricSeries(one.run_id, one.key, tuple(points), sampled=False))
        return found


def _sample_size(curves: int) -> int:
    return SAMPLE_POINTS if curves == 1 else _SAMPLE_POINTS_SOME if curves <= _FEW_CURVES else _SAMPLE_POINTS_MANY


def _refuse_unknown(runs: Sequence[Run], metrics: Sequence[str]) -> None:
    known = sorted({key for run in runs for key in run.metrics})
    for metric in metrics:
        if metric not in known:
            near = did_you_mean(metric, known)
            raise InvalidInputError(
                f"None of the runs has a metric '{shown(metric)}'.{near} {listing('They have', known)}"
            )


def _bounds(start_step: int | None, end_step: int | None) -> tuple[int, int] | None:
    """Both bounds of a range, or None for the whole curve. Raises: InvalidInputError: the range is empty."""
    if start_step is None and end_step is None:
        return None
    start = -_STEP_LIMIT if start_step is None else max(start_step, -_STEP_LIMIT)
    end = _STEP_LIMIT if end_step is None else min(end_step, _STEP_LIMIT)
    if start > end:
        raise InvalidInputError(f"start_step {start_step} is after end_step {end_step}.")
    return start, end
