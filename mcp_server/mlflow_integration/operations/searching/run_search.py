"""One search for runs: what is asked, and the page of runs that answers it, MLflow's own or sorted out here."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Page, Run
from mcp_server.mlflow_integration.operations.searching.filters import Clause, join_clauses, parse_filter, quoted
from mcp_server.mlflow_integration.operations.searching.local_clauses import (
    LocalClause,
    local_clause,
    sort_key,
    sorted_runs,
)
from mcp_server.mlflow_integration.operations.searching.moments import milliseconds
from mcp_server.mlflow_integration.operations.searching.order_by import order_columns
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.searching.why_empty import why_empty
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType
from mcp_server.paging import Cursor

READ_HERE: Final = 3_000
"""Runs that are read to evaluate a clause or an order that MLflow lacks: three requests, some 6 MB of JSON."""
_READ_PAGE: Final = 1_000
NO_EXPERIMENT: Final = "MLflow holds no experiment yet; log_run creates the first."
STATUSES: Final = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
"""All that MLflow knows."""
_TIMES: Final = ("start_time", "end_time")
_CONDITION: Final = re.compile(r"(?P<sign>[<>=!]+|(?:NOT )?(?:IN|I?LIKE))\s*(?P<value>.+)", re.DOTALL)
_AFTER_DAY: Final = re.compile(r"> ['\"]\d{4}[-/]\d\d[-/]\d\d['\"]")
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHORT_HASH: Final = re.compile(r"[0-9a-fA-F]{4,39}")
"""The beginning of a git commit, as git itself shows it; MLflow keeps 40 digits."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What is asked for; texts as the caller wrote them."""

    experiments: tuple[str, ...] = ()
    filter_string: str = ""
    order_by: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    parent: str = ""
    """A run; only its direct children are found."""
    view_type: ViewType = "ACTIVE_ONLY"


@dataclass(frozen=True, slots=True)
class Search:
    """A query that was read: experiments found, clauses and orders in MLflow's words."""

    places: tuple[Experiment, ...]
    clauses: tuple[Clause, ...] = ()
    """Those that MLflow evaluates."""
    local: tuple[LocalClause, ...] = ()
    """Those that this server evaluates."""
    order_by: tuple[str, ...] = ()
    sorts_here: bool = False
    view_type: ViewType = "ACTIVE_ONLY"
    by_default: str = ""
    """The default experiment, where it was searched because none was named."""
    after_days: tuple[str, ...] = ()
    """Clauses as they were written that are about the time after a whole day, which some mean to include."""

    @property
    def ids(self) -> list[str]:
        return [place.experiment_id for place in self.places]

    @property
    def names(self) -> Mapping[str, str]:
        return {place.experiment_id: place.name for place in self.places}

    @property
    def all_clauses(self) -> tuple[Clause, ...]:
        return (*self.clauses, *(one.clause for one in self.local))


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """One page of a search for runs."""

    runs: tuple[Run, ...]
    search: Search
    resume: Callable[[int], str] = field(default=lambda _: "")
    """From the number of runs shown to the token of the page that continues after them; empty at the end."""
    why_empty: str = ""
    """A sentence, when nothing was found."""

    @property
    def next_page_token(self) -> str:
        return self.resume(len(self.runs))


async def read_query(references: References, query: RunQuery, now_ms: int) -> Search:
    """Raises: NotFoundError: an experiment or the parent is unknown. InvalidInputError: a text cannot be read."""
    written = parse_filter(query.filter_string)
    parsed = [clause for one in written for clause in await _readable(one, references, now_ms)]
    local = tuple(found for clause in parsed if (found := local_clause(clause)) is not None)
    here = {id(one.clause) for one in local}
    clauses = [clause for clause in parsed if id(clause) not in here]
    if query.since:
        start = milliseconds(query.since, now_ms, argument="since")
        clauses.append(Clause("attributes", "start_time", f">= {start}"))
    if query.until:
        stop = milliseconds(query.until, now_ms, argument="until", end=True)
        clauses.append(Clause("attributes", "start_time", f"<= {stop}"))
    if query.parent:
        parent = await references.run(query.parent)
        clauses.append(Clause("tags", tag_names.PARENT_RUN, f"= {quoted(parent.run_id)}"))
    order = order_columns(query.order_by)
    return Search(
        places=await references.experiments(query.experiments),
        clauses=tuple(clauses),
        local=local,
        order_by=order,
        sorts_here=any(sort_key(column.rpartition(" ")[0], {}) for column in order),
        view_type=query.view_type,
        by_default="" if query.experiments else references.default_experiment,
        after_days=tuple(
            f"{one.key} {one.condition}"
            for one in written
            if one.entity == "attributes" and one.key in _TIMES and _AFTER_DAY.fullmatch(one.condition)
        ),
    )


async def search_runs(
    api: TrackingApi, references: References, query: RunQuery, *, max_results: int, page_token: str = ""
) -> FoundRuns:
    """One page of runs, newest first unless ordered otherwise.

    Raises: NotFoundError: an experiment or the parent is unknown. InvalidInputError: the filter, an order, a time or
        the page token cannot be read, or too many runs would have to be read to answer.
    """
    cursor = Cursor.read(page_token, query, time=int(time.time() * 1_000))
    search = await read_query(references, query, cursor.time or int(time.time() * 1_000))
    if not search.places:
        return FoundRuns((), search, why_empty=NO_EXPERIMENT)
    size = cursor.request_size(max_results)
    if search.local or search.sorts_here:
        matching = await read_here(api, search)
        length, following, rest = len(matching), "", cursor.rest(matching)[:max_results]
        size = max(length, 1)
    else:
        page = await search_page(api, search, size, cursor.page_token)
        length, following, rest = len(page.items), page.next_page_token, cursor.rest(page.items)[:max_results]

    def resume(shown: int) -> str:
        return cursor.after(shown, page_length=length, page_size=size, next_token=following)

    why = (
        ""
        if rest or page_token
        else await why_empty(api, search.places, search.clauses, search.local, search.view_type)
    )
    return FoundRuns(tuple(rest), search, resume, why)


async def search_page(api: TrackingApi, search: Search, size: int, page_token: str) -> Page[Run]:
    """One page of MLflow's, by the clauses that it evaluates."""
    return await api.search_runs(
        search.ids,
        filter_string=join_clauses(search.clauses),
        order_by=search.order_by,
        view_type=search.view_type,
        max_results=size,
        page_token=page_token,
    )


async def read_here(api: TrackingApi, search: Search) -> list[Run]:
    """Every run that satisfies all clauses, in the order asked for.

    Raises: InvalidInputError: MLflow's part of the filter leaves more runs than are read.
    """
    asked = replace(search, order_by=()) if search.sorts_here else search
    runs: list[Run] = []
    token = ""
    while True:
        page = await search_page(api, asked, _READ_PAGE, token)
        runs += page.items
        token = page.next_page_token
        if not token:
            break
        if len(runs) >= READ_HERE:
            raise InvalidInputError(_too_many(search))
    found = [run for run in runs if all(one.holds(run, search.names) for one in search.local)]
    if search.sorts_here:
        # The last order decides least, and sorting is stable.
        for entry in reversed(search.order_by):
            column, _, way = entry.rpartition(" ")
            found = sorted_runs(found, _any_key(column, search.names), descending=way == "DESC")
    return found


def _too_many(search: Search) -> str:
    what = [str(one.clause) for one in search.local]
    what += [f"order_by {column}" for column in search.order_by if sort_key(column.rpartition(" ")[0], {})]
    return (
        f"MLflow cannot evaluate {', '.join(what)}, and more than {READ_HERE:,} runs remain for this server to do it. "
        "Narrow the search with since, experiments, or clauses on metrics, tags, attributes or params = 'text'."
    )


def _any_key(column: str, names: Mapping[str, str]) -> Callable[[Run], Any]:
    if (own := sort_key(column, names)) is not None:
        return own
    entity, _, key = column.partition(".")
    key = key.strip("`")
    if entity == "metrics":
        return lambda run: value if math.isfinite(value := run.metrics.get(key, math.nan)) else None
    if entity == "params":
        return lambda run: run.params.get(key)
    if entity == "tags":
        return lambda run: run.tags.get(key)
    return lambda run: getattr(run, key, None)


async def _readable(clause: Clause, references: References, now_ms: int) -> tuple[Clause, ...]:
    """A clause as those that MLflow compares with: statuses in capitals, times in milliseconds, a parent by its id.

    Raises: NotFoundError, AmbiguousError: the parent. InvalidInputError: a time that cannot be read.
    """
    match = _CONDITION.fullmatch(clause.condition)
    if match is None:
        return (clause,)
    sign, value = match["sign"], match["value"]
    text = value[1:-1] if value[:1] in ("'", '"') else ""
    if clause.entity == "tags" and clause.key == tag_names.PARENT_RUN and sign in ("=", "!="):
        if not text or _RUN_ID.fullmatch(text):
            return (clause,)  # Children outlive a parent that MLflow has purged.
        parent = await references.run(text)
        return (replace(clause, condition=f"{sign} {quoted(parent.run_id)}"),)
    if clause.entity == "tags" and clause.key == tag_names.GIT_COMMIT and _SHORT_HASH.fullmatch(text):
        like = {"=": "LIKE", "!=": "NOT LIKE"}.get(sign, "")
        return (replace(clause, condition=f"{like} '{text.lower()}%'"),) if like else (clause,)
    if clause.entity != "attributes":
        return (clause,)
    if clause.key == "status":
        return _status_clauses(clause, sign, value.upper())
    if clause.key in _TIMES and text:
        if sign == "=":
            return _on_day(clause, text, now_ms)
        end = sign in ("<=", ">")
        moment = milliseconds(text, now_ms, argument=f"{clause.key} in filter_string", end=end)
        return (replace(clause, condition=f"{sign} {moment}"),)
    if clause.key in _TIMES and re.fullmatch(r"\d{10}", value):
        return (replace(clause, condition=f"{sign} {value}000"),)  # Seconds; as milliseconds they were January 1970.
    return (clause,)


def _on_day(clause: Clause, text: str, now_ms: int) -> tuple[Clause, ...]:
    """A time that equals a day or month lies in it."""
    argument = f"{clause.key} in filter_string"
    first = milliseconds(text, now_ms, argument=argument)
    last = milliseconds(text, now_ms, argument=argument, end=True)
    if first == last:
        return (replace(clause, condition=f"= {first}"),)
    return (replace(clause, condition=f">= {first}"), replace(clause, condition=f"<= {last}"))


def _status_clauses(clause: Clause, sign: str, value: str) -> tuple[Clause, ...]:
    """A list of statuses as clauses that MLflow evaluates: it has no IN for them, but there are only a few."""
    if sign not in ("IN", "NOT IN"):
        return (replace(clause, condition=f"{sign} {value}"),)
    named = re.findall(r"\w+", value)
    if sign == "IN" and not set(named) & set(STATUSES):
        return (replace(clause, condition=f"= '{named[0]}'"),)
    others = [status for status in STATUSES if (status in named) is (sign == "NOT IN")]
    return tuple(replace(clause, condition=f"!= '{status}'") for status in others)
