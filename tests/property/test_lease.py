"""The node's lease and its membership, whatever store, line, disk and operators do.

Runs on the embedded store in one thread: while a request is under way, or somebody waits, the world goes on and does
what was planned for that time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from roj.agent.lease import TTL, HeldElsewhere, Lease
from roj.api import keys
from roj.api.node import Cluster, Mark, Node
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Set, StoreError
from tests.unit.agent.fakes import (
    FaultyStore,
    Killed,
    Line,
    Machine,
    MemoryState,
    Scene,
    World,
    content,
    put,
)

# --- the lease alone: at most one believes that it has it ---


@dataclass
class _Agent:
    """One machine of several with the same node name."""

    machine: Machine
    line: Line
    store: FaultyStore
    state: MemoryState = field(default_factory=MemoryState)
    busy: bool = False

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Killed, and started again."""
        self.lease = Lease(self.machine.world, self.state, "n1", self.machine)

    def do(self, what: str) -> None:
        if self.busy:  # it waits for an answer
            return
        self.busy = True
        try:
            match what:
                case "take":
                    self.lease.take(self.store)
                case "renew":
                    self.lease.renew(self.store)
                case "release":
                    self.lease.release(self.store)
                case "kill":
                    self.start()
                case "away":
                    self.line.away = not self.line.away
                case "lost":
                    self.line.lost = not self.line.lost
        except (HeldElsewhere, StoreError):
            pass
        finally:
            self.busy = False


_SECONDS = st.floats(0, 100) | st.sampled_from([0.0, 29.0, 30.0, 59.0, TTL, 61.0])
_DEEDS = st.tuples(
    _SECONDS,
    st.integers(0, 2),
    st.sampled_from(["take", "take", "renew", "renew", "release", "kill", "away", "lost"]),
)


@settings(max_examples=300)
@given(
    steps=st.lists(_DEEDS, max_size=30),
    meanwhile=st.lists(_DEEDS, max_size=30),
    slow=st.lists(_SECONDS, max_size=60),
)
def test_no_two_machines_believe_that_they_hold_the_lease(
    steps: list[tuple[float, int, str]], meanwhile: list[tuple[float, int, str]], slow: list[float]
) -> None:
    world = World()
    embedded = EmbeddedStore(world)
    agents = []
    for name in ("one", "two", "three"):
        line = Line(world, slow=lambda: slow.pop() if slow else 0.0)
        agents.append(_Agent(Machine(world, name), line, FaultyStore(embedded, line)))

    def look() -> None:
        holders = [agent for agent in agents if agent.lease.held]
        assert len(holders) <= 1, [agent.machine.name for agent in holders]
        if holders:
            entry = embedded.get(keys.lease("n1"))
            assert entry is not None
            assert entry.session == holders[0].state.files["session"].decode()

    def deed(agent: _Agent, what: str) -> Callable[[], None]:
        def act() -> None:
            agent.do(what)
            look()

        return act

    moment = 0.0
    for gap, who, what in meanwhile:
        moment += gap
        world.at(moment, deed(agents[who], what))
    for gap, who, what in steps:
        world.advance(gap)
        deed(agents[who], what)()
    # Whatever there was: a machine that is left alone with the store gets the lease.
    world.advance(max(0.0, moment - world.monotonic()) + 1)
    last = agents[0]
    last.line.away = last.line.lost = False
    world.advance(2 * TTL)
    slow.clear()
    if all(not agent.lease.held for agent in agents):
        last.do("take")
        assert last.lease.held
    look()
    embedded.close()


# --- membership ---


class _Story(Scene):
    """One agent under a supervisor, and what happens to it. It has joined once before anything does."""

    def __init__(self) -> None:
        super().__init__()
        self.membership.join()
        self.known = self.membership.cluster_id
        self.good = content(self.embedded)
        self.other = Cluster(id="other", created=self.world.now()).encode()
        self.expected: bytes | None = self.good[keys.CLUSTER]
        """What the world has last put at the cluster's key, or left there."""
        self.not_ours: dict[str, bytes] | None = None
        """What a store holds that is not to be written."""
        self.hands_off = False
        """There was ever a reason to stand by."""
        self.another = self.elsewhere()
        self.running = False

    # What may happen, by name:

    def away(self) -> None:
        self.line.away = True

    def back(self) -> None:
        self.line.away = self.line.lost = False

    def lost(self) -> None:
        self.line.lost = True

    def wipe(self) -> None:
        self._replace({})
        self.not_ours = {}

    def foreign(self) -> None:
        self._replace({keys.CLUSTER: self.other})
        self.not_ours = content(self.embedded)

    def foreign_with_the_same_node(self) -> None:
        sentinel = Node(name="n1", cluster="other")
        self._replace({keys.CLUSTER: self.other, keys.node("n1"): sentinel.encode()})
        self.not_ours = content(self.embedded)

    def restored(self) -> None:
        self._replace(dict(self.good))

    def roj_restore(self) -> None:
        if content(self.embedded).get(keys.CLUSTER) is None:
            self.embedded.create(keys.CLUSTER, self.good[keys.CLUSTER])
            self.expected, self.not_ours = self.good[keys.CLUSTER], None

    def garble_cluster(self) -> None:
        if keys.CLUSTER in content(self.embedded):
            self._write(keys.CLUSTER, b"rubbish")
            self.expected = b"rubbish"
            self.not_ours = content(self.embedded) if self.not_ours is not None else None

    def garble_sentinel(self) -> None:
        if self.not_ours is None:
            self._write(keys.node("n1"), b"rubbish")

    def delete_sentinel(self) -> None:
        if self.not_ours is None:
            self._delete(keys.node("n1"))

    def delete_lease(self) -> None:
        if self.not_ours is None:
            self._delete(keys.lease("n1"))

    def forget(self) -> None:
        if self.not_ours is None:
            self.hands_off = True
            assert self.known is not None
            mark = Mark(who="ann", when=self.world.now())
            self._write(keys.node("n1"), Node(name="n1", cluster=self.known, forgotten=mark).encode())

    def take_over(self) -> None:
        if self.not_ours is None:
            self.hands_off = True
            self.another.take(self.straight(), takeover=True)

    def end_session(self) -> None:
        entry = self.embedded.get(keys.lease("n1"))
        if entry is not None and entry.session:
            self.embedded.end_session(entry.session)

    def lose_cluster_file(self) -> None:
        self.state.files.pop("cluster", None)

    def lose_session_file(self) -> None:
        self.state.files.pop("session", None)

    def full(self) -> None:
        self.state.full = True

    def room(self) -> None:
        self.state.full = False

    def new_docker(self) -> None:
        self.hands_off = True  # after a crash its own lease may be a copied machine's
        self.here.docker += "x"

    def listing(self) -> None:
        doubt = self.membership.believe(self.embedded.list(keys.desired("n1")))
        here = content(self.embedded)
        if keys.node("n1") not in here or b'"other"' in here[keys.node("n1")]:
            assert doubt is not None

    def kill(self) -> None:
        raise Killed

    # What holds at every moment:

    def look(self) -> None:
        membership = self.membership
        state, may_act, may_report = self.how()
        assert membership.cluster_id == self.known
        assert may_report == (state == "joined")
        assert may_act == (state != "standby")
        assert self.hands_off or may_act, membership.problem
        assert (state == "joined") or membership.problem
        here = content(self.embedded)
        assert here.get(keys.CLUSTER) == self.expected
        if self.not_ours is not None:
            # A lease that was under way when the store was swapped may arrive in it: nothing can check that.
            here.pop(keys.lease("n1"), None)
            assert here == self.not_ours

    def supervised(self, until: float) -> None:
        """Let it run, and be started again whenever it ends, until a moment."""
        self.world.at(until, self.kill)
        while self.world.monotonic() < until:
            try:
                try:
                    self.membership.join()
                except HeldElsewhere:
                    self.world.advance(2.0)
                    self._again()
                    continue
                except StoreError:
                    pass
                self.membership.run()
            except Killed:
                self.world.survived()
                self._again()

    def _again(self) -> None:
        self.here.pid += 1
        self.start()

    def _replace(self, values: dict[str, bytes]) -> None:
        put(self.embedded, values)
        self.expected, self.not_ours = values.get(keys.CLUSTER), None

    def _write(self, key: str, value: bytes) -> None:
        self.embedded.transact([Set(key, value)])

    def _delete(self, key: str) -> None:
        entry = self.embedded.get(key)
        if entry is not None:
            self.embedded.delete(key, entry.version)


_EVENTS = (
    _Story.away, _Story.back, _Story.lost, _Story.wipe, _Story.foreign, _Story.foreign_with_the_same_node,
    _Story.restored, _Story.roj_restore, _Story.garble_cluster, _Story.garble_sentinel, _Story.delete_sentinel,
    _Story.delete_lease, _Story.forget, _Story.take_over, _Story.end_session, _Story.lose_cluster_file,
    _Story.lose_session_file, _Story.full, _Story.room, _Story.new_docker, _Story.listing, _Story.listing,
    _Story.kill, _Story.kill,
)  # fmt: skip
_PEACEFUL = tuple(
    event for event in _EVENTS if event not in {_Story.forget, _Story.take_over, _Story.new_docker}
)


@settings(max_examples=300)
@given(
    plan=st.lists(st.tuples(_SECONDS, st.sampled_from(_EVENTS)), max_size=25)
    | st.lists(st.tuples(_SECONDS, st.sampled_from(_PEACEFUL)), max_size=25),
    slow=st.lists(st.floats(0, 5), max_size=40),
)
@example(plan=[(1.0, _Story.new_docker)], slow=[2.0, 0.0, 0.0, 0.0, 0.0])
def test_a_node_keeps_its_cluster_and_its_hands_whatever_the_store_says(
    plan: list[tuple[float, Callable[[_Story], None]]], slow: list[float]
) -> None:
    story = _Story()
    story.line.slow = lambda: slow.pop() if slow else 0.0

    def happen(event: Callable[[_Story], None]) -> Callable[[], None]:
        def action() -> None:
            try:
                event(story)
            finally:
                story.look()

        return action

    moment = story.world.monotonic()
    for gap, event in plan:
        moment += gap
        story.world.at(moment, happen(event))

    def heal() -> None:
        story.back()
        story.room()
        story.restored()

    story.world.at(moment + 1, happen(lambda _: heal()))
    # Two lengths of a session for others' to end, the longest backoff, and some.
    story.supervised(moment + 1 + 2 * TTL + 60)
    for _ in range(3):  # it was killed by the end of `supervised`
        try:
            story.membership.join()
        except StoreError:
            continue
        except HeldElsewhere:
            # Docker's id changed while it ran: after the kill it looks like another machine until the session ends.
            assert story.hands_off
            story.world.advance(2 * TTL + 1)
    story.look()
    assert story.how() == ("joined", True, True), story.membership.problem
    assert story.sentinel().cluster == story.known
    story.listing()
    story.membership.stop()
    entry = story.embedded.get(keys.lease("n1"))
    assert entry is not None
    assert entry.session == ""
    story.embedded.close()
