"""Opening files part by part from a folder down, without following links, even ones that are put there meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""False on Windows, where each part is checked before and after opening instead."""
_BINARY: Final[int] = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_READ: Final[int] = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)  # A pipe is not waited for.
_ENTER: Final[int] = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
_CREATE: Final[int] = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW

_SYSTEM_FOLDERS: Final = ("/proc", "/sys", "/dev")
"""Their files are windows into the kernel and other processes."""


class NotPlainError(Exception):
    """A file that is not a regular file of its own; the text says why."""


def open_plain(root: Path, parts: Sequence[str]) -> BinaryIO:
    """The regular file below `root` that the parts lead to.

    Raises: OSError: a part is missing, a link, or cannot be opened. NotPlainError: it is not a regular file of its own.
    """
    with entered(root, parts[:-1]) as folder:
        descriptor = folder.open(parts[-1] if parts else ".", _READ)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or _is_of_the_system(facts.st_dev):
            raise NotPlainError("is not a regular file")
        # A second name of a file elsewhere on the disk would carry it out of the folder.
        if facts.st_nlink > 1:
            raise NotPlainError("is a second name of another file (a hard link); copy it instead")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@dataclass(frozen=True, slots=True)
class Folder:
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

    def replace(self, old: str, new: str) -> None:
        """Gives a file a name that another one may have; a link of that name goes, not what it leads to."""
        os.replace(self._name(old), self._name(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        os.unlink(self._name(name), dir_fd=self.descriptor)

    def walk(self, skip: Callable[[str], object], limit: int) -> tuple[list[str], list[str]]:
        """Paths of about `limit` files, and of what is skipped: links, devices, names that `skip` picks."""
        files: list[str] = []
        skipped: list[str] = []
        for top, folders, names, descriptor in self._levels():
            below = Path(os.path.relpath(top, "." if self.descriptor is not None else self.path))
            for name in [*folders, *names]:
                place = name if descriptor is not None else os.path.join(top, name)
                mode = os.stat(place, dir_fd=descriptor, follow_symlinks=False).st_mode
                if skip(name) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    skipped.append((below / name).as_posix())
                    folders[:] = [folder for folder in folders if folder != name]
                elif stat.S_ISREG(mode):
                    files.append((below / name).as_posix())
            if len(files) > limit:
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
def entered(root: Path, parts: Sequence[str], *, make: bool = False) -> Generator[Folder]:
    """The folder below `root` that the parts lead to, opened one after the other; `make` creates those missing.

    Raises: OSError: a part is missing, a link, or not a folder.
    """
    folder = Folder(root, os.open(root, _ENTER) if BY_DESCRIPTOR else None)
    try:
        for part in parts:
            if make:
                folder.make(part)
            below = folder.path / part
            if folder.descriptor is None:
                _need_no_link(below)
                if not below.is_dir():
                    raise NotADirectoryError if below.exists() else FileNotFoundError
                folder = Folder(below, None)
            else:
                descriptor = os.open(part, _ENTER, dir_fd=folder.descriptor)
                os.close(folder.descriptor)
                folder = Folder(below, descriptor)
        yield folder
    finally:
        if folder.descriptor is not None:
            os.close(folder.descriptor)


@contextmanager
def temporary_file(folder: Folder, name: str) -> Generator[BinaryIO]:
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


def _is_of_the_system(device: int) -> bool:
    for folder in _SYSTEM_FOLDERS:
        with suppress(OSError):
            if os.stat(folder).st_dev == device != os.stat("/").st_dev:
                return True
    return False
