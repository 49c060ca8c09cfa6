"""Configurations ranked by the mean over their seeds, for rank_runs with folded seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp_server.analysis.counting import counted
from mcp_server.analysis.naming import Direction
from mcp_server.analysis.ranking import chosen_direction, need_metrics, why_not_ranked
from mcp_server.analysis.sweeps.repeats import Spread, configurations, is_seed, spread
from mcp_server.analysis.sweeps.significance import Verdict, contrast, pooled_noise
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run


@dataclass(frozen=True, slots=True)
class RankedConfiguration:
    """Runs that differ only in their seeds, as one entry."""

    rank: int
    """From 1; equal means share it."""
    mean: float
    """Over the ranked runs, in the metric's unit."""
    std: float | None
    """Sample standard deviation over them; absent for n = 1."""
    n: int
    """Runs ranked: finished, with a finite value."""
    runs: tuple[Run, ...]
    """Those n runs, the best first."""
    left_out: int
    """Runs of the configuration that failed, still run, or have no finite value."""
    against_best: Verdict | None
    """Whether its mean differs from that of rank 1; None for the first entry."""


@dataclass(frozen=True, slots=True)
class ConfigurationRanking:
    metric: str
    direction: Direction
    direction_reason: str
    ranked: tuple[RankedConfiguration, ...]
    """The best, at most `top`."""
    rankable: int
    """Configurations with at least one ranked run."""
    runs: int
    """Ranked runs over all of them."""
    seeds: tuple[str, ...]
    """Params that were ignored as seeds, by name; empty when no run logs one: then every run is its own entry."""
    left_out: dict[str, int]
    """Runs without a place, counted by reason."""


def rank_configurations(
    runs: Sequence[Run], metric: str, *, direction: str = "", top: int = 10
) -> ConfigurationRanking:
    """Rank configurations by the mean of a metric over their seeds; independent of the order of `runs`.

    Imports `scipy.special` (0.3 s the first time): call it in a thread.
    Raises: InvalidInputError: no run has the metric, `direction` is another word, `top` is below 1.
    """
    if top < 1:
        raise InvalidInputError(f"max_results is {top}; give 1 or more.")
    chosen = chosen_direction(metric, direction)
    need_metrics(runs, [metric])
    sign = -1.0 if chosen.direction == "max" else 1.0
    left_out: list[str] = []
    entries: list[tuple[Spread, tuple[Run, ...], int]] = []
    for group in configurations(sorted(runs, key=lambda run: (run.start_time, run.run_id))):
        reasons = [why_not_ranked(run, metric) for run in group]
        left_out += filter(None, reasons)
        able = [run for run, reason in zip(group, reasons, strict=True) if not reason]
        able.sort(key=lambda run: sign * run.metrics[metric])
        if found := spread(run.metrics[metric] for run in able):
            entries.append((found, tuple(able), len(group) - len(able)))
    # Stable: equal means keep the order of their first runs.
    entries.sort(key=lambda entry: sign * entry[0].mean)
    return ConfigurationRanking(
        metric=metric,
        direction=chosen.direction,
        direction_reason=chosen.reason,
        ranked=_ranked(entries, metric, top),
        rankable=len(entries),
        runs=sum(len(able) for _, able, _ in entries),
        seeds=tuple(sorted({key for run in runs for key in run.params if is_seed(key)})),
        left_out=counted(left_out),
    )


def _ranked(
    entries: Sequence[tuple[Spread, tuple[Run, ...], int]], metric: str, top: int
) -> tuple[RankedConfiguration, ...]:
    samples = [[run.metrics[metric] for run in able] for _, able, _ in entries]
    noise = pooled_noise(samples)
    compared = min(len(entries), top) - 1
    ranked: list[RankedConfiguration] = []
    for place, (found, able, left_out) in enumerate(entries[:top], start=1):
        tied = bool(ranked) and ranked[-1].mean == found.mean
        against = contrast(samples[0], samples[place - 1], noise=noise, comparisons=compared) if ranked else None
        rank = ranked[-1].rank if tied else place
        verdict = against.verdict if against else None
        ranked.append(RankedConfiguration(rank, found.mean, found.std, found.n, able, left_out, verdict))
    return tuple(ranked)
