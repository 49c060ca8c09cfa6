"""Metrics logged one by one and sent by the thousand: none is lost, none waits for long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mcp_server.mlflow_integration import MetricBuffer, get_mlflow_tracker

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


class CountingClient:
    """MLflow's client, with the size of every batch; a batch can be made to fail."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.batches: list[int] = []
        self.failures = 0
        self.sent = threading.Event()

    def log_batch(self, run_id: str, metrics: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the network is gone")
        self._client.log_batch(run_id, metrics=metrics)
        self.batches.append(len(metrics))
        self.sent.set()


@pytest.fixture
def tracker():
    return get_mlflow_tracker()


@pytest.fixture
def run_id(tracker) -> str:
    with tracker.start_run() as run_id:
        return run_id


def test_points_are_sent_by_the_thousand_and_are_all_there(tracker, run_id):
    client = CountingClient(tracker.client)

    with MetricBuffer(client, run_id, max_seconds=3_600) as buffer:
        for step in range(2_500):
            buffer.log_metric("loss", step / 2, step=step)

    assert client.batches == [1_000, 1_000, 500]
    history = tracker.get_metric_history(run_id, "loss")
    assert [(point["step"], point["value"]) for point in history] == [(step, step / 2) for step in range(2_500)]


def test_a_point_does_not_wait_longer_than_asked(tracker, run_id):
    client = CountingClient(tracker.client)

    with MetricBuffer(client, run_id, max_seconds=0.01) as buffer:
        buffer.log_metric("loss", 0.5)
        assert client.sent.wait(30)

    assert client.batches == [1]


def test_points_of_several_threads_are_all_there(tracker, run_id):
    with MetricBuffer(tracker.client, run_id, max_points=100) as buffer, ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(lambda number=number: [buffer.log_metric(f"m{number}", i, step=i) for i in range(250)])

    assert [len(tracker.get_metric_history(run_id, f"m{number}")) for number in range(4)] == [250] * 4


def test_a_batch_that_could_not_be_sent_is_sent_again(tracker, run_id):
    client = CountingClient(tracker.client)
    buffer = MetricBuffer(client, run_id, max_points=3, max_seconds=3_600)
    client.failures = 1

    with buffer:
        buffer.log_metrics({"loss": 0.5, "accuracy": 0.9})
        with pytest.raises(ConnectionError):
            buffer.log_metric("loss", 0.4, step=1)

    assert client.batches == [3]
    assert len(tracker.get_metric_history(run_id, "loss")) == 2


def test_what_cannot_be_sent_by_time_is_said_and_waits(tracker, run_id, caplog):
    client = CountingClient(tracker.client)
    client.failures = 1

    with MetricBuffer(client, run_id, max_seconds=0.01) as buffer:
        buffer.log_metric("loss", 0.5)
        assert client.sent.wait(30)

    assert client.batches == [1]
    assert "they wait" in caplog.text


@pytest.mark.parametrize(("key", "value"), [("a" * 300, 1.0), ("loss", "high"), ("loss", None), ("../loss", 1.0)])
def test_a_point_that_mlflow_would_refuse_is_refused_alone(tracker, run_id, key, value):
    from mlflow.exceptions import MlflowException

    with MetricBuffer(tracker.client, run_id) as buffer:
        with pytest.raises(MlflowException):
            buffer.log_metric(key, value)
        buffer.log_metric("good", 1.0)

    assert tracker.get_run(run_id)["metrics"] == {"good": 1.0}


def test_not_a_number_is_kept(tracker, run_id):
    with MetricBuffer(tracker.client, run_id) as buffer:
        buffer.log_metric("loss", float("nan"))

    assert str(tracker.get_metric_history(run_id, "loss")[0]["value"]) == "nan"


def test_a_closed_buffer_takes_nothing_more(tracker, run_id):
    buffer = MetricBuffer(tracker.client, run_id)
    buffer.close()
    buffer.close()

    with pytest.raises(RuntimeError, match="closed"):
        buffer.log_metric("loss", 1.0)


def test_a_run_that_fails_keeps_what_waited(tracker):
    with pytest.raises(ZeroDivisionError), tracker.start_run(buffer_metrics=True) as run_id:
        tracker.log_metric("loss", 0.5)
        1 / 0  # noqa: B018

    run = tracker.get_run(run_id)
    assert (run["status"], run["metrics"]) == ("FAILED", {"loss": 0.5})


def test_a_run_whose_rest_cannot_be_sent_is_not_called_finished(tracker, monkeypatch):
    def unplugged(*_: object, **__: object) -> None:
        raise ConnectionError("the network is gone")

    with pytest.raises(ConnectionError), tracker.start_run(buffer_metrics=True) as run_id:
        tracker.log_metric("loss", 0.5)
        monkeypatch.setattr(tracker.client, "log_batch", unplugged)
    monkeypatch.undo()

    assert tracker.client.get_run(run_id).info.status != "FINISHED"
