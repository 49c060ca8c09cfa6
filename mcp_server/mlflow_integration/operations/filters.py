"""MLflow's filter grammar for runs: taken apart so that a mistake is answered with its clause and its cure.

The grammar is MLflow's own (mlflow/utils/search_utils.py): comparisons joined by `and`; no `or`, no
parentheses. What passes here still goes to MLflow, which has the last word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from mcp_server.errors import InvalidInputError

FORM: Final = "Form: metrics.accuracy > 0.9 and params.model = 'cnn'."
LENGTH_LIMIT: Final = 2_000
"""Characters of one filter; every clause is a SQL join, and SQLite gives up at 64 of them."""
CLAUSE_LIMIT: Final = 30

_ENTITIES: Final = {
    "metrics": ("metric", "metrics"),
    "params": ("param", "params", "parameter", "parameters"),
    "tags": ("tag", "tags"),
    "attributes": ("attribute", "attributes", "attr", "run"),
    "datasets": ("dataset", "datasets"),
}
_ENTITY_BY_WORD: Final = {word: entity for entity, words in _ENTITIES.items() for word in words}
_ATTRIBUTES: Final = frozenset(
    {"run_id", "run_name", "status", "artifact_uri", "user_id", "start_time", "end_time", "created", "lifecycle_stage"}
)

_AND: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|(?P<join>\s+and\s+)""", re.IGNORECASE)
_OR: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|(?P<join>\s+or\s+)""", re.IGNORECASE)
_CLAUSE: Final = re.compile(
    r"""
    (?:(?P<entity>[A-Za-z]+)\s*\.\s*)?
    (?P<key>`[^`]+`|"[^"]+"|[\w./:@%\-]+)\s*
    (?:
        (?P<comparator>>=|<=|!=|==|=|>|<|(?:NOT\s+)?(?:I?LIKE|IN)\b)\s*
        (?P<value>'[^']*'|"[^"]*"|\(.*\)|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
        | (?P<null>IS\s+(?:NOT\s+)?NULL)
    )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison, such as `metrics.accuracy > 0.9`."""

    entity: str
    """metrics, params, tags, attributes or datasets."""
    key: str
    """Without quotes."""
    condition: str
    """Comparator and value, as MLflow reads them."""

    def __str__(self) -> str:
        # MLflow reads a key with other characters only in backticks.
        key = self.key if _PLAIN_KEY.fullmatch(self.key) else f"`{self.key}`"
        return f"{self.entity}.{key} {self.condition}"


def parse_filter(filter_string: str) -> tuple[Clause, ...]:
    """The clauses of a filter, in order; none for an empty one.

    Raises: InvalidInputError: names the clause that MLflow would refuse, and the form it takes.
    """
    text = filter_string.strip()
    if not text:
        return ()
    if len(text) > LENGTH_LIMIT:
        raise InvalidInputError(f"filter_string has {len(text):,} characters; at most {LENGTH_LIMIT:,} are read.")
    if any(match["join"] for match in _OR.finditer(text)):
        raise InvalidInputError(
            "filter_string has an OR, which MLflow cannot answer: clauses are joined by and. "
            "Call once for each alternative, or use IN for run ids: attributes.run_id IN ('a', 'b')."
        )
    clauses = tuple(_clause(part) for part in _split(text))
    if len(clauses) > CLAUSE_LIMIT:
        raise InvalidInputError(f"filter_string has {len(clauses)} clauses; at most {CLAUSE_LIMIT} are read.")
    return clauses


def join_clauses(clauses: tuple[Clause, ...]) -> str:
    """The filter MLflow is sent."""
    return " and ".join(str(clause) for clause in clauses)


def quoted(value: str) -> str:
    """A text value inside a filter. MLflow knows no escape, so a value with both kinds of quotes cannot be asked for.

    Raises: InvalidInputError: it holds both.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise InvalidInputError(f"MLflow's filters cannot hold a text with both kinds of quotes: {value}")


def since_clause(since: str, now: datetime) -> Clause:
    """Runs started at or after a moment: `24h`, `7d`, `2w`, `30m` back from now, or a date or time (UTC).

    Raises: InvalidInputError: neither of the two.
    """
    text = since.strip()
    if span := re.fullmatch(r"(\d{1,6})\s*([mhdw])", text, re.IGNORECASE):
        unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[span[2].lower()]
        moment = now - timedelta(**{unit: int(span[1])})
    else:
        try:
            # Python 3.10 does not read the Z of ISO 8601.
            moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
        except ValueError:
            raise InvalidInputError(
                f"since is '{since}'. Give a span back from now (30m, 24h, 7d, 2w) or a date (2026-11-20, UTC)."
            ) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return Clause("attributes", "start_time", f">= {int(moment.timestamp() * 1_000)}")


def _split(text: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for match in _AND.finditer(text):
        if match["join"]:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def _clause(text: str) -> Clause:
    match = _CLAUSE.fullmatch(text.strip())
    if match is None:
        raise _invalid(text)
    key = match["key"].strip('`"')
    entity = _entity(match["entity"], key, text)
    if match["null"]:
        return Clause(entity, key, " ".join(match["null"].upper().split()))
    comparator = {"==": "="}.get(match["comparator"], " ".join(match["comparator"].upper().split()))
    value = match["value"]
    is_text = value[0] in "'\"("
    if entity == "metrics" and is_text:
        raise _invalid(text, f"Metrics are numbers: metrics.{key} {comparator} 0.9.")
    if entity in ("params", "tags") and not is_text:
        raise _invalid(text, f"Params and tags are stored as text: {entity}.{key} {comparator} '{value}'.")
    return Clause(entity, key, f"{comparator} {value}")


def _entity(word: str | None, key: str, text: str) -> str:
    if word is None:
        if key.lower() in _ATTRIBUTES:
            return "attributes"
        raise _invalid(text, f"Say what {key} is: metrics.{key}, params.{key} or tags.{key}.")
    entity = _ENTITY_BY_WORD.get(word.lower())
    if entity is None:
        raise _invalid(text, f"{word} is none of metrics, params, tags, attributes, datasets.")
    return entity


def _invalid(clause: str, cure: str = "") -> InvalidInputError:
    return InvalidInputError(f'filter_string has an invalid clause: "{clause.strip()}". {cure or FORM}')
