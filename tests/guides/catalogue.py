"""How each Python block is run: what it is given, with which MLflow, what it needs, and what it must have done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from . import preludes as given
from .preludes import (
    CLIENT,
    DATA,
    FILES,
    FOREST,
    IMPORT_TRACKER,
    MLFLOW,
    NUMBERS,
    PROJECT,
    TORCH,
    TORCH_LOADER,
    TORCH_TRAINING,
    TRACKER,
    Prelude,
    arguments,
    plain_model,
    plain_runs,
    project_model,
    project_runs,
)

MOCK: Final = "mock"
"""MLFLOW_MOCK_MODE=true."""
NOTHING: Final = "no configuration"
"""An empty folder and no variable."""
CONFIG: Final = "config/mlflow.yaml"
"""Guide 0's own file, and the server that it names."""
SERVER: Final = "server"
"""MLFLOW_TRACKING_URI as the guide sets it, and a server of that name and port."""
NAMED: Final = "server named in the block"
"""No variable; a server at the address in the text."""

PROJECTS: Final = (NOTHING, MOCK, CONFIG)
TRACKERS: Final = (MOCK, NOTHING, SERVER)
PLAIN: Final = (NOTHING, SERVER)
LOCAL: Final = (NOTHING, MOCK)


@dataclass(frozen=True)
class Entry:
    preludes: tuple[Prelude, ...] = ()
    settings: tuple[str, ...] = PLAIN
    check: str = ""
    """Code that runs after the block, with its names, and raises if the block did not do what the page says."""
    needs: tuple[str, ...] = ()
    """Packages beside this one and what MLflow brings."""
    substitutions: dict[str, str] = field(default_factory=dict)
    """Text of the block that is replaced, if it does not run otherwise."""
    explanation: str = ""
    """Of the substitutions, for the table."""
    before_lines: dict[str, str] = field(default_factory=dict)
    """Code that runs before the line that begins so: for a list of calls that are not one program."""
    forget_address: bool = False
    """The prelude belongs to another process: what it did must not have pointed MLflow anywhere."""
    slow: bool = False
    """Takes too long for CI."""


CATALOGUE: Final[dict[str, Entry]] = {
    "0.4": Entry((PROJECT,), PROJECTS, "assert experiment.name == 'ncaa_basketball_models'"),
    "0.5": Entry(
        (PROJECT, FILES),
        PROJECTS,
        "[run] = runs_of(mlflow_tracker.client, 'game_prediction_models')\n"
        "assert run.info.run_name == 'basic_model_v1' and run.info.status == 'FINISHED', run\n"
        "assert run.data.metrics == {'train_loss': 1 / 3, 'val_loss': 2 / 3}, run.data\n"
        "assert run.data.params == {'hidden_size': '64', 'learning_rate': '0.001'}, run.data\n"
        "assert mlflow_tracker.register_model(f'runs:/{run.info.run_id}/game_prediction_model', 'Game').version\n",
    ),
    "0.6": Entry(
        (PROJECT, FILES),
        PROJECTS,
        "[run] = [one for one in runs_of(project()) if one.info.run_name == 'custom_training_run']\n"
        "assert len(run.data.params) == 5 and len(run.data.metrics) == 5, run\n"
        "assert [file.path for file in project().list_artifacts(run.info.run_id)] == ['feature_importance.png']\n",
    ),
    "0.7": Entry(
        (PROJECT, TORCH, FILES),
        PROJECTS,
        "version = project().get_latest_versions('GamePredictionModel')[0]\n"
        "assert project().list_artifacts(version.run_id, 'diagrams')\n"
        "loaded = mlflow.pytorch.load_model(f'runs:/{version.run_id}/models/game_prediction')\n"
        "assert torch.equal(loaded.weight, model.weight)\n",
        needs=("torch",),
    ),
    "0.8": Entry(
        (PROJECT, project_model(run_id="run_id_from_mlflow", path="models/game_prediction")),
        LOCAL,
        "assert model_version.run_id == 'run_id_from_mlflow' and str(model_version.version) == '1'",
    ),
    "0.9": Entry(
        (PROJECT, project_model("GamePredictionModel", versions=2, stage="Production")),
        PROJECTS,
        "assert [str(version.version) for version in stage_versions] == ['1']",
    ),
    "0.10": Entry(
        (PROJECT, project_model("GamePredictionModel")),
        PROJECTS,
        "assert project().get_model_version('GamePredictionModel', '1').current_stage == 'Production'",
    ),
    "0.11": Entry(
        (PROJECT, project_model("GamePredictionModel", versions=2, stage="Production")),
        PROJECTS,
        "assert list(model.predict([[1.0, 1.0]])) == [1]",
    ),
    "0.13": Entry(
        (PROJECT, TORCH_TRAINING, arguments()),
        PROJECTS,
        "[run] = runs_of(project(), 'game_prediction')\n"
        "assert run.data.metrics == {'test_accuracy': 0.9, 'calibration_error': 0.1}, run.data\n"
        "assert project().get_registered_model('BasicGamePredictionModel')\n",
        needs=("torch", "lightning"),
    ),
    "0.14": Entry(
        (
            PROJECT,
            project_model("GamePredictionModel", stage="Production"),
            arguments("--model-name", "GamePredictionModel"),
        ),
        PROJECTS,
        "[run] = runs_of(project(), 'model_evaluation')\n"
        "assert run.data.metrics == {'accuracy': 0.8}, run.data\n"
        "assert {file.path for file in project().list_artifacts(run.info.run_id)} == {'roc.png', 'report.txt'}\n",
        forget_address=True,
    ),
    "0.15": Entry((), (NOTHING,), "assert logging.getLogger('mlflow').level == logging.DEBUG"),
    "1.1": Entry((), (NOTHING,), "assert tracker.get_run(run_id)['metrics'] == {'accuracy': 0.92}"),
    "1.2": Entry((IMPORT_TRACKER,), (NAMED,), "assert tracker.tracking_uri == 'http://mlflow-server:5000'"),
    "1.10": Entry((), (NAMED, MOCK, SERVER), "assert tracker.experiment_name == 'nba_default'"),
    "1.11": Entry(
        (FILES, given.code("`train_model`", "def train_model():\n    return None\n")),
        TRACKERS,
        "assert tracker.get_run(run_id)['metrics'] == {'accuracy': 0.92, 'f1_score': 0.89, 'roc_auc': 0.94}\n"
        "assert len(tracker.client.list_artifacts(run_id)) == 2\n",
    ),
    "1.12": Entry(
        (
            TRACKER,
            given.code(
                "`train_epoch`, `validate_epoch`",
                "model = data = val_data = None\ntrain_epoch = validate_epoch = lambda model, data: 0.5\n",
            ),
        ),
        TRACKERS,
        "assert len(tracker.get_metric_history(run_id, 'val_loss')) == 100",
    ),
    "1.13": Entry(
        (TRACKER, project_model()),
        TRACKERS,
        "[version] = tracker.client.search_model_versions(\"name='nba_player_classifier'\")[:1]\n"
        "assert version.run_id == run_id and version.tags == {'version': 'v1.0', 'stage': 'production'}, version\n",
    ),
    "1.14": Entry(
        (TRACKER, project_runs("my_experiment")),
        TRACKERS,
        "assert {run['metrics']['accuracy'] for run in best_runs} == {0.91, 0.95}",
    ),
    "1.15": Entry(
        (TRACKER, project_runs("my_experiment", ("run_id_1", "run_id_2"))),
        LOCAL,
        "assert comparison['params'] == {'model_type': {'run_1': 'forest-0.91', 'run_2': 'forest-0.95'}}\n"
        "assert round(diff, 2) == -0.04\n",
    ),
    "1.16": Entry((IMPORT_TRACKER,), (NOTHING,), "assert tracker.tracking_uri == 'mock'"),
    "1.17": Entry(
        (given.code("a mock `tracker`", IMPORT_TRACKER.code + "tracker = get_mlflow_tracker(mock_mode=True)\n"), FILES),
        (NOTHING,),
        "assert run['params'] == {'param1': '1'} and len(runs) == 1",
    ),
    "1.18": Entry(
        (IMPORT_TRACKER, FILES),
        TRACKERS,
        "assert {file.path for file in tracker.client.list_artifacts(run_id)} >= {'model.pkl', 'metrics.json'}",
    ),
    "1.20": Entry(
        (IMPORT_TRACKER, FILES), (NAMED,), "assert tracker.client.list_artifacts(run_id)[0].path == 'large_model.pkl'"
    ),
    "1.24": Entry((TRACKER,), TRACKERS, "assert len(tracker.search_runs(\"attributes.run_name = 'run1'\")) >= 1"),
    "1.25": Entry((TRACKER,), TRACKERS, "assert tracker.get_run(run_id)['tags']['dataset'] == 'nba_2024'"),
    "1.26": Entry(
        (TRACKER, FOREST, NUMBERS, FILES),
        TRACKERS,
        "run = tracker.get_run(run_id)\n"
        "assert run['params']['n_features'] == '4' and run['metrics']['f1'] == 0.9, run\n"
        "assert len(tracker.client.list_artifacts(run_id)) == 3\n",
    ),
    "1.27": Entry((IMPORT_TRACKER,), TRACKERS, "assert tracker_xgb.experiment_name == 'nba/xgboost'"),
    "1.28": Entry((), (NOTHING,)),
    "1.29": Entry(
        (IMPORT_TRACKER, given.code("", "import subprocess\n")),
        (NOTHING,),
        "assert tracker.tracking_uri == 'mock'",
        substitutions={
            "$ curl http://mlflow-server:5000/health": "# $ curl http://mlflow-server:5000/health",
            "$ telnet mlflow-server 5000": "# $ telnet mlflow-server 5000",
        },
        explanation="its two lines that begin with `$` are for a shell; they run as comments",
    ),
    "1.31": Entry(
        (
            TRACKER,
            FOREST,
            given.code(
                "`pickle`, an open run", "import pickle\n_open = tracker.start_run()\nrun_id = _open.__enter__()\n"
            ),
        ),
        TRACKERS,
        "assert [file.path for file in tracker.client.list_artifacts(run_id)] == ['model.pkl.gz']",
    ),
    "1.33": Entry((), (NAMED,), "assert tracker.tracking_uri == 'http://mlflow-prod:5000'"),
    "2.3": Entry((DATA,), PLAIN, "assert runs_of(mlflow.MlflowClient())[0].outputs.model_outputs"),
    "2.4": Entry((MLFLOW,), PLAIN, "assert mlflow.get_experiment_by_name('iris-classification').experiment_id"),
    "2.5": Entry(
        (MLFLOW, FOREST),
        PLAIN,
        "found = runs_of(mlflow.MlflowClient())\n"
        "[parent] = [run for run in found if run.info.run_name == 'hyperparameter_tuning'][:1]\n"
        "children = [r for r in found if r.data.tags.get('mlflow.parentRunId') == parent.info.run_id]\n"
        "assert len(children) == 9 and all(run.outputs.model_outputs for run in children)\n",
        slow=True,
    ),
    "2.6": Entry(
        (MLFLOW, FOREST, plain_model()),
        PLAIN,
        "assert mlflow.MlflowClient().get_latest_versions('iris_classifier')[0].run_id == run_id",
    ),
    "2.7": Entry(
        (plain_model("iris_classifier"),),
        PLAIN,
        "assert client.get_model_version('iris_classifier', '1').current_stage == 'Production'",
    ),
    "2.8": Entry(
        (MLFLOW, FOREST),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient())[:1]\n"
        "assert set(run.data.metrics) == {'precision', 'recall', 'f1'}, run.data\n"
        "assert mlflow.MlflowClient().list_artifacts(run.info.run_id)[0].path == 'confusion_matrix.png'\n",
        needs=("seaborn",),
    ),
    "2.9": Entry(
        (MLFLOW, FOREST),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient())[:1]\n"
        "assert run.data.params['n_estimators'] == '100' and 'training_score' in run.data.metrics, run.data\n",
    ),
    "2.13": Entry((MLFLOW,), PLAIN, "assert runs_of(mlflow.MlflowClient(), 'customer-churn-prediction-v2')"),
    "2.14": Entry(
        (MLFLOW, FOREST, NUMBERS),
        PLAIN,
        "assert runs_of(mlflow.MlflowClient())[0].data.params['feature_count'] == '4'",
    ),
    "2.15": Entry(
        (
            MLFLOW,
            DATA,
            given.code("`scaler`", "from sklearn.preprocessing import StandardScaler\nscaler = StandardScaler()\n"),
        ),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient())[:1]\n"
        "assert len(mlflow.MlflowClient().list_artifacts(run.info.run_id)) == 2\n",
    ),
    "2.17": Entry((), (NOTHING,), "assert len(runs_of(mlflow.MlflowClient())) == 1"),
    "2.18": Entry(
        (MLFLOW, NUMBERS, given.code("`STATUS_OK`", "from hyperopt import STATUS_OK\n")),
        PLAIN,
        "assert len(trials) == 20 and len(runs_of(mlflow.MlflowClient())) >= 20",
        needs=("hyperopt",),
    ),
    "2.19": Entry(
        (DATA, plain_model("iris_classifier", stage="Production")), PLAIN, "assert len(predictions) == len(new_data)"
    ),
    "3.1": Entry(
        (FILES,), PLAIN, "assert runs_of(mlflow.MlflowClient())[0].data.metrics == {'accuracy': 0.95, 'loss': 0.05}"
    ),
    "3.2": Entry(
        (MLFLOW, FOREST, plain_model("my_model")),
        PLAIN,
        "assert client.get_model_version('my_model', '2').current_stage == 'Production'",
    ),
    "3.5": Entry((), (NOTHING,), "assert os.environ['AWS_ACCESS_KEY_ID'] == 'minioadmin'\n"),
    "3.6": Entry((MLFLOW,), PLAIN, "assert runs_of(mlflow.MlflowClient(), 'my_experiment')"),
    "3.7": Entry(
        (plain_runs("my_experiment"),), PLAIN, "assert exp.experiment_id in [one.experiment_id for one in experiments]"
    ),
    "3.8": Entry((plain_runs("my_experiment"),), PLAIN, "assert best_run.data.metrics['accuracy'] == 0.95"),
    "4.4": Entry(
        (DATA,),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient(), 'my_classification_model')[:1]\n"
        "assert run.outputs.model_outputs and run.data.params['max_depth'] == '10'\n",
    ),
    "4.5": Entry((MLFLOW,), PLAIN, "assert len(mlflow.get_run(mlflow.active_run().info.run_id).data.params) == 3"),
    "4.6": Entry((MLFLOW,), PLAIN, "assert len(mlflow.get_run(mlflow.active_run().info.run_id).data.metrics) == 3"),
    "4.7": Entry(
        (FOREST, FILES),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient())[:1]\n"
        "paths = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}\n"
        "assert paths == {'training_curve.png', 'summary.txt', 'confusion_matrix.png'}, paths\n",
    ),
    "4.8": Entry(
        (plain_model(run_id="1234567890"),),
        (NOTHING,),
        "assert client.get_model_version('my_production_model', '1').current_stage == 'Production'",
    ),
    "4.9": Entry(
        (DATA, given.code("`data.csv`", "features.assign(target=target.iloc[:120]).to_csv('data.csv', index=False)\n")),
        PLAIN,
        "found = runs_of(mlflow.MlflowClient(), 'gradient_boosting_experiments')[:3]\n"
        "assert {run.data.params['n_estimators'] for run in found} == {'50', '100', '200'}\n"
        "assert all(run.outputs.model_outputs for run in found)\n",
    ),
    "4.10": Entry(
        (TORCH_LOADER,),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient(), 'pytorch_experiments')[:1]\n"
        "assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, 'loss')) == 10\n"
        "assert mlflow.pytorch.load_model(f'runs:/{run.info.run_id}/model')(torch.rand(1, 784)).shape == (1, 10)\n",
        needs=("torch",),
    ),
    "4.11": Entry(
        (DATA,),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient(), 'hyperparameter_tuning')[:1]\n"
        "assert set(run.data.params) == set(param_grid) and run.outputs.model_outputs\n",
        slow=True,
    ),
    "4.12": Entry(
        (FOREST,),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient(), 'custom_metrics')[:1]\n"
        "assert set(run.data.metrics) >= {'tn', 'fp', 'fn', 'tp', 'specificity', 'sensitivity'}, run.data\n",
    ),
    "4.13": Entry(
        (DATA, plain_model("my_model", stage="Production"), plain_model(run_id="run_id")),
        (NOTHING,),
        "assert len(predictions) == len(X_new)",
    ),
    "4.14": Entry(
        (plain_runs("my_experiment", "http://localhost:5000"),),
        (NAMED,),
        "assert len(runs) >= 2",
        needs=("marimo", "tabulate"),
    ),
    "4.15": Entry(
        (MLFLOW, FOREST, given.code("`train_step`", "train_step = lambda: 0.5\n")),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient(), 'live_training')[:1]\n"
        "assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, 'loss')) == 10\n",
        needs=("marimo",),
    ),
    "4.16": Entry(
        (plain_runs("my_experiment", "http://localhost:5000"),),
        (NAMED,),
        "assert best_run['metrics.accuracy'] == 0.95",
        needs=("marimo", "tabulate"),
    ),
    "4.17": Entry((MLFLOW,), PLAIN, "assert mlflow.get_experiment_by_name('production/classification_v2')"),
    "4.18": Entry(
        (MLFLOW, NUMBERS),
        PLAIN,
        "[run] = runs_of(mlflow.MlflowClient())[:1]\n"
        "assert run.data.metrics == {'train_loss': 0.5, 'val_loss': 0.6, 'accuracy': 0.9, 'f1': 0.8}\n",
    ),
    "4.19": Entry((MLFLOW,), PLAIN, "assert runs_of(mlflow.MlflowClient())[0].info.status == 'FINISHED'"),
    "4.20": Entry(
        (MLFLOW, NUMBERS),
        PLAIN,
        "assert len(mlflow.get_run(mlflow.active_run().info.run_id).data.metrics) >= 1_000",
        slow=True,
    ),
    "4.21": Entry(
        (MLFLOW, FILES), PLAIN, "assert mlflow.active_run() and len(runs_of(mlflow.MlflowClient())[0].data.params) == 2"
    ),
    "4.22": Entry(
        (plain_model(),), PLAIN, "assert client.get_model_version('prod_model', '1').current_stage == 'Production'"
    ),
    "4.23": Entry((MLFLOW,), PLAIN, "assert mlflow.get_experiment_by_name('name').artifact_location.endswith('path')"),
    "4.24": Entry((plain_runs("my_experiment"), MLFLOW), PLAIN, "assert mlflow.active_run() is None"),
    "4.25": Entry(
        (
            MLFLOW,
            FILES,
            given.code(
                "`key`, `value`, `dict`, `path`",
                "key, value, dict, path = 'momentum', 0.9, {'depth': 3}, 'plots'\n",
            ),
        ),
        PLAIN,
        "run = mlflow.get_run(mlflow.active_run().info.run_id)\n"
        "assert run.data.params == {'momentum': '0.9', 'depth': '3'}, run.data\n"
        "assert run.data.metrics == {'momentum': 0.9, 'depth': 3.0}, run.data\n"
        "assert len(mlflow.artifacts.list_artifacts(run_id=run.info.run_id)) == 2\n",
    ),
    "4.26": Entry(
        (MLFLOW, FOREST),
        PLAIN,
        "assert len(mlflow.search_logged_models(output_format='list')) >= 5",
        needs=("torch", "tensorflow", "xgboost"),
        before_lines={
            "mlflow.pytorch": "import torch\nmodel = torch.nn.Linear(2, 1)\n",
            "mlflow.tensorflow": (
                "import keras\nmodel = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])\n"
            ),
            "mlflow.xgboost": "import xgboost\nmodel = xgboost.XGBClassifier(n_estimators=2).fit(X_train, y_train)\n",
            "mlflow.pyfunc": "class Custom:\n    def predict(self, data):\n        return data\nmodel = Custom()\n",
        },
    ),
    "4.27": Entry(
        (
            plain_model("looked_up"),
            CLIENT,
            given.code(
                "`name`, `model_uri`, `version`, `stage`",
                "name, version, stage = 'looked_up', 1, 'Production'\nmodel_uri = f'runs:/{run_id}/model'\n",
            ),
        ),
        PLAIN,
        "assert client.get_model_version(name, str(version)).current_stage == 'Production'",
    ),
    "4.28": Entry((MLFLOW,), PLAIN, "assert mlflow.get_run(mlflow.active_run().info.run_id).data.metrics"),
    "4.29": Entry(
        (
            MLFLOW,
            FOREST,
            given.code(
                "a run `run_id`, open", "mlflow.start_run(run_id=make_run(mlflow.MlflowClient(), '0', 'run_id'))\n"
            ),
        ),
        (NOTHING,),
        "assert mlflow.active_run().outputs.model_outputs",
    ),
}
