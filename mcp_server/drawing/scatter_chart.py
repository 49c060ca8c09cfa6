"""Points in a plane: a param against a metric, or two metrics with their Pareto front."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mcp_server.drawing.style import COLORS, GREY, hide_overlapping, legend_below, log_axis, new_figure

HEIGHT: Final = 4.5
MARKED: Final = "marked"
CROWDED: Final = 200
"""Points; as many or more are drawn small and see-through."""


def scatter_chart(request: dict[str, Any]) -> Figure:
    """`x`, `y` (numbers), `x_title`, `y_title`, `x_log`, `y_log`, `categories` (labels of x = 0, 1, ...; or empty).

    `marked`: places of highlighted points with `text` each; `line`: whether a step line joins them (a front).
    `marked_label`, `others_label`: for the legend.
    """
    figure = new_figure(HEIGHT)
    ax: Axes = figure.subplots()  # type: ignore[assignment]
    xs, ys = request["x"], request["y"]
    marked = {item["place"] for item in request["marked"]}
    others = [at for at in range(len(xs)) if at not in marked]
    crowded = len(xs) >= CROWDED
    plain = ax.scatter(
        [xs[at] for at in others],
        [ys[at] for at in others],
        s=14 if crowded else 32,
        alpha=0.45 if crowded else 0.75,
        color=GREY if request["line"] else COLORS[0],
        linewidths=0,
    )
    for axis, log in (("x", request["x_log"]), ("y", request["y_log"])):
        if log:
            ax.set(**{f"{axis}scale": "log"})
    _marks(ax, request)
    if request["categories"]:
        _category_axis(ax, request)
    ax.set_xlabel(request["x_title"])
    ax.set_ylabel(request["y_title"])
    ax.margins(0.1)
    for axis, log in ((ax.xaxis, request["x_log"]), (ax.yaxis, request["y_log"])):
        if log:
            log_axis(axis)
    if request["marked"] and others:
        best = next(one for one in ax.collections if one.get_label() == MARKED)
        legend_below(figure, [best, plain], [request["marked_label"], request["others_label"]])
    hide_overlapping(figure, _names(ax, request))
    return figure


def _marked(request: dict[str, Any]) -> list[tuple[float, float, str]]:
    """The marked points from left to right."""
    return sorted(
        (request["x"][item["place"]], request["y"][item["place"]], item["text"]) for item in request["marked"]
    )


def _marks(ax: Axes, request: dict[str, Any]) -> None:
    points = _marked(request)
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    if request["line"]:
        ax.plot(xs, ys, color=COLORS[1], linewidth=1.2, linestyle="--")
    ax.scatter(xs, ys, s=60, color=COLORS[1], marker="D", zorder=3, label=MARKED)


def _names(ax: Axes, request: dict[str, Any]) -> list[Text]:
    """Names next to the marked points, inside the axes; to be called once these have their limits."""
    texts: list[Text] = []
    for x, y, text in _marked(request):
        across, up = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
        left, below = across > 0.6, up > 0.95
        texts.append(
            ax.annotate(
                text,
                (x, y),
                xytext=(-9 if left else 9, -13 if below else 5),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=8,
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6},
                zorder=4,
            )
        )
    return [text for text in texts if text.get_text()]


def _category_axis(ax: Axes, request: dict[str, Any]) -> None:
    labels = request["categories"]
    slanted = len(labels) > 6 or sum(map(len, labels)) > 60
    ax.set_xticks(range(len(labels)), labels, rotation=30 if slanted else 0, ha="right" if slanted else "center")
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.grid(axis="x", visible=False)
    for place, median in enumerate(request["medians"]):
        ax.plot([place - 0.3, place + 0.3], [median, median], color="#222222", linewidth=2, zorder=2.5)
