"""A training that an agent looks on: `python training_script.py <experiment>`; goes on when a line comes on stdin."""

from __future__ import annotations

import sys

from sklearn.linear_model import LogisticRegression

from mcp_server.mlflow_integration import MlflowTracker, get_mlflow_tracker, load_model_from_registry


def main(experiment: str) -> None:
    tracker = get_mlflow_tracker(experiment)
    train(tracker, "weak", 0.80)
    train(tracker, "strong", 0.95)

    with tracker.start_run("unfinished") as run_id:
        tracker.log_params({"C": 0.5})
        tracker.log_metric("accuracy", 0.85, step=1)
        wait_after(run_id)
        tracker.log_metric("accuracy", 0.90, step=2)
    wait_after("finished")

    model = load_model_from_registry(experiment, stage="Production")
    print(model.metadata.run_id, model.predict([[0.0], [1.0]]), flush=True)


def train(tracker: MlflowTracker, name: str, accuracy: float) -> None:
    with tracker.start_run(name):
        tracker.log_params({"C": accuracy})
        tracker.log_metric("accuracy", accuracy)
        model = LogisticRegression(C=100).fit([[0.0], [1.0]], [0, 1])
        tracker.log_model(model, "model", pip_requirements=["scikit-learn"])


def wait_after(said: str) -> None:
    print(said, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
