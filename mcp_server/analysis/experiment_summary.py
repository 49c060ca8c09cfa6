"""An experiment at a glance: how many runs, what varies, what each metric reached, and what looks odd."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from mcp_server.analysis.counting import counted
from mcp_server.analysis.naming import Direction, direction_of, is_resource
from mcp_server.analysis.sweeps.repeats import is_bookkeeping
from mcp_server.analysis.sweeps.sweep import number_in
from mcp_server.listing import and_more
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.suggestions import words
from mcp_server.times import utc

LONG_RUNNING_DAYS: Final = 2.0
"""A run that has been RUNNING for longer was probably killed before it could end."""
NAMED: Final = 3
"""Runs or keys named in one remark; the rest are counted."""
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """The latest values of one metric over the runs that logged it."""

    key: str
    n: int
    """Runs with a finite value."""
    minimum: float | None
    median: float | None
    maximum: float | None
    """None when no value is finite."""
    better: Direction | None
    """None for metrics of time, machines and schedules."""
    best_run: Run | None
    """Among FINISHED runs, the earliest of equal ones."""
    not_finite: int
    """Runs whose latest value is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class ParamSummary:
    """The values of one param that varies."""

    key: str
    values: tuple[tuple[str, int], ...]
    """Each with its number of runs; numbers ascending, texts the most frequent first."""
    numeric: bool
    missing: int
    """Runs without it."""


@dataclass(frozen=True, slots=True)
class ExperimentSummary:
    runs: int
    by_status: Mapping[str, int]
    by_user: Mapping[str, int]
    by_day: Mapping[str, int]
    """Runs started on each day (UTC), in order."""
    metrics: tuple[MetricSummary, ...]
    """The most frequent first, those of machines last."""
    params: tuple[ParamSummary, ...]
    """Those that vary, the ones with the fewest values first."""
    constants: Mapping[str, str]
    """Params with one value in all runs."""
    tags: Mapping[str, Mapping[str, int]]
    """Values of the tags that people set, counted."""
    datasets: Mapping[str, int]
    """Runs by `name digest (context)`."""
    runs_with_models: int
    seconds: tuple[float, float, float, float] | None
    """Shortest, median, longest and total duration of the ended runs."""
    odd: tuple[str, ...]
    """Remarks, one sentence each."""


def summarize_runs(runs: Sequence[Run], *, now: int) -> ExperimentSummary:
    """Summarize the runs of an experiment; `now` is the present in UTC milliseconds. Independent of their order."""
    runs = sorted(runs, key=lambda run: (run.start_time, run.run_id))
    varying, constants = _params(runs)
    times = [(run.end_time - run.start_time) / 1_000 for run in runs if run.end_time > run.start_time > 0]
    metrics = tuple(_metric(key, runs) for key in _by_frequency(run.metrics for run in runs))
    return ExperimentSummary(
        runs=len(runs),
        by_status=counted(run.status or "no status" for run in runs),
        by_user=counted(run.tags.get(tag_names.USER, "") or "unknown" for run in runs),
        by_day=dict(sorted(Counter(map(_day, runs)).items())),
        metrics=tuple(sorted(metrics, key=lambda metric: metric.better is None)),
        params=varying,
        constants=constants,
        tags=_tags(runs),
        datasets=counted(_dataset(item.name, item.digest, item.context) for run in runs for item in run.datasets),
        runs_with_models=sum(bool(run.logged_model_ids or tag_names.LOGGED_MODELS in run.tags) for run in runs),
        seconds=(min(times), median(times), max(times), math.fsum(times)) if times else None,
        odd=tuple(_odd(runs, metrics, now)),
    )


def _by_frequency(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return list(counted(key for mapping in mappings for key in mapping))


def _day(run: Run) -> str:
    started = utc(run.start_time)
    return started.strftime("%Y-%m-%d") if started else "no valid day"


def _dataset(name: str, digest: str, context: str) -> str:
    return " ".join(filter(None, [name, digest, f"({context})" if context else ""]))


def _metric(key: str, runs: Sequence[Run]) -> MetricSummary:
    finite = [run for run in runs if math.isfinite(run.metrics.get(key, math.nan))]
    logged = sum(key in run.metrics for run in runs)
    values = [run.metrics[key] for run in finite]
    better = None if is_resource(key) else direction_of(key).direction
    sign = -1.0 if better == "max" else 1.0
    finished = [run for run in finite if run.status == "FINISHED"] if better else []
    best = min(finished, key=lambda run: sign * run.metrics[key], default=None)
    if not values:
        return MetricSummary(key, 0, None, None, None, better, None, logged)
    return MetricSummary(key, len(values), min(values), median(values), max(values), better, best, logged - len(values))


def _params(runs: Sequence[Run]) -> tuple[tuple[ParamSummary, ...], dict[str, str]]:
    """Those that vary, and those that do not."""
    varying: list[ParamSummary] = []
    constants: dict[str, str] = {}
    for key in sorted({key for run in runs for key in run.params}):
        counts = counted(run.params[key] for run in runs if key in run.params)
        missing = len(runs) - sum(counts.values())
        if len(counts) == 1 and not missing:
            constants[key] = next(iter(counts))
            continue
        numbers = {text: number_in(text) for text in counts}
        numeric = all(number is not None for number in numbers.values())
        order = list(counts.items())
        if numeric:
            order.sort(key=lambda item: numbers[item[0]] or 0.0)
        varying.append(ParamSummary(key, tuple(order), numeric, missing))
    return tuple(sorted(varying, key=lambda param: (len(param.values), param.key))), constants


def _tags(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    keys = _by_frequency(run.tags for run in runs)
    shown = [key for key in keys if not key.startswith(tag_names.INTERNAL_PREFIXES)]
    return {key: counted(run.tags[key] for run in runs if key in run.tags) for key in shown}


def _odd(runs: Sequence[Run], metrics: Sequence[MetricSummary], now: int) -> Iterable[str]:
    limit = LONG_RUNNING_DAYS * _DAY_MS
    old = [run for run in runs if run.status == "RUNNING" and run.start_time and now - run.start_time > limit]
    if old:
        longest = (now - old[0].start_time) / _DAY_MS
        yield f"{len(old)} RUNNING for more than {LONG_RUNNING_DAYS:g} days, up to {longest:.0f}: {_names(old)}."
    not_finite = [metric for metric in metrics if metric.not_finite]
    if not_finite:
        listed = ", ".join(f"{metric.key} ({metric.not_finite})" for metric in not_finite[:NAMED])
        yield f"The latest value is NaN or infinite in: {listed}{_more(not_finite)}."
    bare = [run for run in runs if run.status == "FINISHED" and not run.metrics]
    if bare:
        yield f"{len(bare)} FINISHED without a metric: {_names(bare)}."
    yield from _duplicates(runs)
    spellings: dict[tuple[str, ...], list[str]] = {}
    for metric in sorted(metrics, key=lambda metric: metric.key):
        spellings.setdefault(words(metric.key), []).append(metric.key)
    double = [" and ".join(keys) for keys in spellings.values() if len(keys) > 1]
    if double:
        yield f"Metrics that are probably one: {'; '.join(double[:NAMED])}{_more(double)}."


def _duplicates(runs: Sequence[Run]) -> Iterable[str]:
    """Finished runs with exactly the params of another one, their seeds included."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and run.params:
            key = frozenset((name, value) for name, value in run.params.items() if not is_bookkeeping(name))
            groups.setdefault(key, []).append(run)
    repeated = [group for group in groups.values() if len(group) > 1]
    if repeated:
        largest = max(repeated, key=len)
        total = sum(map(len, repeated))
        one = "configuration was" if len(repeated) == 1 else "configurations were"
        yield (
            f"{len(repeated)} {one} run more than once with the same params, seed included ({total} runs), such as "
            f"{_names(largest)}."
        )


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.run_name or 'unnamed'} ({run.run_id[:12]})" for run in runs[:NAMED]) + _more(runs)


def _more(items: Sequence[object]) -> str:
    return and_more(items, NAMED)
