"""Local files: whatever an agent names, only plain files of the allowed folders are opened."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_server.errors import AlreadyExistsError, InvalidInputError
from mcp_server.mlflow_integration.local import plain_files
from mcp_server.mlflow_integration.operations.files import folders
from mcp_server.mlflow_integration.operations.files.folders import files_in, open_for_reading, open_for_writing

CANARY = b"canary-of-a-file-outside"
OPENS = 2_000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and sockets are made as POSIX has them")


@pytest.fixture(params=[True, False], ids=["by-descriptor", "by-path"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An allowed folder with a file, beside one that is not allowed; opened as on POSIX and as on Windows."""
    monkeypatch.setattr(plain_files, "BY_DESCRIPTOR", request.param)
    allowed, outside = tmp_path / "data", tmp_path / "outside"
    (allowed / "sub folder").mkdir(parents=True)
    (allowed / "plain.txt").write_bytes(b"plain")
    (allowed / "sub folder" / "ünïcode 文.txt").write_bytes(b"deep")
    outside.mkdir()
    (outside / "secret.txt").write_bytes(CANARY)
    (tmp_path / "data-twin").mkdir()
    (tmp_path / "data-twin" / "secret.txt").write_bytes(CANARY)
    return allowed


def read(path: str, *roots: Path) -> bytes:
    with open_for_reading(path, roots) as file:
        return file.read()


@pytest.mark.parametrize(
    "form", ["{root}/plain.txt", "plain.txt", "./plain.txt", "{root}//plain.txt", "{root}/./plain.txt"]
)
def test_a_plain_file_is_read_by_absolute_and_relative_path(place: Path, form: str):
    """A relative path is looked for in every allowed folder."""
    other = place.parent / "other"
    other.mkdir()
    assert read(form.format(root=place), other, place) == b"plain"


def test_folders_in_folders_spaces_and_unicode_are_read(place: Path):
    """Names are names."""
    assert read("sub folder/ünïcode 文.txt", place) == b"deep"


def test_an_allowed_folder_may_itself_be_a_link(place: Path):
    """The person who allowed it chose where it leads."""
    link = place.parent / "link-to-data"
    link.symlink_to(place)
    assert read(f"{link}/plain.txt", link) == b"plain"
    assert read(f"{place}/plain.txt", link) == b"plain"


def make_symlink(root: Path) -> str:
    (root / "link.txt").symlink_to(root.parent / "outside" / "secret.txt")
    return "link.txt"


def make_symlink_within(root: Path) -> str:
    (root / "within.txt").symlink_to(root / "plain.txt")
    return "within.txt"


def make_linked_folder(root: Path) -> str:
    (root / "folder").symlink_to(root.parent / "outside")
    return "folder/secret.txt"


def make_link_chain(root: Path) -> str:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root.parent / "outside")
    return "a/secret.txt"


def make_hard_link(root: Path) -> str:
    os.link(root.parent / "outside" / "secret.txt", root / "hard.txt")
    return "hard.txt"


def make_pipe(root: Path) -> str:
    os.mkfifo(root / "pipe")
    return "pipe"


def make_socket(root: Path) -> str:
    here = os.getcwd()
    os.chdir(root)  # The path of a socket is short.
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
    finally:
        os.chdir(here)
    return "socket"


def make_hidden(root: Path) -> str:
    (root / ".env").write_bytes(CANARY)
    return ".env"


def make_hidden_folder(root: Path) -> str:
    (root / ".ssh").mkdir()
    (root / ".ssh" / "config").write_bytes(CANARY)
    return ".ssh/config"


def make_key(name: str) -> Callable[[Path], str]:
    def make(root: Path) -> str:
        (root / name).write_bytes(CANARY)
        return name

    return make


def make_key_content(content: bytes) -> Callable[[Path], str]:
    def make(root: Path) -> str:
        (root / "notes.txt").write_bytes(content + CANARY)
        return "notes.txt"

    return make


def given(path: str) -> Callable[[Path], str]:
    return lambda root: path.format(root=root, outside=root.parent / "outside", parent=root.parent)


ESCAPES = [
    *(make_symlink, make_symlink_within, make_linked_folder, make_link_chain, make_hard_link, make_pipe, make_socket),
    *(make_hidden, make_hidden_folder),
    *map(make_key, ["id_rsa", "ID_ED25519", "server.pem", "tls.key", "store.p12", "credentials", "credentials.json"]),
    make_key_content(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    make_key_content(b"x" * (1024 * 1024 - 8) + b"-----BEGIN RSA PRIVATE KEY-----\n"),
    make_key_content(b'{"private_key": "-----BEGIN PRIVATE KEY-----'),
    make_key_content(b"[default]\nAWS_SECRET_ACCESS_KEY = "),
    make_key_content("-----BEGIN RSA PRIVATE KEY-----\n".encode("utf-16")),
    *map(
        given,
        [
            *(
                "",
                " ",
                ".",
                "{root}",
                "sub folder",
                "{root}/sub folder",
                "missing.txt",
                "plain.txt/x",
                "/",
                "~",
                "~root",
            ),
            *("../outside/secret.txt", "{root}/../outside/secret.txt", "sub folder/../../outside/secret.txt"),
            *(
                "{outside}/secret.txt",
                "{parent}/data-twin/secret.txt",
                "{root}-twin/secret.txt",
                "//{outside}/secret.txt",
            ),
            *(
                "/etc/passwd",
                "/proc/self/environ",
                "/proc/self/root/etc/passwd",
                "/dev/zero",
                "/dev/stdin",
                "/dev/fd/0",
            ),
            *("~/.ssh/id_rsa", "file:///etc/passwd", "file://{outside}/secret.txt", "http://127.0.0.1:9/x"),
            *("\\\\host\\share\\x", "C:\\Windows\\win.ini", "..\\outside\\secret.txt", "plain.txt\x00.png", "\x00"),
            *(
                "%2e%2e/outside/secret.txt",
                "..%2foutside%2fsecret.txt",
                "${{HOME}}/x",
                "$(id)",
                "x" * 300,
                "x/" * 3_000,
            ),
            *("x" * 5_000, "\ud800", "pla\u0000in.txt", "plain.txt\n", "..", "../", "./..", "...", "/.."),
        ],
    ),
]


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda make: make.__name__)
def test_every_way_out_is_refused_with_a_sentence(place: Path, escape: Callable[[Path], str]):
    """Nothing outside is read, whatever leads to it; the text shows nothing of it."""
    path = escape(place)
    with pytest.raises(InvalidInputError) as refused:
        read(path, place)
    assert CANARY.decode() not in str(refused.value)
    assert str(refused.value).endswith((".", "started."))
    assert len(str(refused.value)) < 1_000


def test_no_file_is_read_when_no_folder_is_allowed(place: Path):
    """The default."""
    with pytest.raises(InvalidInputError, match="MLFLOW_MCP_ALLOWED_FOLDERS"):
        read(f"{place}/plain.txt")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
@pytest.mark.parametrize("path", ["/proc/self/environ", f"/proc/{os.getpid()}/environ", "/proc/version"])
def test_the_windows_into_the_kernel_stay_closed_when_everything_is_allowed(place: Path, path: str):
    """Even an allowed root folder is no reason to read another process."""
    with pytest.raises(InvalidInputError, match=r"not a regular file|cannot be used"):
        read(path, Path("/"))


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_put_in_place_between_looking_and_opening_is_not_followed(place: Path, linked: str):
    """While a thread swaps a file or its folder for a link outwards, every read is the plain file or a refusal."""
    outside = place.parent / "outside"
    (outside / "victim.txt").write_bytes(CANARY)
    real, target = place / "real", place / "swapped"
    real.mkdir()
    (real / "victim.txt").write_bytes(b"plain")
    swapped = target / "victim.txt" if linked == "file" else target
    plain, hostile = (real / "victim.txt", outside / "victim.txt") if linked == "file" else (real, outside)
    if linked == "file":
        target.mkdir()
    stop = threading.Event()

    def swap() -> None:
        spare = place / "spare"
        while not stop.is_set():
            if linked == "file":
                spare.write_bytes(plain.read_bytes())
                os.replace(spare, swapped)
            else:
                if swapped.is_symlink():
                    swapped.unlink()
                os.rename(plain, swapped)
                os.rename(swapped, plain)
            os.symlink(hostile, spare)
            os.replace(spare, swapped)

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    outcomes = set[bytes]()
    try:
        for _ in range(OPENS):
            try:
                outcomes.add(read("swapped/victim.txt", place))
            except InvalidInputError:
                outcomes.add(b"refused")
    finally:
        stop.set()
        thread.join(10)
    assert outcomes <= {b"plain", b"refused"}
    assert b"refused" in outcomes


def test_a_file_is_written_whole_with_the_folders_above_it(place: Path):
    """Relative paths go to the first allowed folder."""
    with open_for_writing("new/deep/out.txt", [place]) as file:
        file.write(b"content")
        assert not (place / "new" / "deep" / "out.txt").exists()
    assert (place / "new" / "deep" / "out.txt").read_bytes() == b"content"
    assert sorted(path.name for path in (place / "new" / "deep").iterdir()) == ["out.txt"]


def test_a_write_that_fails_leaves_nothing(place: Path):
    """Neither half a file nor a temporary one."""
    with pytest.raises(ValueError, match="half way"), open_for_writing("out.txt", [place]) as file:
        file.write(b"half")
        raise ValueError("half way")
    assert sorted(path.name for path in place.iterdir()) == ["plain.txt", "sub folder"]


def test_nothing_is_overwritten(place: Path):
    """Nor when the file appears while the other one is written."""
    with pytest.raises(AlreadyExistsError, match="exists already"), open_for_writing("plain.txt", [place]) as file:
        file.write(b"other")
    with pytest.raises(AlreadyExistsError, match="exists already"), open_for_writing("late.txt", [place]) as file:
        (place / "late.txt").write_bytes(b"first")
        file.write(b"second")
    assert (place / "plain.txt").read_bytes() == b"plain"
    assert (place / "late.txt").read_bytes() == b"first"
    assert not list(place.glob(".*"))


@pytest.mark.parametrize(
    "path",
    [
        *("../out.txt", "{outside}/out.txt", "/tmp/out.txt", "folder/out.txt", ".hidden", ".git/hooks/x", "{root}"),
        *("\x00", "", "x" * 300, "plain.txt/out.txt", "{root}-twin/out.txt"),
    ],
)
def test_nothing_is_written_outside(place: Path, path: str):
    """As for reading; a linked folder is not entered."""
    outside = place.parent / "outside"
    (place / "folder").symlink_to(outside)
    before = sorted(place.parent.rglob("*"))
    with pytest.raises(InvalidInputError), open_for_writing(path.format(root=place, outside=outside), [place]) as file:
        file.write(b"x")
    assert sorted(place.parent.rglob("*")) == before


def test_the_files_of_a_folder_leave_out_links_hidden_and_key_material_and_say_so(place: Path):
    """A folder is uploaded with what may be read of it."""
    make_hidden(place)
    make_hidden_folder(place)
    make_key("id_rsa")(place)
    make_linked_folder(place)
    found = files_in(str(place), [place])
    assert found is not None
    assert found.files == ("plain.txt", "sub folder/ünïcode 文.txt")
    assert found.skipped == (".env", ".ssh", "folder", "id_rsa")
    assert files_in("plain.txt", [place]) is None


def test_a_folder_with_too_many_files_is_named_in_parts(place: Path, monkeypatch: pytest.MonkeyPatch):
    """An upload of a whole home folder is a mistake."""
    monkeypatch.setattr(folders, "FILES_LIMIT", 3)
    for number in range(4):
        (place / f"{number}.txt").touch()
    with pytest.raises(InvalidInputError, match="more than 3 files"):
        files_in(".", [place])


def test_refusals_leave_no_descriptor_open(place: Path):
    """A call that is refused costs nothing that lasts."""
    before = len(os.listdir("/dev/fd"))
    for path in (
        "",
        ".",
        "sub folder",
        make_hard_link(place),
        make_pipe(place),
        make_key_content(b"PRIVATE KEY-----")(place),
    ):
        for _ in range(5):
            with pytest.raises(InvalidInputError):
                read(path, place)
    assert len(os.listdir("/dev/fd")) == before
