"""Train a classifier and record it with MLflow: params, a curve, a figure, the model, a registered version.

    python examples/train_sklearn.py [--experiment iris] [--depth 3]

It writes to the MLflow that the MCP server finds in the same folder, so an agent sees the run while it is going on.
Needs scikit-learn and matplotlib in addition to mcp-server-mlflow; MLFLOW_MOCK_MODE=true leaves no trace.
"""

# ruff: noqa: T201 - it prints for a person

from __future__ import annotations

import argparse

import matplotlib.pyplot as plt
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split

from mcp_server.mlflow_integration import get_mlflow_tracker


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classifier and record it with MLflow.")
    parser.add_argument("--experiment", default="iris")
    parser.add_argument("--depth", type=int, default=3)
    options = parser.parse_args()

    features, target = load_iris(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(features, target, random_state=0)
    tracker = get_mlflow_tracker(options.experiment)

    with tracker.start_run(f"boosting-depth-{options.depth}", tags={"dataset": "iris"}) as run_id:
        model = GradientBoostingClassifier(n_estimators=40, max_depth=options.depth, subsample=0.7, random_state=0)
        tracker.log_params(model.get_params())
        model.fit(x_train, y_train)

        for step, probabilities in enumerate(model.staged_predict_proba(x_test)):
            tracker.log_metric("val_loss", log_loss(y_test, probabilities), step=step)
        accuracy = model.score(x_test, y_test)
        tracker.log_metrics({"accuracy": accuracy, "train_accuracy": model.score(x_train, y_train)})

        figure, axes = plt.subplots(figsize=(4, 4))
        ConfusionMatrixDisplay.from_estimator(model, x_test, y_test, ax=axes)
        tracker.log_figure(figure, "confusion_matrix.png")
        tracker.log_model(model, "model")

    version = tracker.register_model(f"runs:/{run_id}/model", "iris-classifier", tags={"trained_by": "example"})
    print(f"Run {run_id} in {tracker.tracking_uri}: accuracy {accuracy:.3f}")
    print(f"Its model is version {version.version} of iris-classifier.")


if __name__ == "__main__":
    main()
