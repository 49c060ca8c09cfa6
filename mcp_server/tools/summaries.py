"""summarize_experiment: a whole experiment in one answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mcp_server.analysis.experiment_summary import ExperimentSummary, MetricSummary, ParamSummary, summarize_runs
from mcp_server.listing import listed
from mcp_server.mlflow_integration.operations.all_runs import read_runs
from mcp_server.rendering import Record, Table, duration
from mcp_server.tools._context import OneEngine
from mcp_server.tools._failures import failures_table
from mcp_server.tools._params import ExperimentRef, SameFilter, SameSince
from mcp_server.tools._views import VALUE_LIMIT
from mcp_server.untrusted import clip

MOST_RUNS: Final = 10_000
"""Runs that one summary reads, the newest; 20 MB of MLflow's JSON."""
READING_PART: Final = 0.6
"""Part of the deadline that may be spent on reading them; the rest is for the answer."""
LOGS_PART: Final = 0.15
"""Part of the deadline that may be spent on the logs of failed runs."""
METRICS_SHOWN: Final = 20
PARAMS_SHOWN: Final = 20
VALUES_SHOWN: Final = 6
TAGS_SHOWN: Final = 8
DAYS_SHOWN: Final = 14


async def summarize_experiment(
    engine: OneEngine, experiment: ExperimentRef = "", filter_string: SameFilter = "", since: SameSince = ""
) -> Record:
    """Give an overview of an experiment: what was tried, how many runs failed and why, how many are running, who ran
    them and when.

    Metrics with range and best run, varying hyperparameters with values, tags, datasets, durations, and
    what looks odd.
    """
    place = await engine.tracking.references.experiment(experiment)
    found = await read_runs(
        engine.tracking,
        [place.experiment_id],
        filter_string=filter_string,
        since=since,
        most=MOST_RUNS,
        seconds=engine.settings.timeout_seconds * READING_PART,
    )
    summary = summarize_runs(found.runs, now=int(time.time() * 1_000))
    return Record(
        {
            "experiment": place.name,
            "experiment_id": place.experiment_id,
            "runs": summary.runs,
            **_counts(summary),
            "failures": await failures_table(
                engine.artifacts_api, found.runs, seconds=engine.settings.timeout_seconds * LOGS_PART
            ),
            "odd": list(summary.odd),
            "metrics": _metrics(summary.metrics[:METRICS_SHOWN]) if summary.metrics else None,
            "varying_params": _params(summary) if summary.params else None,
            "constant_params": _texts(summary.constants, PARAMS_SHOWN),
            "tags": {key: _values(values.items()) for key, values in _first(summary.tags, TAGS_SHOWN)},
            "datasets": dict(_first(summary.datasets, TAGS_SHOWN)),
            "runs_with_models": summary.runs_with_models,
            "url": await engine.experiments.url(place.experiment_id),
        },
        hint=found.why_empty or _hint(summary, complete=found.complete),
    )


def _counts(summary: ExperimentSummary) -> dict[str, Any]:
    days = dict(list(summary.by_day.items())[-DAYS_SHOWN:])
    facts: dict[str, Any] = {"by_status": summary.by_status, "by_user": dict(_first(summary.by_user, TAGS_SHOWN))}
    facts["by_day"] = days
    if summary.seconds:
        names = ("shortest", "median", "longest", "total")
        texts = (duration(1, 1 + round(seconds * 1_000)) for seconds in summary.seconds)
        facts["duration"] = dict(zip(names, texts, strict=True))
    return facts


def _metrics(metrics: Iterable[MetricSummary]) -> Table:
    rows = [
        [
            metric.key,
            metric.n,
            metric.minimum,
            metric.median,
            metric.maximum,
            metric.better or "",
            metric.best_run.run_name if metric.best_run else "",
            metric.best_run.run_id[:12] if metric.best_run else "",
            metric.not_finite or "",
        ]
        for metric in metrics
    ]
    columns = ["metric", "n", "min", "median", "max", "better", "best_run", "run_id", "not_finite"]
    return Table(columns, rows).without_empty(keep=5)


def _params(summary: ExperimentSummary) -> Table:
    rows = [
        [param.key, len(param.values), _param_values(param), param.missing or ""]
        for param in summary.params[:PARAMS_SHOWN]
    ]
    return Table(["param", "values", "runs_by_value", "missing"], rows).without_empty(keep=3)


def _param_values(param: ParamSummary) -> str:
    if len(param.values) > VALUES_SHOWN and all(count == 1 for _, count in param.values) and not param.numeric:
        return f"each in one run, such as {clip(param.values[0][0], VALUE_LIMIT)}"
    if param.numeric and len(param.values) > VALUES_SHOWN:
        texts = [text for text, _ in param.values]
        return f"{texts[0]} to {texts[-1]}, median {texts[len(texts) // 2]}"
    return _values(param.values)


def _values(values: Iterable[tuple[str, int]]) -> str:
    return listed([f"{clip(text, VALUE_LIMIT)} ({count})" for text, count in values], VALUES_SHOWN)


def _texts(mapping: Mapping[str, str], most: int) -> dict[str, str]:
    return {key: clip(value, VALUE_LIMIT) for key, value in _first(mapping, most)}


def _first(mapping: Mapping[str, Any], most: int) -> list[tuple[str, Any]]:
    return list(mapping.items())[:most]


def _hint(summary: ExperimentSummary, *, complete: bool) -> str:
    hints: list[str] = []
    if not complete:
        hints.append(
            f"These are the newest {summary.runs:,} runs; there are older ones. Narrow with since or filter_string."
        )
    cut = [
        *_beyond("metrics", [metric.key for metric in summary.metrics], METRICS_SHOWN),
        *_beyond("params", [param.key for param in summary.params], PARAMS_SHOWN),
        *_beyond("constant params", list(summary.constants), PARAMS_SHOWN),
        *_beyond("tags", list(summary.tags), TAGS_SHOWN),
        *_beyond("datasets", list(summary.datasets), TAGS_SHOWN),
    ]
    if len(summary.by_day) > DAYS_SHOWN:
        cut.append(f"{len(summary.by_day) - DAYS_SHOWN} earlier days")
    if cut:
        hints.append(f"Not shown: {'; '.join(cut)}. search_runs shows them as columns.")
    return " ".join(hints)


def _beyond(what: str, keys: list[str], most: int) -> list[str]:
    rest = [clip(key, VALUE_LIMIT) for key in keys[most:]]
    return [f"{what} {listed(rest)}"] if rest else []
