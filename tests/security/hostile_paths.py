"""Paths and URIs that lead elsewhere, in every writing that was ever accepted by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

TARGETS = ("etc/passwd", "{outside}/secret.txt", "proc/self/environ", "root/.ssh/id_rsa")


def hostile_paths(outside: str, port: int) -> list[str]:
    """At least 200 different ones. `outside` is a folder with a canary, `port` a listener that must stay alone."""
    found = [text.replace("{outside}", outside.lstrip("/")).replace("{port}", str(port)) for text in _all()]
    return list(dict.fromkeys(found))


def _all() -> Iterator[str]:
    climbs = (
        "../",
        "..\\",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%2f",
        "..%5c",
        "%252e%252e%252f",
        "..;/",
        "....//",
        "..//",
        "./../",
    )
    for climb, depth, target in product(climbs, (1, 3, 8), TARGETS[:2]):
        yield climb * depth + target
    for target in TARGETS:
        yield from (f"/{target}", f"//{target}", f"///{target}", f"\\{target}", f"/./{target}", f"notes/../../{target}")
        yield from (f"file:///{target}", f"file:/{target}", f"file://localhost/{target}", f"FILE:///{target}")
        yield from (f"runs:/../{target}", f"models:/../{target}", f"mlflow-artifacts:/../../{target}", f"~/{target}")
        yield from (f"notes/%2e%2e/%2e%2e/{target}", f"a/b/c/../../../../{target}", f"notes.txt/../../{target}")
        yield from (
            f"notes.txt\x00/{target}",
            f"{target}\x00.txt",
            f"/proc/self/root/{target}",
            f"/dev/fd/../../{target}",
        )
    schemes = (
        "http",
        "https",
        "ftp",
        "sftp",
        "s3",
        "gs",
        "hdfs",
        "viewfs",
        "mlflow-artifacts",
        "dbfs",
        "abfss",
        "wasbs",
        "r2",
        "b2",
        "smb",
    )
    for scheme in schemes:
        yield f"{scheme}://127.0.0.1:{{port}}/secret.txt"
        yield f"{scheme}://user:pw@127.0.0.1:{{port}}/1/artifacts"
    yield from (
        "\\\\127.0.0.1@{port}\\share\\x",
        "//127.0.0.1:{port}/x",
        "http:/127.0.0.1:{port}/x",
        "data:text/plain,x",
    )
    yield from ("link.txt", "linked folder/secret.txt", "hard.txt", "pipe", "within.txt", "link.txt/", "./link.txt")
    yield from (
        "",
        " ",
        ".",
        "..",
        "...",
        "/",
        "//",
        "\\",
        "\x00",
        "\x1b[2J",
        "\u202e../",
        "a" * 300,
        "a/" * 700,
        "x" * 5_000,
    )
    yield from (
        "C:\\Windows\\win.ini",
        "C:/Windows/win.ini",
        "c:secret.txt",
        "\\\\?\\C:\\x",
        "con",
        "nul",
        "aux.txt",
        "a:b",
    )
    yield from ("notes.txt#x", "notes.txt?x=1", "*", "**", "$(id)", "`id`", "; id", "| id", "%00", "%", "%zz", "\ud800")
    yield from ("${HOME}/x", "%USERPROFILE%\\x", "{outside}", "/{outside}", "/{outside}/", "/{outside}/secret.txt/.")
