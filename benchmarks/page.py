"""The parts of docs/compatibility.md that scripts write."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "compatibility.md"


def write_part(name: str, text: str) -> None:
    """Replaces what is between the markers of that name."""
    between = re.compile(rf"(?s)(<!-- generated: {name} -->\n).*?(?=<!-- end -->)")
    page, found = between.subn(lambda match: match[1] + text, PAGE.read_text(encoding="utf-8"))
    if found != 1:
        raise ValueError(f"{PAGE} has no markers of the part {name}")
    PAGE.write_text(page, encoding="utf-8")
