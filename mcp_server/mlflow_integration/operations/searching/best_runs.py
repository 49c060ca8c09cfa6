"""The best runs by one metric, asked of the database: it sorts, and only those at the top are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.searching.order_by import by_metric
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.searching.run_search import (
    NO_EXPERIMENT,
    RunQuery,
    Search,
    read_here,
    read_query,
    search_page,
)
from mcp_server.mlflow_integration.operations.searching.why_empty import why_empty
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.suggestions import suggestion
from mcp_server.untrusted import shown

_SPARE: Final = 5
"""Additional runs to read, because some of the best may have failed or still be running."""
_MOST_READ: Final = 2_000
"""Runs read when hardly any of the best has finished."""
ORDERED_ATTRIBUTES: Final = ("duration", "start_time", "end_time")
"""Not metrics, although callers rank by them."""


@dataclass(frozen=True, slots=True)
class BestRuns:
    """Runs from the best value on: at least the wanted number of finished ones, if there are as many."""

    runs: tuple[Run, ...]
    search: Search
    complete: bool
    """Whether these are all runs of the search."""
    why_empty: str = ""


async def best_runs(
    api: TrackingApi,
    references: References,
    query: RunQuery,
    *,
    metric: str,
    descending: bool,
    wanted: int,
    now_ms: int,
) -> BestRuns:
    """Reads pages, best first, until `wanted` finished runs with a finite value and the next one were seen.

    Raises: InvalidInputError: no run of the search has the metric; the text names the closest.
    """
    search = await read_query(references, replace(query, order_by=()), now_ms)
    search = replace(search, order_by=(by_metric(metric, descending=descending),))
    if not search.places:
        return BestRuns((), search, True, NO_EXPERIMENT)
    seen: list[Run] = []
    token = ""
    if search.local:
        seen = await read_here(api, search)
    while not search.local:
        # Offsets are MLflow's page tokens, so pages may grow.
        page = await search_page(api, search, max(wanted + 1, len(seen)) + _SPARE, token)
        seen += page.items
        token = page.next_page_token
        finished = sum(
            run.status == "FINISHED" and math.isfinite(run.metrics.get(metric, math.nan)) for run in page.items
        )
        wanted -= finished
        # MLflow sorts finite values first, then NaN, then runs without the metric.
        ended = bool(page.items) and metric not in page.items[-1].metrics
        if not token or wanted < 0 or ended or len(seen) >= _MOST_READ:
            break
    if not seen:
        why = await why_empty(api, search.places, search.clauses, search.local, search.view_type)
        return BestRuns((), search, True, why)
    if not any(metric in run.metrics for run in seen):
        raise await _unknown(api, search, metric, seen)
    return BestRuns(tuple(seen), search, not token)


async def _unknown(api: TrackingApi, search: Search, metric: str, seen: list[Run]) -> InvalidInputError:
    latest = await search_page(api, replace(search, order_by=()), 100, "")
    names = {name for run in [*seen, *latest.items] for name in run.metrics}
    where = f"experiment '{shown(search.places[0].name)}'" if len(search.places) == 1 else "these experiments"
    which = f"None of the runs in {where} that satisfy the filter" if search.all_clauses else f"No run in {where}"
    sorts = "search_runs with order_by sorts by it." if metric.lower() in ORDERED_ATTRIBUTES else ""
    return InvalidInputError(f"{which} has the metric '{shown(metric)}'. {sorts or suggestion(metric, names)}")
