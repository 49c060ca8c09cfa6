"""What the pages assume to be there: data, models, files, runs. Each is code that runs before a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Prelude:
    says: str
    """For the table."""
    code: str


MLFLOW: Final = Prelude(
    "`import mlflow`",
    "import mlflow\n",
)

CLIENT: Final = Prelude(
    "`client`",
    "from mlflow.tracking import MlflowClient\nclient = MlflowClient()\n",
)

DATA: Final = Prelude(
    "data",
    """\
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
features, target = load_breast_cancer(return_X_y=True, as_frame=True)
features = features.iloc[:120, :4]
X_train, X_test, y_train, y_test = train_test_split(features, target.iloc[:120], test_size=0.3, random_state=0)
X_new = new_data = X_test
feature_names = list(X_train.columns)
""",
)

FOREST: Final = Prelude(
    "data and a random forest",
    (
        DATA.code
        + """\
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
model = RandomForestClassifier(n_estimators=3, max_depth=2, random_state=0).fit(X_train, y_train)
y_pred = model.predict(X_test)
"""
    ),
)

FILES: Final = Prelude(
    "the files it logs",
    """\
from pathlib import Path
for name in (
    "model.pkl large_model.pkl metrics.json feature_importance.csv confusion_matrix.png learning_curves.png "
    "feature_importance.png model_diagram.png requirements.txt plots/confusion_matrix.png"
).split():
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b"content")
""",
)

NUMBERS: Final = Prelude(
    "numbers such as `accuracy`",
    """\
accuracy = precision = recall = f1 = train_acc = test_acc = 0.9
train_loss, val_loss, loss, value, error, training_time, i = 0.5, 0.6, 0.5, 1.0, 0.1, 12.0, 900
model_config = {"hidden_size": 64, "dropout": 0.3}
final_metrics = {"accuracy": 0.9, "f1": 0.8}
""",
)

TRACKER: Final = Prelude(
    "`tracker`",
    """\
from mcp_server.mlflow_integration import get_mlflow_tracker
tracker = get_mlflow_tracker(experiment_name="my_experiment")
""",
)

IMPORT_TRACKER: Final = Prelude(
    "`get_mlflow_tracker`",
    "from mcp_server.mlflow_integration import get_mlflow_tracker\n",
)

PROJECT: Final = Prelude(
    "the project's own modules, `src/models/mlflow/` as one line each",
    """\
import sys
from pathlib import Path
sys.path.insert(0, "")
Path("src/models/mlflow").mkdir(parents=True)
for name in ("tracking", "registry"):
    Path(f"src/models/mlflow/{name}.py").write_text(f"from mcp_server.mlflow_integration.{name} import *\\n")
Path("src/models/training").mkdir()
Path("src/models/game_prediction").mkdir()
Path("src/models/evaluation.py").write_text(
    "from pathlib import Path\\n"
    "def evaluate_model(model):\\n"
    "    Path('roc.png').write_bytes(b'picture')\\n"
    "    Path('report.txt').write_text('report')\\n"
    "    return {'metrics': {'accuracy': 0.8}, 'plots': ['roc.png'], 'report_path': 'report.txt'}\\n"
)
Path("src/models/training/trainer.py").write_text(
    "class ModelTrainer:\\n"
    "    def __init__(self, model, learning_rate, optimizer):\\n"
    "        pass\\n"
    "    def train(self, train_loader, val_loader, epochs):\\n"
    "        return [{'train_loss': 1 / (epoch + 1), 'val_loss': 2 / (epoch + 1)} for epoch in range(3)]\\n"
)
Path("src/models/game_prediction/basic_model.py").write_text(
    "class BasicGamePredictionModel:\\n"
    "    def __init__(self, config):\\n"
    "        self.config = config\\n"
    "    def get_hyperparameters(self):\\n"
    "        return {'hidden_size': 64}\\n"
    "    def predict(self, data):\\n"
    "        return data\\n"
)
model_config, train_loader, val_loader = {}, [], []
""",
)

TORCH: Final = Prelude(
    "a PyTorch model",
    "import torch\nmodel = torch.nn.Linear(2, 1)\n",
)

TORCH_TRAINING: Final = Prelude(
    "`train_model`",
    """\
from pathlib import Path
Path("src/models/training/__init__.py").write_text(
    "import torch\\n"
    "def train_model(model_type):\\n"
    "    return torch.nn.Linear(2, 1), {'accuracy': 0.9, 'calibration_error': 0.1}\\n"
)
""",
)

TORCH_LOADER: Final = Prelude(
    "`train_loader`",
    """\
import torch
train_loader = torch.utils.data.DataLoader([(torch.rand(784), number % 10) for number in range(64)], batch_size=32)
""",
)


def code(says: str, text: str) -> Prelude:
    """A prelude for one block."""
    return Prelude(says, text)


def arguments(*given: str) -> Prelude:
    """The command line of a script."""
    return Prelude(f"`{' '.join(given)}`" if given else "", f"import sys\nsys.argv = ['script.py', *{list(given)!r}]\n")


def project_model(name: str = "", versions: int = 1, stage: str = "", run_id: str = "", path: str = "model") -> Prelude:
    """A run with a model, and versions of a registered model, in the MLflow that the project's code finds."""
    return Prelude(
        _model_said(name, run_id),
        f"""\
from mcp_server.mlflow_integration import get_mlflow_tracker as _get
from sklearn.linear_model import LogisticRegression
_tracker = _get("preparation")
_model = LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0, 1])
for _number in range({versions}):
    _id = make_run(_tracker.client, _tracker.experiment_id, {run_id!r})
    with _tracker.start_run(run_id=_id) as run_id:
        _tracker.log_model(_model, artifact_path={path!r}, registered_model_name={name or None!r})
if {stage!r}:
    _tracker.client.transition_model_version_stage({name!r}, "1", {stage!r})
""",
    )


def plain_model(name: str = "", versions: int = 1, stage: str = "", run_id: str = "", path: str = "model") -> Prelude:
    """The same with MLflow's own API."""
    return Prelude(
        _model_said(name, run_id),
        f"""\
import mlflow
from sklearn.linear_model import LogisticRegression
_model = LogisticRegression().fit([[0.0] * 4, [1.0] * 4], [0, 1])
for _number in range({versions}):
    with mlflow.start_run(run_id=make_run(mlflow.MlflowClient(), "0", {run_id!r})):
        mlflow.sklearn.log_model(_model, name={path!r}, registered_model_name={name or None!r})
        run_id = mlflow.active_run().info.run_id
if {stage!r}:
    mlflow.MlflowClient().transition_model_version_stage({name!r}, "1", {stage!r})
""",
    )


def project_runs(experiment: str, ids: Sequence[str] = ("", "")) -> Prelude:
    """Two runs that differ in a param and in their metrics, where the project's code finds them."""
    tracker = "from mcp_server.mlflow_integration import get_mlflow_tracker as _get"
    return _two_runs(f"{tracker}\nclient = _get({experiment!r}).client", experiment, ids)


def plain_runs(experiment: str, address: str = "") -> Prelude:
    """The same with MLflow's own API, on the server that the block names in its text if it does."""
    client = f"client = _mlflow.MlflowClient({address or None!r})"
    return _two_runs(f"import mlflow as _mlflow\n{client}", experiment, ("", ""))


def _model_said(name: str, run_id: str) -> str:
    run = f"a run `{run_id}` with a model" if run_id else "a run with a model"
    return f"{run}, registered as `{name}`" if name else run


def _two_runs(client: str, experiment: str, ids: Sequence[str]) -> Prelude:
    named = " and ".join(f"`{one}`" for one in ids if one)
    return Prelude(
        f"two runs{' ' + named if named else ''} in `{experiment}`",
        f"""\
{client}
_found = client.get_experiment_by_name({experiment!r})
exp_id = _found.experiment_id if _found else client.create_experiment({experiment!r})
for _accuracy, _id in ((0.91, {ids[0]!r}), (0.95, {ids[1]!r})):
    run_id = make_run(client, exp_id, _id)
    client.log_param(run_id, "model_type", f"forest-{{_accuracy}}")
    client.log_metric(run_id, "accuracy", _accuracy)
    client.log_metric(run_id, "loss", 1 - _accuracy)
    client.set_terminated(run_id)
""",
    )
