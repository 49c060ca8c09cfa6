"""Where scripts run: a folder of their own, a new store, MLflow's process-wide settings put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mcp_server.mlflow_integration.tracker import store as stores

# Before any server begins to import it in the background: two threads that import MLflow at once see halves of it.
stores.import_mlflow()


@pytest.fixture(autouse=True, params=["mock", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kind of store: each block runs on both, unless it asks for `server`."""
    kept = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    if request.param == "mock":
        os.environ["MLFLOW_MOCK_MODE"] = "true"
        # Mock trackers of a process share a store; tests must not.
        monkeypatch.setattr(stores, "_mock", None)
        monkeypatch.setattr(stores, "_mock_folder", None)
    else:
        address = request.getfixturevalue("mlflow_server") if request.param == "server" else "sqlite:///mlflow.db"
        os.environ["MLFLOW_TRACKING_URI"] = address
    mlflow = stores.import_mlflow()
    with _process_settings_put_back(mlflow):
        yield request.param
    if request.param == "mock":
        stores._remove_mock_store()
    os.environ.clear()
    os.environ.update(kept)


@contextmanager
def _process_settings_put_back(mlflow: Any) -> Iterator[None]:
    from mlflow.tracking import fluent
    from mlflow.tracking._model_registry import utils as registry
    from mlflow.tracking._tracking_service import utils as tracking

    kept = [
        (module, name, getattr(module, name))
        for module, name in (
            (tracking, "_tracking_uri"),
            (registry, "_registry_uri"),
            (fluent, "_active_experiment_id"),
        )
    ]
    yield
    while mlflow.active_run():
        mlflow.end_run()
    for module, name, value in kept:
        setattr(module, name, value)


@pytest.fixture(autouse=True)
def _no_interpreter_for_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow starts one for every model, 3 s each, to see what it imports; test_tracker has it do so once."""
    models = stores.import_mlflow().models
    monkeypatch.setattr(models, "infer_pip_requirements", lambda *_, fallback=None, **__: fallback)


@pytest.fixture
def iris() -> SimpleNamespace:
    """Train and test halves, and a forest of two trees, in milliseconds."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    features, target = load_iris(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(features, target, test_size=0.3, random_state=0)
    model = RandomForestClassifier(n_estimators=2, max_depth=2, random_state=0).fit(x_train, y_train)
    return SimpleNamespace(
        frame=features.assign(target=target),
        X_train=x_train,
        X_test=x_test,
        y_train=y_train,
        y_test=y_test,
        model=model,
        y_pred=model.predict(x_test),
    )
