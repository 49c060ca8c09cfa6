"""Logs scikit-learn models in one run, as a training script would; also a script, which prints the id of the run."""

from __future__ import annotations

import sys
import warnings


def log_models(uri: str, accuracy: float, names: tuple[str, ...], labels: tuple[int, int] = (0, 1)) -> str:
    """Id of a run in the experiment `trained` that logged a small model under each name.

    The models predict the two labels for [[0.0], [1.0]].
    """
    import mlflow
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment("trained")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about saving models.
        with mlflow.start_run(run_name="trained") as run:
            model = LogisticRegression().fit([[0.0], [1.0]], list(labels))
            mlflow.log_metric("accuracy", accuracy)
            mlflow.log_param("C", 1.0)
            for name in names:
                # Named, because MLflow would start a process to find them out.
                mlflow.sklearn.log_model(model, name=name, pip_requirements=["scikit-learn", "cloudpickle"])
    return run.info.run_id


if __name__ == "__main__":
    uri, accuracy, *names = sys.argv[1:]
    print(log_models(uri, float(accuracy), tuple(names)))
