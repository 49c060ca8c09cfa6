"""Which logged model is meant when a model is to be registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mcp_server.errors import AmbiguousError, InvalidInputError, NotFoundError
from mcp_server.mlflow_integration.entities import LoggedModel, Run
from mcp_server.mlflow_integration.operations.models.registry import Registry, read_if_present
from mcp_server.mlflow_integration.operations.run_content import artifact_path
from mcp_server.mlflow_integration.operations.searching.references import References
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot, ArtifactsApi

_MODEL_ID: Final = re.compile(r"(?:models:/)?(?P<id>m-[0-9a-f]{8,64})")
_RUNS_URI: Final = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a model version is made from."""

    uri: str
    run_id: str = ""
    model_id: str = ""
    """The LoggedModel (MLflow 3); empty for a model among the artifacts of a run (MLflow 2)."""


class ModelSources:
    """Finds logged models by run, name, id or URI; refuses what has no MLmodel file."""

    def __init__(self, artifacts: ArtifactsApi, references: References, registry: Registry) -> None:
        self._artifacts = artifacts
        self._references = references
        self._registry = registry

    async def find(self, run: str, model: str, model_uri: str) -> ModelSource:
        """The model that the arguments of register_model name.

        Raises: NotFoundError: no such run or model, or it has no MLmodel file. AmbiguousError: the run logged
            several models. InvalidInputError: the arguments contradict each other, or the URI is of another kind.
        """
        if model_uri:
            if run or model:
                raise InvalidInputError("Give either model_uri or run (with model), not both.")
            if match := _MODEL_ID.fullmatch(model_uri.strip()):
                return await self._from_logged_model(await self._need_logged_model(match["id"]))
            match = _RUNS_URI.fullmatch(model_uri.strip())
            if match is None:
                raise InvalidInputError(
                    f"model_uri '{model_uri}' cannot be registered. Give runs:/<run_id>/<model name> or "
                    "models:/m-<id>; get_run shows the models a run logged."
                )
            run, model = match["run"], match["path"]
        if not run:
            raise InvalidInputError("Give the run whose model to register (run), or a model_uri.")
        return await self._from_run(await self._references.run(run), model)

    async def _from_run(self, run: Run, model: str) -> ModelSource:
        if match := _MODEL_ID.fullmatch(model):
            return await self._from_logged_model(await self._need_logged_model(match["id"]))
        logged = [found for i in run.logged_model_ids if (found := await self._registry.logged_model(i))]
        logged.sort(key=lambda found: (found.name, found.model_id))
        named = [found for found in logged if found.name == model] if model else logged
        if len(named) > 1:
            listed = ", ".join(f"{found.name} ({found.model_id})" for found in named)
            raise AmbiguousError(f"Run {run.run_id} logged several models: {listed}. Choose one with model=.")
        if named:
            return await self._from_logged_model(named[0])
        # MLflow 2 kept models among the artifacts of the run.
        path = artifact_path(model or "model")
        if await read_if_present(self._artifacts.read(ArtifactRoot.of_run(run), f"{path}/MLmodel", limit=64)):
            return ModelSource(f"{run.artifact_uri}/{path}", run.run_id)
        names = ", ".join(found.name for found in logged)
        raise NotFoundError(
            f"Run {run.run_id} has no model '{path}': no MLmodel file is there. "
            + (f"It logged: {names}." if names else "It logged no model; a training script logs one with log_model.")
        )

    async def _from_logged_model(self, logged: LoggedModel) -> ModelSource:
        reading = self._artifacts.read(ArtifactRoot.of_model(logged), "MLmodel", limit=64)
        if not await read_if_present(reading):
            raise NotFoundError(
                f"Logged model '{logged.name}' ({logged.model_id}) has no readable MLmodel file, so a version of it "
                "could not be loaded; nothing was registered."
            )
        return ModelSource(f"models:/{logged.model_id}", logged.source_run_id, logged.model_id)

    async def _need_logged_model(self, model_id: str) -> LoggedModel:
        logged = await self._registry.logged_model(model_id)
        if logged is None:
            raise NotFoundError(f"No logged model '{model_id}'. get_run shows the models a run logged.")
        return logged
