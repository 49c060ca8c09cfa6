"""What belongs to a run without being part of it: its children and the model versions made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import ModelVersion, Run
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

CHILDREN_SHOWN: Final = 10
VERSIONS_SHOWN: Final = 20
_SECONDS: Final = 5.0
"""Longest wait; the run itself is answered without."""


@dataclass(slots=True)
class Surroundings:
    children: tuple[Run, ...] = ()
    """The newest, at most CHILDREN_SHOWN."""
    more_children: bool = False
    versions: tuple[ModelVersion, ...] = ()
    unread: tuple[str, ...] = ()
    """What could not be read in time: `children`, `registered_versions`."""


async def surroundings(api: TrackingApi, registry: RegistryApi, run: Run) -> Surroundings:
    """Never fails, and takes at most half of the time that is left: the record of the run is right without it."""
    found = Surroundings(unread=("children", "registered_versions"))

    async def children() -> None:
        page = await api.search_runs(
            [run.experiment_id],
            filter_string=f"tags.`{tag_names.PARENT_RUN}` = {quoted(run.run_id)}",
            max_results=CHILDREN_SHOWN,
        )
        found.children, found.more_children = page.items, bool(page.next_page_token)
        found.unread = tuple(what for what in found.unread if what != "children")

    async def versions() -> None:
        page = await registry.search_model_versions(f"run_id = {quoted(run.run_id)}", max_results=VERSIONS_SHOWN)
        found.versions = page.items
        found.unread = tuple(what for what in found.unread if what != "registered_versions")

    async def attempt(read: Callable[[], Awaitable[None]]) -> None:
        with suppress(MlflowToolError):  # It stays in `unread`.
            await read()

    now = anyio.current_time()
    half = now + (anyio.current_effective_deadline() - now) / 2
    with anyio.move_on_at(min(half, now + _SECONDS)):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, children)
            tasks.start_soon(attempt, versions)
    return found
