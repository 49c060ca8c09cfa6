"""Which block of which guide a test runs, and the table of them in docs/guides.md.

`python -m tests.guides.blocks` writes the table anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

GUIDES: Final = {
    0: ("sports-analytics-usage", "NCAA Basketball Analytics - MLflow Usage Guide"),
    1: ("mcp-synthesis-integration", "MLflow Setup and Integration Guide"),
    2: ("data-science-mlops", "MLflow Guide: Complete Data Science MLOps Implementation"),
    3: ("platform-stack", "MLflow (platform stack)"),
    4: ("marimo-reference", "MLflow Reference - Quickstart & Core Concepts"),
}

TABLE: Final = Path(__file__).parents[2] / "docs" / "guides.md"
SEEDS: Final = Path(__file__).parents[3] / "shared" / "seeds"
"""Where the guides themselves are, on the machines of this project."""

AS_SHOWN: Final = "works as shown"

_INTRODUCTION: Final = """\
# The guides, block by block

Every Python block of the five guides is run by a test of the same name in `tests/guides/`, in mock mode and on
SQLite; against an `mlflow server` where the guide has one. Guide 0 imports `src.models.mlflow.tracking` and
`.registry`: both are `mcp_server.mlflow_integration` here.
What a guide trains is a small stand-in; its calls are the guide's.

This page is made by `python -m tests.guides.blocks`; a test holds it to the tests.
"""

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Block:
    guide: int
    heading: str
    status: str
    test: str


def block(heading: str, status: str = AS_SHOWN) -> Callable[[Test], Test]:
    """Mark a test as the one that runs the block (or blocks) under a heading; `A / B` is B inside A."""

    def mark(test: Test) -> Test:
        guide = int(re.search(r"guide_(\d)", test.__module__)[1])  # type: ignore[index]
        test.block = Block(guide, heading, status, test.__name__)  # type: ignore[attr-defined]
        return test

    return mark


def blocks() -> list[Block]:
    """All of them, in the order of the guides."""
    modules = [import_module(f"tests.guides.test_guide_{guide}") for guide in GUIDES]
    return [value.block for module in modules for value in vars(module).values() if hasattr(value, "block")]


def table() -> str:
    """The text of docs/guides.md."""
    lines = [_INTRODUCTION]
    for guide, (_, title) in GUIDES.items():
        lines += [f"## Guide {guide}: {title}", "", "| heading | status |", "| --- | --- |"]
        lines += [f"| {_escaped(one.heading)} | {_escaped(one.status)} |" for one in blocks() if one.guide == guide]
        lines.append("")
    return "\n".join(lines)


def headings_with_code(text: str) -> Iterable[str]:
    """Headings of a guide that a Python block stands under, the path below the title joined by ` / `."""
    path: list[tuple[int, str]] = []
    fence = ""
    for line in text.splitlines():
        if line.startswith("```"):
            if fence == "" and line == "```python":
                yield " / ".join(heading for _, heading in path[1:])
            fence = "" if fence else line
        elif not fence and (match := re.match(r"(#+) (.*)", line)):
            path = [(level, heading) for level, heading in path if level < len(match[1])]
            path.append((len(match[1]), match[2].strip()))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), encoding="utf-8")
