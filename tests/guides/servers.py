"""The servers that the guides talk to, started for the time of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

ALLOWED_HOSTS: Final = "localhost:*,127.0.0.1:*,mlflow-server:*,mlflow-prod:*"
"""For `mlflow server`: these names of the guides are refused otherwise."""

START_SECONDS: Final = 120


@contextmanager
def mlflow_server(
    folder: Path, port: int, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """`mlflow server` on a port of this machine that answers to the host names of the guides."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--allowed-hosts", ALLOWED_HOSTS),
        *(arguments or ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db")),
    ]
    address = f"http://127.0.0.1:{port}"
    with process(command, folder, f"{address}/health", environment):
        yield address


@contextmanager
def process(
    command: Sequence[str], folder: Path, health: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at `health` before the block begins, and is gone with all it started after it."""
    with open(folder / "log", "wb") as log:
        started = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        answers(health, started, folder / "log")
        yield started
    finally:
        # A command that failed is gone already; what it printed is in the error above.
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(20)


def answers(address: str, started: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something answers at an address, whatever its status."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)  # A server that is starting tells nobody when it is ready.
    raise AssertionError(f"nothing answered at {address}: {log.read_text()[-3000:]}")


POSTGRESQL_PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Where Debian's packages put them, by version; none: it is not installed."""


@contextmanager
def postgresql(port: int = 5432) -> Iterator[str]:
    """PostgreSQL with a database `mlflow`, which trusts whoever connects, on loopback only. Yields: its address."""
    programs = POSTGRESQL_PROGRAMS[-1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        # The server refuses to run as root.
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        owner: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if is_root else {}
        data = folder / "data"
        run: dict[str, Any] = {"check": True, "capture_output": True, "cwd": folder}
        initdb = [programs / "initdb", "-D", data, "-U", "user", "--auth=trust", "-E", "UTF8"]
        subprocess.run(initdb, **run, **owner)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        start = [programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **owner)
        try:
            client = [programs / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "user", "-d", "postgres", "-c"]
            subprocess.run([*client, "CREATE DATABASE mlflow"], **run)
            yield f"postgresql://user:password@127.0.0.1:{port}/mlflow"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run, **owner)


BUCKETS: Final = ("my-mlflow-bucket", "mlflow-artifacts", "your-bucket", "nba-mlflow-prod")


@contextmanager
def storage(port: int = 9000) -> Iterator[str]:
    """An S3 with the buckets of the guides: moto's server. Yields: its address."""
    with tempfile.TemporaryDirectory() as name:
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with process(command, Path(name), address):
            for bucket in BUCKETS:
                wanted = urllib.request.Request(f"{address}/{bucket}", method="PUT")
                wanted.add_header(
                    "Authorization", "AWS4-HMAC-SHA256 Credential=minioadmin/20260101/us-east-1/s3/aws4_request"
                )
                urllib.request.urlopen(wanted, timeout=10)
            yield address
