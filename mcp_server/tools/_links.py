"""Links of answers: to what an answer cut, in full, and to files that a call wrote.

`mlflow://` links are resources of this server. `file://` links point to files on the computer that it runs on; hosts
open them themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mcp_server import resource_uris as uris
from mcp_server.analysis.files.file_kinds import mime_type
from mcp_server.mlflow_integration.entities import Artifact, Run
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.rendering import Link

LINKS_LIMIT: Final = 5
"""Files of one call that are linked; the answer lists more."""


def run_link(run: Run) -> Link:
    """To a run with all its values, for an answer that cut some."""
    return Link(
        uris.run_uri(run.run_id), run.run_name or run.run_id, "application/json", "The run with all values in full"
    )


def whole_file(found: FoundArtifact) -> tuple[Link, ...]:
    """To an artifact, for an answer that shows a part of it; none where it cannot be read as a resource."""
    run_id, size = found.place.resource_run, found.artifact.file_size
    path = found.place.resource_path(found.artifact.path)
    if not run_id or size > uris.RESOURCE_LIMIT:
        return ()
    return (Link(uris.artifact_uri(run_id, path), _name(path), mime_type(path), "The whole file", size),)


def logged_files(run_id: str, files: Sequence[Artifact]) -> tuple[Link, ...]:
    """To artifacts that a call logged to a run, the first ones that can be read as resources."""
    small = [one for one in files if one.file_size <= uris.RESOURCE_LIMIT]
    return tuple(
        Link(uris.artifact_uri(run_id, one.path), _name(one.path), mime_type(one.path), "Logged", one.file_size)
        for one in small[:LINKS_LIMIT]
    )


def local_files(files: Sequence[tuple[Path, int]]) -> tuple[Link, ...]:
    """To files that a call wrote, by absolute path and size in bytes; the first ones."""
    return tuple(
        Link(path.as_uri(), path.name, mime_type(path.name), "On the computer that this server runs on", size)
        for path, size in files[:LINKS_LIMIT]
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
