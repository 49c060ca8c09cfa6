"""What became of each block when all of them were run, as it is kept in outcomes.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "outcomes.json"

AS_WRITTEN: Final = "as written"
WITH_COMPAT: Final = "with `compat`"
WITH_SUBSTITUTION: Final = "with a substitution"
REFUSED: Final = "refused by MLflow"
NOT_HERE: Final = "not runnable here"

ORDER: Final = (AS_WRITTEN, WITH_COMPAT, WITH_SUBSTITUTION, REFUSED, NOT_HERE)
"""From good to bad."""


@dataclass(frozen=True)
class Outcome:
    name: str
    digest: str
    """Of the text that was run: another text has no outcome yet."""
    outcome: str
    settings: dict[str, str] = field(default_factory=dict)
    """Outcome by setting."""
    refusal: str = ""
    """What was raised when it ran as written; for a shell block, why it cannot run here."""
    ours: bool = False
    """Whether this package was loaded when that was raised; False: MLflow alone refused."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python and of the packages that it was run with."""


def kept() -> dict[str, Outcome]:
    if not FILE.exists():
        return {}
    return {name: Outcome(name=name, **found) for name, found in json.loads(FILE.read_text(encoding="utf-8")).items()}


def keep(outcome: Outcome) -> None:
    """Add or replace one."""
    found = {**kept(), outcome.name: outcome}
    ordered = sorted(found.values(), key=lambda one: tuple(map(int, one.name.split("."))))
    content = {one.name: {key: value for key, value in asdict(one).items() if key != "name"} for one in ordered}
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
