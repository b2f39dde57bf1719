"""A watch of a store that lies: what is delivered is believed, and in the end it is the truth."""

from __future__ import annotations

from random import Random
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from roj.framework.watch import State, View, Watch, WatchSettings
from roj.framework.watcher import Watcher
from roj.store.interface import Entry, Listing
from tests.unit.framework.still import FakeStore, Lie, Still, World

PREFIX = "p/"
SENTINEL = PREFIX + "node"
KEYS = st.sampled_from([PREFIX + name for name in "abcd"])
CHANGES = st.lists(
    st.tuples(st.floats(0.0, 300.0), KEYS, st.none() | st.sampled_from([b"1", b"2", b"3"])), max_size=12
)
LIES = st.lists(st.sampled_from(get_args(Lie)), max_size=25)


def doubt(listing: Listing) -> str | None:
    """As an agent does it: the sentinel must be there and be right."""
    right = any(entry.key == SENTINEL and entry.value == b"mine" for entry in listing.entries)
    return None if right else "no sentinel"


class Watched:
    """A watcher of a fake store, and all that it delivered."""

    def __init__(
        self, lies: list[Lie] | None = None, seed: int = 0, faults: list[bool] | None = None
    ) -> None:
        self.still = Still(seed)
        self.world = World(self.still, lies=list(lies or []))
        self.world.put(SENTINEL, b"mine")
        self.views: list[View] = []
        self.faults = list(faults or [])
        self.watcher = Watcher(
            self.still,
            FakeStore(self.world),
            PREFIX,
            believe=doubt,
            changed=self.take,
            settings=WatchSettings(),
        )

    def take(self, view: View) -> None:
        if self.faults and self.faults.pop(0):
            raise OSError("the disk is full")
        self.views.append(view)

    def run(self, seconds: float) -> None:
        self.still.at(self.still.monotonic() + seconds, self.watcher.stop)
        self.watcher.run()

    def truth(self) -> dict[str, Entry]:
        return {key: entry for key, entry in self.world.entries.items() if key.startswith(PREFIX)}


@given(CHANGES, LIES, st.integers(0), st.lists(st.booleans(), max_size=5))
def test_the_latest_state_of_every_key_is_delivered_in_the_end(
    changes: list[tuple[float, str, bytes | None]], lies: list[Lie], seed: int, faults: list[bool]
) -> None:
    watched = Watched(lies, seed, faults)
    for moment, key, value in changes:
        if value is None:
            watched.still.at(moment, lambda key=key: watched.world.drop(key))  # type: ignore[misc]
        else:
            watched.still.at(moment, lambda key=key, value=value: watched.world.put(key, value))  # type: ignore[misc]
    watched.run(300.0 + 40 * 90.0)
    assert watched.watcher.believed == watched.truth()
    known: dict[str, Entry] = {}
    for number, view in enumerate(watched.views):
        assert view.first == (number == 0)
        assert doubt(Listing(tuple(view.entries.values()), 1)) is None, "delivered, though it cannot be true"
        differs = sorted(k for k in {**known, **view.entries} if known.get(k) != view.entries.get(k))
        assert list(view.changed) == differs, "the changes do not say what differs"
        assert view.changed or view.first or view.reset, "delivered for nothing"
        known = dict(view.entries)
    assert known == watched.truth()


@given(LIES, st.integers(0))
def test_requests_are_spaced(lies: list[Lie], seed: int) -> None:
    watched = Watched(lies * 3, seed)
    watched.run(120.0)
    assert len(watched.world.requests) <= 120.0 / 0.25 + 2


def test_an_idle_watch_asks_once_a_minute() -> None:
    watched = Watched()
    watched.run(3600.0)
    assert watched.world.requests.count("list") == 1
    assert watched.world.requests.count("watch") <= 62
    assert len(watched.views) == 1


def test_what_is_gone_is_told_and_what_is_not_believed_is_not() -> None:
    watched = Watched()
    watched.world.put(PREFIX + "a", b"1")
    watched.still.at(10.0, lambda: watched.world.drop(PREFIX + "a"))
    watched.still.at(20.0, lambda: watched.world.drop(SENTINEL))
    watched.still.at(90.0, lambda: watched.world.put(SENTINEL, b"mine"))
    watched.run(200.0)
    assert [(view.changed, view.first, view.reset) for view in watched.views] == [
        ((PREFIX + "a", SENTINEL), True, False),
        ((PREFIX + "a",), False, False),
        ((SENTINEL,), False, True),
    ]


def test_the_age_is_that_of_the_last_believed_answer() -> None:
    watched = Watched()
    assert watched.watcher.age() is None
    ages: list[float] = []

    def look() -> None:
        age = watched.watcher.age()
        assert age is not None
        ages.append(age)

    def go_away() -> None:
        watched.world.away = True
        watched.world.index += 1  # the blocked query returns

    watched.still.at(50.0, look)
    watched.still.at(70.0, go_away)
    watched.still.at(300.0, look)
    watched.run(301.0)
    assert ages[0] < 51.0
    assert ages[1] > 200.0


def test_a_poke_ends_a_query_that_blocks_and_lists_anew() -> None:
    watched = Watched()
    watched.still.at(20.0, watched.watcher.poke)
    watched.run(30.0)
    assert watched.world.requests == ["list", "watch", "list", "watch"]
    assert [view.reset for view in watched.views] == [False, True]


def test_a_poke_from_within_a_delivery_lists_anew() -> None:
    watched = Watched()
    take = watched.take

    def poke_once(view: View) -> None:
        take(view)
        if view.first:
            watched.watcher.poke()

    watched.watcher._deliver = poke_once
    watched.run(10.0)
    assert watched.world.requests == ["list", "list", "watch"]


def test_only_lasting_health_ends_the_backoff() -> None:
    watch, random = Watch(WatchSettings()), Random(0)
    good = Listing((Entry(SENTINEL, b"mine", 5),), 5)
    state = State()
    for now in range(10):
        state = watch.failed(state, float(now), random)
    assert (state.failures, state.phase) == (10, "backing off")
    state, _, _ = watch.answered(watch.sent(state, 100.0), good, None, 100.0, random)
    assert state.failures == 10
    flapping = watch.failed(state, 110.0, random)
    assert flapping.failures == 11
    state, _, _ = watch.answered(watch.sent(state, 131.0), good, None, 131.0, random)
    assert state.failures == 0


def test_an_index_of_zero_or_a_lower_one_is_worthless_but_what_was_believed_stays() -> None:
    watch, random = Watch(WatchSettings()), Random(0)
    good = Listing((Entry(SENTINEL, b"mine", 5),), 5)
    state, _, _ = watch.answered(watch.sent(State(), 0.0), good, None, 0.0, random)
    for index in (0, 4):
        after, view, result = watch.answered(state, Listing((), index), None, 1.0, random)
        assert (result, view, after.phase, after.believed) == (
            "worthless",
            None,
            "backing off",
            state.believed,
        )
        assert watch.sent(after, 2.0).phase == "listing"
