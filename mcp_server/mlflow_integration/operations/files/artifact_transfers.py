"""Files between MLflow and the folders that a person allowed: uploads to a run, downloads from anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Artifact, Run
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts
from mcp_server.mlflow_integration.operations.files.folders import files_in, open_for_writing, place_of, writable_size
from mcp_server.mlflow_integration.operations.files.uploads import LocalUpload, Uploads, upload_names
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.operations.threads import in_thread, off_the_loop
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT, ArtifactsApi
from mcp_server.untrusted import shown

FILES_PER_CALL: Final = 1_000

Progress = Callable[[float, int, str], Awaitable[None]]
"""Receives how many files are done (a large one in part), how many there are, and the path of the current one."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What one call moved."""

    files: tuple[Artifact, ...]
    skipped: tuple[str, ...] = ()
    """Paths that were left out, each with the reason."""
    replaced: tuple[str, ...] = ()
    """Artifact paths that had another content before."""
    grew: tuple[str, ...] = ()
    """Local files that became longer while they were uploaded: what they held before is uploaded."""
    present: tuple[str, ...] = ()
    """Local files of the same size that were there already."""
    places: tuple[Path, ...] = ()
    """Of downloaded files, in the order of `files`."""


class ArtifactTransfers:
    """Uploads and downloads of one MLflow, in the folders that `uploads` allows."""

    def __init__(self, api: ArtifactsApi, artifacts: Artifacts, uploads: Uploads) -> None:
        self._api = api
        self._artifacts = artifacts
        self._uploads = uploads
        self._folders = uploads.roots

    async def log_content(self, place: ArtifactPlace, path: str, content: Any) -> Transferred:
        """Writes a text, or anything else as JSON, as one artifact of a run.

        Raises: InvalidInputError: the place is not a run, the content is empty or too large.
        """
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
        data = text.encode("utf-8", "replace")
        if not data:
            raise InvalidInputError("The content is empty; MLflow does not accept empty artifacts.")
        if len(data) > UPLOAD_LIMIT:
            raise InvalidInputError(f"The content has {len(data):,} bytes; MLflow takes {UPLOAD_LIMIT:,} at a time.")
        run, path = _run(place), artifact_path(path)
        replaced = await self._existing(place, [path])
        await self._api.upload(run, path, data)
        return Transferred((Artifact(path, False, len(data)),), replaced=replaced)

    async def log_files(
        self, place: ArtifactPlace, files: Sequence[str], under: str, progress: Progress
    ) -> Transferred:
        """Uploads local files and folders to a run, below the folder `under` of its artifacts.

        All files are checked before the first upload; each is sent when its turn comes, in pieces.
        Raises: InvalidInputError: the place is not a run, or a path may not be read.
        """
        run = _run(place)
        sources, skipped = await off_the_loop(lambda: self._sources(files))
        if not sources:
            raise InvalidInputError("There is no file to log: the folders are empty or hold only what is not uploaded.")
        named = {artifact_path(f"{under}/{name}" if under else name): source for name, source in sources.items()}
        uploads: dict[str, LocalUpload] = {}
        for path, source in named.items():
            uploads[path] = await self._uploads.checked(source)
            self._uploads.need_taken(run, uploads[path])
        replaced = await self._existing(place, list(named))
        done: list[Artifact] = []
        grew: list[str] = []
        for path, upload in uploads.items():
            await progress(len(done), len(uploads), path)

            async def report(sent: int, path: str = path, size: int = upload.size, before: int = len(done)) -> None:
                await progress(before + sent / size, len(uploads), path)

            if await self._uploads.send(run, path, upload, report):
                grew.append(upload.path)
            done.append(Artifact(path, False, upload.size))
        return Transferred(tuple(done), skipped, replaced, tuple(grew))

    async def download(self, found: Sequence[FoundArtifact], to: str, progress: Progress) -> Transferred:
        """Saves files to a local folder, each below its own path; files that are there with the same size stay.

        Raises: InvalidInputError: the folder may not be written, or a file of another size is in the way.
        """
        wanted: list[FoundArtifact] = []
        present: list[str] = []
        skipped: list[str] = []
        for one in found:
            local = _local_path(to, one.path)
            try:
                size = await off_the_loop(lambda local=local: writable_size(local, self._folders))
            except InvalidInputError as error:
                if not self._folders or len(found) == 1:
                    raise
                skipped.append(str(error))
                continue
            if size == one.artifact.file_size:
                present.append(local)
            elif size is None:
                wanted.append(one)
            else:
                raise InvalidInputError(
                    f"The local file '{shown(local)}' has {size:,} bytes, the artifact {one.artifact.file_size:,}. "
                    "Local files are not overwritten: choose another folder, or remove the file."
                )
        done: list[Artifact] = []
        for one in wanted:
            local = _local_path(to, one.path)
            await progress(len(done), len(wanted), one.path)
            async with self._artifacts.open(one) as opened:
                size = await in_thread(lambda pieces, local=local: self._write(local, pieces), opened.pieces)
            done.append(Artifact(local, False, size))
        places = tuple(place_of(file.path, self._folders) for file in done)
        return Transferred(tuple(done), tuple(skipped), present=tuple(present), places=places)

    async def digest(self, found: FoundArtifact) -> str:
        """SHA-256 of a file's content, read in pieces."""

        def digest(pieces: Iterator[bytes]) -> str:
            value = hashlib.sha256()
            for piece in pieces:
                value.update(piece)
            return value.hexdigest()

        async with self._artifacts.open(found) as opened:
            return await in_thread(digest, opened.pieces)

    def _write(self, path: str, pieces: Iterator[bytes]) -> int:
        size = 0
        with open_for_writing(path, self._folders) as file:
            for piece in pieces:
                size += file.write(piece)
        return size

    def _sources(self, paths: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
        """Local path by artifact name for files and the files of folders, and what is skipped in folders."""
        sources: dict[str, str] = {}
        skipped: list[str] = []
        for path, name in zip(paths, upload_names(paths), strict=True):
            folder = files_in(path, self._folders)
            if folder is None:
                sources[name] = path
                continue
            sources.update((f"{name}/{inner}", f"{path.rstrip('/')}/{inner}") for inner in folder.files)
            skipped += [f"{name}/{inner}: hidden, a link or key material" for inner in folder.skipped]
            if len(sources) > FILES_PER_CALL:
                raise InvalidInputError(f"More than {FILES_PER_CALL:,} files; log them in several calls.")
        return sources, tuple(skipped)

    async def _existing(self, place: ArtifactPlace, paths: Sequence[str]) -> tuple[str, ...]:
        """The paths that are files already, which an upload replaces.

        Raises: InvalidInputError: a path is a folder, or a folder above it is a file.
        """
        folders: dict[str, dict[str, Artifact]] = {}
        there: list[str] = []
        for path in paths:
            parts = path.split("/")
            for depth in range(len(parts)):
                above, here = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
                if above not in folders:
                    folders[above] = {one.path: one for one in await self._artifacts.folder(place, above)}
                found = folders[above].get(here)
                if found is None:
                    break
                if found.is_dir and here == path:
                    raise InvalidInputError(f"'{shown(path)}' is a folder of {place.label}; name a file in it.")
                if not found.is_dir and here != path:
                    raise InvalidInputError(f"'{shown(here)}' is a file of {place.label}, so nothing can be below it.")
                if here == path:
                    there.append(path)
        return tuple(there)


def _run(place: ArtifactPlace) -> Run:
    if place.run is None:
        raise InvalidInputError(f"Files are logged to a run; {place.label} is not a run. Give the run's id or name.")
    return place.run


def _local_path(folder: str, path: str) -> str:
    return f"{folder.rstrip('/')}/{path}" if folder.strip("/") or folder.startswith("/") else path
