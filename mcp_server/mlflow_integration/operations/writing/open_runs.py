"""Runs that go on: adding to them and ending them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mcp_server.errors import DeadlineError, IncompleteWriteError, InvalidInputError, MlflowToolError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.deadlines import TIME_IS_UP, reserve_seconds, stop_before_deadline
from mcp_server.mlflow_integration.operations.run_content import RunContent, batches
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.operations.writing.run_drafts import need_active, with_parent
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.untrusted import shown

ENDED: Final = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run after a call that ends it."""

    run: Run
    status_before: str
    changed: bool


class OpenRuns:
    """Adds to runs of one MLflow and ends them."""

    def __init__(self, api: TrackingApi, references: References) -> None:
        self._api = api
        self._references = references

    async def log_to(
        self, reference: str, content: RunContent, now: int | None = None, *, protect_ended: bool = False
    ) -> Run:
        """Adds to a run. Metrics without a time get `now` (UTC milliseconds; None is this moment).

        With `protect_ended`, a run that has ended gets no further metrics and params.
        Raises: InvalidInputError: refused before anything was written. IncompleteWriteError: stopped half way; the
            text says how much was written.
        """
        run = need_active(await self._references.run(reference))
        if protect_ended and (content.metrics or content.params):
            need_open(run)
        need_same_params(run, content.params)
        if not (content.params or content.metrics or content.tags or content.datasets):
            raise InvalidInputError("There is nothing to log: give params, metrics, tags or datasets.")
        content = replace(content, tags=await with_parent(content.tags, [run], self._references))
        done = 0
        error: MlflowToolError = DeadlineError(TIME_IS_UP)
        try:
            with stop_before_deadline(reserve_seconds() / 2):
                if content.datasets:
                    await self._api.log_inputs(run.run_id, content.datasets)
                    done += len(content.datasets)
                for batch in batches(content, _now() if now is None else now):
                    await self._api.log_batch(run.run_id, batch.metrics, batch.params, batch.tags)
                    done += len(batch)
                return run
        except MlflowToolError as raised:
            if isinstance(raised, InvalidInputError) and not done:
                raise
            error = raised
        total = len(content.metrics) + len(content.params) + len(content.tags) + len(content.datasets)
        raise IncompleteWriteError(
            f"{done} of {total} values were certainly logged to run {run.run_id}, then the write stopped: {error} "
            "Sending params, tags, datasets and metrics with timestamps again is harmless; metrics without "
            "timestamps could be logged twice."
        ) from error

    async def finish(self, reference: str, status: str = "", end_time: int | None = None) -> Ended:
        """Ends a run, as FINISHED by default. One that has ended changes only if another `status` is given."""
        run = need_active(await self._references.run(reference))
        if run.status in ENDED and status in ("", run.status):
            return Ended(run, run.status, changed=False)
        end = run.end_time if run.status in ENDED and run.end_time else end_time or _now()
        status_now = status or "FINISHED"
        await self._api.update_run(run.run_id, status=status_now, end_time=end)
        return Ended(replace(run, status=status_now, end_time=end), run.status, changed=True)


def need_open(run: Run) -> None:
    """For what the promotion policy protects. Raises: InvalidInputError: the run has ended."""
    # A run that was set to RUNNING again keeps the time at which it had ended.
    if run.status in ENDED or run.end_time:
        raise InvalidInputError(
            f"Run {run.run_id} has ended, and the promotion policy protects the metrics, params and files of ended "
            "runs: they are evidence for gates. Nothing was written. log_run records new results as a separate run."
        )


def need_same_params(run: Run, params: Mapping[str, str]) -> None:
    """Raises: InvalidInputError: the run has another value, which MLflow never changes."""
    for key, value in params.items():
        if run.params.get(key, value) != value:
            raise InvalidInputError(
                f"Run {run.run_id} has param {key} = '{shown(run.params[key])}', and logged params never change: "
                f"'{shown(value)}' was not written, nor anything else of this call. Use another name or run."
            )


def _now() -> int:
    return int(time.time() * 1_000)
