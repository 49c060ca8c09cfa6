"""Completions of prompt and template arguments: what exists in MLflow, by prefix first, then by resemblance."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import anyio
from mcp.server import MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.searching.run_search import RunQuery
from mcp_server.resource_uris import tracker_of
from mcp_server.suggestions import did_you_mean
from mcp_server.trackers import Trackers
from mcp_server.untrusted import clean, shown

VALUES_LIMIT: Final = 100
"""The most that the protocol lets one answer hold."""
KEPT_SECONDS: Final = 10.0
"""How long a list is used again: a person types several letters a second."""
WAIT_SECONDS: Final = 3.0
"""A completion that comes later is of no use."""
LATEST_RUNS: Final = 200
TYPED_LIMIT: Final = 300
"""Characters of what was typed that are compared; no name is longer."""

logger = logging.getLogger(__name__)

Names = Callable[[Mapping[str, str]], Awaitable[Sequence[str]]]


class Completions:
    """Lists of names in one MLflow, each by the arguments that it depends on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[tuple[str, ...], tuple[float, Sequence[str]]] = {}
        runs: Names = self._runs
        self._names: dict[str, Names] = {
            "experiment": self._experiments,
            "experiment_id": self._experiment_ids,
            "run": runs,
            "first": runs,
            "second": runs,
            "run_id": self._run_ids,
            "metric": self._metrics,
            "param": self._params,
            "model": self._models,
            "name": self._models,
            "version": self._versions,
            "alias": self._aliases,
            "path": self._paths,
        }

    async def complete(self, argument: str, typed: str, others: Mapping[str, str]) -> Completion:
        """Values for an argument; none when it is unknown or MLflow does not answer in time. Never an error."""
        names = self._names.get(argument)
        if names is None:
            return Completion(values=[])
        key = (argument, *(f"{name}={value}" for name, value in sorted(others.items())))
        kept_at, values = self._kept.get(key, (-KEPT_SECONDS, ()))
        if time.monotonic() - kept_at > KEPT_SECONDS:
            values = await self._asked(names, others)
            self._kept = {k: v for k, v in self._kept.items() if time.monotonic() - v[0] <= KEPT_SECONDS}
            if values:  # Nothing may mean that MLflow was still being opened.
                self._kept[key] = (time.monotonic(), values)
        found = matching(values, typed)
        return Completion(values=found[:VALUES_LIMIT], total=len(found), has_more=len(found) > VALUES_LIMIT)

    async def _asked(self, names: Names, others: Mapping[str, str]) -> Sequence[str]:
        try:
            with anyio.move_on_after(WAIT_SECONDS):
                return [clean(value) for value in dict.fromkeys(await names(others)) if value]
        except MlflowToolError:
            pass  # An argument that does not exist has no completions.
        except Exception:
            logger.warning("A completion failed", exc_info=True)
        return ()

    async def _experiments(self, _: Mapping[str, str]) -> Sequence[str]:
        return [experiment.name for experiment in await self._engine.tracking.references.all_experiments()]

    async def _experiment_ids(self, _: Mapping[str, str]) -> Sequence[str]:
        return [experiment.experiment_id for experiment in await self._engine.tracking.references.all_experiments()]

    async def _latest(self, others: Mapping[str, str]) -> Sequence[Any]:
        place = others.get("experiment") or others.get("experiment_id") or ""
        query = RunQuery(experiments=(place,) if place else ())
        found = await self._engine.tracking.search_runs(query, max_results=LATEST_RUNS)
        return found.runs

    async def _runs(self, others: Mapping[str, str]) -> Sequence[str]:
        return [run.run_name for run in await self._latest(others)]

    async def _run_ids(self, others: Mapping[str, str]) -> Sequence[str]:
        return [run.run_id for run in await self._latest(others)]

    async def _metrics(self, others: Mapping[str, str]) -> Sequence[str]:
        return sorted({key for run in await self._latest(others) for key in run.metrics})

    async def _params(self, others: Mapping[str, str]) -> Sequence[str]:
        return sorted({key for run in await self._latest(others) for key in run.params})

    async def _models(self, _: Mapping[str, str]) -> Sequence[str]:
        page = await self._engine.registry.search_models("", max_results=1_000)
        return [model.name for model in page.items]

    async def _model(self, others: Mapping[str, str]) -> Any:
        name = others.get("name") or others.get("model") or ""
        return await self._engine.registry.get_model(name, max_versions=100) if name else None

    async def _versions(self, others: Mapping[str, str]) -> Sequence[str]:
        card = await self._model(others)
        return [*card.model.version_by_alias, *(version.version for version in card.versions)] if card else []

    async def _aliases(self, others: Mapping[str, str]) -> Sequence[str]:
        card = await self._model(others)
        return list(card.model.version_by_alias) if card else ["champion", "challenger", "production", "staging"]

    async def _paths(self, others: Mapping[str, str]) -> Sequence[str]:
        run = others.get("run_id") or others.get("run") or ""
        if not run:
            return []
        place = await self._engine.artifacts.place(run)
        page = await self._engine.artifacts.walk(place, "", after="", limit=1_000)
        return [file.path for file in page.files]


def matching(values: Sequence[str], typed: str) -> list[str]:
    """The values that begin with what was typed, then those that contain it, then similar ones; in any case."""
    wanted = typed[:TYPED_LIMIT].lower()
    first = [value for value in values if value.lower().startswith(wanted)]
    inside = [value for value in values if wanted in value.lower()]
    by_lower = {value.lower(): value for value in values}
    similar = [by_lower[name] for name in get_close_matches(wanted, by_lower, n=5, cutoff=0.6)] if wanted else []
    return list(dict.fromkeys([*first, *inside, *similar]))


def register_completions(to: MCPServer[Any], trackers: Trackers) -> None:
    """Serves completion/complete for every prompt and template of a server.

    A template is one of some tracker; prompts work with the default one. Other names and URIs are refused, as the
    specification asks.
    """
    by_name = {tracker.name: Completions(tracker.engine) for tracker in trackers.all}

    @to.completion()
    async def complete(  # pyright: ignore[reportUnusedFunction]
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        await _need_known(ref, to)
        named = tracker_of(ref.uri) if isinstance(ref, ResourceTemplateReference) else ""
        completions = by_name.get(named, by_name[trackers.default.name])
        return await completions.complete(argument.name, argument.value, (context.arguments if context else None) or {})


async def _need_known(ref: PromptReference | ResourceTemplateReference, server: MCPServer[Any]) -> None:
    if isinstance(ref, PromptReference):
        what, name, known = "prompt", ref.name, [prompt.name for prompt in await server.list_prompts()]
    else:
        templates = [template.uri_template for template in await server.list_resource_templates()]
        known = [*templates, *(str(resource.uri) for resource in await server.list_resources())]
        what, name = "resource template", ref.uri
    if name not in known:
        raise MCPError(INVALID_PARAMS, f"Unknown {what} '{shown(name)}'.{did_you_mean(name, known)}")
