"""What operators declare of nodes: compare-and-swap whatever is lost or comes between, marks, and what a forgotten one is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.api import keys
from roj.api.node import LINEAGE, Mark, Node
from roj.api.selector import parse_selector
from roj.client import nodes
from roj.client.apps import create_app
from roj.client.changes import Terms
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.errors import Conflict, NotFound, Unreachable
from roj.client.goals import set_goals
from roj.client.selection import Choice, select_instances, select_nodes, stored_node
from tests.unit.client.world import WHEN, Fate, Meddled, Unreliable, World, spec


def record(world: World, name: str = "n1") -> Node:
    entry = world.store.get(keys.node(name))
    assert entry is not None
    return Node.decode(entry.value)


def change(world: World, edit: nodes.Edit, *names: str, client: Client | None = None, why: str = "") -> bool:
    """Whether anything was written."""
    client = client or world.client
    stored = [stored_node(client, name) for name in names or ("n1",)]
    return any(done.written for done in nodes.change_nodes(client, stored, edit, why=why))


def test_who_when_and_why_are_kept_and_the_same_again_is_no_change(world: World) -> None:
    assert change(world, nodes.cordoned, why="disks")
    mark = Mark(who="anna@desk", when=WHEN, why="disks")
    assert (record(world).cordoned, record(world).changed) == (mark, mark)
    before = record(world)
    world.clock.sleep(60)
    assert not change(world, nodes.cordoned, client=world.person("otto@desk"))
    assert record(world) == before
    assert change(world, nodes.cordoned, client=world.person("otto@desk"), why="sold")
    assert record(world).cordoned == Mark(who="otto@desk", when=WHEN + timedelta(seconds=60), why="sold")
    assert len(record(world).lineage) == 2
    assert record(world, "n2").cordoned is None


def test_every_mark_is_taken_off_by_its_opposite(world: World) -> None:
    pairs: list[tuple[nodes.Edit, nodes.Edit]] = [
        (nodes.cordoned, nodes.uncordoned), (nodes.drained(2), nodes.uncordoned), (nodes.frozen(None), nodes.unfrozen),
        (nodes.frozen(60.0), nodes.unfrozen), (nodes.windowed(["Sat 02:00-04:00"]), nodes.windowed([])),
        (nodes.labelled({"role": "web"}), nodes.labelled({"role": None})),
    ]  # fmt: skip
    before = record(world)
    for there, back in pairs:
        assert not change(world, back)
        assert change(world, there)
        assert change(world, back)
        assert record(world).model_copy(update={"lineage": (), "changed": None}) == before


def test_a_drain_cordons_and_keeps_a_cordon_that_is_there(world: World) -> None:
    change(world, nodes.cordoned, why="old")
    change(world, nodes.drained(3), why="kernel")
    now = record(world)
    assert now.cordoned is not None and now.cordoned.why == "old"
    assert now.drained is not None and (now.drained.parallel, now.drained.why) == (3, "kernel")
    create_app(world.client, "web", "v1", spec(None))
    with pytest.raises(Conflict, match="was cordoned"):
        deploy(world.client, "web", "v1", ["n1"])


def test_a_freeze_for_a_while_begins_anew_each_time(world: World) -> None:
    change(world, nodes.frozen(60.0))
    world.clock.sleep(30)
    assert change(world, nodes.frozen(60.0))
    mark = record(world).frozen
    assert mark is not None and mark.until == WHEN + timedelta(seconds=90)
    assert mark.holds(WHEN + timedelta(seconds=89)) and not mark.holds(WHEN + timedelta(seconds=90))


@given(st.lists(st.sampled_from(["well", "refused", "lost", "late"]), max_size=4))
def test_a_lost_answer_is_looked_for_before_the_change_is_repeated(fates: list[Fate]) -> None:
    world = World("n1")
    store = Unreliable(world.store, fates)
    assert change(world, nodes.labelled({"a": "b"}), client=world.person("anna@desk", store))
    assert record(world).labels == {"a": "b"}
    assert len(record(world).lineage) == 1, "it was written once"
    world.close()


@given(st.sets(st.integers(0, 12), max_size=4))
def test_two_operators_at_once_lose_nothing(calls: set[int]) -> None:
    world = World("n1")
    number = 0

    def meddle() -> None:
        nonlocal number
        number += 1
        change(world, nodes.labelled({f"k{number}": "x"}), client=world.person("otto@desk"))

    client = world.person("anna@desk", Meddled(world.store, meddle, calls))
    change(world, nodes.frozen(None), client=client)
    assert record(world).frozen is not None
    assert record(world).labels == {f"k{each}": "x" for each in range(1, number + 1)}
    assert len(record(world).lineage) == number + 1
    world.close()


def test_a_store_that_never_answers_is_said_with_what_to_do(world: World) -> None:
    client = world.person("anna@desk", Unreliable(world.store, ["refused"] * 99))
    with pytest.raises(Unreachable, match="whether it was written is not known"):
        change(world, nodes.cordoned, client=client)


def test_a_lineage_is_as_long_as_it_may_be(world: World) -> None:
    for number in range(LINEAGE + 5):
        change(world, nodes.labelled({"n": str(number)}))
    assert len(record(world).lineage) == LINEAGE


def test_a_dry_run_writes_nothing(world: World) -> None:
    stored = [stored_node(world.client, "n1")]
    before = record(world)
    (done,) = nodes.change_nodes(world.client, stored, nodes.cordoned, dry_run=True)
    assert done.written and done.after.cordoned is not None
    assert record(world) == before


# --- forgotten ---


@pytest.fixture
def away(world: World) -> World:
    """n3 is away, with an instance and its port."""
    world.node("n3")
    create_app(world.client, "web", "v1", spec(8080))
    deploy(world.client, "web", "v1", ["n3"], id="web-a")
    world.report("n3", "web-a", "launched")
    entry = world.store.get(keys.lease("n3"))
    assert entry is not None
    assert world.store.release(entry.key, entry.value, world.session)
    return world


def forget(world: World, *names: str) -> None:
    nodes.forget_nodes(world.client, [stored_node(world.client, name) for name in names])


def test_a_node_whose_agent_is_there_is_not_forgotten(away: World) -> None:
    with pytest.raises(Conflict, match="the agent of n1 is there"):
        forget(away, "n3", "n1")
    assert record(away, "n3").forgotten is None, "none is, then"


def test_an_agent_that_comes_back_meanwhile_is_not_forgotten(away: World) -> None:
    def back() -> None:
        assert away.store.acquire(keys.lease("n3"), b"{}", away.session)

    store = Meddled(away.store, back, {2})
    with pytest.raises(Conflict, match="its agent came back"):
        nodes.forget_nodes(away.person("anna@desk", store), [stored_node(away.person("a", store), "n3")])
    assert record(away, "n3").forgotten is None


def test_a_forgotten_node_takes_no_changes_until_it_rejoins(away: World) -> None:
    forget(away, "n3")
    with pytest.raises(Conflict, match="n3: was forgotten by anna@desk"):
        change(away, nodes.frozen(None), "n1", "n3")
    assert record(away).frozen is None, "none is written, then"
    create_app(away.client, "job", "v1", spec(None))
    with pytest.raises(Conflict, match="was forgotten"):
        deploy(away.client, "job", "v1", ["n3"])
    (done,) = nodes.change_nodes(away.client, [stored_node(away.client, "n3")], nodes.rejoined, rejoins=True)
    assert done.written and record(away, "n3").forgotten is None
    assert change(away, nodes.frozen(None), "n3")


def test_an_undeploy_on_a_node_that_is_away_waits_for_it_and_on_a_forgotten_one_does_not(away: World) -> None:
    away.put(keys.history("n3", "web-a"), b"{}")
    (waits,) = set_goals(away.client, ["n3/web-a"], "undeploy")
    assert waits.away and not waits.removed
    assert away.find("n3", "web-a") is not None
    forget(away, "n3")
    (done,) = set_goals(away.client, ["web-a"], "undeploy", Terms(why="it burnt"))
    assert done.removed
    left = [
        entry.key
        for entry in away.store.list(keys.ROOT).entries
        if "web-a" in entry.key or "/ports/" in entry.key
    ]
    assert left == []
    (event,) = away.store.list(keys.OPERATORS).entries
    assert b"it burnt" in event.value and b"Undeployed" in event.value
    with pytest.raises(NotFound):
        set_goals(away.client, ["web-a"], "undeploy")


def test_what_a_forgotten_node_still_reports_without_a_record_is_undeployed_too(away: World) -> None:
    forget(away, "n3")
    away.drop(keys.instance("n3", "web-a"))
    (done,) = set_goals(away.client, ["web-a"], "undeploy")
    assert done.removed
    assert away.store.get(keys.instance_status("n3", "web-a")) is None


def test_a_node_that_rejoins_meanwhile_undeploys_itself(away: World) -> None:
    forget(away, "n3")

    def rejoin() -> None:
        nodes.change_nodes(away.client, [stored_node(away.client, "n3")], nodes.rejoined, rejoins=True)

    with pytest.raises(Conflict, match="was changed just now"):
        set_goals(
            away.person("anna@desk", Meddled(away.store, rejoin, {5})),
            ["n3/web-a"],
            "undeploy",
        )
    assert away.find("n3", "web-a") is not None


# --- selection ---


def test_nodes_and_instances_are_chosen_by_what_they_have_in_common(world: World) -> None:
    world.node("n10")
    for name, zone in (("n1", "a"), ("n10", "a"), ("n2", "b")):
        change(world, nodes.labelled({"zone": zone}), name)
    create_app(world.client, "web", "v1", spec(None))
    create_app(world.client, "web", "v2", spec(None))
    create_app(world.client, "job", "v1", spec(None))
    for app, version, node in (
        ("web", "v1", "n1"), ("web", "v2", "n10"), ("web", "v1", "n2"), ("job", "v1", "n1")
    ):  # fmt: skip
        deploy(world.client, app, version, [node], id=f"{app}-{node}")

    def chosen(app: str = "", *names: str, selector: str | None = None) -> list[str]:
        meant = parse_selector(selector) if selector else None
        return [
            each.partition("/")[2]
            for each in select_instances(world.client, Choice(app, names, meant)).references
        ]

    assert [stored.name for stored in select_nodes(world.client, parse_selector("zone=a"))] == ["n1", "n10"]
    assert chosen("web") == ["web-n1", "web-n10", "web-n2"]
    assert chosen("web:v1") == ["web-n1", "web-n2"]
    assert chosen("", "n1") == ["job-n1", "web-n1"]
    assert chosen("web", selector="zone=a") == ["web-n1", "web-n10"]
    assert chosen("web", "n1", "n2", selector="zone=b") == ["web-n2"]
    with pytest.raises(NotFound, match="no node has labels as in zone=c"):
        chosen(selector="zone=c")
    with pytest.raises(NotFound, match="there is no node n3"):
        chosen("", "n3")
    with pytest.raises(NotFound, match="there is no such instance of db"):
        chosen("db")
    set_goals(world.client, ["web-n1"], "undeploy")
    assert chosen("web:v1") == ["web-n2"]
    everything = select_instances(world.client, Choice("web:v1"), leaving=True)
    assert everything.references == ("n1/web-n1", "n2/web-n2")
    world.put(keys.instance("n2", "web-n2"), b"garbage")
    assert select_instances(world.client, Choice("web")).unreadable == ("n2/web-n2",)
