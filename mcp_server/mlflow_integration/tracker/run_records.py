"""Runs as training scripts read them: dictionaries, a DataFrame, a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcp_server.times import utc

if TYPE_CHECKING:
    import pandas as pd

RunRecord = dict[str, Any]
"""`run_id`, `run_name`, `experiment_id`, `status`, `start_time`, `end_time` (UTC datetimes; None while it runs, and for
a time no calendar has), `artifact_uri`, `params` (text, as MLflow stores it), `metrics` (latest values), `tags`."""


def run_record(run: Any) -> RunRecord:
    """The record of an MLflow `Run`."""
    info, data = run.info, run.data
    return {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "experiment_id": info.experiment_id,
        "status": info.status,
        "start_time": utc(info.start_time) if info.start_time else None,
        "end_time": utc(info.end_time) if info.end_time else None,
        "artifact_uri": info.artifact_uri,
        "params": dict(data.params),
        "metrics": dict(data.metrics),
        "tags": dict(data.tags),
    }


def runs_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a run; `params.x`, `metrics.y` and `tags.z` are columns of those names, as in `mlflow.search_runs`."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for record in records:
        row = {key: value for key, value in record.items() if key not in ("params", "metrics", "tags")}
        for kind in ("params", "metrics", "tags"):
            row.update({f"{kind}.{key}": value for key, value in record[kind].items()})
        rows.append(row)
    return pd.DataFrame(rows)


def compare_records(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Runs side by side, called `run_1`, `run_2`, ... in the order given.

    Returns: `runs`: which run is which: `{"run_1": {"run_id", "run_name", "status"}, ...}`.
        `params`: those that differ, `{"lr": {"run_1": "0.1", "run_2": None}}`; None where a run has none.
        `same_params`: those that do not, by value.
        `metrics`: latest values of those that every run has, `{"accuracy": {"run_1": 0.91, "run_2": 0.93}}`.
        `partial_metrics`: those that only some have, with the runs that do.
    """
    names = [f"run_{number}" for number in range(1, len(records) + 1)]
    params = _by_key([record["params"] for record in records], names)
    metrics = _by_key([record["metrics"] for record in records], names)
    differing = {key: {name: values.get(name) for name in names} for key, values in params.items()}
    same = {key: values["run_1"] for key, values in differing.items() if len(set(values.values())) == 1}
    return {
        "runs": {
            name: {key: record[key] for key in ("run_id", "run_name", "status")}
            for name, record in zip(names, records, strict=True)
        },
        "params": {key: values for key, values in differing.items() if key not in same},
        "same_params": same,
        "metrics": {key: values for key, values in metrics.items() if len(values) == len(records)},
        "partial_metrics": {key: values for key, values in metrics.items() if len(values) < len(records)},
    }


def _by_key(mappings: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    keys = sorted({key for mapping in mappings for key in mapping})
    return {
        key: {name: mapping[key] for name, mapping in zip(names, mappings, strict=True) if key in mapping}
        for key in keys
    }
