"""Artifacts of runs, logged models and model versions: which place is meant, what is there, reading in pieces."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from mcp_server.errors import InvalidInputError, NotFoundError, UnsupportedError
from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import Artifact, LoggedModel, ModelVersion, Run
from mcp_server.mlflow_integration.operations.files.artifact_places import ArtifactPage, ArtifactPlace, FoundArtifact
from mcp_server.mlflow_integration.operations.models.registry import VERSION_URI, Registry
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT, ArtifactContent, ArtifactRoot, ArtifactsApi
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi
from mcp_server.mlflow_integration.rest.transport import UploadBody
from mcp_server.suggestions import did_you_mean
from mcp_server.untrusted import shown

FOLDERS_PER_CALL: Final = 100
"""Folders one call opens, each a request; the next page continues."""
FILES_COMPARED: Final = 500
FOLDERS_COMPARED: Final = 20
"""Searched for a file whose path was wrong."""
MODELS_SHOWN: Final = 50
"""Logged models of one run that are looked up."""
_COPIES_FOLLOWED: Final = 5
"""Model versions may be copies of copies."""

_LOGGED_MODEL: Final = re.compile(r"(?:models:/)?(?P<id>m-[0-9a-f]{32})/?")
_CONNECTS_ELSEWHERE: Final = frozenset({"ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2"})
"""Schemes whose URI names a host that MLflow would connect to. Source: MLflow store/artifact/host_policy.py."""


class Artifacts:
    """The artifacts of one MLflow. `own_host` is the tracking server's host, for proxied locations that name it."""

    def __init__(
        self,
        api: ArtifactsApi,
        tracking_api: TrackingApi,
        registry: Registry,
        references: References,
        own_host: str = "",
    ) -> None:
        self._api = api
        self._tracking_api = tracking_api
        self._registry = registry
        self._references = references
        self._own_host = own_host

    async def place(self, reference: str) -> ArtifactPlace:
        """By run (id, prefix, name, link), logged model (`m-…`) or model version (`models:/churn/3`, `…@champion`).

        Raises: NotFoundError: no such thing. InvalidInputError: its artifacts are kept where this server does not look.
        """
        text = reference.strip()
        if match := _LOGGED_MODEL.fullmatch(text):
            return await self._of_logged_model(match["id"], f"logged model {match['id']}")
        if text.startswith("models:"):
            match = VERSION_URI.fullmatch(text)
            if match is None:
                raise InvalidInputError(
                    f"{shown(text)} is not a model version. Form: models:/churn/3 or models:/churn@champion."
                )
            version = await self._registry.version(match["name"], match["version"] or match["alias"])
            return await self._of_version(version, f"version {version.version} of '{version.name}'")
        try:
            run = await self._references.run(text)
        except NotFoundError as error:
            raise NotFoundError(
                f"{error} A model version is given as models:/<name>/<version> or models:/<name>@<alias>."
            ) from None
        self._need_trusted(run.artifact_uri, f"{run.run_id}/artifacts")
        return ArtifactPlace(ArtifactRoot.of_run(run), f"run '{run.run_name}' ({run.run_id})", run=run)

    async def folder(self, place: ArtifactPlace, path: str = "") -> tuple[Artifact, ...]:
        """What a folder holds, sorted by name; empty for a file and for what does not exist."""
        found = await self._api.list_folder(place.root, place.full(path))
        relative = (replace(one, path=place.relative(one.path)) for one in found)
        # MLflow lists a file's own path for some stores, and what the store holds is not ours to trust.
        below = f"{path}/" if path else ""
        kept = [one for one in relative if one.path.startswith(below) and _is_plain(one.path.removeprefix(below))]
        return tuple(sorted(kept, key=lambda one: one.path))

    async def find(self, place: ArtifactPlace, path: str) -> FoundArtifact:
        """A file, known by its listing and not yet opened.

        Raises: NotFoundError: it is not there; the text names the closest. InvalidInputError: it is a folder, or the
            path leads elsewhere.
        """
        path = artifact_path(path.rstrip("/"))
        parent, _, _ = path.rpartition("/")
        siblings = await self.folder(place, parent)
        for one in siblings:
            if one.path == path:
                if one.is_dir:
                    raise _folder(path, place)
                return FoundArtifact(place, one)
        if inner := await self._of_model_in_run(place, path):
            if not inner[1]:
                raise _folder(path, place)
            return await self.find(*inner)
        names = [one.path for one in siblings or await self.folder(place)]
        closest = await self._closest(place, path, names)
        raise NotFoundError(
            f"{place.label[0].upper()}{place.label[1:]} has no artifact '{path}'.{closest} "
            + (f"There: {listed(names, 8)}. " if names else "")
            + "list_artifacts lists them."
        )

    @asynccontextmanager
    async def open(
        self, found: FoundArtifact, *, first: int = 0, length: int = 0, last_bytes: int = 0
    ) -> AsyncGenerator[ArtifactContent]:
        """The file from byte `first` on, `length` bytes of it (0: all), or its `last_bytes`, where the store can."""
        path = found.place.full(found.artifact.path)
        part = _part(first, length, last_bytes)
        async with self._api.open(found.place.root, path, part=part) as content:
            yield content

    def need_room(self, run: Run, path: str, size: int) -> None:
        """Raises: UnsupportedError: the artifacts of this run take no file of this size."""
        if not self._api.takes_large(run) and not 0 < size <= UPLOAD_LIMIT:
            raise UnsupportedError(
                f"'{path}' has {size:,} bytes; MLflow accepts 1 to {UPLOAD_LIMIT:,} for runs whose artifacts are not "
                "stored by the tracking server. Nothing was written.",
                carried_out=False,
            )

    async def upload(self, run: Run, path: str, body: UploadBody) -> None:
        """Writes one artifact of a run, in pieces if it is large.

        Raises: UnsupportedError: as `need_room`. InvalidInputError: MLflow would not keep it among its own artifacts.
        """
        self._need_trusted(run.artifact_uri, f"{run.run_id}/artifacts")
        self.need_room(run, path, body.size)
        await self._api.upload_file(run, artifact_path(path), body)

    async def walk(self, place: ArtifactPlace, path: str, *, after: str, limit: int) -> ArtifactPage:
        """The next `limit` files of a folder and of those below it, by path, beginning after `after`.

        Raises: NotFoundError: no such folder or file.
        """
        path = artifact_path(path.strip("/")) if path.strip("/") else ""
        models = await self._models(place) if not path else ()
        walk = _Walk(self, after, limit)
        await walk.descend(place, path, "", models)
        if not walk.files and not walk.seen and path:
            if inner := await self._of_model_in_run(place, path):
                model_place, rest = inner
                name = path.split("/")[0]
                await walk.descend(model_place, rest, name)
            if not walk.seen:
                found = await self.find(place, path)
                return ArtifactPage((replace(found, listed_as=path),), "")
        return ArtifactPage(tuple(walk.files), walk.next_after, models)

    async def _closest(self, place: ArtifactPlace, path: str, names: Sequence[str]) -> str:
        """Files with this name in other folders, else similar ones, as a sentence; empty when there is none."""
        walk = _Walk(self, "", FILES_COMPARED, folders=FOLDERS_COMPARED)
        await walk.descend(place, "", "", await self._models(place))
        name = path.rpartition("/")[2]
        same = [one.path for one in walk.files if one.path.rpartition("/")[2].casefold() == name.casefold()]
        near = did_you_mean(path, names) or did_you_mean(name, [one.path for one in walk.files])
        return f" Closest: {', '.join(same[:3])}." if same else near

    # Places

    async def model_place(self, model: LoggedModel) -> ArtifactPlace:
        return await self._of_logged_model(model.model_id, f"logged model '{model.name}' ({model.model_id})")

    async def _of_logged_model(self, model_id: str, label: str) -> ArtifactPlace:
        model = await self._tracking_api.get_logged_model(model_id)
        self._need_trusted(model.artifact_uri, f"{model_id}/artifacts")
        return ArtifactPlace(ArtifactRoot.of_model(model), label, in_run=(model.source_run_id, model_id))

    async def _of_version(self, version: ModelVersion, label: str, copies: int = 0) -> ArtifactPlace:
        """What the version was made from: a logged model, a folder of a run, another version; else its own files."""
        match = _LOGGED_MODEL.fullmatch(version.source)
        if model_id := version.model_id or (match["id"] if match else ""):
            return await self._of_logged_model(model_id, label)
        if version.run_id:
            run = await self._tracking_api.get_run(version.run_id)
            for prefix in (f"{run.artifact_uri}/", f"runs:/{run.run_id}/"):
                if version.source.startswith(prefix):
                    self._need_trusted(run.artifact_uri, f"{run.run_id}/artifacts")
                    folder = artifact_path(version.source.removeprefix(prefix).strip("/"))
                    return ArtifactPlace(ArtifactRoot.of_run(run), label, folder)
        copied = VERSION_URI.fullmatch(version.source)
        if copied and copied["version"] and copies < _COPIES_FOLLOWED:
            return await self._of_version(
                await self._registry.version(copied["name"], copied["version"]), label, copies + 1
            )
        raise UnsupportedError(
            f"The files of {label} are not those of a run or of a logged model, so this server does not read them. "
            "get_model shows where the version came from."
        )

    async def _models(self, place: ArtifactPlace) -> tuple[LoggedModel, ...]:
        """Logged models of a run, the newest of each name."""
        if place.run is None:
            return ()
        by_name: dict[str, LoggedModel] = {}
        for model_id in place.run.logged_model_ids[-MODELS_SHOWN:]:
            try:
                model = await self._tracking_api.get_logged_model(model_id)
            except NotFoundError:
                continue  # Deleted since.
            by_name[model.name] = model
        return tuple(by_name[name] for name in sorted(by_name))

    async def _of_model_in_run(self, place: ArtifactPlace, path: str) -> tuple[ArtifactPlace, str] | None:
        """A logged model of the run and the path in it, when the first part of a path is the model's name."""
        name, _, rest = path.partition("/")
        for model in await self._models(place):
            if name in (model.name, model.model_id):
                return await self.model_place(model), rest
        return None

    def _need_trusted(self, uri: str, ending: str) -> None:
        """Raises: InvalidInputError: the location would make MLflow connect elsewhere, or is no folder MLflow makes."""
        parts = urlsplit(uri)
        own = bool(parts.hostname) and parts.hostname == self._own_host
        elsewhere = parts.scheme in _CONNECTS_ELSEWHERE or (parts.scheme == "mlflow-artifacts" and bool(parts.netloc))
        # A drive letter of Windows looks like a scheme.
        local = len(parts.scheme) < 2 or parts.scheme == "file"
        if (elsewhere and not own) or (local and not uri.replace("\\", "/").rstrip("/").endswith(f"/{ending}")):
            raise InvalidInputError(
                "The artifact location recorded for this run or model is not one that MLflow would choose; "
                "this server does not read or write there."
            )


class _Walk:
    """Depth first in the order of the paths, so that a path is enough to continue from.

    `after` is the file shown last, or a folder that is done, which ends in a slash.
    """

    def __init__(self, artifacts: Artifacts, after: str, limit: int, folders: int = FOLDERS_PER_CALL) -> None:
        self.files: list[FoundArtifact] = []
        self.seen = False
        """Whether anything was there at all."""
        self.next_after = ""
        self._artifacts = artifacts
        self._after = after.rstrip("/").split("/") if after else []
        self._after_is_done = after.endswith("/")
        self._limit = limit
        self._folders = 0
        self._folders_limit = folders
        self._last = after

    async def descend(
        self, place: ArtifactPlace, path: str, shown_under: str, models: Sequence[LoggedModel] = ()
    ) -> bool:
        """False when the page is full."""
        self._folders += 1
        entries = {one.path: one for one in await self._artifacts.folder(place, path)}
        inner = {model.name: model for model in models if model.name not in entries}
        for name in sorted({*entries, *inner}):
            self.seen = True
            path_shown = f"{shown_under}/{name}" if shown_under else name
            is_folder = name in inner or entries[name].is_dir
            if self._is_behind(path_shown.split("/"), is_folder):
                continue
            if len(self.files) >= self._limit or (is_folder and self._folders >= self._folders_limit):
                self.next_after = self._last
                return False
            if not is_folder:
                self.files.append(FoundArtifact(place, entries[name], path_shown))
            elif name in inner:
                if not await self.descend(await self._artifacts.model_place(inner[name]), "", path_shown):
                    return False
            elif not await self.descend(place, name, shown_under):
                return False
            self._last = f"{path_shown}/" if is_folder else path_shown
        return True

    def _is_behind(self, parts: list[str], is_folder: bool) -> bool:
        """Whether the previous page has shown it, or for a folder all that is in it."""
        if not self._after:
            return False
        if is_folder:
            beginning = self._after[: len(parts)]
            return parts < beginning or (self._after_is_done and parts == self._after)
        return parts <= self._after


def _folder(path: str, place: ArtifactPlace) -> InvalidInputError:
    return InvalidInputError(f"'{path}' of {place.label} is a folder; list_artifacts shows what it holds.")


def _part(first: int, length: int, last_bytes: int) -> str:
    if last_bytes:
        return f"-{last_bytes}"
    if length:
        return f"{first}-{first + length - 1}"
    return f"{first}-" if first else ""


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name.rstrip("/")
