"""Models as MLflow's flavors write them: which flavor, with which options, and where they are found again."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from mcp_server.errors import InvalidInputError, NotFoundError
from mcp_server.mlflow_integration.tracker import models_in_artifacts
from mcp_server.mlflow_integration.tracker.active_run import as_active_run
from mcp_server.mlflow_integration.tracker.server_probe import is_before_3
from mcp_server.mlflow_integration.tracker.store import Store, import_mlflow
from mcp_server.suggestions import did_you_mean

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

_FLAVOR_OF: Final = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "pytorch",
    "keras": "tensorflow",
    "tensorflow": "tensorflow",
    "statsmodels": "statsmodels",
    "transformers": "transformers",
    "sentence_transformers": "sentence_transformers",
    "spacy": "spacy",
    "prophet": "prophet",
}
"""Top-level package of a model's class, or of the nearest base class, to the module under `mlflow`."""

_RUN_MODEL: Final = re.compile(r"runs:/(?P<run_id>[^/]+)/(?P<path>.+)")


def log_model(
    store: Store,
    run: Run,
    model: Any,
    name: str,
    *,
    flavor: str | None,
    options: Mapping[str, Any],
) -> ModelInfo:
    """Log a model to a run with the flavor that fits it; options are those of the flavor's own `log_model`.

    Raises: InvalidInputError: no flavor fits. What the flavor raises.
    """
    chosen = flavor.removeprefix("mlflow.") if flavor else flavor_of(model)
    import_mlflow()
    module = import_module(f"mlflow.{chosen}")
    if chosen == "pyfunc":
        arguments: dict[str, Any] = {"python_model": python_model(model), **options}
    else:
        first = next(iter(inspect.signature(module.log_model).parameters))
        arguments = {first: model, **_defaults(module, chosen, model, options), **options}
    with as_active_run(store, run, exclusive=True):
        if is_before_3(store.server_version):
            return models_in_artifacts.log(store.client(), run, module, name.strip("/"), arguments)
        return module.log_model(**arguments, name=model_name(name))


def flavor_of(model: Any) -> str:
    """The module under `mlflow` that logs such a model; `pyfunc` for whatever has a `predict` or can be called.

    Raises: InvalidInputError: neither.
    """
    for base in type(model).__mro__:
        if flavor := _FLAVOR_OF.get(base.__module__.partition(".")[0]):
            return flavor
    if callable(getattr(model, "predict", None)) or callable(model):
        return "pyfunc"
    raise InvalidInputError(
        f"No MLflow flavor is known for a {type(model).__name__}, and it has no `predict`. "
        "Give flavor=, such as 'sklearn', or log the file with log_artifact."
    )


def native_flavor(model_uri: str) -> str:
    """The module under `mlflow` that loads the model as it was logged.

    Raises: InvalidInputError: it is a custom model: what was logged is Python code, which only pyfunc loads.
    """
    flavors: dict[str, Any] = import_module("mlflow.models").get_model_info(model_uri).flavors
    for flavor in flavors:
        if flavor != "python_function" and find_spec(f"mlflow.{flavor}") is not None:
            return flavor
    raise InvalidInputError(f"{model_uri} is a custom model without a native form: load it with flavor='pyfunc'.")


def model_name(path: str) -> str:
    """The name under which MLflow 3 keeps a model that was logged to a path: `models/churn` is `models-churn`.

    MLflow 2 logged models to folders of the run (`artifact_path=`); names may have none of `/ : . % " '`.
    """
    return re.sub(r"[/:.%\"']+", "-", path.strip("/"))


def register(store: Store, model_uri: str, name: str, tags: Mapping[str, Any] | None = None) -> ModelVersion:
    """Make a version of a registered model, and the registered model itself if it is new.

    Raises: NotFoundError: the run of a `runs:/` URI has no such model; nothing was registered.
    """
    uri = _resolved(store, model_uri)
    of_run = _RUN_MODEL.fullmatch(uri)
    if of_run and is_before_3(store.server_version):
        path = of_run["path"].strip("/")
        return models_in_artifacts.register(store.client(), of_run["run_id"], path, name, tags)
    mlflow = import_mlflow()
    with as_active_run(store, exclusive=True):
        return mlflow.register_model(uri, name, tags=dict(tags or {}) or None)


def logged_model(client: Any, run_id: str, path: str) -> LoggedModel | None:
    """The newest model that the run logged under this name, or under the path that MLflow 2 would have kept it in."""
    return next((model for model in reversed(_logged_models(client, run_id)) if model.name in _names_of(path)), None)


def _logged_models(client: Any, run_id: str) -> list[LoggedModel]:
    run = client.get_run(run_id)
    outputs: list[Any] = run.outputs.model_outputs if run.outputs else []
    return [client.get_logged_model(output.model_id) for output in sorted(outputs, key=lambda output: output.step)]


def _names_of(path: str) -> tuple[str, str]:
    return path.strip("/"), model_name(path)


def _resolved(store: Store, model_uri: str) -> str:
    """`models:/m-...` of the logged model that a `runs:/` URI means; every other URI as it is.

    MLflow does the same, but only after it has made the registered model, which would stay behind empty.
    """
    match = _RUN_MODEL.fullmatch(model_uri)
    if match is None:
        return model_uri
    client: Any = store.client()
    run_id, path = match["run_id"], match["path"].strip("/")
    found = logged_model(client, run_id, path)
    if found is not None:
        return f"models:/{found.model_id}"
    # MLflow 2 kept models among the artifacts of the run.
    if models_in_artifacts.exists(client, run_id, path):
        return model_uri
    names = {str(model.name) for model in _logged_models(client, run_id)}
    listed = f"It logged: {', '.join(sorted(names))}." if names else "It logged none; use log_model(model, name=...)."
    raise NotFoundError(
        f"Run {run_id} has no model '{path}', so nothing was registered.{did_you_mean(path, names)} {listed}"
    )


def _defaults(module: ModuleType, flavor: str, model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without which MLflow 3 does not log what MLflow 2 logged."""
    known = inspect.signature(module.log_model).parameters
    if "serialization_format" in options or "serialization_format" not in known:
        return {}
    if flavor == "pytorch" and "input_example" not in options:
        # The default, pt2, traces the model with an example.
        return {"serialization_format": "pickle"}
    if flavor == "sklearn" and "skops_trusted_types" in known and "skops_trusted_types" not in options:
        types = types_to_trust(model)
        return {"serialization_format": "cloudpickle"} if types is None else {"skops_trusted_types": types}
    return {}


def types_to_trust(model: Any) -> list[str] | None:
    """Types that skops does not trust by itself: every forest has one. The model is the caller's own, in memory.

    Loading trusts these and no others, which is stricter than a pickle. None: skops cannot write or read the model.
    """
    skops: Any = import_module("skops.io")
    try:
        written = skops.dumps(model)
        types = skops.get_untrusted_types(data=written)
        skops.loads(written, trusted=types)
    except Exception:  # It raises whatever the classes of the model raise; the flavor meets the same.
        return None
    return types


def python_model(model: Any) -> Any:
    python_model: Any = import_module("mlflow.pyfunc").PythonModel
    if isinstance(model, python_model):
        return model
    predict_with = getattr(model, "predict", model)

    def predict(self: Any, context: Any, model_input: Any, params: Any = None) -> Any:
        return predict_with(model_input)

    predict.__annotations__.clear()  # MLflow would take them for a schema and warn about it.
    # A class made here is pickled by value: whoever loads the model does not need this package.
    return type("Predicts", (python_model,), {"predict": predict, "_skip_type_hint_validation": True})()
