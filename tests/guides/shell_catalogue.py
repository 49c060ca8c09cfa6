"""How each shell and YAML block is run: what must be there, what is replaced in its text, what it must have done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

POSTGRES: Final = "PostgreSQL on 5432"
STORAGE: Final = "moto's S3 on 9000"
SERVER: Final = "mlflow server on 5000"

_DATABASE: Final = {"postgresql://...": "postgresql://user:password@localhost/mlflow"}
_NO_CONTAINERS: Final = "no container runtime here; "


@dataclass(frozen=True)
class ShellEntry:
    needs: tuple[str, ...] = ()
    """Services that run meanwhile, commands that must be installed."""
    prepare: str = ""
    """Shell that runs before, in the same folder."""
    environment: dict[str, str] = field(default_factory=dict)
    substitutions: dict[str, str] = field(default_factory=dict)
    explanation: str = ""
    """Of the substitutions, or of how the block was run."""
    check: str = ""
    """Python that runs afterwards, in the same folder and with the variables that the block exported."""
    never_as_written: bool = False
    """It is not even tried: as written it builds an environment for minutes before it fails."""
    unavailable: str = ""
    """Why it cannot run here."""
    save_as: str = ""
    """For YAML: the file that the page says it is."""
    compat: bool = False
    """Whether the check imports `compat`."""
    serves: str = ""
    """Address at which it answers; the whole block is stopped then, because it never ends by itself."""


_S3_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "minioadmin",
    "AWS_SECRET_ACCESS_KEY": "minioadmin123",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_S3: Final = {
    **_S3_KEYS,
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9000",
}

_DRY: Final = {"PIP_DRY_RUN": "1"}
_DRY_SAID: Final = "pip resolves everything and installs nothing (`PIP_DRY_RUN=1`)"

_MODEL: Final = """\
python - <<'EOF'
import mlflow
from sklearn.linear_model import LogisticRegression
with mlflow.start_run() as run:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    mlflow.sklearn.log_model(model, name="model", registered_model_name="iris_classifier")
mlflow.MlflowClient().transition_model_version_stage("iris_classifier", "1", "Production")
open("run_id", "w").write(run.info.run_id)
EOF
"""

_USE_PROJECT: Final = """\
from mcp_server.mlflow_integration import setup_mlflow_tracking, get_mlflow_client
import mlflow
setup_mlflow_tracking()
with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.9)
assert get_mlflow_client().get_experiment_by_name("ncaa_basketball_models")
"""

SHELL_CATALOGUE: Final[dict[str, ShellEntry]] = {
    "0.1": ShellEntry(check="from pathlib import Path; assert Path('mlflow.db').exists()"),
    "0.2": ShellEntry((SERVER,), save_as="config/mlflow.yaml", check=_USE_PROJECT),
    "0.3": ShellEntry(
        (SERVER, POSTGRES, STORAGE),
        environment=_S3,
        save_as="config/mlflow.yaml",
        substitutions={
            "https://your-mlflow-server-url": "http://127.0.0.1:5000",
            "@host:port/database": "@localhost:5432/mlflow",
        },
        explanation="the places of the server and of the database are left blank on the page",
        check=_USE_PROJECT,
    ),
    "0.12": ShellEntry(
        (SERVER,),
        substitutions={"open http": "curl -sSf -o page.html http"},
        explanation="`open` is a command of macOS; the page is fetched instead",
        check="assert 'MLflow' in open('page.html').read()",
    ),
    "1.3": ShellEntry(environment=_DRY, explanation=_DRY_SAID),
    "1.4": ShellEntry(environment=_DRY, explanation=_DRY_SAID),
    "1.5": ShellEntry(check="from pathlib import Path; assert Path('mlflow.db').exists()"),
    "1.6": ShellEntry((POSTGRES, STORAGE), environment=_S3),
    "1.7": ShellEntry(
        save_as="docker-compose.yml",
        unavailable=_NO_CONTAINERS + "its services run without containers in `tests/test_stack.py`",
        check="import yaml; services = yaml.safe_load(open('docker-compose.yml'))['services']\n"
        "assert set(services) == {'mlflow', 'postgres'}",
    ),
    "1.8": ShellEntry(unavailable=_NO_CONTAINERS + "the same services run without containers in `tests/test_stack.py`"),
    "1.9": ShellEntry(
        check="from mcp_server.settings import Settings; s = Settings.load()\n"
        "assert (s.tracking_uri, s.experiment_name, s.username) == "
        "('http://mlflow-server:5000', 'nba_production', 'your_username')",
    ),
    "1.19": ShellEntry(
        (POSTGRES, STORAGE),
        environment={name: value for name, value in _S3.items() if name not in _S3_KEYS},
        substitutions=_DATABASE,
        explanation="`postgresql://...` stands for a database",
    ),
    "1.21": ShellEntry(
        (POSTGRES,),
        substitutions=_DATABASE,
        explanation="`postgresql://...` stands for a database; the server starts, nothing is uploaded without Azure",
    ),
    "1.22": ShellEntry(
        (POSTGRES,),
        substitutions=_DATABASE,
        explanation="`postgresql://...` stands for a database; the server starts, nothing is uploaded without Google",
    ),
    "1.23": ShellEntry(explanation="comments"),
    "1.30": ShellEntry((STORAGE, "aws"), "mkdir mlflow-artifacts\n", _S3),
    "1.32": ShellEntry(
        (POSTGRES,),
        substitutions={**_DATABASE, "--default-artifact-root ...": "--default-artifact-root ./artifacts"},
        explanation="`...` stands for a database and a folder",
    ),
    "2.1": ShellEntry(
        ("uv",),
        environment={"UV_NO_SYNC": "1"},
        explanation="uv resolves everything and installs nothing (`UV_NO_SYNC=1`)",
        check="assert 'boto3' in open('mlflow-tutorial/pyproject.toml').read()",
    ),
    "2.2": ShellEntry(
        save_as=".env",
        compat=True,
        explanation="as a shell reads it, and as the `.env` of a tracker, whose file store needs `compat`",
        check="from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        "with get_mlflow_tracker('kept').start_run() as run_id:\n    pass\n"
        "from pathlib import Path; assert list(Path('mlruns').rglob(run_id))",
    ),
    "2.10": ShellEntry(
        prepare=_MODEL,
        never_as_written=True,
        substitutions={"<run_id>": "$(cat run_id)", "-p 5000": "-p 5000 --env-manager local"},
        explanation="`<run_id>` stands for a run; with the installed packages instead of a new environment",
    ),
    "2.11": ShellEntry(unavailable=_NO_CONTAINERS + "the model is served without one in block 2.10"),
    "2.12": ShellEntry(
        ("uv",),
        serves="http://localhost:5000",
        explanation="a server: stopped when its page answered at the address of the guide",
    ),
    "2.16": ShellEntry(
        save_as="MLproject",
        prepare="printf 'import sys, mlflow\\nmlflow.log_param(\"given\", sys.argv[1:])\\n' > train.py\n"
        "printf 'name: iris\\ndependencies: [python=3.11]\\n' > conda.yaml\n",
        check="import subprocess, mlflow\n"
        "subprocess.run(['mlflow', 'run', '.', '--env-manager', 'local', '-P', 'n_estimators=7'], check=True)\n"
        "[run] = mlflow.search_runs(output_format='list')\n"
        "assert run.data.params['given'] == \"['7', '10']\", run.data",
        explanation="run with `mlflow run . --env-manager local`: there is no conda here",
    ),
    "3.4": ShellEntry(
        (SERVER,),
        save_as=".env",
        check="from mcp_server.mlflow_integration import get_mlflow_tracker\n"
        "assert get_mlflow_tracker().tracking_uri == 'http://localhost:5000'",
    ),
    "3.9": ShellEntry(
        (SERVER,),
        substitutions={"docker compose logs mlflow": "true"},
        explanation="without the logs of the container",
    ),
    "3.10": ShellEntry((STORAGE,), environment=_S3),
    "4.1": ShellEntry(
        ("uv",),
        prepare="uv init -q --bare\n",
        environment={**_DRY, "UV_NO_SYNC": "1"},
        substitutions={"conda install -c conda-forge mlflow": "true"},
        explanation="without conda; pip and uv install nothing",
    ),
    "4.2": ShellEntry(environment=_DRY, explanation=_DRY_SAID),
    "4.3": ShellEntry(),
    "4.30": ShellEntry((POSTGRES,)),
}
