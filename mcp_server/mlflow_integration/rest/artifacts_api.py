"""Artifacts over REST: of runs, of logged models and of model versions; listed, read in pieces, uploaded."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from mcp_server.errors import TrackingServerError
from mcp_server.mlflow_integration.entities import Artifact, Run
from mcp_server.mlflow_integration.rest.api import RestApi, present
from mcp_server.mlflow_integration.rest.conversion import Json, listed
from mcp_server.mlflow_integration.rest.error_responses import failure, json_object, not_mlflow
from mcp_server.mlflow_integration.rest.transport import Reply, StreamedReply, UploadBody

FOLDER_LIMIT: Final = 20_000
"""Entries of one folder that are read; more are not an answer for anybody."""

_ERROR_BODY: Final = 65_536
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+)")


@dataclass(frozen=True, slots=True)
class ArtifactRoot:
    """What artifacts belong to, as the endpoints name it."""

    kind: Literal["run", "logged_model", "model_version"]
    name: str
    """Run id, logged model id, or name of the registered model."""
    version: str = ""
    """Of a model version."""


@dataclass(frozen=True, slots=True)
class ArtifactContent:
    """A file, or the end of one, while it arrives."""

    first: int
    """Position of the first byte that arrives; not 0 only when a part was asked for and the server knows parts."""
    total: int | None
    """Bytes of the whole file; None when the server does not say."""
    pieces: AsyncIterator[bytes]


class ArtifactsApi(RestApi):
    """The artifacts of one MLflow."""

    async def list_folder(self, root: ArtifactRoot, path: str = "") -> tuple[Artifact, ...]:
        """One folder, all pages of it up to FOLDER_LIMIT entries. A file and a missing folder have none.

        MLflow lists nothing below a model version; the caller names what the version was made from.
        """
        files: list[Artifact] = []
        token = ""
        while True:
            if root.kind == "run":
                fields = present(run_id=root.name, path=path, page_token=token)
                found = await self._get("2.0/mlflow/artifacts/list", **fields)
            else:
                route = f"2.0/mlflow/logged-models/{quote(root.name, safe='')}/artifacts/directories"
                found = await self._get(route, **present(artifact_directory_path=path, page_token=token))
            files += [_artifact(file) for file in listed(found, "files")]
            token = str(found.get("next_page_token") or "")
            if not token or len(files) >= FOLDER_LIMIT:
                return tuple(files)

    @asynccontextmanager
    async def open(self, root: ArtifactRoot, path: str, *, part: str = "") -> AsyncGenerator[ArtifactContent]:
        """A file, or a part of it: `100-199`, `100-`, or `-50` for the last 50 bytes. Some servers know no parts.

        Raises: NotFoundError, InvalidInputError: there is no such file.
        """
        route, params = _reading(root, path)
        headers = {"Range": f"bytes={part}"} if part else {}
        async with self._transport.stream(route, params=params, headers=headers) as reply:
            if reply.status == 416:  # No such part: an empty file, or one that ends before it.
                yield ArtifactContent(0, 0, _nothing())
                return
            if reply.status >= 400:
                raise failure(Reply(reply.status, reply.headers, await _beginning(reply)), self._address)
            yield _content(reply)

    def takes_large(self, run: Run) -> bool:
        """Whether files of any size, empty ones too, reach the artifacts of a run; else 10 MiB, and no empty ones."""
        return self._transport.takes_large_artifacts or bool(_proxied_folder(run))

    async def upload_large(self, run: Run, path: str, body: UploadBody) -> None:
        """Writes one artifact in pieces, where `takes_large` says so.

        Raises: InvalidInputError: MLflow refuses it. TrackingServerError: it failed.
        """
        if self._transport.takes_large_artifacts:
            place = {"run_uuid": run.run_id, "path": path}
            reply = await self._transport.upload("POST", "/ajax-api/2.0/mlflow/upload-artifact", body, params=place)
        else:
            route = f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{_proxied_folder(run)}/{path}')}"
            reply = await self._transport.upload("PUT", route, body)
        if reply.status >= 400:
            raise failure(reply, self._address)
        # MLflow answers with nothing or {}; a sign-in page answers 200 as well.
        if reply.body.strip() and json_object(reply.body) is None:
            raise not_mlflow(self._address)


def _proxied_folder(run: Run) -> str:
    """The folder of a run's artifacts on a server that keeps them itself; empty when it is not that run's own."""
    parts = urlsplit(run.artifact_uri)
    folder = parts.path.strip("/")
    own = f"/{folder}".endswith(f"/{run.run_id}/artifacts") and ".." not in folder.split("/")
    return folder if parts.scheme == "mlflow-artifacts" and own and not (parts.query or parts.fragment) else ""


def _reading(root: ArtifactRoot, path: str) -> tuple[str, dict[str, str]]:
    if root.kind == "run":
        return "/get-artifact", {"run_id": root.name, "path": path}
    if root.kind == "logged_model":
        route = f"/ajax-api/2.0/mlflow/logged-models/{quote(root.name, safe='')}/artifacts/files"
        return route, {"artifact_file_path": path}
    return "/model-versions/get-artifact", {"name": root.name, "version": root.version, "path": path}


def _content(reply: StreamedReply) -> ArtifactContent:
    if reply.status == 206 and (match := _CONTENT_RANGE.match(reply.headers.get("content-range", ""))):
        return ArtifactContent(int(match["first"]), int(match["total"]), reply.pieces)
    length = reply.headers.get("content-length", "")
    return ArtifactContent(0, int(length) if length.isdigit() else None, reply.pieces)


def _artifact(file: Json) -> Artifact:
    path = file.get("path")
    if not isinstance(path, str):
        raise TrackingServerError("MLflow listed an artifact without a path.")
    size = file.get("file_size")
    return Artifact(
        path, bool(file.get("is_dir")), int(size) if isinstance(size, int | str) and str(size).isdigit() else 0
    )


async def _beginning(reply: StreamedReply) -> bytes:
    body = bytearray()
    async for piece in reply.pieces:
        body += piece
        if len(body) >= _ERROR_BODY:
            break
    return bytes(body)


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield b""
