"""Learning curves: a panel for each metric, a line for each run."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mcp_server.drawing.style import COLORS, GREY, STYLES, axes_of, color, legend_below, log_axis, new_figure

MARKED_POINTS: Final = 15
"""Finite points; of as many or fewer each is marked, because few points make no line."""


def line_chart(request: dict[str, Any]) -> Figure:
    """`panels`: for each `title`, `log` and `curves`, which have `label`, `steps`, `values`, and `background`.

    A label has one colour in all panels; background curves are grey and share the legend entry `background_label`.
    """
    panels: list[dict[str, Any]] = request["panels"]
    figure = new_figure(1.1 + (3.4 if len(panels) == 1 else 2.3 * len(panels)))
    axes = axes_of(figure, len(panels), 1, sharex=True)
    handles: dict[str, Any] = {}
    places: dict[str, int] = {}
    for panel, ax in zip(panels, axes, strict=True):
        for curve in sorted(panel["curves"], key=lambda curve: not curve["background"]):
            label = request["background_label"] if curve["background"] else curve["label"]
            place = None if curve["background"] else places.setdefault(label, len(places))
            handles.setdefault(label, _line(ax, curve, place))
        _dress(ax, panel)
    axes[-1].set_xlabel("step")
    ordered = sorted(handles, key=lambda label: places.get(label, len(places)))
    legend_below(figure, [handles[label] for label in ordered], ordered)
    return figure


def _line(ax: Axes, curve: dict[str, Any], place: int | None) -> Any:
    steps, values = curve["steps"], [value if math.isfinite(value) else math.nan for value in curve["values"]]
    finite = [at for at, value in enumerate(values) if not math.isnan(value)]
    if place is None:
        look: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "alpha": 0.6, "zorder": 1.5}
    else:
        look = {"color": color(place), "linestyle": STYLES[place // len(COLORS) % len(STYLES)]}
    marker = "o" if len(finite) <= MARKED_POINTS else ""
    (line,) = ax.plot(steps, values, marker=marker, markersize=4, **look)
    if place is not None and len(finite) < len(values) and finite:
        at = finite[-1] if finite[-1] < len(values) - 1 else None
        if at is not None:
            ax.plot([steps[at]], [values[at]], marker="x", markersize=9, markeredgewidth=2, color=look["color"])
            ax.annotate("NaN", (steps[at], values[at]), xytext=(6, 4), textcoords="offset points", fontsize=8)
    return line


def _dress(ax: Axes, panel: dict[str, Any]) -> None:
    ax.set_title(panel["title"] + (" (log scale)" if panel["log"] else ""))
    if panel["log"]:
        ax.set_yscale("log")
        log_axis(ax.yaxis)
    steps = {step for curve in panel["curves"] for step in curve["steps"]}
    if len(steps) == 1:
        ax.set_xlim(min(steps) - 1, min(steps) + 1)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if not ax.lines or all(math.isnan(value) for line in ax.lines for value in map(float, line.get_ydata())):  # type: ignore[arg-type]
        ax.text(0.5, 0.5, "no finite value", transform=ax.transAxes, ha="center", color="#666666")
        ax.set_yticks([])
