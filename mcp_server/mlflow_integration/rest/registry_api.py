"""MLflow's model registry over REST, one typed method per endpoint: registered models, versions, aliases, stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcp_server.mlflow_integration.entities import ModelVersion, Page, RegisteredModel
from mcp_server.mlflow_integration.rest.api import RestApi, pairs, present, same, searchable
from mcp_server.mlflow_integration.rest.conversion import model_version_of, page_of, registered_model_of
from mcp_server.mlflow_integration.rest.error_responses import misdirected


class RegistryApi(RestApi):
    """The registry half of one MLflow."""

    async def search_registered_models(
        self, *, filter_string: str = "", order_by: Sequence[str] = (), max_results: int = 100, page_token: str = ""
    ) -> Page[RegisteredModel]:
        found = await self._get(
            "2.0/mlflow/registered-models/search",
            **present(
                filter=searchable(filter_string),
                order_by=list(order_by),
                max_results=max_results,
                page_token=page_token,
            ),
        )
        return page_of(found, "registered_models", registered_model_of)

    async def get_registered_model(self, name: str) -> RegisteredModel:
        found = await self._get("2.0/mlflow/registered-models/get", name=name)
        return registered_model_of(self._part(found, "registered_model"))

    async def create_registered_model(
        self, name: str, description: str = "", tags: Mapping[str, str] | None = None
    ) -> None:
        await self._post(
            "registered-models/create", **present(name=name, description=description, tags=pairs(tags or {}))
        )

    async def update_registered_model(self, name: str, description: str) -> None:
        await self._call(
            "PATCH",
            "2.0/mlflow/registered-models/update",
            json={"name": name, "description": description},
            idempotent=True,
        )

    async def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        await self._post("registered-models/set-tag", idempotent=True, name=name, key=key, value=value)

    async def delete_registered_model(self, name: str) -> None:
        """With all its versions, for good."""
        await self._call("DELETE", "2.0/mlflow/registered-models/delete", json={"name": name}, idempotent=False)

    async def set_alias(self, name: str, alias: str, version: str) -> None:
        await self._post("registered-models/alias", idempotent=True, name=name, alias=alias, version=version)

    async def delete_alias(self, name: str, alias: str) -> None:
        await self._call(
            "DELETE", "2.0/mlflow/registered-models/alias", json={"name": name, "alias": alias}, idempotent=True
        )

    async def search_model_versions(
        self, filter_string: str, *, order_by: Sequence[str] = (), max_results: int = 100, page_token: str = ""
    ) -> Page[ModelVersion]:
        """MLflow leaves aliases and model_id out of this answer; `get_model_version` has them."""
        found = await self._get(
            "2.0/mlflow/model-versions/search",
            **present(
                filter=searchable(filter_string),
                order_by=list(order_by),
                max_results=max_results,
                page_token=page_token,
            ),
        )
        return page_of(found, "model_versions", model_version_of)

    async def get_model_version(self, name: str, version: str) -> ModelVersion:
        found = await self._get("2.0/mlflow/model-versions/get", name=name, version=version)
        answered = model_version_of(self._part(found, "model_version"))
        if not (same(answered.name, name) and same(answered.version, version)):
            raise misdirected(self._address, "model version", f"{name} {version}")
        return answered

    async def create_model_version(
        self, name: str, source: str, *, run_id: str, model_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        made = await self._post(
            "model-versions/create",
            **present(
                name=name, source=source, run_id=run_id, model_id=model_id, description=description, tags=pairs(tags)
            ),
        )
        return model_version_of(self._part(made, "model_version"))

    async def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        await self._post("model-versions/set-tag", idempotent=True, name=name, version=version, key=key, value=value)

    async def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        await self._call(
            "DELETE",
            "2.0/mlflow/model-versions/delete-tag",
            json={"name": name, "version": version, "key": key},
            idempotent=True,
        )

    async def update_model_version(self, name: str, version: str, description: str) -> None:
        await self._call(
            "PATCH",
            "2.0/mlflow/model-versions/update",
            json={"name": name, "version": version, "description": description},
            idempotent=True,
        )

    async def transition_stage(self, name: str, version: str, stage: str) -> None:
        """Whoever was in the stage goes to Archived in the same request. MLflow deprecated stages in 2.9."""
        await self._post(
            "model-versions/transition-stage",
            idempotent=True,
            name=name,
            version=version,
            stage=stage,
            archive_existing_versions=True,
        )

    async def delete_model_version(self, name: str, version: str) -> None:
        await self._call(
            "DELETE", "2.0/mlflow/model-versions/delete", json={"name": name, "version": version}, idempotent=False
        )

    async def read_model_version_artifact(self, name: str, version: str, path: str, *, limit: int) -> bytes:
        """First `limit` bytes of a file of a model version, wherever its source is."""
        place = {"name": name, "version": version, "path": path}
        return self._content(await self._first_bytes("/model-versions/get-artifact", place, limit))[:limit]
