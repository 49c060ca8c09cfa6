"""An experiment at a glance."""

from __future__ import annotations

import math
import random

from mcp_server.analysis.experiment_summary import summarize_runs
from mcp_server.mlflow_integration.entities import Dataset, Run

DAY = 86_400_000
START = 20_000 * DAY


def run(run_id: str, *, day: int = 0, status: str = "FINISHED", seconds: int = 60, **more: object) -> Run:
    start = START + day * DAY
    end = 0 if status == "RUNNING" else start + seconds * 1_000
    return Run(run_id, "1", f"name-{run_id}", status, start, end, **more)  # type: ignore[arg-type]


def test_everything_is_counted():
    data = (Dataset("digits", "ab12", context="training"),)
    runs = [
        run(
            "a",
            params={"lr": "0.1", "epochs": "5"},
            metrics={"loss": 0.5, "time": 3},
            tags={"mlflow.user": "ann", "team": "x"},
        ),
        run("b", day=1, params={"lr": "0.01", "epochs": "5"}, metrics={"loss": 0.25}, datasets=data, seconds=120),
        run("c", day=1, status="FAILED", params={"lr": "10", "epochs": "5"}, metrics={"loss": 0.1, "time": 9}),
    ]
    found = summarize_runs(runs, now=START + 2 * DAY)
    assert (found.runs, found.by_status) == (3, {"FINISHED": 2, "FAILED": 1})
    assert found.by_user == {"unknown": 2, "ann": 1}
    assert found.by_day == {"2024-10-04": 1, "2024-10-05": 2}
    loss, time = found.metrics
    assert (loss.key, loss.n, loss.minimum, loss.median, loss.maximum) == ("loss", 3, 0.1, 0.25, 0.5)
    assert loss.best_run is not None
    assert loss.best_run.run_id == "b", "a failed run is never the best"
    assert (time.better, time.best_run) == (None, None), "time has no better or worse"
    (lr,) = found.params
    assert (lr.values, lr.numeric, lr.missing) == ((("0.01", 1), ("0.1", 1), ("10", 1)), True, 0)
    assert found.constants == {"epochs": "5"}
    assert found.tags == {"team": {"x": 1}}
    assert found.datasets == {"digits ab12 (training)": 1}
    assert found.seconds == (60.0, 60.0, 120.0, 240.0)
    assert found.odd == ()


def test_what_is_frequent_comes_first_and_numbers_ascend():
    """Params with the fewest values come first; the number of runs decides the order of texts."""
    rows = [("10", "b", "x"), ("9", "a", "y"), ("10", "b", "y"), ("1", "c", "x")]
    runs = [
        run(str(at), params={"a_number": number, "text": text, "two": two}, tags={"mlflow.user": text})
        for at, (number, text, two) in enumerate(rows)
    ]
    found = summarize_runs(runs, now=START)
    assert [(param.key, param.values) for param in found.params] == [
        ("two", (("x", 2), ("y", 2))),
        ("a_number", (("1", 1), ("9", 1), ("10", 2))),
        ("text", (("b", 2), ("a", 1), ("c", 1))),
    ]
    assert list(found.by_user.items()) == [("b", 2), ("a", 1), ("c", 1)]


def test_runs_with_models_are_counted_and_metrics_without_a_finite_value_shown():
    """MLflow 2 names its models in a tag."""
    runs = [
        run("new", logged_model_ids=("m-1",)),
        run("old", tags={"mlflow.log-model.history": "[]"}),
        run("bad", metrics={"loss": math.nan}),
    ]
    found = summarize_runs(runs, now=START)
    assert found.runs_with_models == 2
    (loss,) = found.metrics
    assert (loss.n, loss.minimum, loss.best_run, loss.not_finite) == (0, None, None, 1)


def test_the_best_run_follows_the_direction_of_the_metric():
    runs = [run(str(at), metrics={"accuracy": value, "loss": value}) for at, value in enumerate([0.5, 0.9, 0.1])]
    best = {one.key: one.best_run.run_id for one in summarize_runs(runs, now=START).metrics if one.best_run}
    assert best == {"accuracy": "1", "loss": "2"}


def test_metrics_that_are_not_finite_are_named_up_to_three():
    runs = [run("a", metrics=dict.fromkeys("vwxyz", math.nan))]
    assert summarize_runs(runs, now=START).odd == (
        "The latest value is NaN or infinite in: v (1), w (1), x (1) and 2 more.",
    )


def test_repeated_configurations_are_counted_and_an_example_is_named():
    """By the twelve first characters of an id."""
    runs = [run(f"{at:02}" * 16, params={"lr": str(at // 2)}, metrics={"loss": 1.0}) for at in range(4)]
    assert summarize_runs(runs, now=START).odd == (
        "2 configurations were run more than once with the same params, seed included (4 runs), such as "
        f"name-{'00' * 16} (000000000000), name-{'01' * 16} (010101010101).",
    )


def test_what_is_odd_is_said():
    runs = [
        run("old", status="RUNNING"),
        run("new", day=9, status="RUNNING"),
        run("nan", metrics={"loss": math.nan}, params={"lr": "1"}),
        run("one", metrics={"loss": 1.0, "valLoss": 1.0}, params={"lr": "2", "seed": "1", "output_dir": "/a"}),
        run("two", metrics={"loss": 1.0, "val_loss": 1.0}, params={"lr": "2", "seed": "1", "output_dir": "/b"}),
        run("other-seed", metrics={"loss": 1.0}, params={"lr": "2", "seed": "2"}),
        run("empty"),
    ]
    assert summarize_runs(runs, now=START + 10 * DAY).odd == (
        "1 RUNNING for more than 2 days, up to 10: name-old (old).",
        "The latest value is NaN or infinite in: loss (1).",
        "1 FINISHED without a metric: name-empty (empty).",
        "1 configuration was run more than once with the same params, seed included (2 runs), such as name-one (one), "
        "name-two (two).",
        "Metrics that are probably one: valLoss and val_loss.",
    )


def test_the_order_of_the_runs_does_not_matter():
    runs = [run(f"r{n}", day=n % 5, params={"a": str(n % 3)}, metrics={"loss": n % 7}) for n in range(50)]
    expected = summarize_runs(runs, now=START)
    random.Random(0).shuffle(runs)
    assert summarize_runs(runs, now=START) == expected


def test_nothing_at_all():
    found = summarize_runs([], now=START)
    assert (found.runs, found.metrics, found.params, found.seconds, found.odd) == (0, (), (), None, ())
    strange = Run("x", "1", start_time=2**62, metrics={"m": math.inf})
    assert summarize_runs([strange], now=START).by_day == {"no valid day": 1}
