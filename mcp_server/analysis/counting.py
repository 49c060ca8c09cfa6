"""How often things occur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def counted(items: Iterable[str]) -> dict[str, int]:
    """Occurrences of each item, the most frequent first, then in alphabetical order."""
    return dict(sorted(Counter(items).items(), key=lambda item: (-item[1], item[0])))
