"""A file of one MLflow, while it arrives, as the body of an upload to another."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from anyio import from_thread

from mcp_server.errors import ConflictError


class ArrivingBody:
    """Exactly `size` bytes, with their SHA-256; read in worker threads, as `UploadBody` requires."""

    def __init__(self, path: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        self.size = size
        self.digest = hashlib.sha256()
        self.problem: ConflictError | None = None
        """Why reading stopped; the reader may turn it into another error."""
        self._path = path
        self._pieces = pieces
        self._left = size
        self._piece = b""

    def __len__(self) -> int:
        return self.size

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size` of them. Raises: ConflictError: fewer arrive than there should be."""
        from_thread.check_cancelled()
        if size < 0:
            return b"".join(iter(lambda: self.read(self.size), b""))
        if not self._left:
            return b""
        self._piece = self._piece or from_thread.run(self._next)
        if not self._piece:
            raise self._changed()
        wanted = min(size, self._left)
        piece, self._piece = self._piece[:wanted], self._piece[wanted:]
        self._left -= len(piece)
        self.digest.update(piece)
        return piece

    async def need_end(self) -> None:
        """Raises: ConflictError: the file has more or fewer bytes than were to be sent."""
        if self._left or self._piece or await self._next():
            raise self._changed()

    async def _next(self) -> bytes:
        return await anext(self._pieces, b"")

    def _changed(self) -> ConflictError:
        self.problem = ConflictError(
            f"'{self._path}' changed at its source while it was copied. Nothing was registered."
        )
        return self.problem
