"""History: every operator's write of an instance is in it, in the same transaction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roj.api import keys
from roj.api.instance import HISTORY, HISTORY_SIZE
from roj.client.adoption import adopt
from roj.client.apps import create_app
from roj.client.changes import Terms
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.errors import Conflict
from roj.client.goals import set_goals
from roj.client.upgrade import upgrade
from tests.unit.client.world import Meddled, Unreliable, World, spec, violations


@pytest.fixture
def deployed(world: World) -> World:
    for version in ("v1", "v2"):
        create_app(world.client, "web", version, spec(None))
    deploy(world.client, "web", "v1", ["n1"], id="web", why="new")
    return world


def told(world: World) -> list[tuple[int, str, str, str]]:
    history = world.history("n1", "web")
    assert history is not None
    return [(entry.generation, str(entry.app), entry.goal, entry.why) for entry in history.entries]


def test_every_operators_write_is_told_newest_first(deployed: World) -> None:
    client = deployed.client
    set_goals(client, ["web"], "stop", Terms(why="new disk"))
    upgrade(client, "web", "v2", ["web"], terms=Terms(why="faster"))
    set_goals(client, ["web"], "start")
    set_goals(client, ["web"], "start")
    assert told(deployed) == [
        (4, "web:v2", "start", ""),
        (3, "web:v2", "stop", "faster"),
        (2, "web:v1", "stop", "new disk"),
        (1, "web:v1", "start", "new"),
    ]
    set_goals(client, ["web"], "undeploy")
    assert told(deployed)[0] == (5, "web:v2", "undeploy", "")


def test_another_life_of_the_id_begins_anew(deployed: World) -> None:
    history = deployed.history("n1", "web")
    assert history is not None
    deployed.finish("n1", "web")
    deployed.put(keys.history("n1", "web"), history.encode())  # what an older agent left
    deploy(deployed.client, "web", "v1", ["n1"], id="web", why="again")
    assert told(deployed) == [(1, "web:v1", "start", "again")]


def test_an_adopted_order_is_told(deployed: World) -> None:
    set_goals(deployed.client, ["web"], "stop")
    deployed.report("n1", "web", "unclaimed", believed=deployed.get("n1", "web"))
    deployed.drop(keys.instance("n1", "web"))
    adopt(deployed.client, "web", "the store was restored")
    assert told(deployed)[0] == (3, "web:v1", "stop", "the store was restored")
    assert len(told(deployed)) == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["well", "refused", "lost", "late"]), max_size=4), st.integers(0, 6))
def test_a_write_whose_answer_is_lost_or_that_another_comes_before_is_told_once(
    fates: list[str], when: int
) -> None:
    world = World("n1")
    create_app(world.client, "web", "v1", spec(None))
    deploy(world.client, "web", "v1", ["n1"], id="web")

    def meddle() -> None:
        set_goals(
            world.person("otto@desk"), ["web"], "start" if world.get("n1", "web").goal == "stop" else "stop"
        )

    store = Meddled(Unreliable(world.store, fates), meddle, {when})  # type: ignore[arg-type]  # of literals
    set_goals(world.person("anna@desk", store), ["web"], "stop")
    assert list(violations(world)) == []
    history = world.history("n1", "web")
    assert history is not None
    assert [entry.change for entry in history.entries] == list(world.get("n1", "web").lineage)
    world.close()


def test_a_history_that_is_not_understood_begins_anew(deployed: World) -> None:
    deployed.put(keys.history("n1", "web"), b"{}")
    set_goals(deployed.client, ["web"], "stop")
    assert [entry[0] for entry in told(deployed)] == [2]


def test_a_history_keeps_within_its_bounds_however_much_is_said(deployed: World) -> None:
    for number in range(60):
        set_goals(deployed.client, ["web"], "stop" if number % 2 else "start")
        set_goals(deployed.client, ["web"], "start" if number % 2 else "stop")
    history = deployed.history("n1", "web")
    assert history is not None
    assert len(history.entries) <= HISTORY
    set_goals(deployed.client, ["web"], "stop")
    for word in ("start", "stop", "start"):
        set_goals(deployed.client, ["web"], word, Terms(why="x" * 5000))
    history = deployed.history("n1", "web")
    assert history is not None
    assert len(history.encode()) <= HISTORY_SIZE
    newest = deployed.get("n1", "web")
    assert history.entries[0].change == newest.change
    again = history.plus(newest)
    assert again == history, "the same change is told once"


def test_of_many_the_histories_fit_the_transactions(world: World) -> None:
    create_app(world.client, "job", "v1", spec(None))
    ids = [launch.id for launch in deploy(world.client, "job", "v1", ["n1"], count=40)]
    for number in range(8):
        set_goals(world.client, ids, "start" if number % 2 else "stop", Terms(why="x" * 1500))
    assert list(violations(world)) == []


# --- terms and dry runs ---


def test_a_goal_is_set_only_where_nothing_changed_since(deployed: World) -> None:
    seen = deployed.get("n1", "web").change
    set_goals(deployed.client, ["web"], "stop", Terms(if_change=seen[:8]))
    with pytest.raises(Conflict, match="changed since"):
        set_goals(deployed.client, ["web"], "start", Terms(if_change=seen))
    assert deployed.get("n1", "web").goal == "stop"


def test_not_where_somebody_comes_before_either(deployed: World) -> None:
    seen = deployed.get("n1", "web").change
    store = Meddled(deployed.store, lambda: upgrade(deployed.client, "web", "v2", ["web"]), {3})
    with pytest.raises(Conflict, match="changed since"):
        set_goals(deployed.person("otto@desk", store), ["web"], "stop", Terms(if_change=seen))
    assert deployed.get("n1", "web").goal == "start"


def test_a_dry_run_refuses_as_ever_and_writes_nothing(deployed: World) -> None:
    client = Client(deployed.store, deployed.clock, "anna@desk", dry_run=True)
    before = deployed.store.list(keys.ROOT).entries
    (change,) = set_goals(client, ["web"], "stop")
    assert (change.written, change.generation) == (True, 2)
    (launch,) = deploy(client, "web", "v1", ["n2"], id="other")
    assert not launch.existed
    assert create_app(client, "web", "v3", spec(None))
    with pytest.raises(Conflict):
        create_app(client, "web", "v1", spec(1))
    with pytest.raises(Conflict):
        deploy(client, "web", "v2", ["n1"], id="web")
    assert deployed.store.list(keys.ROOT).entries == before
