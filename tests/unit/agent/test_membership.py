"""A node's place in its cluster: what it joins, what it never does, what it costs, what people are told."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from roj.agent.elsewhere import ELSEWHERE
from roj.agent.lease import TTL, HeldElsewhere
from roj.agent.membership import LOOK, Membership
from roj.agent.own_cluster import CLUSTER
from roj.agent.standing import State
from roj.api import keys
from roj.api.node import Cluster, MachineIdentity, Mark, Node
from roj.runtime.interface import RuntimeUnavailable
from roj.store.interface import Set, StoreUnavailable
from tests.unit.agent.fakes import FaultyStore, MemoryState, Scene, content, put

HOUR = 3600.0


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.embedded.close()


def test_the_first_node_makes_the_cluster_its_sentinel_and_its_lease(scene: Scene) -> None:
    membership = scene.start(labels={"rack": "7"})
    assert scene.how() == ("offline", False, False)
    assert [membership.cluster_id] == [None]
    membership.join()
    assert scene.how() == ("joined", True, True)
    assert membership.problem is None
    assert membership.cluster_id == scene.cluster()
    assert scene.sentinel() == Node(name="n1", cluster=scene.cluster(), labels={"rack": "7"})
    assert Cluster.decode(scene.state.files[CLUSTER]).id == scene.cluster()
    assert scene.state.writes.count(CLUSTER) == 2, "the second write makes the previous copy"
    assert scene.told == ["joined"]
    assert scene.listing_is_believed() is None


def test_a_start_and_an_idle_hour_cost_what_is_promised(scene: Scene) -> None:
    scene.membership.join()
    assert scene.asked() == [
        "get", "create", "get", "get", "transact", "get", "get", "open_session", "acquire"
    ]  # fmt: skip
    scene.here.pid = 7
    scene.start().join()
    assert scene.asked() == ["get", "get", "get", "renew_session", "acquire"]
    before = content(scene.embedded)
    index = scene.embedded.list(keys.ROOT).index
    scene.run(HOUR)
    asked = scene.asked()
    assert asked.count("renew_session") == pytest.approx(120, abs=1)
    assert asked.count("get") == 3 * (120 // (LOOK + 1))
    assert len(asked) == asked.count("renew_session") + asked.count("get")
    assert scene.embedded.list(keys.ROOT).index == index
    assert content(scene.embedded) == before


def test_a_store_that_is_away_at_the_start(scene: Scene) -> None:
    scene.line.away = True
    with pytest.raises(StoreUnavailable):
        scene.membership.join()
    assert scene.how() == ("offline", False, False)
    assert "never in a cluster" in (scene.membership.problem or "")
    scene.line.away = False
    scene.run(30)
    assert scene.how() == ("joined", True, True)
    scene.line.away = True
    membership = scene.start()
    with pytest.raises(StoreUnavailable):
        membership.join()
    assert (membership.state, membership.cluster_id) == ("offline", scene.cluster())
    assert membership.may_act and not membership.may_report
    assert "kept and repaired" in (membership.problem or "")


def test_a_short_outage_changes_nothing_and_a_long_one_ends_with_the_session(scene: Scene) -> None:
    scene.membership.join()
    states: list[tuple[float, State]] = []

    def away() -> None:
        scene.line.away = True

    def back() -> None:
        scene.line.away = False

    def look() -> None:
        states.append((scene.world.monotonic(), scene.membership.state))

    scene.told.clear()
    scene.run(60, (25, away), (45, back))
    assert scene.told == []
    scene.run(300, (1, away), *((float(at), look) for at in range(2, 300)))
    offline = [at for at, state in states if state == "offline"]
    assert scene.told == ["offline"]
    assert TTL - 30 <= offline[0] - states[0][0] <= TTL + 1
    assert scene.membership.may_act and not scene.membership.may_report
    back()
    scene.run(16)
    assert scene.membership.state == "joined"


def test_held_elsewhere_at_the_start_and_without_the_store_after_it(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.membership.join()
    scene.membership.stop()
    there = scene.elsewhere()
    there.take(scene.straight())
    with pytest.raises(HeldElsewhere, match=r"held by there.*--takeover"):
        scene.start().join()
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [], "the agent ends, and says why"
    scene.line.away = True
    membership = scene.start()
    with pytest.raises(StoreUnavailable):
        membership.join()
    assert (membership.state, membership.may_act) == ("standby", False)
    assert "there" in (membership.problem or "")
    told = scene.start(takeover=True)
    with pytest.raises(StoreUnavailable):
        told.join()
    assert told.may_act
    scene.line.away = False
    told.join()
    assert told.state == "joined" and ELSEWHERE not in scene.state.files


def test_another_machine_that_takes_over_makes_it_stand_by_until_it_goes(scene: Scene) -> None:
    scene.start(takeover=True).join()
    there = scene.elsewhere()
    seen: list[tuple[State, bool, bool]] = []

    def look() -> None:
        membership = scene.membership
        seen.append((membership.state, membership.may_act, membership.may_report))

    def away() -> None:
        scene.line.away = True

    def back() -> None:
        scene.line.away = False

    def ended() -> None:
        there.release(scene.straight())

    def take() -> None:
        there.take(scene.straight(), takeover=True)

    def renew() -> None:
        assert there.renew(scene.straight())

    scene.told.clear()
    scene.run(
        400, (10, take), (45, look), (50, away), (60, renew), (100, look), (110, renew), (150, back),
        (160, renew), (200, look), (210, ended), (240, look),
    )  # fmt: skip
    standby: tuple[State, bool, bool] = ("standby", False, False)
    assert seen == [standby, standby, standby, ("joined", True, True)]
    assert scene.told == ["standby", "joined"]
    assert ELSEWHERE not in scene.state.files


def test_a_wiped_store_is_no_order_and_gets_no_new_cluster(scene: Scene) -> None:
    scene.membership.join()
    kept = content(scene.embedded)

    def wipe() -> None:
        put(scene.embedded, {})
        assert scene.listing_is_believed() is not None

    scene.told.clear()
    scene.run(5, (1, wipe))
    membership = scene.membership
    assert (membership.state, membership.may_act, membership.may_report) == ("empty", True, False)
    assert "roj restore --state-dir /state" in (membership.problem or "")
    scene.run(HOUR)
    assert content(scene.embedded) == {}
    membership = scene.start()
    membership.join()
    assert (membership.state, membership.may_act) == ("empty", True)
    scene.run(20, (1, lambda: put(scene.embedded, {keys.CLUSTER: kept[keys.CLUSTER]})))
    assert membership.state == "joined"
    assert scene.sentinel().encode() == kept[keys.node("n1")]


def test_an_empty_store_gets_no_new_cluster_where_only_orders_are_left_of_the_state(scene: Scene) -> None:
    scene.state.files["orders/web-a"] = b"x"
    membership = scene.start()
    membership.join()
    assert (membership.state, membership.cluster_id) == ("empty", None)
    assert content(scene.embedded) == {}


def test_a_lost_cluster_file_is_made_up_from_the_sentinel(scene: Scene) -> None:
    scene.membership.join()
    del scene.state.files[CLUSTER]
    put(scene.embedded, {})
    membership = scene.start()
    membership.join()
    assert membership.state == "empty" and membership.cluster_id is not None


def test_another_clusters_store_is_left_alone_and_both_are_named(scene: Scene) -> None:
    scene.membership.join()
    mine = scene.cluster()
    kept = content(scene.embedded)
    other = Cluster(id="other", created=scene.world.now()).encode()

    def swap() -> None:
        put(scene.embedded, {keys.CLUSTER: other})
        assert scene.listing_is_believed() is not None

    scene.run(60, (1, swap))
    membership = scene.membership
    assert (membership.state, membership.may_act, membership.may_report) == ("foreign", True, False)
    problem = membership.problem or ""
    assert mine in problem and "other" in problem
    assert "roj restore" in problem and "--state-dir" in problem
    scene.run(HOUR)
    membership.stop()
    assert content(scene.embedded) == {keys.CLUSTER: other}
    put(scene.embedded, kept)
    scene.start().join()
    assert scene.membership.state == "joined"


def test_a_cluster_record_that_does_not_parse_is_no_other_cluster(scene: Scene) -> None:
    scene.membership.join()
    scene.embedded.transact([Set(keys.CLUSTER, b"rubbish")])
    membership = scene.start()
    membership.join()
    assert scene.how() == ("joined", True, True)
    assert "does not parse" in (membership.problem or "")
    entry = scene.embedded.get(keys.node("n1"))
    assert entry is not None
    scene.embedded.delete(entry.key, entry.version)
    membership.join()
    assert scene.how() == ("foreign", True, False)
    assert keys.node("n1") not in content(scene.embedded)
    scene.state = MemoryState()
    stranger = scene.start()
    stranger.join()
    assert (stranger.state, stranger.cluster_id, stranger.may_act) == ("foreign", None, False)


def test_a_sentinel_deleted_by_hand_is_made_again_as_it_was(scene: Scene) -> None:
    scene.membership.join()
    scene.set_sentinel(labels={"a": "b"}, cordoned=Mark(who="me", when=scene.world.now()))
    assert scene.listing_is_believed() is None
    before = scene.sentinel()
    entry = scene.embedded.get(keys.node("n1"))
    assert entry is not None
    scene.told.clear()

    def delete() -> None:
        scene.embedded.delete(entry.key, entry.version)
        assert scene.listing_is_believed() is not None

    scene.run(5, (1, delete))
    assert scene.sentinel() == before
    assert scene.listing_is_believed() is None
    assert scene.told == []


def test_listings_that_cannot_be_true(scene: Scene) -> None:
    believe = scene.membership.believe
    listing = scene.embedded.list(keys.desired("n1"))
    assert "not known yet" in (believe(listing) or "")
    scene.membership.join()
    good = scene.sentinel()
    for value, doubt in (
        (good.model_copy(update={"cluster": "other"}).encode(), "cluster other"),
        (b'{"format":99,"cluster":"other","name":"n1"}', "cluster other"),
        (b"rubbish", None),
        (b'{"format":99,"cluster":"' + good.cluster.encode() + b'","news":1}', None),
        (good.model_copy(update={"labels": {"x": "y"}}).encode(), None),
    ):
        scene.embedded.transact([Set(keys.node("n1"), value)])
        found = scene.listing_is_believed()
        assert found is None if doubt is None else doubt in (found or ""), value
    assert Node.decode(scene.state.files["node"]).labels == {"x": "y"}


def test_a_sentinel_that_never_parsed_means_frozen(scene: Scene) -> None:
    scene.membership.join()
    scene.embedded.transact([Set(keys.node("n1"), b"rubbish")])
    del scene.state.files["node"]
    membership = scene.start()
    membership.join()
    assert membership.state == "joined" and "frozen" in (membership.problem or "")
    assert "frozen" in (scene.listing_is_believed() or "")


def test_a_sentinel_that_cannot_be_written_down_is_not_believed(scene: Scene) -> None:
    scene.membership.join()
    scene.state.full = True
    assert scene.listing_is_believed() is None, "it is written down already"
    scene.set_sentinel(labels={"a": "b"})
    assert "written down" in (scene.listing_is_believed() or "")
    scene.state.full = False
    assert scene.listing_is_believed() is None


def test_forgotten_is_an_order_to_touch_nothing_until_it_is_lifted(scene: Scene) -> None:
    scene.membership.join()
    membership = scene.membership
    before = scene.embedded.list(keys.desired("n1"))
    mark = Mark(who="ann", when=scene.world.now(), why="sold")
    seen: list[tuple[State, bool]] = []

    def forget() -> None:
        scene.set_sentinel(forgotten=mark)
        assert "forgotten" in (scene.listing_is_believed() or "")
        assert not membership.may_act, "at once"
        assert membership.believe(before) is not None, "an older listing lifts nothing"
        seen.append((membership.state, membership.may_act))

    scene.told.clear()
    scene.run(10, (1, forget))
    assert seen == [("standby", False)] and scene.told == ["standby"]
    assert "by ann" in (membership.problem or "") and "sold" in (membership.problem or "")
    entry = scene.embedded.get(keys.lease("n1"))
    assert entry is not None and entry.session == ""
    scene.line.away = True
    with pytest.raises(StoreUnavailable):
        scene.start().join()
    assert (scene.membership.state, scene.membership.may_act) == ("standby", False)
    scene.line.away = False
    scene.run(20, (1, lambda: scene.set_sentinel(forgotten=None)))
    assert scene.membership.state == "joined" and scene.membership.may_act


def test_a_restored_snapshot_brings_back_no_mark_and_lifts_none(scene: Scene) -> None:
    scene.membership.join()
    mark = Mark(who="ann", when=scene.world.now(), why="disks")
    unmarked = scene.sentinel()
    frozen = unmarked.model_copy(update={"frozen": mark, "lineage": ("c1",)})
    thawed = unmarked.model_copy(update={"lineage": ("c2", "c1")})
    forgotten = unmarked.model_copy(update={"forgotten": mark, "lineage": ("c3", "c2", "c1")})
    again = unmarked.model_copy(update={"lineage": ("c4", "c3", "c2", "c1")})

    def store(record: Node) -> None:
        scene.embedded.transact([Set(keys.node("n1"), record.encode())])
        assert (scene.listing_is_believed() is None) == (
            scene.membership.record is not None and not forgets()
        )

    def forgets() -> bool:
        last = scene.membership.record
        return last is not None and last.forgotten is not None

    def held(by: Node, over: Node) -> None:
        """The store goes back to one; the other goes on to be obeyed, also after a restart, until a new write."""
        store(by)
        assert scene.membership.record == over
        assert "went back" in (scene.membership.went_back or "")
        scene.start()
        assert scene.membership.record == over
        scene.membership.join()
        assert scene.membership.record == over
        assert "went back" in (scene.membership.problem or "") or forgets()

    store(frozen)
    held(unmarked, frozen)
    store(frozen)
    assert scene.membership.went_back is None
    store(thawed)
    assert scene.membership.record == thawed
    held(frozen, thawed)
    held(unmarked, thawed)
    other = unmarked.model_copy(update={"cordoned": mark, "lineage": ("d1",)})
    store(other)
    assert scene.membership.record == other, "a new write on top of what was restored"
    assert scene.membership.went_back is None
    store(thawed)
    assert scene.membership.record == thawed, "the other write is not known to have come after it"
    store(forgotten)
    assert scene.how() == ("standby", False, False)
    held(thawed, forgotten)
    scene.embedded.transact([Set(keys.node("n1"), again.encode())])
    scene.membership.join()
    assert scene.how() == ("joined", True, True)
    held(forgotten, again)
    assert scene.how() == ("joined", True, True)


def test_a_lease_deleted_by_hand_is_back_within_the_look(scene: Scene) -> None:
    scene.membership.join()
    entry = scene.embedded.get(keys.lease("n1"))
    assert entry is not None
    scene.embedded.delete(entry.key, entry.version)
    scene.run(30.0 * (LOOK + 2))
    again = scene.embedded.get(keys.lease("n1"))
    assert again is not None and again.session == entry.session


def test_a_killed_agent_comes_back_into_the_same_session(scene: Scene) -> None:
    scene.membership.join()
    entry = scene.embedded.get(keys.lease("n1"))
    assert entry is not None and entry.session
    scene.run(100)
    scene.here.pid = 7
    scene.start().join()
    again = scene.embedded.get(keys.lease("n1"))
    assert again is not None and again.session == entry.session
    assert MachineIdentity.decode(again.value).pid == 7


def test_stop_lets_the_lease_go_and_is_not_held_up_by_a_store_that_is_away(scene: Scene) -> None:
    scene.membership.join()
    session = scene.embedded.get(keys.lease("n1"))
    assert session is not None
    scene.run(10, (5, scene.membership.stop))
    entry = scene.embedded.get(keys.lease("n1"))
    assert entry is not None and entry.session == ""
    assert not scene.embedded.renew_session(session.session)
    scene.membership.stop()
    scene.start().join()
    scene.line.away = True
    began = scene.world.monotonic()
    scene.membership.stop()
    assert scene.world.monotonic() - began <= 2.0


def test_what_is_told_of_a_change_is_told_again_if_it_failed(scene: Scene) -> None:
    calls: list[State] = []

    def changed() -> None:
        calls.append(membership.state)
        if len(calls) == 1:
            raise RuntimeError("not now")

    membership = Membership(
        scene.world, FaultyStore(scene.embedded, scene.line), scene.state, "n1", scene.here, changed=changed
    )
    with pytest.raises(RuntimeError):
        membership.join()
    scene.membership = membership
    scene.run(5)
    assert calls == ["joined", "joined"]


def test_a_full_disk_at_the_first_start_is_said_and_mended(scene: Scene) -> None:
    scene.state.full = True
    scene.membership.join()
    assert scene.membership.state == "offline" and "No space left" in (scene.membership.problem or "")
    cluster = scene.cluster()
    scene.state.full = False
    scene.run(20)
    assert (scene.membership.state, scene.membership.cluster_id) == ("joined", cluster)


def test_a_node_that_lost_its_state_gives_an_empty_store_no_other_id_than_its_containers_have(
    scene: Scene,
) -> None:
    scene.served = lambda: ("before",)
    scene.start().join()
    assert scene.how() == ("empty", True, False)
    assert scene.membership.cluster_id == "before"
    assert content(scene.embedded) == {}
    said = scene.membership.problem or ""
    assert "roj restore --state-dir /state" in said and "in cluster before" in said and "--node" in said
    put(scene.embedded, {keys.CLUSTER: scene.state.files[CLUSTER]})
    scene.run(20)
    assert (scene.how(), scene.cluster()) == (("joined", True, True), "before")


def test_containers_of_several_clusters_or_of_another_one_than_the_stores_decide_nothing(
    scene: Scene,
) -> None:
    scene.served = lambda: ("one", "two")
    scene.start().join()
    assert scene.membership.state == "joined"
    scene.membership.stop()
    scene.state.files.clear()
    scene.served = lambda: ("one",)
    scene.start().join()
    assert (scene.membership.state, scene.membership.cluster_id) == ("joined", scene.cluster())


def test_no_cluster_is_made_before_docker_says_whether_the_node_was_in_one(scene: Scene) -> None:
    def away() -> tuple[str, ...]:
        raise RuntimeUnavailable("away")

    scene.served = away
    scene.start().join()
    assert scene.how() == ("offline", False, False)
    assert content(scene.embedded) == {}
    scene.served = tuple
    scene.run(20)
    assert scene.how() == ("joined", True, True)


def test_a_store_that_was_wiped_and_restored_while_nobody_looked_has_its_lease_back_in_seconds(
    scene: Scene,
) -> None:
    scene.membership.join()
    assert scene.listing_is_believed() is None
    kept = {key: value for key, value in content(scene.embedded).items() if key != keys.lease("n1")}
    scene.told.clear()
    scene.run(100)
    assert scene.told == []

    def restored() -> None:
        put(scene.embedded, {})
        put(scene.embedded, kept)
        assert scene.listing_is_believed() is None

    scene.run(8, (5, restored))
    assert scene.told == ["joined"], "reports may be lost too"
    entry = scene.embedded.get(keys.lease("n1"))
    assert entry is not None and entry.session
    scene.asked()
    assert scene.listing_is_believed() is None
    scene.run(10)
    assert scene.asked() == []
