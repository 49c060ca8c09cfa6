"""What the tools ask of MLflow tracking: find, read and look after experiments and runs. recording.py writes runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from mcp_server.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Experiment, MetricSeries, Page, Run
from mcp_server.mlflow_integration.operations.filters import Clause, join_clauses, parse_filter, quoted, since_clause
from mcp_server.mlflow_integration.operations.references import References
from mcp_server.mlflow_integration.rest.tracking_api import BULK_INTERVAL_RUNS, TrackingApi, ViewType
from mcp_server.suggestions import did_you_mean

SAMPLE_POINTS: Final = 500
"""Points of one curve asked of MLflow: enough to find its shape, and 50 kB of JSON."""
_SAMPLE_POINTS_MANY: Final = 200
"""The same when a call asks for more than _FEW_CURVES of them."""
_FEW_CURVES: Final = 10
_STEP_LIMIT: Final = 2**53
"""Beyond any step; MLflow takes both bounds of a range or none."""
_KEYS_SAMPLE: Final = 100
"""Latest runs looked at to learn which metrics, params and tags exist: MLflow has no list of keys."""


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """One page of a search for runs."""

    runs: tuple[Run, ...]
    next_page_token: str
    experiments: tuple[Experiment, ...]
    """Those that were looked in."""
    clauses: tuple[Clause, ...]
    order_by: tuple[str, ...]
    why_empty: str = ""
    """A sentence, when nothing was found."""


class Tracking:
    """Experiments and runs of one MLflow."""

    def __init__(self, api: TrackingApi, references: References, ui_url: str = "") -> None:
        self._api = api
        self.references = references
        self._ui_url = ui_url

    # Experiments

    async def search_experiments(
        self,
        name_contains: str = "",
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        max_results: int,
        page_token: str = "",
        view_type: ViewType = "ACTIVE_ONLY",
    ) -> Page[Experiment]:
        """Experiments whose name contains a text (any case) and that a filter of MLflow's holds for."""
        named = f"name ILIKE {quoted(f'%{name_contains}%')}" if name_contains else ""
        return await self._api.search_experiments(
            filter_string=" AND ".join(part for part in (named, filter_string) if part),
            order_by=order_by or ("last_update_time DESC",),
            max_results=max_results,
            page_token=page_token,
            view_type=view_type,
        )

    async def create_experiment(self, name: str, *, description: str, tags: Mapping[str, str]) -> Experiment:
        """Raises: AlreadyExistsError: also for a deleted experiment of that name, which MLflow keeps until purged."""
        if not name.strip():
            raise InvalidInputError("An experiment needs a name that is not empty.")
        note = {tag_names.NOTE: description} if description else {}
        try:
            experiment_id = await self._api.create_experiment(name, {**tags, **note})
        except AlreadyExistsError:
            existing = await self._api.get_experiment_by_name(name)
            if existing.lifecycle_stage == "deleted":
                raise AlreadyExistsError(
                    f"A deleted experiment holds the name '{name}' (id {existing.experiment_id}). "
                    "update_experiment with restore=true brings it back."
                ) from None
            raise AlreadyExistsError(
                f"Experiment '{name}' exists (id {existing.experiment_id}); log_run and start_run take its name."
            ) from None
        self.references.forget()
        return await self._api.get_experiment(experiment_id)

    async def update_experiment(
        self, reference: str, *, name: str, description: str | None, tags: Mapping[str, str], restore: bool
    ) -> Experiment:
        experiment = await self.references.experiment(reference)
        experiment_id = experiment.experiment_id
        if restore and experiment.lifecycle_stage == "deleted":
            await self._api.restore_experiment(experiment_id)
        if name and name != experiment.name:
            await self._api.rename_experiment(experiment_id, name)
        note = {} if description is None else {tag_names.NOTE: description}
        for key, value in {**tags, **note}.items():
            await self._api.set_experiment_tag(experiment_id, key, value)
        self.references.forget()
        return await self._api.get_experiment(experiment_id)

    async def delete_experiment(self, reference: str) -> Experiment:
        """Moves it to the deleted stage, from which update_experiment restores it."""
        experiment = await self.references.experiment(reference)
        if experiment.lifecycle_stage != "deleted":
            await self._api.delete_experiment(experiment.experiment_id)
            self.references.forget()
        return experiment

    # Runs

    async def search_runs(
        self,
        experiments: Sequence[str] = (),
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        since: str = "",
        max_results: int,
        page_token: str = "",
        view_type: ViewType = "ACTIVE_ONLY",
    ) -> FoundRuns:
        """One page of runs, newest first unless ordered otherwise.

        Raises: NotFoundError: an experiment is unknown. InvalidInputError: the filter or order cannot be read.
        """
        clauses = parse_filter(filter_string)
        if since:
            clauses += (since_clause(since, datetime.now(timezone.utc)),)
        order = tuple(_order(item) for item in order_by)
        places = await self.references.experiments(experiments)
        if not places:
            return FoundRuns((), "", (), clauses, order, "MLflow holds no experiment yet; log_run makes the first.")
        page = await self._api.search_runs(
            [place.experiment_id for place in places],
            filter_string=join_clauses(clauses),
            order_by=order,
            view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        why = "" if page.items or page_token else await self._why_empty(places, clauses, view_type)
        return FoundRuns(page.items, page.next_page_token, places, clauses, order, why)

    async def get_run(self, reference: str) -> Run:
        return await self.references.run(reference)

    async def get_runs(self, references: Sequence[str]) -> tuple[Run, ...]:
        return await self.references.runs(references)

    async def experiment_name(self, experiment_id: str) -> str:
        """The name behind an id; the id itself if MLflow no longer lists it."""
        for experiment in await self.references.all_experiments():
            if experiment.experiment_id == experiment_id:
                return experiment.name
        try:
            return (await self._api.get_experiment(experiment_id)).name
        except NotFoundError:
            return experiment_id

    async def update_run(
        self, reference: str, *, name: str, description: str | None, tags: Mapping[str, str], restore: bool
    ) -> Run:
        run = await self.references.run(reference)
        if restore and run.lifecycle_stage == "deleted":
            await self._api.restore_run(run.run_id)
        if name and name != run.run_name:
            await self._api.update_run(run.run_id, run_name=name)
        note = {} if description is None else {tag_names.NOTE: description}
        for key, value in {**tags, **note}.items():
            await self._api.set_run_tag(run.run_id, key, value)
        return await self._api.get_run(run.run_id)

    async def delete_runs(self, references: Sequence[str]) -> tuple[Run, ...]:
        """Moves runs to the deleted stage, from which update_run restores them. All are found before one is deleted."""
        runs = await self.references.runs(references)
        for run in runs:
            if run.lifecycle_stage != "deleted":
                await self._api.delete_run(run.run_id)
        return runs

    # Curves

    async def metric_history(
        self,
        runs: Sequence[Run],
        metrics: Sequence[str],
        *,
        start_step: int | None = None,
        end_step: int | None = None,
    ) -> tuple[MetricSeries, ...]:
        """One series per run and metric that exists, each a sample of at most SAMPLE_POINTS that MLflow chooses.

        Raises: InvalidInputError: no run has one of the metrics; the text names the closest.
        Source: metrics/get-history-bulk-interval, which thins evenly on the server.
        """
        known = sorted({key for run in runs for key in run.metrics})
        for metric in metrics:
            if metric not in known:
                near = did_you_mean(metric, known)
                raise InvalidInputError(
                    f"None of the runs has a metric '{metric}'.{near} {_listing('They have', known)}"
                )
        if (start_step is not None) or (end_step is not None):
            start_step = -_STEP_LIMIT if start_step is None else start_step
            end_step = _STEP_LIMIT if end_step is None else end_step
            if start_step > end_step:
                raise InvalidInputError(f"start_step {start_step} is beyond end_step {end_step}.")
        size = SAMPLE_POINTS if len(runs) * len(metrics) <= _FEW_CURVES else _SAMPLE_POINTS_MANY
        series: dict[tuple[str, str], MetricSeries] = {}

        # One after the other: an MLflow server works one curve at a time, and side by side they only wait longer.
        for metric in metrics:
            ids = [run.run_id for run in runs if metric in run.metrics]
            for start in range(0, len(ids), BULK_INTERVAL_RUNS):
                by_run = await self._api.metric_history_sample(
                    ids[start : start + BULK_INTERVAL_RUNS],
                    metric,
                    max_results=size,
                    start_step=start_step,
                    end_step=end_step,
                )
                for run_id, points in by_run.items():
                    points.sort(key=lambda point: (point.step, point.timestamp))
                    series[run_id, metric] = MetricSeries(run_id, metric, tuple(points), sampled=len(points) >= size)
        wanted = ((run.run_id, metric) for run in runs for metric in metrics)
        return tuple(series[key] for key in wanted if key in series)

    # Links

    def run_url(self, run: Run) -> str:
        """Page of a run in MLflow's UI; empty where the store has none."""
        return f"{self._ui_url}/#/experiments/{run.experiment_id}/runs/{run.run_id}" if self._ui_url else ""

    def experiment_url(self, experiment_id: str) -> str:
        return f"{self._ui_url}/#/experiments/{experiment_id}" if self._ui_url else ""

    # Why a search found nothing

    async def _why_empty(self, places: Sequence[Experiment], clauses: Sequence[Clause], view_type: ViewType) -> str:
        ids = [place.experiment_id for place in places]
        where = f"experiment '{places[0].name}'" if len(places) == 1 else f"the {len(places)} experiments"
        sample = await self._api.search_runs(ids, view_type=view_type, max_results=_KEYS_SAMPLE)
        if not sample.items:
            return f"There is no run in {where}."
        if not clauses:
            return ""
        for clause in clauses:
            if reason := _unknown_key(clause, sample.items, where):
                return reason
        alone = [clause for clause in clauses if not await self._matches(ids, (clause,), view_type)]
        if alone:
            return f"No run in {where} satisfies {alone[0]}.{_extent(alone[0], sample.items)}"
        for left_out in clauses:
            rest = tuple(clause for clause in clauses if clause is not left_out)
            if len(rest) > 1 and await self._matches(ids, rest, view_type):
                return (
                    f"Runs in {where} satisfy each clause alone; without {left_out} some satisfy the others together."
                )
        return f"Runs in {where} satisfy each clause alone, but none satisfies all of them."

    async def _matches(self, ids: Sequence[str], clauses: tuple[Clause, ...], view_type: ViewType) -> bool:
        page = await self._api.search_runs(ids, filter_string=join_clauses(clauses), view_type=view_type, max_results=1)
        return bool(page.items)


def _order(text: str) -> str:
    """One order_by entry as MLflow reads it. Raises: InvalidInputError: not `metrics.accuracy DESC` or the like."""
    match = re.fullmatch(
        r"\s*(?:(?P<entity>\w+)\.)?(?P<key>`[^`]+`|\"[^\"]+\"|\S+?)(?:\s+(?P<way>ASC|DESC))?\s*", text, re.IGNORECASE
    )
    form = "Form: metrics.accuracy DESC, params.lr ASC or attributes.start_time DESC."
    if match is None:
        raise InvalidInputError(f'order_by has an invalid entry: "{text}". {form}')
    try:
        # The same words and quotes as in a filter, so the filter's parser judges them.
        value = "0" if (match["entity"] or "").lower().startswith("metric") else "''"
        (clause,) = parse_filter(f"{match['entity'] + '.' if match['entity'] else ''}{match['key']} = {value}")
    except (InvalidInputError, ValueError):
        raise InvalidInputError(f'order_by has an invalid entry: "{text}". {form}') from None
    column = str(clause).removesuffix(f" {clause.condition}")
    return f"{column} {(match['way'] or 'ASC').upper()}"


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
        f"{did_you_mean(clause.key, kept)} {_listing('They have', kept)}"
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
        return " " + _listing(f"In the latest {len(runs)} runs it is", [repr(text) for text in sorted(texts)])
    return ""


def _values(run: Run, entity: str) -> Mapping[str, Any]:
    return {"metrics": run.metrics, "params": run.params, "tags": run.tags}[entity]


def _listing(lead: str, names: Sequence[str], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{lead}: {', '.join(names[:limit])}{more}." if names else f"{lead} none."
