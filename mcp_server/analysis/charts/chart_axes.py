"""Values as places on the axes of a chart, and texts as its labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeVar

from mcp_server.analysis.sweeps.sweep import MISSING, number_in
from mcp_server.untrusted import clean

Place = TypeVar("Place", float, float | None)

LOG_RATIO: Final = 100.0
"""A positive axis whose largest value is this many times the smallest is logarithmic."""
LARGEST: Final = 1e100
"""Values of at least this magnitude are left out like infinities: databases store those as 1.8e308, and no axis
reaches that far."""
LABEL: Final = 30
"""Characters of one label."""
CATEGORIES: Final = 15
"""Values of a category that have a place on an axis, the most frequent."""


def short(text: str, most: int = LABEL) -> str:
    """One clean line with the beginning and the end of a longer text."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else f"{line[: most - most // 2 - 1]}…{line[len(line) - most // 2 :]}"


def is_log(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0.0 and max(values) / min(values) >= LOG_RATIO


def is_drawable(value: float) -> bool:
    return abs(value) < LARGEST  # False for NaN and infinities.


def drawable_number(text: str) -> float | None:
    value = number_in(text)
    return value if value is not None and is_drawable(value) else None


def axis(texts: Sequence[str]) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Places from 0 to 1 of a param's values, and the ticks of its axis."""
    numbers = [drawable_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    if len(known) == len(texts) or (known and len(set(known)) > CATEGORIES):
        places, ticks = number_axis(known)
        found = iter(_apart(places))
        return [None if number is None else next(found) for number in numbers], ticks
    levels = most_frequent(list(texts))
    top = max(len(levels) - 1, 1)
    place_by_text = {text: at / top if len(levels) > 1 else 0.5 for at, text in enumerate(levels)}
    return _apart([place_by_text.get(text) for text in texts]), [
        (at, short(text, 14) or MISSING) for text, at in place_by_text.items()
    ]


def number_axis(values: Sequence[float]) -> tuple[list[float], list[tuple[float, str]]]:
    log = is_log(values)
    scaled = [math.log(value) if log else value for value in values]
    low, high = min(scaled), max(scaled)
    if low == high:
        return [0.5] * len(values), [(0.5, f"{values[0]:.4g}")]
    distinct = sorted(set(values))
    if len(distinct) > 6:
        marks = [low + (high - low) * part / 4 for part in range(5)]
        ticks = [((mark - low) / (high - low), f"{math.exp(mark) if log else mark:.3g}") for mark in marks]
    else:
        ticks = [(((math.log(v) if log else v) - low) / (high - low), f"{v:.4g}") for v in distinct]
    return [(value - low) / (high - low) for value in scaled], ticks


def _apart(places: Sequence[Place]) -> list[Place]:
    """Places that few values share, a little apart, so that lines of different runs do not lie on each other."""
    if len(set(places)) > CATEGORIES or len(set(places)) == len(places):
        return list(places)
    return [place if place is None else place + 0.08 * sideways(at) for at, place in enumerate(places)]


def sideways(at: int) -> float:
    """Sideways distance of the points of one category, the same in every picture."""
    return (at * 0.618034 % 1.0 - 0.5) * 0.5


def most_frequent(texts: Sequence[str]) -> list[str]:
    counted = {text: texts.count(text) for text in dict.fromkeys(texts)}
    return sorted(sorted(counted, key=lambda text: -counted[text])[:CATEGORIES])
