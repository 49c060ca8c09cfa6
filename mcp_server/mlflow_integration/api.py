"""MLflow's REST interface, one typed method per endpoint.

Here, and only here, JSON becomes entities and MLflow's failures become our errors. Batch limits,
NaN strings and MLflow's stand-in for infinity end here too.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast
from urllib.parse import quote

from pydantic_core import from_json

from mcp_server.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    MlflowToolError,
    NotFoundError,
    PermissionDeniedError,
    TrackingServerError,
    UnreachableError,
    UnsupportedError,
)
from mcp_server.mlflow_integration.entities import (
    Artifact,
    Dataset,
    Experiment,
    LoggedModel,
    MetricPoint,
    ModelVersion,
    Page,
    RegisteredModel,
    Run,
)
from mcp_server.mlflow_integration.transport import Method, Params, Reply, Transport
from mcp_server.untrusted import public_text

ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
Json = dict[str, Any]

BULK_INTERVAL_RUNS: Final = 100
"""Runs in one get-history-bulk-interval request. Source: MLflow's MAX_RUNS_GET_METRIC_HISTORY_BULK."""

UPLOAD_LIMIT: Final = 10 * 1024 * 1024
"""Bytes that the server's upload-artifact endpoint takes. Source: MLflow server/handlers.py."""


class MlflowApi:
    """MLflow behind one transport. `address` is what error texts call it; it holds no credentials."""

    def __init__(self, transport: Transport, address: str) -> None:
        self._transport = transport
        self._address = address

    # Experiments

    async def search_experiments(
        self,
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 1_000,
        page_token: str = "",
    ) -> Page[Experiment]:
        body = _present(
            filter=filter_string,
            order_by=list(order_by),
            view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        found = await self._call("POST", "2.0/mlflow/experiments/search", json=body, idempotent=True)
        return _page(found, "experiments", _experiment)

    async def get_experiment(self, experiment_id: str) -> Experiment:
        found = await self._get("2.0/mlflow/experiments/get", experiment_id=experiment_id)
        return _experiment(self._part(found, "experiment"))

    async def get_experiment_by_name(self, name: str) -> Experiment:
        found = await self._get("2.0/mlflow/experiments/get-by-name", experiment_name=name)
        return _experiment(self._part(found, "experiment"))

    async def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Returns: the id of the new experiment. Raises: AlreadyExistsError: also for a deleted one of that name."""
        made = await self._post("experiments/create", name=name, tags=_pairs(tags))
        return self._id(made, "experiment_id")

    async def rename_experiment(self, experiment_id: str, name: str) -> None:
        await self._post("experiments/update", idempotent=True, experiment_id=experiment_id, new_name=name)

    async def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        await self._post(
            "experiments/set-experiment-tag", idempotent=True, experiment_id=experiment_id, key=key, value=value
        )

    async def delete_experiment(self, experiment_id: str) -> None:
        await self._post("experiments/delete", experiment_id=experiment_id)

    async def restore_experiment(self, experiment_id: str) -> None:
        await self._post("experiments/restore", experiment_id=experiment_id)

    # Runs

    async def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int = 100,
        page_token: str = "",
    ) -> Page[Run]:
        """An unknown experiment id is no error to MLflow: resolve ids first."""
        body = _present(
            experiment_ids=list(experiment_ids),
            filter=filter_string,
            order_by=list(order_by),
            run_view_type=view_type,
            max_results=max_results,
            page_token=page_token,
        )
        found = await self._call("POST", "2.0/mlflow/runs/search", json=body, idempotent=True)
        return _page(found, "runs", _run)

    async def get_run(self, run_id: str) -> Run:
        found = await self._get("2.0/mlflow/runs/get", run_id=run_id)
        return _run(self._part(found, "run"))

    async def create_run(self, experiment_id: str, run_name: str, start_time: int, tags: Mapping[str, str]) -> Run:
        made = await self._post(
            "runs/create",
            experiment_id=experiment_id,
            run_name=run_name,
            # MLflow stores 0 when it is left out.
            start_time=start_time,
            tags=_pairs(tags),
        )
        run = _run(self._part(made, "run"))
        if not run.run_id:
            raise self._nonsense()
        return run

    async def update_run(
        self, run_id: str, *, status: str = "", end_time: int | None = None, run_name: str = ""
    ) -> None:
        await self._post(
            "runs/update",
            idempotent=True,
            **_present(run_id=run_id, status=status, end_time=end_time, run_name=run_name),
        )

    async def log_batch(
        self, run_id: str, metrics: Sequence[Json], params: Sequence[Json], tags: Sequence[Json]
    ) -> None:
        """One request; the caller keeps MLflow's limits. Idempotent because every metric carries its time."""
        await self._post(
            "runs/log-batch", idempotent=True, **_present(run_id=run_id, metrics=metrics, params=params, tags=tags)
        )

    async def set_run_tag(self, run_id: str, key: str, value: str) -> None:
        await self._post("runs/set-tag", idempotent=True, run_id=run_id, key=key, value=value)

    async def delete_run_tag(self, run_id: str, key: str) -> None:
        await self._post("runs/delete-tag", run_id=run_id, key=key)

    async def log_inputs(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        inputs = [
            {
                "dataset": _present(name=d.name, digest=d.digest, source_type=d.source_type, source=d.source),
                "tags": _pairs({"mlflow.data.context": d.context} if d.context else {}),
            }
            for d in datasets
        ]
        # MLflow stores an input once, whatever the number of deliveries (same name, digest and run).
        await self._post("runs/log-inputs", idempotent=True, run_id=run_id, datasets=inputs)

    async def delete_run(self, run_id: str) -> None:
        await self._post("runs/delete", run_id=run_id)

    async def restore_run(self, run_id: str) -> None:
        await self._post("runs/restore", run_id=run_id)

    async def metric_history_sample(
        self, run_ids: Sequence[str], key: str, *, max_results: int, start_step: int | None, end_step: int | None
    ) -> dict[str, list[MetricPoint]]:
        """Points of one metric for up to BULK_INTERVAL_RUNS runs, thinned by MLflow to about `max_results` steps each.

        Returns: points by run id, ordered by step, then time; runs without the metric are left out.
        Raises: UnsupportedError: the server is older than MLflow 2.3.
        """
        found = await self._get(
            "2.0/mlflow/metrics/get-history-bulk-interval",
            run_ids=list(run_ids),
            metric_key=key,
            max_results=max_results,
            # MLflow takes both bounds or none.
            **_present(start_step=start_step, end_step=end_step),
        )
        by_run: dict[str, list[MetricPoint]] = {}
        for metric in _list(found, "metrics"):
            by_run.setdefault(metric["run_id"], []).append(_point(metric))
        return by_run

    # Artifacts

    async def list_artifacts(self, run_id: str, path: str = "") -> tuple[Artifact, ...]:
        """One folder of a run's artifacts, all pages of it."""
        files: list[Artifact] = []
        token = ""
        while True:
            found = await self._get("2.0/mlflow/artifacts/list", run_id=run_id, **_present(path=path, page_token=token))
            files += [
                Artifact(path=f["path"], is_dir=bool(f.get("is_dir")), file_size=int(f.get("file_size", 0)))
                for f in _list(found, "files")
            ]
            token = found.get("next_page_token", "")
            if not token:
                return tuple(files)

    async def upload_artifact(self, run_id: str, path: str, content: bytes) -> None:
        """Writes one artifact with the server's own credentials; at most UPLOAD_LIMIT bytes."""
        reply = await self._transport.request(
            "POST",
            "/ajax-api/2.0/mlflow/upload-artifact",
            params={"run_uuid": run_id, "path": path},
            content=content,
            headers={"content-type": "application/octet-stream"},
            idempotent=True,
        )
        if reply.status >= 400:
            raise self._failure(reply)

    async def read_run_artifact(self, run_id: str, path: str, *, limit: int) -> bytes:
        """First `limit` bytes of a run's artifact."""
        return await self._read("/get-artifact", {"run_id": run_id, "path": path}, limit)

    async def read_logged_model_artifact(self, model_id: str, path: str, *, limit: int) -> bytes:
        """First `limit` bytes of a file of a LoggedModel."""
        route = f"/ajax-api/2.0/mlflow/logged-models/{quote(model_id, safe='')}/artifacts/files"
        return await self._read(route, {"artifact_file_path": path}, limit)

    async def read_model_version_artifact(self, name: str, version: str, path: str, *, limit: int) -> bytes:
        """First `limit` bytes of a file of a model version, wherever its source is."""
        return await self._read("/model-versions/get-artifact", {"name": name, "version": version, "path": path}, limit)

    async def _read(self, route: str, params: Params, limit: int) -> bytes:
        reply = await self._transport.request(
            "GET", route, params=params, headers={"range": f"bytes=0-{limit - 1}"}, idempotent=True
        )
        if reply.status >= 400:
            raise self._failure(reply)
        return reply.body[:limit]

    # Models

    async def search_registered_models(
        self, *, filter_string: str = "", order_by: Sequence[str] = (), max_results: int = 100, page_token: str = ""
    ) -> Page[RegisteredModel]:
        found = await self._get(
            "2.0/mlflow/registered-models/search",
            **_present(filter=filter_string, order_by=list(order_by), max_results=max_results, page_token=page_token),
        )
        return _page(found, "registered_models", _registered_model)

    async def get_registered_model(self, name: str) -> RegisteredModel:
        found = await self._get("2.0/mlflow/registered-models/get", name=name)
        return _registered_model(self._part(found, "registered_model"))

    async def create_registered_model(
        self, name: str, description: str = "", tags: Mapping[str, str] | None = None
    ) -> None:
        await self._post(
            "registered-models/create", **_present(name=name, description=description, tags=_pairs(tags or {}))
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
            **_present(filter=filter_string, order_by=list(order_by), max_results=max_results, page_token=page_token),
        )
        return _page(found, "model_versions", _model_version)

    async def get_model_version(self, name: str, version: str) -> ModelVersion:
        found = await self._get("2.0/mlflow/model-versions/get", name=name, version=version)
        return _model_version(self._part(found, "model_version"))

    async def create_model_version(
        self, name: str, source: str, *, run_id: str, model_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        made = await self._post(
            "model-versions/create",
            **_present(
                name=name, source=source, run_id=run_id, model_id=model_id, description=description, tags=_pairs(tags)
            ),
        )
        version = _model_version(self._part(made, "model_version"))
        if not version.version:
            raise self._nonsense()
        return version

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

    async def get_logged_model(self, model_id: str) -> LoggedModel:
        found = await self._get(f"2.0/mlflow/logged-models/{quote(model_id, safe='')}")
        return _logged_model(self._part(found, "model"))

    # The server

    async def version(self) -> str:
        """MLflow's version, such as `3.17.2`."""
        reply = await self._transport.request("GET", "/version", idempotent=True)
        text = reply.body.decode("utf-8", "replace").strip()
        if reply.status >= 400:
            raise self._failure(reply)
        if not text[:1].isdigit() or len(text) > 40:
            raise self._not_mlflow()
        return text

    # Beneath

    async def _get(self, route: str, **params: Any) -> Json:
        return await self._call("GET", route, params=params, idempotent=True)

    async def _post(self, route: str, *, idempotent: bool = False, **body: Any) -> Json:
        return await self._call("POST", f"2.0/mlflow/{route}", json=body, idempotent=idempotent)

    async def _call(
        self, method: Method, route: str, *, params: Params | None = None, json: Json | None = None, idempotent: bool
    ) -> Json:
        reply = await self._transport.request(method, f"/api/{route}", params=params, json=json, idempotent=idempotent)
        if reply.status >= 400:
            raise self._failure(reply)
        found = _json_object(reply.body)
        if found is None:
            raise self._not_mlflow()
        return found

    def _failure(self, reply: Reply) -> MlflowToolError:
        body = _json_object(reply.body) or {}
        code, message = str(body.get("error_code", "")), public_text(str(body.get("message", "")))
        if reply.status in (401, 403) or code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return self._refused(reply.status, message)
        if reply.status == 404 and not code:
            return UnsupportedError(
                f"The MLflow server at {self._address} does not know this request: it is too old for it, "
                "or the address is not the root of an MLflow server. get_server_info shows its version."
            )
        kind = _ERROR_BY_CODE.get(code)
        if kind is not None and not any(sign in message for sign in _STORE_TROUBLE):
            return kind(_reworded(message) or f"MLflow refused the request ({code}).")
        busy = code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED") or reply.status in (429, 503)
        advice = "Try again in a moment." if busy else "The log of that server says more."
        detail = f" ({message})" if message else ""
        return TrackingServerError(
            f"MLflow at {self._address} failed to answer: status {reply.status}{detail}. {advice}"
        )

    def _refused(self, status: int, message: str) -> PermissionDeniedError:
        if status == 401 or "authenticat" in message.lower():
            return PermissionDeniedError(
                f"MLflow at {self._address} wants credentials, or other ones. Set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, where this server is started."
            )
        return PermissionDeniedError(
            f"MLflow at {self._address} does not allow this user to do that. An owner of the experiment or model "
            "can grant it; or start this server with other credentials (MLFLOW_TRACKING_USERNAME)."
        )

    def _not_mlflow(self) -> UnreachableError:
        return UnreachableError(
            f"Something answers at {self._address}, but it is not MLflow's REST interface: a web page, a login "
            "page or another service. Correct MLFLOW_TRACKING_URI."
        )

    def _nonsense(self) -> TrackingServerError:
        return TrackingServerError(f"MLflow at {self._address} said yes but named nothing it made.")

    def _part(self, found: Json, key: str) -> Json:
        part = found.get(key)
        if not isinstance(part, dict):
            raise self._nonsense()
        return cast(Json, part)

    def _id(self, found: Json, key: str) -> str:
        value = str(found.get(key, ""))
        if not value:
            raise self._nonsense()
        return value


_ERROR_BY_CODE: Final[Mapping[str, type[MlflowToolError]]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": AlreadyExistsError,
    "INVALID_PARAMETER_VALUE": InvalidInputError,
    "BAD_REQUEST": InvalidInputError,
    "INVALID_STATE": InvalidInputError,
    "MALFORMED_REQUEST": InvalidInputError,
    "RESOURCE_CONFLICT": ConflictError,
    "FEATURE_DISABLED": UnsupportedError,
    "ENDPOINT_NOT_FOUND": UnsupportedError,
    "NOT_IMPLEMENTED": UnsupportedError,
}
"""MLflow's error codes that the caller can mend. Source: mlflow/exceptions.py; the rest are the server's failures."""

_STORE_TROUBLE: Final = ("QueuePool", "database is locked", "OperationalError")
"""MLflow labels an exhausted pool BAD_REQUEST, as if the caller were wrong (seen with 3.17.2)."""


_CHANGED_PARAM: Final = re.compile(r"'key': '(.*?)', 'old_value': '(.*?)', 'new_value': '(.*?)'")


def _reworded(message: str) -> str:
    """MLflow's refusal, or our sentence where MLflow's speaks of its own insides (wording of 3.17)."""
    if "Changing param values is not allowed" in message and (changed := _CHANGED_PARAM.search(message)):
        key, old, new = changed.groups()
        return (
            f"Param '{key}' is '{old}' and cannot become '{new}': logged params never change. Use another name or run."
        )
    if "page token" in message.lower():
        return "page_token is none that MLflow gave. Pass next_page_token of the page before, unchanged."
    return message


def _present(**fields: Any) -> Json:
    """The fields that are set: MLflow's JSON leaves out what is absent."""
    return {key: value for key, value in fields.items() if value is not None and value != "" and value != []}


def _pairs(values: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _mapping(pairs: Iterable[Json]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}


def _json_object(body: bytes) -> Json | None:
    try:
        value = from_json(body)
    except ValueError:
        return None
    return cast(Json, value) if isinstance(value, dict) else None


def _list(found: Json, key: str) -> list[Json]:
    return cast(list[Json], found.get(key) or [])


def _page(found: Json, key: str, build: Any) -> Page[Any]:
    return Page(tuple(build(item) for item in _list(found, key)), found.get("next_page_token", ""))


def metric_value(value: float | str) -> float:
    """A metric as MLflow sends it: NaN as text, and the largest float for infinity, which MLflow cannot store."""
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) == sys.float_info.max else number


def _point(metric: Json) -> MetricPoint:
    return MetricPoint(int(metric.get("step", 0)), metric_value(metric["value"]), int(metric.get("timestamp", 0)))


def _experiment(e: Json) -> Experiment:
    return Experiment(
        experiment_id=e["experiment_id"],
        name=e.get("name", ""),
        lifecycle_stage=e.get("lifecycle_stage", "active"),
        artifact_location=e.get("artifact_location", ""),
        creation_time=int(e.get("creation_time", 0)),
        last_update_time=int(e.get("last_update_time", 0)),
        tags=_mapping(_list(e, "tags")),
    )


def _run(r: Json) -> Run:
    info, data = r["info"], r.get("data", {})
    tags = _mapping(data.get("tags", ()))
    outputs = cast(Json, r.get("outputs") or {})
    return Run(
        run_id=info.get("run_id") or info.get("run_uuid", ""),
        experiment_id=info.get("experiment_id", ""),
        # Servers before MLflow 2.0 keep the name only as a tag.
        run_name=info.get("run_name") or tags.get("mlflow.runName", ""),
        status=info.get("status", ""),
        start_time=int(info.get("start_time", 0)),
        end_time=int(info.get("end_time", 0)),
        lifecycle_stage=info.get("lifecycle_stage", "active"),
        artifact_uri=info.get("artifact_uri", ""),
        metrics={m["key"]: metric_value(m["value"]) for m in data.get("metrics", ())},
        params=_mapping(data.get("params", ())),
        tags=tags,
        datasets=tuple(_dataset(d) for d in _list(cast(Json, r.get("inputs") or {}), "dataset_inputs")),
        logged_model_ids=tuple(o["model_id"] for o in _list(outputs, "model_outputs")),
    )


def _dataset(d: Json) -> Dataset:
    dataset, tags = d.get("dataset", {}), _mapping(d.get("tags", ()))
    return Dataset(
        name=dataset.get("name", ""),
        digest=dataset.get("digest", ""),
        source_type=dataset.get("source_type", ""),
        source=dataset.get("source", ""),
        context=tags.get("mlflow.data.context", ""),
    )


def _logged_model(m: Json) -> LoggedModel:
    info, data = m.get("info", {}), m.get("data", {})
    return LoggedModel(
        model_id=info.get("model_id", ""),
        name=info.get("name", ""),
        experiment_id=info.get("experiment_id", ""),
        source_run_id=info.get("source_run_id", ""),
        artifact_uri=info.get("artifact_uri", ""),
        status=str(info.get("status", "")),
        creation_time=int(info.get("creation_timestamp_ms", 0)),
        params=_mapping(_list(data, "params")),
        tags=_mapping(_list(info, "tags")),
        metrics={metric["key"]: metric_value(metric["value"]) for metric in _list(data, "metrics")},
    )


def _model_version(v: Json) -> ModelVersion:
    return ModelVersion(
        name=v.get("name", ""),
        version=str(v.get("version", "")),
        run_id=v.get("run_id", ""),
        model_id=v.get("model_id", ""),
        source=v.get("source", ""),
        status=v.get("status", ""),
        stage=v.get("current_stage", ""),
        description=v.get("description", ""),
        creation_time=int(v.get("creation_timestamp", 0)),
        tags=_mapping(_list(v, "tags")),
        aliases=tuple(v.get("aliases", ())),
    )


def _registered_model(m: Json) -> RegisteredModel:
    return RegisteredModel(
        name=m.get("name", ""),
        description=m.get("description", ""),
        creation_time=int(m.get("creation_timestamp", 0)),
        last_update_time=int(m.get("last_updated_timestamp", 0)),
        tags=_mapping(_list(m, "tags")),
        version_by_alias={a["alias"]: str(a["version"]) for a in _list(m, "aliases")},
        latest_versions=tuple(_model_version(v) for v in _list(m, "latest_versions")),
    )
