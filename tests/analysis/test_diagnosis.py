"""What is wrong with a run: every planted fault is found, and healthy runs are left in peace."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planted import START, Training, decay, faulty, healthy, training
from mcp_server.analysis.diagnosis.diagnosis import Diagnosis, diagnose_run
from mcp_server.analysis.diagnosis.run_findings import reasons_in_tags
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run


def diagnosed(one: Training, **more: object) -> Diagnosis:
    return diagnose_run(one.run, one.series, now=one.now, **more)  # type: ignore[arg-type]


def kinds(found: Diagnosis) -> set[str]:
    return {finding.kind for finding in found.findings}


def wrong(found: Diagnosis) -> set[str]:
    return {finding.kind for finding in found.findings if finding.level != "note"}


def system(key: str, values: list[float]) -> MetricSeries:
    points = tuple(MetricPoint(at, value, START + at * 10_000) for at, value in enumerate(values))
    return MetricSeries("r", f"system/{key}", points)


@pytest.mark.parametrize("one", faulty(0), ids=lambda one: one.run.run_id)
def test_every_planted_fault_is_found_and_no_other(one: Training):
    found = diagnosed(one)
    assert one.planted in kinds(found)
    assert wrong(found) <= {one.planted}


def test_healthy_runs_raise_no_alarm():
    """120 of them, none like another."""
    assert {one.run.run_id: wrong(diagnosed(one)) for one in healthy(0, 120) if wrong(diagnosed(one))} == {}


def test_the_evidence_names_metric_step_and_numbers():
    found = diagnosed(next(one for one in faulty(0) if one.run.run_id == "nan-since"))
    last = next(one for one in faulty(0) if one.run.run_id == "nan-since").series[0].points[24].value
    assert found.findings[0].evidence == (
        f"train_loss is NaN since step 25; the last finite value is {last:.4g} at step 24."
    )
    assert found.verdict.startswith("NaN (train_loss) since step 25")


def test_a_failed_run_says_why_from_its_tags_and_its_log():
    run = Run("r", "1", status="FAILED", tags={"error": "CUDA out of memory", "mlflow.source.name": "train.py error"})
    log = "epoch 3\nTraceback (most recent call last):\n  File x\nRuntimeError: CUDA error: out of memory\nbye"
    found = diagnose_run(run, (), now=START, log_path="logs/train.log", log_tail=log)
    assert found.findings[0].evidence == (
        "The run is FAILED: tag error: CUDA out of memory; logs/train.log: RuntimeError: CUDA error: out of memory."
    )
    silent = diagnose_run(replace(run, tags={}), (), now=START)
    assert silent.findings[0].evidence == "The run is FAILED: neither a tag nor its log gives a reason."
    assert reasons_in_tags({"exit_code": "137", "team": "vision", "mlflow.error": "x"}) == ["exit_code: 137"]


def test_a_waiting_gpu_and_full_memory():
    busy_cpu = [system("gpu_0_utilization_percentage", [12.0] * 20), system("cpu_utilization_percentage", [97.0] * 20)]
    found = diagnose_run(Run("r", "1", status="FINISHED", metrics={"a": 1}), busy_cpu, now=START)
    assert wrong(found) == {"GPU starved"}
    assert "median 12 %" in found.findings[0].evidence
    assert "data that the CPU prepares" in found.findings[0].evidence
    full = [system("gpu_1_memory_usage_percentage", [40.0] * 10 + [99.0])]
    assert wrong(diagnose_run(Run("r", "1", status="FINISHED", metrics={"a": 1}), full, now=START)) == {"nearly full"}
    well = [system("gpu_0_utilization_percentage", [91.0] * 20)]
    assert not wrong(diagnose_run(Run("r", "1", status="FINISHED", metrics={"a": 1}), well, now=START))


def test_machines_and_schedules_have_no_better_or_worse():
    """A memory that grows, a rate that falls, a time that is flat: nothing is said of them."""
    rising = training(
        "r",
        {
            "system/system_memory_usage_megabytes": lambda part: 100 + 900 * part,
            "lr": lambda part: 0.1 * (1 - part),
            "epoch_time": lambda part: 30.0,
            "grad_norm": decay(9, 1, 4),
        },
        random=Random(0),
    )
    assert diagnosed(rising).findings == ()


def test_far_worse_and_slower_than_its_siblings():
    draw = Random(0)
    others = [
        Run(
            f"s{n}",
            "1",
            status="FINISHED",
            start_time=START,
            end_time=START + 60_000 + n,
            metrics={"val_loss": draw.gauss(0.3, 0.02)},
        )
        for n in range(20)
    ]
    bad = Run("bad", "1", status="FINISHED", start_time=START, end_time=START + 600_000, metrics={"val_loss": 2.0})
    found = diagnose_run(bad, (), others, now=START)
    assert wrong(found) == {"worse than siblings", "slower than siblings"}
    assert "worse than in 20 of 20 siblings" in found.findings[0].evidence
    assert not wrong(diagnose_run(others[0], (), others[1:], now=START))
    assert not wrong(diagnose_run(bad, (), others[:5], now=START)), "too few to compare with"


def test_a_latest_value_that_is_nan_is_reported_without_its_curve():
    """The curve was not read, or a sample of it missed the end."""
    run = Run("r", "1", status="FINISHED", metrics={"loss": math.nan, "other": math.inf, "fine": 1.0})
    found = diagnose_run(run, (), now=START)
    assert [finding.evidence for finding in found.findings] == [
        "The latest value of loss is NaN.",
        "The latest value of other is infinite.",
    ]


def test_a_run_that_never_learned_and_one_without_metrics():
    flat = training("flat", {"val_loss": lambda part: 2.303}, random=Random(0), noise=0.0)
    assert wrong(diagnosed(flat)) == {"no learning"}
    assert wrong(diagnose_run(Run("r", "1", status="FINISHED"), (), now=START)) == {"no metrics"}
    waiting = Run("r", "1", status="RUNNING", start_time=START)
    assert wrong(diagnose_run(waiting, (), now=START + 3_600_000)) == {"stalled"}
    assert not wrong(diagnose_run(waiting, (), now=START + 60_000))


@given(
    st.lists(st.floats(), max_size=40), st.sampled_from(["val_loss", "accuracy", "system/cpu_utilization_percentage"])
)
def test_nothing_that_was_logged_breaks_it(values: list[float], key: str):
    points = tuple(MetricPoint(at, value, START + at) for at, value in enumerate(values))
    latest = {key: values[-1]} if values else {}
    run = Run("r", "1", status="FINISHED", start_time=START, end_time=START + 99, metrics=latest)
    found = diagnose_run(run, [MetricSeries("r", key, points)] * bool(values), [run] * 3, now=START)
    assert found.verdict
    if any(map(math.isnan, values)):
        assert "NaN" in kinds(found)
