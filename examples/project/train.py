"""Train a forest inside an MLflow project: one run, the one that `mlflow run` creates.

    cd examples/project
    mlflow run . --env-manager local -P max_depth=3 --experiment-name iris

`python train.py 100 10` works as well. Needs scikit-learn in addition to mcp-server-mlflow.
"""

# ruff: noqa: T201 - it prints for a person

from __future__ import annotations

import sys

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from mcp_server.mlflow_integration import get_mlflow_tracker


def main(n_estimators: int, max_depth: int) -> None:
    features, target = load_iris(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(features, target, random_state=0)
    tracker = get_mlflow_tracker()
    with tracker.start_run() as run_id:
        model = RandomForestClassifier(n_estimators=n_estimators, max_depth=max_depth, random_state=0)
        model.fit(x_train, y_train)
        # `mlflow run` logs the params of the entry point itself.
        tracker.log_metric("accuracy", model.score(x_test, y_test))
        tracker.log_model(model, "model", registered_model_name="iris_classifier")
    print(f"Run {run_id} in experiment {tracker.experiment_name}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ("100", "10")))
