"""Where artifacts are, and the files that were found there."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_server.mlflow_integration.entities import Artifact, LoggedModel, Run
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot


@dataclass(frozen=True, slots=True)
class ArtifactPlace:
    """Where artifacts are: a root, and for some model versions a folder below it."""

    root: ArtifactRoot
    label: str
    """What an answer calls it: `run 'baseline' (3f2a…)`."""
    folder: str = ""
    run: Run | None = None
    """Set when the root is a run named by the caller: its logged models are shown with its own files."""
    in_run: tuple[str, str] = ("", "")
    """The run that leads to a logged model's files, and the folder that they are below; empty for other roots."""

    def full(self, path: str) -> str:
        return "/".join(part for part in (self.folder, path) if part)

    @property
    def resource_run(self) -> str:
        """The run below which the files have a resource; empty when there is none."""
        return self.root.name if self.root.kind == "run" else self.in_run[0]

    def resource_path(self, path: str) -> str:
        return self.full(path) if self.root.kind == "run" else f"{self.in_run[1]}/{path}"

    def relative(self, path: str) -> str:
        return path.removeprefix(f"{self.folder}/") if self.folder else path


@dataclass(frozen=True, slots=True)
class FoundArtifact:
    """A file and the place it was found in."""

    place: ArtifactPlace
    artifact: Artifact
    """Its path is relative to the place."""
    listed_as: str = ""
    """Its path in the listing of a run, where it differs: files of a logged model stand below the model's name."""

    @property
    def path(self) -> str:
        return self.listed_as or self.artifact.path


@dataclass(frozen=True, slots=True)
class ArtifactPage:
    """Files in the order of their paths."""

    files: tuple[FoundArtifact, ...]
    next_after: str
    """The path after which the next page begins; empty on the last page."""
    models: tuple[LoggedModel, ...] = ()
    """Logged models of the run, which appear as folders."""
