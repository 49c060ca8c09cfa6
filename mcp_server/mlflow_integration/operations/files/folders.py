"""Local files that agents may name: opened only in the folders a person allowed, never through a link.

The path comes from an agent. It is compared with the allowed folders as text, without touching the disk, and
then opened part by part from the folder down, so that nothing put in its place meanwhile is followed.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, Final

from mcp_server.errors import AlreadyExistsError, InvalidInputError
from mcp_server.mlflow_integration.local.plain_files import NotPlainError, entered, open_plain, temporary_file
from mcp_server.untrusted import clip

FILES_LIMIT: Final = 1_000
"""Files of one folder; larger folders are named in parts."""

_KEY_NAME: Final = re.compile(
    r"id_(rsa|dsa|ecdsa|ed25519)(_sk)?|.*\.(pem|key|p8|p12|pfx|jks|keystore|ppk|kdbx)|credentials(\.\w+)?|g?shadow-?",
    re.IGNORECASE,
)
_KEY_SIGNS: Final = (b"private key-----", b"putty-user-key-file-", b"age-secret-key-1", b"aws_secret_access_key")
"""In lower case."""
_PIECE: Final = 1024 * 1024


class KeyScan:
    """Looks for key material in a file whose pieces it is given one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before = b""

    def look(self, piece: bytes) -> None:
        """Raises: InvalidInputError: this piece, or the end of the one before with it, holds key material."""
        # Without the zeros of UTF-16, in which Windows shells write.
        text = self._before + piece.replace(b"\x00", b"").lower()
        if any(sign in text for sign in _KEY_SIGNS):
            raise InvalidInputError(f"{_shown(self._path)} holds key material; this server does not read it.")
        self._before = text[-64:]


@contextmanager
def open_for_reading(path: str, roots: Sequence[Path], *, scan: bool = True) -> Generator[BinaryIO]:
    """A regular file in one of the allowed folders; a relative path is looked for in each of them.

    Without `scan` it is not yet searched for key material: whoever reads it gives each piece to a KeyScan.

    Raises: InvalidInputError: no folder is allowed, the path leads out of them or through a link, or the file is
        hidden, key material, a second name of another file, or not a regular file. The text shows the path as it
        was given and the allowed folders, nothing else of the disk.
    """
    for root, parts in _candidates(path, roots):
        if parts and _KEY_NAME.fullmatch(parts[-1]):
            raise InvalidInputError(
                f"{_shown(path)} looks like key material by its name; this server does not read it."
            )
        try:
            file = open_plain(root, parts)
        except FileNotFoundError:
            continue
        except NotPlainError as error:
            raise InvalidInputError(f"{_shown(path)} {error}.") from None
        except OSError:
            raise _unusable(path) from None
        with file:
            if scan:
                _need_no_key(file, path)
            yield file
        return
    raise InvalidInputError(f"There is no file {_shown(path)} in {_names(roots)}.")


@contextmanager
def open_for_writing(path: str, roots: Sequence[Path]) -> Generator[BinaryIO]:
    """A new file in an allowed folder (a relative path: in the first), with the folders above it.

    It gets its name when the block succeeds; otherwise nothing of it stays.

    Raises: AlreadyExistsError: something has that name. InvalidInputError: as `open_for_reading`.
    """
    root, parts = _candidates(path, roots)[0]
    if not parts:
        raise InvalidInputError(f"{_shown(path)} is an allowed folder itself; name a file in it.")
    begun = False
    try:
        with entered(root, parts[:-1], make=True) as folder:
            if folder.has(parts[-1]):
                raise FileExistsError
            temporary = f".{uuid.uuid4().hex}.partial"
            with temporary_file(folder, temporary) as file:
                begun = True
                yield file
            folder.rename(temporary, parts[-1])
    except FileExistsError:
        raise AlreadyExistsError(
            f"{_shown(path)} exists already; this server does not overwrite local files."
        ) from None
    except OSError as error:
        if not begun:
            raise _unusable(path) from None
        raise InvalidInputError(
            f"{_shown(path)} could not be written: {error.strerror or 'the disk failed'}."
        ) from None


def place_of(path: str, roots: Sequence[Path]) -> Path:
    """Where `open_for_writing` writes, as an absolute path. Raises: InvalidInputError: as `open_for_writing`."""
    root, parts = _candidates(path, roots)[0]
    return root.joinpath(*parts)


def writable_size(path: str, roots: Sequence[Path]) -> int | None:
    """Bytes of the file that already has the name of one to be written; None when the name is free.

    Raises: InvalidInputError: the path may not be written, or what is there is not a file.
    """
    root, parts = _candidates(path, roots)[0]
    try:
        with entered(root, parts[:-1]) as folder:
            return folder.size(parts[-1]) if parts else None
    except FileNotFoundError:
        return None
    except OSError:
        raise _unusable(path) from None


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """What a folder holds."""

    files: tuple[str, ...]
    """Paths below the folder, with slashes, sorted."""
    skipped: tuple[str, ...]
    """Hidden files and folders, links and key material, which are never read."""


def files_in(path: str, roots: Sequence[Path]) -> FolderFiles | None:
    """The files of a folder and of those below it; None when the path is not a folder.

    Raises: InvalidInputError: as `open_for_reading`; or more than FILES_LIMIT files.
    """
    for root, parts in _candidates(path, roots):
        try:
            with entered(root, parts) as folder:
                files, skipped = folder.walk(_is_kept_back, FILES_LIMIT)
        except NotADirectoryError:
            return None
        except FileNotFoundError:
            continue
        except OSError:
            raise _unusable(path) from None
        if len(files) > FILES_LIMIT:
            raise InvalidInputError(f"{_shown(path)} holds more than {FILES_LIMIT:,} files; name parts of it.")
        return FolderFiles(tuple(sorted(files)), tuple(sorted(skipped)))
    return None


# The path, as text


def _candidates(path: str, roots: Sequence[Path]) -> list[tuple[Path, tuple[str, ...]]]:
    """The allowed folders that the path may be in, each with the parts below it; at least one.

    Raises: InvalidInputError: there is none, or a part is not allowed.
    """
    if not roots:
        raise InvalidInputError(
            "Local files are read and written only in the folders of MLFLOW_MCP_ALLOWED_FOLDERS, which is not set. A "
            "person sets it where this server is started."
        )
    if "\x00" in path or not path.strip() or path != path.encode(errors="ignore").decode():
        raise InvalidInputError("A local path cannot be empty, or hold a NUL character or half a Unicode character.")
    given = Path(path)
    found: list[tuple[Path, tuple[str, ...]]] = []
    for root in roots:
        place = root.expanduser()
        if not given.is_absolute() and not given.drive and not given.root:
            found.append((place.resolve(), given.parts))
            continue
        for form in dict.fromkeys((Path(os.path.abspath(place)), place.resolve())):
            # Part by part and not as text: /data-other is not in /data.
            if given.is_relative_to(form):
                found.append((place.resolve(), given.relative_to(form).parts))
                break
    if not found:
        raise InvalidInputError(f"{_shown(path)} is outside the folders this server may use: {_names(roots)}.")
    # An allowed folder may lie in another one, and be hidden there.
    plain = [(root, parts) for root, parts in found if not _objection(parts)]
    if not plain:
        raise InvalidInputError(f"{_shown(path)} {_objection(found[0][1])}.")
    return plain


def _objection(parts: Sequence[str]) -> str:
    """What is wrong with the parts below an allowed folder; empty when nothing is."""
    for part in parts:
        if part == "..":
            return "holds '..'; give the path without it"
        if part.startswith("."):
            return "is hidden or in a hidden folder; this server does not use those"
        # Windows opens "secret.key." and "secret.key::$DATA" as secret.key, and "con" as the console.
        if os.name == "nt" and (":" in part or part.endswith((".", " ")) or PureWindowsPath(part).is_reserved()):
            return "is not an ordinary file name on Windows"
    return ""


def _is_kept_back(name: str) -> bool:
    return name.startswith(".") or _KEY_NAME.fullmatch(name) is not None


def _unusable(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"{_shown(path)} cannot be used: a part of it is a link, is not a folder, cannot be opened, or is too long. "
        "Links are not followed."
    )


def _names(roots: Sequence[Path]) -> str:
    return " or ".join(str(root) for root in roots)


def _shown(path: str) -> str:
    return repr(clip(path, 200))


def _need_no_key(file: BinaryIO, path: str) -> None:
    scan = KeyScan(path)
    while piece := file.read(_PIECE):
        scan.look(piece)
    file.seek(0)
