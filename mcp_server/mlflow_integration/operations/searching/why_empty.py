"""Why a search for runs found nothing: which clause removes everything, and what exists instead."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio

from mcp_server.errors import MlflowToolError
from mcp_server.listing import listed
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.searching.filters import Clause, join_clauses
from mcp_server.mlflow_integration.operations.searching.local_clauses import LocalClause
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType
from mcp_server.suggestions import did_you_mean
from mcp_server.times import utc_text
from mcp_server.untrusted import shown

_SAMPLE: Final = 100
"""Latest runs read to learn which metrics, params and tags exist: MLflow has no list of keys."""
_SECONDS: Final = 5.0
"""Longest search for a reason; the answer that nothing was found is right without one."""
_CLAUSES_TESTED: Final = 8
"""Clauses that are tested one by one; each costs a request."""
_KEYED: Final[Mapping[str, Callable[[Run], Mapping[str, object]]]] = {
    "metrics": lambda run: run.metrics,
    "params": lambda run: run.params,
    "tags": lambda run: run.tags,
}
NO_REASON: Final = "No run satisfies the filter; there was no time to find out why."


async def why_empty(
    api: TrackingApi,
    places: Sequence[Experiment],
    clauses: Sequence[Clause],
    local: Sequence[LocalClause],
    view_type: ViewType,
) -> str:
    """A sentence about a search that found nothing. Never fails and never takes the time the answer needs."""
    now = anyio.current_time()
    half = now + (anyio.current_effective_deadline() - now) / 2
    with anyio.move_on_at(min(half, now + _SECONDS)):
        try:
            return await _Search(api, places, view_type).reason(clauses, local)
        except MlflowToolError:
            return NO_REASON
    return NO_REASON


class _Search:
    """The runs that were looked in."""

    def __init__(self, api: TrackingApi, places: Sequence[Experiment], view_type: ViewType) -> None:
        self._api = api
        self._ids = [place.experiment_id for place in places]
        self._names = {place.experiment_id: place.name for place in places}
        self._deleted = len(places) == 1 and places[0].lifecycle_stage == "deleted"
        self._view_type: ViewType = view_type
        self._where = f"experiment '{shown(places[0].name)}'" if len(places) == 1 else f"the {len(places)} experiments"

    async def reason(self, clauses: Sequence[Clause], local: Sequence[LocalClause]) -> str:
        page = await self._api.search_runs(self._ids, view_type=self._view_type, max_results=_SAMPLE)
        sample = page.items
        if not sample:
            return await self._no_runs()
        looked_at = f"the latest {len(sample)} runs" if page.next_page_token else f"all {len(sample)} runs"
        if len(sample) == 1:
            looked_at = "the only run"
        for clause in clauses[:_CLAUSES_TESTED]:
            if not await self._matches((clause,)):
                return f"No run in {self._where} satisfies {_text(clause)}.{_instead(clause, sample, looked_at)}"
        for one in local:
            if not page.next_page_token and not any(one.holds(run, self._names) for run in sample):
                return (
                    f"No run in {self._where} satisfies {_text(one.clause)}.{_instead(one.clause, sample, looked_at)}"
                )
        return await self._together(clauses, local)

    async def _no_runs(self) -> str:
        if self._view_type == "DELETED_ONLY":
            return f"There is no deleted run in {self._where}."
        deleted = await self._api.search_runs(self._ids, view_type="DELETED_ONLY", max_results=1)
        hint = " Deleted runs exist; search_runs with deleted=true lists them." if deleted.items else ""
        if self._deleted:
            hint += " The experiment is deleted; update_experiment with restore=true restores it."
        hint = hint or " log_run logs one; search_experiments lists other experiments."
        return f"There is no run in {self._where}.{hint}"

    async def _together(self, clauses: Sequence[Clause], local: Sequence[LocalClause]) -> str:
        tested = tuple(clauses)
        if local:
            others = " and ".join(map(_text, tested))
            these = ", ".join(_text(one.clause) for one in local)
            return (
                f"Runs in {self._where} exist, but none of those that satisfy {others or 'the rest'} satisfies {these}."
            )
        if len(tested) > _CLAUSES_TESTED:
            return f"Runs in {self._where} exist, but none satisfies all {len(tested)} clauses together."
        for left_out in tested if len(tested) > 2 else ():
            if await self._matches(tuple(clause for clause in tested if clause is not left_out)):
                return (
                    f"Runs in {self._where} satisfy each clause alone; "
                    f"without {_text(left_out)} some satisfy the others together."
                )
        return f"Runs in {self._where} satisfy each clause alone, but none satisfies all of them."

    async def _matches(self, clauses: tuple[Clause, ...]) -> bool:
        page = await self._api.search_runs(
            self._ids, filter_string=join_clauses(clauses), view_type=self._view_type, max_results=1
        )
        return bool(page.items)


def _text(clause: Clause) -> str:
    return shown(str(clause), 160)


def _instead(clause: Clause, runs: Sequence[Run], looked_at: str) -> str:
    """What there is instead among the runs that were looked at; begins with a space, or is empty."""
    if clause.condition == "IS NULL" and clause.entity in _KEYED:
        return f" Of {looked_at}, every one has it." if all(clause.key in _values(run, clause) for run in runs) else ""
    if clause.entity == "attributes":
        return _attribute_instead(clause.key, runs, looked_at)
    if clause.entity == "datasets":
        names = sorted({item.name for run in runs for item in run.datasets})
        return f" {listing(f'Datasets of {looked_at}', names)}"
    known = sorted({key for run in runs for key in _values(run, clause)})
    if clause.key not in known:
        own = [key for key in known if not key.startswith(tag_names.INTERNAL_PREFIXES)]
        word = clause.entity.removesuffix("s")
        if clause.key.startswith(tag_names.INTERNAL_PREFIXES):
            return f" Of {looked_at}, none has the {word} '{shown(clause.key)}'."
        near = did_you_mean(clause.key, known)
        return f" Of {looked_at}, none has the {word} '{shown(clause.key)}'.{near} {listing('They have', own)}"
    if clause.entity == "metrics":
        numbers = [run.metrics[clause.key] for run in runs if clause.key in run.metrics]
        numbers = [number for number in numbers if not math.isnan(number)]
        if not numbers:
            return f" In {looked_at} it is NaN or missing."
        return f" In {looked_at} it lies between {min(numbers):.4g} and {max(numbers):.4g}."
    texts = sorted({str(_values(run, clause)[clause.key]) for run in runs if clause.key in _values(run, clause)})
    return " " + listing(f"In {looked_at} it is", [f"'{shown(text, 60)}'" for text in texts])


def _attribute_instead(key: str, runs: Sequence[Run], looked_at: str) -> str:
    if key == "status":
        counts = Counter(run.status for run in runs)
        return f" Of {looked_at}: " + ", ".join(f"{count} {status}" for status, count in counts.most_common()) + "."
    if key == "run_name":
        return " " + listing(f"Names of {looked_at}", list(dict.fromkeys(shown(run.run_name, 60) for run in runs)))
    if key in ("start_time", "created", "end_time"):
        times = [run.end_time if key == "end_time" else run.start_time for run in runs]
        times = [time for time in times if time]
        if not times:
            return ""
        what = "ended" if key == "end_time" else "started"
        return (
            f" The latest of {looked_at} {what} at {utc_text(max(times))}, the earliest at {utc_text(min(times))} UTC."
        )
    if key == "duration":
        spans = [(run.end_time - run.start_time) / 1_000 for run in runs if run.end_time >= run.start_time > 0]
        return f" {looked_at.capitalize()} took {min(spans):.4g} to {max(spans):.4g} s." if spans else ""
    return ""


def _values(run: Run, clause: Clause) -> Mapping[str, object]:
    return _KEYED[clause.entity](run)


def listing(lead: str, names: Sequence[str], limit: int = 10) -> str:
    """`Lead: a, b and 3 more.`"""
    return f"{lead}: {listed([shown(name) for name in names], limit)}." if names else f"{lead} none."
