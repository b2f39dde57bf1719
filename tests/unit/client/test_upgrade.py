"""Upgrade and rollback as operators write them: one transaction with guard, claims and history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roj.api import keys
from roj.api.instance import History, Outcome
from roj.client.apps import create_app, remove_apps
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.errors import Conflict, NotFound, Unreachable
from roj.client.goals import set_goals
from roj.client.upgrade import Terms, roll_back, upgrade
from roj.store.interface import StoreUnavailable
from tests.unit.client.world import WHEN, Meddled, Unreliable, World, spec, violations


@pytest.fixture
def deployed(world: World) -> World:
    for version, port in (("v1", 8080), ("v2", 8081), ("v3", 8082), ("v4", 8083)):
        create_app(world.client, "web", version, spec(port))
    create_app(world.client, "api", "v1", spec())
    for node, id in (("n1", "web-a"), ("n2", "web-b")):
        deploy(world.client, "web", "v1", [node], id=id)
    return world


def ports(world: World, node: str = "n1") -> list[str]:
    return [entry.key.rpartition("/")[2] for entry in world.store.list(keys.ports(node)).entries]


def test_an_upgrade_is_a_new_revision_with_its_claims_guard_and_history(deployed: World) -> None:
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(why="faster"))
    now = deployed.get("n1", "web-a")
    assert (done.written, done.before, done.app, done.generation) == (True, "web:v1", "web:v2", 2)
    assert (str(now.app), now.generation, now.goal, now.why, now.who) == (
        "web:v2",
        2,
        "start",
        "faster",
        "anna@desk",
    )
    assert [str(revision.app) for revision in now.revisions] == ["web:v2", "web:v1"]
    assert now.revision.id == now.change
    assert ports(deployed) == ["tcp-8080", "tcp-8081"], "what may be rolled back to keeps its port"
    entry = deployed.store.get(keys.history("n1", "web-a"))
    assert entry is not None
    history = History.decode(entry.value)
    newest = history.entries[0]
    assert (newest.generation, str(newest.app), newest.why) == (2, "web:v2", "faster")
    assert list(violations(deployed)) == []
    with pytest.raises(Conflict, match="web-a"):
        remove_apps(deployed.client, [("web", "v2")])


def test_a_port_is_given_up_when_no_revision_takes_it_any_more(deployed: World) -> None:
    for version in ("v2", "v3", "v4"):
        upgrade(deployed.client, "web", version, ["web-a"])
    assert ports(deployed) == ["tcp-8081", "tcp-8082", "tcp-8083"]
    deploy(deployed.client, "web", "v1", ["n1"], id="again")


def test_the_same_app_again_is_no_change_unless_it_failed(deployed: World) -> None:
    upgrade(deployed.client, "web", "v2", ["web-a"])
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"])
    assert (done.written, deployed.get("n1", "web-a").generation) == (False, 2)
    deployed.report("n1", "web-a", "failed")
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"])
    assert (done.written, deployed.get("n1", "web-a").generation) == (True, 3)
    assert deployed.get("n1", "web-a").revision.id == deployed.get("n1", "web-a").change


def test_a_change_that_waits_is_written_anew_for_another_time_or_at_once(deployed: World) -> None:
    upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(at=WHEN))
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(at=WHEN))
    assert not done.written
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(now=True))
    now = deployed.get("n1", "web-a")
    assert (done.written, now.generation, now.now, now.at) == (True, 3, True, None)
    deployed.report("n1", "web-a", "launched")
    (done,) = upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(at=WHEN))
    assert not done.written


def test_every_refusal_comes_before_the_first_write(deployed: World) -> None:
    deploy(deployed.client, "web", "v2", ["n2"], id="other")  # has port 8081 of n2
    with pytest.raises(Conflict, match="8081/tcp of n2 is held by instance other"):
        upgrade(deployed.client, "web", "v2", ["web-a", "web-b"])
    assert deployed.get("n1", "web-a").generation == 1
    with pytest.raises(NotFound):
        upgrade(deployed.client, "web", "v9", ["web-a"])
    with pytest.raises(Conflict, match="another name"):
        upgrade(deployed.client, "api", "v1", ["web-a"])
    upgrade(deployed.client, "api", "v1", ["web-a"], other_app=True)
    set_goals(deployed.client, ["web-b"], "undeploy")
    with pytest.raises(Conflict, match="being undeployed"):
        upgrade(deployed.client, "web", "v3", ["web-b"])


def test_a_dry_run_says_what_would_be_and_writes_nothing(deployed: World) -> None:
    before = deployed.store.list(keys.ROOT).entries
    client = Client(deployed.store, deployed.clock, "anna@desk", dry_run=True)
    (done,) = upgrade(client, "web", "v2", ["web-a"])
    assert (done.written, done.app) == (True, "web:v2")
    assert deployed.store.list(keys.ROOT).entries == before


def test_if_change_refuses_what_was_changed_since(deployed: World) -> None:
    seen = deployed.get("n1", "web-a").change
    upgrade(deployed.client, "web", "v2", ["web-a"], terms=Terms(if_change=seen[:8]))
    with pytest.raises(Conflict, match="was changed since"):
        upgrade(deployed.client, "web", "v3", ["web-a"], terms=Terms(if_change=seen[:8]))


def test_a_rollback_sets_the_last_launched_revision_again(deployed: World) -> None:
    first = deployed.get("n1", "web-a").revision
    upgrade(deployed.client, "web", "v2", ["web-a"])
    upgrade(deployed.client, "web", "v3", ["web-a"])
    outcomes = [
        Outcome(generation=3, outcome="failed", when=WHEN),
        Outcome(generation=2, outcome="failed", when=WHEN),
        Outcome(generation=1, outcome="launched", when=WHEN),
    ]
    deployed.report("n1", "web-a", "failed", outcomes=outcomes)
    (done,) = roll_back(deployed.client, ["web-a"])
    now = deployed.get("n1", "web-a")
    assert (done.app, now.generation, now.revision.id, now.revision.generation) == ("web:v1", 4, first.id, 4)
    (done,) = roll_back(deployed.client, ["web-a"], to=3)
    assert done.app == "web:v3"
    with pytest.raises(NotFound, match="generation 9"):
        roll_back(deployed.client, ["web-a"], to=9)
    with pytest.raises(Conflict, match="no earlier revision"):
        roll_back(deployed.client, ["web-b"])


@pytest.mark.parametrize("call", range(1, 14))
def test_whoever_writes_in_between_is_not_overwritten(deployed: World, call: int) -> None:
    def meddle() -> None:
        set_goals(deployed.client, ["web-a"], "stop")

    store = Meddled(deployed.store, meddle, {call})
    upgrade(deployed.person("otto@desk", store), "web", "v2", ["web-a"])
    now = deployed.get("n1", "web-a")
    assert str(now.app) == "web:v2"
    if call < len(store.asked):
        assert (now.goal, now.generation) == ("stop", 3)
    assert list(violations(deployed)) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    fates=st.lists(st.sampled_from(["well", "refused", "lost", "late"]), max_size=6),
    reads=st.lists(st.booleans(), max_size=6),
)
def test_however_answers_are_lost_it_is_one_change(fates: list[str], reads: list[bool]) -> None:
    world = World("n1")
    try:
        for version in ("v1", "v2"):
            create_app(world.client, "web", version, spec(8080))
        deploy(world.client, "web", "v1", ["n1"], id="web-a")
        store = Unreliable(world.store, fates, reads)  # type: ignore[arg-type]
        try:
            (done,) = upgrade(world.person("otto@desk", store), "web", "v2", ["web-a"])
            assert done.written
            assert str(world.get("n1", "web-a").app) == "web:v2"
        except (Unreachable, StoreUnavailable):
            pass
        assert world.get("n1", "web-a").generation <= 2
        assert list(violations(world)) == []
    finally:
        world.close()


def test_what_serves_stays_in_the_record_however_many_upgrades_fail(deployed: World) -> None:
    first = deployed.get("n1", "web-a").revision
    for version in ("v2", "v3", "v4", "v2", "v3"):
        deployed.report("n1", "web-a", "failed", revision=first.id)
        upgrade(deployed.client, "web", version, ["web-a"])
    kept = [revision.id for revision in deployed.get("n1", "web-a").revisions]
    assert (len(kept), kept[-1]) == (3, first.id)
    deployed.report("n1", "web-a", "failed", revision=first.id)
    with pytest.raises(Conflict, match="web-a"):
        remove_apps(deployed.client, [("web", "v1")])
    (done,) = roll_back(deployed.client, ["web-a"], to=1)
    assert done.app == "web:v1"


@pytest.mark.parametrize("back", [False, True])
def test_a_goal_that_waits_for_its_time_is_not_done_at_once_by_another_app(
    deployed: World, back: bool
) -> None:
    upgrade(deployed.client, "web", "v2", ["web-a"])
    later = deployed.clock.now() + timedelta(hours=1)
    set_goals(deployed.client, ["web-a"], "stop", Terms(at=later))
    with pytest.raises(Conflict, match="is to stop at"):
        if back:
            roll_back(deployed.client, ["web-a"], to=1)
        else:
            upgrade(deployed.client, "web", "v3", ["web-a"])
    assert deployed.get("n1", "web-a").generation == 3
