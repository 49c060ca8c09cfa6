"""The folder of a temporary store: private to this process, gone with it, even when it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, Final

try:
    import fcntl
except ImportError:  # Windows; there an open database cannot be removed by anybody else anyway.
    fcntl = None

PREFIX: Final = "mcp-server-mlflow-mock-"

GRACE_SECONDS: Final = 60
"""Age before which a folder without a lock is left alone: its owner may be about to take it."""


class PrivateFolder:
    """A new folder, readable by this user only; the owner holds a lock in it as long as it lives."""

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _try_lock(self.path)

    def remove(self) -> None:
        """Remove everything in it; safe to call twice."""
        if self._lock is not None:
            self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of processes that were killed before they could do it themselves.

    A lock shows which owner is alive; a process id does not, because containers may share a temporary folder without
    sharing process ids.
    """
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
            ours = status.st_uid == os.getuid() and time.time() - status.st_mtime > GRACE_SECONDS
        except OSError:
            continue
        if ours and (lock := _try_lock(folder)) is not None:
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)


def _try_lock(folder: Path) -> IO[bytes] | None:
    """The folder's lock, held until closed; None when somebody else has it."""
    try:
        file = open(folder / "lock", "ab")  # noqa: SIM115 - it stays open: that is the lock
    except OSError:
        return None
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
