"""Filters and orders of experiments and registered models: names, times and tags, read as those of runs are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.searching.filters import Clause, Vocabulary, parse_filter
from mcp_server.mlflow_integration.operations.searching.moments import milliseconds
from mcp_server.suggestions import did_you_mean
from mcp_server.untrusted import shown

_TEXT_SIGNS: Final = ("=", "!=", "LIKE", "ILIKE")
_CONDITION: Final = re.compile(r"(?P<sign>[<>=!]+|(?:NOT )?(?:IN|I?LIKE)|IS.*)\s*(?P<value>.*)", re.DOTALL)
_ORDER: Final = re.compile(r"(?P<minus>-)?`?(?P<key>[\w.]+)`?(?:(?:\s+|:)(?P<way>asc|desc)(?:ending)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RecordWords:
    """What one kind of record can be filtered and sorted by."""

    filters: Vocabulary
    times: tuple[str, ...]
    """Attributes in milliseconds."""
    orders: tuple[str, ...]
    """In MLflow's words; the first is the example of an error."""
    same_order: Mapping[str, str]


_CREATED: Final = ("created", "created_at", "creation_timestamp")
_UPDATED: Final = (
    "updated",
    "updated_at",
    "last_updated",
    "last_update",
    "last_updated_timestamp",
    "last_updated_time",
)

_EXPERIMENT_TIMES: Final = {
    **dict.fromkeys(_CREATED, "creation_time"),
    **dict.fromkeys(_UPDATED, "last_update_time"),
}
EXPERIMENTS: Final = RecordWords(
    filters=Vocabulary(
        entities={
            **dict.fromkeys(("tag", "tags"), "tags"),
            **dict.fromkeys(("attribute", "attributes", "attr", "experiment"), "attributes"),
        },
        attributes=frozenset({"name", "experiment_name", "creation_time", "last_update_time", *_EXPERIMENT_TIMES}),
        same={"experiment_name": "name", **_EXPERIMENT_TIMES},
        tag_of={},
        form="Form: name LIKE 'vision%' and tags.team = 'nlp' and creation_time > '2026-11-01'.",
        what_it_is=lambda name: f"Experiments have name, creation_time, last_update_time and tags: tags.{name}",
    ),
    times=("creation_time", "last_update_time"),
    orders=("last_update_time", "creation_time", "name", "experiment_id"),
    same_order={"id": "experiment_id", **_EXPERIMENT_TIMES},
)
MODELS: Final = RecordWords(
    filters=Vocabulary(
        entities={
            **dict.fromkeys(("tag", "tags"), "tags"),
            **dict.fromkeys(("attribute", "attributes", "attr", "model"), "attributes"),
        },
        attributes=frozenset({"name", "model_name"}),
        same={"model_name": "name"},
        tag_of={},
        form="Form: name LIKE 'churn%' and tags.task = 'churn'.",
        what_it_is=lambda name: (
            f"Models are found by name and tags (tags.{name}); the list shows the aliases and stages of each"
        ),
    ),
    times=(),
    orders=("last_updated_timestamp", "name"),
    same_order=dict.fromkeys((*_UPDATED, "timestamp", "last_update_time"), "last_updated_timestamp"),
)


def record_filter(filter_string: str, words: RecordWords, now_ms: int) -> str:
    """The filter as MLflow reads it, with times in milliseconds.

    Raises: InvalidInputError: it cannot be read, or compares in a way that MLflow does not.
    """
    clauses = parse_filter(filter_string, words=words.filters)
    return " and ".join(_text(_readable(clause, words, now_ms)) for clause in clauses)


def _text(clause: Clause) -> str:
    # MLflow expects the name of a registered model without `attributes.` before it.
    return f"{clause.key} {clause.condition}" if clause.entity == "attributes" else str(clause)


def _readable(clause: Clause, words: RecordWords, now_ms: int) -> Clause:
    match = _CONDITION.fullmatch(clause.condition)
    sign, value = (match["sign"], match["value"]) if match else ("", "")
    if clause.key in words.times and clause.entity == "attributes":
        if sign not in (">", ">=", "<", "<=", "=", "!="):
            raise InvalidInputError(
                f"filter_string has the clause {shown(str(clause))}; a time is compared by <, <=, > or >=: "
                f"{clause.key} > '2026-11-20'."
            )
        if value[:1] not in ("'", '"'):
            return clause
        end = sign in ("<=", ">")
        moment = milliseconds(value[1:-1], now_ms, argument=f"{clause.key} in filter_string", end=end)
        return replace(clause, condition=f"{sign} {moment}")
    if sign not in _TEXT_SIGNS:
        raise InvalidInputError(
            f"filter_string has the clause {shown(str(clause))}; {clause.entity}.{shown(clause.key)} is compared by =, "
            "!=, LIKE or ILIKE. Call once for each value of a list."
        )
    return clause


def record_order(entries: Sequence[str], words: RecordWords) -> tuple[str, ...]:
    """Orders as MLflow reads them. Raises: InvalidInputError: by something that it does not sort by."""
    return tuple(_order(entry, words) for entry in entries)


def _order(entry: str, words: RecordWords) -> str:
    match = _ORDER.fullmatch(entry.strip())
    key = match["key"].removeprefix("attributes.").lower() if match else entry.strip()
    key = words.same_order.get(key, key)
    if match is None or key not in words.orders:
        raise InvalidInputError(
            f"order_by has an invalid entry: '{shown(entry)}'.{did_you_mean(key, words.orders)} "
            f"One of {', '.join(words.orders)}, as in {words.orders[0]} DESC."
        )
    descending = (match["way"] or ("desc" if match["minus"] else "asc")).lower() == "desc"
    return f"{key} {'DESC' if descending else 'ASC'}"
