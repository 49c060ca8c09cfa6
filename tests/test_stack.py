"""The stack of compose.yaml and the commands of docs/production.md, without containers.

PostgreSQL from Debian's packages, moto's server for S3, `mlflow server` with passwords; skipped where one is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import free_port
from tests.guides.servers import POSTGRESQL_PROGRAMS, postgresql, process, storage

ROOT = Path(__file__).parents[1]

MISSING = [name for name in ("moto", "boto3", "flask_wtf") if find_spec(name) is None]
MISSING += [] if POSTGRESQL_PROGRAMS else ["PostgreSQL"]
MISSING += [] if find_spec("psycopg") else ["psycopg"]

needs_the_stack = pytest.mark.skipif(bool(MISSING), reason=f"the stack needs {', '.join(MISSING)}")

PASSWORD = "a long enough password"

KEYS = {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "storage", "AWS_DEFAULT_REGION": "us-east-1"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql(free_port()) as address:
        yield address.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with storage(free_port()) as address:
        yield address


@needs_the_stack
def test_the_services_of_compose_work_together(database: str, bucket: str, tmp_path: Path):
    """Runs in PostgreSQL, artifacts in the bucket, keys with MLflow alone, users with passwords, this server on top."""
    service = compose()["services"]["mlflow"]
    port = free_port()
    command = [_here(argument, database, port) for argument in service["command"]]
    (tmp_path / "basic_auth.ini").write_text(_here(compose()["configs"]["basic_auth"]["content"], database, port))
    environment = {
        **KEYS,
        "MLFLOW_S3_ENDPOINT_URL": bucket,
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "basic_auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    }
    server = [sys.executable, "-m", "mlflow", "server", "--workers", "1", *command]
    address = f"http://127.0.0.1:{port}"
    with process(server, tmp_path, f"{address}/health", environment):
        finished = _python(
            "from mcp_server.mlflow_integration import get_mlflow_tracker\n"
            "tracker = get_mlflow_tracker('stack')\n"
            "with tracker.start_run('one') as run_id:\n"
            "    tracker.log_metric('accuracy', 0.9)\n"
            "    tracker.log_text('hello', 'notes.txt')\n"
            "print(tracker.get_run(run_id)['artifact_uri'])\n"
            "print(open(tracker.client.download_artifacts(run_id, 'notes.txt')).read())\n",
            tmp_path,
            MLFLOW_TRACKING_URI=address,
            MLFLOW_TRACKING_USERNAME="admin",
            MLFLOW_TRACKING_PASSWORD=PASSWORD,
        )
        assert finished.returncode == 0, finished.stderr
        place, text = finished.stdout.splitlines()
        assert place.startswith("mlflow-artifacts:/") and text == "hello"
        assert "notes.txt" in _stored(bucket)
        wrong = _check(tmp_path, address, MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD="wrong")
        assert wrong.returncode == 1 and "requires credentials" in wrong.stdout
        stranger = address.replace("127.0.0.1", "127.1")
        refused = _check(tmp_path, stranger, MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD=PASSWORD)
        assert refused.returncode == 1 and "--allowed-hosts" in refused.stdout
        right = _check(tmp_path, address, MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD=PASSWORD)
        assert right.returncode == 0 and "2 experiments" in right.stdout, right.stdout


@needs_the_stack
@pytest.mark.skipif(shutil.which("aws") is None, reason="the stack needs awscli")
def test_the_commands_of_the_production_page_run_as_they_stand(database: str, bucket: str, tmp_path: Path):
    """Only ports and the installation differ: backup, restore and gc do what the page says."""
    port = free_port()
    database_port = re.search(r":(\d+)/", database)[1]  # type: ignore[index]
    page = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    page = page.replace("127.0.0.1:5432", f"127.0.0.1:{database_port}").replace("--port 5000", f"--port {port}")
    page = page.replace("--host=127.0.0.1 --username", f"--host=127.0.0.1 --port={database_port} --username")
    install, variables, server, backup, restore, gc, upgrade = re.findall(r"(?s)```bash\n(.*?)```", page)
    assert install.startswith("pip install 'mlflow[auth]>=3.14,<4' 'psycopg[binary]' boto3")
    login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "choose-a-long-one"}
    environment = {
        **KEYS,
        "MLFLOW_S3_ENDPOINT_URL": bucket,
        "AWS_ENDPOINT_URL": bucket,
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
        "PATH": os.pathsep.join([str(POSTGRESQL_PROGRAMS[-1]), str(Path(sys.executable).parent), os.environ["PATH"]]),
        **login,
    }

    def run(text: str) -> str:
        script = ["bash", "-euo", "pipefail", "-c", f"{variables}\n{text}"]
        variables_of_run = {**os.environ, **environment}
        done = subprocess.run(script, cwd=tmp_path, env=variables_of_run, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    with process(
        ["bash", "-c", variables + server], tmp_path, f"{environment['MLFLOW_TRACKING_URI']}/health", environment
    ):
        printed = run(
            "python - <<'EOF'\n"
            "import mlflow\n"
            "mlflow.set_experiment('production')\n"
            "for text in ('kept', 'dropped'):\n"
            "    with mlflow.start_run() as run:\n"
            "        mlflow.log_text(text, f'{text}.txt')\n"
            "    print('logged', run.info.run_id)\n"
            "mlflow.delete_run(run.info.run_id)\n"
            "EOF"
        )
        kept, dropped = re.findall(r"^logged (\w+)$", printed, re.MULTILINE)
        run(backup)
        assert "dropped.txt" in _stored(bucket)
        # It removes artifacts through the server that serves them.
        run(gc)
    assert "kept.txt" in _stored(bucket) and "dropped.txt" not in _stored(bucket)
    count = 'psql --host=127.0.0.1 --username=user --port=%s --tuples-only %s --command="select run_uuid from runs"'
    assert dropped not in run(count % (database_port, "mlflow"))
    run(restore)
    assert "dropped.txt" in _stored(bucket)
    for name in ("mlflow", "restored"):
        found = run(count % (database_port, name))
        assert kept in found and dropped in found
    run(upgrade)


def test_compose_is_the_stack_of_the_guides():
    """PostgreSQL, an S3 with its bucket, MLflow with host names and passwords, nothing but MLflow published."""
    services = compose()["services"]
    assert {"postgres", "storage", "bucket", "mlflow", "mcp"} == set(services)
    command = services["mlflow"]["command"]
    assert "--app-name=basic-auth" in command and "--artifacts-destination=s3://mlflow-artifacts" in command
    assert any(argument.startswith("--allowed-hosts=") for argument in command)
    assert [name for name, service in services.items() if "ports" in service] == ["mlflow"]
    assert services["postgres"]["image"] == "postgres:17"
    assert services["postgres"]["volumes"] == ["database:/var/lib/postgresql/data"]
    for name in ("storage", "bucket"):
        # MinIO's images are no longer on Docker Hub; those that are left have no curl.
        assert re.fullmatch(r"quay\.io/minio/(minio|mc):RELEASE\.[0-9TZ-]+", services[name]["image"])
    assert services["storage"]["healthcheck"]["test"] == ["CMD", "mc", "ready", "local"]
    assert services["mlflow"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "bucket": {"condition": "service_completed_successfully"},
    }
    assert services["mlflow"]["environment"]["AWS_SECRET_ACCESS_KEY"]
    assert "AWS_SECRET_ACCESS_KEY" not in services["mcp"]["environment"]


def _here(text: str, database: str, port: int) -> str:
    """An argument of compose.yaml, for services on this machine."""
    text = re.sub(r"postgresql\+psycopg://\S+@postgres/mlflow", lambda _: database, text)
    text = text.replace("0.0.0.0", "127.0.0.1").replace("5000", str(port))
    text = re.sub(r"\$\{MLFLOW_ADMIN_PASSWORD:[^}]*\}", PASSWORD, text)
    assert "${" not in text, text
    return text


def _stored(bucket: str) -> str:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=bucket, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    return " ".join(one["Key"] for one in client.list_objects_v2(Bucket="mlflow-artifacts").get("Contents", ()))


def _check(folder: Path, address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _python(
        "from mcp_server.cli import main; main(['check'])", folder, MLFLOW_TRACKING_URI=address, **environment
    )


def _python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
