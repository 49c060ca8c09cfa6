"""What the benchmarks share: a server over pipes, an MLflow to ask, medians of interleaved rounds, one table.

The machine may be busy with other things, so what is compared takes turns (A B A B) and medians and
ratios are what counts. Everything is started here, on loopback and in temporary folders, and is gone at the end.
"""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx2

HERE: Final = Path(__file__).resolve().parent
PATIENCE_SECONDS: Final = 180
"""After this a process that was started here is stuck, and its benchmark fails."""
OURS: Final = (sys.executable, "-m", "mcp_server")
METRICS: Final = ("accuracy", "f1", "auc", "precision", "recall", "loss")
PARAMS: Final = ("model", "lr", "batch_size", "epochs", "optimizer", "dropout", "weight_decay", "depth", "seed")


# The table


class Report:
    """Rows of `what, ours, reference, ratio, target`; a target that is missed is said, not hidden."""

    def __init__(self, title: str) -> None:
        packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "mlflow", "pydantic"))
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
        print(f"{title}\n{commit()}; Python {platform.python_version()}, {packages}; {machine}\n")
        self._rows: list[tuple[str, ...]] = [("what", "ours", "reference", "ratio", "target", "")]

    def add(
        self,
        what: str,
        ours: float,
        unit: str,
        *,
        reference: float | None = None,
        most_ratio: float | None = None,
        most: float | None = None,
    ) -> None:
        """One row; the target is a largest ratio to the reference or a largest value."""
        ratio = ours / reference if reference else None
        target, reached = "", True
        if most_ratio is not None and ratio is not None:
            target, reached = f"<= {most_ratio:g} x", ratio <= most_ratio
        elif most is not None:
            target, reached = f"<= {shown(most, unit)}", ours <= most
        self._rows.append(
            (
                what,
                shown(ours, unit),
                "" if reference is None else shown(reference, unit),
                "" if ratio is None else f"{ratio:.2f}",
                target,
                ("reached" if reached else "MISSED") if target else "",
            )
        )

    def note(self, what: str, text: str) -> None:
        self._rows.append((what, text, "", "", "", ""))

    def show(self) -> None:
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        for row in self._rows:
            numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())


def commit() -> str:
    """The commit that is measured, so that a figure can be traced to its code."""
    git = ("git", "-C", str(HERE))
    try:
        short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "../mcp_server"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "not in a git checkout"
    return f"commit {short.stdout.strip()}{' with uncommitted changes' if changed.stdout else ''}"


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1_000:,.0f} ms" if value < 10 else f"{value:,.1f} s"
    return f"{value:,.0f} {unit}".strip()


def run(main: Callable[[], None]) -> None:
    """Exit status 1 when something failed to run; a missed target is a result like any other."""
    # Nothing of the person's MLflow reaches a benchmark, and nothing of a benchmark stays.
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    home = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
            os.environ.update(MLFLOW_MCP_DATA_DIR=folder, MLFLOW_DISABLE_TELEMETRY="true")
            os.chdir(folder)
            try:
                main()
            finally:
                os.chdir(home)
    except Exception as error:
        print(f"{Path(sys.argv[0]).name} could not run: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


# Time


def interleaved(rounds: int, *actions: Callable[[], Any]) -> tuple[list[Any], ...]:
    """What each action returned, in each round one after the other, so that a busy moment meets all of them."""
    results: tuple[list[Any], ...] = tuple([] for _ in actions)
    for _ in range(rounds):
        for action, kept in zip(actions, results, strict=True):
            kept.append(action())
    return results


def seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    action()
    return clock() - began


median = statistics.median


# Our server, or another, over pipes


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: nothing of the person's MLflow, no telemetry, bytecode kept."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k != "PYTHONDONTWRITEBYTECODE"}
    # Modules of this folder can then be started with -m, as ours is.
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(HERE))))
    return {**kept, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}


class StdioServer:
    """A server as a host has it: a child process and JSON lines through its stdin and stdout."""

    def __init__(
        self, command: Sequence[str] = OURS, *, patience_seconds: float = PATIENCE_SECONDS, **variables: str
    ) -> None:
        self.began = time.perf_counter()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(**variables),
            cwd=self._folder.name,
        )
        self._stuck = threading.Timer(patience_seconds, self.process.kill)
        self._stuck.daemon = True
        self._stuck.start()
        self._ids = 0
        self._arrived: dict[int, tuple[float, dict[str, Any]]] = {}

    def __enter__(self) -> StdioServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stuck.cancel()
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]
        self._log.close()
        self._folder.cleanup()

    def initialize(self) -> float:
        """Introduces us; the moment of the answer (time.perf_counter)."""
        client = {"name": "benchmark", "version": "1"}
        arrived, _ = self.receive(
            self.send("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        )
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return arrived

    def send(self, method: str, **params: Any) -> int:
        self._ids += 1
        self._write({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        return self._ids

    def call(self, tool: str, /, **arguments: Any) -> int:
        return self.send("tools/call", name=tool, arguments=arguments)

    def receive(self, number: int) -> tuple[float, dict[str, Any]]:
        """The moment the answer was read, and its `result`; answers to others are kept until they are asked for."""
        while number not in self._arrived:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            now = time.perf_counter()
            if not line:
                self._log.seek(0)
                raise RuntimeError(f"the server ended: {self._log.read().decode(errors='replace')[-2_000:]}")
            message = json.loads(line)
            if "result" in message or "error" in message:
                self._arrived[message["id"]] = (now, message)
        arrived, message = self._arrived.pop(number)
        if "error" in message:
            raise RuntimeError(f"the server refused: {message['error']}")
        return arrived, message["result"]

    def ask(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The whole result of a tool that must answer."""
        _, result = self.receive(self.call(tool, **arguments))
        if result.get("isError"):
            raise RuntimeError(f"{tool}: {result['content'][0]['text']}")
        return result

    def cpu_seconds(self) -> float | None:
        """User and system time so far; None where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float | None:
        """Resident megabytes; None where there is no /proc."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def _write(self, message: Mapping[str, Any]) -> None:
        self.process.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]


def size(value: Any) -> int:
    """Bytes of a value as compact JSON; of a text, as it is."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode())


# MLflow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def mlflow_server(database: Path | None = None) -> Iterator[str]:
    """Address of an `mlflow server` on a free loopback port; its store is temporary unless one is given."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        address = f"http://127.0.0.1:{free_port()}"
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
                    *("--backend-store-uri", f"sqlite:///{(database or folder / 'mlflow.db').as_posix()}"),
                    *("--artifacts-destination", str(folder / "artifacts")),
                ],
                stdout=log,
                stderr=log,
                # Its job runners are eight more processes, which no benchmark uses.
                env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
                cwd=folder,
                start_new_session=True,
            )
        try:
            # httpx2 repeats the connection itself until the server listens.
            transport = httpx2.HTTPTransport(retries=PATIENCE_SECONDS // 4)
            with httpx2.Client(transport=transport, timeout=PATIENCE_SECONDS) as client:
                try:
                    client.get(f"{address}/health").raise_for_status()
                except httpx2.HTTPError as error:
                    raise RuntimeError(
                        f"mlflow server did not start: {(folder / 'log').read_text()[-2_000:]}"
                    ) from error
            yield address
        finally:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # With its workers; nothing of it is kept.
            else:
                process.kill()
            process.wait(20)


class Rest:
    """MLflow's REST interface with nothing in between: for seeding, and as the reference."""

    def __init__(self, address: str) -> None:
        self.client = httpx2.Client(base_url=f"{address}/api/2.0/mlflow/", timeout=60)

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def post(self, route: str, **body: Any) -> Any:
        return self.client.post(route, json=body).raise_for_status().json()

    def get(self, route: str, **params: Any) -> bytes:
        return self.client.get(route, params=params).raise_for_status().content

    def seed_sweep(self, name: str, runs: int) -> list[str]:
        """An experiment of finished runs with METRICS and PARAMS; half of them have an accuracy above 0.9."""
        experiment = self.post("experiments/create", name=name)["experiment_id"]
        return [self.seed_run(experiment, f"run-{i:03}", *sweep_values(i, runs)) for i in range(runs)]

    def seed_run(self, experiment: str, name: str, metrics: Mapping[str, float], params: Mapping[str, str]) -> str:
        began = 1_760_000_000_000
        run_id = self.post("runs/create", experiment_id=experiment, run_name=name, start_time=began)
        run_id = run_id["run"]["info"]["run_id"]
        self.post(
            "runs/log-batch",
            run_id=run_id,
            metrics=[{"key": k, "value": v, "timestamp": began, "step": 0} for k, v in metrics.items()],
            params=[{"key": k, "value": v} for k, v in params.items()],
        )
        self.post("runs/update", run_id=run_id, status="FINISHED", end_time=began + 60_000)
        return run_id

    def seed_curve(self, name: str, steps: int) -> str:
        """A run with a falling, noisy loss of that many steps."""
        experiment = self.post("experiments/create", name=name)["experiment_id"]
        run_id = self.seed_run(experiment, "long", {"accuracy": 0.9}, {"lr": "0.01"})
        noise = random.Random(7)
        points = [
            {"key": "loss", "value": 2 / (1 + step / 500) + noise.gauss(0, 0.01), "timestamp": step * 100, "step": step}
            for step in range(steps)
        ]
        for start in range(0, steps, 1_000):  # MLflow's limit of one batch.
            self.post("runs/log-batch", run_id=run_id, metrics=points[start : start + 1_000])
        return run_id


def sweep_values(number: int, of: int) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and params of one run, the same at every start."""
    chance = random.Random(number)
    accuracy = 0.8 + 0.2 * (number * 7 % of) / of
    metrics = {key: accuracy + chance.uniform(-0.02, 0.0) for key in METRICS} | {"accuracy": accuracy}
    metrics["loss"] = 1 - accuracy + chance.uniform(0, 0.1)
    params = (
        chance.choice(("cnn", "resnet18", "vit")),
        f"{10 ** chance.uniform(-4, -2):.6f}",
        str(chance.choice((32, 64, 128))),
        "20",
        chance.choice(("adam", "sgd")),
        f"{chance.uniform(0, 0.5):.2f}",
        "0.0001",
        str(chance.randint(2, 8)),
        str(number % 5),
    )
    return metrics, dict(zip(PARAMS, params, strict=True))


def fill_database(path: Path, runs: int) -> None:
    """A new SQLite store with one experiment (id 1) of that many runs: 5 metrics, 5 params and 4 tags each.

    Made row by row in SQL: over REST 100,000 runs take an hour. The schema is that of MLflow's migrations,
    and as MLflow leaves it: without statistics for SQLite's planner. Made by a child, because it imports
    mlflow, and a process that has done so is measured as something else.
    """
    subprocess.run(
        [sys.executable, str(HERE / "measure.py"), str(path), str(runs)], env=environment(), check=True, timeout=900
    )


def _fill(path: Path, runs: int) -> None:
    from mcp_server.mlflow_integration.local import schema_template as template
    from mcp_server.mlflow_integration.local.environment import prepare_environment
    from mcp_server.mlflow_integration.local.mlflow_internals import latest_schema_revision

    prepare_environment("server")
    template.create_database(path, template.schema_statements(latest_schema_revision(), path.parent))
    began = 1_700_000_000_000
    chance = random.Random(7)
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(runs)]
    metrics = [
        (key, chance.random(), began + i, 0, 0, run_id)
        for i, run_id in enumerate(ids)
        for key in ("acc", "f1", "auc", "recall", "loss")
    ]
    params = [
        (key, str(chance.randint(0, 20)), run_id)
        for run_id in ids
        for key in ("lr", "depth", "batch_size", "epochs", "seed")
    ]
    tags = [
        (key, value, run_id)
        for i, run_id in enumerate(ids)
        for key, value in (
            ("mlflow.runName", f"run-{i}"),
            ("mlflow.user", "someone"),
            ("mlflow.source.name", "train.py"),
            ("mlflow.source.type", "LOCAL"),
        )
    ]
    rows = [
        (run_id, f"run-{i}", "UNKNOWN", "", "", "someone", "FINISHED", began + i, began + i + 60_000, "", "active",
         f"{path.parent}/mlruns/1/{run_id}/artifacts", 1)
        for i, run_id in enumerate(ids)
    ]  # fmt: skip
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            "INSERT INTO experiments VALUES (1, 'big', ?, 'active', ?, ?, 'default')",
            (f"{path.parent}/mlruns/1", began, began),
        )
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
            " start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
        insert = "INSERT INTO {} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,?,?,?)"
        connection.executemany(insert.format("latest_metrics"), metrics)
        connection.executemany(insert.format("metrics"), metrics)
        connection.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?,?,?)", params)
        connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?,?,?)", tags)
        connection.execute("DROP TABLE IF EXISTS sqlite_stat1")
        connection.execute("COMMIT")
    finally:
        connection.close()


if __name__ == "__main__":
    _fill(Path(sys.argv[1]), int(sys.argv[2]))
