"""Which order a node obeys: never an older one after a newer, and every new write of an operator."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from roj.api.app import AppReference
from roj.api.instance import Goal, Instance, Write, changed, new_instance
from roj.controllers.labels import Owned
from roj.controllers.order import judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
APP = AppReference(name="web", version="v1", digest="0" * 64)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(["start", "stop"])),
        st.tuples(st.just("redeploy"), st.none()),
        st.tuples(st.just("restore"), st.integers(0, 12)),
        st.tuples(st.just("look"), st.none()),
    ),
    max_size=18,
)


def first(number: int) -> Instance:
    return new_instance(id="web-a", node="n1", uid=f"u{number}", write=Write(f"c{number}", NOW), app=APP)


class Cluster:
    """A store that may go back, and a node that looks at it now and then."""

    def __init__(self) -> None:
        self.writes = 0
        self.record = first(0)
        self.snapshots = [self.record]
        self.fresh: dict[str, None] = {"c0": None}  # changes that were never obeyed nor gone back from
        self.obeyed: Instance | None = None
        self.held: Instance | None = None
        self.history: list[str] = []

    def write(self, goal: Goal) -> None:
        self.writes += 1
        self.put(changed(self.record, Write(f"c{self.writes}", NOW), goal))

    def redeploy(self, _: None) -> None:
        self.writes += 1
        self.put(first(self.writes))

    def put(self, record: Instance) -> None:
        self.record = record
        self.snapshots.append(record)
        self.fresh[record.change] = None

    def restore(self, which: int) -> None:
        self.record = self.snapshots[which % len(self.snapshots)]

    def look(self, _: None) -> None:
        verdict = judge(self.obeyed, {}, self.record, past=self.history[:-1], held=self.held)
        change = self.record.change
        if verdict == "obey":
            assert change not in self.history, f"{change} was obeyed a second time"
            assert not (self.obeyed is not None and change in self.obeyed.lineage), (
                f"{change} is an older order"
            )
            self.obeyed, self.held = self.record, None
            self.history.append(change)
        elif verdict == "same":
            assert self.obeyed is not None
            assert self.obeyed.change == change
            self.held = None
        else:
            assert change in self.history or change not in self.fresh or self.was_overtaken(change)
            self.held = self.record
        self.fresh.pop(change, None)

    def was_overtaken(self, change: str) -> bool:
        """A write that the node never saw before a newer one on top of it was obeyed."""
        return self.obeyed is not None and change in self.obeyed.lineage


@settings(max_examples=500)
@given(STEPS)
def test_no_order_is_obeyed_twice_and_none_after_one_that_was_written_on_top_of_it(
    steps: list[tuple[str, object]],
) -> None:
    cluster = Cluster()
    for name, argument in steps:
        getattr(cluster, name)(argument)


@given(STEPS, st.sampled_from(["start", "stop"]))
def test_a_new_write_of_an_operator_is_always_obeyed(steps: list[tuple[str, object]], goal: Goal) -> None:
    cluster = Cluster()
    for name, argument in steps:
        if name != "redeploy":  # one life
            getattr(cluster, name)(argument)
    cluster.write(goal)
    assert judge(cluster.obeyed, {}, cluster.record, past=cluster.history[:-1], held=cluster.held) == "obey"


def test_a_finished_undeploy_does_not_come_back_but_a_write_on_top_of_it_is_obeyed() -> None:
    record = first(0)
    assert judge(None, {"u0"}, record) == "hold"
    assert judge(first(5), {"u0"}, record) == "hold"
    again = changed(record, Write("new", NOW), "start")
    assert judge(None, {"u0"}, again, held=record) == "obey"
    undeploy = changed(record, Write("x", NOW), "undeploy")
    assert judge(None, {"u0"}, undeploy) == "obey"
    assert judge(first(5), {"u0"}, undeploy) == "hold"
    assert judge(first(5), {"u0"}, undeploy, held=record) == "obey"


class Lives(Cluster):
    """The same with undeploys, which the node carries out and forgets, but for the uid."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: dict[str, None] = {}
        self.gone = False
        """The store has no record."""

    def cycle(self, goal: Goal) -> None:
        """An operator's `goal`, or an undeploy of what is there, or a deploy where nothing is."""
        if self.gone:
            self.gone = False
            self.redeploy(None)
        else:
            self.write(goal)

    def restore(self, which: int) -> None:
        self.gone = False
        super().restore(which)

    def look(self, _: None) -> None:
        if self.gone:
            return
        verdict = judge(self.obeyed, self.finished, self.record, past=self.history, held=self.held)
        if verdict == "hold":
            self.held = self.record
            return
        if verdict == "obey":
            other = self.obeyed is not None and self.obeyed.uid != self.record.uid
            above = self.held is not None and self.held.change in self.record.lineage[1:]
            assert not other or above or self.record.uid not in self.finished, (
                f"{self.record.goal} of a life that is over was obeyed for another one"
            )
            self.history = [*self.history, self.obeyed.change] if self.obeyed is not None else self.history
        self.obeyed, self.held = self.record, None
        if self.record.goal == "undeploy":
            self.finished[self.record.uid] = None
            self.obeyed, self.history, self.gone = None, [], True


@settings(max_examples=500)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("cycle"), st.sampled_from(["start", "undeploy"])),
            st.tuples(st.just("restore"), st.integers(0, 12)),
            st.tuples(st.just("look"), st.none()),
        ),
        max_size=18,
    )
)
def test_nothing_that_was_ordered_of_a_finished_life_is_done_to_another(
    steps: list[tuple[str, object]],
) -> None:
    lives = Lives()
    for name, argument in steps:
        getattr(lives, name)(argument)


def test_with_the_state_directory_lost_labels_tell_that_the_store_went_back() -> None:
    record = first(0)

    def labelled(revision: str) -> tuple[Owned, ...]:
        return (Owned("k", "n1", "web-a", "u0", revision, "web:v1", APP.digest, "web"),)

    assert judge(None, {}, record, containers=labelled("c0")) == "obey"
    assert judge(None, {}, record, containers=labelled("c7")) == "hold"
