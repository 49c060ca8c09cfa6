"""How every chart looks: size, fonts, colours that the colour-blind can tell apart; and its encoding."""

# The stubs of matplotlib leave many types open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

WIDTH: Final = 7.2
"""Inches; with DPI about the width of a chat, sharp on most screens."""
DPI: Final = 125
BYTES_LIMIT: Final = 250_000
"""Of one PNG; a larger one is drawn with fewer points per inch."""

COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without its yellow, which is too light on white."""
GREY: Final = "#9a9a9a"
STYLES: Final = ("-", "--", "-.", ":")
"""Lines differ in more than colour when there are more than the first few."""

_WIDE_FONTS: Final = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC"),
    *("Hiragino Sans", "Arial Unicode MS", "WenQuanYi Micro Hei"),
)
"""For names in scripts that DejaVu Sans, matplotlib's own font, lacks; those that are installed are used."""

matplotlib.rcParams.update(
    {
        "font.family": ["DejaVu Sans", *sorted({font.name for font in fontManager.ttflist}.intersection(_WIDE_FONTS))],
        # Names hold dollar signs, which would begin a formula.
        "text.parse_math": False,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.7,
        "axes.axisbelow": True,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-4, 5),
    }
)


def new_figure(height: float) -> Figure:
    """An empty figure of the usual width whose parts arrange themselves."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_of(figure: Figure, rows: int, columns: int, **more: Any) -> list[Axes]:
    """The panels of a grid, row by row."""
    grid: Any = figure.subplots(rows, columns, squeeze=False, **more)
    return list(grid.flat)


def color(place: int) -> str:
    return COLORS[place % len(COLORS)]


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend under all panels, in as many columns as its longest label leaves room for."""
    longest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), 4, 88 // (longest + 6)))
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def log_axis(axis: Axis) -> None:
    """Labels of a logarithmic axis as plain numbers, at least two of them; to be called once it has its limits."""
    low, high = sorted(axis.get_view_interval())
    subs = (1.0,) if low > 0.0 and math.log10(high / low) >= 2.5 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _place: int | None) -> str:
    return f"{value:g}"


def hide_overlapping(figure: Figure, texts: Sequence[Text]) -> None:
    """Leaves out labels that would lie on an earlier one."""
    figure.draw_without_rendering()
    kept: list[Any] = []
    for text in texts:
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            text.set_visible(False)
        else:
            kept.append(box)


def png(figure: Figure) -> bytes:
    """The figure as PNG of 256 colours, with fewer pixels where it would have more than BYTES_LIMIT bytes."""
    data = b""
    for dpi in (DPI, DPI * 3 // 4, DPI // 2):
        drawn, packed = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        Image.open(drawn).convert("RGB").quantize(256).save(packed, format="png", optimize=True)
        data = packed.getvalue()
        if len(data) <= BYTES_LIMIT:
            break
    return data
