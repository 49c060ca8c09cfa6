"""CSV, Parquet and mlflow.log_table files as a summary of their columns and chosen rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from typing import Any, Final

from mcp_server.analysis.files import columns as column_facts
from mcp_server.analysis.files import excerpts
from mcp_server.analysis.files.file_kinds import encoding_of
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts
from mcp_server.mlflow_integration.operations.threads import in_thread, off_the_loop
from mcp_server.rendering import Table
from mcp_server.tools._artifact_streams import RangedFile

SAMPLE_BYTES: Final = 8 * 1024 * 1024
"""Of a CSV file, for the facts about its columns: about two seconds."""
ROWS_UNASKED: Final = 5
ROWS_LIMIT: Final = 200
"""Rows of one answer."""
CELL_TEXT: Final = 2_000
"""Characters of one cell that are kept; an answer shows fewer."""
UNPACKED_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of one column of a Parquet file that are unpacked at once: few bytes of a file may stand for very many."""
_BATCH_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class TableView:
    """A part of a table."""

    header: Sequence[str]
    rows: Sequence[tuple[int, Sequence[Any]]]
    """With their numbers, from 1."""
    summary: Table | None
    """A row per column; None when rows were asked for."""
    total: int | None
    """Rows of the file; None when reading stopped before its end."""
    complete: bool
    hints: Sequence[str] = ()


def table_view(header: Sequence[str], rows: Sequence[Sequence[Any]], start: int, end: int) -> TableView:
    """Of a table that is at hand."""
    first, last = _rows_wanted(start, end)
    facts = column_facts.table_facts(header, rows, first, last)
    return _view(facts, header, start or end, first, last, total=facts.seen, sampled="")


async def csv_view(artifacts: Artifacts, found: FoundArtifact, start: int, end: int) -> TableView:
    """Of a CSV file; the facts are those of its first SAMPLE_BYTES.

    Raises: InvalidInputError: it cannot be read as a table.
    """
    first, last = _rows_wanted(start, end)
    path = found.artifact.path

    def view(pieces: Iterator[bytes]) -> TableView:
        sampled = _Sampled(pieces, stops=not (start or end))
        head = next(sampled, b"")
        encoding = encoding_of(head[:8_192])
        lines = excerpts.lines_of(chain([head], sampled), encoding or "utf-8")
        header_line = next(lines, "")
        if not encoding or not header_line:
            raise InvalidInputError(f"'{path}' is empty, or not text as its name suggests.")
        rows = column_facts.csv_rows(chain([header_line], lines), column_facts.delimiter_of(path, header_line))
        header = [str(name) for name in next(rows, ())]
        wanted = rows if not (start or end) else _until(rows, last)
        facts = column_facts.table_facts(header, wanted, first, last)
        words = f"the first {facts.seen:,} rows" if sampled.cut else ""
        ended = (not sampled.cut and not (start or end)) or facts.seen < last
        return _view(facts, header, start or end, first, last, total=facts.seen if ended else None, sampled=words)

    async with artifacts.open(found) as opened:
        try:
            return await in_thread(view, opened.pieces)
        except csv.Error as error:
            raise InvalidInputError(
                f"'{path}' cannot be read as a table ({error}). pattern and tail read it as text."
            ) from None


async def parquet_view(
    artifacts: Artifacts, found: FoundArtifact, start: int, end: int, columns: Sequence[str]
) -> TableView:
    """Of a Parquet file, from its footer and the parts that hold the chosen rows.

    Raises: InvalidInputError: it is not a Parquet file, or pyarrow is not installed.
    """
    first, last = _rows_wanted(start, end)
    path = found.artifact.path

    def view() -> TableView:
        try:
            arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError:
            raise InvalidInputError(
                "Reading Parquet files needs pyarrow, which is not installed with this server."
            ) from None
        try:
            file, schema = _opened_parquet(parquet, RangedFile(artifacts, found))
            header = [str(name) for name in schema.names]
            chosen = [name for name in columns if name in header] or header
            rows = _parquet_rows(file, header, chosen, first, last)
            summary = None if start or end else _parquet_summary(file.metadata, schema)
        except (arrow.ArrowException, OSError, ValueError):
            raise InvalidInputError(f"'{path}' is not a Parquet file that can be read.") from None
        total = int(file.metadata.num_rows)
        return TableView(header, rows, summary, total, len(rows) >= total, _hints(first, len(rows), total))

    return await off_the_loop(view)


def _opened_parquet(parquet: Any, source: RangedFile) -> tuple[Any, Any]:
    """The file and its schema. Dictionary-encoded texts stay encoded: a long one may be repeated in many rows."""
    # Small reads and no reading ahead: only what holds the rows is fetched.
    options = {"buffer_size": 65_536, "pre_buffer": False}
    plain = parquet.ParquetFile(source, **options)
    metadata, schema = plain.metadata, plain.schema_arrow
    columns = (metadata.schema.column(index) for index in range(metadata.num_columns))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY" and "." not in column.path]
    return parquet.ParquetFile(source, metadata=metadata, read_dictionary=texts, **options), schema


def _parquet_rows(
    file: Any, header: Sequence[str], chosen: Sequence[str], first: int, last: int
) -> list[tuple[int, Sequence[Any]]]:
    rows: list[tuple[int, Sequence[Any]]] = []
    begin = 1
    for group in range(file.metadata.num_row_groups):
        facts = file.metadata.row_group(group)
        if begin + facts.num_rows <= first:
            begin += facts.num_rows
            continue
        size = _batch_rows(facts, chosen)
        for batch in file.iter_batches(size, row_groups=[group], columns=list(chosen), use_threads=False):
            low, high = max(first - begin, 0), min(last - begin + 1, batch.num_rows)
            cells = {name: batch.column(at) for at, name in enumerate(batch.schema.names)}
            for at in range(low, high):
                row = [_cell(cells[name][at].as_py()) if name in cells else None for name in header]
                rows.append((begin + at, row))
            begin += batch.num_rows
            if begin > last:
                return rows
    return rows


def _batch_rows(group: Any, chosen: Sequence[str]) -> int:
    """Rows that are unpacked at once. Raises: InvalidInputError: one row may fill the memory."""
    size = _BATCH_ROWS
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.split(".")[0] in chosen:
            weight = max(column.total_uncompressed_size, 8 * column.num_values) / max(group.num_rows, 1)
            size = min(size, int(UNPACKED_LIMIT // max(weight, 1)))
    if not size:
        raise InvalidInputError(
            f"One row of this file unpacks to more than {UNPACKED_LIMIT // 1024**2} MiB. Choose other columns."
        )
    return size


def _parquet_summary(metadata: Any, schema: Any) -> Table:
    """Types, missing values and ranges as the footer has them; no data is read."""
    by_path: dict[str, list[Any]] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            by_path.setdefault(column.path_in_schema.split(".")[0], []).append(column.statistics)
    rows: list[list[Any]] = []
    for field in schema:
        known = [statistics for statistics in by_path.get(field.name, []) if statistics is not None]
        ranges = [(one.min, one.max) for one in known if one.has_min_max]
        rows.append(
            [
                str(field.name),
                str(field.type),
                sum(one.null_count for one in known if one.has_null_count) or "",
                _cell(min(low for low, _ in ranges)) if ranges else "",
                _cell(max(high for _, high in ranges)) if ranges else "",
            ]
        )
    return Table(["column", "type", "missing", "min", "max"], rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:CELL_TEXT]


def _view(
    facts: column_facts.TableFacts,
    header: Sequence[str],
    asked: int,
    first: int,
    last: int,
    *,
    total: int | None,
    sampled: str,
) -> TableView:
    summary = None if asked else Table(list(column_facts.COLUMNS), [column.row() for column in facts.columns])
    hints = _hints(first, len(facts.rows), total)
    if sampled:
        hints.insert(0, f"The facts about columns are those of {sampled}; the file is larger.")
    if facts.ragged:
        hints.append(f"{facts.ragged:,} rows have more or fewer cells than the header.")
    return TableView(header, facts.rows, summary, total, total is not None and len(facts.rows) >= total, hints)


def _hints(first: int, count: int, total: int | None) -> list[str]:
    if not count:
        return ["The table has no rows." if total == 0 else f"The table has {total or 0:,} rows."]
    after = first + count
    if total is not None and after > total:
        return []
    return [f"start_line={after} and end_line={after + ROWS_LIMIT // 2 - 1} show more rows."]


def _rows_wanted(start: int, end: int) -> tuple[int, int]:
    if not (start or end):
        return 1, ROWS_UNASKED
    first = max(start, 1)
    return first, min(end or first + ROWS_LIMIT // 2 - 1, first + ROWS_LIMIT - 1)


def _until(rows: Iterator[Sequence[str]], last: int) -> Iterator[Sequence[str]]:
    for number, row in enumerate(rows, start=1):
        yield row
        if number >= last:
            return


class _Sampled(Iterator[bytes]):
    """The first SAMPLE_BYTES of the pieces, or with `stops` off all of them."""

    def __init__(self, pieces: Iterator[bytes], *, stops: bool) -> None:
        self._pieces = pieces
        self._left = SAMPLE_BYTES if stops else None
        self.cut = False

    def __next__(self) -> bytes:
        if self._left is not None and self._left <= 0:
            self.cut = next(self._pieces, None) is not None
            raise StopIteration
        piece = next(self._pieces)
        if self._left is not None:
            self._left -= len(piece)
        return piece
