"""What a chart shows: chosen points, labels and scales, with a description in words for those who cannot see it.

Pure facts that JSON can carry; `mcp_server.drawing` makes pictures of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from mcp_server.analysis.charts.chart_axes import (
    LABEL,
    axis,
    drawable_number,
    is_drawable,
    is_log,
    most_frequent,
    number_axis,
    short,
    sideways,
)
from mcp_server.analysis.curves.thinning import thin
from mcp_server.analysis.naming import direction_of, is_resource
from mcp_server.analysis.sweeps.sweep import MISSING
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricSeries, Run

CURVES_TOLD_APART: Final = 7
"""Curves that each get a colour; when there are more, the best ones get one and the rest are grey."""
POINTS: Final = 400
"""Points of one curve; more would share pixels."""
BARS: Final = 30
"""Runs of one bar chart, the best."""
MARKED: Final = 6
"""Points of a Pareto front that are named."""
LINES: Final = 300
"""Lines of a parallel chart; of more runs an even sample of their ranking is shown, with the best and the worst."""
AXES: Final = 7
"""Params of a parallel chart."""


@dataclass(frozen=True, slots=True)
class Chart:
    request: Mapping[str, Any]
    """For `mcp_server.drawing.charts.draw`."""
    description: str
    """Alternative text: kind, what is on it, and the values that stand out."""
    hint: str = ""
    """What is not on it."""


def curves_chart(runs: Sequence[Run], series: Sequence[MetricSeries], metrics: Sequence[str]) -> Chart:
    """A panel for each metric with a curve for each run that logged it."""
    labels = labels_of(runs)
    shown = _told_apart(runs, series, metrics[0])
    panels: list[dict[str, Any]] = []
    told: list[str] = []
    for metric in metrics:
        of_metric = [one for one in series if one.key == metric]
        values = [point.value for one in of_metric for point in one.points if is_drawable(point.value)]
        panels.append(
            {
                "title": short(metric, 60),
                "log": is_log(values),
                "curves": [_curve(one, labels[one.run_id], background=one.run_id not in shown) for one in of_metric],
            }
        )
        told.append(_told_curves(metric, of_metric, labels))
    rest = len({one.run_id for one in series}) - len(shown)
    way = "the best" if not is_resource(metrics[0]) else "the first"
    hint = f"{len(shown)} curves are coloured, {way} by {metrics[0]}; the other {rest} are grey." if rest > 0 else ""
    request = {"kind": "curves", "panels": panels, "background_label": _runs(rest, "other ")}
    return Chart(request, f"Line chart over steps. {' '.join(told)}", hint)


def bars_chart(runs: Sequence[Run], metrics: Sequence[str]) -> Chart:
    """The latest value of one to three metrics for each run, the best by the first metric on top."""
    best_first = _best_first(metrics[0])
    ordered = sorted(runs, key=lambda run: (*best_first(run), run.run_id))[:BARS]
    names = labels_of(ordered)
    panels = [_bars(metric, ordered) for metric in metrics]
    first, last = ordered[0], ordered[-1]
    text = f"Bar chart of {' and '.join(metrics)} for {_runs(len(ordered))}, the best by {metrics[0]} on top: "
    text += f"{names[first.run_id]} {_shown(first.metrics.get(metrics[0]))}"
    text += f", last {names[last.run_id]} {_shown(last.metrics.get(metrics[0]))}." if len(ordered) > 1 else "."
    if any(panel["dots"] for panel in panels):
        text += " Dots instead of bars: the axis does not begin at zero."
    hint = f"{len(runs) - BARS} worse runs are not shown." if len(runs) > BARS else ""
    labels = [names[run.run_id] for run in ordered]
    return Chart({"kind": "bars", "labels": labels, "panels": panels}, text, hint)


def scatter_chart(runs: Sequence[Run], param: str, metric: str) -> Chart:
    """A param against a metric, with the best run marked.

    Raises: InvalidInputError: no run has a finite value of both.
    """
    usable = [run for run in runs if param in run.params and is_drawable(run.metrics.get(metric, math.nan))]
    if not usable:
        raise InvalidInputError(f"No finished run has both the param '{param}' and a finite value of '{metric}'.")
    numbers = [drawable_number(run.params[param]) for run in usable]
    categories: list[str] = []
    if any(number is None for number in numbers):
        counted = most_frequent([run.params[param] for run in usable])
        usable = [run for run in usable if run.params[param] in counted]
        categories = _distinct([short(text) or MISSING for text in counted])
        xs = [counted.index(run.params[param]) + sideways(at) for at, run in enumerate(usable)]
    else:
        xs = [float(number or 0.0) for number in numbers]
    ys = [run.metrics[metric] for run in usable]
    pick = max if direction_of(metric).direction == "max" else min
    best = ys.index(pick(ys))
    best_text = f"{_name(usable[best])}: {ys[best]:.4g}"
    request = _plane(param, metric, xs, ys, categories) | {
        "marked": [{"place": best, "text": short(best_text, 45)}],
        "marked_label": "best run",
        "others_label": _runs(len(xs) - 1, "other "),
    }
    if categories:
        groups = [[y for x, y in zip(xs, ys, strict=True) if round(x) == place] for place in range(len(categories))]
        request["medians"] = [median(group) for group in groups]
        told = ", ".join(f"{label} {median(group):.4g}" for label, group in zip(categories, groups, strict=True))
        text = f"Medians: {told}."
    else:
        text = f"{param} from {min(xs):.4g} to {max(xs):.4g}{' (log scale)' if request['x_log'] else ''}."
    text += f" Best: {best_text} at {param} {usable[best].params[param]}."
    left = len(runs) - len(usable)
    hint = f"{left} runs without a usable value are not shown." if left else ""
    return Chart(request, f"Scatter chart of {metric} against {param} for {_runs(len(xs))}. {text}", hint)


def pareto_chart(points: Sequence[tuple[Run, float, float]], front: Sequence[str], metrics: Sequence[str]) -> Chart:
    """Two metrics of runs with the Pareto front, given by run ids, the best by the first metric first."""
    xs, ys = [x for _, x, _ in points], [y for _, _, y in points]
    # The ends of the front and some between them, so that the names do not crowd one corner.
    names = {front[at * (len(front) - 1) // (MARKED - 1)] for at in range(MARKED)} if front else set[str]()
    marked = [
        {"place": at, "text": short(_name(run)) if run.run_id in names else ""}
        for at, (run, _, _) in enumerate(points)
        if run.run_id in set(front)
    ]
    request = _plane(metrics[0], metrics[1], xs, ys, []) | {
        "line": True,
        "marked": marked,
        "marked_label": f"Pareto front ({_runs(len(marked))})",
        "others_label": _runs(len(points) - len(marked), "dominated "),
    }
    ways = " and ".join(f"{metric} ({direction_of(metric).direction})" for metric in metrics)
    told = ", ".join(f"{_name(run)} ({x:.4g}, {y:.4g})" for run, x, y in points if run.run_id in names)
    text = f"Scatter chart of {ways} for {_runs(len(points))}; on the Pareto front: {told}"
    more = f" and {len(marked) - len(names)} more" if len(marked) > len(names) else ""
    return Chart(request, f"{text}{more}.")


def parallel_chart(runs: Sequence[Run], params: Sequence[str], metric: str) -> Chart:
    """A line for each run over the axes of some params and the metric; the best run stands out."""
    usable = [run for run in runs if is_drawable(run.metrics.get(metric, math.nan))]
    if not usable:
        raise InvalidInputError(f"No finished run has a finite value of '{metric}'.")
    best_is = direction_of(metric).direction
    usable.sort(key=lambda run: run.metrics[metric], reverse=best_is == "min")
    total = len(usable)
    if total > LINES:
        usable = [usable[at * (total - 1) // (LINES - 1)] for at in range(LINES)]
    ticks: list[dict[str, Any]] = []
    columns: list[list[float | None]] = []
    for param in params:
        places, marks = axis([run.params.get(param, "") for run in usable])
        columns.append(places)
        ticks.append({"title": short(param, 22), "ticks": marks})
    values = [run.metrics[metric] for run in usable]
    places, marks = number_axis(values)
    columns.append(list(places))
    ticks.append({"title": short(metric, 22), "ticks": marks})
    last = max(len(usable) - 1, 1)
    best = usable[-1]
    request = {
        "kind": "parallel",
        "title": f"{_runs(len(usable))}, the best by {short(metric, 40)} in orange, darker is better",
        "axes": ticks,
        "lines": [list(line) for line in zip(*columns, strict=True)],
        "good": [at / last if len(usable) > 1 else 1.0 for at in range(len(usable))],
    }
    told = ", ".join(f"{param} {short(best.params.get(param, MISSING))}" for param in params)
    text = f"Parallel coordinates of {', '.join(params)} and {metric} for {_runs(len(usable))}. "
    hint = f"Shown: {LINES} of {total:,} runs, evenly by rank." if total > LINES else ""
    return Chart(request, f"{text}Best: {_name(best)} with {metric} {best.metrics[metric]:.4g} at {told}.", hint)


def labels_of(runs: Sequence[Run]) -> dict[str, str]:
    """Short names by run id that differ from each other."""
    names = {run.run_id: _name(run) for run in runs}
    taken = list(names.values())
    return {
        run_id: name if taken.count(name) == 1 else f"{short(name, LABEL - 9)} {run_id[:8]}"
        for run_id, name in names.items()
    }


def _name(run: Run) -> str:
    return short(run.run_name) or run.run_id[:8]


def _shown(value: float | None) -> str:
    if value is None:
        return "no value"
    return f"{value:.4g}" if is_drawable(value) else "NaN" if math.isnan(value) else "too large to draw"


def _runs(count: int, kind: str = "") -> str:
    return f"{count} {kind}{'run' if count == 1 else 'runs'}"


def _told_apart(runs: Sequence[Run], series: Sequence[MetricSeries], metric: str) -> set[str]:
    """Run ids that each get a colour: all when they are few, else the best by the end of their first metric."""
    there = {one.run_id for one in series}
    ids = [run.run_id for run in runs if run.run_id in there]
    if len(ids) <= CURVES_TOLD_APART:
        return set(ids)
    if not is_resource(metric):
        by_id = {run.run_id: run for run in runs}
        best_first = _best_first(metric)
        ids.sort(key=lambda run_id: best_first(by_id[run_id]))
    return set(ids[:CURVES_TOLD_APART])


def _best_first(metric: str) -> Callable[[Run], tuple[bool, float]]:
    """A sorting key: the best latest value first, what cannot be drawn last."""
    sign = -1.0 if direction_of(metric).direction == "max" else 1.0

    def order(run: Run) -> tuple[bool, float]:
        value = run.metrics.get(metric, math.nan)
        return (not is_drawable(value), sign * value if is_drawable(value) else 0.0)

    return order


def _curve(series: MetricSeries, label: str, *, background: bool) -> dict[str, Any]:
    points = thin(series.points, POINTS)
    steps = [point.step for point in points]
    values = [point.value if is_drawable(point.value) else math.nan for point in points]
    return {"label": label, "steps": steps, "values": values, "background": background}


def _told_curves(metric: str, series: Sequence[MetricSeries], labels: Mapping[str, str]) -> str:
    ends = [(one.points[-1].value, labels[one.run_id]) for one in series if one.points]
    finite = sorted(end for end in ends if is_drawable(end[0]))
    broken = sum(any(not is_drawable(point.value) for point in one.points) for one in series)
    text = f"{metric} of {_runs(len(series))}: "
    if not finite:
        text += "no finite value at the end"
    elif len(finite) == 1:
        text += f"{finite[0][1]} ends at {finite[0][0]:.4g}"
    else:
        text += f"lowest at the end {finite[0][1]} ({finite[0][0]:.4g}), highest {finite[-1][1]} ({finite[-1][0]:.4g})"
    return text + (f"; {broken} with NaN or infinite values." if broken else ".")


def _bars(metric: str, runs: Sequence[Run]) -> dict[str, Any]:
    values = [run.metrics.get(metric) for run in runs]
    finite = [value for value in values if value is not None and is_drawable(value)]
    # Bars must begin at zero, where values of 0.91 and 0.93 look the same.
    narrow = bool(finite) and max(finite) - min(finite) < 0.3 * max(map(abs, finite))
    return {
        "title": short(metric, 40),
        "values": [value if value is not None and is_drawable(value) else None for value in values],
        "texts": [_shown(value) for value in values],
        "dots": narrow and len(finite) > 1,
    }


def _plane(x: str, y: str, xs: Sequence[float], ys: Sequence[float], categories: Sequence[str]) -> dict[str, Any]:
    x_log, y_log = not categories and is_log(xs), is_log(ys)
    return {
        "kind": "scatter",
        "x": list(xs),
        "y": list(ys),
        "x_title": short(x, 60) + (" (log scale)" if x_log else ""),
        "y_title": short(y, 50) + (" (log scale)" if y_log else ""),
        "x_log": x_log,
        "y_log": y_log,
        "categories": list(categories),
        "medians": [],
        "line": False,
    }


def _distinct(labels: Sequence[str]) -> list[str]:
    return [
        f"{label} ({labels[:at].count(label) + 1})" if labels.count(label) > 1 else label
        for at, label in enumerate(labels)
    ]
