"""Artifacts: list and read."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from mcp_server.analysis.files.globs import glob_matches
from mcp_server.mlflow_integration.entities import LoggedModel
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.rendering import Picture, Record, Table
from mcp_server.tools._artifact_reading import Part, read
from mcp_server.tools._context import Artifacts
from mcp_server.tools._params import PageToken

_REGEX: Final = re.compile(r"\.\*|\\|[|^$+]")
"""What regular expressions have and paths hardly ever."""
PAGES_SEARCHED: Final = 10
"""Pages searched for files that match a glob before the answer returns a page token."""

ArtifactsOf = Annotated[
    str,
    Field(description="Run, logged model (m-...) or model version (models:/churn/3, models:/churn@champion)."),
]
ArtifactPath = Annotated[
    str, Field(min_length=1, description="Path of the file, such as plots/roc.png; list_artifacts shows it.")
]


async def list_artifacts(
    artifacts: Artifacts,
    run: ArtifactsOf,
    path: Annotated[str, Field(description="Folder to list. Default: everything.")] = "",
    pattern: Annotated[str, Field(max_length=200, description="Only files like *.csv, plots/* or **/MLmodel.")] = "",
    max_results: Annotated[int, Field(ge=1, le=1_000, description="Files per page.")] = 100,
    page_token: PageToken = "",
) -> Table:
    """List the files (artifacts) that a run, logged model or model version stored, with their sizes, folders included.

    A model that the run logged appears as a folder of its name. read_artifact shows what is in a file.
    """
    place = await artifacts.place(run)
    after = page_token
    files: list[FoundArtifact] = []
    models: tuple[LoggedModel, ...] = ()
    for _ in range(PAGES_SEARCHED):
        page = await artifacts.walk(place, path, after=after, limit=max_results - len(files))
        models = page.models or models
        files += [file for file in page.files if not pattern or glob_matches(file.path, pattern)]
        after = page.next_after
        if not after or len(files) >= max_results:
            break
    rows = [[file.path, file.artifact.file_size] for file in files]
    hint = ", ".join(f"{model.name}/ is logged model {model.model_id}" for model in models)
    if not rows:
        nothing = f"No file of {place.label} matches '{pattern}'" if pattern else f"There are no files in {place.label}"
        form = " A pattern is a path with * for any text, such as *.csv." if _REGEX.search(pattern) else ""
        hint = f"{nothing}{' so far; continue with next_page_token' if after else ''}.{form} {hint}".strip()
    return Table(["path", "size_bytes"], rows, after, hint, extra={"of": place.label})


async def read_artifact(
    artifacts: Artifacts,
    run: ArtifactsOf,
    path: ArtifactPath,
    start_line: Annotated[int, Field(ge=0, description="First line, or row of a table, from 1.")] = 0,
    end_line: Annotated[int, Field(ge=0, description="Last line or row.")] = 0,
    tail: Annotated[int, Field(ge=0, le=2_000, description="Show this many last lines, such as 100 of a log.")] = 0,
    pattern: Annotated[
        str, Field(max_length=300, description="Show lines that match, any case: Traceback|Error or loss.*nan.")
    ] = "",
    context: Annotated[int, Field(ge=0, le=50, description="Lines around each match.")] = 3,
    json_path: Annotated[str, Field(max_length=500, description="Part of a JSON file: layers[0].units.")] = "",
    columns: Annotated[tuple[str, ...], Field(max_length=100, description="Columns of a table. Default: all.")] = (),
) -> Record | Picture:
    """Read or search a file that a run or model stored: log, traceback, plot, table, config, MLmodel, requirements.

    Text by line range, tail or pattern; JSON by path; CSV, Parquet and logged tables as column summary and rows;
    PNG and other images as an image, such as a confusion matrix. Other binary files are described.
    To find out why a run failed, search its log with pattern "Traceback|Error".
    """
    place = await artifacts.place(run)
    part = Part(start_line, end_line, tail, pattern, context, json_path, columns)
    return await read(artifacts, await artifacts.find(place, path), part)
