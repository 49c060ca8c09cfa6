"""What read_artifact shows of a file, by what the file is. Files are read in pieces and never loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, cast

from mcp_server.analysis.files import excerpts
from mcp_server.analysis.files.file_kinds import description_of, encoding_of, kind_of, mime_type
from mcp_server.analysis.files.json_files import outline, value_at
from mcp_server.analysis.files.model_cards import conda_packages, model_facts, packages, split_table
from mcp_server.analysis.files.patterns import safe_pattern
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts
from mcp_server.mlflow_integration.operations.threads import in_thread, off_the_loop
from mcp_server.rendering import LongText, Picture, Record, Table
from mcp_server.tools._artifact_pictures import PICTURE_LIMIT, picture
from mcp_server.tools._artifact_streams import whole
from mcp_server.tools._artifact_tables import TableView, csv_view, parquet_view, table_view
from mcp_server.tools._links import whole_file
from mcp_server.untrusted import shown

UNASKED_TEXT: Final = 6_000
"""Characters of a text whose part was not chosen: an answer of about 2,000 tokens."""
CHOSEN_TEXT: Final = 30_000
"""Characters of a part that the caller chose."""
JSON_LIMIT: Final = 4 * 1024 * 1024
MODEL_FILE_LIMIT: Final = 1024 * 1024
"""Bytes of a file that is taken apart as a whole."""
_HEAD: Final = 8_192
"""Bytes that decide whether a file is text."""
_TAIL_LINE: Final = 300
"""Bytes of a line, for the first guess at where the last lines begin."""
_TAIL_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of the end of a file that are looked at for the last lines."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a file is wanted, given in at most one way."""

    start_line: int = 0
    end_line: int = 0
    tail: int = 0
    pattern: str = ""
    context: int = 3
    json_path: str = ""
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ways = {"start_line or end_line": self.by_line, "tail": self.tail, "pattern": self.pattern}
        given = [name for name, value in {**ways, "json_path": self.json_path}.items() if value]
        if len(given) > 1:
            raise InvalidInputError(f"Give only one of {', '.join(given)}: each chooses another part of the file.")
        if self.end_line and self.end_line < self.start_line:
            raise InvalidInputError(f"end_line {self.end_line} is before start_line {self.start_line}.")

    @property
    def by_line(self) -> bool:
        return bool(self.start_line or self.end_line)

    @property
    def as_text(self) -> bool:
        """Whether lines are wanted, whatever kind of file it is."""
        return bool(self.tail or self.pattern)


async def read(artifacts: Artifacts, found: FoundArtifact, part: Part) -> Record | Picture:
    """The answer of read_artifact."""
    kind = kind_of(found.artifact.path)
    if part.json_path and kind != "json":
        raise InvalidInputError(
            f"json_path is for JSON files; '{found.artifact.path}' is {mime_type(found.artifact.path)}."
        )
    if part.as_text or (part.by_line and kind not in ("csv", "parquet")):
        return await _text(artifacts, found, part)
    if kind == "image" and found.artifact.file_size <= PICTURE_LIMIT:
        return await picture(artifacts, found, _facts(found))
    if kind == "csv":
        return _table(found, await csv_view(artifacts, found, part.start_line, part.end_line), part)
    if kind == "parquet":
        return _table(found, await parquet_view(artifacts, found, part.start_line, part.end_line, part.columns), part)
    if kind == "json" and found.artifact.file_size <= JSON_LIMIT:
        return await _json(artifacts, found, part)
    if part.json_path:
        raise InvalidInputError(
            f"'{found.artifact.path}' is larger than {JSON_LIMIT:,} bytes; use pattern or start_line."
        )
    if kind in ("model", "requirements", "conda") and found.artifact.file_size <= MODEL_FILE_LIMIT:
        return await _model_file(artifacts, found, part)
    return await _text(artifacts, found, part)


def _facts(found: FoundArtifact) -> dict[str, Any]:
    path = found.artifact.path
    return {"path": path, "of": found.place.label, "size_bytes": found.artifact.file_size, "type": mime_type(path)}


# Text


@dataclass(frozen=True, slots=True)
class _Lines:
    """What was made of a text; no `view` when it is binary."""

    head: bytes
    view: excerpts.LineRange | excerpts.Found | tuple[tuple[str, ...], int] | None


async def _text(artifacts: Artifacts, found: FoundArtifact, part: Part) -> Record:
    if part.tail:
        return await _tail(artifacts, found, part.tail)
    pattern = safe_pattern(part.pattern) if part.pattern else None
    first = max(part.start_line, 1)
    last = part.end_line or 1_000_000_000
    budget = CHOSEN_TEXT if part.by_line or pattern else UNASKED_TEXT

    def view(pieces: Iterator[bytes]) -> _Lines:
        head = next(pieces, b"")
        encoding = encoding_of(head[:_HEAD])
        if not encoding:
            return _Lines(head, None)
        lines = excerpts.lines_of(chain([head], pieces), encoding)
        if pattern is not None:
            return _Lines(head, excerpts.search(lines, pattern, part.context, budget))
        return _Lines(head, excerpts.line_range(lines, first, last, budget))

    async with artifacts.open(found) as opened:
        shown_lines = await in_thread(view, opened.pieces)
    if isinstance(shown_lines.view, excerpts.Found):
        return _found(found, part, shown_lines.view)
    if isinstance(shown_lines.view, excerpts.LineRange):
        return _range(found, part, shown_lines.view)
    return _binary(found, shown_lines.head)


def _range(found: FoundArtifact, part: Part, lines: excerpts.LineRange) -> Record:
    facts = _facts(found)
    if not lines.lines:
        empty = f"The file has {lines.total:,} lines." if lines.total else "The file is empty."
        return Record(facts, hint=empty)
    final = lines.first + len(lines.lines) - 1
    facts |= {"lines": f"{lines.first}-{final}", "total_lines": lines.total}
    facts["content"] = LongText("\n".join(lines.lines))
    if lines.next_line is None or (part.end_line and final >= part.end_line):
        return Record(facts)
    more = f"Continue with start_line={lines.next_line}; tail=100 shows the end, pattern='error' finds places."
    return Record(facts, hint=more, links=whole_file(found))


def _found(found: FoundArtifact, part: Part, lines: excerpts.Found) -> Record:
    facts = {**_facts(found), "total_lines": lines.total, "matching_lines": lines.matches}
    if not lines.matches:
        return Record(
            facts, hint=f"No line matches '{shown(part.pattern)}' (any case). tail shows the end of the file."
        )
    facts["content"] = LongText("\n".join(lines.lines))
    if lines.shown == lines.matches:
        return Record(facts)
    left_out = f"{lines.matches - lines.shown:,} matching lines are not shown, from the middle: narrow the pattern, or "
    return Record(
        facts, hint=left_out + "read around a line number with start_line and end_line.", links=whole_file(found)
    )


async def _tail(artifacts: Artifacts, found: FoundArtifact, count: int) -> Record:
    """The last lines, from as much of the end as they need; from the whole file where the store sends no parts."""
    wanted = max(64 * 1024, count * _TAIL_LINE)
    while True:
        # Servers refuse a part that is longer than the file.
        part = wanted if wanted < found.artifact.file_size else 0
        async with artifacts.open(found, last_bytes=part) as opened:
            begins_within = opened.first > 0

            def view(pieces: Iterator[bytes], *, within: bool = begins_within) -> _Lines:
                head = next(pieces, b"")
                # The part may begin within a character.
                encoding = encoding_of(head[4 if within else 0 : _HEAD])
                if not encoding:
                    return _Lines(head, None)
                lines = excerpts.lines_of(chain([head], pieces), encoding)
                if within:
                    next(lines, None)  # The end of a line that began before.
                return _Lines(head, excerpts.tail(lines, count, CHOSEN_TEXT))

            result = await in_thread(view, opened.pieces)
        if result.view is None:
            return _binary(found, result.head)
        lines, seen = cast("tuple[tuple[str, ...], int]", result.view)
        if seen >= count or not begins_within or wanted >= _TAIL_LIMIT:
            break
        wanted = min(4 * wanted, _TAIL_LIMIT)
    facts = {**_facts(found), "last_lines": len(lines), "total_lines": None if begins_within else seen}
    hint = "" if len(lines) >= min(count, seen) else f"Only the last {len(lines)} lines fit here."
    return Record(
        {**facts, "content": LongText("\n".join(lines))}, hint=hint, links=whole_file(found) if begins_within else ()
    )


def _binary(found: FoundArtifact, head: bytes) -> Record:
    what = description_of(head) if head else "an empty file"
    return Record(
        {**_facts(found), "content_is": what},
        hint="Only text, tables and images are shown. download_artifacts saves the file to an allowed folder."
        if head
        else "",
        links=whole_file(found) if head else (),
    )


# Structured files


async def _json(artifacts: Artifacts, found: FoundArtifact, part: Part) -> Record:
    data = await whole(artifacts, found, JSON_LIMIT)

    def view() -> Record | TableView:
        document = json.loads(data.decode("utf-8-sig"))
        if part.json_path:
            document = value_at(document, part.json_path)
        elif (table := split_table(document)) is not None:
            return table_view(*table, part.start_line, part.end_line)
        text = json.dumps(document, indent=2, ensure_ascii=False)
        if len(text) <= (CHOSEN_TEXT if part.json_path else UNASKED_TEXT):
            return Record({**_facts(found), "json_path": part.json_path, "content": LongText(text)})
        return Record(
            {**_facts(found), "json_path": part.json_path, "outline": LongText(outline(document, UNASKED_TEXT))},
            hint='Too large to show as a whole: json_path picks a part, such as layers[0].units or results["a.b"].',
            links=whole_file(found),
        )

    try:
        result = await off_the_loop(view)
    except (ValueError, RecursionError):
        if part.json_path:
            raise InvalidInputError(f"'{found.artifact.path}' is not JSON that can be read. Read it as text.") from None
        return await _text(artifacts, found, part)
    return _table(found, result, part) if isinstance(result, TableView) else result


async def _model_file(artifacts: Artifacts, found: FoundArtifact, part: Part) -> Record:
    text = (await whole(artifacts, found, MODEL_FILE_LIMIT)).decode("utf-8", "replace")
    facts = _facts(found)
    kind = kind_of(found.artifact.path)
    if kind == "requirements":
        listed = await off_the_loop(lambda: packages(text))
        return Record({**facts, "packages": Table(["package", "version"], listed)})
    if kind == "conda" and (listed := await off_the_loop(lambda: conda_packages(text))) is not None:
        return Record({**facts, "packages": Table(["package", "version", "from"], listed)})
    if kind == "model" and (model := await off_the_loop(lambda: model_facts(text))) is not None:
        hint = "This server never loads a model." if model["loading_runs_code_of"] else ""
        return Record({**facts, **model}, hint=f"{hint} start_line=1 shows the file as it is.".strip())
    return await _text(artifacts, found, part)


def _table(found: FoundArtifact, view: TableView, part: Part) -> Record:
    wanted = _chosen_columns(view.header, part.columns)
    rows = [[number, *(row[i] if i < len(row) else "" for i in wanted)] for number, row in view.rows]
    shown_rows = Table(["row", *(view.header[i] for i in wanted)], rows)
    summary = None if view.summary is None else [view.summary.rows[i] for i in wanted]
    columns = None if view.summary is None or summary is None else Table(view.summary.columns, summary).without_empty(2)
    facts = {**_facts(found), "rows_in_file": view.total, "columns": columns, "rows": shown_rows}
    return Record(facts, hint=" ".join(view.hints), links=() if view.complete else whole_file(found))


def _chosen_columns(header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    for name in wanted:
        if name not in header:
            raise InvalidInputError(f"There is no column '{shown(name)}'. Columns: {', '.join(header[:30])}.")
    return [i for i, name in enumerate(header) if not wanted or name in wanted]
