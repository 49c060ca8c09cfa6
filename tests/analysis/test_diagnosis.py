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


def curve(key: str, values: list[float], *, sampled: bool = False) -> MetricSeries:
    points = tuple(MetricPoint(at, value, START + at * 10_000) for at, value in enumerate(values))
    return MetricSeries("r", key, points, sampled)


def curve_after(*waits: float) -> MetricSeries:
    """A curve that says nothing itself, its points logged after pauses of so many seconds."""
    times = [START + round(1_000 * sum(waits[:at])) for at in range(len(waits) + 1)]
    return MetricSeries("r", "lr", tuple(MetricPoint(at, 0.5, time) for at, time in enumerate(times)))


def found_in(*series: MetricSeries, status: str = "FINISHED", now: int = START) -> list[tuple[str, str]]:
    """Level and evidence of each finding."""
    run = Run("r", "1", status=status, metrics={"lr": 0.5})
    return [(finding.level, finding.evidence) for finding in diagnose_run(run, series, now=now).findings]


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


RISING = [0.5 + 0.004 * step for step in range(100)]
FALLING = [0.9 - 0.004 * step for step in range(100)]
TURNING = [0.9 - 0.008 * step for step in range(50)] + [0.5 + 0.004 * step for step in range(50)]
STILL_IMPROVES = "accuracy still improves at the end: median 0.838 in the tenth before the last, 0.878 in the last."


def spiked(*places: int) -> list[float]:
    return [0.1 if step in places else value for step, value in enumerate(RISING)]


def test_the_course_of_a_curve_is_one_finding_with_its_numbers():
    """Improving, worsening, or a plateau: a note from 40 % of the run on, a warning from 70 % on."""
    assert found_in(curve("accuracy", RISING)) == [("note", STILL_IMPROVES)]
    assert found_in(curve("loss", TURNING)) == [
        ("warning", "loss is best near step 49 (median 0.516 of several points) and gets worse, to a median of 0.678.")
    ]
    assert found_in(curve("accuracy", [0.5 + 0.008 * min(step, 50) for step in range(100)])) == [
        (
            "note",
            "accuracy has gained almost nothing since step 50, for 49% of the run: median 0.9 then, 0.9 at the end.",
        )
    ]
    assert found_in(curve("accuracy", [0.5 + 0.02 * min(step, 20) for step in range(100)])) == [
        (
            "warning",
            "accuracy has gained almost nothing since step 20, for 80% of the run: median 0.9 then, 0.9 at the end.",
        )
    ]
    assert found_in(curve("blueness", FALLING)) == [], "nobody knows whether more of it is better"


def test_one_spike_is_a_note_and_several_are_a_warning():
    """Of a sample they are the least that there are."""
    largest = "the largest 0.1 at step 40 among values near 0.652."
    assert found_in(curve("accuracy", spiked(40)))[0] == ("note", f"accuracy has 1 spike, {largest}")
    assert found_in(curve("accuracy", spiked(40, 10, 11)))[0] == ("warning", f"accuracy has 2 spikes, {largest}")
    assert found_in(curve("accuracy", spiked(40, 10), sampled=True))[0] == (
        "warning",
        f"accuracy has at least 2 spikes, {largest}",
    )


def test_infinite_values_are_a_problem_unless_the_curve_recovers():
    passing = [math.inf if step in (10, 20) else value for step, value in enumerate(RISING)]
    assert found_in(curve("accuracy", passing))[0] == (
        "warning",
        "accuracy is infinite in 2 of 100 values, first at step 10, and recovers.",
    )
    assert "2 of 100 sampled values" in found_in(curve("accuracy", passing, sampled=True))[0][1]
    assert found_in(curve("accuracy", [*RISING[:30], math.inf, math.inf])) == [
        ("problem", "accuracy is infinite since step 30; the last finite value is 0.616 at step 29.")
    ]
    assert found_in(curve("accuracy", [math.nan] * 4)) == [
        ("problem", "accuracy has no finite value: 4 of 4 values are NaN.")
    ]


def test_only_a_validation_curve_overfits_and_only_while_its_training_curve_improves():
    """`train_loss` is its training curve rather than `loss`; of `loss` it is none."""
    evidence = (
        "val_loss is best near step 49 (median 0.516) and ends at a median of 0.678, while train_loss goes on from "
        "0.704 to 0.522; medians are of several points."
    )
    three = (curve("loss", FALLING[:50] * 2), curve("train_loss", FALLING), curve("val_loss", TURNING))
    assert found_in(*three)[0] == ("problem", evidence)
    levels = [level for level, _ in found_in(curve("train_loss", FALLING), curve("loss", TURNING))]
    assert levels == ["warning", "note"]
    assert [level for level, _ in found_in(curve("train_loss", TURNING), curve("val_loss", TURNING))] == ["warning"] * 2


def test_pauses_and_slow_ends_are_found_from_the_times_of_the_points():
    """A pause counts beside the third longest one; a slow end counts from three times the time of a point on."""
    assert found_in(curve_after(*[10] * 20, *[40] * 8)) == [
        ("warning", "Each logged point took 10 s at first and 40 s in the last quarter.")
    ]
    assert found_in(curve_after(*[10] * 20, *[25] * 8)) == []
    assert found_in(curve_after(*[0.02] * 20, *[0.1] * 8)) == [], "a tenth of a second is nothing"
    assert found_in(curve_after(*[10] * 10, 200, *[10] * 10)) == [
        ("warning", "Nothing was logged for 3 min between steps 10 and 11 (usual: 10 s).")
    ]
    assert found_in(curve_after(*[30] * 10, 200, *[30] * 10)) == [], "less than ten times the usual pause"
    assert found_in(curve_after(*[10] * 10, *[200, 10, 10] * 3, *[10] * 10)) == [], "checkpoints"


def test_a_running_run_is_stalled_when_it_logs_nothing_for_long():
    """Ten minutes, or ten times the usual pause where that is longer."""
    quick, slow = curve_after(*[10] * 20), curve_after(*[100] * 20)
    assert found_in(quick, status="RUNNING", now=START + 200_000 + 600_000) == []
    assert found_in(quick, status="RUNNING", now=START + 200_000 + 601_000) == [
        ("problem", "RUNNING, but nothing was logged for 10 min (usual: 10 s); last step 20.")
    ]
    assert found_in(slow, status="RUNNING", now=START + 2_000_000 + 1_000_000) == []
    assert found_in(slow, status="RUNNING", now=START + 2_000_000 + 7_200_000) == [
        ("problem", "RUNNING, but nothing was logged for 2.0 h (usual: 2 min); last step 20.")
    ]


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


def test_the_verdict_names_three_kinds_and_counts_the_rest():
    """Of each kind two metrics and the first step; notes stand apart."""
    ends_in_nan, ends_infinite = [*RISING[:50], math.nan], [*RISING[:50], math.inf]
    several = [curve("a", ends_in_nan), curve("b", ends_infinite), curve("val_loss", TURNING)]
    named = "NaN (a) since step 50; infinite (b) since step 50; worsening (val_loss) since step 49"
    run = Run("r", "1", status="FINISHED", metrics={"a": math.nan, "b": math.inf, "val_loss": 0.7})

    def verdict(*series: MetricSeries, of: Run = run) -> str:
        return diagnose_run(of, series, now=START).verdict

    assert verdict(*several) == f"{named}."
    assert verdict(*several, curve("accuracy", [0.9] * 50)) == f"{named}; and 1 more."
    failed = replace(run, status="FAILED")
    assert verdict(*several[:1], of=failed).startswith("Failed; NaN (a) since step 50; infinite (b).")
    three = [curve(key, ends_in_nan) for key in "acd"]
    assert verdict(*three, of=replace(run, metrics={})) == "NaN (a, c and 1 more) since step 50."
    well = replace(run, metrics={"accuracy": 0.9})
    assert verdict(curve("accuracy", RISING), of=well) == (
        "No problem found in 1 curve with 100 points; the run is FINISHED. Noted: improving."
    )
    assert verdict(curve("lr", RISING), curve("time", RISING), of=replace(well, status="")) == (
        "No problem found in 2 curves with 200 points; the run is without a status."
    )


def test_what_curves_show_is_not_reported_again_from_the_latest_values():
    run = Run("r", "1", status="FINISHED", metrics={"b": math.inf, "a": math.nan})
    series = (curve("a", [*RISING, math.nan]), curve("b", [*RISING, math.inf]))
    assert [finding.step for finding in diagnose_run(run, series, now=START).findings] == [100, 100]
    assert [finding.metric for finding in diagnose_run(run, (), now=START).findings] == ["a", "b"]


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"cpu_utilization_percentage": [4.9] * 5}, [("CPU idle", "median 4.9 %")]),
        ({"cpu_utilization_percentage": [5.0] * 5}, []),
        ({"cpu_utilization_percentage": [1.0] * 4}, []),
        ({"cpu_utilization_percentage": [1.0] * 5, "gpu_0_utilization_percentage": [80.0] * 5}, []),
        ({"gpu_0_utilization_percentage": [29.9] * 5}, [("GPU starved", "median 29.9 %; it mostly waits")]),
        ({"gpu_0_utilization_percentage": [30.0] * 5}, []),
        (
            {"gpu_0_utilization_percentage": [1.0] * 5, "cpu_utilization_percentage": [84.0] * 5},
            [("GPU starved", "the CPU is at 84 %, so both")],
        ),
        (
            {"gpu_0_utilization_percentage": [1.0] * 5, "cpu_utilization_percentage": [85.0] * 5},
            [("GPU starved", "the CPU is at 85 %, so it probably waits for data")],
        ),
        ({"disk_usage_percentage": [1.0] * 4 + [95.0]}, [("nearly full", "up to 95 %")]),
        ({"disk_usage_percentage": [1.0] * 4 + [94.9]}, []),
        ({"system_memory_usage_percentage": [99.0] + [1.0] * 4}, [("nearly full", "up to 99 %")]),
        ({"network_receive_megabytes": [100.0] * 5}, []),
    ],
)
def test_what_machines_wait_for_and_lack(usage: dict[str, list[float]], found: list[tuple[str, str]]):
    """Each from its limit on, of five values or more; an idle CPU says nothing where a GPU works."""
    series = [system(key, values) for key, values in usage.items()]
    run = Run("r", "1", status="FINISHED", metrics={"a": 1.0})
    findings = diagnose_run(run, series, now=START).findings
    assert [finding.kind for finding in findings] == [kind for kind, _ in found]
    assert all(said in finding.evidence for finding, (_, said) in zip(findings, found, strict=True))


def test_only_a_worse_value_and_a_longer_time_are_compared_with_siblings():
    """A metric of unknown direction is not judged, and more accuracy in less time is no fault."""
    metrics = [{"accuracy": 0.9 + at / 1000, "blueness": 0.9, "lr": 0.1} for at in range(10)]
    siblings = [
        Run(f"s{at}", "1", status="FINISHED", start_time=START, end_time=START + 60_000, metrics=one)
        for at, one in enumerate(metrics)
    ]
    bad = Run("r", "1", status="FINISHED", metrics={"accuracy": 0.2, "blueness": 5.0, "lr": 50.0})
    (finding,) = diagnose_run(bad, (), siblings, now=START).findings
    assert finding.evidence == "accuracy 0.2 is worse than in 10 of 10 siblings (median 0.9045)."
    good = replace(bad, metrics={"accuracy": 1.9}, start_time=START, end_time=START + 5_000)
    assert diagnose_run(good, (), siblings, now=START).findings == ()


def test_a_log_gives_its_last_line_that_names_an_error_else_its_last_line():
    run = Run("r", "1", status="KILLED", metrics={"a": 1.0}, tags={"failure": "x", "exception": " ", "reason": "y"})
    (killed,) = diagnose_run(run, (), now=START, log_path="log", log_tail="Process killed\nbye\n\n  \n").findings
    assert (killed.kind, killed.evidence) == (
        "killed",
        "The run is KILLED: tag failure: x; tag reason: y; log: Process killed.",
    )
    failed = replace(run, status="FAILED", tags={})
    (finding,) = diagnose_run(failed, (), now=START, log_path="log", log_tail="one\ntwo\n\n").findings
    assert finding.evidence == "The run is FAILED: log: two."


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
    assert wrong(diagnose_run(bad, (), others[:8], now=START))
    assert not wrong(diagnose_run(bad, (), others[:7], now=START)), "too few to compare with"
    days = replace(bad, metrics={}, end_time=START + 3 * 86_400_000)
    (slow,) = diagnose_run(days, (), others, now=START).findings[-1:]
    assert slow.evidence == "The run took 3.0 d, longer than 20 of 20 siblings (median 60 s)."


def test_a_run_within_the_range_of_its_siblings_is_not_far_out():
    """Where most siblings agree to the digit, a few others still show that such values happen."""
    losses = [0.3] * 10 + [2.5]
    others = [Run(f"s{at}", "1", status="FINISHED", metrics={"val_loss": loss}) for at, loss in enumerate(losses)]

    def judged(loss: float) -> set[str]:
        return wrong(diagnose_run(Run("r", "1", status="FINISHED", metrics={"val_loss": loss}), (), others, now=START))

    assert (judged(2.5), judged(2.6)) == (set(), {"worse than siblings"})
    assert judged(0.3) == set()


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
