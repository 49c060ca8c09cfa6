"""Lists in sentences: the first items, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence


def listed(items: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """Such as `a, b, c and 4 more`."""
    return separator.join(items[:most]) + and_more(items, most)


def and_more(items: Sequence[object], most: int) -> str:
    """Such as ` and 4 more`, after the first `most` items; empty when there are no more."""
    return f" and {len(items) - most} more" if len(items) > most else ""
