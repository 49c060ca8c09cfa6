"""Whether a difference is more than the noise between seeds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.sweeps.configurations import rank_configurations
from mcp_server.analysis.sweeps.significance import Noise, compare_seed_groups, contrast, pooled_noise
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run


def run(
    run_id: str, value: float | None, *, lr: str = "0.1", seed: int | None = 0, status: str = "FINISHED", start: int = 0
) -> Run:
    params = {"lr": lr} | ({"seed": str(seed)} if seed is not None else {})
    metrics = {} if value is None else {"accuracy": value}
    return Run(run_id, "1", status=status, start_time=start, metrics=metrics, params=params)


def test_the_interval_is_the_one_scipy_gives():
    """Welch's, unequal sizes and variances."""
    from scipy.stats import ttest_ind

    first, second = [0.81, 0.84, 0.79, 0.83], [0.9, 0.86, 0.97]
    expected = ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    found = contrast(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.verdict == ("within noise" if expected.low <= 0 <= expected.high else "differs")


def test_pooled_noise_stands_in_for_that_of_a_single_run():
    """Student's t with 4 degrees of freedom reaches 2.7764 at 97.5 %."""
    one = contrast([0.8], [0.9], noise=Noise(0.01, 4))
    assert (one.low, one.high) == pytest.approx((0.1 - 0.027764 * 2**0.5, 0.1 + 0.027764 * 2**0.5), abs=1e-6)
    four = contrast([0.8] * 4, [0.9], noise=Noise(0.01, 4))
    assert four.high == pytest.approx(0.1 + 0.027764 * 1.25**0.5, abs=1e-6)
    assert contrast([0.9], [0.8] * 4, noise=Noise(0.01, 4)).low == pytest.approx(-four.high, abs=1e-6)
    flat_first = contrast([0.8] * 3, [0.9, 0.91, 0.92], noise=Noise(9.0, 4))
    assert flat_first.reason == "Welch's t interval, n = 3 and 3", "one group with a spread is enough"


def test_what_cannot_be_estimated_is_said():
    equal = contrast([1.0, 1.0], [1.0, 1.0])
    assert (equal.low, equal.high, equal.verdict, equal.reason) == (0.0, 0.0, "within noise", "every value is the same")
    huge = contrast([-1.7e308, -1.6e308], [1.7e308, 1.6e308])
    assert (huge.low, huge.verdict, huge.reason) == (None, "cannot tell", "the values are too large to be compared")
    assert contrast([1.0], [2.0]).reason == "each has a single run; repeat both with 3 or more seeds"
    assert contrast([1.0], [2.0, 3.0]).reason == "one of them has a single run; repeat both with 3 or more seeds"


def test_equal_configurations_are_rarely_said_to_differ():
    """The error rate is the one that the confidence promises."""
    random.seed(7)

    def three() -> list[float]:
        return [random.gauss(0.8, 0.01) for _ in range(3)]

    wrong = sum(contrast(three(), three()).verdict == "differs" for _ in range(2_000))
    assert wrong / 2_000 <= 0.06


def test_many_comparisons_widen_each_interval():
    """Twenty groups against one baseline would else find a difference by chance."""
    alone = contrast([0.8, 0.81, 0.79], [0.83, 0.84, 0.82])
    among = contrast([0.8, 0.81, 0.79], [0.83, 0.84, 0.82], comparisons=20)
    assert (alone.verdict, among.verdict) == ("differs", "within noise")


def test_two_seeds_of_one_configuration_are_within_noise():
    """Said in a sentence, with the params that were ignored."""
    found = compare_seed_groups([run("a", 0.8, seed=1), run("b", 0.9, seed=2)], "accuracy")
    assert found is not None
    assert found.verdict == (
        "Within noise: these 2 runs differ only in seed; a standard deviation of 0.071 in accuracy comes from "
        "repeating alone."
    )


def test_a_real_effect_is_not_noise():
    runs = [run(f"a{i}", 0.80 + i / 1000, lr="0.1", seed=i) for i in range(3)]
    runs += [run(f"b{i}", 0.90 + i / 1000, lr="0.2", seed=i) for i in range(3)]
    found = compare_seed_groups(runs, "accuracy")
    assert found is not None
    (baseline, other) = found.groups
    assert baseline.contrast is None
    assert other.contrast is not None
    assert other.contrast.verdict == "differs"
    assert other.contrast.difference == pytest.approx(0.1)
    assert found.verdict == ""
    found = compare_seed_groups([*runs, run("c", 0.7, lr="0.3")], "accuracy")
    assert found is not None
    again = found.groups[1].contrast
    assert again is not None and again.low is not None and other.contrast.low is not None
    assert again.difference == other.contrast.difference
    assert again.low < other.contrast.low, "two comparisons share the 5 %"


def test_a_single_run_is_judged_by_the_noise_of_the_other_configurations():
    """And not judged at all where nothing shows the noise."""
    lonely = [run("a", 0.8, lr="0.1"), run("b", 0.9, lr="0.2")]
    found = compare_seed_groups(lonely, "accuracy")
    assert found is not None and found.groups[1].contrast is not None
    assert found.groups[1].contrast.verdict == "cannot tell"
    assert found.groups[1].contrast.low is None
    noisy = [run(f"c{i}", 0.7 + 0.1 * i, lr="0.3", seed=i) for i in range(4)]
    found = compare_seed_groups([*lonely, *noisy], "accuracy", baseline="b")
    assert found is not None and found.noise is not None
    assert found.groups[0].run_ids == ("b",)
    assert [group.contrast.verdict for group in found.groups[1:] if group.contrast] == ["within noise"] * 2


def test_runs_without_a_seed_are_never_folded():
    """Equal params may hide the very change that is being compared."""
    found = compare_seed_groups([run("a", 0.8, seed=None), run("b", 0.9, seed=None)], "accuracy")
    assert found is not None
    assert found.verdict == ""
    assert [group.run_ids for group in found.groups] == [("a",), ("b",)]


def test_failed_runs_do_not_count():
    assert compare_seed_groups([run("a", 0.8), run("b", 0.9, lr="0.2", status="FAILED")], "accuracy") is None


def test_an_empty_group_is_refused():
    with pytest.raises(InvalidInputError, match="at least one finite value"):
        contrast([], [1.0])


@given(st.lists(st.lists(st.floats(allow_nan=True), max_size=4), min_size=2, max_size=5))
def test_nothing_that_was_logged_breaks_it(groups: list[list[float]]):
    """Huge, tiny, infinite, NaN: an answer, and an interval that contains its difference."""
    runs = [
        run(f"{i}-{j}", value, lr=str(i), seed=j) for i, group in enumerate(groups) for j, value in enumerate(group)
    ]
    found = compare_seed_groups(runs, "accuracy") if runs else None
    for group in found.groups if found else ():
        judged = group.contrast
        if judged and judged.low is not None and judged.high is not None:
            assert not judged.low > judged.difference
            assert (judged.verdict == "within noise") == (judged.low <= 0.0 <= judged.high)


def test_the_pooled_noise_weighs_configurations_by_their_runs():
    noise = pooled_noise([[1.0, 3.0], [5.0], [0.0, 0.0, 0.0]])
    assert noise is not None
    assert (noise.std, noise.degrees) == (pytest.approx((2 / 3) ** 0.5), 3)
    assert pooled_noise([[1.0], [2.0]]) is None


def test_configurations_are_ranked_by_mean_and_lucky_seeds_do_not_win():
    """The best single run belongs to the second configuration."""
    steady = [run(f"s{i}", 0.90 + i / 1000, lr="0.1", seed=i, start=i) for i in range(3)]
    lucky = [run(f"l{i}", value, lr="0.2", seed=i, start=10) for i, value in enumerate([0.95, 0.80, 0.75])]
    failed = run("dead", None, lr="0.2", seed=9, status="FAILED")
    ranking = rank_configurations([*lucky, failed, *steady], "accuracy")
    assert [(entry.rank, entry.n, entry.left_out) for entry in ranking.ranked] == [(1, 3, 0), (2, 3, 1)]
    assert [entry.runs[0].run_id for entry in ranking.ranked] == ["s2", "l0"]
    assert ranking.ranked[0].mean == pytest.approx(0.901)
    assert [entry.against_best for entry in ranking.ranked] == [None, "within noise"]
    assert (ranking.rankable, ranking.runs, ranking.seeds, ranking.left_out) == (2, 6, ("seed",), {"failed": 1})


def test_configurations_of_a_minimised_metric_share_ranks_and_the_confidence_of_what_is_shown():
    """The lowest mean is the best; what `top` cuts off is not compared, so it widens no interval."""
    means = {"a": 0.5, "b": 0.5, "c": 0.53, "d": 0.9, "e": 0.9}
    runs = [
        run(f"{lr}{seed}", mean + 0.01 * seed, lr=lr, seed=seed) for lr, mean in means.items() for seed in (-1, 0, 1)
    ]
    runs += [run("x", None, lr="x"), run("y", 1.0, lr="y", status="KILLED"), run("z", 1.0, lr="z", status="KILLED")]
    first, second, third = rank_configurations(runs, "accuracy", direction="min", top=3).ranked
    assert [(one.rank, one.runs[0].run_id) for one in (first, second, third)] == [(1, "a-1"), (1, "b-1"), (3, "c-1")]
    assert (second.against_best, third.against_best) == ("within noise", "differs")
    all_five = rank_configurations(runs, "accuracy", direction="min")
    assert all_five.ranked[2].against_best == "within noise", "one of four comparisons"
    assert list(all_five.left_out.items()) == [("killed", 2), ("no value", 1)]


def test_a_ranking_does_not_depend_on_the_order_of_the_runs():
    runs = [run(f"r{i}", 0.5 + (i * 7 % 5) / 10, lr=str(i % 4), seed=i, start=i % 3) for i in range(20)]
    expected = rank_configurations(runs, "accuracy")
    random.Random(3).shuffle(runs)
    assert rank_configurations(runs, "accuracy") == expected


def test_an_unknown_metric_is_refused_with_the_closest():
    with pytest.raises(InvalidInputError, match="Closest: accuracy"):
        rank_configurations([run("a", 0.5)], "acc")
