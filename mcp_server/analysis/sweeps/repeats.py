"""Runs that repeat one configuration under different seeds, folded to mean ± standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mcp_server.mlflow_integration.entities import Run
from mcp_server.suggestions import words

_SEED_WORDS: Final = frozenset({"seed", "seeds", "rng", "randomseed", "randomstate"})
_SPLIT_WORDS: Final = frozenset({"fold", "trial", "replicate", "replica", "repeat", "repetition"})
_NUMBERING: Final = frozenset({"id", "idx", "index", "no", "nr", "num", "number"})
_COUNTING: Final = frozenset({"n", "k", "num", "max", "min", "count", "total"})


_PLACES: Final = frozenset({"dir", "directory", "path", "folder", "root", "name", "id", "file"})
_OWN: Final = frozenset(
    {"output", "out", "log", "logs", "logging", "save", "work", "working", "run", "exp", "experiment", "job", "task"}
    | {"result", "results", "tensorboard", "wandb", "trial", "hydra"}
)
_BOOKKEEPING: Final = frozenset({"timestamp", "hostname", "uuid", "pid", "outdir", "logdir", "workdir", "savedir"})


@dataclass(frozen=True, slots=True)
class Spread:
    """A few values of one metric, in its unit."""

    mean: float
    std: float | None
    """Sample standard deviation (divided by n - 1); absent for n = 1 and beyond a float."""
    n: int


@dataclass(frozen=True, slots=True)
class FoldedMetric:
    """One metric over the runs of a group."""

    key: str
    mean: float
    std: float | None
    """Sample standard deviation (divided by n - 1), in the metric's unit; absent for n = 1 and beyond a float."""
    n: int
    """Runs of the group with a finite value; the others are not in the mean."""


@dataclass(frozen=True, slots=True)
class RepeatGroup:
    """Finished runs equal in every param but their seeds."""

    run_ids: tuple[str, ...]
    """At least two, in the order the runs were given."""
    params: tuple[tuple[str, str], ...]
    """What sets this configuration apart from the other runs compared; empty when nothing does."""
    seeds: tuple[str, ...]
    """The params that were ignored, by name."""
    metrics: tuple[FoldedMetric, ...]
    """In alphabetical order; those without one finite value are left out."""


def is_seed(param: str) -> bool:
    """Whether a param names a repetition: seed, random_state, rng, or a fold, trial or replicate by number.

    Whole words: `fold` and `trial_id` do; `n_folds`, `max_trials`, `fold_strategy` and `seedling` do not.
    """
    tokens = tuple(word.rstrip("0123456789") for word in words(param))
    if _SEED_WORDS.intersection(tokens) or ("random", "state") in pairwise(tokens):
        return not _COUNTING.intersection(tokens)
    while tokens and (tokens[-1] in _NUMBERING or not tokens[-1]):
        tokens = tokens[:-1]
    return bool(tokens) and tokens[-1] in _SPLIT_WORDS and not _COUNTING.intersection(tokens[:-1])


def is_bookkeeping(param: str) -> bool:
    """Whether a param only says where a run writes or what it is called: output_dir, run_name, log_path, hostname.

    `data_path` and `checkpoint_path` do not: what a run reads can change what it does.
    """
    tokens = words(param)
    return bool(_BOOKKEEPING.intersection(tokens)) or (
        len(tokens) > 1 and tokens[-1] in _PLACES and bool(_OWN.intersection(tokens[:-1]))
    )


def fold_repeats(runs: Sequence[Run], metrics: Iterable[str], differing: Iterable[str]) -> tuple[RepeatGroup, ...]:
    """Groups of at least two FINISHED runs with the same params, the same data and different seeds.

    A run that logs no seed is never folded: equal params may then hide the very change that is being compared.
    `differing` are the params that name a group. The groups come in the order of their first runs.
    """
    names = sorted(set(metrics))
    apart = [key for key in differing if not is_seed(key) and not is_bookkeeping(key)]
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and run.lifecycle_stage != "deleted":
            groups.setdefault(_configuration(run), []).append(run)
    return tuple(
        RepeatGroup(
            run_ids=tuple(run.run_id for run in group),
            params=tuple((key, group[0].params[key]) for key in apart if key in group[0].params),
            seeds=tuple(sorted(filter(is_seed, group[0].params))),
            metrics=tuple(folded for name in names if (folded := _fold(name, group)) is not None),
        )
        for group in groups.values()
        if len({_seeds(run) for run in group}) >= 2
    )


def configurations(runs: Sequence[Run]) -> tuple[tuple[Run, ...], ...]:
    """All runs by configuration: seeds of one configuration together, every other run by itself.

    As in `fold_repeats`, but for runs of every status. Both the groups and the runs in them keep their order.
    """
    groups: dict[object, list[Run]] = {}
    for run in runs:
        # Without a seed, equal params may hide the very change that is being compared.
        key = _configuration(run) if any(map(is_seed, run.params)) else run.run_id
        groups.setdefault(key, []).append(run)
    return tuple(map(tuple, groups.values()))


def _seeds(run: Run) -> frozenset[tuple[str, str]]:
    return frozenset((key, value) for key, value in run.params.items() if is_seed(key))


def _configuration(run: Run) -> object:
    """What runs must share to be repeats of each other."""
    seeds = frozenset(filter(is_seed, run.params))
    fixed = frozenset((key, value) for key, value in run.params.items() if key not in seeds and not is_bookkeeping(key))
    # The folds of a cross-validation are cut from one data set, so their digests differ by design.
    by_fold = any(_SPLIT_WORDS.intersection(words(key)) for key in seeds)
    data = frozenset((item.name, item.context, "" if by_fold else item.digest) for item in run.datasets)
    return run.experiment_id, seeds, fixed, data


def _fold(key: str, group: Sequence[Run]) -> FoldedMetric | None:
    found = spread(run.metrics[key] for run in group if key in run.metrics)
    return FoldedMetric(key, found.mean, found.std, found.n) if found else None


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and sample standard deviation of the finite values; None when there is none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    # Scaled to at most 1 first, sorted so that the order of the runs does not move the last digit.
    scale = max(map(abs, finite)) or 1.0
    scaled = sorted(value / scale for value in finite)
    n = len(scaled)
    mean = math.fsum(scaled) / n
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (n - 1)) * scale if n > 1 else None
    return Spread(mean * scale, std if std is not None and math.isfinite(std) else None, n)
