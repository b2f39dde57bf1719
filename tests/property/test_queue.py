"""The work queue against a model that says its contract in the simplest words."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roj.framework.queue import WorkQueue
from tests.unit.framework.still import Still

KEYS = st.sampled_from("abcdef")
AGEING = 10.0


@dataclass
class Waiting:
    due: float
    order: int
    low: bool


class Queue(RuleBasedStateMachine):
    """Every step is done to the queue and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.still = Still()
        self.queue = WorkQueue(self.still, ageing=AGEING)
        self.waiting: dict[str, Waiting] = {}
        self.working: list[str] = []
        self.order = 0

    @rule(key=KEYS, after=st.sampled_from([0.0, 0.0, 0.0, 1.0, 5.0, 30.0]), low=st.booleans())
    def add(self, key: str, after: float, low: bool) -> None:
        self.queue.add(key, after=after, low=low)
        due = self.still.monotonic() + after
        self.order += 1
        old = self.waiting.get(key)
        if old is None:
            self.waiting[key] = Waiting(due, self.order, low)
        elif due < old.due or (old.low and not low):
            self.waiting[key] = Waiting(min(due, old.due), self.order, old.low and low)

    def next(self) -> str | None:
        now = self.still.monotonic()
        due = [(w.due, w.order, w.low, key) for key, w in self.waiting.items() if w.due <= now]
        due = sorted(entry for entry in due if entry[3] not in self.working)
        lows = [entry for entry in due if entry[2]][:1]
        if lows and lows[0][0] + AGEING > now:
            lows = []
        best = sorted([*lows, *[entry for entry in due if not entry[2]][:1]]) or due
        return best[0][3] if best else None

    @precondition(lambda self: self.next() is not None)
    @rule()
    def get(self) -> None:
        expected = self.next()
        assert expected is not None
        key = self.queue.get()
        assert key == expected
        assert key not in self.working, "a key was given out twice at once"
        del self.waiting[key]
        self.working.append(key)

    @precondition(lambda self: self.working)
    @rule(which=st.integers(0, 10))
    def done(self, which: int) -> None:
        key = self.working.pop(which % len(self.working))
        self.queue.done(key)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.still.advance(seconds)

    @invariant()
    def counts(self) -> None:
        now = self.still.monotonic()
        assert len(self.queue) == len(self.waiting)
        due = [key for key, w in self.waiting.items() if w.due <= now and key not in self.working]
        assert self.queue.busy() == len(self.working) + len(due)

    def teardown(self) -> None:
        """Nothing is lost: whatever waits is given out in the end."""
        for worked in self.working:
            self.queue.done(worked)
        for _ in range(len(self.waiting)):
            key = self.queue.get()  # waits for delayed ones
            assert key is not None
            self.queue.done(key)
            del self.waiting[key]
        assert len(self.queue) == 0


TestQueue = Queue.TestCase


@given(st.integers(1, 5))
def test_a_low_key_is_not_starved_by_a_stream_of_others(each: int) -> None:
    still = Still()
    queue = WorkQueue(still, ageing=AGEING)
    queue.add("low", low=True)
    for number in range(200):
        for copy in range(each):
            queue.add(f"{number}-{copy}")
        key = queue.get()
        assert key is not None
        queue.done(key)
        if key == "low":
            assert still.monotonic() <= AGEING + 1.0
            return
        still.advance(1.0)
    raise AssertionError("starved")


def test_a_queue_that_is_shut_down_gives_out_nothing_more() -> None:
    queue = WorkQueue(Still())
    queue.add("a")
    queue.add("b")
    key = queue.get()
    queue.shut_down()
    assert queue.get() is None
    assert key is not None
    queue.done(key)
    queue.add("c")
    assert queue.get() is None


def test_many_early_looks_at_a_delayed_key_leave_nothing_behind() -> None:
    still = Still()
    queue = WorkQueue(still)
    for _ in range(2000):
        queue.add("a", after=3600.0)
        queue.add("a")
        assert queue.get() == "a"
        queue.done("a")
    assert len(queue._later) < 200
