"""`import mcp_server.mlflow_integration.compat`: code written for MLflow 2 on MLflow 3.

Each script runs in a process of its own: what is adapted stays adapted.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mcp_server.mlflow_integration.tracker.mlflow2 import adaptations
from tests.guides import executor
from tests.guides.requests import BLOCK, COMPAT, PLAIN, PRELUDE, Part, Request, Result

MLFLOW = tuple(int(part) for part in version("mlflow").split(".")[:2])

once = pytest.mark.parametrize("store", ["sqlite"], indirect=True)

LINEAR = (
    "from sklearn.linear_model import LogisticRegression\nmodel = LogisticRegression().fit([[0.0], [1.0]], [0, 1])\n"
)


@pytest.fixture
def script(tmp_path: Path, store: str):
    """Runs a text in a new process and returns what it wrote to stdout and stderr."""

    def run(text: str, *, compat: bool = True) -> tuple[Result, str]:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        given = Request(
            name="script",
            folder=folder / "work",
            parts=(Part(PRELUDE, "import mlflow\nfrom mlflow import MlflowClient\n"), Part(BLOCK, text)),
            mode=COMPAT if compat else PLAIN,
            database=executor.empty_database(folder / "empty.db"),
            quick=True,
        )
        return executor.run_forked(given), given.beside("log").read_text()

    return run


@once
@pytest.mark.parametrize(
    ("text", "refusal", "adaptation"),
    [
        (
            "from sklearn.ensemble import RandomForestClassifier\n"
            "model = RandomForestClassifier(2).fit([[0], [1]], [0, 1])\n"
            "with mlflow.start_run() as run:\n"
            "    mlflow.sklearn.log_model(model, 'model')\n"
            "    mlflow.sklearn.save_model(model, 'saved')\n"
            "assert mlflow.sklearn.load_model(f'runs:/{run.info.run_id}/model').n_estimators == 2\n"
            "assert len(mlflow.pyfunc.load_model('saved').predict([[0]])) == 1\n",
            "untrusted types",
            "TRUSTED_TYPES",
        ),
        (
            "from sklearn.pipeline import make_pipeline\n"
            "from sklearn.preprocessing import FunctionTransformer\n" + LINEAR + "model = make_pipeline("
            "FunctionTransformer(lambda x: x), model)\n"
            "mlflow.start_run()\n"
            "mlflow.sklearn.log_model(model, 'model')\n"
            "uri = f'runs:/{mlflow.active_run().info.run_id}/model'\n"
            "assert list(mlflow.sklearn.load_model(uri).predict([[1.0]])) == [1]\n",
            "untrusted types|could not be serialized",
            "TRUSTED_TYPES",
        ),
        (
            LINEAR + "with mlflow.start_run() as run:\n"
            "    mlflow.sklearn.log_model(model, artifact_path='models/v1.0', registered_model_name='churn')\n"
            "uri = f'runs:/{run.info.run_id}/models/v1.0'\n"
            "assert list(mlflow.sklearn.load_model(uri).coef_.shape) == [1, 1]\n"
            "assert mlflow.pyfunc.load_model(model_uri=uri).metadata.run_id == run.info.run_id\n"
            "assert mlflow.models.get_model_info(uri).run_id == run.info.run_id\n"
            "assert mlflow.register_model(uri, 'churn').run_id == run.info.run_id\n"
            "from pathlib import Path\n"
            "assert Path(mlflow.artifacts.download_artifacts(artifact_uri=uri), 'MLmodel').exists()\n",
            "Invalid model name",
            "MODEL_NAME",
        ),
        (
            "class Custom:\n"
            "    def predict(self, data):\n"
            "        return [2 * one for one in data]\n"
            "mlflow.start_run()\n"
            "mlflow.pyfunc.log_model(Custom(), 'model')\n"
            "uri = f'runs:/{mlflow.active_run().info.run_id}/model'\n"
            "assert mlflow.pyfunc.load_model(uri).predict([1, 2]) == [2, 4]\n",
            "",
            "PYFUNC_MODEL",
        ),
        (
            "from pathlib import Path\n"
            "Path('own.py').write_text('')\n"
            "class Same(mlflow.pyfunc.PythonModel):\n"
            "    def predict(self, context, model_input):\n"
            "        return model_input\n"
            "mlflow.start_run()\n"
            "mlflow.pyfunc.log_model('model', python_model=Same(), code_path=['own.py'])\n"
            "uri = f'runs:/{mlflow.active_run().info.run_id}/model'\n"
            "assert list(Path(mlflow.artifacts.download_artifacts(uri)).rglob('own.py'))\n",
            "code_path",
            "RENAMED_ARGUMENT",
        ),
        (
            "mlflow.set_tracking_uri('file:./mlruns')\nwith mlflow.start_run():\n    mlflow.log_metric('a', 1)\n"
            "assert len(mlflow.search_runs()) == 1\n",
            "migrate-filestore|maintenance mode|file store|filesystem",
            "FILE_STORE",
        ),
        (
            "assert [one.name for one in MlflowClient().list_experiments()] == ['Default']\n"
            "assert [one.name for one in mlflow.list_experiments()] == ['Default']\n",
            "list_experiments",
            "LIST_EXPERIMENTS",
        ),
        (
            "with mlflow.start_run() as run:\n    pass\n"
            "[info] = MlflowClient().list_run_infos('0')\n"
            "assert mlflow.list_run_infos('0')[0].run_id == info.run_id == run.info.run_id\n",
            "list_run_infos",
            "LIST_RUN_INFOS",
        ),
        (
            "MlflowClient().create_registered_model('churn')\n"
            "assert [one.name for one in MlflowClient().list_registered_models()] == ['churn']\n",
            "list_registered_models",
            "LIST_REGISTERED_MODELS",
        ),
        (
            "MlflowClient().create_registered_model('churn')\n"
            "assert mlflow.get_registered_model('churn').name == 'churn'\n",
            "get_registered_model",
            "GET_REGISTERED_MODEL",
        ),
        (
            "with mlflow.start_run() as run:\n    pass\nassert run.info.run_uuid == run.info.run_id\nprint(run.info)\n",
            "run_uuid",
            "RUN_UUID",
        ),
    ],
)
def test_what_mlflow_3_refuses_runs_with_one_line_and_is_logged_once(script, text, refusal, adaptation):
    refused, _ = script(text, compat=False)
    adapted, log = script(text)

    assert adapted.ok, adapted.trace
    if refused.ok:
        # An older MLflow 3 still accepts some of it.
        assert MLFLOW < (3, 12), refused
    else:
        assert not refused.broken and re.search(refusal, refused.error), refused
        assert log.count(f"In MLflow 3: {getattr(adaptations, adaptation).replacement}") == 1, log


@once
def test_stages_work_and_become_aliases_where_a_registry_has_none(script):
    text = (
        LINEAR + "client = MlflowClient()\n"
        "for _ in range(2):\n"
        "    mlflow.sklearn.log_model(model, 'model', registered_model_name='churn')\n"
        "assert client.transition_model_version_stage('churn', 1, 'Production').current_stage == 'Production'\n"
        "assert client.get_latest_versions('churn', stages=['Production'])[0].version == 1\n"
        "assert mlflow.sklearn.load_model('models:/churn/Production')\n"
        # A registry without stages, as Unity Catalog is, and MLflow may become.
        "client.transition_model_version_stage('churn', 1, 'None')\n"
        "from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore\n"
        "from mlflow.exceptions import MlflowException\n"
        "gone_error = MlflowException('no stages'); gone_error.error_code = 'FEATURE_DISABLED'\n"
        "def gone(*args, **kwargs):\n"
        "    raise gone_error\n"
        "SqlAlchemyStore.transition_model_version_stage = gone\n"
        "client.transition_model_version_stage('churn', 2, 'Production')\n"
        "assert client.get_model_version_by_alias('churn', 'champion').version == 2\n"
        "assert client.get_latest_versions('churn', ['Production'])[0].version == 2\n"
        "assert mlflow.pyfunc.load_model('models:/churn/Production').metadata\n"
    )
    result, log = script(text)
    assert result.ok, result.trace
    assert log.count("client.set_registered_model_alias") == 1


@once
def test_an_address_that_leads_nowhere_is_refused_as_mlflow_refuses_it(script):
    """And what MLflow 3 does by itself stays as it is, unlogged."""
    wrong = "mlflow.pyfunc.load_model('runs:/0123456789abcdef0123456789abcdef/model')\n"
    plain, _ = script(wrong, compat=False)
    adapted, log = script(wrong)
    assert not adapted.ok and adapted.error == plain.error
    assert "MLflow 2 code" not in log
    fine, log = script(LINEAR + "mlflow.sklearn.log_model(model, name='model', serialization_format='skops')\n")
    assert fine.ok, fine.trace
    assert "MLflow 2 code" not in log


@once
def test_a_chosen_serialization_format_is_respected(script):
    text = (
        LINEAR + "mlflow.sklearn.save_model(model, 'a', serialization_format='cloudpickle')\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
        "mlflow.sklearn.log_model(FunctionTransformer(lambda x: x), 'b', serialization_format='skops')\n"
    )
    result, _ = script(text)
    assert "untrusted types" in result.error


@once
def test_nothing_is_adapted_unasked(script):
    result, _ = script(
        "import mcp_server.mlflow_integration, mcp_server.mlflow_integration.tracking, sys\n"
        "from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        "get_mlflow_tracker()\n"
        "assert not hasattr(mlflow, 'get_registered_model')\n"
        "assert 'mcp_server.mlflow_integration.compat' not in sys.modules\n",
        compat=False,
    )
    assert result.ok, result.trace


@once
def test_the_run_command_runs_a_script_that_stays_as_it_is(tmp_path: Path):
    """Arguments, `__main__`, modules beside the script and the exit status are those of `python train.py`."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "beside.py").write_text("NAME = 'Default'\n")
    (folder / "train.py").write_text(
        "import sys, mlflow\n"
        "from beside import NAME\n"
        "class Marker: pass\n"
        "import pickle; pickle.loads(pickle.dumps(Marker()))\n"
        "if __name__ == '__main__':\n"
        "    print(sys.argv, [one.name for one in mlflow.MlflowClient().list_experiments()] == [NAME])\n"
        "    sys.exit(int(sys.argv[-1]))\n"
    )
    finished = run("code/train.py", "--epochs", "3")
    assert finished.returncode == 3, finished.stderr
    assert finished.stdout == "['code/train.py', '--epochs', '3'] True\n"
    assert "client.search_experiments" in finished.stderr
    (tmp_path / "failing.py").write_text("raise ZeroDivisionError('why')\n")
    failed = run("failing.py")
    assert failed.returncode == 1 and "ZeroDivisionError: why" in failed.stderr


def test_the_run_command_says_what_is_wrong_with_it(capsys, tmp_path: Path, monkeypatch):
    from mcp_server.commands.run_script import run_script

    monkeypatch.chdir(tmp_path)
    assert run_script(["missing.py"]) == 2
    assert run_script(["-m"]) == 2
    assert run_script([]) == 2
    said = capsys.readouterr().err
    assert f"there is no script missing.py in {tmp_path}" in said and "needs the name of a module" in said
    assert run_script(["--help"]) == 0
    assert "import mcp_server.mlflow_integration.compat" in capsys.readouterr().out


@once
def test_a_module_is_run_by_its_name():
    Path("package").mkdir()
    Path("package/train.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    assert run("-m", "package.train", "--fast").stdout == "__main__ ['--fast']\n"


def test_every_adaptation_names_a_replacement():
    assert len(set(adaptations.ADAPTATIONS)) == len(adaptations.ADAPTATIONS) >= 13
    assert all(one.before and one.now and one.replacement for one in adaptations.ADAPTATIONS)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcp_server", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
