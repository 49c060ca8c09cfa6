"""Metric histories: the logged values of metrics, sampled by MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricSeries, Run
from mcp_server.mlflow_integration.operations.why_empty import listing
from mcp_server.mlflow_integration.rest.tracking_api import BULK_INTERVAL_RUNS, TrackingApi
from mcp_server.suggestions import did_you_mean

SAMPLE_POINTS: Final = 500
"""Points of one curve that are asked of MLflow: enough to find its shape, and 50 kB of JSON."""
_SAMPLE_POINTS_MANY: Final = 200
"""The same when a call asks for more than _FEW_CURVES of them."""
_FEW_CURVES: Final = 10
_STEP_LIMIT: Final = 2**53
"""Beyond any step; MLflow takes both bounds of a range or none."""


class MetricHistory:
    """Reads metric histories of one MLflow."""

    def __init__(self, api: TrackingApi) -> None:
        self._api = api

    async def read(
        self,
        runs: Sequence[Run],
        metrics: Sequence[str],
        *,
        start_step: int | None = None,
        end_step: int | None = None,
    ) -> tuple[MetricSeries, ...]:
        """One series per run and metric that exists, each a sample of at most SAMPLE_POINTS that MLflow chooses.

        Raises: InvalidInputError: no run has one of the metrics; the text names the closest.
        Source: metrics/get-history-bulk-interval, which thins evenly on the server.
        """
        known = sorted({key for run in runs for key in run.metrics})
        for metric in metrics:
            if metric not in known:
                near = did_you_mean(metric, known)
                raise InvalidInputError(
                    f"None of the runs has a metric '{metric}'.{near} {listing('They have', known)}"
                )
        if (start_step is not None) or (end_step is not None):
            start_step = -_STEP_LIMIT if start_step is None else start_step
            end_step = _STEP_LIMIT if end_step is None else end_step
            if start_step > end_step:
                raise InvalidInputError(f"start_step {start_step} is beyond end_step {end_step}.")
        size = SAMPLE_POINTS if len(runs) * len(metrics) <= _FEW_CURVES else _SAMPLE_POINTS_MANY
        series: dict[tuple[str, str], MetricSeries] = {}

        # One after the other: an MLflow server works one curve at a time, and side by side they only wait longer.
        for metric in metrics:
            ids = [run.run_id for run in runs if metric in run.metrics]
            for start in range(0, len(ids), BULK_INTERVAL_RUNS):
                by_run = await self._api.metric_history_sample(
                    ids[start : start + BULK_INTERVAL_RUNS],
                    metric,
                    max_results=size,
                    start_step=start_step,
                    end_step=end_step,
                )
                for run_id, points in by_run.items():
                    points.sort(key=lambda point: (point.step, point.timestamp))
                    series[run_id, metric] = MetricSeries(run_id, metric, tuple(points), sampled=len(points) >= size)
        wanted = ((run.run_id, metric) for run in runs for metric in metrics)
        return tuple(series[key] for key in wanted if key in series)
