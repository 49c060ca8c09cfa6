"""A sweep: one parent run, one nested run a trial, curves sent by the thousand, a table of the best.

    python examples/sweep.py [--experiment sweep] [--trials 8]

Instead of the loop, Hyperopt's `fmin` or Optuna's `study.optimize` can call the objective.
Needs only mcp-server-mlflow; mlflow installs numpy and pandas.
"""

# ruff: noqa: T201 - it prints for a person

from __future__ import annotations

import argparse
import random

import numpy as np

from mcp_server.mlflow_integration import MlflowTracker, get_mlflow_tracker


def main() -> None:
    parser = argparse.ArgumentParser(description="Record a sweep with MLflow.")
    parser.add_argument("--experiment", default="sweep")
    parser.add_argument("--trials", type=int, default=8)
    options = parser.parse_args()

    tracker = get_mlflow_tracker(options.experiment)
    choices = random.Random(0)
    with tracker.start_run("sweep", tags={"trials": options.trials}) as parent:
        for _ in range(options.trials):
            learning_rate = 10 ** choices.uniform(-3, 0)
            objective(tracker, {"learning_rate": learning_rate, "momentum": choices.choice([0.0, 0.9])})

    trials = tracker.search_runs(
        f"tags.mlflow.parentRunId = '{parent}'", order_by=["metrics.loss ASC"], output_format="pandas"
    )
    print(trials[["run_name", "metrics.loss", "params.learning_rate", "params.momentum"]].to_string(index=False))

    best, worst = trials["run_id"].iloc[0], trials["run_id"].iloc[-1]
    for param, values in tracker.compare_runs([best, worst])["params"].items():
        print(f"{param}: best {values['run_1']}, worst {values['run_2']}")


def objective(tracker: MlflowTracker, params: dict[str, float]) -> float:
    """Fit a line by gradient descent; returns the loss."""
    with tracker.start_run(buffer_metrics=True):
        tracker.log_params(params)
        data = np.random.default_rng(0)
        x = data.normal(size=200)
        y = 3 * x + data.normal(scale=0.1, size=200)
        weight, velocity, loss = 0.0, 0.0, float("inf")
        for step in range(60):
            error = weight * x - y
            loss = float((error**2).mean())
            tracker.log_metric("loss", loss, step=step)
            velocity = params["momentum"] * velocity - params["learning_rate"] * float((2 * error * x).mean())
            weight += velocity
        return loss


if __name__ == "__main__":
    main()
