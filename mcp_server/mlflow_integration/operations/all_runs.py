"""All runs of a search, page by page: for answers about whole experiments, and for exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import anyio

from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.runs import Tracking
from mcp_server.mlflow_integration.operations.searching.run_search import FoundRuns, RunQuery

PAGE: Final = 1_000
"""Runs of one request: 2 MB of MLflow's JSON."""


@dataclass(frozen=True, slots=True)
class AllRuns:
    runs: tuple[Run, ...]
    """Each once, in the order of the search."""
    experiments: tuple[Experiment, ...]
    complete: bool
    """False when there are more than were read."""
    why_empty: str


async def run_pages(
    tracking: Tracking,
    experiments: Sequence[str],
    *,
    filter_string: str = "",
    since: str = "",
    order_by: Sequence[str] = (),
    page_token: str = "",
    page_size: int = PAGE,
) -> AsyncIterator[FoundRuns]:
    """The pages of a search, until the last one.

    A run that begins meanwhile shifts the pages of newest runs, so that a run can come twice.
    """
    query = RunQuery(tuple(experiments), filter_string, tuple(order_by), since)
    while True:
        page = await tracking.search_runs(query, max_results=page_size, page_token=page_token)
        yield page
        page_token = page.next_page_token
        if not page_token:
            return


async def read_runs(
    tracking: Tracking,
    experiments: Sequence[str],
    *,
    filter_string: str = "",
    since: str = "",
    order_by: Sequence[str] = (),
    most: int,
    seconds: float,
) -> AllRuns:
    """The first `most` runs of a search, newest first by default; fewer when `seconds` are over after a page."""
    end = anyio.current_time() + seconds
    by_id: dict[str, Run] = {}
    places: tuple[Experiment, ...] = ()
    why, complete = "", True
    pages = run_pages(
        tracking,
        experiments,
        filter_string=filter_string,
        since=since,
        order_by=order_by,
        page_size=min(PAGE, most),
    )
    async with aclosing(pages):  # type: ignore[type-var]
        async for page in pages:
            places, why = page.search.places, why or page.why_empty
            by_id.update((run.run_id, run) for run in page.runs)
            if page.next_page_token and (len(by_id) >= most or anyio.current_time() > end):
                complete = False
                break
    return AllRuns(tuple(by_id.values())[:most], places, complete and len(by_id) <= most, why)
