"""Reading local files for upload: regular files inside the folders a person allowed, and nothing else.

The path comes from an agent, so it is judged after links are resolved, part by part and not as text, and
the file that was judged is the file that is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.rest.tracking_api import UPLOAD_LIMIT

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A link or pipe put in place of the file after it was judged is not opened; Windows has neither flag."""


def read_upload(path: str, roots: Sequence[Path]) -> bytes:
    """Content of a file in one of the allowed folders.

    Raises: InvalidInputError: no folder is allowed, the file is outside of them, hidden, not a regular file,
        empty, or larger than UPLOAD_LIMIT bytes. The text shows the path as it was given, nothing of the disk.
    """
    if not roots:
        raise InvalidInputError(
            "Files can be uploaded only from folders that MLFLOW_MCP_UPLOAD_ROOTS names, and it names none. "
            "Small text can be sent in artifacts instead."
        )
    allowed = [root.expanduser().resolve() for root in roots]
    # A relative path is looked for in each allowed folder; the folder a host starts servers in means nothing.
    for root in allowed:
        try:
            target = (root / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            continue
        for place in allowed:
            if target.is_relative_to(place) and not _hidden(target.relative_to(place)):
                return _read(target, path)
    raise InvalidInputError(f"No file {path!r} that may be uploaded: it must lie in {_names(roots)} and not be hidden.")


def _read(target: Path, shown: str) -> bytes:
    try:
        descriptor = os.open(target, os.O_RDONLY | _NO_FOLLOW)
    except OSError:
        raise InvalidInputError(f"The file {shown!r} cannot be read.") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        # A second name of a file elsewhere on the disk would carry it out of the allowed folder.
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            raise InvalidInputError(f"{shown!r} is not a regular file of its own; folders and links are not uploaded.")
        data = file.read(UPLOAD_LIMIT + 1)
    if not data:
        raise InvalidInputError(f"The file {shown!r} is empty; MLflow takes no empty artifact.")
    if len(data) > UPLOAD_LIMIT:
        raise InvalidInputError(
            f"The file {shown!r} is larger than {UPLOAD_LIMIT // 1024**2} MiB, the most this server uploads."
        )
    return data


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _names(roots: Sequence[Path]) -> str:
    return " or ".join(str(root) for root in roots)
