"""Runs every shell and YAML block of the guides from its own text and writes the outcomes, as `measure` does.

    python -m tests.guides.measure_shell [1.5 1.6 ...]

Needs ports 5000, 5432, 8080 and 9000, PostgreSQL's server programs, moto[server], boto3, awscli, uv, psycopg and
psycopg2-binary. `mlflow server`, `mlflow ui` and `mlflow models serve` end when they have answered once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from . import outcomes
from .blocks import Block, blocks
from .executor import ROOT
from .outcomes import AS_WRITTEN, NOT_HERE, WITH_COMPAT, WITH_SUBSTITUTION, Outcome
from .servers import mlflow_server, postgresql, process, storage
from .shell_catalogue import POSTGRES, SERVER, SHELL_CATALOGUE, STORAGE, ShellEntry

SECONDS = 900

_SERVES_ONCE = f"""\
#!{sys.executable}
import os, signal, subprocess, sys, time, urllib.error, urllib.request
arguments = sys.argv[1:]
command = [sys.executable, "-m", "mlflow", *arguments]
if arguments[:1] not in (["server"], ["ui"]) and arguments[:2] != ["models", "serve"]:
    sys.exit(subprocess.call(command))
named = [arguments[place + 1] for place, one in enumerate(arguments) if one in ("--port", "-p")]
port = named[0] if named else "5000"
started = subprocess.Popen(command, start_new_session=True)
path = "ping" if arguments[0] == "models" else "health"
deadline = time.monotonic() + 300
status = 1
while time.monotonic() < deadline and started.poll() is None:
    try:
        print("answered", port, urllib.request.urlopen(f"http://127.0.0.1:{{port}}/{{path}}", timeout=5).status)
        status = 0
        break
    except OSError:
        time.sleep(0.2)
try:
    os.killpg(started.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
started.wait()
sys.exit(status)
"""
"""Stands in for the command `mlflow`: servers are stopped when they answer, so that the block goes on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    for one in blocks():
        if one.language == "python" or one.name not in (chosen.names or SHELL_CATALOGUE):
            continue
        entry = SHELL_CATALOGUE[one.name]
        with tempfile.TemporaryDirectory() as folder:
            found = _measured(one, entry, Path(folder))
        outcomes.keep(found)
        print(found.name, found.outcome, found.refusal[-700:], flush=True)


def _measured(one: Block, entry: ShellEntry, folder: Path) -> Outcome:
    if entry.unavailable:
        if entry.save_as:
            _save(one.text, entry, folder)
            _python(entry.check, folder, {**os.environ})
        return Outcome(one.name, one.digest, NOT_HERE, {}, entry.unavailable)
    services = {SERVER: lambda: mlflow_server(folder / "server", 5000), POSTGRES: postgresql, STORAGE: storage}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    lacking = [name for name in entry.needs if name not in services and shutil.which(name, path=path) is None]
    if lacking:
        return Outcome(one.name, one.digest, NOT_HERE, {}, f"not installed: {', '.join(lacking)}")
    refusal, outcome = "", NOT_HERE
    with ExitStack() as stack:
        for name in entry.needs:
            if name in services:
                stack.enter_context(services[name]())
        texts = [] if entry.never_as_written else [(AS_WRITTEN, one.text)]
        if entry.substitutions:
            texts.append((WITH_SUBSTITUTION, _substituted(one, entry)))
        for number, (success, text) in enumerate(texts):
            place = folder / f"work-{number}"
            place.mkdir()
            failure = _run(text, one.language, entry, place, folder)
            if not failure:
                outcome = WITH_COMPAT if success == AS_WRITTEN and entry.compat else success
                break
            refusal = refusal or failure
    return Outcome(one.name, one.digest, outcome, {}, refusal if outcome == NOT_HERE else "")


def _run(text: str, language: str, entry: ShellEntry, place: Path, folder: Path) -> str:
    """Returns: what went wrong; empty if nothing did."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    (commands / "mlflow").write_text(_SERVES_ONCE)
    (commands / "mlflow").chmod(0o755)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    # Addresses and keys are for this block alone; the private store must not be the user's.
    environment |= {"MLFLOW_MCP_DATA_DIR": str(folder / "private"), **entry.environment}
    if entry.save_as:
        _save(text, entry, place)
    if entry.serves:
        return _served(text, entry.serves, place, environment)
    script = "" if language == "yaml" else text
    finished = subprocess.run(
        ["bash", "-e", "-c", f"{entry.prepare}\n{script}\nenv -0 > {folder}/variables"],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        return f"exit status {finished.returncode}: {(finished.stdout + finished.stderr).strip()[-1500:]}"
    pairs = (folder / "variables").read_text().split("\0")
    exported = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    exported["PATH"] = path
    prefix = "import mcp_server.mlflow_integration.compat\n" if entry.compat else ""
    return _python(prefix + entry.check, place, exported)


def _served(text: str, address: str, place: Path, environment: dict[str, str]) -> str:
    """Returns: why the page of a server, which the block starts and waits for, could not be had."""
    try:
        with process(["bash", "-e", "-c", text], place, address, environment):
            page = urllib.request.urlopen(address, timeout=30).read()
    except (AssertionError, OSError) as error:
        return str(error)[-1500:]
    return "" if b"MLflow" in page else f"{address} shows no page of MLflow"


def _python(code: str, place: Path, environment: dict[str, str]) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return "" if finished.returncode == 0 else f"the check failed: {finished.stderr[-1500:]}"


def _save(text: str, entry: ShellEntry, place: Path) -> None:
    path = place / entry.save_as
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _substituted(one: Block, entry: ShellEntry) -> str:
    text = one.text
    for before, after in entry.substitutions.items():
        assert before in text, f"{one.name} has no {before!r}"
        text = text.replace(before, after)
    return text


if __name__ == "__main__":
    main()
