"""The state directory: what an agent must know again after a crash, on its own disk.

Each file is written whole: to a new file, synced, and put in the old one's place, whose content stays as the previous
copy. A checksum tells a damaged file; it is set aside, and the previous copy is read with the remark that it is one.

    StateDirectory(path)                the agent's: locked (flock) until close()
    StateDirectory(path, lock=False)    a reader's: changes nothing
    with usable(path): ...              what fails inside of it on the disk is told for people
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roj.controllers.state import StateFile

_MAGIC = b"roj-state 1 "
_NAME = re.compile(r"([a-z0-9-]+/)?[A-Za-z0-9][A-Za-z0-9_-]*")
_PREVIOUS = ".previous"
_NEW = ".new"


class StateDirectoryBusy(Exception):
    """Another agent works with this directory; the message names it."""


class StateDirectoryUnusable(Exception):
    """The directory cannot be made, read or written: the message says which, why, and what to do."""


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Whatever the system says inside of it is of the state directory `path`, or of another one that must be writable.

    Raises:
        StateDirectoryUnusable: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StateDirectoryUnusable(_explained(path, error)) from error


class StateDirectory:
    """The files of one agent. Safe to use from several threads for different names."""

    def __init__(self, path: Path, *, lock: bool = True) -> None:
        """Open the directory; with `lock` it is made where it is missing, and held until `close`.

        Raises:
            StateDirectoryBusy: another agent holds it.
            OSError: it cannot be made or opened.
        """
        self.path = path
        self._lock: int | None = None
        self._damaged: list[str] = []
        self._writes = lock
        if lock:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _hold(path / "lock")
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):  # the lock's file alone may be ours
                self.close()
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that were found damaged since it was opened."""
        return tuple(self._damaged)

    def read(self, name: str) -> StateFile | None:
        """The file's content; None if there is none that is whole.

        Raises:
            OSError: the disk failed.
        """
        current = self._content(self._file(name))
        if current is not None:
            return StateFile(current, previous=False)
        previous = self._content(self._file(name + _PREVIOUS))
        return StateFile(previous, previous=True) if previous is not None else None

    def write(self, name: str, value: bytes) -> None:
        """Put `value` in place of the file's content; on return it is on the disk.

        Raises:
            OSError: the disk failed, or is full; the old content stays.
        """
        file = self._file(name)
        file.parent.mkdir(exist_ok=True, mode=0o700)
        new = file.with_name(file.name + _NEW)
        with new.open("wb") as out:
            out.write(_MAGIC + hashlib.sha256(value).hexdigest().encode() + b"\n" + value)
            out.flush()
            os.fsync(out.fileno())
        self._keep_previous(file)
        new.replace(file)
        _sync(file.parent)

    def delete(self, name: str) -> None:
        """Delete the file and its previous copy; nothing happens if there is none.

        Raises:
            OSError: the disk failed.
        """
        file = self._file(name)
        # The previous copy first: alone it would be read as the best that is left of a damaged file.
        file.with_name(file.name + _PREVIOUS).unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        if file.parent.exists():
            _sync(file.parent)

    def names(self, folder: str) -> tuple[str, ...]:
        """The names of all files in a folder (`orders/`), in order; also where only a previous copy is left."""
        directory = self.path / folder
        if not directory.is_dir():
            return ()
        found = {file.name.removesuffix(_PREVIOUS) for file in directory.iterdir()}
        return tuple(sorted(folder + name for name in found if _NAME.fullmatch(name)))

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name.removesuffix(_PREVIOUS)):
            raise ValueError(f"{name!r} is no name of a state file")
        return self.path / name

    def _content(self, file: Path) -> bytes | None:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        head, newline, value = content.partition(b"\n")
        if newline and head == _MAGIC + hashlib.sha256(value).hexdigest().encode():
            return value
        self._damaged.append(str(file.relative_to(self.path)))
        if self._writes:
            file.replace(_free_name(file))
        return None

    def _keep_previous(self, file: Path) -> None:
        # A link, then a rename: at no moment is there no current file. A damaged one was set aside by `read` before.
        link = file.with_name(file.name + _PREVIOUS + _NEW)
        link.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            os.link(file, link)
            link.replace(file.with_name(file.name + _PREVIOUS))


def _hold(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 100).decode(errors="replace").strip()
        os.close(descriptor)
        raise StateDirectoryBusy(
            f"{file.parent} is in use by the agent with process id {holder or 'unknown'}; "
            "stop it first, or give this one a --state-dir of its own"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _explained(path: Path, error: OSError) -> str:
    """What happened, to what, and what to do next."""
    there = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    another = "give another directory with --state-dir (`roj dev`: --dir)"
    reason = error.strerror or str(error)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            who = f"user id {os.geteuid()}"
            reason = f"{who} may not {'write to it' if there == path else f'make it in {there}'} ({reason})"
            advice = f"Run the agent as the user that owns it, let {who} write there, or {another}"
        case errno.ENOTDIR | errno.EEXIST:
            reason = f"{there} is no directory"
            advice = f"Move it away, or {another}"
        case errno.ENOSPC | errno.EDQUOT:
            advice = f"Make room there, or {another}"
        case errno.EROFS:
            advice = f"Mount it to be written to, or {another}"
        case _:
            where = "" if there == path else f"; {there} is there, what is below it is not"
            reason, advice = f"{reason}{where}", another[0].upper() + another[1:]
    return f"the state directory {path} cannot be used: {reason}.\n{advice}."


def _free_name(file: Path) -> Path:
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
