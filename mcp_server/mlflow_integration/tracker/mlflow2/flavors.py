"""How the flavors of MLflow (`mlflow.sklearn`, `mlflow.pytorch`, ...) save, log and load models."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mcp_server.mlflow_integration.tracker.mlflow2.adaptations import (
    MODEL_NAME,
    PICKLED_PYTORCH,
    PYFUNC_MODEL,
    RENAMED_ARGUMENT,
    TENSORFLOW_EVERY_N_ITER,
    TRUSTED_TYPES,
    note,
)
from mcp_server.mlflow_integration.tracker.mlflow2.model_uris import with_model_found
from mcp_server.mlflow_integration.tracker.model_logging import model_name, python_model, types_to_trust

_RENAMED: Final[Mapping[str, str | None]] = {
    "code_path": "code_paths",
    "requirements_file": "pip_requirements",
    "example_no_conversion": None,
}
"""Arguments of MLflow 2 to those of MLflow 3; None: it is left out."""

Function = Callable[..., Any]

_format_is_free: ContextVar[bool] = ContextVar("format_is_free", default=False)
"""True inside a `log_model` to which the script gave no serialization format."""


def is_flavor(module: str) -> bool:
    """Whether a module may be a flavor: they are the packages directly below `mlflow`."""
    return re.fullmatch(r"mlflow\.[a-z]\w*", module) is not None


def adapt_flavor(module: ModuleType) -> None:
    """Replace the functions of a module, if it is a flavor."""
    saves: Function | None = getattr(module, "save_model", None)
    if saves is not None:
        saves = _with_renamed_arguments(saves)
        if _has_free_format(saves) and module.__name__ == "mlflow.pytorch":
            saves = _with_pickle(saves)
        elif _has_free_format(saves) and "skops_trusted_types" in inspect.signature(saves).parameters:
            saves = _with_trusted_types(saves)
        _set(module, "save_model", saves)
    logs: Function | None = getattr(module, "log_model", None)
    if logs is not None:
        logs = _with_renamed_arguments(logs)
        if _has_free_format(logs):
            logs = _noting_free_format(logs)
        _set(module, "log_model", _with_model_first(logs) if module.__name__ == "mlflow.pyfunc" else logs)
    for name in ("load_model", "download_artifacts"):
        if callable(load := getattr(module, name, None)):
            _set(module, name, with_model_found(load))
    if module.__name__ == "mlflow.tensorflow":
        _set(module, "autolog", _without_every_n_iter(module.autolog))


def adapt_model_class() -> None:
    """Adapts names of models for all flavors at once: every `log_model` calls `Model.log`."""
    models: Any = import_module("mlflow.models")
    log: Any = models.Model.log.__func__

    @wraps(log)
    def log_under_allowed_name(cls: Any, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(log).bind_partial(cls, *args, **kwargs)
        for argument in ("artifact_path", "name"):
            given = bound.arguments.get(argument)
            if isinstance(given, str) and given != (allowed := model_name(given)):
                note(MODEL_NAME)
                bound.arguments[argument] = allowed
        return log(*bound.args, **bound.kwargs)

    models.Model.log = classmethod(log_under_allowed_name)
    load: Any = models.Model.load.__func__

    @wraps(load)
    def load_from_anywhere(cls: Any, path: str) -> Any:
        return with_model_found(partial(load, cls))(path)

    models.Model.load = classmethod(load_from_anywhere)
    models.get_model_info = with_model_found(models.get_model_info)


def _set(module: ModuleType, name: str, function: Function) -> None:
    setattr(module, name, function)


def _with_renamed_arguments(function: Function) -> Function:
    known = inspect.signature(function).parameters

    @wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        for before in [name for name in kwargs if name in _RENAMED and name not in known]:
            note(RENAMED_ARGUMENT)
            value, now = kwargs.pop(before), _RENAMED[before]
            if now is not None and value is not None and now in known:
                kwargs.setdefault(now, value)
        return function(*args, **kwargs)

    return renamed


def _noting_free_format(log_model: Function) -> Function:
    """MLflow's `log_model` passes its own default to `save_model`, as if the script had chosen it."""
    signature = inspect.signature(log_model)

    @wraps(log_model)
    def log(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        token = _format_is_free.set(not (given.get("serialization_format") or given.get("export_model")))
        try:
            return log_model(*args, **kwargs)
        finally:
            _format_is_free.reset(token)

    return log


def _with_trusted_types(save_model: Function) -> Function:
    signature = inspect.signature(save_model)

    @wraps(save_model)
    def save(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        is_free = _format_is_free.get() or not given.get("serialization_format")
        if given.get("serialization_format") not in (None, "skops") or given.get("skops_trusted_types"):
            return save_model(*args, **kwargs)
        types = types_to_trust(next(iter(given.values())))
        if types is None and is_free:
            note(TRUSTED_TYPES)
            return save_model(*args, **{**kwargs, "serialization_format": "cloudpickle"})
        if types:
            note(TRUSTED_TYPES)
            return save_model(*args, **{**kwargs, "skops_trusted_types": types})
        return save_model(*args, **kwargs)

    return save


def _with_pickle(save_model: Function) -> Function:
    signature = inspect.signature(save_model)

    @wraps(save_model)
    def save(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        chosen = given.get("serialization_format") or given.get("export_model")
        if chosen and not _format_is_free.get():
            return save_model(*args, **kwargs)
        if given.get("input_example") is not None:
            path = Path(given["path"])
            is_new = not path.exists()
            try:
                return save_model(*args, **kwargs)
            except Exception:
                # torch.export raises whatever the code of the model runs into when it is traced.
                if not is_new:
                    raise
                shutil.rmtree(path, ignore_errors=True)
        note(PICKLED_PYTORCH)
        return save_model(*args, **{**kwargs, "serialization_format": "pickle"})

    return save


def _has_free_format(function: Function) -> bool:
    """Whether MLflow chooses how to serialize, in a way that needs help: before 3.12 the default was to pickle."""
    parameter = inspect.signature(function).parameters.get("serialization_format")
    return parameter is not None and parameter.default in (None, "skops", "pt2")


def _with_model_first(log_model: Function) -> Function:
    @wraps(log_model)
    def log(*args: Any, **kwargs: Any) -> Any:
        if args and not isinstance(args[0], str) and args[0] is not None:
            note(PYFUNC_MODEL)
            kwargs["python_model"], args = python_model(args[0]), args[1:]
        return log_model(*args, **kwargs)

    return log


def _without_every_n_iter(autolog: Function) -> Function:
    known = inspect.signature(autolog).parameters

    @wraps(autolog)
    def start(*args: Any, **kwargs: Any) -> Any:
        if "every_n_iter" in kwargs and "every_n_iter" not in known:
            note(TENSORFLOW_EVERY_N_ITER)
            del kwargs["every_n_iter"]
        return autolog(*args, **kwargs)

    return start
