"""Runs as files: JSON lines, CSV or Parquet, written in two passes so that no number of runs fills the memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from itertools import islice
from typing import Any, BinaryIO, Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.run_content import wire_value
from mcp_server.times import utc

FORMATS: Final = {".csv": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".parquet": "Parquet"}
"""By the ending of the path."""
BATCH: Final = 2_000
"""Rows of one group of a Parquet file."""

_ATTRIBUTES: Final = (
    *("run_id", "run_name", "experiment_id", "experiment", "status", "lifecycle_stage"),
    *("start_time", "end_time", "duration_seconds"),
)
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""Source: OWASP, CSV injection."""
_KEPT_TAGS: Final = frozenset(
    {tag_names.USER, tag_names.SOURCE_NAME, tag_names.GIT_COMMIT, tag_names.PARENT_RUN, tag_names.NOTE}
)
"""MLflow's tags that tell where a run comes from; the others are its own bookkeeping."""


def format_of(path: str) -> str:
    """The format that the ending of a path names. Raises: InvalidInputError: none of FORMATS."""
    for ending, name in FORMATS.items():
        if path.lower().endswith(ending):
            return name
    raise InvalidInputError(f"The path '{path}' has no known ending; give one of {', '.join(FORMATS)}.")


class RunSpool:
    """Takes runs page by page into a temporary file, then writes all of them in the chosen format."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._seen: set[str] = set()
        self.escaped = 0
        """Texts of a CSV file that were given an apostrophe so far."""
        self._keys: dict[str, set[str]] = {"metrics": set(), "params": set(), "tags": set()}

    def __len__(self) -> int:
        """Runs taken so far, each counted once."""
        return len(self._seen)

    def add(self, runs: Sequence[Run], experiments: Mapping[str, str]) -> None:
        """Takes the runs of one page; `experiments` gives names by id. A run that came before is left out."""
        for run in runs:
            if run.run_id not in self._seen:
                self._seen.add(run.run_id)
                record = _record(run, experiments.get(run.experiment_id, ""))
                for kind, keys in self._keys.items():
                    keys.update(record[kind])
                self._spool.write(
                    json.dumps(record, ensure_ascii=False, allow_nan=False).encode(errors="replace") + b"\n"
                )

    @property
    def columns(self) -> list[str]:
        """Of a table of all runs taken so far."""
        return [*_ATTRIBUTES, *(f"{kind}.{key}" for kind, keys in self._keys.items() for key in sorted(keys))]

    def write(self, target: BinaryIO, format_name: str) -> None:
        """Writes all runs; takes as long as the disk does, so call it in a thread."""
        self._spool.seek(0)
        if format_name == "JSON lines":
            while piece := self._spool.read(1024 * 1024):
                target.write(piece)
        elif format_name == "CSV":
            self._write_csv(target)
        else:
            self._write_parquet(target)

    def _records(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self._spool)

    def _write_csv(self, target: BinaryIO) -> None:
        text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        columns = self.columns
        writer.writerow(columns)
        for record in self._records():
            writer.writerow([self._harmless(_cell(record, column)) for column in columns])
        text.detach()

    def _harmless(self, cell: Any) -> Any:
        """Text that a spreadsheet would run as a formula begins with an apostrophe: anybody can log a param."""
        if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) and not _is_number(cell):
            self.escaped += 1
            return f"'{cell}"
        return cell

    def _write_parquet(self, target: BinaryIO) -> None:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        columns = self.columns
        schema = arrow.schema([(column, _arrow_type(arrow, column)) for column in columns])
        records = self._records()
        with parquet.ParquetWriter(target, schema) as writer:
            while batch := list(islice(records, BATCH)):
                cells = {column: [_typed(column, _cell(record, column)) for record in batch] for column in columns}
                writer.write_table(arrow.table(cells, schema=schema))


def _record(run: Run, experiment: str) -> dict[str, Any]:
    seconds = (run.end_time - run.start_time) / 1_000 if run.end_time > run.start_time > 0 else None
    return {
        "run_id": run.run_id,
        "run_name": run.run_name,
        "experiment_id": run.experiment_id,
        "experiment": experiment,
        "status": run.status,
        "lifecycle_stage": run.lifecycle_stage,
        "start_time": _moment(run.start_time),
        "end_time": _moment(run.end_time),
        "duration_seconds": seconds,
        "metrics": {key: wire_value(value) for key, value in run.metrics.items()},
        "params": dict(run.params),
        "tags": {k: v for k, v in run.tags.items() if not k.startswith(tag_names.MLFLOW_PREFIX) or k in _KEPT_TAGS},
    }


def _cell(record: Mapping[str, Any], column: str) -> Any:
    kind, _, key = column.partition(".")
    value = record[kind].get(key) if key else record[column]
    return "" if value is None else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _moment(milliseconds: int) -> str | None:
    at = utc(milliseconds) if milliseconds else None
    return at.isoformat(timespec="milliseconds") if at else None


def _arrow_type(arrow: Any, column: str) -> Any:
    if column.startswith("metrics.") or column == "duration_seconds":
        return arrow.float64()
    return arrow.timestamp("ms", tz="UTC") if column in ("start_time", "end_time") else arrow.string()


def _typed(column: str, cell: Any) -> Any:
    if cell == "":
        return None
    if column.startswith("metrics."):
        return float(cell)
    return datetime.fromisoformat(cell) if column in ("start_time", "end_time") else cell
