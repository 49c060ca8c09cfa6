"""The demo's training script: three scikit-learn classifiers of handwritten digits.

It logs through the Python API to the MLflow that its environment names, into the experiment given as its only
argument. Progress goes to stdout as JSON lines; what libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

EPOCHS: Final = 40
"""Points of every curve: passes over the data, or trees per digit."""

SEED: Final = 0


LEARNING_RATES: Final = {"linear": 0.05, "boosted": 0.5, "network": 0.01}
"""One run each. The network's is high enough to overfit, which makes a curve worth reading."""


@dataclass(frozen=True, slots=True)
class _Split:
    images: Any
    """Rows of 64 grey values from 0 to 1."""
    digits: Any


def main() -> None:
    """Trains and logs all models; ends with a traceback on stderr if one fails."""
    progress = os.fdopen(os.dup(1), "w", buffering=1)
    # MLflow and the libraries below it print; their text must not mix with the lines of progress.
    os.dup2(2, 1)
    from mcp_server.mlflow_integration import get_mlflow_tracker

    tracker = get_mlflow_tracker(sys.argv[1])
    sklearn = import_module("sklearn")
    training, validation, test = _digits()
    for run_name, learning_rate in LEARNING_RATES.items():
        model = _model(run_name, learning_rate)
        params = {"model": type(model).__name__, "learning_rate": learning_rate, "epochs": EPOCHS}
        with tracker.start_run(run_name, tags={"dataset": "digits"}) as run_id:
            tracker.log_params(params)
            for epoch, losses in enumerate(_losses(model, training, validation)):
                tracker.log_metrics(losses, step=epoch)
                print(json.dumps({"run": run_name, "epoch": epoch + 1}), file=progress)
            accuracy = float(model.score(test.images, test.digits))
            tracker.log_metric("accuracy", accuracy)
            # Without requirements MLflow loads the model again to find them, which takes longer than training it.
            tracker.log_model(model, "model", pip_requirements=[f"scikit-learn=={sklearn.__version__}"])
        print(json.dumps({"run": run_name, "run_id": run_id, "accuracy": accuracy}), file=progress)


def _digits() -> tuple[_Split, _Split, _Split]:
    """Training, validation and test images: 60, 20 and 20 % of the 1,797, with equal shares of every digit."""
    split: Any = import_module("sklearn.model_selection").train_test_split
    images, digits = import_module("sklearn.datasets").load_digits(return_X_y=True)
    images = images / 16
    some, test_images, rest, test_digits = split(images, digits, test_size=0.2, stratify=digits, random_state=SEED)
    training_images, validation_images, training_digits, validation_digits = split(
        some, rest, test_size=0.25, stratify=rest, random_state=SEED
    )
    return (
        _Split(training_images, training_digits),
        _Split(validation_images, validation_digits),
        _Split(test_images, test_digits),
    )


def _model(run_name: str, learning_rate: float) -> Any:
    if run_name == "linear":
        sgd: Any = import_module("sklearn.linear_model").SGDClassifier
        return sgd(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=SEED)
    if run_name == "boosted":
        boosting: Any = import_module("sklearn.ensemble").GradientBoostingClassifier
        return boosting(learning_rate=learning_rate, n_estimators=EPOCHS, max_depth=2, subsample=0.5, random_state=SEED)
    network: Any = import_module("sklearn.neural_network").MLPClassifier
    return network(learning_rate_init=learning_rate, hidden_layer_sizes=(64,), random_state=SEED)


def _losses(model: Any, training: _Split, validation: _Split) -> Iterator[dict[str, float]]:
    """Fits the model and yields the log losses (nats) after every epoch."""
    log_loss: Any = import_module("sklearn.metrics").log_loss
    for on_training, on_validation in _probabilities(model, training, validation):
        yield {
            "train_loss": float(log_loss(training.digits, on_training)),
            "val_loss": float(log_loss(validation.digits, on_validation)),
        }


def _probabilities(model: Any, training: _Split, validation: _Split) -> Iterator[tuple[Any, Any]]:
    if not hasattr(model, "partial_fit"):
        model.fit(training.images, training.digits)
        yield from zip(
            model.staged_predict_proba(training.images), model.staged_predict_proba(validation.images), strict=True
        )
        return
    for _ in range(EPOCHS):
        model.partial_fit(training.images, training.digits, classes=range(10))
        yield model.predict_proba(training.images), model.predict_proba(validation.images)


if __name__ == "__main__":
    main()
