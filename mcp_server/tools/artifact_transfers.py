"""Artifacts compared, logged to a run, and downloaded into an allowed folder."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from mcp_server.analysis.files.excerpts import all_lines
from mcp_server.analysis.files.file_differences import DIFF_LINES, compare_files, text_difference
from mcp_server.analysis.files.file_kinds import encoding_of
from mcp_server.analysis.files.globs import glob_matches
from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifact_transfers import FILES_PER_CALL, Transferred
from mcp_server.mlflow_integration.operations.run_content import ARTIFACT_TEXT_LIMIT
from mcp_server.mlflow_integration.operations.threads import off_the_loop
from mcp_server.mlflow_integration.operations.writing.open_runs import need_open
from mcp_server.rendering import LongText, Record, Table
from mcp_server.tools._artifact_streams import whole
from mcp_server.tools._context import Artifacts, ArtifactTransfers, Policy, ReportProgress
from mcp_server.tools._links import local_files, logged_files, whole_file
from mcp_server.tools._params import RunRef
from mcp_server.tools.artifacts import ArtifactsOf

COMPARED_FILES: Final = 2_000
"""Files of either side."""
DIGEST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all files whose contents are compared; files after that are compared by size."""
DIFF_BYTES: Final = 1024 * 1024
DIFF_TEXT: Final = 20_000
"""Characters of a difference."""
NAMED: Final = 20
"""Files that an answer names one by one."""


async def compare_artifacts(
    artifacts: Artifacts,
    transfers: ArtifactTransfers,
    run: ArtifactsOf,
    other: Annotated[str, Field(description="The other run, logged model or model version.")],
    path: Annotated[str, Field(description="Folder to compare, or a text file to show the difference of.")] = "",
) -> Record:
    """Compare the files of two runs, logged models or model versions by path, size and content.

    With the path of a text file: the lines that differ, such as those of requirements.txt or config.yaml.
    """
    first, second = await artifacts.place(run), await artifacts.place(other)
    if path and (pair := await _as_files(artifacts, first, second, path)):
        return await _difference(artifacts, *pair)
    left, right = await _all_files(artifacts, first, path), await _all_files(artifacts, second, path)
    digests: dict[str, tuple[str, str]] = {}
    unread, spent = 0, 0
    for name in sorted(left.keys() & right.keys()):
        size = left[name].artifact.file_size
        if size != right[name].artifact.file_size:
            continue
        if spent + size > DIGEST_BYTES:
            unread += 1
            continue
        spent += size
        digests[name] = (await transfers.digest(left[name]), await transfers.digest(right[name]))
    sizes = [{name: found.artifact.file_size for name, found in side.items()} for side in (left, right)]
    changes = compare_files(sizes[0], sizes[1], digests)
    differing = [change for change in changes if change.change != "same"]
    rows = [[change.path, change.change, change.first_size, change.second_size] for change in differing]
    hints = ["path=<file> shows the lines that differ."] if any(c.change == "differs" for c in differing) else []
    if unread:
        hints.append(f"{unread} large files of equal size were not read; they count as the same.")
    return Record(
        {
            "first": first.label,
            "second": second.label,
            "same": len(changes) - len(differing),
            "differences": Table(["path", "change", "first_size", "second_size"], rows) if rows else "none",
        },
        hint=" ".join(hints),
    )


async def log_artifact(
    artifacts: Artifacts,
    transfers: ArtifactTransfers,
    policy: Policy,
    report_progress: ReportProgress,
    run: RunRef,
    path: Annotated[str, Field(description="Artifact path of the content, or folder for the files.")] = "",
    content: Annotated[
        Any,
        # Gemini refuses a list of tools with a parameter of no type.
        Field(
            description="Text, or a JSON value to store as JSON.",
            json_schema_extra={"type": "string", "maxLength": ARTIFACT_TEXT_LIMIT},
        ),
    ] = "",
    files: Annotated[
        tuple[str, ...],
        Field(
            max_length=100, description="Local files or folders, from folders the server allows. Each keeps its name."
        ),
    ] = (),
) -> Record:
    """Attach or upload a file to a run that exists: text or JSON given here, or local files and folders.

    For a new run with everything at once use log_run.
    """
    if bool(files) == (content not in ("", None)):
        raise InvalidInputError("Give either content (with path) or files.")
    place = await artifacts.place(run)
    if policy.protects_metrics and place.run:
        need_open(place.run)
    if files:
        moved = await transfers.log_files(place, files, path.strip("/"), report_progress)
    else:
        moved = await transfers.log_content(place, path, content)
    return _moved(place, moved, "logged")


async def download_artifacts(
    artifacts: Artifacts,
    transfers: ArtifactTransfers,
    report_progress: ReportProgress,
    run: ArtifactsOf,
    to: Annotated[str, Field(description="Local folder, in a folder the server allows; made if missing.")],
    path: Annotated[str, Field(description="File or folder to download. Default: everything.")] = "",
    pattern: Annotated[str, Field(max_length=200, description="Only files like *.csv or plots/*.")] = "",
) -> Record:
    """Download files of a run, logged model or model version into a local folder, each below its own path.

    Local files are never overwritten; those that are there with the same size are kept, so a call can be repeated.
    """
    place = await artifacts.place(run)
    found = await _all_files(artifacts, place, path)
    chosen = [one for name, one in found.items() if not pattern or glob_matches(name, pattern)]
    if not chosen:
        raise NotFoundError(f"No file of {place.label} matches. list_artifacts shows its files.")
    if len(chosen) > FILES_PER_CALL:
        raise InvalidInputError(f"{len(chosen):,} files are more than {FILES_PER_CALL:,}: give a path or a pattern.")
    return _moved(place, await transfers.download(chosen, to, report_progress), "downloaded")


def _moved(place: ArtifactPlace, moved: Transferred, word: str) -> Record:
    def few(paths: tuple[str, ...]) -> list[str]:
        return [*paths[:NAMED], f"and {len(paths) - NAMED} more"] if len(paths) > NAMED else list(paths)

    rows = [[file.path, file.file_size] for file in moved.files]
    sizes = [file.file_size for file in moved.files]
    written = local_files(list(zip(moved.places, sizes, strict=False)))
    return Record(
        {
            "of": place.label,
            "run_id": place.run.run_id if place.run else "",
            word: len(moved.files),
            "size_bytes": sum(sizes),
            "files": Table(["path", "size_bytes"], rows[:NAMED]) if rows else None,
            "replaced": few(moved.replaced),
            "already_there": few(moved.present),
            "skipped": few(moved.skipped),
        },
        hint=f"Grew during the upload, so their ends are missing: {', '.join(few(moved.grew))}." if moved.grew else "",
        links=written or (logged_files(place.run.run_id, moved.files) if word == "logged" and place.run else ()),
    )


async def _all_files(artifacts: Artifacts, place: ArtifactPlace, path: str) -> dict[str, FoundArtifact]:
    """Every file of a folder, or one file, by path; those of the run's logged models included.

    Raises: InvalidInputError: more than COMPARED_FILES.
    """
    found: dict[str, FoundArtifact] = {}
    after = ""
    while True:
        page = await artifacts.walk(place, path, after=after, limit=1_000)
        found.update((file.path, file) for file in page.files)
        after = page.next_after
        if not after:
            return found
        if len(found) > COMPARED_FILES:
            raise InvalidInputError(f"{place.label} has more than {COMPARED_FILES:,} files: give a path.")


async def _as_files(
    artifacts: Artifacts, first: ArtifactPlace, second: ArtifactPlace, path: str
) -> tuple[FoundArtifact, FoundArtifact] | None:
    """The file of either side; None when the path is a folder.

    Raises: NotFoundError: one side has no such file.
    """
    try:
        return await artifacts.find(first, path), await artifacts.find(second, path)
    except NotFoundError:
        raise
    except InvalidInputError:
        return None


async def _difference(artifacts: Artifacts, first: FoundArtifact, second: FoundArtifact) -> Record:
    contents = [await whole(artifacts, one, DIFF_BYTES) for one in (first, second)]
    facts: dict[str, Any] = {"path": first.artifact.path, "first": first.place.label, "second": second.place.label}
    if contents[0] == contents[1]:
        return Record({**facts, "difference": "none"})
    encodings = [encoding_of(content[:8_192]) for content in contents]
    if not all(encodings):
        return Record({**facts, "difference": "the contents differ; at least one is not text"})
    lines = [all_lines([content], encoding) for content, encoding in zip(contents, encodings, strict=True)]
    text, cut = await off_the_loop(lambda: text_difference(lines[0], lines[1], DIFF_TEXT))
    cut = cut or max(map(len, lines)) > DIFF_LINES
    hint = "The difference is cut; read_artifact shows the files." if cut else ""
    links = whole_file(first) + whole_file(second) if cut else ()
    return Record({**facts, "difference": LongText(text)}, hint=hint, links=links)
