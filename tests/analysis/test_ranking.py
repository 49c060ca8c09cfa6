"""The best runs by one metric."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.ranking import rank_runs
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run


def run(
    run_id: str, value: float | None = None, *, status: str = "FINISHED", start: int = 0, stage: str = "active"
) -> Run:
    metrics = {} if value is None else {"accuracy": value}
    return Run(run_id, "1", status=status, start_time=start, lifecycle_stage=stage, metrics=metrics)


def test_the_best_come_first_with_the_margin_between_the_first_two():
    """Higher accuracy is better, and the answer says why it thinks so."""
    ranking = rank_runs([run("a", 0.5), run("b", 0.75), run("c", 0.25)], "accuracy", top=2)
    assert [(entry.rank, entry.run.run_id, entry.value) for entry in ranking.ranked] == [(1, "b", 0.75), (2, "a", 0.5)]
    assert (ranking.rankable, ranking.tied_beyond, ranking.margin, ranking.left_out) == (3, 0, 0.25, {})
    assert (ranking.direction, ranking.direction_reason) == ("max", "inferred from the name: accuracy is maximised")


def test_an_explicit_direction_beats_the_name():
    """The agent may know better; then that is the reason."""
    ranking = rank_runs([run("a", 0.5), run("b", 0.75)], "accuracy", direction="min")
    assert ranking.ranked[0].run.run_id == "a"
    assert ranking.direction_reason == "asked for"


def test_runs_that_cannot_be_ranked_are_set_apart_and_counted():
    """A NaN, an infinity, an unfinished or deleted run is never the best; each is said once."""
    runs = [
        run("ok", 0.5),
        run("dead", 0.9, status="FAILED"),
        run("live", 0.9, status="RUNNING"),
        run("soon", status="SCHEDULED"),
        run("shot", 0.9, status="KILLED"),
        run("gone", 0.9, stage="deleted"),
        run("nan", math.nan),
        run("inf", math.inf),
        run("none"),
        *(run(f"x{i}", -math.inf) for i in range(6)),
    ]
    ranking = rank_runs(runs, "accuracy")
    assert [entry.run.run_id for entry in ranking.ranked] == ["ok"]
    assert ranking.margin is None
    ones = ("NaN", "deleted", "failed", "killed", "no value", "running", "scheduled")
    assert list(ranking.left_out.items()) == [("infinite", 7), *((reason, 1) for reason in ones)]


def test_equal_values_share_a_rank_and_the_cut_says_what_it_cut():
    """Order among equals is start time, then run id; ranks after a tie count it."""
    runs = [run("c", 1.0, start=2), run("b", 1.0, start=1), run("a", 1.0, start=1), run("d", 0.5)]
    ranking = rank_runs(runs, "accuracy", top=2)
    assert [(entry.rank, entry.run.run_id) for entry in ranking.ranked] == [(1, "a"), (1, "b")]
    assert (ranking.tied_beyond, ranking.margin) == (1, 0.0)
    assert [entry.rank for entry in rank_runs(runs, "accuracy").ranked] == [1, 1, 1, 4]
    lower = [run("e", 0.5), run("f", 0.0)]
    assert [entry.rank for entry in rank_runs([*runs, *lower], "accuracy").ranked] == [1, 1, 1, 4, 4, 6]


def test_a_margin_beyond_every_float_is_absent():
    assert rank_runs([run("a", 1.7e308), run("b", -1.7e308)], "accuracy").margin is None


def test_an_unknown_metric_is_refused_with_the_closest_names():
    """Peers answer with just any run here."""
    with pytest.raises(InvalidInputError, match=r"^None of these 1 runs has the metric 'acc'\. Closest: accuracy\.$"):
        rank_runs([run("a", 0.5)], "acc")


def test_no_runs_give_an_empty_ranking():
    """Why a search found nothing is not this function's to say."""
    ranking = rank_runs([], "accuracy")
    assert (ranking.ranked, ranking.rankable, ranking.tied_beyond, ranking.left_out) == ((), 0, 0, {})


def test_a_wrong_direction_or_size_is_refused():
    """The sentence says what would be right."""
    with pytest.raises(InvalidInputError, match="direction is 'up'; give max"):
        rank_runs([run("a", 0.5)], "accuracy", direction="up")
    with pytest.raises(InvalidInputError, match="max_results is 0; give 1 or more"):
        rank_runs([run("a", 0.5)], "accuracy", top=0)


@given(
    values=st.lists(st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=12),
    seed=st.randoms(use_true_random=False),
    direction=st.sampled_from(["max", "min"]),
    top=st.integers(1, 15),
)
def test_the_ranking_does_not_depend_on_the_order_of_the_runs(
    values: list[float | None], seed: random.Random, direction: str, top: int
):
    """And every run is either ranked or set apart."""
    runs = [run(f"r{i}", value, start=i % 3) for i, value in enumerate(values)] + [run("base", 0.5)]
    ranking = rank_runs(runs, "accuracy", direction=direction, top=top)
    shuffled = list(runs)
    seed.shuffle(shuffled)
    assert rank_runs(shuffled, "accuracy", direction=direction, top=top) == ranking
    assert ranking.rankable + sum(ranking.left_out.values()) == len(runs)
    shown = [entry.value for entry in ranking.ranked]
    assert shown == sorted(shown, reverse=direction == "max")
    assert len(shown) == min(top, ranking.rankable)
