"""What the caller probably meant: the names closest to one that does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def closest(name: str, candidates: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """At most `n` of the candidates that resemble the name, best first.

    Case does not count; `acc` finds `accuracy`, `accuracy_val` finds `val_accuracy`.
    """
    scored = ((_likeness(name.lower(), candidate.lower()), candidate) for candidate in set(candidates))
    near = sorted((pair for pair in scored if pair[0] >= 0.6), key=lambda pair: (-pair[0], pair[1]))
    return tuple(candidate for _, candidate in near[:n])


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` Closest: a, b.` with a leading space, or nothing when nothing is close."""
    near = closest(name, candidates)
    return f" Closest: {', '.join(near)}." if near else ""


def _likeness(name: str, candidate: str) -> float:
    """0 to 1: the better of spelling, of one inside the other, and of the same words in another order."""
    spelling = difflib.SequenceMatcher(None, name, candidate).ratio()
    inside = 0.75 if len(name) >= 3 and (name in candidate or candidate in name) else 0.0
    words = " ".join(sorted(_words(name))), " ".join(sorted(_words(candidate)))
    return max(spelling, inside, difflib.SequenceMatcher(None, *words).ratio())


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name) if word]
