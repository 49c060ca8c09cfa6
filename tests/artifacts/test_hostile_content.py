"""Files that are not what they say, or that unpack to far more than they hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import connect


def png(width: int, height: int) -> bytes:
    """A small file that claims that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def parquet(**columns: Any) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet

    out = io.BytesIO()
    arrow.parquet.write_table(arrow.table(columns), out, compression="zstd")
    return out.getvalue()


def one_text_in_every_row() -> bytes:
    import pyarrow as arrow

    numbers = arrow.array([0] * 1_000, type=arrow.int32())
    return parquet(text=arrow.DictionaryArray.from_arrays(numbers, arrow.array(["y" * 2_000_000])))


NESTED = b"[" * 100_000 + b"]" * 100_000
LONG_LINE = b"x" * 9_000_000

SHOWN: list[tuple[str, Callable[[], bytes], str]] = [
    ("deep.json", lambda: NESTED, "lines: 1-1"),
    ("number.json", lambda: b'{"a": ' + b"1" * 100_000 + b"}", "lines: 1-1"),
    ("line.csv", lambda: b"a,b\n" + LONG_LINE, "the file is larger"),
    ("line.log", lambda: LONG_LINE, "lines: 1-1"),
    ("wide.csv", lambda: b",".join(b"c%d" % i for i in range(20_000)) + b"\n", "Left out to stay below"),
    ("text.parquet", one_text_in_every_row, "rows_in_file: 1000"),
    ("archive.zip", lambda: b"PK\x03\x04" + bytes(1_000), "a ZIP archive"),
    ("script.svg", lambda: b"<svg><script>alert(1)</script></svg>", "<script>"),
    ("conda.yaml", lambda: b"dependencies: " + b"[" * 500, "lines: 1-1"),
]
REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("large.png", lambda: png(60_000, 60_000), "too many pixels"),
    ("wide.png", lambda: png(6_500, 6_500), "too many to unpack"),
    ("text.png", lambda: b"not an image", "not an image"),
    ("cut.png", lambda: png(10, 10)[:40], "not an image"),
    ("list.parquet", lambda: parquet(values=[[0] * 5_000_000]), "One row of this file unpacks to more than"),
    ("junk.parquet", lambda: b"PAR1" + b"\xff" * 900 + struct.pack("<I", 800) + b"PAR1", "not a Parquet file"),
    ("claim.parquet", lambda: b"PAR1" + b"\xff" * 900 + struct.pack("<I", 2**31) + b"PAR1", "not a Parquet file"),
    ("quote.csv", lambda: b'a,b\n"' + b"x\n" * 200_000, "cannot be read as a table"),
]


@pytest.mark.parametrize(("path", "make", "expected"), [*SHOWN, *REFUSED], ids=lambda value: str(value)[:20])
async def test_a_hostile_file_is_shown_in_part_or_refused_with_a_sentence(
    mock_engine: Any, path: str, make: Callable[[], bytes], expected: str
):
    """Whole, by its end and by a pattern that could take for ever."""
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="hostile", artifacts={"a.txt": "a"}))["run_id"]
        folder = Path((await mock_engine.api.get_run(run)).artifact_uri.removeprefix("file://"))
        (folder / path).write_bytes(make())
        ask = agent.refusal if (path, make, expected) in REFUSED else agent.text
        assert expected in await ask("read_artifact", run=run, path=path)
        for part in ({"tail": 3}, {"pattern": "(x|xx)+$"}):
            result = await agent.client.call_tool("read_artifact", {"run": run, "path": path, **part})
            text = result.content[0].text  # type: ignore[union-attr]
            assert "inside this server" not in text and len(text) < 45_000


async def test_a_table_is_shown_as_rows_in_both_halves(mock_engine: Any):
    """Its facts are named like the parts of a table."""
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="tables", artifacts={"a.csv": "x,y\n1,2\n"}))["run_id"]
        text = await agent.text("read_artifact", run=run, path="a.csv")
    assert "columns:\ncolumn|type|min|mean|max|distinct\nx|integer|1|1|1|1" in text
    assert "rows:\nrow|x|y\n1|1|2" in text


async def test_params_may_be_named_like_the_parts_of_a_table(mock_engine: Any):
    """Both halves show them."""
    params = {"columns": "a,b", "rows": "7"}
    async with connect(mock_engine) as agent:
        run = (await agent.ask("log_run", experiment="tables", params=params, tags=params))["run_id"]
        text, record = await agent.text("get_run", run=run), await agent.ask("get_run", run=run)
    assert 'params: columns="a,b", rows=7' in text
    assert record["params"] == params
