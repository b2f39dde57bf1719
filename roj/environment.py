"""Time, randomness, ids, threads and waiting, as values that are passed in.

Nothing else in roj imports `time`, `random`, `threading`, `queue` or `uuid` (a lint holds it), so that a test may run
every worker under a virtual clock and a seeded scheduler.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random as Random  # noqa: PLC0414  (exported: others name the type by it)
from random import SystemRandom
from types import TracebackType
from typing import Protocol


class Lock(Protocol):
    """A mutual exclusion lock, not reentrant; used with `with`."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Condition(Lock, Protocol):
    """A condition variable with a lock of its own."""

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock and wait for a notification; False after `timeout` seconds."""

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait."""

    def notify_all(self) -> None:
        """Wake all who wait."""


class Event(Protocol):
    """A flag that is set once and can be waited for."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; False after `timeout` seconds."""


class Thread(Protocol):
    """A running thread."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""

    def is_alive(self) -> bool: ...


class Environment(Protocol):
    """What a part of roj takes from the world besides the store, the runtime and the disk."""

    random: Random

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def now(self) -> datetime:
        """The wall clock, in UTC, with its time zone. It may jump."""

    def new_id(self) -> str:
        """A new random id: 32 hexadecimal digits."""

    def lock(self) -> Lock: ...

    def condition(self) -> Condition: ...

    def event(self) -> Event: ...

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        """Start a daemon thread that runs `target`."""

    def sleep(self, seconds: float) -> None: ...


class RealEnvironment:
    """The real clock, real threads and the operating system's randomness."""

    def __init__(self) -> None:
        self.random: Random = SystemRandom()

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def lock(self) -> Lock:
        return threading.Lock()

    def condition(self) -> Condition:
        return threading.Condition()

    def event(self) -> Event:
        return threading.Event()

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
