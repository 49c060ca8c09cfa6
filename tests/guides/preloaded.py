"""What the fork server imports once, so that a new process for a block costs milliseconds."""

import os

for _name in [name for name in os.environ if name.startswith("MLFLOW_")]:
    del os.environ[_name]
os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "agg", "GIT_PYTHON_REFRESH": "quiet"})

import matplotlib.pyplot  # noqa: E402, F401
import mlflow.pyfunc  # noqa: E402
import mlflow.sklearn  # noqa: E402
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402, F401
import sklearn.ensemble  # noqa: E402, F401
import skops.io  # noqa: E402, F401
