"""Globs over paths with slashes: `*.png`, `plots/*`, `**/MLmodel`. The time is polynomial whatever the pattern is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache


def glob_matches(path: str, pattern: str) -> bool:
    """Whether a path matches, in any case; a pattern without a slash is one of the name, wherever the file is.

    `*` and `?` stay within one part; `**` stands for any number of parts.
    """
    parts, wanted = path.lower().split("/"), pattern.lower().strip("/").split("/")
    return _parts_match(tuple(parts), tuple(wanted if len(wanted) > 1 else ["**", *wanted]))


def _parts_match(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    @cache
    def match(part: int, want: int) -> bool:
        if want == len(wanted):
            return part == len(parts)
        if wanted[want] == "**":
            return match(part, want + 1) or (part < len(parts) and match(part + 1, want))
        return part < len(parts) and _name_matches(parts[part], wanted[want]) and match(part + 1, want + 1)

    return match(0, 0)


def _name_matches(name: str, pattern: Sequence[str]) -> bool:
    """Greedy, with one step back to the last star: quadratic at worst."""
    at = wanted = 0
    star = resume = -1
    while at < len(name):
        if wanted < len(pattern) and pattern[wanted] == "*":
            star, resume, wanted = wanted, at, wanted + 1
        elif wanted < len(pattern) and pattern[wanted] in ("?", name[at]):
            at, wanted = at + 1, wanted + 1
        elif star >= 0:
            resume += 1
            at, wanted = resume, star + 1
        else:
            return False
    return all(character == "*" for character in pattern[wanted:])
