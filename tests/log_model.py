"""Run by the tests: logs scikit-learn models in one run, as a training script would; prints the id of the run."""

import sys

import mlflow
from sklearn.linear_model import LogisticRegression

uri, accuracy, *names = sys.argv[1:]
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("trained")
with mlflow.start_run(run_name="trained") as run:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    mlflow.log_metric("accuracy", float(accuracy))
    mlflow.log_param("C", 1.0)
    for name in names:
        mlflow.sklearn.log_model(model, name=name)
print(run.info.run_id)
