"""The best runs by several metrics."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.sweeps.pareto import pareto_front
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run


def run(run_id: str, accuracy: float, latency: float, *, status: str = "FINISHED") -> Run:
    return Run(run_id, "1", status=status, metrics={"accuracy": accuracy, "latency_ms": latency})


def test_the_front_holds_what_no_run_beats():
    runs = [run("good", 0.9, 50), run("fast", 0.8, 10), run("worse", 0.8, 60), run("slow", 0.95, 200)]
    found = pareto_front(
        [
            *runs,
            run("nan", math.nan, 1),
            run("dead", 1.0, 1, status="FAILED"),
            run("dead too", 1.0, 1, status="FAILED"),
        ],
        ["accuracy", "latency_ms"],
    )
    assert [(entry.run.run_id, entry.dominates) for entry in found.front] == [("slow", 0), ("good", 1), ("fast", 1)]
    assert [direction.direction for direction in found.directions] == ["max", "min"]
    assert (found.considered, list(found.left_out.items())) == (4, [("failed", 2), ("NaN", 1)])


def test_a_direction_that_is_given_counts():
    runs = [run("low", 0.1, 5), run("high", 0.9, 50)]
    assert len(pareto_front(runs, ["accuracy", "latency_ms"]).front) == 2
    found = pareto_front(runs, ["accuracy", "latency_ms"], directions={"latency_ms": "max"})
    assert [entry.run.run_id for entry in found.front] == ["high"]


@pytest.mark.parametrize("metrics", [["accuracy"], ["accuracy", "accuracy"], list("abcdefg")])
def test_too_few_or_many_metrics_are_refused(metrics: list[str]):
    with pytest.raises(InvalidInputError, match="2 to 6 different metrics"):
        pareto_front([run("a", 1, 1)], metrics)


def test_an_unknown_metric_is_refused_with_the_closest():
    with pytest.raises(InvalidInputError, match="Closest: latency_ms"):
        pareto_front([run("a", 1, 1)], ["accuracy", "latency"])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_front_is_what_its_definition_says(values: list[tuple[int, int]]):
    """Against the definition, pair by pair."""
    runs = [run(f"{at:02}", *pair) for at, pair in enumerate(values)]

    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a != b and a[0] >= b[0] and a[1] <= b[1]

    expected = {f"{at:02}" for at, pair in enumerate(values) if not any(beats(other, pair) for other in values)}
    assert {entry.run.run_id for entry in pareto_front(runs, ["accuracy", "latency_ms"]).front} == expected
