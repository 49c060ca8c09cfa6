"""Artifacts over REST, of runs and of logged models: listed, read whole or in pieces, uploaded."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from anyio import to_thread

from mcp_server.mlflow_integration.entities import Artifact, LoggedModel, Run
from mcp_server.mlflow_integration.rest.api import RestApi, present
from mcp_server.mlflow_integration.rest.conversion import artifact_of
from mcp_server.mlflow_integration.rest.error_responses import failure, json_object, not_mlflow
from mcp_server.mlflow_integration.rest.fields import listed
from mcp_server.mlflow_integration.rest.transport import (
    OCTETS,
    Params,
    Reply,
    StreamedReply,
    UploadBody,
    is_unknown_path,
)

UPLOAD_LIMIT: Final = 10 * 1024 * 1024
"""Bytes that the server's upload-artifact endpoint takes. Source: MLflow server/handlers.py."""
FOLDER_LIMIT: Final = 20_000
"""Entries of one folder that are read; more are not an answer for anybody."""

_UPLOAD: Final = "/ajax-api/2.0/mlflow/upload-artifact"
_ERROR_BODY: Final = 65_536
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+)")


@dataclass(frozen=True, slots=True)
class ArtifactRoot:
    """What artifacts belong to, as the endpoints name it."""

    kind: Literal["run", "logged_model"]
    name: str
    """Id of the run or logged model."""
    uri: str = ""
    """Where MLflow keeps the artifacts, as it reports it."""

    @classmethod
    def of_run(cls, run: Run) -> ArtifactRoot:
        return cls("run", run.run_id, run.artifact_uri)

    @classmethod
    def of_model(cls, model: LoggedModel) -> ArtifactRoot:
        return cls("logged_model", model.model_id, model.artifact_uri)


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
        """One folder, all pages of it up to FOLDER_LIMIT entries. A file and a missing folder have none."""
        files: list[Artifact] = []
        token = ""
        while True:
            if root.kind == "run":
                fields = present(run_id=root.name, path=path, page_token=token)
                found = await self._get("2.0/mlflow/artifacts/list", **fields)
            else:
                route = f"2.0/mlflow/logged-models/{quote(root.name, safe='')}/artifacts/directories"
                found = await self._get(route, **present(artifact_directory_path=path, page_token=token))
            files += map(artifact_of, listed(found, "files"))
            token = str(found.get("next_page_token") or "")
            if not token or len(files) >= FOLDER_LIMIT:
                return tuple(files)

    async def read(self, root: ArtifactRoot, path: str, *, limit: int) -> bytes:
        """The first `limit` bytes of a file. Raises: NotFoundError, InvalidInputError: there is no such file."""
        (route, params), *others = _reading(root, path)
        reply = await self._first_bytes(route, params, limit)
        for route, params in others:
            if is_unknown_path(reply):
                reply = await self._first_bytes(route, params, limit)
        return self._content(reply)[:limit]

    @asynccontextmanager
    async def open(self, root: ArtifactRoot, path: str, *, part: str = "") -> AsyncGenerator[ArtifactContent]:
        """A file, or a part of it: `100-199`, `100-`, or `-50` for the last 50 bytes. Some servers know no parts.

        Raises: NotFoundError, InvalidInputError: there is no such file.
        """
        headers = {"Range": f"bytes={part}"} if part else {}
        ways = _reading(root, path)
        for number, (route, params) in enumerate(ways, start=1):
            async with self._transport.stream(route, params=params, headers=headers) as reply:
                if is_unknown_path(reply) and number < len(ways):
                    continue
                if reply.status == 416:  # No such part: an empty file, or one that ends before it.
                    yield ArtifactContent(0, 0, _nothing())
                    return
                if reply.status >= 400:
                    raise failure(Reply(reply.status, reply.headers, await _beginning(reply)), self._address)
                yield _content(reply)
                return

    def takes_large(self, run: Run) -> bool:
        """Whether files of any size, empty ones too, reach the artifacts of a run; else UPLOAD_LIMIT, none empty."""
        return self._transport.takes_large_artifacts or bool(_stored_by_server(ArtifactRoot.of_run(run), ""))

    async def upload(self, run: Run, path: str, content: bytes) -> None:
        """Writes one artifact of at most UPLOAD_LIMIT bytes, with the server's own credentials.

        Raises: InvalidInputError: MLflow refuses it. TrackingServerError: it failed.
        """
        send = partial(self._transport.request, content=content, headers=OCTETS, idempotent=True)
        reply = await send("POST", _UPLOAD, params=_target(run, path))
        if is_unknown_path(reply) and (route := _stored_by_server(ArtifactRoot.of_run(run), path)):
            reply = await send("PUT", route)
        self._need_written(reply)

    async def upload_file(self, run: Run, path: str, body: UploadBody) -> None:
        """Writes one artifact; a large or empty one, which must be `takes_large`, in pieces.

        Raises: as `upload`, and what reading the body raises.
        """
        if 0 < body.size <= UPLOAD_LIMIT:
            # Repeated when the connection is lost, which a body that is read once cannot be.
            await self.upload(run, path, await to_thread.run_sync(_whole, body))
        elif self._transport.takes_large_artifacts:
            self._need_written(await self._transport.upload("POST", _UPLOAD, body, params=_target(run, path)))
        else:
            route = _stored_by_server(ArtifactRoot.of_run(run), path)
            self._need_written(await self._transport.upload("PUT", route, body))

    def _need_written(self, reply: Reply) -> None:
        if reply.status >= 400:
            raise failure(reply, self._address)
        # MLflow answers with nothing or {}; a sign-in page answers 200 as well.
        if reply.body.strip() and json_object(reply.body) is None:
            raise not_mlflow(self._address)


def _target(run: Run, path: str) -> Params:
    return {"run_uuid": run.run_id, "path": path}


def _whole(body: UploadBody) -> bytes:
    return b"".join(iter(partial(body.read, UPLOAD_LIMIT), b""))


def _reading(root: ArtifactRoot, path: str) -> list[tuple[str, Params]]:
    """The requests that give a file, the second for a server that does not know the first."""
    if root.kind == "logged_model":
        route = f"/ajax-api/2.0/mlflow/logged-models/{quote(root.name, safe='')}/artifacts/files"
        return [(route, {"artifact_file_path": path})]
    # Below the prefix that MLflow 2 was started with, and so unknown at the root of its API.
    ways: list[tuple[str, Params]] = [("/get-artifact", {"run_id": root.name, "path": path})]
    stored = _stored_by_server(root, path)
    return [*ways, (stored, {})] if stored else ways


def _stored_by_server(root: ArtifactRoot, path: str) -> str:
    """The request path of an artifact that the server itself stores; empty for what it does not, or not as its own."""
    parts = urlsplit(root.uri)
    folder = parts.path.strip("/")
    own = f"/{folder}".endswith(f"/{root.name}/artifacts") and ".." not in folder.split("/")
    if parts.scheme != "mlflow-artifacts" or not own or parts.query or parts.fragment:
        return ""
    return f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{folder}/{path}')}"


def _content(reply: StreamedReply) -> ArtifactContent:
    if reply.status == 206 and (match := _CONTENT_RANGE.match(reply.headers.get("content-range", ""))):
        return ArtifactContent(int(match["first"]), int(match["total"]), reply.pieces)
    length = reply.headers.get("content-length", "")
    return ArtifactContent(0, int(length) if length.isdigit() else None, reply.pieces)


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
