"""A node's disk: the state directory in memory, which outlives its process and fails when told to."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from roj.controllers.state import StateFile
from tests.property.simulation.scheduler import Scheduler


@dataclass(slots=True)
class _File:
    current: bytes | None
    previous: bytes | None = None


class Disk:
    """What is on the disk of one machine for one agent."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self._scheduler = scheduler
        self._name = name
        self.full = False
        """Every write fails, and leaves what was there."""
        self.broken = False
        """Every read and write fails."""
        self.writes = 0
        self.lost = 0
        """How often it was lost."""
        self.damaged = 0
        """How often a file of it was damaged."""
        self.observers: list[Callable[[str, bytes | None], None]] = []
        """Told of every file written (its content) or deleted (None)."""
        self._files: dict[str, _File] = {}

    # --- what happens to it ---

    def lose(self) -> None:
        """The machine was reinstalled: nothing is left."""
        self._scheduler.tell(f"{self._name}'s state directory is lost")
        self.lost += 1
        self._files.clear()

    def copy(self, other: Disk) -> None:
        """Everything that is on another."""
        self._files = {name: replace(file) for name, file in other._files.items()}

    def damage(self, name: str) -> None:
        """The last copy of a file is damaged; the previous one, where there is one, is whole."""
        if name in self._files:
            self.damaged += 1
            self._scheduler.tell(f"{self._name}'s state file {name} is damaged")
            self._files[name].current = None
            for observer in self.observers:
                observer(name, None)

    def all(self) -> tuple[str, ...]:
        """The names of all files, in order."""
        return tuple(sorted(self._files))

    def content(self, name: str) -> bytes | None:
        """What a look from outside finds in a file."""
        file = self._files.get(name)
        return None if file is None else file.current if file.current is not None else file.previous

    # --- StateDirectory ---

    def read(self, name: str) -> StateFile | None:
        self._scheduler.point()
        self._fail(self.broken, errno.EIO, "input/output error")
        file = self._files.get(name)
        if file is None:
            return None
        if file.current is not None:
            return StateFile(file.current, previous=False)
        return StateFile(file.previous, previous=True) if file.previous is not None else None

    def write(self, name: str, value: bytes) -> None:
        scheduler = self._scheduler
        scheduler.point()
        self._fail(self.broken, errno.EIO, "input/output error")
        self._fail(self.full, errno.ENOSPC, "no space left on device")
        file = self._files.get(name)
        if file is None:
            self._files[name] = _File(value)
        else:
            # A damaged copy is set aside by the read before: the previous one stays.
            self._files[name] = _File(value, file.current if file.current is not None else file.previous)
        self.writes += 1
        for observer in self.observers:
            observer(name, value)
        scheduler.tell(f"disk: write {name}", f"{len(value)} bytes")
        scheduler.point()

    def delete(self, name: str) -> None:
        self._scheduler.point()
        self._fail(self.broken, errno.EIO, "input/output error")
        if self._files.pop(name, None) is not None:
            self.writes += 1
            for observer in self.observers:
                observer(name, None)
            self._scheduler.tell(f"disk: delete {name}")
        self._scheduler.point()

    def names(self, folder: str) -> tuple[str, ...]:
        self._scheduler.point()
        return tuple(sorted(name for name in self._files if name.startswith(folder)))

    @staticmethod
    def _fail(now: bool, number: int, words: str) -> None:
        if now:
            raise OSError(number, words)
