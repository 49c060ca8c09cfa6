"""Artifacts as a whole up to a limit, and as files that are read in parts."""

from __future__ import annotations

import io
from typing import Final

from anyio import from_thread

from mcp_server.errors import InvalidInputError, UnsupportedError
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts

RANGE_PIECE: Final = 256 * 1024
RANGES_LIMIT: Final = 200
"""Parts of one file that are asked for one by one."""


async def whole(artifacts: Artifacts, found: FoundArtifact, limit: int) -> bytes:
    """All of a file, checked against `limit` bytes before and while it arrives.

    Raises: InvalidInputError: it is larger.
    """
    content = bytearray()
    if found.artifact.file_size <= limit:
        async with artifacts.open(found) as opened:
            async for piece in opened.pieces:
                content += piece
                if len(content) > limit:
                    break
            else:
                return bytes(content)
    raise InvalidInputError(
        f"'{found.artifact.path}' has {max(found.artifact.file_size, len(content)):,} bytes; files of this kind are "
        f"read up to {limit:,}. download_artifacts saves it to an allowed folder."
    )


class RangedFile(io.RawIOBase):
    """A file that is read in parts, for libraries that look at its end first. Used inside `off_the_loop`."""

    def __init__(self, artifacts: Artifacts, found: FoundArtifact) -> None:
        self._artifacts = artifacts
        self._found = found
        self._size = found.artifact.file_size
        self._at = 0
        self._piece, self._piece_at = b"", 0
        self._asked = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._at if size < 0 else min(size, self._size - self._at)
        if wanted <= 0:
            return b""
        begin = self._at - self._piece_at
        if not 0 <= begin <= len(self._piece) - wanted:
            self._fetch(self._at, max(wanted, RANGE_PIECE))
            begin = self._at - self._piece_at
        self._at += wanted
        return self._piece[begin : begin + wanted]

    def _fetch(self, first: int, length: int) -> None:
        """Raises: UnsupportedError: the store sends no parts. InvalidInputError: too many parts."""
        self._asked += 1
        if self._asked > RANGES_LIMIT:
            raise InvalidInputError(f"'{self._found.artifact.path}' is too scattered to be read in parts.")
        # A file is often read from its end; what stands before the end comes with it.
        first = max(0, min(first, self._size - length))
        self._piece, self._piece_at = from_thread.run(self._part, first, min(length, self._size - first)), first

    async def _part(self, first: int, length: int) -> bytes:
        part = bytearray()
        async with self._artifacts.open(self._found, first=first, length=length) as opened:
            if opened.first != first:
                raise UnsupportedError("This MLflow server cannot send parts of a file, which this file needs.")
            async for piece in opened.pieces:
                part += piece
                if len(part) >= length:
                    break
        return bytes(part[:length])
