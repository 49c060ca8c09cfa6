"""Reading local files for upload, in the folders that a person allowed and up to the size MLflow takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.files.folders import open_for_reading
from mcp_server.mlflow_integration.rest.tracking_api import UPLOAD_LIMIT
from mcp_server.untrusted import shown

CALL_LIMIT: Final = 100 * 1024 * 1024
"""Bytes of all files of one call: they are held in memory so that a refusal comes before the first write."""


def read_uploads(paths: Sequence[str], roots: Sequence[Path]) -> dict[str, bytes]:
    """Content of files in the allowed folders, by the artifact path that each gets.

    A file gets its own name, and where several have the same, as many of the folders above it as tell them apart:
    `a/m.json` and `b/m.json` keep their folders. A file that is named twice is uploaded once.
    Raises: InvalidInputError: as `read_upload`, or the files have more than CALL_LIMIT bytes.
    """
    contents: dict[str, bytes] = {}
    size = 0
    for path, name in zip(paths, upload_names(paths), strict=True):
        if name in contents:
            continue
        contents[name] = read_upload(path, roots)
        size += len(contents[name])
        if size > CALL_LIMIT:
            raise InvalidInputError(
                f"The files have more than {CALL_LIMIT // 1024**2} MiB together. Upload them in several calls."
            )
    return contents


def upload_names(paths: Sequence[str]) -> list[str]:
    """The artifact path of each file: its last parts, as few as tell the files apart."""
    parts = [_parts(path) for path in paths]
    return ["/".join(one[-_needed(one, parts) :]) for one in parts]


def read_upload(path: str, roots: Sequence[Path]) -> bytes:
    """Content of a file in one of the allowed folders.

    Raises: InvalidInputError: the file may not be read (folders.py), is empty, or larger than UPLOAD_LIMIT bytes.
    """
    with open_for_reading(path, roots) as file:
        data = file.read(UPLOAD_LIMIT + 1)
    if not data:
        raise InvalidInputError(f"The file '{shown(path)}' is empty; MLflow does not accept empty artifacts.")
    if len(data) > UPLOAD_LIMIT:
        raise InvalidInputError(
            f"The file '{shown(path)}' is larger than {UPLOAD_LIMIT // 1024**2} MiB, the most this server uploads."
        )
    return data


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
