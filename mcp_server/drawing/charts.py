"""The kinds of charts. Each takes a mapping that JSON can carry, made by `analysis.pictures`."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from matplotlib.figure import Figure

from mcp_server.drawing.bar_chart import bar_chart
from mcp_server.drawing.line_chart import line_chart
from mcp_server.drawing.parallel_chart import parallel_chart
from mcp_server.drawing.scatter_chart import scatter_chart
from mcp_server.drawing.style import png

_CHARTS: Final[Mapping[str, Callable[[dict[str, Any]], Figure]]] = {
    "curves": line_chart,
    "bars": bar_chart,
    "scatter": scatter_chart,
    "pareto": scatter_chart,
    "parallel": parallel_chart,
}


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Request: `kind` and the chart's own facts. Answer: `png` in base64, `width` and `height` in pixels."""
    with warnings.catch_warnings():
        # About letters that no font has and values that no axis can hold: the picture is drawn all the same.
        warnings.simplefilter("ignore")
        data = png(_CHARTS[request["kind"]](request))
    # Bytes 16 to 24 of a PNG are its width and height.
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return {"png": base64.b64encode(data).decode("ascii"), "width": width, "height": height}
