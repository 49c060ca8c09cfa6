"""The fenced blocks of the five guides, from their own text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TEXTS: Final = Path(__file__).parent / "texts"

LANGUAGES: Final = ("python", "bash", "yaml")
"""Blocks without a language are drawings of folders."""


@dataclass(frozen=True)
class Block:
    name: str
    """Guide and place among its fenced blocks: `0.4`."""
    title: str
    """Of the guide."""
    heading: str
    """Headings above it, below the title, joined by ` / `."""
    language: str
    text: str

    @property
    def guide(self) -> int:
        return int(self.name.partition(".")[0])

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@cache
def blocks() -> tuple[Block, ...]:
    """All of them, in the order of the guides."""
    found = []
    for path in sorted(TEXTS.glob("guide-*.md")):
        found += _blocks_of(int(path.name.split("-")[1]), path.read_text(encoding="utf-8"))
    return tuple(found)


def block(name: str) -> Block:
    return next(found for found in blocks() if found.name == name)


def _blocks_of(guide: int, text: str) -> list[Block]:
    found: list[Block] = []
    headings: list[tuple[int, str]] = []
    language: str | None = None
    lines: list[str] = []
    number = 0
    for line in text.splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines, number = line[3:].strip(), [], number + 1
                continue
            if language in LANGUAGES:
                path = " / ".join(heading for _, heading in headings[1:])
                found.append(Block(f"{guide}.{number}", headings[0][1], path, language, "\n".join(lines) + "\n"))
            language = None
        elif language is not None:
            lines.append(line)
        elif match := re.match(r"(#+) (.*)", line):
            headings = [(level, heading) for level, heading in headings if level < len(match[1])]
            headings.append((len(match[1]), match[2].strip()))
    return found
