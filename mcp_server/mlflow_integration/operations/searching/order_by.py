"""Reads `order_by`: each entry becomes the column that MLflow sorts by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.searching.filters import parse_filter
from mcp_server.untrusted import shown

_FORM = "Form: metrics.accuracy DESC, params.lr ASC or attributes.start_time DESC."
_WAYS = {"asc": "ASC", "ascending": "ASC", "desc": "DESC", "descending": "DESC"}
_ENTRY = re.compile(
    r"""\s*(?P<minus>-)?(?:(?P<entity>\w+)\.)?(?P<key>`[^`]+`|"[^"]+"|\S+?)(?:(?:\s+|:)(?P<way>asc|desc)(?:ending)?)?(?:\s+nulls\s+last)?\s*""",
    re.IGNORECASE,
)
# A name with spaces ends where the way begins; without one, the last word may be a way that does not exist.
_SPACED = re.compile(
    r"\s*(?P<minus>)(?P<entity>\w+)\.(?P<key>[^\s`\"][^`\"]*?)\s+(?P<way>asc|desc)(?:ending)?\s*", re.IGNORECASE
)
_ATTRIBUTES = frozenset(
    {"run_id", "run_name", "status", "artifact_uri", "start_time", "end_time"}
    # Those of local_clauses.py.
    | {"duration", "experiment", "experiment_name"}
)


def by_metric(metric: str, *, descending: bool) -> str:
    """The order by a metric. MLflow fails on quotation marks, which no metric has in its name."""
    key = metric.replace("`", "").replace('"', "")
    return f"metrics.`{key}` {'DESC' if descending else 'ASC'}"


def order_columns(entries: Sequence[str]) -> tuple[str, ...]:
    """Every entry as MLflow reads it; `["metrics.accuracy", "DESC"]` is one entry.

    Raises: InvalidInputError: see `order_column`.
    """
    joined: list[str] = []
    for entry in entries:
        if joined and entry.strip().lower() in _WAYS and joined[-1].rpartition(" ")[2].lower() not in _WAYS:
            joined[-1] = f"{joined[-1]} {entry.strip()}"
        else:
            joined.append(entry)
    return tuple(map(order_column, joined))


def order_column(text: str) -> str:
    """One entry as MLflow reads it: `metrics.accuracy DESC`; also `-metrics.accuracy` and `metrics.accuracy:desc`.

    Raises: InvalidInputError: none of these.
    """
    match = _ENTRY.fullmatch(text) or _SPACED.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"order_by has an invalid entry: '{shown(text)}'. {_FORM}")
    way = _WAYS[(match["way"] or ("desc" if match["minus"] else "asc")).lower()]
    try:
        # The same words and quotes as in a filter, so the filter's parser judges them.
        value = "0" if (match["entity"] or "").lower().startswith("metric") else "''"
        key = match["key"] if match["key"][0] in '`"' or " " not in match["key"] else f"`{match['key']}`"
        (clause,) = parse_filter(f"{match['entity'] + '.' if match['entity'] else ''}{key} = {value}")
    except (InvalidInputError, ValueError):
        key = match["key"].strip('`"')
        name = shown(key)
        say = "" if match["entity"] else f" Say what {name} is: metrics.{name} {way} or params.{name} {way}."
        raise InvalidInputError(f"order_by has an invalid entry: '{shown(text)}'.{say} {_FORM}") from None
    unknown = clause.entity == "datasets" or (clause.entity == "attributes" and clause.key not in _ATTRIBUTES)
    if unknown or '"' in clause.key:
        raise InvalidInputError(f"order_by has an invalid entry: '{shown(text)}'. {_FORM}")
    return f"{str(clause).removesuffix(f' {clause.condition}')} {way}"
