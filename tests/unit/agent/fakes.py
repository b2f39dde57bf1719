"""A world for one agent's membership in one thread: the embedded store with faults, a disk in memory, machines."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from roj.agent.lease import Lease
from roj.agent.membership import Membership
from roj.agent.standing import State
from roj.api import keys
from roj.api.node import Cluster, MachineIdentity, Node
from roj.controllers.state import StateFile
from roj.environment import Thread
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Discard, Entry, Listing, Operation, Set, Store, StoreUnavailable
from tests.unit.framework.still import Still

SESSION_CALLS = ("open_session", "renew_session", "end_session", "acquire", "release")


class Killed(BaseException):
    """The process was killed."""


class World(Still):
    """Time, and a thread that is spawned runs at once, to its end."""

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        target()
        return super().spawn(name, lambda: None)

    def survived(self) -> None:
        """Go on after an action that raised."""
        self._acting = False


@dataclass
class Line:
    """What is between a machine and the store."""

    world: World
    away: bool = False
    lost: bool = False
    """The store does what it is asked, and the answer is lost."""
    slow: Callable[[], float] = lambda: 0.0
    """Seconds that a request takes before it is there, and again before its answer is."""
    requests: list[str] = field(default_factory=list)


class FaultyStore:
    """A client of an embedded store over a line that may fail."""

    address = "embedded:"

    def __init__(self, store: EmbeddedStore, line: Line) -> None:
        self.store = store
        self.line = line
        self._closed = False

    def clone(self) -> Store:
        return FaultyStore(self.store, self.line)

    def close(self) -> None:
        self._closed = True

    def _ask(self, what: str, *words: Any, **more: Any) -> Any:
        self.line.requests.append(what)
        self.line.world.advance(self.line.slow())
        if self._closed or self.line.away:
            raise StoreUnavailable("away")
        answer = getattr(self.store, what)(*words, **more)
        self.line.world.advance(self.line.slow())
        if self.line.lost:
            raise StoreUnavailable("the answer was lost")
        return answer

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        found: Entry | None = self._ask("get", key)
        return found

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        found: Listing = self._ask("list", prefix)
        return found

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        raise NotImplementedError

    def create(self, key: str, value: bytes) -> None:
        self._ask("create", key, value)

    def swap(self, key: str, value: bytes, version: int) -> None:
        self._ask("swap", key, value, version)

    def delete(self, key: str, version: int) -> None:
        self._ask("delete", key, version)

    def transact(self, operations: Sequence[Operation]) -> None:
        self._ask("transact", operations)

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        assert checked
        return str(self._ask("open_session", name, ttl=ttl, checked=checked))

    def renew_session(self, session: str) -> bool:
        return bool(self._ask("renew_session", session))

    def end_session(self, session: str) -> None:
        self._ask("end_session", session)

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        return bool(self._ask("acquire", key, value, session))

    def release(self, key: str, value: bytes, session: str) -> bool:
        return bool(self._ask("release", key, value, session))

    def node_name(self) -> str:
        return "n1"

    def node_address(self) -> str:
        return ""


class MemoryState:
    """A state directory in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.full = False
        self.writes: list[str] = []

    def read(self, name: str) -> StateFile | None:
        value = self.files.get(name)
        return StateFile(value, previous=False) if value is not None else None

    def write(self, name: str, value: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.writes.append(name)
        self.files[name] = value

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.files if name.startswith(folder)))


@dataclass
class Machine:
    """Who a machine is."""

    world: World
    name: str
    docker: str = "docker"
    state: str = ""
    pid: int = 100

    def __call__(self) -> MachineIdentity:
        return MachineIdentity(
            state_id=self.state or f"state-{self.name}",
            machine_id=f"machine-{self.name}",
            docker_id=self.docker and f"{self.docker}-{self.name}",
            hostname=self.name,
            pid=self.pid,
            since=self.world.now(),
        )


def content(store: EmbeddedStore) -> dict[str, bytes]:
    """All that is in the store."""
    return {entry.key: entry.value for entry in store.list(keys.ROOT).entries}


def put(store: EmbeddedStore, values: dict[str, bytes]) -> None:
    """Make the store hold these keys and no others: a wipe, a restore, another store in its place."""
    gone = [Discard(key) for key in content(store)]
    store.transact([*gone, *(Set(key, value) for key, value in values.items())])


class Scene:
    """One node's membership, its disk and its store."""

    def __init__(self) -> None:
        self.world = World()
        self.embedded = EmbeddedStore(self.world)
        self.line = Line(self.world)
        self.state = MemoryState()
        self.here = Machine(self.world, "here")
        self.told: list[State] = []
        self.served: Callable[[], tuple[str, ...]] = tuple
        """Of what clusters the machine's containers are."""
        self.start()

    def start(self, *, takeover: bool = False, labels: dict[str, str] | None = None) -> Membership:
        """The agent is started (again)."""
        self.membership = Membership(
            self.world,
            FaultyStore(self.embedded, self.line),
            self.state,
            "n1",
            self.here,
            takeover=takeover,
            labels=labels,
            served=lambda: self.served(),  # noqa: PLW0108  (tests put another in its place)
            changed=lambda: self.told.append(self.membership.state),
            place="/state",
        )
        return self.membership

    def run(self, seconds: float, *plans: tuple[float, Callable[[], None]]) -> None:
        """Let the thread run so long, and kill it; meanwhile things happen, at seconds from now."""

        def kill() -> None:
            raise Killed

        began = self.world.monotonic()
        for after, action in plans:
            self.world.at(began + after, action)
        self.world.at(began + seconds, kill)
        try:
            self.membership.run()
        except Killed:
            self.world.survived()
            self.membership._lock.__exit__(
                None, None, None
            )  # it waited with the lock in hand, and may run on

    def how(self) -> tuple[State, bool, bool]:
        """State, may act, may report."""
        return self.membership.state, self.membership.may_act, self.membership.may_report

    def asked(self) -> list[str]:
        found, self.line.requests[:] = list(self.line.requests), []
        return found

    def cluster(self) -> str:
        return Cluster.decode(content(self.embedded)[keys.CLUSTER]).id

    def sentinel(self) -> Node:
        return Node.decode(content(self.embedded)[keys.node("n1")])

    def set_sentinel(self, **fields: object) -> None:
        self.embedded.transact([Set(keys.node("n1"), self.sentinel().model_copy(update=fields).encode())])

    def listing_is_believed(self) -> str | None:
        return self.membership.believe(self.embedded.list(keys.desired("n1")))

    def elsewhere(self) -> Lease:
        """Another machine's lease of the same node."""
        return Lease(self.world, MemoryState(), "n1", Machine(self.world, "there"))

    def straight(self) -> FaultyStore:
        """A client of the store with a line of its own."""
        return FaultyStore(self.embedded, Line(self.world))
