"""export_runs: all runs of a search into a local file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

import anyio
from anyio.to_thread import run_sync
from mcp.server.mcpserver import Context
from pydantic import Field

from mcp_server.mlflow_integration.operations.all_runs import run_pages
from mcp_server.mlflow_integration.operations.files.folders import open_for_writing, place_of
from mcp_server.mlflow_integration.operations.files.run_files import RunSpool, format_of
from mcp_server.mlflow_integration.operations.runs import FoundRuns
from mcp_server.rendering import Record
from mcp_server.tools._context import OneEngine
from mcp_server.tools._links import local_files
from mcp_server.tools._params import ExperimentRefs, OrderBy, PageToken, SameFilter, SameSince

READING_PART: Final = 0.7
"""Part of the deadline that may be spent on reading runs; the rest is for writing them."""
COLUMNS_SHOWN: Final = 40
OLDEST_FIRST: Final = ("attributes.start_time ASC",)
"""Runs that start in the meantime come last and shift no page."""


async def export_runs(
    engine: OneEngine,
    context: Context[Any, Any],
    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1_000,
            description="New file in an allowed folder: .csv, .jsonl or .parquet.",
        ),
    ],
    experiments: ExperimentRefs = (),
    filter_string: SameFilter = "",
    order_by: Annotated[OrderBy, Field(description="Default: oldest first.")] = (),
    since: SameSince = "",
    page_token: PageToken = "",
) -> Record:
    """Save all runs of a search to a local CSV, JSON lines or Parquet file: for pandas, a spreadsheet, a backup."""
    format_name = format_of(path)
    end = anyio.current_time() + engine.settings.timeout_seconds * READING_PART
    pages = run_pages(
        engine.tracking,
        experiments,
        filter_string=filter_string,
        since=since,
        order_by=order_by or OLDEST_FIRST,
        page_token=page_token,
    )
    with open_for_writing(path, engine.settings.allowed_folders) as target, tempfile.TemporaryFile() as temporary:
        spool = RunSpool(temporary)
        last = await _read(pages, spool, context, end)
        await run_sync(partial(spool.write, target, format_name))
        size = target.tell()
    facts = {"path": path, "format": format_name, "runs": len(spool), "bytes": size}
    links = local_files([(place_of(path, engine.settings.allowed_folders), size)])
    return Record({**facts, **_outcome(spool, last)}, hint=_hint(spool, last), links=links)


async def _read(
    pages: AsyncIterator[FoundRuns], spool: RunSpool, context: Context[Any, Any], end: float
) -> FoundRuns | None:
    """Reads page after page until the last one or the time `end`. Returns: the last page that was read."""
    page = None
    async for page in pages:
        await run_sync(partial(spool.add, page.runs, page.search.names))
        await context.report_progress(len(spool), None, f"{len(spool):,} runs read")
        if anyio.current_time() > end:
            break
    return page


def _outcome(spool: RunSpool, last: FoundRuns | None) -> dict[str, Any]:
    columns, token = spool.columns, last.next_page_token if last else ""
    more = len(columns) - COLUMNS_SHOWN
    shown = [*columns[:COLUMNS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return {"complete": not token, "columns_written": shown, "next_page_token": token}


def _hint(spool: RunSpool, last: FoundRuns | None) -> str:
    hints: list[str] = []
    if last and last.next_page_token:
        hints.append(
            f"The time for one call ran out after {len(spool):,} runs. Repeat the call with another path and this "
            "next_page_token as page_token to write the rest."
        )
    if spool.escaped:
        hints.append(f"{spool.escaped:,} texts that a spreadsheet would run as formulas begin with an apostrophe.")
    return " ".join(hints) or (last.why_empty if last and not spool else "")
