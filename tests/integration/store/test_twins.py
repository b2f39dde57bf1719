"""The embedded store, and the simulation's own, next to a real Consul: whatever is done to both, both answer the same.

Versions and indexes are not the same numbers: Consul's count also what others write, and what changes nothing. They must
have the same order, and be equal where the other's are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from engines import Consul
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.embedded import EmbeddedStore
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
    StoreError,
    Swap,
)
from tests.property.simulation.consul import Consul as SimulatedConsul
from tests.property.simulation.live import AtOnce, CalledStore
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import Link
from tests.unit.store.world import World

pytestmark = pytest.mark.engines

NOBODY = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
NAMES = st.sampled_from(["a", "d/a", "d"])
VALUES = st.sampled_from([b"", b"1", b"2"])


@dataclass(frozen=True)
class Twin:
    """One thing as each of the two names it: a version, an index or a session."""

    consul: int | str
    other: int | str


NEVER = [Twin(0, 0), Twin(1, 1), Twin(2**50, 2**50)]
"""Versions that no key has."""


class Twins(RuleBasedStateMachine):
    """Every rule does the same to both and compares what comes of it."""

    consul: Store
    other: Store
    world: World
    count = 0

    def __init__(self) -> None:
        super().__init__()
        self.prefix = ""
        self.versions: list[Twin] = []
        self.sessions: list[Twin] = []

    @initialize()
    def begin(self) -> None:
        Twins.count += 1
        self.prefix = self.world.key(f"{Twins.count}/")

    def teardown(self) -> None:
        for session in self.sessions:
            self.both(lambda store, twin: store.end_session(twin), session)

    # --- doing the same to both ---

    def both(self, do: Callable[..., object], *twins: Twin) -> object:
        """What both answered; errors are answers."""
        consul = answer(lambda: do(self.consul, *(twin.consul for twin in twins)))
        other = answer(lambda: do(self.other, *(twin.other for twin in twins)))
        assert self.told(consul, "consul") == self.told(other, "other")
        return consul

    def told(self, result: object, whose: str) -> object:
        """An answer without what is each one's own."""
        if isinstance(result, Conflict):
            return "Conflict", result.failed
        if isinstance(result, StoreError):
            return type(result).__name__
        if isinstance(result, Entry):
            return replace(result, version=0, session=self.number_of(result.session, whose))
        if isinstance(result, Listing):
            return tuple(self.told(entry, whose) for entry in result.entries)
        return result

    def number_of(self, session: str, whose: str) -> str:
        return session and str([getattr(twin, whose) for twin in self.sessions].index(session))

    def note(self, consul: int, other: int) -> None:
        twin = Twin(consul, other)
        if twin not in self.versions:
            self.versions.append(twin)

    def a_version(self, data: st.DataObject, key: str) -> Twin:
        """The key's own, mostly; else one that some key has or had, or none."""
        found = self.consul.get(key), self.other.get(key)
        if found[0] is not None and found[1] is not None and data.draw(st.integers(0, 3)):
            return Twin(found[0].version, found[1].version)
        return data.draw(st.sampled_from(NEVER + self.versions[-8:]))

    def a_session(self, data: st.DataObject) -> Twin:
        return data.draw(st.sampled_from([Twin(NOBODY, NOBODY), *self.sessions]))

    # --- what is done ---

    @rule(name=NAMES, consistent=st.booleans())
    def get(self, name: str, consistent: bool) -> None:
        self.both(lambda store: store.get(self.prefix + name, consistent=consistent))

    @rule(name=NAMES, value=VALUES)
    def create(self, name: str, value: bytes) -> None:
        self.both(lambda store: store.create(self.prefix + name, value))

    @rule(name=NAMES, value=VALUES, data=st.data())
    def swap(self, name: str, value: bytes, data: st.DataObject) -> None:
        key = self.prefix + name
        self.both(lambda store, version: store.swap(key, value, version), self.a_version(data, key))

    @rule(name=NAMES, data=st.data())
    def delete(self, name: str, data: st.DataObject) -> None:
        key = self.prefix + name
        self.both(lambda store, version: store.delete(key, version), self.a_version(data, key))

    @rule(kinds=st.lists(st.sampled_from(Operation.__args__), max_size=6), data=st.data())
    def transact(self, kinds: Sequence[type[Operation]], data: st.DataObject) -> None:
        pairs = [self.operation(kind, data) for kind in kinds]
        of_each = Twin(0, 1)
        self.both(lambda store, which: store.transact([pair[which] for pair in pairs]), of_each)

    def operation(self, kind: type[Operation], data: st.DataObject) -> tuple[Operation, Operation]:
        key = self.prefix + data.draw(NAMES)
        if kind in (CheckAbsent, Discard):
            return kind(key), kind(key)
        if kind in (Set, Create):
            value = data.draw(VALUES)
            return kind(key, value), kind(key, value)
        if kind is CheckSession:
            session = self.a_session(data)
            return CheckSession(key, str(session.consul)), CheckSession(key, str(session.other))
        version = self.a_version(data, key)
        consul, other = int(version.consul), int(version.other)
        if kind is Swap:
            value = data.draw(VALUES)
            return Swap(key, value, consul), Swap(key, value, other)
        if kind is Check:
            return Check(key, consul), Check(key, other)
        return Delete(key, consul), Delete(key, other)

    @rule(checked=st.booleans())
    def open_session(self, checked: bool) -> None:
        self.sessions.append(
            Twin(
                *(store.open_session("twin", ttl=60, checked=checked) for store in (self.consul, self.other))
            )
        )

    @rule(data=st.data())
    def renew_session(self, data: st.DataObject) -> None:
        self.both(lambda store, session: store.renew_session(session), self.a_session(data))

    @rule(data=st.data())
    def end_session(self, data: st.DataObject) -> None:
        self.both(lambda store, session: store.end_session(session), self.a_session(data))

    @rule(name=NAMES, value=VALUES, data=st.data())
    def acquire(self, name: str, value: bytes, data: st.DataObject) -> None:
        key = self.prefix + name
        self.both(lambda store, session: store.acquire(key, value, session), self.a_session(data))

    @rule(name=NAMES, value=VALUES, data=st.data())
    def release(self, name: str, value: bytes, data: st.DataObject) -> None:
        key = self.prefix + name
        self.both(lambda store, session: store.release(key, value, session), self.a_session(data))

    # --- what must hold at any time ---

    @invariant()
    def listings_are_alike(self) -> None:
        for prefix in (self.prefix, self.prefix + "d/"):
            consul, other = (store.list(prefix) for store in (self.consul, self.other))
            assert self.told(consul, "consul") == self.told(other, "other")
            for one, its_twin in zip(consul.entries, other.entries, strict=True):
                self.note(one.version, its_twin.version)
            if consul.entries:  # else it is the whole store's, which others write to
                self.note(consul.index, other.index)

    @invariant()
    def versions_have_one_order(self) -> None:
        self.versions.sort(key=lambda twin: (int(twin.consul), int(twin.other)))
        for one, other in zip(self.versions, self.versions[1:], strict=False):
            assert int(one.consul) < int(other.consul)
            assert int(one.other) < int(other.other)


def answer(do: Callable[[], object]) -> object:
    try:
        return do()
    except StoreError as error:
        return error


@contextmanager
def embedded() -> Iterator[Store]:
    with closing(EmbeddedStore(RealEnvironment())) as store:
        yield store


@contextmanager
def simulated() -> Iterator[Store]:
    scheduler = Scheduler(patience=10**9)
    with closing(AtOnce(scheduler)) as calls:
        yield CalledStore(calls, Link(scheduler, SimulatedConsul(scheduler), "n1").client())


@pytest.mark.parametrize("other", [embedded, simulated])
def test_both_answer_the_same(
    consul: Consul, world: World, other: Callable[[], AbstractContextManager[Store]]
) -> None:
    with closing(open_store(consul.store_url, RealEnvironment(), {})) as real, other() as store:
        Twins.consul, Twins.other, Twins.world = real, store, world
        run_state_machine_as_test(
            Twins,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                phases=[Phase.generate],  # shrinking takes minutes
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
