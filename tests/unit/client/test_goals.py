"""Goals, references and adoption."""

from __future__ import annotations

from typing import Any

import pytest

from roj.api import keys
from roj.api.instance import Instance, PortClaim
from roj.client.adoption import adopt
from roj.client.apps import create_app, get_app
from roj.client.changes import Terms
from roj.client.deployment import deploy
from roj.client.errors import Conflict, Invalid, NotFound
from roj.client.goals import set_goals
from tests.unit.client.world import Meddled, World, spec, violations


@pytest.fixture
def deployed(world: World) -> World:
    create_app(world.client, "web", "v1", spec(8080))
    for node, id in (("n1", "web"), ("n2", "web-ab")):
        deploy(world.client, "web", "v1", [node], id=id)
    return world


def unclaimed(world: World, node: str, id: str, **more: Any) -> Instance:
    """The store loses the record of an instance, and its node says so."""
    instance = world.get(node, id)
    app = get_app(world.client, "web", "v1").app
    world.report(node, id, "unclaimed", believed=instance, app=app, **more)
    world.drop(keys.instance(node, id))
    return instance


@pytest.mark.parametrize("reference", ["web", "n1/web", "n1/w"])
def test_an_exact_id_wins_over_a_beginning(deployed: World, reference: str) -> None:
    (change,) = set_goals(deployed.client, [reference], "stop")
    assert (change.node, change.id) == ("n1", "web")


@pytest.mark.parametrize("reference", ["web-", "n2/web-a", "n2/w"])
def test_a_beginning_that_no_other_has_is_enough(deployed: World, reference: str) -> None:
    (change,) = set_goals(deployed.client, [reference], "stop")
    assert change.id == "web-ab"


def test_what_is_ambiguous_is_named_and_nothing_is_written(deployed: World) -> None:
    with pytest.raises(Invalid) as refused:
        set_goals(deployed.client, ["web-ab", "we"], "stop")
    assert "n1/web, n2/web-ab" in str(refused.value.faults[0])
    assert [instance.goal for instance in deployed.instances()] == ["start", "start"]


@pytest.mark.parametrize("missing", ["x", "n2/web-abc", "n1/", "/web", "n1/web/x", ""])
def test_what_is_not_there_keeps_all(deployed: World, missing: str) -> None:
    with pytest.raises(NotFound):
        set_goals(deployed.client, ["web-ab", missing], "stop")
    assert [instance.goal for instance in deployed.instances()] == ["start", "start"]


def test_one_that_is_named_twice_is_changed_once(deployed: World) -> None:
    (change,) = set_goals(deployed.client, ["web", "n1/web", "web"], "stop")
    assert change.generation == 2


def test_a_goal_keeps_revision_and_claims(deployed: World) -> None:
    before = deployed.get("n1", "web")
    claims = deployed.claims()
    deployed.clock.sleep(60)
    set_goals(deployed.client, ["web"], "stop", Terms(why="maintenance"))
    after = deployed.get("n1", "web")
    assert after.revisions == before.revisions
    assert (after.goal, after.generation, after.why, after.who) == ("stop", 2, "maintenance", "anna@desk")
    assert after.when > before.when
    assert after.lineage == (after.change, before.change)
    set_goals(deployed.client, ["web"], "undeploy")
    assert deployed.claims() == claims, "until its node has stopped it"


def test_an_undeploy_is_not_taken_back(deployed: World) -> None:
    set_goals(deployed.client, ["web"], "undeploy")
    for goal in ("start", "stop"):
        with pytest.raises(Conflict, match="being undeployed"):
            set_goals(deployed.client, ["web-ab", "web"], goal)
    assert deployed.get("n2", "web-ab").goal == "start"
    assert not set_goals(deployed.client, ["web"], "undeploy")[0].written


def test_a_goal_that_is_set_already_is_not_written_again(deployed: World) -> None:
    deployed.report("n1", "web", "launched")
    before = deployed.get("n1", "web")
    (change,) = set_goals(deployed.client, ["web"], "start")
    assert not change.written
    assert (change.uid, change.generation) == (before.uid, 1)
    assert deployed.get("n1", "web") == before


def test_where_its_node_holds_the_same_goal_is_an_order_all_the_same(deployed: World) -> None:
    older = deployed.get("n1", "web")
    deployed.report("n1", "web", "held", believed=older.model_copy(update={"goal": "stop"}))
    (change,) = set_goals(deployed.client, ["web"], "start")
    assert change.written
    assert deployed.get("n1", "web").lineage[1:] == older.lineage


def test_a_node_that_is_away_is_told_of(deployed: World) -> None:
    deployed.store.end_session(deployed.session)
    (change,) = set_goals(deployed.client, ["web"], "undeploy")
    assert change.written
    assert change.away


def test_a_record_that_is_not_understood_is_not_changed(deployed: World) -> None:
    deployed.put(keys.instance("n1", "web"), b"{}")
    with pytest.raises(Conflict, match="not understood") as refused:
        set_goals(deployed.client, ["web"], "undeploy")
    assert "roj adopt web" in refused.value.hint


def test_an_instance_that_is_gone_meanwhile_is_undeployed(deployed: World) -> None:
    def gone() -> None:
        deployed.finish("n1", "web")

    set_goals(deployed.client, ["web"], "undeploy")
    store = Meddled(deployed.store, gone, {3})
    changes = set_goals(deployed.person("otto@desk", store), ["n1/web", "n2/web-ab"], "undeploy")
    assert [change.goal for change in changes] == ["undeploy", "undeploy"]


def test_another_life_under_the_same_id_is_not_undeployed(deployed: World) -> None:
    def anew() -> None:
        deployed.finish("n1", "web")
        deploy(deployed.client, "web", "v1", ["n1"], id="web")

    calls = {2}  # after the record and the lease were read
    with pytest.raises(Conflict, match="anew"):
        set_goals(deployed.person("otto@desk", Meddled(deployed.store, anew, calls)), ["n1/web"], "undeploy")
    assert deployed.get("n1", "web").goal == "start"


def test_many_goals_go_in_few_transactions(world: World) -> None:
    create_app(world.client, "job", "v1", spec(None))
    launches = deploy(world.client, "job", "v1", ["n1"], count=100)
    changes = set_goals(world.client, [launch.id for launch in launches], "stop")
    assert [change.id for change in changes] == [launch.id for launch in launches]
    assert len({instance.change for instance in world.instances()}) == 4


# --- unclaimed and held ---


def test_an_unclaimed_instance_is_only_adopted_or_undeployed(deployed: World) -> None:
    before = unclaimed(deployed, "n1", "web")
    with pytest.raises(Conflict, match="unclaimed") as refused:
        set_goals(deployed.client, ["web"], "stop")
    assert "roj adopt" in refused.value.hint
    (change,) = set_goals(deployed.client, ["web"], "undeploy", Terms(why="not ours"))
    after = deployed.get("n1", "web")
    assert change.uid == before.uid
    assert (after.goal, after.generation, after.why) == ("undeploy", 2, "not ours")
    assert after.lineage[1:] == before.lineage


def test_an_unclaimed_instance_of_which_its_node_knows_nothing(deployed: World) -> None:
    deployed.report("n1", "web", "unclaimed")
    deployed.drop(keys.instance("n1", "web"))
    with pytest.raises(Conflict, match="reports none"):
        set_goals(deployed.client, ["web"], "undeploy")
    with pytest.raises(Conflict, match="nothing to adopt"):
        adopt(deployed.client, "web")


def test_adopting_puts_back_record_app_guard_and_claims(deployed: World) -> None:
    before = unclaimed(deployed, "n1", "web")
    app = get_app(deployed.client, "web", "v1").app
    deployed.wipe(keys.APPS, keys.APP_USE, keys.ports("n1"), keys.desired("n2"), f"{keys.ROOT}history/n2/")
    change = adopt(deployed.client, "n1/web", "the store was lost")
    after = deployed.get("n1", "web")
    assert (change.written, change.generation) == (True, 2)
    assert after.lineage == (after.change, *before.lineage)
    assert (after.uid, after.revisions, after.goal) == (before.uid, before.revisions, before.goal)
    assert deployed.apps() == {before.app: app}
    assert deployed.guard("web") == after.change
    assert not list(violations(deployed))


def test_adopting_ends_a_hold(deployed: World) -> None:
    older = deployed.get("n1", "web")
    set_goals(deployed.client, ["web"], "stop")
    newer = deployed.get("n1", "web")
    deployed.put(keys.instance("n1", "web"), older.encode())
    deployed.report("n1", "web", "held", believed=newer)
    adopt(deployed.client, "web")
    after = deployed.get("n1", "web")
    assert (after.goal, after.generation, after.lineage[1:]) == ("stop", 3, newer.lineage)
    again = adopt(deployed.client, "web")
    assert not again.written, "its node has not reported yet that it obeys it"
    assert deployed.get("n1", "web") == after


def test_the_generation_is_above_both(deployed: World) -> None:
    older = deployed.get("n1", "web")
    for goal in ("stop", "start", "stop"):
        set_goals(deployed.client, ["web"], goal)
    deployed.report("n1", "web", "held", believed=older.model_copy(update={"lineage": ("elsewhere",)}))
    assert adopt(deployed.client, "web").generation == 5


def test_adopting_replaces_a_record_that_is_not_understood(deployed: World) -> None:
    before = deployed.get("n1", "web")
    deployed.report("n1", "web", "launched", believed=before)
    deployed.put(keys.instance("n1", "web"), b'{"format": 99}')
    adopt(deployed.client, "web")
    assert deployed.get("n1", "web").lineage[1:] == before.lineage


def test_what_needs_no_adoption_says_so(deployed: World) -> None:
    deployed.report("n1", "web", "launched")
    with pytest.raises(Conflict, match="nothing to adopt"):
        adopt(deployed.client, "web")


def test_a_port_that_another_has_taken_is_not_taken_back(deployed: World) -> None:
    unclaimed(deployed, "n1", "web")
    deployed.put(keys.port("n1", "tcp", 8080), PortClaim(uid="other", instance="other").encode())
    with pytest.raises(Conflict, match="8080/tcp of n1 is held by instance other"):
        adopt(deployed.client, "web")
    assert deployed.find("n1", "web") is None


def test_another_app_under_the_same_name_is_not_adopted(deployed: World) -> None:
    unclaimed(deployed, "n1", "web")
    deployed.wipe(keys.APPS)
    create_app(deployed.person("otto@desk"), "web", "v1", spec(9090))
    with pytest.raises(Conflict, match="another app"):
        adopt(deployed.client, "web")


def test_an_app_that_nobody_knows_is_said_to_be_lost(deployed: World) -> None:
    instance = deployed.get("n1", "web")
    deployed.report("n1", "web", "unclaimed", believed=instance)
    deployed.wipe(keys.APPS, keys.instances("n1"))
    with pytest.raises(Conflict, match="lost app web:v1"):
        adopt(deployed.client, "web")


def test_adopting_goes_on_when_others_deploy_meanwhile(deployed: World) -> None:
    unclaimed(deployed, "n1", "web")
    create_app(deployed.client, "job", "v1", spec(None))

    def meddle() -> None:
        deployed.put(keys.app_use("web", "v1"), b'{"format":1,"change":"another"}')

    store = Meddled(deployed.store, meddle, {9})
    adopt(deployed.person("otto@desk", store), "n1/web")
    assert store.asked.count("transact") == 2
    assert deployed.find("n1", "web") is not None


@pytest.mark.parametrize("state", ["missing", "forgotten"])
def test_a_node_that_is_not_there_takes_none(deployed: World, state: str) -> None:
    unclaimed(deployed, "n1", "web")
    deployed.drop(keys.node("n1"))
    if state == "forgotten":
        deployed.node("n1", ready=False, forgotten=True)
    with pytest.raises(Conflict, match=r"does not know|forgotten"):
        adopt(deployed.client, "web")
