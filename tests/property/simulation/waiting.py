"""Locks, conditions, events and threads whose waits are the scheduler's.

A thread that dies lets go of what it holds as it unwinds, without a point: the memory is its process's and nobody will
look at it, but what several processes share (a simulated machine, a store) must not stay locked.
"""

from __future__ import annotations

from types import TracebackType

from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.workers import Owned, Worker


class SimulatedLock(Owned):
    """A lock, not reentrant."""

    __slots__ = ("_scheduler", "_waiters")

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._waiters: list[Worker] = []

    def __enter__(self) -> bool:
        self._scheduler.point()
        self._acquire()
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        me = self._scheduler.current
        if me is not None and self.owner is not me and me.dying:
            return  # it died in `wait`, without the lock
        if me is not None and self.owner is not me:
            raise RuntimeError("a lock is released by who does not hold it")
        self._release()

    def _acquire(self) -> None:
        scheduler = self._scheduler
        me = scheduler.current
        if me is None:
            # The driver, between runs. A worker may be interrupted with the lock held; nothing goes on meanwhile.
            return
        while self.owner is not None:
            self._waiters.append(me)
            scheduler.wait(f"waits for a lock of {self.owner}", None, self)
        self.owner = me

    def _release(self) -> None:
        if self._scheduler.current is None:
            return
        self.owner = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._scheduler.wake(waiter)


class SimulatedCondition(SimulatedLock):
    """A condition with a lock of its own."""

    __slots__ = ("_sleepers",)

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._sleepers: list[Worker] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock and wait for a notification; False after `timeout` seconds."""
        me = self._scheduler.current
        if self.owner is not me:
            raise RuntimeError("a condition is waited for without its lock")
        assert me is not None
        self._sleepers.append(me)
        self._release()
        infinite = timeout is None or timeout == float("inf")
        try:
            notified = self._scheduler.wait("waits for a condition", None if infinite else timeout)
        finally:
            if me in self._sleepers:
                self._sleepers.remove(me)
        self._acquire()
        return notified

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait."""
        for _ in range(min(n, len(self._sleepers))):
            self._scheduler.wake(self._sleepers.pop(0))

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(len(self._sleepers))


class SimulatedEvent:
    """A flag that is set once and can be waited for."""

    __slots__ = ("_scheduler", "_set", "_waiters")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiters: list[Worker] = []

    def set(self) -> None:
        self._set = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._scheduler.wake(waiter)

    def is_set(self) -> bool:
        self._scheduler.point()
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; False after `timeout` seconds."""
        self._scheduler.point()
        if self._set:
            return True
        me = self._scheduler.current
        assert me is not None, "the driver cannot wait for an event"
        self._waiters.append(me)
        try:
            self._scheduler.wait("waits for an event", timeout)
        finally:
            if me in self._waiters:
                self._waiters.remove(me)
        return self._set


class SimulatedThread:
    """A running thread."""

    __slots__ = ("_scheduler", "worker")

    def __init__(self, scheduler: Scheduler, worker: Worker) -> None:
        self._scheduler = scheduler
        self.worker = worker

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        self._scheduler.point()
        me = self._scheduler.current
        assert me is not None, "the driver cannot join a thread: it runs it"
        if not self.worker.done:
            self.worker.ended.append(me)
            self._scheduler.wait(f"waits for the end of {self.worker}", timeout)

    def is_alive(self) -> bool:
        self._scheduler.point()
        return not self.worker.done
