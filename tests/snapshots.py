"""Texts that are kept beside the tests; `UPDATE_SNAPSHOTS=1 pytest` writes them anew, a person reads the difference."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def assert_matches(name: str, text: str) -> None:
    """The text equals the kept one of that name; a missing one is a failure unless snapshots are being written."""
    path = FOLDER / name
    text = text.rstrip("\n") + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no snapshot {name}; write it with UPDATE_SNAPSHOTS=1"
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; if that is meant, run with UPDATE_SNAPSHOTS=1"
