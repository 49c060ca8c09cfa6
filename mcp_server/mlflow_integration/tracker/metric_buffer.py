"""Metrics logged one by one, sent by the thousand."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from mcp_server.mlflow_integration.local.mlflow_internals import metric_checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

MAX_POINTS: Final = 1_000
"""Points sent at once; MLflow accepts no more in one log-batch request."""

MAX_SECONDS: Final = 2.0
"""Longest time that a point waits, in seconds: about as often as a person or an agent looks at a curve."""


class MetricBuffer:
    """Logs metrics of one run in batches; safe to use from several threads.

    A batch is sent when `max_points` are waiting, at the latest `max_seconds` after its first point,
    when the `with` block ends, and when the process ends. A batch that could not be sent stays and is
    sent again: log-batch with the same time and step leaves one copy.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        *,
        max_points: int = MAX_POINTS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._max_points = max_points
        self._max_seconds = max_seconds
        self._metric: Any = import_module("mlflow.entities").Metric
        self._to_number, self._validate = metric_checks()
        self._points: list[Any] = []
        self._waiting = threading.Condition()
        self._sending = threading.Lock()
        self._closed = False
        self._timer = threading.Thread(target=self._flush_by_time, name="mlflow-metric-buffer", daemon=True)
        self._timer.start()
        atexit.register(self._close_at_exit)

    def __enter__(self) -> MetricBuffer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_metric(self, key: str, value: float, step: int | None = None, timestamp: int | None = None) -> None:
        """Take one point; `timestamp` is in milliseconds since 1970, now if left out; `step` 0 if left out.

        Raises: MlflowException: MLflow would refuse the name or the value. It is checked here, because
            one bad point would make it refuse the whole batch. Whatever sending raises, once the buffer is full.
        """
        time_ms = timestamp if timestamp is not None else time.time_ns() // 1_000_000
        number = self._to_number(value)
        self._validate(key, number, time_ms, step or 0)
        with self._waiting:
            if self._closed:
                raise RuntimeError(f"The metric buffer of run {self._run_id} is closed.")
            self._points.append(self._metric(key, number, time_ms, step or 0))
            count = len(self._points)
            if count == 1:
                self._waiting.notify_all()
        if count >= self._max_points:
            self.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, timestamp: int | None = None) -> None:
        """Take one point of each metric."""
        for key, value in metrics.items():
            self.log_metric(key, value, step, timestamp)

    def flush(self) -> None:
        """Send all that is waiting. Raises: what MLflow's client raises; the points stay and wait for the next time."""
        with self._sending:
            while batch := self._points[:MAX_POINTS]:
                self._client.log_batch(self._run_id, metrics=batch)
                with self._waiting:
                    del self._points[: len(batch)]

    def close(self) -> None:
        """Send the rest and stop; safe to call twice."""
        with self._waiting:
            self._closed = True
            self._waiting.notify_all()
        atexit.unregister(self._close_at_exit)
        self.flush()

    def _flush_by_time(self) -> None:
        while True:
            with self._waiting:
                self._waiting.wait_for(lambda: self._points or self._closed)
                self._waiting.wait_for(lambda: self._closed, timeout=self._max_seconds)
                if self._closed:
                    return  # `close` sends the rest.
            try:
                self.flush()
            except Exception:
                # A training loop must not fail because of it; a full buffer and the end of the run raise.
                logger.warning("Metrics of run %s could not be sent; they wait.", self._run_id, exc_info=True)

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except Exception:
            logger.exception("%d points of run %s were lost at exit.", len(self._points), self._run_id)
