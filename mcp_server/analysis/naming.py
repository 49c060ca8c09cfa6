"""What the name of a metric says: which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from mcp_server.suggestions import words

Direction = Literal["max", "min"]


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MINIMISED: Final = _set(
    "loss losses error errors err rmse mse mae mape smape wape mdape medae msle rmsle nrmse mrae mbe"
    " perplexity ppl nll logloss deviance wer cer eer ter fid fvd lpips brier ece mce regret hamming misclassification"
    " bce xent crossentropy huber pinball aic bic inertia residual residuals divergence kl kld distance bouldin"
    " fpr fnr fdr latency ttft tpot time times duration durations runtime walltime elapsed delay seconds secs ms"
    " millis milliseconds cost costs price memory mem bpc bpb bpd energy emissions co2 toxicity hallucination"
    " violations failures mistakes"
)
"""Words whose value is better when smaller."""

_MINIMISED_PAIRS: Final = _set(
    "false.positive false.positives false.negative false.negatives false.alarm false.alarms cross.entropy log.loss"
    " absolute.deviation"
)
"""The same for two words in a row."""

_MINIMISED_ENDINGS: Final = ("loss", "error", "rmse", "latency", "perplexity", "runtime")
"""Endings recognised when words are written together (`valloss`); `mae` or `time` would catch other words as well."""

_MAXIMISED: Final = _set(
    "accuracy acc f f1 fbeta precision recall auc auroc auprc roc r2 score reward rewards return returns bleu rouge"
    " meteor map ndcg mrr iou miou dice jaccard sensitivity specificity throughput likelihood kappa mcc coverage hits"
)
"""Words that only make the reason clearer; unknown ones are maximised as well."""

_NEGATIONS: Final = _set("neg negative negated minus inverse inverted inv")
"""Before the noun, over its adjectives: `neg_mean_squared_error` (scikit-learn) is better when larger."""

_TURN_WHEN_BEFORE: Final = _set("no non without per reduced saved")
"""Directly before it: `samples_per_second`, `non_error`."""

_TURN_WHEN_AFTER: Final = _set("free reduction reduced improvement improved gain saved saving savings skill")
"""Directly after it: `error_free`, `loss_reduction`."""


_RESOURCES: Final = _set(
    "time times duration durations runtime walltime elapsed seconds secs sec ms millis milliseconds minutes hours"
    " latency throughput fps iteration iterations epoch epochs step steps lr memory mem gpu cpu disk network power"
    " watts temperature utilization utilisation bandwidth bytes megabytes gb mb flops"
)
"""Words of what a run uses, and of its schedule: neither is learned, so neither improves or converges."""

_RESOURCE_PAIRS: Final = _set("learning.rate grad.norm gradient.norm weight.norm param.norm per.second per.sec")


@dataclass(frozen=True, slots=True)
class MetricDirection:
    """Which way a metric is better, and why that is believed."""

    direction: Direction
    reason: str
    """Half a sentence: `inferred from the name: loss is minimised`."""
    known: bool = True
    """False when no word of the name says it, and the direction is a guess."""


def direction_of(metric: str) -> MetricDirection:
    """Infer from its name whether a metric is maximised or minimised.

    Words decide, not letters: `lossless_ratio` is not a loss. A word that is negated or counted away
    (`neg_log_loss`, `error_free`, `samples_per_second`) turns the other way. Unknown names are maximised.
    """
    tokens = words(metric)
    for at in range(len(tokens)):
        found = _minimised(tokens, at)
        if not found:
            continue
        turner = _turned_by(tokens, at)
        if turner:
            return MetricDirection("max", f"inferred from the name: {found} with '{turner}' is maximised")
        return MetricDirection("min", f"inferred from the name: {found} is minimised")
    known = next((token for token in tokens if token in _MAXIMISED or token.rstrip("0123456789") in _MAXIMISED), "")
    if known:
        return MetricDirection("max", f"inferred from the name: {known} is maximised")
    return MetricDirection("max", "inferred from the name: no word in it is known as minimised", known=False)


def is_resource(metric: str) -> bool:
    """Whether a metric measures time, machines or a schedule, such as `system/...`, `epoch_seconds`, `lr`.

    Its curve has no better or worse: it is never said to improve, to converge or to be best.
    """
    tokens = words(metric)
    if metric.startswith("system/") or any(".".join(pair) in _RESOURCE_PAIRS for pair in pairwise(tokens)):
        return True
    # `epoch_loss` and `loss_per_step` are losses.
    return any(token in _RESOURCES for token in tokens) and not any(
        (_minimised(tokens, at) and token not in _RESOURCES) or token in _MAXIMISED - _RESOURCES
        for at, token in enumerate(tokens)
    )


def has_known_direction(metric: str) -> bool:
    """Whether a word of the name says which way is better; else `direction_of` has guessed."""
    return direction_of(metric).known


def _minimised(tokens: tuple[str, ...], at: int) -> str:
    """The minimised word or pair of words that begins at `at`, or empty."""
    if tokens[at] in ("neg", "negative") and tokens[at + 1 : at + 3] == ("log", "likelihood"):
        return "negative log likelihood"
    if ".".join(tokens[at : at + 2]) in _MINIMISED_PAIRS:
        return " ".join(tokens[at : at + 2])
    token = tokens[at]
    bare = token.rstrip("0123456789")
    return token if token in _MINIMISED or bare in _MINIMISED or bare.endswith(_MINIMISED_ENDINGS) else ""


def _turned_by(tokens: tuple[str, ...], at: int) -> str:
    """The word that turns the direction of the one at `at`, or empty."""
    before, after = tokens[max(at - 1, 0) : at], tokens[at + 1 : at + 2]
    if after and after[0] in _TURN_WHEN_AFTER:
        return after[0]
    if before and before[0] in _TURN_WHEN_BEFORE:
        return before[0]
    return next((token for token in tokens[:at] if token in _NEGATIONS), "")
