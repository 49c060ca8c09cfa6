"""Why a search for runs found nothing: which clause removes everything, and what exists instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.filters import Clause, join_clauses
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType
from mcp_server.suggestions import did_you_mean

_KEYS_SAMPLE: Final = 100
"""Latest runs looked at to learn which metrics, params and tags exist: MLflow has no list of keys."""


async def why_empty(
    api: TrackingApi, places: Sequence[Experiment], clauses: Sequence[Clause], view_type: ViewType
) -> str:
    ids = [place.experiment_id for place in places]
    where = f"experiment '{places[0].name}'" if len(places) == 1 else f"the {len(places)} experiments"
    sample = await api.search_runs(ids, view_type=view_type, max_results=_KEYS_SAMPLE)
    if not sample.items:
        return f"There is no run in {where}."
    if not clauses:
        return ""
    for clause in clauses:
        if reason := _unknown_key(clause, sample.items, where):
            return reason
    alone = [clause for clause in clauses if not await _matches(api, ids, (clause,), view_type)]
    if alone:
        return f"No run in {where} satisfies {alone[0]}.{_extent(alone[0], sample.items)}"
    for left_out in clauses:
        rest = tuple(clause for clause in clauses if clause is not left_out)
        if len(rest) > 1 and await _matches(api, ids, rest, view_type):
            return f"Runs in {where} satisfy each clause alone; without {left_out} some satisfy the others together."
    return f"Runs in {where} satisfy each clause alone, but none satisfies all of them."


async def _matches(api: TrackingApi, ids: Sequence[str], clauses: tuple[Clause, ...], view_type: ViewType) -> bool:
    page = await api.search_runs(ids, filter_string=join_clauses(clauses), view_type=view_type, max_results=1)
    return bool(page.items)


def _unknown_key(clause: Clause, runs: Sequence[Run], where: str) -> str:
    if clause.entity not in ("metrics", "params", "tags") or clause.condition == "IS NULL":
        return ""
    known = sorted({key for run in runs for key in _values(run, clause.entity)})
    if clause.key in known:
        return ""
    singular = clause.entity.removesuffix("s")
    kept = [key for key in known if not key.startswith(tag_names.INTERNAL_PREFIXES)]
    return (
        f"No run in {where} has the {singular} '{clause.key}' (of the latest {len(runs)})."
        f"{did_you_mean(clause.key, kept)} {listing('They have', kept)}"
    )


def _extent(clause: Clause, runs: Sequence[Run]) -> str:
    """What there is instead, among the latest runs."""
    if clause.entity == "metrics":
        values = [run.metrics[clause.key] for run in runs if clause.key in run.metrics]
        numbers = [value for value in values if value == value]
        if not numbers:
            return ""
        return f" In the latest {len(runs)} runs it lies between {min(numbers):.4g} and {max(numbers):.4g}."
    if clause.entity in ("params", "tags"):
        texts = {str(_values(run, clause.entity).get(clause.key, "")) for run in runs} - {""}
        return " " + listing(f"In the latest {len(runs)} runs it is", [repr(text) for text in sorted(texts)])
    return ""


def _values(run: Run, entity: str) -> Mapping[str, Any]:
    return {"metrics": run.metrics, "params": run.params, "tags": run.tags}[entity]


def listing(lead: str, names: Sequence[str], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{lead}: {', '.join(names[:limit])}{more}." if names else f"{lead} none."
