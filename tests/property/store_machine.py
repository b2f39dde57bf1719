"""A store against a dictionary: several clients, clients that come and go, sessions that run out.

What it has in common with Consul is tested next to a real one (tests/integration/store); this is what a reader may rely
on whatever happens: nothing half written, no version twice, no change that an index hides, and no index that goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roj.store.interface import (
    Check,
    CheckAbsent,
    CheckSession,
    Conflict,
    Create,
    Delete,
    Discard,
    Listing,
    Operation,
    Set,
    Store,
    Swap,
)

NAMES = ["a", "d/a", "d/b", "d"]
PREFIXES = ["", "d/", "none/"]
TTL = 20.0


@dataclass(frozen=True)
class Value:
    """What the dictionary knows of a key."""

    value: bytes
    session: str = ""
    locks: int = 0
    """How often it was acquired since the last plain write: an equal write of a key that was acquired is a change."""


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store, by one of its clients, and to the dictionary. Subclasses say which store."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Store] = []
        self.model: dict[str, Value] = {}
        self.ends: dict[str, float] = {}
        self.ended: list[str] = ["never was"]
        self.seen: dict[str, Listing] = {}
        self.versions: dict[tuple[str, int], tuple[bytes, str]] = {}
        self.prepare()

    def prepare(self) -> None:
        """Make the store."""

    def opened(self) -> Store:
        """A client that is not a clone of another."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """The store's clock goes on by so much; it stands still else."""
        raise NotImplementedError

    def now(self) -> float:
        """What the store's clock says."""
        raise NotImplementedError

    def clean_up(self) -> None:
        """The clients are closed; the rest ends."""

    @initialize()
    def begin(self) -> None:
        self.clients = [self.opened(), self.opened()]
        self.clients.append(self.clients[0].clone())

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        self.clean_up()

    # --- what is done ---

    @rule(which=st.integers(0, 2), clone=st.booleans())
    def client_comes_and_goes(self, which: int, clone: bool) -> None:
        old = self.clients[which]
        self.clients[which] = old.clone() if clone else self.opened()
        old.close()

    @rule(
        which=st.integers(0, 2),
        kinds=st.lists(st.sampled_from(Operation.__args__), max_size=5),
        data=st.data(),
    )
    def transact(self, which: int, kinds: Sequence[type[Operation]], data: st.DataObject) -> None:
        operations = [self.operation(kind, data) for kind in kinds]
        after = dict(self.model)
        written: set[str] = set()
        failed = tuple(
            at for at, operation in enumerate(operations) if not self.apply(after, written, operation)
        )
        try:
            self.clients[which].transact(operations)
        except Conflict as conflict:
            assert conflict.failed == failed
        else:
            assert failed == ()
            self.model = after

    def operation(self, kind: type[Operation], data: st.DataObject) -> Operation:
        key = data.draw(st.sampled_from(NAMES))
        value = data.draw(st.sampled_from([b"", b"1", b"2"]))
        found = self.clients[0].get(key)
        now = found.version if found else 0
        version = data.draw(st.sampled_from([now, now, now, max(now - 1, 0), 1, 2**40]))
        if kind is CheckSession:
            return CheckSession(key, data.draw(st.sampled_from(self.sessions)))
        if kind is CheckAbsent or kind is Discard:
            return kind(key)
        if kind is Set or kind is Create:
            return kind(key, value)
        if kind is Swap:
            return Swap(key, value, version)
        return Check(key, version) if kind is Check else Delete(key, version)

    def apply(self, model: dict[str, Value], written: set[str], operation: Operation) -> bool:
        key = operation.key
        now = model.get(key)
        match operation:
            case Check(_, version) | Swap(_, _, version) | Delete(_, version):
                # The version that this transaction itself gives is not to be guessed, and the strategies never do.
                found = None if key in written else self.clients[0].get(key)
                holds = found is not None and found.version == version
            case CheckAbsent() | Create():
                holds = now is None
            case CheckSession(_, session):
                holds = now is not None and now.session == session
            case Set() | Discard():
                holds = True
        if holds and isinstance(operation, Set | Create | Swap):
            model[key] = Value(operation.value, now.session if now else "")
        if holds and isinstance(operation, Delete | Discard):
            model.pop(key, None)
        if model.get(key) != now:
            written.add(key)
        return holds

    @property
    def sessions(self) -> list[str]:
        return [*self.ends, *self.ended[-2:]]

    @rule(which=st.integers(0, 2))
    def open_session(self, which: int) -> None:
        session = self.clients[which].open_session("one", ttl=TTL, checked=True)
        assert session not in self.sessions
        self.ends[session] = self.now() + TTL

    @rule(which=st.integers(0, 2), data=st.data())
    def renew_session(self, which: int, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        assert self.clients[which].renew_session(session) == (session in self.ends)
        if session in self.ends:
            self.ends[session] = self.now() + TTL

    @rule(which=st.integers(0, 2), data=st.data())
    def end_session(self, which: int, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.clients[which].end_session(session)
        self.over(session)

    def over(self, session: str) -> None:
        if self.ends.pop(session, None) is not None:
            self.ended.append(session)
            for key, value in self.model.items():
                if value.session == session:
                    self.model[key] = replace(value, session="")

    @rule(seconds=st.sampled_from([0.5, 7.0, 19.5, 20.0, 100.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.pass_time(seconds)
        for session in [session for session, ends in self.ends.items() if ends <= self.now()]:
            self.over(session)

    @rule(
        which=st.integers(0, 2),
        key=st.sampled_from(NAMES),
        value=st.sampled_from([b"", b"1"]),
        data=st.data(),
    )
    def acquire(self, which: int, key: str, value: bytes, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        holder = self.model[key].session if key in self.model else ""
        expected = session in self.ends and holder in ("", session)
        assert self.clients[which].acquire(key, value, session) == expected
        if expected:
            locks = self.model[key].locks if key in self.model else 0
            self.model[key] = Value(value, session, locks if holder else locks + 1)

    @rule(
        which=st.integers(0, 2),
        key=st.sampled_from(NAMES),
        value=st.sampled_from([b"", b"1"]),
        data=st.data(),
    )
    def release(self, which: int, key: str, value: bytes, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        expected = key in self.model and self.model[key].session == session
        assert self.clients[which].release(key, value, session) == expected
        if expected:
            self.model[key] = Value(value, "", self.model[key].locks)

    # --- what must hold at any time ---

    @invariant()
    def all_clients_see_what_is_there_and_no_change_is_hidden(self) -> None:
        for prefix in PREFIXES:
            listings = [client.list(prefix) for client in self.clients]
            now = listings[0]
            assert listings == [now] * len(listings)
            under = {key: (of.value, of.session) for key, of in self.model.items() if key.startswith(prefix)}
            assert {entry.key: (entry.value, entry.session) for entry in now.entries} == under
            before = self.seen.get(prefix, now)
            assert now.index >= before.index
            if now.entries != before.entries:
                assert now.index > before.index
                for client in self.clients:
                    assert (
                        client.watch(prefix, before.index, 60.0) == now
                    )  # it does not block: the clock stands still
            self.seen[prefix] = now
        for entry in self.clients[0].list("").entries:
            assert 0 < entry.version <= self.seen[""].index
            state = self.versions.setdefault((entry.key, entry.version), (entry.value, entry.session))
            assert state == (entry.value, entry.session)
