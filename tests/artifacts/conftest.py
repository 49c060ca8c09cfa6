"""A run with what training scripts leave behind: model, plots, tables, logs, folders, odd names."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.rest.artifacts_api import ArtifactRoot

LOG_LINES = 20_000

TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 88, in <module>
    main()
  File "train.py", line 61, in main
    loss.backward()
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"""


def log_text(lines: int = LOG_LINES) -> str:
    """A training log that ends in a traceback."""
    steps = (f"2026-11-20 10:00:00 INFO step {step} loss={1 / step:.4f}" for step in range(1, lines + 1))
    return "\n".join([*steps, TRACEBACK, "INFO cleaning up", ""])


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(out, kind)
    return out.getvalue()


def csv_text(rows: int = 50) -> str:
    lines = [f"{i},{i / 10},{'yes' if i % 2 else 'no'},{'' if i % 5 else 'x, y'!r}" for i in range(1, rows + 1)]
    return "\n".join(["id,score,label,note", *lines]).replace("'", '"') + "\n"


def parquet_bytes(rows: int = 5_000) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    out = io.BytesIO()
    table = arrow.table(
        {"id": list(range(rows)), "name": [f"n{i}" for i in range(rows)], "score": [i / 7 for i in range(rows)]}
    )
    parquet.write_table(table, out, row_group_size=1_000)
    return out.getvalue()


def logged_table() -> str:
    return json.dumps({"columns": ["question", "answer", "ok"], "data": [["2+2?", "4", True], ["3+3?", "7", False]]})


FILES: dict[str, Callable[[], bytes]] = {
    "train.log": lambda: log_text().encode(),
    "plots/confusion matrix.png": lambda: picture(400, 300),
    "plots/large.png": lambda: picture(3_000, 2_000),
    "plots/deep/er/ünïcode 文.txt": lambda: "grüße\nzweite Zeile\n".encode(),
    "tables/predictions.csv": lambda: csv_text().encode(),
    "tables/predictions.parquet": parquet_bytes,
    "tables/eval.json": lambda: logged_table().encode(),
    "config.json": lambda: json.dumps({"lr": 0.1, "layers": [{"units": 64}, {"units": 32}], "a.b": "dotted"}).encode(),
    "weights.bin": lambda: bytes(range(256)) * 40,
    "model.pkl": lambda: b"\x80\x04\x95" + b"\x00" * 100,
    "100% done.txt": lambda: b"all of it",
}

Fill = Callable[[Engine, str], Awaitable[str]]


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    return {path: make() for path, make in FILES.items()}


@pytest.fixture
def filled(contents: dict[str, bytes]) -> Fill:
    """Makes a run in an engine's store and gives it the files, through MLflow; the id of the run."""

    async def fill(engine: Engine, experiment: str) -> str:
        api = engine.artifacts_api
        run = await engine.api.create_run(await engine.api.create_experiment(experiment, {}), "trained", 1, {})
        for path, content in contents.items():
            await api.upload(run, path, content)
        assert len(await api.list_folder(ArtifactRoot("run", run.run_id))) == 7
        return run.run_id

    return fill


def content_of(answer: dict[str, Any]) -> list[str]:
    return answer["content"].split("\n")
