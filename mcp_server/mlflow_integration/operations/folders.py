"""Local files that agents may name: opened only in the folders a person allowed, never through a link.

The path comes from an agent. It is compared with the allowed folders as text, without touching the disk, and
then opened part by part from the folder down, so that nothing put in its place meanwhile is followed.
"""

from __future__ import annotations

import os
import re
import stat
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, Final

from mcp_server.errors import AlreadyExistsError, InvalidInputError
from mcp_server.untrusted import clip

FILES_LIMIT: Final = 1_000
"""Files of one folder; larger folders are named in parts."""

_BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""False on Windows, where each part is looked at before and after opening instead."""
_BINARY: Final[int] = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_READ: Final[int] = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)  # A pipe is not waited for.
_ENTER: Final[int] = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
_CREATE: Final[int] = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW

_KEY_NAME: Final = re.compile(
    r"id_(rsa|dsa|ecdsa|ed25519)(_sk)?|.*\.(pem|key|p8|p12|pfx|jks|keystore|ppk|kdbx)|credentials(\.\w+)?|g?shadow-?",
    re.IGNORECASE,
)
_KEY_CONTENT: Final = re.compile(
    rb"PRIVATE KEY-----|PuTTY-User-Key-File-|AGE-SECRET-KEY-1|aws_secret_access_key", re.IGNORECASE
)
_PIECE: Final = 1024 * 1024
_SYSTEM_FOLDERS: Final = ("/proc", "/sys", "/dev")
"""Their files are windows into the kernel and other processes."""


@contextmanager
def open_for_reading(path: str, roots: Sequence[Path]) -> Generator[BinaryIO]:
    """A regular file in one of the allowed folders; a relative path is looked for in each of them.

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
            with _entered(root, parts[:-1]) as folder:
                descriptor = folder.open(parts[-1] if parts else ".", _READ)
        except FileNotFoundError:
            continue
        except OSError:
            raise _unusable(path) from None
        try:
            _need_ordinary(os.fstat(descriptor), path)
            file = os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
        with file:
            _need_no_key(file, path)
            yield file
        return
    raise InvalidInputError(f"There is no file {_shown(path)} in {_names(roots)}.")


@contextmanager
def open_for_writing(path: str, roots: Sequence[Path]) -> Generator[BinaryIO]:
    """A new file in an allowed folder (a relative path: in the first), with the folders above it.

    It gets its name when the block ends well; otherwise nothing of it stays.

    Raises: AlreadyExistsError: something has that name. InvalidInputError: as `open_for_reading`.
    """
    root, parts = _candidates(path, roots)[0]
    if not parts:
        raise InvalidInputError(f"{_shown(path)} is an allowed folder itself; name a file in it.")
    begun = False
    try:
        with _entered(root, parts[:-1], make=True) as folder:
            if folder.has(parts[-1]):
                raise FileExistsError
            temporary = f".{uuid.uuid4().hex}.partial"
            with _temporary(folder, temporary) as file:
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


def writable_size(path: str, roots: Sequence[Path]) -> int | None:
    """Bytes of the file that already has the name of one to be written; None when the name is free.

    Raises: InvalidInputError: the path may not be written, or what is there is not a file.
    """
    root, parts = _candidates(path, roots)[0]
    try:
        with _entered(root, parts[:-1]) as folder:
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
            with _entered(root, parts) as folder:
                files, skipped = folder.walk()
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
            "Local files are read and written only in folders that MLFLOW_MCP_ALLOWED_FOLDERS names, and it names "
            "none. A person sets it where this server is started."
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
            return "is no ordinary file name on Windows"
    return ""


def _unusable(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"{_shown(path)} cannot be used: a part of it is a link, is not a folder, cannot be opened, or is too long. "
        "Links are not followed."
    )


def _names(roots: Sequence[Path]) -> str:
    return " or ".join(str(root) for root in roots)


def _shown(path: str) -> str:
    return repr(clip(path, 200))


# The disk


@dataclass(frozen=True, slots=True)
class _Folder:
    """An open folder; without descriptors (Windows), its path."""

    path: Path
    descriptor: int | None

    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        if self.descriptor is not None:
            return os.open(name, flags, mode, dir_fd=self.descriptor)
        place = self.path / name
        _need_no_link(place)
        descriptor = os.open(place, flags, mode)
        try:
            # What was opened is what the path names now, and still no part of it is a link.
            for part in (place, *place.parents):
                _need_no_link(part)
                if part == self.path:
                    break
            if not os.path.samestat(os.fstat(descriptor), os.lstat(place)):
                raise OSError
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def make(self, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(self._name(name), dir_fd=self.descriptor)

    def has(self, name: str) -> bool:
        try:
            os.stat(self._name(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """Raises: OSError: there is nothing of this name, or it is not a file."""
        facts = os.stat(self._name(name), dir_fd=self.descriptor, follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError
        return facts.st_size

    def rename(self, old: str, new: str) -> None:
        """Raises: FileExistsError: the new name was taken meanwhile."""
        before, after = self._name(old), self._name(new)
        try:
            # Unlike a rename, this fails when the name is taken.
            os.link(before, after, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except FileExistsError:
            self.remove(old)
            raise
        except OSError:  # The file system has no second names for a file.
            os.rename(before, after, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        else:
            self.remove(old)

    def remove(self, name: str) -> None:
        os.unlink(self._name(name), dir_fd=self.descriptor)

    def walk(self) -> tuple[list[str], list[str]]:
        """Paths of the files, and of what is skipped."""
        files: list[str] = []
        skipped: list[str] = []
        for top, folders, names, descriptor in self._levels():
            below = Path(os.path.relpath(top, "." if self.descriptor is not None else self.path))
            for name in [*folders, *names]:
                place = name if descriptor is not None else os.path.join(top, name)
                mode = os.stat(place, dir_fd=descriptor, follow_symlinks=False).st_mode
                if name.startswith(".") or _KEY_NAME.fullmatch(name) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    skipped.append((below / name).as_posix())
                    folders[:] = [folder for folder in folders if folder != name]
                elif stat.S_ISREG(mode):
                    files.append((below / name).as_posix())
            if len(files) > FILES_LIMIT:
                break
        return files, skipped

    def _levels(self) -> Iterator[tuple[str, list[str], list[str], int | None]]:
        if self.descriptor is not None:
            yield from os.fwalk(".", dir_fd=self.descriptor)
        else:
            yield from ((top, folders, names, None) for top, folders, names in os.walk(self.path))

    def _name(self, name: str) -> str:
        return name if self.descriptor is not None else str(self.path / name)


@contextmanager
def _entered(root: Path, parts: Sequence[str], *, make: bool = False) -> Generator[_Folder]:
    """The folder below `root` that the parts lead to, opened one after the other; `make` creates those missing.

    Raises: OSError: a part is missing, a link, or not a folder.
    """
    folder = _Folder(root, os.open(root, _ENTER) if _BY_DESCRIPTOR else None)
    try:
        for part in parts:
            if make:
                folder.make(part)
            below = folder.path / part
            if folder.descriptor is None:
                _need_no_link(below)
                if not below.is_dir():
                    raise NotADirectoryError if below.exists() else FileNotFoundError
                folder = _Folder(below, None)
            else:
                descriptor = os.open(part, _ENTER, dir_fd=folder.descriptor)
                os.close(folder.descriptor)
                folder = _Folder(below, descriptor)
        yield folder
    finally:
        if folder.descriptor is not None:
            os.close(folder.descriptor)


@contextmanager
def _temporary(folder: _Folder, name: str) -> Generator[BinaryIO]:
    with os.fdopen(folder.open(name, _CREATE), "wb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            file.close()
            folder.remove(name)
            raise


def _need_no_link(place: Path) -> None:
    with suppress(FileNotFoundError):
        facts = os.lstat(place)
        # Windows: junctions and other reparse points lead elsewhere as links do; 2 is the attribute "hidden".
        attributes = getattr(facts, "st_file_attributes", 0)
        if stat.S_ISLNK(facts.st_mode) or attributes & (getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0) | 2):
            raise OSError


def _need_ordinary(facts: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(facts.st_mode) or _is_of_the_system(facts.st_dev):
        raise InvalidInputError(f"{_shown(path)} is not a regular file.")
    # A second name of a file elsewhere on the disk would carry it out of the allowed folder.
    if facts.st_nlink > 1:
        raise InvalidInputError(f"{_shown(path)} is a second name of another file (a hard link); copy it instead.")


def _need_no_key(file: BinaryIO, path: str) -> None:
    before = b""
    while piece := file.read(_PIECE):
        if _KEY_CONTENT.search(before + piece):
            raise InvalidInputError(f"{_shown(path)} holds key material; this server does not read it.")
        before = piece[-64:]
    file.seek(0)


def _is_of_the_system(device: int) -> bool:
    for folder in _SYSTEM_FOLDERS:
        with suppress(OSError):
            if os.stat(folder).st_dev == device != os.stat("/").st_dev:
                return True
    return False
