"""The node's lease: who gets it, what it costs, what is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roj.agent.lease import RENEW, SESSION, TTL, HeldElsewhere, Lease, same_agent
from roj.api import keys
from roj.api.node import MachineIdentity
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Set, StoreUnavailable
from tests.unit.agent.fakes import FaultyStore, Line, Machine, MemoryState, World

KEY = keys.lease("n1")


class Scene:
    """One store, one line to it."""

    def __init__(self) -> None:
        self.world = World()
        self.embedded = EmbeddedStore(self.world)
        self.line = Line(self.world)
        self.store = FaultyStore(self.embedded, self.line)

    def lease(self, machine: Machine | None = None, state: MemoryState | None = None) -> Lease:
        machine = machine or Machine(self.world, "here")
        return Lease(self.world, state or MemoryState(), "n1", machine)

    def holder(self) -> tuple[str, MachineIdentity]:
        entry = self.embedded.get(KEY)
        assert entry is not None
        return entry.session, MachineIdentity.decode(entry.value)

    def asked(self) -> list[str]:
        found, self.line.requests[:] = list(self.line.requests), []
        return found


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.embedded.close()


def test_taken_renewed_and_let_go(scene: Scene) -> None:
    state = MemoryState()
    lease = scene.lease(state=state)
    lease.take(scene.store)
    assert scene.asked() == ["get", "open_session", "acquire"]
    session, holder = scene.holder()
    assert lease.held and holder.hostname == "here"
    assert state.files[SESSION].decode() == session
    for _ in range(10):
        scene.world.advance(RENEW)
        assert lease.renew(scene.store)
    assert scene.asked() == ["renew_session"] * 10
    assert scene.holder()[0] == session
    lease.take(scene.store)
    assert scene.asked() == ["get", "renew_session"], "what is held is not written again"
    lease.release(scene.store)
    assert scene.asked() == ["release", "end_session"]
    assert scene.holder()[0] == "" and SESSION not in state.files
    assert not scene.embedded.renew_session(session)
    lease.release(scene.store)
    assert scene.asked() == []


def test_a_killed_agent_goes_on_with_its_session(scene: Scene) -> None:
    state, machine = MemoryState(), Machine(scene.world, "here")
    scene.lease(machine, state).take(scene.store)
    session, _ = scene.holder()
    scene.world.advance(TTL / 2)
    machine.pid = 200
    scene.lease(machine, state).take(scene.store)
    assert scene.holder()[0] == session and scene.holder()[1].pid == 200
    del state.files[SESSION]  # the lease itself says whose it is
    again = scene.lease(machine, state)
    again.take(scene.store)
    assert scene.holder()[0] == session and state.files[SESSION].decode() == session
    assert again.held


def test_another_machine_is_named_and_left_alone(scene: Scene) -> None:
    scene.lease(Machine(scene.world, "there")).take(scene.store)
    before = scene.embedded.get(KEY)
    with pytest.raises(HeldElsewhere, match=r"node n1 is held by there \(process 100") as held:
        scene.lease().take(scene.store)
    assert held.value.holder is not None and held.value.holder.hostname == "there"
    assert scene.embedded.get(KEY) == before
    scene.world.advance(TTL)
    scene.lease().take(scene.store)
    assert scene.holder()[1].hostname == "here"


def test_told_to_it_takes_over_and_the_other_notices_at_its_next_renewal(scene: Scene) -> None:
    there = scene.lease(Machine(scene.world, "there"))
    there.take(scene.store)
    here = scene.lease()
    here.take(scene.store, takeover=True)
    assert scene.holder()[1].hostname == "here"
    assert not there.renew(scene.store) and not there.held
    with pytest.raises(HeldElsewhere, match="held by here"):
        there.take(scene.store)


def test_a_copied_state_directory_does_not_make_a_machine_the_holder(scene: Scene) -> None:
    state = MemoryState()
    scene.lease(Machine(scene.world, "there", state="same"), state).take(scene.store)
    copy = MemoryState()
    copy.files = dict(state.files)
    with pytest.raises(HeldElsewhere):
        scene.lease(Machine(scene.world, "here", state="same"), copy).take(scene.store)
    session = scene.holder()[0]
    scene.lease(Machine(scene.world, "here", state="same"), copy).take(scene.store, takeover=True)
    assert scene.holder()[0] not in {"", session}


def test_another_docker_is_another_agent_and_one_that_is_not_known_is_not(scene: Scene) -> None:
    state, machine = MemoryState(), Machine(scene.world, "here")
    lease = scene.lease(machine, state)
    lease.take(scene.store)
    session = scene.holder()[0]
    machine.docker = "reinstalled"
    lease.take(scene.store)  # in this process the session is certainly ours: what has changed is written
    assert scene.holder() == (session, machine())
    machine.docker = "again"
    with pytest.raises(HeldElsewhere):  # it may be a copy of the machine, with a Docker of its own
        scene.lease(machine, state).take(scene.store)
    machine.docker = ""
    scene.lease(machine, state).take(scene.store)
    assert scene.holder()[0] == session
    assert same_agent(machine(), Machine(scene.world, "here")())
    assert not same_agent(Machine(scene.world, "there")(), machine())


def test_a_value_that_does_not_parse_is_ours_only_with_our_session(scene: Scene) -> None:
    state = MemoryState()
    scene.lease(state=state).take(scene.store)
    session = scene.holder()[0]
    scene.embedded.transact([Set(KEY, b"rubbish")])
    with pytest.raises(HeldElsewhere, match="does not parse"):
        scene.lease().take(scene.store)
    scene.lease(state=state).take(scene.store)
    assert scene.holder()[0] == session and scene.holder()[1].hostname == "here"


def test_a_lease_deleted_by_hand_is_taken_again_in_the_same_session(scene: Scene) -> None:
    lease = scene.lease()
    lease.take(scene.store)
    entry = scene.embedded.get(KEY)
    assert entry is not None
    scene.embedded.delete(KEY, entry.version)
    lease.take(scene.store)
    assert scene.holder()[0] == entry.session


def test_a_full_disk_keeps_nobody_from_the_lease(scene: Scene) -> None:
    state = MemoryState()
    state.full = True
    lease = scene.lease(state=state)
    lease.take(scene.store)
    assert lease.held
    session = scene.holder()[0]
    scene.lease(state=state).take(scene.store)
    assert scene.holder()[0] == session


def test_a_lost_answer_is_found_out_by_the_next_try(scene: Scene) -> None:
    lease = scene.lease()
    scene.line.lost = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            lease.take(scene.store)
        assert not lease.held
    scene.line.lost = False
    lease.take(scene.store)
    assert lease.held
