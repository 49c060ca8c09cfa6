"""What no answer may be, whatever was asked and whatever MLflow replied."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_server.rendering import ANSWER_LIMIT

INSIDE: Final = "failed inside this server"
FORBIDDEN: Final = {
    "failed inside this server": re.compile(re.escape(INSIDE)),
    "traceback": re.compile(r"Traceback \(most recent call last\)"),
    "words of pydantic": re.compile(r"pydantic|errors\.pydantic\.dev|valid (?:tuple|dictionary)|validation error"),
    "SQL": re.compile(r"\[SQL:|sqlite3\.|sqlalchemy", re.IGNORECASE),
    "hidden characters": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]"),
    "file contents": re.compile(r"root:x?:0:0:"),
}


@dataclass
class Tally:
    """Counts of one campaign; `faults` hold the first few answers that may not be."""

    calls: int = 0
    answered: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])

    def take(self, tool: str, arguments: dict[str, Any], *, error: bool, text: str, structured: Any) -> None:
        """One answer; `text` is the text half or the sentence of an error."""
        self.calls += 1
        self.answered["refused" if error else "answered"] += 1
        wire = json.dumps(structured, ensure_ascii=False, separators=(",", ":")) if structured is not None else ""
        problems = [name for name, pattern in FORBIDDEN.items() if pattern.search(text) or pattern.search(wire)]
        if max(len(text), len(wire)) > ANSWER_LIMIT:
            problems.append(f"{max(len(text), len(wire)):,} characters")
        if error and not text.strip():
            problems.append("an error without a sentence")
        for problem in problems:
            self.fault(problem, tool, arguments, text)

    def fault(self, problem: str, tool: str, arguments: dict[str, Any], text: str = "") -> None:
        self.answered[f"FAULT: {problem}"] += 1
        if len(self.faults) < 50:
            self.faults.append(f"{problem}: {tool} {repr(arguments)[:300]} -> {text[:300]!r}")

    def lines(self) -> list[str]:
        counts = ", ".join(f"{name} {number:,}" for name, number in sorted(self.answered.items()))
        return [f"{self.calls:,} calls: {counts}", *self.faults[:20]]
