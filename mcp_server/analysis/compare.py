"""Runs side by side: the params that differ, each metric against a baseline, and who wins it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mcp_server.analysis.naming import Direction, direction_of
from mcp_server.analysis.ranking import need_metrics
from mcp_server.analysis.sweeps.repeats import repeated_runs
from mcp_server.errors import InvalidInputError
from mcp_server.listing import listed
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Dataset, Run

FEWEST_RUNS: Final = 2
MOST_RUNS: Final = 100
"""Runs of one comparison; more are a ranking."""

_ORIGIN_TAGS: Final = {
    tag_names.GIT_COMMIT: "git commit",
    tag_names.SOURCE_NAME: "source",
    tag_names.USER: "user",
}
"""Tags that MLflow sets by itself and that can explain a difference."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One column of the comparison."""

    run_id: str
    run_name: str
    status: str
    mark: str
    """Why its values may not be final: failed, killed, running, scheduled or deleted; empty for a finished run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A param, or a circumstance, that is not the same in all runs."""

    key: str
    values: tuple[str | None, ...]
    """One for each run, in the order of `Comparison.runs`; None where the run has none."""


@dataclass(frozen=True, slots=True)
class MetricCell:
    """The latest value of a metric in one run. All three in the metric's own unit, except `percent`."""

    value: float | None
    """None where the run did not log it; can be NaN or infinite."""
    delta: float | None
    """Value minus the baseline's; None for the baseline itself and where either is missing or not finite."""
    percent: float | None
    """`delta` in percent of the baseline's magnitude (its sign is that of `delta`); None too when the baseline is 0."""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    key: str
    direction: Direction
    direction_reason: str
    cells: tuple[MetricCell, ...]
    """One for each run, in the order of `Comparison.runs`."""
    winners: tuple[str, ...]
    """Ids of the runs with the best finite value, several when tied, whatever their status (see `ComparedRun.mark`);
    empty when no value is finite."""


@dataclass(frozen=True, slots=True)
class Comparison:
    runs: tuple[ComparedRun, ...]
    baseline: str
    """Run id of the run that deltas are against."""
    params: tuple[Difference, ...]
    """Those that differ, in alphabetical order; a param that some runs lack differs."""
    params_equal: int
    """Params with one value in all runs; not listed."""
    circumstances: tuple[Difference, ...]
    """What else differs: status, experiment, datasets as `name (digest)`, git commit, source, user."""
    metrics: tuple[MetricComparison, ...]
    """In the order asked for, else alphabetical with MLflow's `system/` metrics last."""
    repeats: tuple[tuple[str, ...], ...]
    """Run ids of each configuration that was run under several seeds."""


def compare_runs(runs: Sequence[Run], *, baseline: str = "", metrics: Sequence[str] = ()) -> Comparison:
    """Put 2 to 100 runs side by side; `baseline` is a run id (the first run by default), `metrics` all by default.

    Directions are inferred from the metrics' names and reported. Columns keep the order of `runs`; the facts of each
    run do not depend on it.
    Raises: InvalidInputError: too few or many runs, one given twice, a baseline that is not among them, or a metric
        that none of them has (the closest names are given).
    """
    _refuse_unusable(runs)
    base = _baseline(runs, baseline)
    keys = _metric_keys(runs, metrics)
    params, equal = _split(_params(runs), len(runs))
    return Comparison(
        runs=tuple(ComparedRun(run.run_id, run.run_name, run.status, _mark(run)) for run in runs),
        baseline=base.run_id,
        params=params,
        params_equal=equal,
        circumstances=_circumstances(runs),
        metrics=tuple(_compare_metric(key, runs, base) for key in keys),
        repeats=repeated_runs(runs),
    )


def _refuse_unusable(runs: Sequence[Run]) -> None:
    if not FEWEST_RUNS <= len(runs) <= MOST_RUNS:
        advice = "name one more" if len(runs) < FEWEST_RUNS else "rank_runs orders any number by one metric"
        raise InvalidInputError(
            f"A comparison takes {FEWEST_RUNS} to {MOST_RUNS} runs, and these are {len(runs)}; {advice}."
        )
    seen: set[str] = set()
    for run in runs:
        if run.run_id in seen:
            raise InvalidInputError(f"Run '{run.run_id}' is given twice; name each run once.")
        seen.add(run.run_id)


def _baseline(runs: Sequence[Run], baseline: str) -> Run:
    if not baseline:
        return runs[0]
    for run in runs:
        if run.run_id == baseline:
            return run
    ids = listed([run.run_id for run in runs])
    raise InvalidInputError(
        f"The baseline '{baseline}' is not among the runs compared. Give the id of one of them: {ids}."
    )


def _metric_keys(runs: Sequence[Run], asked: Sequence[str]) -> list[str]:
    need_metrics(runs, asked)
    known = {key for run in runs for key in run.metrics}
    return list(dict.fromkeys(asked)) or sorted(known, key=lambda key: (key.startswith("system/"), key))


def _mark(run: Run) -> str:
    if run.lifecycle_stage == "deleted":
        return "deleted"
    return "" if run.status == "FINISHED" else run.status.lower() or "no status"


def _params(runs: Sequence[Run]) -> Mapping[str, list[str | None]]:
    return {key: [run.params.get(key) for run in runs] for key in sorted({key for run in runs for key in run.params})}


def _split(rows: Mapping[str, Sequence[str | None]], runs: int) -> tuple[tuple[Difference, ...], int]:
    """The rows that differ, and how many do not."""
    differing = tuple(Difference(key, tuple(values)) for key, values in rows.items() if len(set(values)) > 1)
    return differing, len(rows) - len(differing)


def _circumstances(runs: Sequence[Run]) -> tuple[Difference, ...]:
    rows: dict[str, list[str | None]] = {
        "status": [run.status or None for run in runs],
        "experiment": [run.experiment_id or None for run in runs],
    }
    contexts = sorted({item.context for run in runs for item in run.datasets})
    for context in contexts:
        title = f"{context} dataset" if context else "dataset"
        rows[title] = [_dataset_text(item for item in run.datasets if item.context == context) for run in runs]
    for tag, title in _ORIGIN_TAGS.items():
        rows[title] = [run.tags.get(tag) for run in runs]
    return _split(rows, len(runs))[0]


def different_data(runs: Sequence[Run]) -> tuple[str, ...]:
    """Contexts, such as `validation`, in which runs that name their data used other data."""
    by_context: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for run in runs:
        for context in {item.context for item in run.datasets}:
            used = sorted((item.name, item.digest) for item in run.datasets if item.context == context)
            by_context.setdefault(context, set()).add(tuple(used))
    return tuple(sorted(context for context, used in by_context.items() if len(used) > 1))


def _dataset_text(datasets: Iterable[Dataset]) -> str | None:
    texts = sorted(f"{item.name} ({item.digest})" if item.digest else item.name for item in datasets)
    return ", ".join(texts) or None


def _compare_metric(key: str, runs: Sequence[Run], base: Run) -> MetricComparison:
    direction = direction_of(key)
    finite = {run.run_id: run.metrics[key] for run in runs if key in run.metrics and math.isfinite(run.metrics[key])}
    pick = max if direction.direction == "max" else min
    best = pick(finite.values(), default=None)
    return MetricComparison(
        key=key,
        direction=direction.direction,
        direction_reason=direction.reason,
        cells=tuple(_cell(run.metrics.get(key), None if run is base else base.metrics.get(key)) for run in runs),
        winners=tuple(run_id for run_id, value in finite.items() if value == best),
    )


def _cell(value: float | None, base: float | None) -> MetricCell:
    if value is None or base is None:
        return MetricCell(value, None, None)
    delta = _finite(value - base)
    # Divided before the multiplication: the quotient of two denormals is an ordinary number.
    percent = _finite(delta / abs(base) * 100.0) if delta is not None and base != 0.0 else None
    return MetricCell(value, delta, percent)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
