"""What a file is, by its name and its first bytes. Nothing is loaded or run."""

from __future__ import annotations

import codecs
import mimetypes
from pathlib import PurePosixPath
from typing import Final, Literal

Kind = Literal["text", "json", "csv", "parquet", "image", "model", "requirements", "conda", "binary"]

_KIND_BY_NAME: Final[dict[str, Kind]] = {
    "MLmodel": "model",
    "requirements.txt": "requirements",
    "conda.yaml": "conda",
    "conda.yml": "conda",
}
_KIND_BY_SUFFIX: Final[dict[str, Kind]] = {
    **dict.fromkeys((".json", ".geojson", ".ipynb"), "json"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"), "image"),
}
_MIME_BY_SUFFIX: Final = {
    **dict.fromkeys((".log", ".out", ".err", ".md", ".txt", ".cfg", ".ini", ".toml", ".jsonl", ".tsv"), "text/plain"),
    **dict.fromkeys((".yaml", ".yml"), "application/yaml"),
    ".parquet": "application/vnd.apache.parquet",
    ".webp": "image/webp",
    ".ipynb": "application/json",
}
_KNOWN_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table: the system's files differ from machine to machine."""

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a ZIP archive (PyTorch and Keras models, NumPy .npz and skops files are ZIP archives too)"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"\xfd7zXZ", "xz-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"ARROW1", "an Arrow file"),
)


def kind_of(path: str) -> Kind:
    """What the name says; `text` when it says nothing, until the first bytes say otherwise."""
    name = PurePosixPath(path)
    return _KIND_BY_NAME.get(name.name) or _KIND_BY_SUFFIX.get(name.suffix.lower(), "text")


def mime_type(path: str) -> str:
    """By the name; `application/octet-stream` when it is not known."""
    name = PurePosixPath(path)
    if name.name == "MLmodel":
        return "application/yaml"
    known = _MIME_BY_SUFFIX.get(name.suffix.lower())
    return known or _KNOWN_TYPES.guess_type(name.name)[0] or "application/octet-stream"


def encoding_of(head: bytes) -> str:
    """The encoding of a text by its first bytes; empty when it is not text.

    One byte that is not UTF-8 does not make a text binary; many do.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return encoding
    if b"\x00" in head:
        # A part from the middle of what Windows shells write has no byte order mark.
        return "utf-16-le" if head[1::2].count(0) * 3 > len(head) and not head[::2].count(0) else ""
    # The last character may be cut; this decoder waits for its end.
    wrong = codecs.getincrementaldecoder("utf-8")("replace").decode(head).count("\ufffd")
    control = sum(head.count(bytes([code])) for code in range(32) if code not in (7, 8, 9, 10, 12, 13, 27))
    return "utf-8" if (wrong + control) * 20 <= len(head) else ""


def description_of(head: bytes) -> str:
    """What a binary file is, in words, by its first bytes."""
    for magic, words in _MAGIC:
        if head.startswith(magic):
            return words
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return "a Python pickle (loading one runs code; this server never does)"
    return "binary data"
