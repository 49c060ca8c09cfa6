"""Artifacts on other stores than the server's own, and files that are larger than memory allows."""

from __future__ import annotations

import filecmp
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import open_engine
from mcp_server.mlflow_integration.rest.artifacts_api import UPLOAD_LIMIT
from mcp_server.settings import Settings
from tests.artifacts.conftest import TRACEBACK, Fill, content_of, log_text
from tests.conftest import _wait_for_health, connect, free_port

MEGABYTE = 1024 * 1024
GROWTH_LIMIT = 8 * MEGABYTE


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `mlflow server` that keeps artifacts in S3, which moto plays."""
    moto = pytest.importorskip("moto.server", reason="moto plays S3; pip install moto[server] boto3")
    boto3 = pytest.importorskip("boto3")
    s3 = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    endpoint = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    ).create_bucket(Bucket="artifacts")
    folder = tmp_path_factory.mktemp("s3")
    address = f"http://127.0.0.1:{free_port()}"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"),
                *("--port", address.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--no-serve-artifacts", "--default-artifact-root", "s3://artifacts/root"),
            ],
            env={**os.environ, **credentials, "MLFLOW_S3_ENDPOINT_URL": endpoint},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for_health(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        s3.stop()


async def test_artifacts_in_s3_are_listed_and_read_through_the_server(
    s3_server: str, filled: Fill, contents: Any, tmp_path: Path
):
    """Text, end, pattern, table and image, with the server's own credentials; uploads up to what MLflow takes."""
    engine = open_engine(Settings.load(tracking_uri=s3_server, allowed_folders=str(tmp_path)))
    (tmp_path / "large.bin").write_bytes(bytes(UPLOAD_LIMIT + 1))
    (tmp_path / "fits.bin").write_bytes(bytes(UPLOAD_LIMIT))
    async with connect(engine) as agent:
        run = await filled(engine, "in s3")
        assert (await engine.api.get_run(run)).artifact_uri.startswith("s3://artifacts/root/")
        rows = await agent.rows("list_artifacts", run=run)
        assert {row["path"]: row["size_bytes"] for row in rows} == {path: len(data) for path, data in contents.items()}
        last = await agent.ask("read_artifact", run=run, path="train.log", tail=8)
        assert content_of(last) == log_text().rstrip("\n").split("\n")[-8:]
        found = await agent.ask("read_artifact", run=run, path="train.log", pattern="Traceback", context=0)
        assert "OutOfMemoryError" in found["content"]
        parquet = await agent.ask(
            "read_artifact", run=run, path="tables/predictions.parquet", start_line=4_000, end_line=4_000
        )
        assert parquet["rows"]["rows"][0][:3] == [4_000, 3_999, "n3999"]
        image = await agent.client.call_tool("read_artifact", {"run": run, "path": "plots/large.png"})
        assert image.content[1].type == "image"
        missing = await agent.refusal("read_artifact", run=run, path="plots/larg.png")
        assert "plots/large.png" in missing
        refused = await agent.refusal("log_artifact", run=run, files=["fits.bin", "large.bin"])
        assert "'large.bin' is larger than 10 MiB" in refused
        assert "fits.bin" not in {row["path"] for row in await agent.rows("list_artifacts", run=run)}
        assert (await agent.ask("log_artifact", run=run, files=["fits.bin"]))["size_bytes"] == UPLOAD_LIMIT


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from /proc")
async def test_a_file_of_300_megabytes_costs_little_memory_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The end, the beginning and a match in a 50 MB log, a description of 300 MB of bytes: read in pieces."""
    # The folder of the machine belongs to others as well.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    engine = open_engine(Settings.load(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"))
    async with connect(engine) as agent:
        run = (await agent.ask("log_run", experiment="large", artifacts={"small.log": log_text(500)}))["run_id"]
        folder = Path((await engine.api.get_run(run)).artifact_uri.removeprefix("file://"))
        _write_large_files(folder)
        for arguments in ({"tail": 5}, {"pattern": "Traceback"}, {}):  # Whatever is imported or kept once.
            await agent.ask("read_artifact", run=run, path="small.log", **arguments)
        before = _reset_peak()
        last = await agent.ask("read_artifact", run=run, path="long.log", tail=7)
        found = await agent.ask("read_artifact", run=run, path="log.log", pattern="^Traceback", context=0)
        await agent.ask("read_artifact", run=run, path="long.log")
        await agent.ask("read_artifact", run=run, path="weights.bin")
        growth = _memory("VmHWM") - before
    assert content_of(last)[-1].startswith("torch.cuda.OutOfMemoryError")
    assert found["matching_lines"] == 1
    assert found["total_lines"] > 500_000
    assert growth < GROWTH_LIMIT, f"{growth / MEGABYTE:.1f} MB"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("store", ["sqlite", "server"])
async def test_a_large_file_is_uploaded_and_downloaded_in_little_memory(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
):
    """In this process and to a server that keeps artifacts itself."""
    uri = request.getfixturevalue("mlflow_server") if store == "server" else f"sqlite:///{tmp_path}/mlflow.db"
    engine = open_engine(Settings.load(tracking_uri=uri, allowed_folders=str(tmp_path), timeout_seconds=300))
    for name, size in (("small.bin", UPLOAD_LIMIT + 1), ("large.bin", 24 * MEGABYTE)):
        _write_block(tmp_path / name, size)
    async with connect(engine) as agent:
        run = (await agent.ask("log_run", experiment="large uploads", files=["small.bin"]))["run_id"]
        await agent.ask("download_artifacts", run=run, to="down", path="small.bin")
        before = _reset_peak()
        await agent.ask("log_artifact", run=run, files=["large.bin"])
        await agent.ask("download_artifacts", run=run, to="down", path="large.bin")
        growth = _memory("VmHWM") - before
    assert growth < GROWTH_LIMIT, f"{growth / MEGABYTE:.1f} MB"
    assert filecmp.cmp(tmp_path / "large.bin", tmp_path / "down" / "large.bin", shallow=False)


def _write_block(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.write(b"start")
        file.truncate(size)


def _write_large_files(folder: Path) -> None:
    block = (log_text(10_000).rpartition("Traceback")[0] * 4).encode()
    for name, size in (("long.log", 300 * MEGABYTE), ("log.log", 50 * MEGABYTE)):
        with open(folder / name, "wb") as file:
            while file.tell() < size:
                file.write(block)
            file.write(f"\n{TRACEBACK}\n".encode())
    with open(folder / "weights.bin", "wb") as file:
        file.truncate(300 * MEGABYTE)


def _reset_peak() -> int:
    """Makes the peak of memory what is used now, and returns that in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
