"""The store's server as Consul behaves, the surprising parts included (DESIGN.md section 4).

* The index of a listing is the highest of what is under the prefix, tombstones included; of an empty one the whole
  store's. When tombstones are reaped it steps back, with no write.
* A watch blocks as long as the index is not higher than the one it was given: after a restore, for its whole wait.
* A restore answers each watch once, with the old data and index.
* An equal write moves no index, but of a key that was acquired before. A delete leaves a tombstone. A session ends somewhere between TTL and twice that.
* A restore into a fresh server gives the same index to another value later.

Everything here happens at once: it is the world, not a process. How a client sees it is in `store_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    Swap,
)
from tests.property.simulation.environment import WorldEnvironment
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.workers import Worker

KEPT = 60
"""Former states of the store that a stale read may still show."""
FIRST_INDEX = 10


@dataclass(frozen=True, slots=True)
class Session:
    """A session; it ends when it is not renewed."""

    ttl: float
    checked: bool
    machine: str
    """The machine whose health it depends on, if it is checked."""
    ends: float


@dataclass(frozen=True, slots=True)
class State:
    """The whole store at one moment: immutable, so that a snapshot is a reference."""

    index: int = FIRST_INDEX
    entries: Mapping[str, Entry] = field(default_factory=dict)
    tombstones: Mapping[str, int] = field(default_factory=dict)
    sessions: Mapping[str, Session] = field(default_factory=dict)
    acquired: Mapping[str, None] = field(default_factory=dict)
    """Keys that were acquired since they were last written plainly: an equal write is a change of such a key."""

    def listing(self, prefix: str) -> Listing:
        """All under a prefix, and its index."""
        found = [self.entries[key] for key in sorted(self.entries) if key.startswith(prefix)]
        index = max((entry.version for entry in found), default=0)
        graves = (grave for key, grave in self.tombstones.items() if key.startswith(prefix))
        index = max(index, max(graves, default=0))
        return Listing(tuple(found), index or self.index)


@dataclass(frozen=True, slots=True)
class Change:
    """One key changed."""

    time: float
    who: str
    key: str
    before: Entry | None
    after: Entry | None


@dataclass(eq=False, slots=True)
class _Watch:
    worker: Worker
    prefix: str
    index: int
    answer: Listing | None = None
    """Set by a restore: what was there before it."""


class _Draft:
    """The store's next state, made by operations one after another, at one index."""

    def __init__(self, before: State) -> None:
        self._before = before
        self._index = before.index + 1
        self._entries = dict(before.entries)
        self._tombstones = dict(before.tombstones)
        self._acquired = dict(before.acquired)

    def state(self) -> State:
        return replace(
            self._before,
            index=self._index,
            entries=self._entries,
            tombstones=self._tombstones,
            acquired=self._acquired,
        )

    def apply(self, operation: Operation) -> bool:
        """Whether it holds; if so, it is done."""
        entry = self._entries.get(operation.key)
        match operation:
            case Check() | Swap() | Delete() if entry is None or entry.version != operation.version:
                return False
            case CheckAbsent() | Create() if entry is not None:
                return False
            case CheckSession() if entry is None or entry.session != operation.session:
                return False
            case Set(key, value) | Create(key, value) | Swap(key, value, _):
                self.write(key, value)
            case Delete(key, _) | Discard(key):
                self.delete(key)
        return True

    def write(self, key: str, value: bytes) -> None:
        """An equal value changes nothing; who holds the key holds it still."""
        before = self._entries.get(key)
        if before is None or before.value != value or key in self._acquired:
            self._acquired.pop(key, None)
            self._entries[key] = Entry(key, value, self._index, before.session if before is not None else "")

    def delete(self, key: str) -> None:
        self._acquired.pop(key, None)
        if self._entries.pop(key, None) is not None:
            self._tombstones[key] = self._index


class Consul:
    """One cluster's store."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.environment = WorldEnvironment(scheduler, "consul")
        self.state = State()
        self.past: list[State] = []
        """Former states since the last restore, the oldest first."""
        self.changes: list[Change] = []
        """Every change of every key, by anybody."""
        self.observers: list[Callable[[Change], None]] = []
        self._watches: list[_Watch] = []

    # --- what happens to it ---

    def snapshot(self) -> State:
        """`consul snapshot save`."""
        return self.state

    def restore(self, state: State, *, fresh: bool) -> None:
        """`consul snapshot restore`; into a `fresh` server, whose indexes go on from those of the snapshot."""
        self.scheduler.tell(
            f"the store is restored to index {state.index}" + (" in a fresh server" if fresh else "")
        )
        for watch in self._watches:
            watch.answer = self.state.listing(watch.prefix)
        index = state.index if fresh else self.state.index + 3
        now = self.scheduler.now
        # The snapshot's sessions are alive again, and count from now.
        sessions = {id: replace(each, ends=now + 2 * each.ttl) for id, each in state.sessions.items()}
        self._put(replace(state, index=index, sessions=sessions), "restore")
        self.past.clear()
        for id in sessions:
            self._end_in_time(id)
        self._wake_all()

    def wipe(self) -> None:
        """A new, empty server in the old one's place."""
        self.restore(State(), fresh=True)

    def reap_tombstones(self) -> None:
        """As Consul does 15 minutes after the deletes."""
        self.state = replace(self.state, tombstones={})

    def end_sessions(self, machine: str | None = None, *, checked_only: bool = True) -> None:
        """Sessions of a machine (or all) end: its health check failed, or its Consul agent stopped."""
        for id, session in list(self.state.sessions.items()):
            if machine in {None, session.machine} and (session.checked or not checked_only):
                self._invalidate(id)

    def put(self, key: str, value: bytes, who: str) -> None:
        """Somebody writes a key by hand."""
        draft = _Draft(self.state)
        draft.write(key, value)
        self._put(draft.state(), who)

    def delete(self, key: str, who: str) -> None:
        """Somebody deletes a key by hand."""
        draft = _Draft(self.state)
        draft.delete(key)
        self._put(draft.state(), who)

    def skip_to(self, index: int) -> None:
        """The index as after writes elsewhere, unless it is higher already."""
        self.state = replace(self.state, index=max(index, self.state.index))

    def touch(self, key: str, who: str) -> None:
        """Somebody writes the same value with other flags: the version is another."""
        entry = self.state.entries.get(key)
        if entry is not None:
            index = self.state.index + 1
            self._put(
                replace(
                    self.state,
                    index=index,
                    entries={**self.state.entries, key: replace(entry, version=index)},
                ),
                who,
            )

    # --- what clients ask ---

    def get(self, key: str) -> Entry | None:
        return self.state.entries.get(key)

    def block(self, prefix: str, index: int, wait: float) -> tuple[Listing, bool]:
        """A blocking query; and whether it was answered because something happened."""
        listing = self.state.listing(prefix)
        if index <= 0 or listing.index > index:
            return listing, False
        me = self.scheduler.current
        assert me is not None, "the driver cannot watch"
        watch = _Watch(me, prefix, index)
        self._watches.append(watch)
        try:
            jitter = wait * self.environment.random.random() / 16
            woken = self.scheduler.wait(f"watches {prefix}", wait + jitter)
        finally:
            self._watches.remove(watch)
        return watch.answer or self.state.listing(prefix), woken

    def transact(self, operations: Sequence[Operation], who: str) -> None:
        """All or nothing; each sees what those before it did. Raises Conflict."""
        draft = _Draft(self.state)
        failed = [number for number, operation in enumerate(operations) if not draft.apply(operation)]
        if failed:
            words = ", ".join(f"{type(operations[n]).__name__} {operations[n].key}" for n in failed)
            raise Conflict(f"does not hold: {words}", failed)
        self._put(draft.state(), who)

    def open_session(self, ttl: float, *, checked: bool, machine: str) -> str:
        id = self.environment.new_id()
        ends = self.scheduler.now + ttl * (1 + self.environment.random.random())
        session = Session(ttl, checked, machine, ends)
        self.state = replace(
            self.state, index=self.state.index + 1, sessions={**self.state.sessions, id: session}
        )
        self._end_in_time(id)
        return id

    def renew_session(self, id: str) -> bool:
        session = self.state.sessions.get(id)
        if session is None:
            return False
        ends = self.scheduler.now + session.ttl * (1 + self.environment.random.random())
        self.state = replace(self.state, sessions={**self.state.sessions, id: replace(session, ends=ends)})
        self._end_in_time(id)
        return True

    def end_session(self, id: str) -> None:
        if id in self.state.sessions:
            self._invalidate(id)

    def acquire(self, key: str, value: bytes, session: str, who: str) -> bool:
        entry = self.state.entries.get(key)
        if session not in self.state.sessions or (entry is not None and entry.session not in {"", session}):
            return False
        if entry != Entry(key, value, entry.version if entry is not None else 0, session):
            anew = entry is None or not entry.session
            self._hold(key, value, session, who, {**self.state.acquired, key: None} if anew else None)
        return True

    def release(self, key: str, value: bytes, session: str, who: str) -> bool:
        entry = self.state.entries.get(key)
        if entry is None or entry.session != session:
            return False
        self._hold(key, value, "", who)
        return True

    # --- inside ---

    def _hold(
        self, key: str, value: bytes, session: str, who: str, acquired: Mapping[str, None] | None = None
    ) -> None:
        index = self.state.index + 1
        entries = {**self.state.entries, key: Entry(key, value, index, session)}
        acquired = self.state.acquired if acquired is None else acquired
        self._put(replace(self.state, index=index, entries=entries, acquired=acquired), who)

    def _put(self, state: State, who: str) -> None:
        old, self.state = self.state, state
        self.past.append(old)
        del self.past[:-KEPT]
        for key in sorted({*old.entries, *state.entries}):
            before, after = old.entries.get(key), state.entries.get(key)
            if before is not after and before != after:
                change = Change(self.scheduler.now, who, key, before, after)
                self.changes.append(change)
                for observer in self.observers:
                    observer(change)
                self._wake(key)

    def _wake(self, key: str) -> None:
        for watch in self._watches:
            # The empty prefix carries the whole store's index and wakes on every write.
            if key.startswith(watch.prefix) or not self._anything(watch.prefix):
                self.scheduler.wake(watch.worker)

    def _anything(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self.state.entries)

    def _wake_all(self) -> None:
        for watch in self._watches:
            self.scheduler.wake(watch.worker)

    def _end_in_time(self, id: str) -> None:
        def end() -> None:
            session = self.state.sessions.get(id)
            if session is not None and session.ends <= self.scheduler.now:
                self.scheduler.tell(f"session {id[:8]} ended for want of a renewal")
                self._invalidate(id)

        self.scheduler.at(self.state.sessions[id].ends, end)

    def _invalidate(self, id: str) -> None:
        sessions = {other: each for other, each in self.state.sessions.items() if other != id}
        index = self.state.index + 1
        entries = {
            key: replace(entry, session="", version=index) if entry.session == id else entry
            for key, entry in self.state.entries.items()
        }
        self._put(replace(self.state, index=index, entries=entries, sessions=sessions), "session end")
