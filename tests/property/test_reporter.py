"""The reporter and its events: the store says in the end what was last reported, at the least cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.api import keys
from roj.api.event import Event
from roj.api.record import Record
from roj.framework.errors import TemporaryError
from roj.framework.events import ALIKE, BURST, EventLog
from roj.framework.reporter import REREAD, Reporter
from roj.framework.statuses import HOLD
from roj.store.interface import Conflict, Create, Delete, Discard, Set, StoreUnavailable
from tests.unit.framework.still import START, FakeStore, Lie, Still, World


class Status(Record):
    what: ClassVar[str] = "status"
    phase: str


NODE = "n1"
LEASE = keys.lease(NODE)
A = keys.instance_status(NODE, "a")
KEYS = st.sampled_from([keys.instance_status(NODE, name) for name in "abc"] + [keys.node_status(NODE)])
PHASES = st.sampled_from(["pulling", "starting", "launched", "stopped"])
LIES = st.lists(st.sampled_from(["truth", "error", "lost"]), max_size=15)

Step = Callable[["Reporting"], None]


class Reporting:
    """A reporter of a fake store."""

    def __init__(self, lies: list[Lie] | None = None, seed: int = 0, events: int = 20) -> None:
        self.still = Still(seed)
        self.world = World(self.still, lies=list(lies or []))
        self.world.put(LEASE, b"held")
        self.reporter = Reporter(self.still, FakeStore(self.world), NODE, events=events)
        self.reported: dict[str, bytes] = {}
        self.removed: dict[str, None] = {}

    def status(self, key: str, phase: str, transient: bool = False) -> None:
        record = Status(phase=phase)
        self.reporter.status(key, record, transient=transient)
        self.reported[key] = record.encode()
        self.removed.pop(key, None)

    def remove(self, key: str) -> None:
        if key.startswith(keys.instance_status(NODE, "")):
            self.reporter.remove(key)
            self.reported.pop(key, None)
            self.removed[key] = None

    def foreign_write(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.world.drop(key)
        else:
            self.world.put(key, value)
        self.removed.pop(key, None)
        self.reporter.reread()

    def run(self, seconds: float, *, stop: float = 5.0) -> None:
        self.still.at(self.still.monotonic() + seconds, lambda: self.reporter.stop(stop))
        self.reporter.run()

    def sets(self) -> list[Set]:
        return [operation for write in self.world.writes for operation in write if isinstance(operation, Set)]

    def statuses(self) -> list[Set]:
        return [operation for operation in self.sets() if operation.key.startswith(keys.observed(NODE))]

    def events(self) -> list[Event]:
        """The ring, in order."""
        ring = [
            Event.decode(e.value)
            for key, e in self.world.entries.items()
            if key.startswith(keys.events(NODE))
        ]
        return sorted(ring, key=lambda event: event.sequence)


STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 60.0),
        st.one_of(
            st.builds(lambda k, p, t: lambda r: r.status(k, p, t), KEYS, PHASES, st.booleans()),
            st.builds(lambda k: lambda r: r.remove(k), KEYS),
            st.builds(
                lambda k, v: lambda r: r.foreign_write(k, v), KEYS, st.none() | st.sampled_from([b"x", b"y"])
            ),
            st.builds(lambda p: lambda r: r.reporter.event("Reason", p), PHASES),
            st.just(lambda r: r.reporter.pause()),
            st.just(lambda r: r.reporter.resume()),
        ),
    ),
    max_size=25,
)


@given(STEPS, LIES, st.integers(0))
def test_the_store_says_in_the_end_what_was_last_reported_and_nothing_is_written_twice(
    steps: list[tuple[float, Step]], lies: list[Lie], seed: int
) -> None:
    reporting = Reporting(lies, seed)
    for moment, step in steps:
        reporting.still.at(moment, lambda step=step: step(reporting))  # type: ignore[misc]
    reporting.still.at(61.0, reporting.reporter.resume)
    settled: list[bool] = []
    reporting.still.at(400.0, lambda: settled.append(reporting.reporter.settled()))
    reporting.run(401.0)
    assert settled == [True]
    for key, value in reporting.reported.items():
        assert reporting.world.entries[key].value == value
    for key in reporting.removed:
        assert key not in reporting.world.entries
    assert reporting.world.entries[LEASE].value == b"held"
    assert reporting.world.idle == [], "a value was written that was there already"


def test_a_restart_with_equal_statuses_writes_nothing() -> None:
    reporting = Reporting()
    reporting.world.put(A, Status(phase="launched").encode())
    reporting.status(A, "launched")
    reporting.run(3 * 3600.0)
    assert reporting.world.writes == []
    assert reporting.world.requests.count("list") <= 21 + 5, "statuses every 10 minutes, events every hour"


def test_a_status_that_the_store_alone_set_back_is_put_right_within_ten_minutes() -> None:
    reporting = Reporting()
    reporting.status(A, "launched")
    reporting.still.at(700.0, lambda: reporting.world.put(A, Status(phase="pulling").encode()))
    reporting.run(700.0 + REREAD + 1.0)
    assert reporting.world.entries[A].value == Status(phase="launched").encode()


def test_an_event_whose_answer_was_lost_leaves_nothing_to_do() -> None:
    """Found by the simulation: the event was in the ring, its time stayed due, and the thread went round and round."""
    reporting = Reporting(["truth", "truth", "lost"])
    reporting.reporter.event("Launched", "")
    looks = 0
    monotonic = reporting.still.monotonic

    def counted() -> float:
        nonlocal looks
        looks += 1
        assert looks < 500, "it looks at the clock again and again"
        return monotonic()

    reporting.still.monotonic = counted  # type: ignore[method-assign]  # counts
    reporting.run(1000.0)
    assert len(reporting.events()) == 1


def test_a_launch_is_one_write_with_its_events_if_its_phases_are_short() -> None:
    reporting = Reporting()
    for moment, phase in ((1.0, "pulling"), (1.2, "creating"), (1.4, "starting")):
        reporting.still.at(moment, lambda phase=phase: reporting.status(A, phase, True))  # type: ignore[misc]
        reporting.still.at(moment, lambda phase=phase: reporting.reporter.event(phase, "", instance="a"))  # type: ignore[misc]
    reporting.still.at(1.7, lambda: reporting.reporter.event("Launched", "", instance="a"))
    reporting.still.at(1.7, lambda: reporting.status(A, "launched"))
    reporting.run(60.0)
    assert len(reporting.world.writes) == 1
    assert len(reporting.statuses()) == 1
    assert [event.reason for event in reporting.events()] == ["pulling", "creating", "starting", "Launched"]


def test_a_transient_status_that_holds_is_written() -> None:
    reporting = Reporting()
    reporting.still.at(1.0, lambda: reporting.status(A, "pulling", True))
    there: list[bool] = []
    reporting.still.at(1.0 + HOLD - 0.1, lambda: there.append(A in reporting.world.entries))
    reporting.still.at(1.0 + HOLD + 0.1, lambda: there.append(A in reporting.world.entries))
    reporting.run(5.0)
    assert there == [False, True]


def test_transient_statuses_that_keep_changing_are_seen_now_and_then() -> None:
    reporting = Reporting()
    for number in range(100):
        moment = 1.0 + number * 0.3
        reporting.still.at(moment, lambda number=number: reporting.status(A, f"pulling {number}", True))  # type: ignore[misc]
    reporting.run(31.0)
    assert 10 <= len(reporting.statuses()) <= 20


def test_nothing_is_written_while_paused() -> None:
    reporting = Reporting()
    reporting.reporter.pause()
    reporting.status(A, "launched")
    reporting.reporter.event("Launched", "")
    with pytest.raises(TemporaryError):
        reporting.reporter.transact([Set(A, b"x")])
    reporting.run(100.0)
    assert reporting.world.requests == []


def test_writes_are_bounded_in_the_long_run() -> None:
    reporting = Reporting()
    for number in range(6000):
        moment = 1.0 + number * 0.01
        reporting.still.at(moment, lambda number=number: reporting.status(A, str(number)))  # type: ignore[misc]
    reporting.run(70.0)
    assert len(reporting.world.writes) <= 60 * 4 + 8 + 3
    assert reporting.world.entries[A].value == Status(phase="5999").encode()


def test_many_statuses_at_once_go_in_few_transactions_within_the_stores_limits() -> None:
    reporting = Reporting()
    for number in range(150):
        reporting.status(keys.instance_status(NODE, f"i{number:03d}"), "x" * 10_000)
    reporting.run(30.0)
    assert len(reporting.statuses()) == 150
    assert 4 <= len(reporting.world.writes) <= 8


def test_a_stop_writes_what_is_left() -> None:
    reporting = Reporting()
    reporting.still.at(2.9, lambda: reporting.status(A, "stopping", True))
    reporting.still.at(2.9, lambda: reporting.reporter.event("Stopping", ""))
    reporting.run(3.0)
    assert reporting.reporter.settled()
    assert A in reporting.world.entries and len(reporting.events()) == 1


def test_a_stop_without_a_store_ends_in_time() -> None:
    reporting = Reporting()
    reporting.still.at(1.0, lambda: reporting.status(A, "launched"))
    reporting.world.away = True
    reporting.run(30.0, stop=2.0)
    assert reporting.still.monotonic() < 33.0
    assert not reporting.reporter.settled()


def test_a_callers_transaction_takes_the_status_with_it_and_appends_its_events() -> None:
    reporting = Reporting()
    record = keys.instance(NODE, "a")
    reporting.world.put(record, b"undeploy")
    version = reporting.world.entries[record].version
    reporting.world.put(A, Status(phase="stopping").encode())
    reporting.status(A, "stopping")

    def finish() -> None:
        event = reporting.reporter.make_event("Undeployed", "", instance="a")
        reporting.reporter.transact([Delete(record, version), Discard(A)], retire=[A], events=[event])

    reporting.still.at(5.0, finish)
    reporting.still.at(50.0, reporting.reporter.reread)
    reporting.run(100.0)
    assert A not in reporting.world.entries and record not in reporting.world.entries
    assert [event.reason for event in reporting.events()] == ["Undeployed"]
    assert len(reporting.world.writes) == 1


def test_a_callers_transaction_that_conflicts_changes_nothing() -> None:
    reporting = Reporting()
    reporting.status(A, "stopping")
    reporting.reporter.event("Waiting", "")
    event = reporting.reporter.make_event("Undeployed", "")
    with pytest.raises(Conflict):
        reporting.reporter.transact([Create(LEASE, b"")], retire=[A], events=[event])
    reporting.run(10.0)
    assert A in reporting.world.entries
    assert [event.reason for event in reporting.events()] == ["Waiting"]


def test_a_status_whose_deletion_has_an_unknown_outcome_does_not_come_back_by_itself() -> None:
    reporting = Reporting(["truth", "truth", "truth", "lost"])
    reporting.still.at(1.0, lambda: reporting.status(A, "stopping"))

    def finish() -> None:
        with pytest.raises(StoreUnavailable):
            reporting.reporter.transact([Discard(A)], retire=[A])

    reporting.still.at(5.0, finish)
    reporting.still.at(6.0, reporting.reporter.reread)
    reporting.run(10.0)
    assert A not in reporting.world.entries


def test_a_removal_of_what_is_not_there_writes_nothing() -> None:
    reporting = Reporting()
    reporting.reporter.remove(A)
    reporting.still.at(10.0, lambda: reporting.reporter.remove(A))
    reporting.run(20.0)
    assert reporting.world.writes == []


@pytest.mark.parametrize("answer", ["truth", "lost"])
@pytest.mark.parametrize("later", [0.0005, 0.0015, 0.5])
def test_a_status_that_is_removed_while_it_is_written_does_not_stay(answer: Lie, later: float) -> None:
    reporting = Reporting(["truth", "truth", answer])
    reporting.still.at(1.0, lambda: reporting.status(A, "launched"))
    reporting.still.at(1.0 + later, lambda: reporting.reporter.remove(A))
    reporting.run(60.0)
    assert A not in reporting.world.entries


def test_a_pause_holds_at_once() -> None:
    reporting = Reporting()
    reporting.status(A, "launched")
    reporting.reporter.pause()
    assert not reporting.reporter._step()
    assert reporting.world.requests == []


def test_only_instance_statuses_can_be_removed() -> None:
    reporting = Reporting()
    for key in (LEASE, keys.node_status(NODE), keys.instance_status("n10", "a"), keys.CLUSTER):
        with pytest.raises(ValueError):
            reporting.reporter.remove(key)


def test_the_ring_goes_on_where_it_was_and_never_grows() -> None:
    entries = 0
    reporting = Reporting(events=20)
    for life in range(5):
        reporter = Reporter(reporting.still, FakeStore(reporting.world), NODE, events=20)
        reporting.reporter = reporter
        for number in range(7):
            entries += 1
            reporter.event(f"Reason{number}", str(entries), instance=f"i{life}")
        reporting.run(10.0)
    assert [int(event.message) for event in reporting.events()] == list(range(16, 36))
    assert [event.sequence for event in reporting.events()] == list(range(15, 35))


def event(number: int, reason: str = "Crashed", instance: str = "a") -> Event:
    when = START + timedelta(seconds=number)
    return Event(node=NODE, instance=instance, reason=reason, message=str(number), first=when, last=when)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 30.0, 400.0]), st.sampled_from("abc"), st.sampled_from(["X", "Y"])),
        max_size=120,
    ),
    st.integers(1, 9),
)
def test_no_event_that_is_taken_is_lost_to_the_count(
    happenings: list[tuple[float, str, str]], every: int
) -> None:
    log, now, ring = EventLog(NODE, 500), 0.0, {}
    log.load({})
    taken = 0
    for number, (later, instance, reason) in enumerate(happenings):
        now += later
        taken += log.add(event(number, reason, instance), now) is None
        if number % every == 0:
            writes = log.writes()
            ring.update({write.key: Event.decode(write.value) for write in writes})
            log.written(writes)
    ring.update({write.key: Event.decode(write.value) for write in log.writes()})
    assert sum(event.count for event in ring.values()) == taken
    for instance in "abc":
        for reason in "XY":
            alike = [e for e in ring.values() if (e.instance, e.reason) == (instance, reason)]
            for start in alike:
                within = [e for e in alike if 0 <= (e.first - start.first).total_seconds() < 1]
                assert len(within) <= 2 * ALIKE


def test_ten_alike_become_one_with_a_count() -> None:
    log = EventLog(NODE, 500)
    log.load({})
    for number in range(BURST):
        assert log.add(event(number), float(number)) is None
    lines = [Event.decode(write.value) for write in log.writes()]
    assert [line.count for line in lines] == [1] * (ALIKE - 1) + [BURST - ALIKE + 1]
    assert lines[-1].message == str(BURST - 1)
    assert lines[-1].first == START + timedelta(seconds=ALIKE - 1)
    assert log.add(event(99), float(BURST)) == "burst"
    assert log.add(event(99, instance="b"), float(BURST)) is None, "another object has a bucket of its own"


def test_an_event_that_is_counted_up_while_it_is_written_is_written_again() -> None:
    log = EventLog(NODE, 500)
    log.load({})
    for number in range(ALIKE):
        log.add(event(number), float(number))
    writes = log.writes()
    log.add(event(ALIKE), float(ALIKE))
    log.written(writes)
    assert [Event.decode(write.value).count for write in log.writes()] == [2]


def test_events_that_cannot_be_written_take_bounded_memory() -> None:
    log = EventLog(NODE, 50)
    outcomes = [log.add(event(number, instance=f"i{number}"), float(number)) for number in range(5000)]
    assert len(log) == 50
    assert outcomes.count("full") == 4950
    log.load({})
    assert [int(Event.decode(write.value).message) for write in log.writes()] == list(range(4950, 5000))
