"""What differs between two sets of files, and between two texts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

DIFF_LINES: Final = 3_000
"""Lines of a text that are compared; the time grows with their square."""

Change = Literal["only in first", "only in second", "differs", "same"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path and how it differs; sizes in bytes, None where it is missing."""

    path: str
    change: Change
    first_size: int | None = None
    second_size: int | None = None


def compare_files(
    first: Mapping[str, int], second: Mapping[str, int], digests: Mapping[str, tuple[str, str]]
) -> list[FileChange]:
    """Every path of either set, by size, and where sizes agree by digest; without one, they count as the same."""
    changes: list[FileChange] = []
    for path in sorted({*first, *second}):
        one, other = first.get(path), second.get(path)
        if one is None:
            change: Change = "only in second"
        elif other is None:
            change = "only in first"
        else:
            left, right = digests.get(path, ("", ""))
            change = "same" if one == other and left == right else "differs"
        changes.append(FileChange(path, change, one, other))
    return changes


def text_difference(first: Sequence[str], second: Sequence[str], budget: int) -> tuple[str, bool]:
    """A unified diff with three lines of context, and whether it was cut to `budget` characters."""
    lines: list[str] = []
    for line in difflib.unified_diff(first[:DIFF_LINES], second[:DIFF_LINES], "first", "second", lineterm=""):
        budget -= len(line) + 1
        if budget < 0:
            return "\n".join(lines), True
        lines.append(line)
    return "\n".join(lines), False
