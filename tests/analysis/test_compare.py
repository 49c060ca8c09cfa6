"""Runs side by side."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.compare import Difference, MetricCell, MetricComparison, compare_runs
from mcp_server.analysis.sweeps.repeats import Spread, is_bookkeeping, is_seed, spread
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Dataset, Run


def run(run_id: str, metrics: dict[str, float] | None = None, *, status: str = "FINISHED", **params: str) -> Run:
    return Run(run_id, "1", status=status, metrics=metrics or {}, params=params)


def test_only_params_that_differ_are_listed_and_the_others_counted():
    """Params are text: "0.10" and "0.1" differ on purpose, and so does a param that one run lacks."""
    found = compare_runs([run("a", lr="0.1", epochs="3", only="x"), run("b", lr="0.10", epochs="3")])
    assert found.params == (Difference("lr", ("0.1", "0.10")), Difference("only", ("x", None)))
    assert found.params_equal == 1
    assert found.baseline == "a"


def test_metrics_come_with_delta_percentage_and_winner():
    """Against the baseline named; its own cell has no delta."""
    runs = [run("a", {"loss": 0.5}), run("b", {"loss": 0.25}), run("c")]
    assert compare_runs(runs, baseline="a").metrics == (
        MetricComparison(
            "loss",
            "min",
            "inferred from the name: loss is minimised",
            (MetricCell(0.5, None, None), MetricCell(0.25, -0.25, -50.0), MetricCell(None, None, None)),
            ("b",),
        ),
    )
    assert compare_runs(runs, baseline="b").metrics[0].cells[0] == MetricCell(0.5, 0.25, 100.0)


def test_the_percentage_keeps_the_sign_of_the_delta_below_zero():
    """From -2 to -1 the log likelihood rose, by half of its magnitude."""
    found = compare_runs([run("a", {"ll": -2.0}), run("b", {"ll": -1.0})])
    assert found.metrics[0].cells[1] == MetricCell(-1.0, 1.0, 50.0)


@pytest.mark.parametrize(
    ("base", "value", "delta", "percent"),
    [
        (0.0, 1.0, 1.0, None),
        (math.nan, 1.0, None, None),
        (math.inf, 1.0, None, None),
        (1.0, math.nan, None, None),
        (1.0, -math.inf, None, None),
        (-1.7e308, 1.7e308, None, None),
        (5e-324, 1e300, 1e300, None),
        (5e-324, 1e-323, 5e-324, 100.0),
    ],
)
def test_what_cannot_be_computed_is_absent(base: float, value: float, delta: float | None, percent: float | None):
    """A zero, NaN, infinite or far too small baseline gives no percentage, and never an exception."""
    cell = compare_runs([run("a", {"m": base}), run("b", {"m": value})]).metrics[0].cells[1]
    assert (cell.delta, cell.percent) == (delta, percent)


def test_nan_infinite_and_missing_values_never_win_and_ties_are_named():
    """A loss of minus infinity is a broken run."""
    runs = [run("a", {"loss": 1.0}), run("b", {"loss": -math.inf}), run("c", {"loss": math.nan}), run("d")]
    runs += [run("e", {"loss": 1.0})]
    assert compare_runs(runs).metrics[0].winners == ("a", "e")
    assert compare_runs([run("a", {"m": math.nan}), run("b")]).metrics[0].winners == ()


def test_unfinished_and_deleted_runs_are_marked_and_named_as_a_circumstance():
    """Their values are shown and can win, but the reader is told."""
    runs = [
        run("a"),
        run("b", status="FAILED"),
        run("c", status="RUNNING"),
        replace(run("d"), lifecycle_stage="deleted"),
    ]
    found = compare_runs(runs)
    assert [column.mark for column in found.runs] == ["", "failed", "running", "deleted"]
    assert found.circumstances == (Difference("status", ("FINISHED", "FAILED", "RUNNING", "FINISHED")),)


def test_different_data_and_code_are_circumstances():
    """A better metric on other data is no better run."""
    first = replace(
        run("a"), datasets=(Dataset("churn", "d1", context="training"),), tags={"mlflow.source.git.commit": "c1"}
    )
    second = replace(
        run("b"), datasets=(Dataset("churn", "d2", context="training"),), tags={"mlflow.source.git.commit": "c2"}
    )
    assert compare_runs([first, second, run("c")]).circumstances == (
        Difference("training dataset", ("churn (d1)", "churn (d2)", None)),
        Difference("git commit", ("c1", "c2", None)),
    )


def test_datasets_are_listed_by_context_in_alphabetical_order():
    contexts = ["training", "evaluation", "validation", "testing", "calibration"]
    runs = [replace(run(i), datasets=tuple(Dataset("churn", i, context=c) for c in contexts)) for i in "ab"]
    rows = [row.key for row in compare_runs(runs).circumstances]
    assert rows == [f"{context} dataset" for context in sorted(contexts)]


def test_finished_runs_of_one_configuration_under_different_seeds_repeat_each_other():
    """A failed run does not; neither does one of another configuration."""
    runs = [
        run("a", {"acc": 0.75}, lr="0.1", seed="1"),
        run("b", {"acc": 0.25}, lr="0.1", seed="2"),
        run("c", {"acc": math.nan}, lr="0.1", seed="3"),
        run("d", {"acc": 0.9}, lr="0.1", seed="4", status="FAILED"),
        run("e", {"acc": 0.5}, lr="0.2", seed="1"),
    ]
    found = compare_runs(runs)
    assert found.repeats == (("a", "b", "c"),)
    assert len(found.runs) == 5


def test_where_a_run_writes_neither_splits_nor_names_a_configuration():
    runs = [run(f"r{at}", {"acc": at}, lr="0.1", seed=str(at), output_dir=f"/{at}") for at in range(2)]
    assert compare_runs([*runs, run("other", lr="0.2")]).repeats == (("r0", "r1"),)
    names = ["output_dir", "run_name", "log_path", "hostname", "data_path", "dir", "name", "-"]
    assert [name for name in names if is_bookkeeping(name)] == ["output_dir", "run_name", "log_path", "hostname"]


def test_the_spread_of_values_leaves_out_what_is_not_finite():
    """Mean and sample standard deviation, and how many values they are of."""
    assert spread([0.75, 0.25, math.nan]) == Spread(0.5, pytest.approx(math.sqrt(0.125)), 2)  # type: ignore[arg-type]
    assert spread([math.nan, math.inf]) is None


def test_equal_params_without_different_seeds_are_not_folded():
    """The change under comparison may be in what was not logged as a param."""
    same = [run("a", {"acc": 0.5}, lr="0.1"), run("b", {"acc": 0.6}, lr="0.1")]
    assert compare_runs(same).repeats == ()
    assert compare_runs([run("a", seed="1"), run("b", seed="1")]).repeats == ()


def test_runs_on_other_data_are_no_repeats_unless_they_are_folds():
    """Cross-validation cuts its folds from one data set, so their digests differ."""
    data = [Dataset("churn", "d1"), Dataset("churn", "d2")]
    by_seed = [replace(run(f"r{i}", seed=str(i)), datasets=(data[i],)) for i in range(2)]
    by_fold = [replace(run(f"r{i}", fold=str(i)), datasets=(data[i],)) for i in range(2)]
    assert compare_runs(by_seed).repeats == ()
    assert compare_runs(by_fold).repeats == (("r0", "r1"),)


def test_the_mean_of_huge_values_is_finite():
    """Summed after scaling."""
    assert spread([1.7e308, 1.7e308]) == Spread(1.7e308, 0.0, 2)


def test_seed_params_are_known_by_whole_words():
    """Counts and namespaces that merely contain such a word are configuration."""
    seeds = "seed model__random_state randomState rng fold fold_idx trial_number replicate seed0 np.seed fold_1"
    others = (
        "n_folds k_fold max_trial num_seeds seedling trial/lr fold_strategy trials manifold random_features lr id -"
    )
    assert [name for name in seeds.split() if not is_seed(name)] == []
    assert [name for name in others.split() if is_seed(name)] == []


def test_chosen_metrics_keep_their_order_and_system_metrics_come_last():
    """By default alphabetical."""
    runs = [run("a", {"z": 1.0, "system/cpu": 1.0, "b": 1.0}), run("b")]
    assert [row.key for row in compare_runs(runs).metrics] == ["b", "z", "system/cpu"]
    assert [row.key for row in compare_runs(runs, metrics=["z", "b", "z"]).metrics] == ["z", "b"]


def test_bad_requests_are_refused_with_what_would_be_right():
    """Too few, too many, twice, an unknown baseline, an unknown metric."""
    two = [run("a", {"accuracy": 1.0}), run("b")]
    with pytest.raises(InvalidInputError, match="2 to 100 runs, and these are 1; name one more"):
        compare_runs(two[:1])
    with pytest.raises(InvalidInputError, match="these are 101; rank_runs"):
        compare_runs([run(str(i)) for i in range(101)])
    with pytest.raises(InvalidInputError, match="Run 'a' is given twice"):
        compare_runs([two[0], two[0]])
    with pytest.raises(InvalidInputError, match=r"'z' is not among .* one of them: 0, 1, 2, 3, 4 and 2 more\.$"):
        compare_runs([run(str(i)) for i in range(7)], baseline="z")
    with pytest.raises(InvalidInputError, match="Closest: accuracy"):
        compare_runs(two, metrics=["acc"])


VALUES = st.floats() | st.sampled_from([0.0, 1.0, 1e308, -1e308, 5e-324])
RUNS = st.lists(
    st.builds(
        lambda metrics, params, status: Run("", "1", status=status, metrics=metrics, params=params),
        st.dictionaries(st.sampled_from(["acc", "loss"]), VALUES),
        st.dictionaries(st.sampled_from(["lr", "seed", "fold"]), st.sampled_from(["1", "2"])),
        st.sampled_from(["FINISHED", "FINISHED", "FAILED", "RUNNING"]),
    ),
    min_size=2,
    max_size=8,
)


@given(RUNS, st.randoms(use_true_random=False))
def test_what_is_said_of_each_run_does_not_depend_on_the_order(runs: list[Run], shuffle: random.Random):
    """Any values, with a fixed baseline; no value makes it fail."""
    runs = [replace(item, run_id=f"r{i}") for i, item in enumerate(runs)]
    shuffled = list(runs)
    shuffle.shuffle(shuffled)
    first, second = compare_runs(runs, baseline="r0"), compare_runs(shuffled, baseline="r0")
    order = [shuffled.index(item) for item in runs]
    assert first.runs == tuple(second.runs[at] for at in order)
    assert first.params_equal == second.params_equal
    assert [(row.key, row.values) for row in first.params] == [
        (row.key, tuple(row.values[at] for at in order)) for row in second.params
    ]
    for row, other in zip(first.metrics, second.metrics, strict=True):
        assert repr(row.cells) == repr(tuple(other.cells[at] for at in order))
        assert set(row.winners) == set(other.winners)
        assert all(math.isfinite(runs[int(run_id[1:])].metrics[row.key]) for run_id in row.winners)
    assert set(map(frozenset, first.repeats)) == set(map(frozenset, second.repeats))
