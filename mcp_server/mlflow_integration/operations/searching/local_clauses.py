"""Clauses and orders that MLflow's filter grammar lacks, evaluated here over all runs that the other clauses leave.

Durations, experiments by name, params compared as numbers, metrics that are NaN or missing, and IN and NOT LIKE where
MLflow refuses them: https://mlflow.org/docs/latest/search-runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_server.comparisons import TESTS, key_text
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.searching.filters import Clause
from mcp_server.untrusted import shown

DURATION: Final = "duration"
EXPERIMENT_KEYS: Final = ("experiment", "experiment_name")

_CONDITION: Final = re.compile(
    r"(?P<sign>>=|<=|!=|=|>|<|IS NOT NULL|IS NULL|NOT IN|IN|NOT I?LIKE|LIKE|ILIKE)\s*(?P<value>.*)", re.DOTALL
)
_TEXT_SIGNS: Final = ("=", "!=", "LIKE", "ILIKE")
_NULL_SIGNS: Final = ("IS NULL", "IS NOT NULL")
_LIST_SIGNS: Final = ("IN", "NOT IN")
_TIMES: Final = ("start_time", "end_time")
_TEXT_ATTRIBUTES: Final = ("run_id", "run_name", "status", "artifact_uri")
_LIST_ITEM: Final = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([^\s,()'"]+))\s*(?:,|$)""")
_SPAN: Final = re.compile(
    r"\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?:(?P<unit>ms|s|sec|m|min|h|hr|hour|d|day)s?)(?![a-z])"
)
_SECONDS: Final = {
    **dict.fromkeys(("ms",), 0.001),
    **dict.fromkeys(("s", "sec"), 1.0),
    **dict.fromkeys(("m", "min"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3_600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
}


@dataclass(frozen=True, slots=True)
class LocalClause:
    """A clause that this server evaluates."""

    clause: Clause
    holds: Callable[[Run, Mapping[str, str]], bool]
    """Takes a run and the names of experiments by id."""


def local_clause(clause: Clause) -> LocalClause | None:
    """The clause as one to evaluate here; None when MLflow evaluates it.

    Raises: InvalidInputError: the value or the comparison does not fit what it is compared with.
    """
    match = _CONDITION.fullmatch(clause.condition)
    if match is None:
        return None
    sign, value = match["sign"], match["value"].strip()
    return _BY_ENTITY[clause.entity](clause, sign, value)


def _metric(clause: Clause, sign: str, value: str) -> LocalClause | None:
    if sign in _NULL_SIGNS:
        return LocalClause(clause, lambda run, _: (clause.key in run.metrics) is (sign == "IS NOT NULL"))
    if sign in _LIST_SIGNS:
        raise InvalidInputError(
            f"filter_string has the clause {shown(str(clause))}, but metrics are compared with one number: "
            f"metrics.{key_text(clause.key)} = 0.9. A range is two clauses."
        )
    if value[:1] != "'":
        return None
    wanted = float(value.strip("'"))  # NaN or an infinity.

    def holds(run: Run, _: Mapping[str, str]) -> bool:
        found = run.metrics.get(clause.key)
        if found is None:
            return False
        return (found == wanted or (math.isnan(found) and math.isnan(wanted))) is (sign == "=")

    return LocalClause(clause, holds)


def _param(clause: Clause, sign: str, value: str) -> LocalClause | None:
    # MLflow compares params with quoted texts for equality only.
    if sign in (">", ">=", "<", "<=") or (value[:1] not in "'\"" and sign in TESTS):
        number = _number(value.strip("'\""))
        if number is None:
            raise InvalidInputError(
                f"filter_string has the clause {shown(str(clause))}, but params are compared by size only with a "
                f"number: params.{clause.key} {sign} 0.01. For text use =, !=, LIKE or IN."
            )
        return LocalClause(clause, _compare_numbers(lambda run: _number(run.params.get(clause.key, "")), sign, number))
    return _text_clause(clause, sign, value, lambda run: run.params.get(clause.key))


def _tag(clause: Clause, sign: str, value: str) -> LocalClause | None:
    return _text_clause(clause, sign, value, lambda run: run.tags.get(clause.key))


def _attribute(clause: Clause, sign: str, value: str) -> LocalClause | None:
    key = clause.key
    if key == DURATION:
        return LocalClause(clause, _compare_numbers(_duration_seconds, sign, _seconds(clause, value)))
    if key in EXPERIMENT_KEYS:
        matches = _text_test(clause, sign, value)
        return LocalClause(clause, lambda run, names: matches(names.get(run.experiment_id, run.experiment_id)))
    if key == "lifecycle_stage":
        raise InvalidInputError("A filter does not choose deleted runs: search_runs with deleted=true lists them.")
    if key in _TIMES:
        if sign in _NULL_SIGNS:
            return LocalClause(clause, lambda run, _: bool(getattr(run, key)) is (sign == "IS NOT NULL"))
        if sign not in TESTS:
            raise InvalidInputError(
                f"filter_string has the clause {shown(str(clause))}; a time is compared by =, !=, <, <=, > or >=: "
                f"{key} > '2026-11-20'."
            )
        return None
    if key not in _TEXT_ATTRIBUTES:
        known = (*_TEXT_ATTRIBUTES, *_TIMES, DURATION, "experiment", "user", "git_commit", "parent")
        raise InvalidInputError(f"A run has no attribute '{shown(key)}'. It has {', '.join(known)}.")
    if key == "run_id" and sign in _LIST_SIGNS:
        return None
    return _text_clause(clause, sign, value, lambda run: getattr(run, key, "") or None)


def _dataset(clause: Clause, sign: str, value: str) -> LocalClause | None:
    if sign in _NULL_SIGNS:
        return LocalClause(clause, lambda run, _: bool(run.datasets) is (sign == "IS NOT NULL"))
    if clause.key not in ("name", "digest", "context"):
        raise InvalidInputError(f"A dataset has a name, a digest and a context, but no '{shown(clause.key)}'.")
    if sign in (*_TEXT_SIGNS, *_LIST_SIGNS):
        return None
    raise InvalidInputError(
        f"filter_string has the clause {shown(str(clause))}; datasets are compared by =, !=, LIKE, ILIKE or IN."
    )


_BY_ENTITY: Final[Mapping[str, Callable[[Clause, str, str], LocalClause | None]]] = {
    "metrics": _metric,
    "params": _param,
    "tags": _tag,
    "attributes": _attribute,
    "datasets": _dataset,
}


def _text_clause(clause: Clause, sign: str, value: str, text_of: Callable[[Run], str | None]) -> LocalClause | None:
    """A text compared in a way that MLflow lacks. As in MLflow, only runs that have it satisfy anything but NULL."""
    if sign in _TEXT_SIGNS or (sign in _NULL_SIGNS and clause.entity in ("params", "tags")):
        return None
    if sign in _NULL_SIGNS:
        return LocalClause(clause, lambda run, _: (text_of(run) is not None) is (sign == "IS NOT NULL"))
    matches = _text_test(clause, sign, value)

    def holds(run: Run, _: Mapping[str, str]) -> bool:
        text = text_of(run)
        return text is not None and matches(text)

    return LocalClause(clause, holds)


def sort_key(column: str, names: Mapping[str, str]) -> Callable[[Run], Any] | None:
    """How runs are sorted by a column that MLflow does not sort by; None when it does. Runs without it have None."""
    if column == f"attributes.{DURATION}":
        return _duration_seconds
    if column in [f"attributes.{key}" for key in EXPERIMENT_KEYS]:
        return lambda run: names.get(run.experiment_id, run.experiment_id).casefold()
    return None


def sorted_runs(runs: Sequence[Run], key: Callable[[Run], Any], *, descending: bool) -> list[Run]:
    """Stable; runs without a value come last in both directions, as in MLflow."""
    there = [run for run in runs if key(run) is not None]
    return sorted(there, key=key, reverse=descending) + [run for run in runs if key(run) is None]


def _duration_seconds(run: Run) -> float | None:
    # A run that goes on has none yet.
    return (run.end_time - run.start_time) / 1_000 if run.start_time and run.end_time >= run.start_time else None


def _compare_numbers(
    value_of: Callable[[Run], float | None], sign: str, number: float
) -> Callable[[Run, Mapping[str, str]], bool]:
    compare = TESTS[sign]

    def holds(run: Run, _: Mapping[str, str]) -> bool:
        value = value_of(run)
        return value is not None and compare(value, number)

    return holds


def _seconds(clause: Clause, text: str) -> float:
    sign = (clause.condition.split() or [""])[0]
    bare = text.strip("'\"").strip().lower()
    number = _number(bare)
    if number is None:
        number = _span_seconds(bare)
    if number is None or sign not in TESTS:
        raise InvalidInputError(
            f"filter_string has the clause {shown(str(clause))}. A duration is compared with seconds or a span: "
            "duration > 3600, duration < '2h'."
        )
    return number


def _span_seconds(text: str) -> float | None:
    """Seconds of a span such as `90 min`, `1h30m` or `1 h 21 min`, as answers show it; None when it is none."""
    seconds, at = 0.0, 0
    while at < len(text):
        span = _SPAN.match(text, at)
        if span is None:
            return None
        seconds += float(span["number"]) * _SECONDS[span["unit"]]
        at = span.end()
    return seconds if text else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text_test(clause: Clause, sign: str, value: str) -> Callable[[str], bool]:
    """Whether a text satisfies the condition.

    Raises: InvalidInputError: it is not a condition on texts.
    """
    if sign in ("IN", "NOT IN"):
        found = _LIST_ITEM.finditer(value.strip("()").strip())
        wanted = {next(filter(None, item.groups()), "").replace("''", "'") for item in found}
        numbers = {number for text in wanted if (number := _number(text)) is not None}
        # Params are text: 0.1 in the list means 0.10 as well.
        return lambda text: (text in wanted or _number(text) in numbers) is (sign == "IN")
    text = value.strip("'\"")
    if sign in ("=", "!="):
        return lambda other: (other == text) is (sign == "=")
    if sign.endswith("LIKE"):
        pattern = re.sub(r"[\[\]?*]", lambda found: f"[{found[0]}]", text).replace("%", "*").replace("_", "?")
        folded = sign.endswith("ILIKE")
        return lambda other: (
            fnmatchcase(other.casefold() if folded else other, pattern.casefold() if folded else pattern)
            is not sign.startswith("NOT")
        )
    also = " The experiments argument takes names as well." if clause.key in EXPERIMENT_KEYS else ""
    raise InvalidInputError(
        f"filter_string has the clause {shown(str(clause))}; texts are compared with =, !=, LIKE or IN.{also}"
    )
