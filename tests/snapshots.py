"""Snapshots of texts; `UPDATE_SNAPSHOTS=1 pytest` regenerates them. Review the diff."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def assert_matches(name: str, text: str) -> None:
    """The text equals the snapshot; a missing snapshot fails the test unless snapshots are being written."""
    path = FOLDER / name
    text = text.rstrip("\n") + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no snapshot {name}; write it with UPDATE_SNAPSHOTS=1"
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; if that is meant, run with UPDATE_SNAPSHOTS=1"


def with_generated(name: str, parts: Mapping[str, str]) -> str:
    """The snapshot with these parts between their markers, `<!-- generated: part -->` and `<!-- end -->`."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    for part, content in parts.items():
        between = re.compile(rf"(?s)(<!-- generated: {part} -->\n).*?(?=<!-- end -->)")
        text, found = between.subn(lambda match, content=content: match[1] + content, text)
        assert found == 1, f"{name} has no markers of the part {part}"
    return text
