"""Parts of a text that is too large to show: a range of lines, the end, the places that match a pattern.

Every function reads the lines once and keeps only what it will show.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mcp_server.analysis.files.patterns import Pattern
from mcp_server.untrusted import clip

LINE_SHOWN: Final = 1_000
"""Characters of one line that are shown."""
LINE_KEPT: Final = 65_536
"""Characters of one line that are searched; a file may be one line."""
MATCHES_FIRST: Final = 20
MATCHES_LAST: Final = 10
"""Places that match, kept from the beginning and from the end; those between are counted."""
PLACE_LINES: Final = 200
"""Lines of one place: matches that follow each other closely form one."""
_TRACEBACK: Final = "Traceback (most recent call last)"


def lines_of(pieces: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Lines without their ends. A line that is too long loses its end and says so."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    rest, dropped = "", 0
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        for line in lines:
            yield _kept(line, dropped)
            dropped = 0
        if len(rest) > LINE_KEPT:
            dropped += len(rest) - LINE_KEPT
            rest = rest[:LINE_KEPT]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield _kept(rest, dropped)


def _kept(line: str, dropped: int) -> str:
    dropped += max(0, len(line) - LINE_KEPT)
    return f"{line[:LINE_KEPT]}… ({dropped:,} more characters)" if dropped else line.removesuffix("\r")


def shortened(line: str) -> str:
    return clip(line, LINE_SHOWN)


@dataclass(frozen=True, slots=True)
class LineRange:
    """Consecutive lines."""

    lines: tuple[str, ...]
    first: int
    """Number of the first one, from 1."""
    total: int | None
    """Lines of the whole text; None when reading stopped before its end."""

    @property
    def next_line(self) -> int | None:
        """The line after the last one shown; None at the end of the text."""
        after = self.first + len(self.lines)
        return None if self.total is not None and after > self.total else after


def line_range(lines: Iterable[str], first: int, last: int, budget: int) -> LineRange:
    """Lines `first` to `last` (from 1, both included), as far as `budget` characters reach; at least one."""
    chosen: list[str] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if number < first:
            continue
        text = shortened(line)
        budget -= len(text) + 1
        if number > last or (budget < 0 and chosen):
            return LineRange(tuple(chosen), first, None)
        chosen.append(text)
    return LineRange(tuple(chosen), first, number)


def tail(lines: Iterable[str], count: int, budget: int) -> tuple[tuple[str, ...], int]:
    """The last `count` lines, as many of them as the budget holds, and how many lines there were."""
    kept: deque[str] = deque(maxlen=count)
    seen = 0
    for line in lines:
        seen += 1
        kept.append(line)
    chosen: deque[str] = deque()
    for line in reversed(kept):
        text = shortened(line)
        budget -= len(text) + 1
        if budget < 0 and chosen:
            break
        chosen.appendleft(text)
    return tuple(chosen), seen


@dataclass(frozen=True, slots=True)
class Found:
    """What a search shows."""

    lines: tuple[str, ...]
    """As grep writes them: `12: a match`, `13- a neighbour`, `--` between places."""
    matches: int
    """Lines that match, in the whole text."""
    shown: int
    """Of these, the ones among `lines`."""
    total: int
    """Lines of the text."""


@dataclass(slots=True)
class _Place:
    lines: list[tuple[int, bool, str]]
    """Number, whether it matched, text."""
    wanted: int
    """Lines of context that are still to come."""
    in_traceback: bool


def search(lines: Iterable[str], pattern: Pattern, context: int, budget: int) -> Found:
    """Lines that match with `context` neighbours on either side; a Python traceback is kept to its last line.

    The first and the last places take turns until `budget` characters are spent.
    """
    first: list[_Place] = []
    last: deque[_Place] = deque(maxlen=MATCHES_LAST)
    before: deque[tuple[int, bool, str]] = deque(maxlen=context)
    place: _Place | None = None
    number = matches = 0
    for number, line in enumerate(lines, start=1):
        hit = pattern.found_in(line)
        matches += hit
        if hit and place is None:
            place = _Place(list(before), context, False)
            before.clear()
            (first if len(first) < MATCHES_FIRST else last).append(place)
        if place is None:
            before.append((number, False, shortened(line)))
        elif _is_last_of(place, number, hit, line, context):
            place = None
    return _found([*first, *last], matches, number, budget)


def _is_last_of(place: _Place, number: int, hit: bool, line: str, context: int) -> bool:
    """Adds a line to a place; True when the place is complete with it."""
    place.lines.append((number, hit, shortened(line)))
    if len(place.lines) >= PLACE_LINES:
        return True
    if hit:
        place.wanted = context
        place.in_traceback = _TRACEBACK in line
    elif place.in_traceback:
        # The frames are indented; the line after them names the exception.
        place.in_traceback = not line or line.startswith((" ", "\t"))
    else:
        place.wanted -= 1
    return place.wanted <= 0 and not place.in_traceback


def _found(places: list[_Place], matches: int, total: int, budget: int) -> Found:
    numbers = range(len(places))
    # 0, last, 1, last but one, ...
    turns = [number for pair in zip(numbers, reversed(numbers), strict=True) for number in pair]
    chosen: list[int] = []
    for turn in dict.fromkeys(turns):
        budget -= sum(len(text) + 8 for _, _, text in places[turn].lines)
        if budget < 0 and chosen:
            break
        chosen.append(turn)
    lines: list[str] = []
    shown = 0
    for place in (places[turn] for turn in sorted(chosen)):
        lines += ["--"] if lines else []
        lines += [f"{number}{':' if hit else '-'} {text}" for number, hit, text in place.lines]
        shown += sum(hit for _, hit, _ in place.lines)
    return Found(tuple(lines), matches, shown, total)


def all_lines(pieces: Iterable[bytes], encoding: str) -> list[str]:
    """Every line of a text that is at hand, as it is shown."""
    return [shortened(line) for line in lines_of(pieces, encoding)]
