"""Reading local files for upload, in the folders that a person allowed and up to the size MLflow takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.folders import open_for_reading
from mcp_server.mlflow_integration.rest.tracking_api import UPLOAD_LIMIT


def read_upload(path: str, roots: Sequence[Path]) -> bytes:
    """Content of a file in one of the allowed folders.

    Raises: InvalidInputError: the file may not be read (folders.py), is empty, or larger than UPLOAD_LIMIT bytes.
    """
    with open_for_reading(path, roots) as file:
        data = file.read(UPLOAD_LIMIT + 1)
    if not data:
        raise InvalidInputError(f"The file {path!r} is empty; MLflow takes no empty artifact.")
    if len(data) > UPLOAD_LIMIT:
        raise InvalidInputError(
            f"The file {path!r} is larger than {UPLOAD_LIMIT // 1024**2} MiB, the most this server uploads."
        )
    return data
