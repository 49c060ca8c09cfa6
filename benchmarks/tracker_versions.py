"""Drives the Python API against `mlflow server` of older versions, with the MLflow that is installed here.

    python benchmarks/tracker_versions.py [--servers FOLDER] [VERSION ...]

FOLDER holds one virtual environment for each version and is filled with pip where one is missing. Each job
prints "yes", or the sentence that a training script sees.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server_versions import environment_of, server

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow imports every model in another interpreter to see what it needs: seconds that say nothing of the server.
    "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
}

VERSIONS = ("2.8.1", "2.9.2", "2.22.5")


def record(tracker: Any, _: str) -> None:
    with tracker.start_run("one", tags={"team": "growth"}, buffer_metrics=True):
        tracker.log_params({"lr": 0.1, "depth": 3})
        for step in range(1_500):
            tracker.log_metric("loss", 1 / (step + 1), step=step)
    [run] = tracker.search_runs("params.lr = '0.1' and tags.team = 'growth'")
    assert run["status"] == "FINISHED" and len(tracker.get_metric_history(run["run_id"], "loss")) == 1_500


def artifacts(tracker: Any, run_id: str) -> None:
    tracker.log_text("notes", "notes/one.txt", run_id=run_id)
    tracker.log_dict({"a": 1}, "config.yaml", run_id=run_id)
    path = tracker.client.download_artifacts(run_id, "notes/one.txt")
    assert Path(path).read_text() == "notes"


def compare(tracker: Any, run_id: str) -> None:
    with tracker.start_run("other") as other:
        tracker.log_param("lr", 0.2)
    tracker.log_param("lr", 0.1, run_id=run_id)
    assert tracker.compare_runs([run_id, other])["params"]["lr"] == {"run_1": "0.1", "run_2": "0.2"}


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=2, random_state=0).fit([[0.0], [1.0]], [0, 1])


def log_model(tracker: Any, run_id: str) -> None:
    with_mlflow(tracker, tracker.log_model(_forest(), "models/forest", run_id=run_id).model_uri)


def with_mlflow(tracker: Any, uri: str) -> None:
    import mlflow

    mlflow.set_tracking_uri(tracker.tracking_uri)
    assert list(mlflow.pyfunc.load_model(uri).predict([[1.0]])) == [1]


def log_and_register(tracker: Any, run_id: str) -> None:
    tracker.log_model(_forest(), "second", registered_model_name="forest", run_id=run_id)
    assert tracker.client.get_registered_model("forest")


def register(tracker: Any, run_id: str) -> None:
    version = tracker.register_model(f"runs:/{run_id}/models/forest", "forest", tags={"stage": "new"})
    assert version.run_id == run_id


def registry(_: Any, run_id: str) -> None:
    from mcp_server.mlflow_integration import registry as functions

    functions.register_model_from_run(run_id, "forest", "models/forest")
    newest = functions.get_latest_model_version("forest")
    functions.transition_model_stage("forest", newest.version, "Production")
    assert functions.list_model_versions_with_stages("forest", ["Production"])
    assert list(functions.load_model_from_registry("forest", stage="Production").predict([[1.0]])) == [1]
    assert functions.load_model_from_registry("forest", version=newest.version, flavor="native").n_estimators == 2


def aliases(tracker: Any, _: str) -> None:
    from mcp_server.mlflow_integration.registry import load_model_from_registry

    tracker.client.set_registered_model_alias("forest", "champion", "1")
    assert list(load_model_from_registry("forest", alias="champion").predict([[1.0]])) == [1]


def plain_mlflow(tracker: Any, _: str) -> None:
    """What a script does with MLflow's own API after `setup_mlflow_tracking`."""
    import mlflow

    from mcp_server.mlflow_integration.tracking import setup_mlflow_tracking

    setup_mlflow_tracking("plain")
    with mlflow.start_run():
        mlflow.log_metric("accuracy", 0.9)
        mlflow.sklearn.log_model(_forest(), name="model", serialization_format="cloudpickle")


def autolog(tracker: Any, _: str) -> None:
    import mlflow

    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with tracker.start_run("autolog") as run_id:
            _forest()
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert tracker.get_run(run_id)["params"]["n_estimators"] == "2"


JOBS: dict[str, Callable[[Any, str], None]] = {
    "runs, params, metrics": record,
    "artifacts": artifacts,
    "compare": compare,
    "log_model": log_model,
    "log_model, registered": log_and_register,
    "register_model": register,
    "registry functions, stages": registry,
    "aliases": aliases,
    "autologging": autolog,
    "mlflow's own log_model": plain_mlflow,
}


def drive(address: str) -> None:
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_TRACKING_URI"] = address
    from mcp_server.mlflow_integration import get_mlflow_tracker

    tracker = get_mlflow_tracker("churn")
    with tracker.start_run("given") as run_id:
        pass
    for job, run in JOBS.items():
        try:
            run(tracker, run_id)
            outcome = "yes"
        except Exception as error:  # What the script sees is the measurement.
            outcome = f"{type(error).__name__}: {' '.join(str(error).split())}".replace(address, "HOST")
        print(f"  {job}: {outcome[:600]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=Path, default=Path(tempfile.gettempdir()) / "mlflow-servers")
    parser.add_argument("versions", nargs="*", default=list(VERSIONS))
    chosen = parser.parse_args()
    import mlflow

    print(f"MLflow {mlflow.__version__} here, Python {sys.version.split()[0]}")
    for version in chosen.versions:
        python = environment_of(version, chosen.servers)
        print(f"server {version}" + (f": {python}" if isinstance(python, str) else ""), flush=True)
        if isinstance(python, str):
            continue
        with server(python) as address:
            drive(address)


if __name__ == "__main__":
    main()
