"""A world for one thread: time stands still until somebody waits, and then jumps; a store that lies when told to.

What is tested runs in the test's own thread: where it waits, the clock goes on and what the test planned for that time
happens. Every run of a test is the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import TracebackType
from typing import Literal

from roj.environment import Condition, Event, Lock, Thread
from roj.store.interface import (
    Check,
    CheckAbsent,
    CheckSession,
    Conflict,
    Create,
    Delete,
    Discard,
    Entry,
    Listing,
    Operation,
    Set,
    Store,
    StoreUnavailable,
    Swap,
    check_size,
)

START = datetime(2026, 11, 22, 8, tzinfo=UTC)


class Still:
    """An Environment for one thread."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.threads: list[Callable[[], None]] = []
        self._now = 0.0
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._acting = False

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do it when somebody waits beyond this moment."""
        self._count += 1
        heapq.heappush(self._plans, (moment, self._count, action))

    def advance(self, seconds: float | None, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time go on; whether `until` became true."""
        if self._acting:  # what happens at a moment takes no time
            return until()
        end = None if seconds is None else self._now + seconds
        while not until():
            if not self._plans or (end is not None and self._plans[0][0] > end):
                assert end is not None, "it waits for ever"
                self._now = max(self._now, end)
                return False
            moment, _, action = heapq.heappop(self._plans)
            self._now = max(self._now, moment)
            self._acting = True
            action()
            self._acting = False
        return True

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return START + timedelta(seconds=self._now)

    def new_id(self) -> str:
        self._count += 1
        return f"{self._count:032x}"

    def lock(self) -> Lock:
        return _Lock()

    def condition(self) -> Condition:
        return _Condition(self)

    def event(self) -> Event:
        return _Event(self)

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        """Nothing runs by itself: the test runs `threads`."""
        self.threads.append(target)
        return _Thread()

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class _Thread:
    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool:
        return False


class _Lock:
    def __init__(self) -> None:
        self.held = False

    def __enter__(self) -> bool:
        assert not self.held, "a deadlock"
        self.held = True
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.held = False


class _Condition(_Lock):
    def __init__(self, still: Still) -> None:
        super().__init__()
        self._still = still
        self._notified = False

    def wait(self, timeout: float | None = None) -> bool:
        assert self.held
        self.held = False
        self._notified = False
        woken = self._still.advance(timeout, lambda: self._notified)
        self.held = True
        return woken

    def notify(self, n: int = 1) -> None:
        assert self.held
        self._notified = True

    def notify_all(self) -> None:
        self.notify()


class _Event:
    def __init__(self, still: Still) -> None:
        self._still = still
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        return self._still.advance(timeout, self.is_set)


Lie = Literal["truth", "error", "empty", "stale", "early", "zero", "back", "lost", "foreign"]
"""What an answer is: the truth; none; nothing; an older state; too early; with index 0; with a lower index. For writes:
`error` is before it was applied, `lost` after. `foreign`: another store's."""


@dataclass
class World:
    """What all clients of a fake store share."""

    still: Still
    entries: dict[str, Entry] = field(default_factory=dict)
    index: int = 10
    requests: list[str] = field(default_factory=list)
    writes: list[Sequence[Operation]] = field(default_factory=list)
    """Transactions that were applied."""
    idle: list[str] = field(default_factory=list)
    """Keys to which clients wrote the value that they had."""
    past: list[tuple[Entry, ...]] = field(default_factory=list)
    lies: list[Lie] = field(default_factory=list)
    """What the next answers are; the truth when used up."""
    away: bool = False

    def put(self, key: str, value: bytes) -> None:
        """Somebody writes."""
        self._remember()
        old = self.entries.get(key)
        if old is None or old.value != value:
            self.index += 1
            self.entries[key] = Entry(key, value, self.index)

    def drop(self, key: str) -> None:
        self._remember()
        if self.entries.pop(key, None) is not None:
            self.index += 1

    def random_past(self) -> tuple[Entry, ...]:
        """Some older state of the whole store."""
        return self.still.random.choice(self.past)

    def _remember(self) -> None:
        self.past.append(tuple(self.entries[key] for key in sorted(self.entries)))


class FakeStore:
    """A Store in memory, with the semantics of the interface's documentation, and faults on order."""

    address = "fake:"

    def __init__(self, world: World) -> None:
        self.world = world
        self._closed = False

    def clone(self) -> Store:
        return FakeStore(self.world)

    def close(self) -> None:
        self._closed = True

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        self._request("get")
        return self.world.entries.get(key)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._answer(prefix, self._request("list"), consistent)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        lie = self._request("watch")
        if lie not in {"early", "zero", "back", "empty", "stale"} and index > 0:
            self.world.still.advance(wait, lambda: self._closed or self.world.index != index)
        if self._closed:
            raise StoreUnavailable("closed")
        return self._answer(prefix, lie, False)

    def create(self, key: str, value: bytes) -> None:
        self.transact([Create(key, value)])

    def swap(self, key: str, value: bytes, version: int) -> None:
        self.transact([Swap(key, value, version)])

    def delete(self, key: str, version: int) -> None:
        self.transact([Delete(key, version)])

    def transact(self, operations: Sequence[Operation]) -> None:
        lie = self._request("transact")
        check_size(operations)
        failed = [n for n, operation in enumerate(operations) if not self._holds(operation)]
        if failed:
            raise Conflict("a precondition did not hold", failed)
        self.world.writes.append(list(operations))
        for operation in operations:
            if isinstance(operation, Set | Create | Swap):
                old = self.world.entries.get(operation.key)
                if old is not None and old.value == operation.value:
                    self.world.idle.append(operation.key)
                self.world.put(operation.key, operation.value)
            elif isinstance(operation, Delete | Discard):
                self.world.drop(operation.key)
        if lie == "lost":
            raise StoreUnavailable("the answer was lost")

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        raise NotImplementedError

    def renew_session(self, session: str) -> bool:
        raise NotImplementedError

    def end_session(self, session: str) -> None:
        raise NotImplementedError

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        raise NotImplementedError

    def release(self, key: str, value: bytes, session: str) -> bool:
        raise NotImplementedError

    def node_name(self) -> str:
        return "n1"

    def node_address(self) -> str:
        return ""

    def _request(self, what: str) -> Lie:
        world = self.world
        world.requests.append(what)
        world.still.advance(0.001)
        if self._closed:
            raise StoreUnavailable("closed")
        lie: Lie = world.lies.pop(0) if world.lies else "truth"
        if lie == "error" or world.away:
            raise StoreUnavailable("away")
        return lie

    def _answer(self, prefix: str, lie: Lie, consistent: bool) -> Listing:
        world = self.world
        entries = tuple(world.entries[key] for key in sorted(world.entries) if key.startswith(prefix))
        index = world.index
        match lie:
            case "empty":
                entries = ()
            case "foreign":
                entries = tuple(replace(entry, value=b"foreign") for entry in entries)
            case "stale" if world.past and not consistent:
                entries = tuple(e for e in world.random_past() if e.key.startswith(prefix))
            case "zero":
                index = 0
            case "back":
                index = max(1, index - 5)
        return Listing(entries, index)

    def _holds(self, operation: Operation) -> bool:
        entry = self.world.entries.get(operation.key)
        match operation:
            case Check() | Swap() | Delete():
                return entry is not None and entry.version == operation.version
            case CheckAbsent() | Create():
                return entry is None
            case CheckSession():
                return entry is not None and entry.session == operation.session
        return True
