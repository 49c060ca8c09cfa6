"""A set of runs as an experiment in the statistical sense: configurations, what varies between them, and one metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from mcp_server.analysis.counting import counted
from mcp_server.analysis.naming import Direction
from mcp_server.analysis.ranking import chosen_direction, need_metrics, why_not_ranked
from mcp_server.analysis.sweeps.repeats import is_bookkeeping, is_seed, spread
from mcp_server.analysis.sweeps.significance import Noise, pooled_noise
from mcp_server.mlflow_integration.entities import Run

Kind = Literal["number", "log", "category"]

FEWEST_CONFIGURATIONS: Final = 12
"""Configurations below which nothing is concluded: with fewer, one lucky run makes any param look important."""
MISSING: Final = "(not set)"
"""Shown for a param that a run lacks, or sets to nothing."""
LOG_RATIO: Final = 50.0
"""Positive numbers whose largest is this many times the smallest, most of them small, are judged by their logarithm."""
FEW_LEVELS: Final = 6
"""Distinct values up to which each is its own group; more numbers are grouped by quantiles."""
NUMERIC_PART: Final = 0.8
"""Part of the values that must be numbers for a param with more than `FEW_LEVELS` of them to count as a number."""
IDENTIFIER_PART: Final = 0.9
"""Part of the runs that must have a unique text for a param to count as a name or path, not a choice."""
ROWS_PER_LEVEL: Final = 3
"""Configurations that each value of a category must have on average to be judged."""

_NOTHING: Final = frozenset({"", "none", "null", "nan", "n/a"})


@dataclass(frozen=True, slots=True)
class Configuration:
    """Runs with the same params but their seeds."""

    params: Mapping[str, str]
    """Without seeds and identifiers."""
    values: tuple[float, ...]
    """The metric of each run, finite."""
    run_ids: tuple[str, ...]
    mean: float
    """Of `values`."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A param that varies, over the configurations of a sweep."""

    key: str
    kind: Kind
    values: tuple[str, ...]
    """As logged, one for each configuration; `MISSING` where it is not set."""
    numbers: tuple[float | None, ...]
    """For numbers: the value; for categories: the place of the value in alphabetical order. None where not set."""
    same_as: tuple[str, ...]
    """Params that change exactly with this one, so that nobody can tell which of them matters."""


@dataclass(frozen=True, slots=True)
class Sweep:
    metric: str
    direction: Direction
    direction_reason: str
    configurations: tuple[Configuration, ...]
    factors: tuple[Factor, ...]
    """In alphabetical order; one for each set of params that change together."""
    constants: Mapping[str, str]
    seeds: tuple[str, ...]
    """Params ignored as seeds."""
    identifiers: tuple[str, ...]
    """Params ignored because they only name a run, or because nearly every run has a unique text."""
    sparse: tuple[str, ...]
    """Categories set aside because they have too many values for the number of configurations."""
    noise: Noise | None
    """What seeds alone change."""
    left_out: Mapping[str, int]
    """Runs without a usable value, counted by reason."""

    @property
    def runs(self) -> int:
        return sum(len(one.values) for one in self.configurations)


def sweep_of(runs: Sequence[Run], metric: str, *, direction: str = "") -> Sweep:
    """Finished runs with a finite metric, folded to configurations; independent of the order of `runs`.

    Raises: InvalidInputError: no run has the metric, or `direction` is another word than max and min.
    """
    chosen = chosen_direction(metric, direction)
    need_metrics(runs, [metric])
    left_out: list[str] = []
    usable: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.start_time, run.run_id)):
        if reason := why_not_ranked(run, metric):
            left_out.append(reason)
        else:
            usable.append(run)
    keys = sorted({key for run in usable for key in run.params})
    seeds = [key for key in keys if is_seed(key)]
    identifiers = [key for key in keys if key not in seeds and (is_bookkeeping(key) or _is_identifier(key, usable))]
    chosen_keys = [key for key in keys if key not in seeds and key not in identifiers]
    found = _configurations(usable, metric, chosen_keys)
    columns = {key: tuple(_shown(one.params.get(key, "")) for one in found) for key in chosen_keys}
    varying = {key: column for key, column in columns.items() if len(set(column)) > 1}
    sparse = [key for key, column in varying.items() if len(found) >= FEWEST_CONFIGURATIONS and _is_sparse(column)]
    return Sweep(
        metric=metric,
        direction=chosen.direction,
        direction_reason=chosen.reason,
        configurations=found,
        factors=_factors({key: column for key, column in varying.items() if key not in sparse}),
        constants={key: column[0] for key, column in columns.items() if column and key not in varying},
        seeds=tuple(seeds),
        identifiers=tuple(identifiers),
        sparse=tuple(sparse),
        noise=pooled_noise([one.values for one in found]),
        left_out=counted(left_out),
    )


def number_in(text: str) -> float | None:
    """The finite number that a param holds, else None; words such as True and nan are none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _shown(text: str) -> str:
    return MISSING if text.strip().casefold() in _NOTHING else text


def _is_identifier(key: str, runs: Sequence[Run]) -> bool:
    """Nearly every run has a unique text, and it is not a number."""
    texts = [run.params[key] for run in runs if key in run.params]
    words = [text for text in texts if number_in(text) is None]
    return len(words) > FEW_LEVELS and len(words) * 2 > len(texts) and len(set(words)) >= IDENTIFIER_PART * len(words)


def _is_sparse(column: Sequence[str]) -> bool:
    """A category with too many values for the configurations there are."""
    levels = len(set(column))
    return _kind(column) == "category" and levels > 2 and levels * ROWS_PER_LEVEL > len(column)


def _configurations(runs: Sequence[Run], metric: str, keys: Sequence[str]) -> tuple[Configuration, ...]:
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(_comparable(run.params.get(key, "")) for key in keys), []).append(run)
    found: list[Configuration] = []
    for group in groups.values():
        values = tuple(run.metrics[metric] for run in group)
        middle = spread(values)
        assert middle is not None, "usable runs have finite values"
        params = {key: group[0].params[key] for key in keys if key in group[0].params}
        found.append(Configuration(params, values, tuple(run.run_id for run in group), middle.mean))
    return tuple(found)


def _comparable(text: str) -> str:
    """0.10, 0.1 and 1e-1 are one value of a sweep."""
    value = number_in(text)
    return _shown(text) if value is None else repr(value)


def _factors(columns: Mapping[str, tuple[str, ...]]) -> tuple[Factor, ...]:
    together: dict[object, list[str]] = {}
    for key, column in columns.items():
        together.setdefault(_pattern(column), []).append(key)
    factors: list[Factor] = []
    for first, *others in together.values():
        kind = _kind(columns[first])
        factors.append(Factor(first, kind, columns[first], _numbers(columns[first], kind), tuple(others)))
    return tuple(factors)


def _pattern(column: Sequence[str]) -> object:
    """Equal for params that change together: the same configurations share their values.

    Mostly different numbers, as in a random search, share no values at all; then their order must agree.
    """
    places: dict[str, int] = {}
    partition = tuple(places.setdefault(_comparable(text), len(places)) for text in column)
    if len(places) * 2 <= len(column) or _kind(column) == "category":
        return partition
    order = sorted(range(len(column)), key=lambda at: (number_in(column[at]) or 0.0, at))
    return partition, min(tuple(order), tuple(reversed(order)))


def _kind(column: Sequence[str]) -> Kind:
    numbers = [value for value in map(number_in, column) if value is not None]
    set_values = [text for text in column if text != MISSING]
    whole = len(numbers) == len(set_values)
    mostly = len(set(column)) > FEW_LEVELS and len(numbers) >= NUMERIC_PART * len(column)
    # One number and "not set" are two choices, not a scale.
    if len(set(numbers)) < 2 or not (mostly or (whole and len(numbers) >= NUMERIC_PART * len(column))):
        return "category"
    low, high = min(numbers), max(numbers)
    # Uniform draws from 0 to 1 reach far down as well, but half of them lie above the middle.
    return "log" if low > 0.0 and high / low >= LOG_RATIO and median(numbers) < (low + high) / 4 else "number"


def _numbers(column: Sequence[str], kind: Kind) -> tuple[float | None, ...]:
    if kind != "category":
        return tuple(map(number_in, column))
    places = {text: float(place) for place, text in enumerate(sorted(set(column)))}
    return tuple(places[text] for text in column)
