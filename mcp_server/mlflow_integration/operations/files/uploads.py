"""Local files on their way to a run: checked in the folders that a person allowed, then sent in pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from anyio import from_thread

from mcp_server.errors import InvalidInputError, MlflowToolError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.files.folders import KeyScan, open_for_reading
from mcp_server.mlflow_integration.operations.threads import off_the_loop
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT, ArtifactsApi
from mcp_server.untrusted import shown

FILE_LIMIT: Final = 5 * 1024**3
"""Bytes of one file; S3 does not accept a larger one in a single piece."""
REPORT_EVERY: Final = 4 * 1024**2
"""Bytes between two reports of progress."""

Report = Callable[[int], Coroutine[Any, Any, None]]
"""Told how many bytes of a file are sent."""


@dataclass(frozen=True, slots=True)
class LocalUpload:
    """A local file that may be uploaded."""

    path: str
    """As the caller gave it."""
    size: int


class Uploads:
    """Sends files of the allowed folders `roots` to runs of one MLflow."""

    def __init__(self, api: ArtifactsApi, roots: Sequence[Path]) -> None:
        self._api = api
        self.roots = tuple(roots)

    async def checked(self, path: str) -> LocalUpload:
        """Opens and searches a file, so that a refusal comes before the first write.

        Raises: InvalidInputError: it may not be read (folders.py), or is larger than FILE_LIMIT.
        """

        def check() -> LocalUpload:
            with open_for_reading(path, self.roots) as file:
                return LocalUpload(path, os.fstat(file.fileno()).st_size)

        upload = await off_the_loop(check)
        if upload.size > FILE_LIMIT:
            raise _too_large(path, FILE_LIMIT, "the most this server uploads")
        return upload

    def need_taken(self, run: Run, upload: LocalUpload) -> None:
        """Raises: InvalidInputError: the artifacts of this run take no file of this size."""
        if self._api.takes_large(run):
            return
        if not upload.size:
            raise InvalidInputError(
                f"The file '{shown(upload.path)}' is empty; this run does not accept empty artifacts."
            )
        if upload.size > UPLOAD_LIMIT:
            where = "the most that MLflow accepts for runs whose artifacts are not stored by the tracking server"
            raise _too_large(upload.path, UPLOAD_LIMIT, where)

    async def send(self, run: Run, artifact: str, upload: LocalUpload, report: Report | None = None) -> bool:
        """Writes a file as an artifact of a run; True when it grew meanwhile, and only what it held before is there.

        Raises: InvalidInputError: it changed since it was checked, or MLflow refuses it.
        """
        self.need_taken(run, upload)
        with ExitStack() as stack:
            opening = open_for_reading(upload.path, self.roots, scan=False)
            file = await off_the_loop(lambda: stack.enter_context(opening))
            body = _Body(file, upload, report)
            try:
                await self._api.upload_file(run, artifact, body)
            except MlflowToolError as error:
                raise body.problem or error from None
            return os.fstat(file.fileno()).st_size > upload.size


class _Body:
    """What a transport reads: exactly the bytes that the file had when it was checked, none of them a key."""

    def __init__(self, file: BinaryIO, upload: LocalUpload, report: Report | None) -> None:
        self.size = upload.size
        self.problem: InvalidInputError | None = None
        """Why reading stopped; whoever reads may make another error of it."""
        self._file = file
        self._report = report
        self._path = upload.path
        self._scan = KeyScan(upload.path)
        self._sent = 0
        self._reported = 0

    def __len__(self) -> int:
        return self.size

    def read(self, size: int = -1, /) -> bytes:
        """In a worker thread of a call, which stops here when the call is cancelled."""
        from_thread.check_cancelled()
        if self._report and self._sent >= self._reported + REPORT_EVERY:
            self._reported = self._sent
            from_thread.run(self._report, self._sent)
        left = self.size - self._sent
        wanted = left if size < 0 else min(size, left)
        piece = self._file.read(wanted) if wanted else b""
        try:
            if len(piece) < wanted:
                raise InvalidInputError(f"The file '{shown(self._path)}' became shorter while it was uploaded.")
            self._scan.look(piece)
        except InvalidInputError as problem:
            self.problem = problem
            raise
        self._sent += len(piece)
        return piece


def upload_names(paths: Sequence[str]) -> list[str]:
    """The artifact path of each file: its last parts, as few as tell the files apart.

    `a/m.json` and `b/m.json` keep their folders; a file that is named twice has one name.
    """
    parts = [_parts(path) for path in paths]
    return ["/".join(one[-_needed(one, parts) :]) for one in parts]


def _too_large(path: str, limit: int, words: str) -> InvalidInputError:
    return InvalidInputError(f"The file '{shown(path)}' is larger than {limit // 1024**2:,} MiB, {words}.")


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path, of a Windows path on Windows only: elsewhere a backslash may be part of a name."""
    parts = tuple(part for part in re.split(r"[/\\]" if os.name == "nt" else "/", path) if part not in ("", "."))
    if not parts:
        raise InvalidInputError(f"'{shown(path)}' in files is not a file. Give the path of one file each.")
    return parts


def _needed(one: tuple[str, ...], all_parts: Iterable[tuple[str, ...]]) -> int:
    """How many of its last parts tell a file from all others."""
    others = [parts for parts in all_parts if parts != one]
    count = 1
    while count < len(one) and any(parts[-count:] == one[-count:] for parts in others):
        count += 1
    return count
