"""Names of metrics: which way is better, and what somebody may have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.naming import direction_of, is_resource
from mcp_server.suggestions import closest, suggestion

KNOWN = ["accuracy", "val_accuracy", "val_loss", "train_loss", "f1", "precision@5", "rmse"]
SMALLER_IS_BETTER = """
    loss val_loss valloss loss1 test/rmse eval-ErrorRate top1_error log_loss LogLoss nll negative_log_likelihood wer cer
    fid brier_score ece calibration_error latency_p95 train_time duration cost regret hamming_loss MAE@5 mape mse ppl
    val.perplexity err co2_kg false_positive_rate cross_entropy time_per_step hamming mae10
"""
LARGER_IS_BETTER = """
    accuracy f1 auc r2 lossless_ratio error_free neg_mean_squared_error neg_log_loss samples_per_second uptime bleu
    loss_reduction true_negative_rate log_likelihood glossary timely reward anything no_errors saved_cost
"""


@pytest.mark.parametrize("metric", SMALLER_IS_BETTER.split())
def test_metrics_that_measure_harm_are_minimised(metric: str):
    """Whole words decide, in snake, camel, slash and dash spelling, and `valloss` written together."""
    assert direction_of(metric).direction == "min"


@pytest.mark.parametrize("metric", LARGER_IS_BETTER.split())
def test_other_metrics_are_maximised_even_when_they_contain_such_letters(metric: str):
    """`lossless`, `error_free`, scikit-learn's negated scores and rates per second are no losses."""
    assert direction_of(metric).direction == "max"


def test_the_reason_names_the_word_that_decided():
    """The agent must be able to see why, to disagree."""
    assert direction_of("val_loss").reason == "inferred from the name: loss is minimised"
    assert direction_of("neg_log_loss").reason == "inferred from the name: log loss with 'neg' is maximised"
    assert direction_of("val_f1").reason == "inferred from the name: f1 is maximised"
    assert direction_of("auc2").reason == "inferred from the name: auc2 is maximised"
    assert direction_of("blue").reason == "inferred from the name: no word in it is known as minimised"


def test_metrics_of_time_machines_and_schedules_are_no_results():
    """A loss for each step and the accuracy at an epoch are."""
    resources = "system/cpu epoch_time lr learning_rate grad_norm steps samples_per_second gpu_utilization epoch"
    results = "epoch_loss loss_per_step accuracy_at_epoch val_loss accuracy blueness memory_error"
    assert [name for name in resources.split() if not is_resource(name)] == []
    assert [name for name in results.split() if is_resource(name)] == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("acc", "accuracy"),
        ("valloss", "val_loss"),
        ("accuracy_val", "val_accuracy"),
        ("acc_val", "val_accuracy"),
        ("VAL_LOSS", "val_loss"),
        ("rsme", "rmse"),
        ("prec", "precision@5"),
        ("valAccuracy", "val_accuracy"),
        ("f1_score", "f1"),
    ],
)
def test_the_closest_name_is_the_one_meant(typed: str, meant: str):
    """Short forms, missing separators, other order, other case, typing errors."""
    assert closest(typed, KNOWN)[0] == meant


def test_nothing_is_suggested_for_a_name_like_no_other():
    """A far-fetched guess is worse than the list of what there is."""
    assert closest("zzz", KNOWN) == ()
    assert suggestion("zzz", KNOWN) == "There are: accuracy, f1, precision@5, rmse, train_loss and 2 more."
    assert suggestion("acc", KNOWN) == "Closest: accuracy, val_accuracy."
    assert suggestion("acc", []) == "There are none."


@given(st.text(max_size=30), st.lists(st.text(max_size=15), max_size=12), st.integers(-1, 5))
def test_suggestions_are_candidates_and_do_not_depend_on_their_order(name: str, candidates: list[str], n: int):
    """Any text is answered; an exact match comes first."""
    found = closest(name, candidates, n)
    assert len(found) <= max(n, 0)
    assert set(found) <= set(candidates)
    assert found == closest(name, reversed(candidates), n)
    if name in candidates and n > 0:
        assert found[0] == name
    assert direction_of(name).direction in ("max", "min")
