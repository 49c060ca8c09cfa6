"""100,000 metric points of a training loop into an `mlflow server`: buffered, and by a hand-written log_batch loop.

    python benchmarks/buffered_metrics.py > benchmarks/results/buffered_metrics.txt

Counted are the HTTP requests as they leave this process, and the points that MLflow gives back afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from measure import Report, interleaved, median, mlflow_server, run, seconds

from mcp_server.mlflow_integration import MlflowTracker, get_mlflow_tracker

POINTS: Final = 100_000
ROUNDS: Final = 3
ALONE: Final = 200
"""Points sent one by one: enough for a mean. All of them would take a quarter of an hour, so it is extrapolated."""


@dataclass(frozen=True)
class Logged:
    seconds: float
    cpu_seconds: float
    requests: int
    right: bool
    """Every point is there afterwards, with its step and value."""


def main() -> None:
    report = Report(f"{POINTS:,} metric points into an mlflow server, medians of {ROUNDS} rounds")
    with mlflow_server() as address:
        tracker = get_mlflow_tracker("buffered_metrics", tracking_uri=address)
        requests = count_requests()
        ours, by_hand = interleaved(
            ROUNDS, lambda: logged(tracker, requests, buffered), lambda: logged(tracker, requests, batched_by_hand)
        )
        alone = one_by_one(tracker)
    report.add(
        "time, beside log_batch by hand",
        median([one.seconds for one in ours]),
        "s",
        reference=median([one.seconds for one in by_hand]),
        most_ratio=1.2,
    )
    report.add(
        "CPU of the script",
        median([one.cpu_seconds for one in ours]),
        "s",
        reference=median([one.cpu_seconds for one in by_hand]),
    )
    report.add(
        "HTTP requests",
        max(one.requests for one in ours),
        "",
        reference=max(one.requests for one in by_hand),
        most_ratio=1.2,
    )
    report.add(
        f"time, beside a request a point (reference extrapolated from {ALONE} points)",
        median([one.seconds for one in ours]),
        "s",
        reference=alone * POINTS,
    )
    right = sum(one.right for one in ours)
    report.note("all points there and right", f"{right} of {ROUNDS} rounds")
    report.show()


def buffered(tracker: MlflowTracker) -> str:
    with tracker.start_run(buffer_metrics=True) as run_id:
        for step in range(POINTS):
            tracker.log_metric("loss", step / 7, step=step)
    return run_id


def batched_by_hand(tracker: MlflowTracker) -> str:
    from mlflow.entities import Metric

    with tracker.start_run() as run_id:
        batch: list[Any] = []
        for step in range(POINTS):
            batch.append(Metric("loss", step / 7, int(time.time() * 1_000), step))
            if len(batch) == 1_000:
                tracker.client.log_batch(run_id, metrics=batch)
                batch = []
    return run_id


def one_by_one(tracker: MlflowTracker) -> float:
    """Seconds of one log_metric without a buffer."""
    with tracker.start_run():
        return seconds(lambda: [tracker.log_metric("loss", step / 7, step=step) for step in range(ALONE)]) / ALONE


def logged(tracker: MlflowTracker, requests: list[str], log: Callable[[MlflowTracker], str]) -> Logged:
    sent, began, cpu_began = len(requests), time.perf_counter(), time.process_time()
    run_id = log(tracker)
    taken, cpu, sent = time.perf_counter() - began, time.process_time() - cpu_began, len(requests) - sent
    history = tracker.get_metric_history(run_id, "loss")
    right = [(point["step"], point["value"]) for point in history] == [(i, i / 7) for i in range(POINTS)]
    return Logged(taken, cpu, sent, right)


def count_requests() -> list[str]:
    """A list that grows by the URL of every request that MLflow's client sends."""
    from requests.adapters import HTTPAdapter

    seen: list[str] = []
    send = HTTPAdapter.send

    def counted(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(request.url)
        return send(self, request, *args, **kwargs)

    HTTPAdapter.send = counted  # type: ignore[method-assign]
    return seen


if __name__ == "__main__":
    run(main)
