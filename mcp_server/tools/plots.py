"""plot_metrics: a picture of curves, values or relations."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from mcp_server.analysis.charts import pictures
from mcp_server.analysis.charts.pictures import Chart
from mcp_server.analysis.naming import direction_of
from mcp_server.analysis.ranking import need_metrics, why_not_ranked
from mcp_server.analysis.sweeps.param_effects import strongest_first
from mcp_server.analysis.sweeps.pareto import pareto_front
from mcp_server.analysis.sweeps.sweep import sweep_of
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.all_runs import read_runs
from mcp_server.mlflow_integration.operations.searching.order_by import by_metric
from mcp_server.redaction import redacted
from mcp_server.rendering import Picture, Record
from mcp_server.suggestions import suggestion
from mcp_server.tools._context import OneEngine
from mcp_server.tools._params import ExperimentRefs, MetricNames, ParamNames, RunRefs, SameFilter
from mcp_server.worker import compute

Kind = Literal["curves", "bars", "scatter", "parallel", "pareto"]

CURVE_RUNS: Final = 50
"""Runs of one chart of curves: more are a grey surface, and MLflow reads them one by one."""
PANELS: Final = {"curves": 4, "bars": 3, "scatter": 1, "parallel": 1, "pareto": 2}
"""Metrics that each kind of chart takes."""
MOST_RUNS: Final = 2_000
"""Points and lines of the other charts."""
READING_PART: Final = 0.4
"""Part of the deadline that may be spent on searching runs; curves and drawing take the rest."""


async def plot_metrics(
    engine: OneEngine,
    metrics: Annotated[MetricNames, Field(min_length=1, max_length=4, description="Metric names, such as val_loss.")],
    kind: Annotated[
        Kind,
        Field(
            description="scatter: a param against a metric; parallel: coordinates of params and a metric; pareto: the "
            "front of two metrics."
        ),
    ] = "curves",
    runs: Annotated[RunRefs, Field(min_length=0, description="Runs. Default: those of experiments.")] = (),
    experiments: ExperimentRefs = (),
    params: Annotated[ParamNames, Field(description="For scatter and parallel. Default: those that vary.")] = (),
    filter_string: SameFilter = "",
) -> Picture:
    """Draw a chart as an image: learning curves, bar chart, scatter plot, parallel coordinates, Pareto front.

    The text with it describes what it shows.
    """
    if len(metrics) > PANELS[kind] or (kind == "pareto" and len(metrics) != 2):
        number = "exactly 2 metrics" if kind == "pareto" else f"at most {PANELS[kind]}"
        raise InvalidInputError(f"A chart of kind {kind} takes {number}, not {len(metrics)}.")
    found, left = await _runs(engine, kind, metrics, runs, experiments, filter_string)
    chart = await _chart(engine, kind, found, metrics, params)
    # Redacted before it is drawn: nothing can be taken out of a picture.
    drawn = await compute("draw", redacted(dict(chart.request)))
    return Picture(
        base64.b64decode(drawn["png"]),
        "image/png",
        Record(
            {"picture": chart.description, "size": f"{drawn['width']} x {drawn['height']} pixels"},
            hint=f"{chart.hint} {left}".strip(),
        ),
    )


async def _runs(
    engine: OneEngine,
    kind: Kind,
    metrics: Sequence[str],
    runs: Sequence[str],
    experiments: Sequence[str],
    filter_string: str,
) -> tuple[Sequence[Run], str]:
    """The runs of the chart, and a sentence about those that are left out."""
    if runs:
        return _with_metric(await engine.tracking.get_runs(runs), metrics), ""
    few = kind in ("curves", "bars")
    order = by_metric(metrics[0], descending=direction_of(metrics[0]).direction == "max")
    found = await read_runs(
        engine.tracking,
        experiments,
        filter_string=filter_string,
        order_by=[order] if few else [],
        most=CURVE_RUNS if few else MOST_RUNS,
        seconds=engine.settings.timeout_seconds * READING_PART,
    )
    if not found.runs:
        raise InvalidInputError(found.why_empty or "No run matches.")
    which = f"best by {metrics[0]}" if few else "newest"
    left = "" if found.complete else f"Only the {len(found.runs):,} runs {which} are shown; there are more."
    return _with_metric(found.runs, metrics), left


def _with_metric(runs: Sequence[Run], metrics: Sequence[str]) -> Sequence[Run]:
    """Raises: InvalidInputError: no run has one of the metrics."""
    need_metrics(runs, metrics)
    return [run for run in runs if any(metric in run.metrics for metric in metrics)]


async def _chart(
    engine: OneEngine, kind: Kind, runs: Sequence[Run], metrics: Sequence[str], params: Sequence[str]
) -> Chart:
    if kind == "curves":
        runs = runs[:CURVE_RUNS]
        return pictures.curves_chart(runs, await engine.metric_history.read(runs, metrics), metrics)
    if kind == "bars":
        return pictures.bars_chart(runs, metrics)
    if kind == "pareto":
        front = pareto_front(runs, metrics)
        usable = [run for run in runs if not any(why_not_ranked(run, metric) for metric in metrics)]
        points = [(run, run.metrics[metrics[0]], run.metrics[metrics[1]]) for run in usable]
        return pictures.pareto_chart(points, [entry.run.run_id for entry in front.front], metrics)
    usable = [run for run in runs if not why_not_ranked(run, metrics[0])]
    chosen = _params(usable, metrics[0], params)
    if kind == "scatter":
        return pictures.scatter_chart(usable, chosen[0], metrics[0])
    return pictures.parallel_chart(usable, chosen[: pictures.AXES], metrics[0])


def _params(runs: Sequence[Run], metric: str, asked: Sequence[str]) -> Sequence[str]:
    """The params asked for, else those that vary. Raises: InvalidInputError: unknown, or none varies."""
    known = {key for run in runs for key in run.params}
    for name in asked:
        if name not in known:
            raise InvalidInputError(f"None of these {len(runs)} runs has the param '{name}'. {suggestion(name, known)}")
    chosen = asked or strongest_first(sweep_of(runs, metric))
    if not chosen:
        raise InvalidInputError(
            f"No param varies over these {len(runs)} finished runs with {metric}; name one in params."
        )
    return chosen
