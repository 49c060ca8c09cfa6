"""MLflow tracking over REST, one typed method per endpoint: experiments, runs, metrics, logged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import quote

from mcp_server.errors import UnsupportedError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Dataset, Experiment, LoggedModel, MetricPoint, Page, Run
from mcp_server.mlflow_integration.rest.api import RestApi, pairs, present, same, searchable
from mcp_server.mlflow_integration.rest.conversion import (
    experiment_of,
    logged_model_of,
    page_of,
    point_of,
    run_of,
)
from mcp_server.mlflow_integration.rest.error_responses import misdirected
from mcp_server.mlflow_integration.rest.fields import Json, listed, required_text, text
from mcp_server.mlflow_integration.rest.transport import RunPageReader

ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]

BULK_INTERVAL_RUNS: Final = 100
"""Runs in one get-history-bulk-interval request. Source: MLflow's MAX_RUNS_GET_METRIC_HISTORY_BULK."""

_LARGE_PAGE: Final = 500
"""Runs of a page that is worth another way; MLflow answers smaller ones in some tens of milliseconds."""

_HISTORY_PAGE: Final = 25_000
"""Points of one get-history page. Source: MLflow's largest."""


class TrackingApi(RestApi):
    """The tracking half of one MLflow."""

    _samples = True
    """False: this server has no get-history-bulk-interval (MLflow before 2.11)."""

    # Experiments

    async def search_experiments(
        self,
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 1_000,
        page_token: str = "",
    ) -> Page[Experiment]:
        body = present(
            filter=searchable(filter_string),
            order_by=list(order_by),
            view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        found = await self._call("POST", "2.0/mlflow/experiments/search", json=body, idempotent=True)
        return page_of(found, "experiments", experiment_of)

    async def get_experiment(self, experiment_id: str) -> Experiment:
        found = await self._get("2.0/mlflow/experiments/get", experiment_id=experiment_id)
        experiment = experiment_of(self._part(found, "experiment"))
        if not same(experiment.experiment_id, experiment_id):
            raise misdirected(self._address, "experiment", experiment_id)
        return experiment

    async def get_experiment_by_name(self, name: str) -> Experiment:
        found = await self._get("2.0/mlflow/experiments/get-by-name", experiment_name=name)
        return experiment_of(self._part(found, "experiment"))

    async def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Returns: the id of the new experiment. Raises: AlreadyExistsError: also for a deleted one of that name."""
        made = await self._post("experiments/create", name=name, tags=pairs(tags))
        return self._id(made, "experiment_id")

    async def rename_experiment(self, experiment_id: str, name: str) -> None:
        await self._post("experiments/update", idempotent=True, experiment_id=experiment_id, new_name=name)

    async def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        await self._post(
            "experiments/set-experiment-tag", idempotent=True, experiment_id=experiment_id, key=key, value=value
        )

    async def delete_experiment(self, experiment_id: str) -> None:
        await self._post("experiments/delete", experiment_id=experiment_id)

    async def restore_experiment(self, experiment_id: str) -> None:
        await self._post("experiments/restore", experiment_id=experiment_id)

    # Runs

    async def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 100,
        page_token: str = "",
    ) -> Page[Run]:
        """MLflow does not refuse an unknown experiment id: resolve ids first."""
        body = present(
            experiment_ids=list(experiment_ids),
            filter=searchable(filter_string),
            order_by=list(order_by),
            run_view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        found = None
        if max_results >= _LARGE_PAGE and isinstance(self._transport, RunPageReader):
            found = await self._transport.read_run_page(body)
        if found is None:
            found = await self._call("POST", "2.0/mlflow/runs/search", json=body, idempotent=True)
        return page_of(found, "runs", run_of)

    async def get_run(self, run_id: str) -> Run:
        found = await self._get("2.0/mlflow/runs/get", run_id=run_id)
        run = run_of(self._part(found, "run"))
        if not same(run.run_id, run_id):
            raise misdirected(self._address, "run", run_id)
        return run

    async def create_run(self, experiment_id: str, run_name: str, start_time: int, tags: Mapping[str, str]) -> Run:
        made = await self._post(
            "runs/create",
            experiment_id=experiment_id,
            run_name=run_name,
            # MLflow stores 0 when it is left out.
            start_time=start_time,
            tags=pairs(tags),
        )
        return run_of(self._part(made, "run"))

    async def update_run(
        self, run_id: str, *, status: str = "", end_time: int | None = None, run_name: str = ""
    ) -> None:
        await self._post(
            "runs/update",
            idempotent=True,
            **present(run_id=run_id, status=status, end_time=end_time, run_name=run_name),
        )

    async def log_batch(
        self, run_id: str, metrics: Sequence[Json], params: Sequence[Json], tags: Sequence[Json]
    ) -> None:
        """One request; the caller keeps MLflow's limits. Idempotent because every metric carries its time."""
        await self._post(
            "runs/log-batch", idempotent=True, **present(run_id=run_id, metrics=metrics, params=params, tags=tags)
        )

    async def log_param(self, run_id: str, key: str, value: str) -> None:
        """Raises: InvalidInputError: it has another value, which stays, or the run is deleted."""
        await self._post("runs/log-parameter", idempotent=True, run_id=run_id, key=key, value=value)

    async def delete_run_tag(self, run_id: str, key: str) -> None:
        await self._post("runs/delete-tag", run_id=run_id, key=key)

    async def log_inputs(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        inputs = [
            {
                "dataset": present(
                    name=d.name, digest=d.digest, source_type=d.source_type, source=d.source, schema=d.schema
                ),
                "tags": pairs({tag_names.DATASET_CONTEXT: d.context} if d.context else {}),
            }
            for d in datasets
        ]
        # MLflow stores an input once, whatever the number of deliveries (same name, digest and run).
        await self._post("runs/log-inputs", idempotent=True, run_id=run_id, datasets=inputs)

    async def delete_run(self, run_id: str) -> None:
        await self._post("runs/delete", run_id=run_id)

    async def restore_run(self, run_id: str) -> None:
        await self._post("runs/restore", run_id=run_id)

    async def metric_history_sample(
        self, run_ids: Sequence[str], key: str, *, max_results: int, start_step: int | None, end_step: int | None
    ) -> dict[str, list[MetricPoint]]:
        """Points of one metric for up to BULK_INTERVAL_RUNS runs, thinned to about `max_results` steps each.

        MLflow thins them. Servers before 2.11 cannot, nor those before 3.15 with SQLAlchemy 2.1; of them all points
        are read, one request a run and page.

        Returns: points by run id, ordered by step, then time; runs without the metric are left out.
        """
        # MLflow takes both bounds or none.
        bounds = present(start_step=start_step, end_step=end_step)
        if self._samples:
            try:
                found = await self._get(
                    "2.0/mlflow/metrics/get-history-bulk-interval",
                    run_ids=list(run_ids),
                    metric_key=key,
                    max_results=max_results,
                    **bounds,
                )
            except UnsupportedError:
                self._samples = False
            else:
                by_run: dict[str, list[MetricPoint]] = {}
                for metric in listed(found, "metrics"):
                    by_run.setdefault(required_text(metric, "run_id"), []).append(point_of(metric))
                return by_run
        histories = {run_id: await self._metric_history(run_id, key) for run_id in run_ids}
        return {
            run_id: _sample(points, max_results, start_step, end_step) for run_id, points in histories.items() if points
        }

    async def _metric_history(self, run_id: str, key: str) -> list[MetricPoint]:
        points: list[MetricPoint] = []
        token = ""
        while True:
            fields = present(run_id=run_id, metric_key=key, max_results=_HISTORY_PAGE, page_token=token)
            found = await self._get("2.0/mlflow/metrics/get-history", **fields)
            points += map(point_of, listed(found, "metrics"))
            token = text(found, "next_page_token")
            if not token:
                return points

    async def metric_history_page(
        self, run_id: str, key: str, *, max_results: int, page_token: str = ""
    ) -> Page[MetricPoint]:
        """Every logged point of one metric, a page at a time; MLflow orders them by time, then step.

        An MLflow server older than 2.8 has no pages and answers with all points at once.
        """
        found = await self._get(
            "2.0/mlflow/metrics/get-history",
            run_id=run_id,
            metric_key=key,
            **present(max_results=max_results, page_token=page_token),
        )
        return page_of(found, "metrics", point_of)

    # Logged models

    async def get_logged_model(self, model_id: str) -> LoggedModel:
        found = await self._get(f"2.0/mlflow/logged-models/{quote(model_id, safe='')}")
        return logged_model_of(self._part(found, "model"))


def _sample(
    points: list[MetricPoint], max_results: int, start_step: int | None, end_step: int | None
) -> list[MetricPoint]:
    """As MLflow samples: every point of evenly chosen steps, the last step among them."""
    inside = [
        p for p in points if (start_step is None or p.step >= start_step) and (end_step is None or p.step <= end_step)
    ]
    steps = sorted({p.step for p in inside})
    if len(steps) > max_results:
        chosen = {*steps[:: -(-len(steps) // max_results)], steps[-1]}
        inside = [p for p in inside if p.step in chosen]
    return sorted(inside, key=lambda p: (p.step, p.timestamp))
