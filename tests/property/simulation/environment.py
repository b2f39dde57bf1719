"""The environment of a simulated process: virtual clock, seeded randomness, threads of the scheduler.

`SimulatedEnvironment` is a process's: every look at the clock and every lock is a point. `WorldEnvironment` is that of
what lies outside all processes (a machine, the store's server): what it does is done at once, and a process that dies
meanwhile does not tear it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from types import TracebackType

from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.waiting import (
    SimulatedCondition,
    SimulatedEvent,
    SimulatedLock,
    SimulatedThread,
)
from tests.property.simulation.workers import Group, Worker

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
"""The wall clock at the beginning of every run."""


class WallClock:
    """The wall clock of a machine; it may be wrong."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.wrong = 0.0
        """Seconds that it is ahead."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self._scheduler.now + self.wrong)


class SimulatedEnvironment:
    """What a process takes from the world besides store, runtime and disk."""

    def __init__(
        self, scheduler: Scheduler, group: Group, clock: WallClock | None = None, *, life: int = 0
    ) -> None:
        """The environment of one life of a process.

        Args:
            scheduler: of the run.
            group: the process's threads.
            clock: of its machine; None: a right one.
            life: which life of the process it is; each has other ids.
        """
        self.scheduler = scheduler
        self.group = group
        self.random = Random(f"environment {scheduler.schedule.seed} {group.name} {life}")
        self._ids = Random(f"ids {scheduler.schedule.seed} {group.name} {life}")
        self._clock = clock or WallClock(scheduler)

    def monotonic(self) -> float:
        self.scheduler.point()
        return self.scheduler.now

    def now(self) -> datetime:
        self.scheduler.point()
        return self._clock.now()

    def new_id(self) -> str:
        return f"{self._ids.getrandbits(128):032x}"

    def lock(self) -> SimulatedLock:
        return SimulatedLock(self.scheduler)

    def condition(self) -> SimulatedCondition:
        return SimulatedCondition(self.scheduler)

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self.scheduler)

    def spawn(self, name: str, target: Callable[[], None]) -> SimulatedThread:
        self.scheduler.point()
        return SimulatedThread(self.scheduler, self.scheduler.spawn(self.group, name, target))

    def sleep(self, seconds: float) -> None:
        self.scheduler.point()
        self.scheduler.wait(f"sleeps for {seconds:.3f} s", seconds)


class WorldEnvironment:
    """What the world is made of: the true clock, and locks that nobody ever finds taken."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler = scheduler
        self.random = Random(f"world {scheduler.schedule.seed} {name}")
        self.clock = WallClock(scheduler)

    def monotonic(self) -> float:
        return self.scheduler.now

    def now(self) -> datetime:
        return self.clock.now()

    def new_id(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def lock(self) -> WorldLock:
        return WorldLock()

    def condition(self) -> WorldCondition:
        return WorldCondition(self.scheduler)

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self.scheduler)

    def spawn(self, name: str, target: Callable[[], None]) -> SimulatedThread:
        raise AssertionError(
            f"the world has no threads ({name}); what happens in it is an action of the scheduler"
        )

    def sleep(self, seconds: float) -> None:
        """Whoever waits for the world, as for a `docker stop`."""
        self.scheduler.wait(f"waits {seconds:.3f} s for an answer", seconds)


class WorldLock:
    """What is done under it has no point in it, and so nobody comes between."""

    def __enter__(self) -> bool:
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


class WorldCondition(WorldLock):
    """A condition of the world."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._sleepers: list[Worker] = []

    def wait(self, timeout: float | None = None) -> bool:
        me = self._scheduler.current
        assert me is not None, "the driver cannot wait for the world"
        self._sleepers.append(me)
        infinite = timeout is None or timeout == float("inf")
        try:
            return self._scheduler.wait("waits for the world", None if infinite else timeout)
        finally:
            if me in self._sleepers:
                self._sleepers.remove(me)

    def notify(self, n: int = 1) -> None:
        for _ in range(min(n, len(self._sleepers))):
            self._scheduler.wake(self._sleepers.pop(0))

    def notify_all(self) -> None:
        self.notify(len(self._sleepers))
