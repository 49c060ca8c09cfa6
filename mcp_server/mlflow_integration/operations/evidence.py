"""What a diagnosis is made from: the curves of a run, its siblings, the end of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from mcp_server.errors import MlflowToolError
from mcp_server.mlflow_integration.entities import Artifact, MetricSeries, Run
from mcp_server.mlflow_integration.operations.metric_history import MetricHistory
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot, ArtifactsApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi

SIBLINGS: Final = 200
"""Finished runs of the same experiment that a run is compared with, the latest."""
LOG_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of the largest log that is read: MLflow gives files from their beginning, and the reason stands at the end."""
LOG_TAIL: Final = 20_000
"""Characters of its end that are searched."""

_LOG_FOLDERS: Final = ("logs", "log")
_LOG_ENDINGS: Final = (
    ".err",
    ".log",
    ".out",
    ".stderr",
    ".stdout",
    "stderr.txt",
    "stdout.txt",
    "log.txt",
    "output.txt",
)
"""The likeliest to hold a traceback first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    series: tuple[MetricSeries, ...]
    unread: tuple[str, ...]
    """Metrics whose curves there was no time for."""
    siblings: tuple[Run, ...]
    log_path: str
    """Artifact path of the log that was found; empty when there is none, or none was looked for."""
    log_tail: str
    """Empty also when the log is too large."""


async def gather_evidence(
    api: TrackingApi,
    artifacts: ArtifactsApi,
    history: MetricHistory,
    run: Run,
    metrics: Sequence[str],
    *,
    seconds: float,
) -> Evidence:
    """The curves of some metrics as far as `seconds` reach, siblings, and the log of a run that failed."""
    end = anyio.current_time() + seconds
    series: list[MetricSeries] = []
    unread: list[str] = []
    for metric in metrics:
        if anyio.current_time() > end:
            unread.append(metric)
        else:
            series += await history.read([run], [metric])
    page = await api.search_runs(
        [run.experiment_id],
        filter_string="attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=SIBLINGS,
    )
    path, tail = await read_log(artifacts, run) if run.status in ("FAILED", "KILLED") else ("", "")
    siblings = tuple(one for one in page.items if one.run_id != run.run_id)
    return Evidence(tuple(series), tuple(unread), siblings, path, tail)


async def read_log(api: ArtifactsApi, run: Run, *, limit: int = LOG_LIMIT) -> tuple[str, str]:
    """Path and end of the log among the artifacts; both empty without one, and where artifacts cannot be read.

    The end is empty as well if the log has more than `limit` bytes.
    """
    root = ArtifactRoot.of_run(run)
    try:
        files = await api.list_folder(root)
        for folder in (item for item in files if item.is_dir and item.path in _LOG_FOLDERS):
            files += await api.list_folder(root, folder.path)
        log = _likeliest(files)
        if log is None:
            return "", ""
        if log.file_size > limit:
            return log.path, ""
        content = await api.read(root, log.path, limit=limit)
    except MlflowToolError:
        return "", ""
    return log.path, content.decode(errors="replace")[-LOG_TAIL:]


def _likeliest(files: Sequence[Artifact]) -> Artifact | None:
    for ending in _LOG_ENDINGS:
        for item in files:
            if not item.is_dir and item.path.lower().endswith(ending):
                return item
    return None
