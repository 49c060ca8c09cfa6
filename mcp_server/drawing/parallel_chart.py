"""Parallel coordinates: an axis for each param and one for the metric, a line for each run."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcp_server.drawing.style import new_figure

HEIGHT: Final = 4.6
CROWDED: Final = 100
"""Lines; as many or more are drawn thin and see-through."""


def parallel_chart(request: dict[str, Any]) -> Figure:
    """`axes`: for each `title` and `ticks` (pairs of a place from 0 to 1 and its label); the last one is the metric.

    `lines`: for each run its places on the axes (None: not set), the best run last; `good`: from 0 (worst) to 1.
    """
    figure = new_figure(HEIGHT)
    ax: Axes = figure.subplots()  # type: ignore[assignment]
    colors: Any = matplotlib.colormaps["cividis_r"]
    many = len(request["lines"]) >= CROWDED
    for places, good in zip(request["lines"], request["good"], strict=True):
        known = [(at, place) for at, place in enumerate(places) if place is not None]
        best = good >= 1.0
        ax.plot(
            [at for at, _ in known],
            [place for _, place in known],
            color="#D55E00" if best else colors(0.1 + 0.9 * good),
            alpha=1.0 if best else 0.35 if many else 0.7,
            linewidth=2.6 if best else 0.8 if many else 1.3,
            zorder=3 if best else 2,
        )
    for at, axis in enumerate(request["axes"]):
        ax.axvline(at, color="#444444", linewidth=1)
        for place, label in axis["ticks"]:
            ax.text(
                at + 0.03,
                place,
                label,
                fontsize=8,
                va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
                zorder=4,
            )
    ax.set_xticks(range(len(request["axes"])), [axis["title"] for axis in request["axes"]], rotation=20, ha="right")
    ax.set_yticks([])
    ax.set_ylim(-0.07, 1.07)
    ax.set_xlim(-0.1, len(request["axes"]) - 1 + 0.55)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_title(request["title"])
    return figure
