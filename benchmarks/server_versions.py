"""Drives this server against `mlflow server` of many versions, and writes the table in docs/compatibility.md.

    python benchmarks/server_versions.py [--servers FOLDER] [VERSION ...]

FOLDER holds one virtual environment for each version and is filled with pip where one is missing. Each
server gets a new store; the tools do what agents do, through an MCP client.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp.client import Client
from page import write_part

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings

VERSIONS = (
    *("2.8.1", "2.9.2", "2.10.2", "2.11.5", "2.14.3", "2.17.2", "2.19.0", "2.22.5"),
    *("3.1.4", "3.4.0", "3.7.0", "3.10.1", "3.14.0", "3.17.2"),
)
PREFIXED = ("2.22.5", "3.17.2")
"""Also started with --static-prefix, and reached by both addresses."""

START_SECONDS = 180
MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"


@dataclass
class Row:
    server: str
    outcome_by_job: dict[str, str]


Ask = Callable[..., Awaitable[dict[str, Any]]]


class Refused(Exception):
    """A tool answered with an error."""


async def write(ask: Ask) -> None:
    for name, accuracy in (("one", 0.8), ("two", 0.9)):
        await ask(
            "log_run",
            experiment="churn",
            run_name=name,
            params={"lr": "0.1" if name == "one" else "0.2"},
            metrics={"acc": accuracy, "loss": [[step, 1 / (step + 1)] for step in range(200)]},
            tags={"team": "growth"},
            idempotency_key=name,
        )


async def read(ask: Ask) -> None:
    found = await ask("search_runs", experiments=["churn"], filter_string="metrics.acc > 0.5")
    assert len(found["rows"]) == 2, found
    assert (await ask("get_run", run="two"))["run_id"]
    await ask("compare_runs", runs=["one", "two"])


async def rank(ask: Ask) -> None:
    best = await ask("rank_runs", metric="acc", experiments=["churn"], direction="max")
    assert "two" in str(best["rows"][0]), best


async def history(ask: Ask) -> None:
    curves = await ask("get_metric_history", runs=["one", "two"], metrics=["loss"], max_points=20)
    assert "199" in str(curves), curves


async def links(ask: Ask) -> None:
    """A link leads to a page, or there is none."""
    address = (await ask("get_run", run="one")).get("url", "")
    if not address:
        raise Refused("none without `MLFLOW_MCP_UI_URL`")
    assert httpx2.get(address.partition("#")[0], follow_redirects=True).status_code == 200, address


async def artifacts(ask: Ask) -> None:
    await ask("log_artifact", run="one", path="notes.txt", content="notes")
    assert "notes.txt" in str(await ask("list_artifacts", run="one"))
    assert "notes" in str(await ask("read_artifact", run="one", path="notes.txt"))


async def registry(ask: Ask) -> None:
    await ask("log_artifact", run="two", path="model/MLmodel", content=MLMODEL)
    await ask("register_model", name="model", run="two", model="model")
    await ask("promote_model", name="model", version="1", alias="champion")
    assert "champion" in str(await ask("get_model", name="model"))
    assert "model" in str(await ask("search_models"))


JOBS: dict[str, Callable[[Ask], Awaitable[None]]] = {
    "log runs": write,
    "search, read, compare": read,
    "rank": rank,
    "curves": history,
    "links": links,
    "artifacts": artifacts,
    "registry": registry,
}


async def drive(address: str) -> dict[str, str]:
    outcome: dict[str, str] = {}
    settings = Settings(tracking_uri=address, toolsets=("all",), confirm="never")
    engine = open_engine(settings)
    async with Client(build_server(engine)) as client:

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise Refused(f"{tool}: {result.content[0].text}")
            return result.structured_content or {}

        for job, run in JOBS.items():
            try:
                await run(ask)
                outcome[job] = "yes"
            except Refused as error:
                text = re.sub(r"127\.0\.0\.1:\d+", "HOST", str(error)).replace("|", "/")[:200]
                outcome[job] = "refused; the error names --static-prefix" if "--static-prefix" in str(error) else text
            except AssertionError as error:
                outcome[job] = f"wrong answer: {str(error)[:120]}".replace("|", "/").replace("\n", " ")
    await engine.aclose()
    return outcome


def environment_of(version: str, folder: Path) -> Path | str:
    """The python of a virtual environment with that MLflow, or why there is none."""
    python = folder / version / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / version)], check=True)
    if subprocess.run([python, "-c", "import mlflow"], capture_output=True, check=False).returncode:
        # Old versions import pkg_resources and what SQLAlchemy 2.1 no longer has.
        old = ["setuptools<80", "sqlalchemy<2.1"]
        install = [python, "-m", "pip", "install", "-q", f"mlflow=={version}", *old]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return python


@contextmanager
def server(python: Path, *options: str) -> Iterator[str]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [
            *(str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/art"),
            *options,
        ]
        # gunicorn of old versions is looked for on the PATH.
        environment = {
            **os.environ,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with open(f"{folder}/log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address, process, Path(folder) / "log")
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx2.get(f"{address}/health", timeout=START_SECONDS)
            return
        except httpx2.TransportError:
            time.sleep(0.5)
    raise RuntimeError("it did not start: " + (log.read_text().strip().splitlines() or ["no output"])[-1])


def rows(versions: list[str], folder: Path) -> Iterator[Row]:
    for version in versions:
        python = environment_of(version, folder)
        if isinstance(python, str):
            yield Row(f"{version} (not installed: {python})", {})
            continue
        try:
            with server(python) as address:
                yield Row(version, anyio.run(drive, address))
        except RuntimeError as error:
            yield Row(f"{version} ({error})", {})
            continue
        if version in PREFIXED:
            for prefix, path in (("/tracking", ""), ("/tracking", "/tracking"), ("/team/flow", "")):
                with server(python, "--static-prefix", prefix) as address:
                    words = f"{version} with --static-prefix {prefix}, reached at {path or 'the root'}"
                    yield Row(words, anyio.run(drive, address + path))


def table(found: list[Row]) -> str:
    lines = [f"| MLflow server | {' | '.join(JOBS)} |", f"| --- |{' --- |' * len(JOBS)}"]
    lines += [f"| {row.server} | {' | '.join(row.outcome_by_job.get(job, '-') for job in JOBS)} |" for row in found]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=Path, default=Path(tempfile.gettempdir()) / "mlflow-servers")
    parser.add_argument("versions", nargs="*", default=list(VERSIONS))
    chosen = parser.parse_args()
    found: list[Row] = []
    for row in rows(chosen.versions, chosen.servers):
        found.append(row)
        print(row.server, row.outcome_by_job, flush=True)
    if chosen.versions == list(VERSIONS):
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        words = (
            f"Measured with `benchmarks/server_versions.py` at commit {commit.stdout.strip()}. "
            "Each version is\ninstalled with `setuptools<80` and `sqlalchemy<2.1`, which versions before 3.11 need. "
            "MLflow 2 with `--static-prefix`\nhas its API at the root and its pages below the prefix, and can be given "
            "at either address. Nothing at the root reveals\nthe prefix: common ones are tried, and "
            "`MLFLOW_MCP_UI_URL` sets another. MLflow 3 answers only below its prefix."
        )
        write_part("servers", f"{words}\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
