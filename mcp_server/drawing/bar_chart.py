"""One value per run: bars from zero, or dots where the values are too close for bars to tell them apart."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcp_server.drawing.style import axes_of, color, new_figure

ROW: Final = 0.24
"""Inches of height of one run."""


def bar_chart(request: dict[str, Any]) -> Figure:
    """`labels`, and `panels`: for each `title`, `values` (None: no value), `texts`, `dots`."""
    labels: list[str] = request["labels"]
    panels: list[dict[str, Any]] = request["panels"]
    figure = new_figure(0.9 + ROW * max(len(labels), 3))
    axes = axes_of(figure, 1, len(panels), sharey=True)
    for place, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        _panel(ax, panel, color(place))
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    return figure


def _panel(ax: Axes, panel: dict[str, Any], chosen: str) -> None:
    rows = [at for at, value in enumerate(panel["values"]) if value is not None]
    values = [panel["values"][at] for at in rows]
    if panel["dots"]:
        ax.plot(values, rows, "o", color=chosen, markersize=6)
        ax.margins(x=0.12)
    else:
        ax.barh(rows, values, color=chosen, height=0.7)
        ax.margins(x=0.16)
        ax.axvline(0, color="#444444", linewidth=0.8)
    low, high = ax.get_xlim()
    for at, value in zip(rows, values, strict=True):
        left = value < 0 and not panel["dots"]
        shift = (high - low) * 0.015
        ax.text(
            value - shift if left else value + shift,
            at,
            panel["texts"][at],
            va="center",
            ha="right" if left else "left",
            fontsize=8,
        )
    for at, value in enumerate(panel["values"]):
        if value is None:
            ax.text(low + (high - low) * 0.01, at, panel["texts"][at], va="center", fontsize=8, color="#777777")
    ax.set_title(panel["title"])
    ax.grid(axis="y", visible=False)
