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
    """Sample standard deviation (divided by n - 1); absent for n = 1 and where it exceeds a float."""
    n: int


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


def repeated_runs(runs: Sequence[Run]) -> tuple[tuple[str, ...], ...]:
    """Ids of at least two FINISHED runs with the same params, the same data and different seeds, by configuration.

    A run that logs no seed repeats none: equal params may then hide the very change that is being compared.
    """
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and run.lifecycle_stage != "deleted":
            groups.setdefault(_configuration(run), []).append(run)
    return tuple(
        tuple(run.run_id for run in group) for group in groups.values() if len({_seeds(run) for run in group}) >= 2
    )


def configurations(runs: Sequence[Run]) -> tuple[tuple[Run, ...], ...]:
    """All runs by configuration: seeds of one configuration together, every other run by itself.

    As in `repeated_runs`, but for runs of every status. Both the groups and the runs in them keep their order.
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
