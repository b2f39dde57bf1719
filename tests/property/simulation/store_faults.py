"""How one machine sees the store: its link, and what goes wrong on it.

Each fault has a rate (0 to 1), the share of the calls that it befalls; a plan sets rates for a time.

    cut            no request arrives; the caller waits for its timeout
    refused        no request arrives; the caller knows at once
    deaf           requests arrive, answers do not (a one-way partition)
    answer-lost    the call is done, and the connection is reset then
    reset          the connection is reset before the server has the request
    error          the server answers 500 and does nothing
    slow           the request, or its answer, takes up to SLOW seconds
    stale          a read shows an earlier state; not a `consistent` one
    empty          a read shows nothing though there is something
    index-back     the index of a listing is lower than it is
    index-zero     the index of a listing is 0
    early          a watch returns at once with nothing changed
    late           a watch returns some seconds after the change: several changes are seen as one
    flapping       no request arrives every other FLAP seconds
    contended      somebody else has just written the key that is to be swapped
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, TypeVar, get_args

from roj.store.interface import (
    Create,
    Delete,
    Entry,
    Listing,
    Operation,
    Set,
    StoreUnavailable,
    Swap,
    check_size,
)
from tests.property.simulation.consul import Consul, State
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.workers import Worker

StoreFault = Literal[
    "cut", "refused", "deaf", "answer-lost", "reset", "error", "slow", "stale", "empty", "index-back",
    "index-zero", "early", "late", "flapping", "contended",
]  # fmt: skip
STORE_FAULTS: tuple[StoreFault, ...] = get_args(StoreFault)

TIMEOUT = 10.0
"""Seconds after which a caller gives up on an answer; of a watch: after its wait and a sixteenth."""
SLOW = 8.0
"""Seconds, at most, of a slow request; longer ones are cuts."""
FLAP = 4.0
"""Seconds for which a link that flaps is cut, and then is not."""
HEALTH = 12.0
"""Seconds of a cut after which the machine's sessions end, as its health check fails."""

T = TypeVar("T")


class Link:
    """One machine's way to the store. All clients on the machine share it."""

    def __init__(self, scheduler: Scheduler, consul: Consul, machine: str) -> None:
        self.scheduler = scheduler
        self.consul = consul
        self.machine = machine
        self.rates: dict[StoreFault, float] = {}
        self.requests = 0
        """Calls that were made, whatever came of them."""
        self.writes = 0
        """Calls that may have changed something."""
        self.met: dict[tuple[str, str], int] = {}
        """How often which call met which fault."""
        self._sound_since = 0.0
        self._random = Random(f"link {scheduler.schedule.seed} {machine}")

    def set(self, fault: StoreFault, rate: float) -> None:
        """From now on `rate` of the calls meet the fault; 0: none."""
        self.rates[fault] = rate
        if not any(self.rates.values()):
            self._sound_since = self.scheduler.now
        if fault == "cut" and rate == 1.0:
            self.scheduler.at(self.scheduler.now + HEALTH, self._health)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._sound_since = self.sound_since
        self.rates.clear()

    @property
    def sound_since(self) -> float:
        """Since when nothing goes wrong on it; if something does: now."""
        return self.scheduler.now if any(self.rates.values()) else self._sound_since

    def client(self) -> SimulatedStore:
        """A client on this machine."""
        return SimulatedStore(self)

    def meets(self, call: str, *faults: StoreFault) -> StoreFault | None:
        """The fault that this call meets, of those."""
        for fault in faults:
            rate = self.rates.get(fault, 0.0)
            if fault == "flapping" and int(self.scheduler.now / FLAP) % 2:
                rate = 0.0
            if rate and (rate >= 1.0 or self._random.random() < rate):
                self.met[call, fault] = self.met.get((call, fault), 0) + 1
                return fault
        return None

    def delay(self) -> float:
        """Of a slow request: seconds, many short ones and a few long."""
        return SLOW * self._random.random() ** 3

    def pick(self, count: int) -> int:
        return self._random.randrange(count)

    def _health(self) -> None:
        if self.rates.get("cut") == 1.0:
            self.scheduler.tell(f"{self.machine} fails its health check")
            self.consul.end_sessions(self.machine)


class SimulatedStore:
    """A client of the store (roj.store.interface.Store)."""

    address = "simulated://"

    def __init__(self, link: Link) -> None:
        self._link = link
        self._scheduler = link.scheduler
        self._consul = link.consul
        self._closed = False
        self._blocked: list[Worker | None] = []

    # --- reads ---

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        def read(state: State) -> Entry | None:
            return state.entries.get(key)

        return self._call("get", key, lambda: self._read("get", read, None, consistent), _entry)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._call("list", prefix, lambda: self._listing("list", prefix, consistent), _listing)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:

        def ask() -> Listing:
            if self._link.meets("watch", "early"):
                return self._listing("watch", prefix, consistent=False)
            listing, woken = self._consul.block(prefix, index, wait)
            if self._closed:
                raise StoreUnavailable("the client was closed")
            if woken and self._link.meets("watch", "late"):
                self._pause(self._link.delay())
                listing = self._consul.state.listing(prefix)
            return self._bent("watch", listing)

        return self._call("watch", f"{prefix} {index}", ask, _listing, timeout=wait * 17 / 16 + TIMEOUT)

    # --- writes ---

    def create(self, key: str, value: bytes) -> None:
        self._transact("create", [Create(key, value)])

    def swap(self, key: str, value: bytes, version: int) -> None:
        self._transact("swap", [Swap(key, value, version)])

    def delete(self, key: str, version: int) -> None:
        self._transact("delete", [Delete(key, version)])

    def transact(self, operations: Sequence[Operation]) -> None:
        self._transact("transact", operations)

    def _transact(self, name: str, operations: Sequence[Operation]) -> None:
        check_size(operations)

        def write() -> None:
            if self._link.meets(name, "contended"):
                for operation in operations:
                    if isinstance(operation, Swap | Delete):
                        self._consul.touch(operation.key, "somebody")
            self._consul.transact(operations, self._who())

        self._call(name, " ".join(map(_words, operations)), write, _nothing, writes=True)

    # --- sessions ---

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        machine = self._link.machine
        return self._call(
            "open_session",
            name,
            lambda: self._consul.open_session(ttl, checked=checked, machine=machine),
            lambda id: id[:8],
            writes=True,
        )

    def renew_session(self, session: str) -> bool:
        return self._call("renew_session", session[:8], lambda: self._consul.renew_session(session), str)

    def end_session(self, session: str) -> None:
        self._call(
            "end_session", session[:8], lambda: self._consul.end_session(session), _nothing, writes=True
        )

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        return self._call(
            "acquire", key, lambda: self._consul.acquire(key, value, session, self._who()), str, writes=True
        )

    def release(self, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        return self._call(
            "release", key, lambda: self._consul.release(key, value, session, self._who()), str, writes=True
        )

    # --- the rest ---

    def node_name(self) -> str:
        return self._call("node_name", "", lambda: self._link.machine, str)

    def node_address(self) -> str:
        return self._call("node_address", "", lambda: f"{self._link.machine}.example", str)

    def clone(self) -> SimulatedStore:
        return self._link.client()

    def close(self) -> None:
        self._closed = True
        for worker in list(self._blocked):
            if worker is not None:
                self._scheduler.wake(worker)

    # --- a call ---

    def _call(
        self,
        name: str,
        words: str,
        work: Callable[[], T],
        show: Callable[[T], str],
        *,
        writes: bool = False,
        timeout: float = TIMEOUT,
    ) -> T:
        link, scheduler = self._link, self._scheduler
        scheduler.point()
        if self._closed:
            raise StoreUnavailable("the client was closed")
        link.requests += 1
        link.writes += writes
        self._blocked.append(scheduler.current)
        action = f"store: {name} {words}"
        try:
            self._on_the_way(name, action, timeout)
            result: T | None = None
            error: Exception | None = None
            try:
                result = work()
            except Exception as failure:  # noqa: BLE001  (it is the answer, and travels as one)
                error = failure
            fault = link.meets(name, "deaf", "cut", "flapping", "answer-lost")
            outcome = show(result) if error is None else f"{type(error).__name__}: {error}"  # type: ignore[arg-type]  # None is T then
            scheduler.tell(action, outcome + (f" (answer lost: {fault})" if fault else ""))
            if link.meets(name, "slow"):
                self._pause(link.delay())
            if fault in {"deaf", "cut", "flapping"}:
                self._pause(timeout)
            scheduler.point()
            if fault:
                raise StoreUnavailable(f"the connection was lost ({fault})")
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # None is T then
        finally:
            self._blocked.remove(scheduler.current)

    def _on_the_way(self, name: str, action: str, timeout: float) -> None:
        link, scheduler = self._link, self._scheduler
        if link.meets(name, "slow"):
            self._pause(link.delay())
            scheduler.point()
        fault = link.meets(name, "cut", "flapping", "refused", "reset", "error")
        if fault is None:
            return
        scheduler.tell(action, fault)
        if fault in {"cut", "flapping"}:
            self._pause(timeout)
        scheduler.point()
        raise StoreUnavailable(f"the store did not answer ({fault})")

    def _pause(self, seconds: float) -> None:
        self._scheduler.wait(f"waits {seconds:.3f} s for the store", seconds)
        if self._closed:
            raise StoreUnavailable("the client was closed")

    def _read(self, call: str, read: Callable[[State], T], nothing: T, consistent: bool) -> T:
        consul = self._consul
        if self._link.meets(call, "empty"):
            return nothing
        if not consistent and consul.past and self._link.meets(call, "stale"):
            return read(consul.past[-1 - self._link.pick(len(consul.past))])
        return read(consul.state)

    def _listing(self, call: str, prefix: str, consistent: bool) -> Listing:
        empty = Listing((), self._consul.state.index)
        return self._bent(
            call, self._read(call, lambda state: state.listing(prefix), empty, consistent), read=True
        )

    def _bent(self, call: str, listing: Listing, *, read: bool = False) -> Listing:
        """The answer as it arrives."""
        fault = self._link.meets(call, "index-zero", "index-back", *(() if read else ("empty",)))
        match fault:
            case "index-zero":
                return Listing(listing.entries, 0)
            case "index-back":
                return Listing(listing.entries, max(1, listing.index - 1 - self._link.pick(5)))
            case "empty":
                return Listing((), self._consul.state.index)
        return listing

    def _who(self) -> str:
        return str(self._scheduler.current)


def _words(operation: Operation) -> str:
    version = getattr(operation, "version", "")
    return f"{type(operation).__name__}({operation.key}{f'@{version}' if version else ''})"


def _entry(entry: Entry | None) -> str:
    return "none" if entry is None else f"version {entry.version}"


def _listing(listing: Listing) -> str:
    return f"{len(listing.entries)} keys, index {listing.index}"


def _nothing(_: object) -> str:
    return "done"
