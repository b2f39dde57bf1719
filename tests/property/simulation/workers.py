"""Workers: the threads of a run, the groups that live and die together, and what they hold."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field


class Crash(BaseException):
    """The process of this thread died here. No `except Exception` sees it."""


class SimulationFailure(AssertionError):
    """The run itself went wrong: a deadlock, a livelock, a thread that died."""


class Livelock(SimulationFailure):
    """Somebody works on and on, and no time passes: work without bound (P12)."""


@dataclass(eq=False, slots=True)
class Group:
    """Threads that live and die together: one process."""

    name: str
    workers: list[Worker] = field(default_factory=list)
    crashed: bool = False
    paused: bool = False
    points: int = 0
    """Points that its threads have passed."""
    crash_at: int = -1
    """It dies at this point of its own."""
    after_crash: Callable[[], None] | None = None
    """Called when it has died so."""


@dataclass(eq=False, slots=True)
class Worker:
    """One thread."""

    number: int
    name: str
    group: Group
    baton: threading.Lock
    thread: threading.Thread | None = None
    done: bool = False
    blocked: bool = False
    woken: bool = False
    """Whether its last wait ended by a wake-up, not by the clock."""
    ticket: int = 0
    """Counts its waits, so that the timer of an old one means nothing."""
    waits_for: str = ""
    wants: Owned | None = None
    """The lock that it waits for."""
    ended: list[Worker] = field(default_factory=list)
    """Those that wait for its end."""

    @property
    def dying(self) -> bool:
        return self.group.crashed

    def __str__(self) -> str:
        return self.name


class Owned:
    """What one worker holds and others may wait for."""

    __slots__ = ("owner",)

    def __init__(self) -> None:
        self.owner: Worker | None = None


def stack(worker: Worker) -> str:
    """The innermost frames of a thread that are not the simulator's."""
    if worker.thread is None or worker.thread.ident is None:
        return ""
    frame = sys._current_frames().get(worker.thread.ident)
    if frame is None:
        return ""
    lines = [
        f"      {entry.filename.rpartition('/roj/')[2]}:{entry.lineno} {entry.name}"
        for entry in traceback.extract_stack(frame)
        if "/simulation/" not in entry.filename and "threading.py" not in entry.filename
    ]
    return "\n".join(lines[-6:])
