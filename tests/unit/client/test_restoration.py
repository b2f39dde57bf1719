"""Restore: a store that lost its data gets it back from what nodes believe, and nothing that is there is overwritten."""

from __future__ import annotations

import pytest

from roj.api import keys
from roj.api.app import App
from roj.api.instance import Instance, PortClaim
from roj.api.node import Cluster, Node
from roj.client.apps import create_app, get_app
from roj.client.deployment import deploy
from roj.client.errors import Conflict
from roj.client.goals import set_goals
from roj.client.restoration import Restored, restore
from tests.unit.client.world import WHEN, World, spec, violations

CLUSTER = Cluster(id="c" * 32, created=WHEN)
NODE = Node(name="n1", cluster="c" * 32)
Believed = list[tuple[Instance, App | None]]


@pytest.fixture
def believed(world: World) -> Believed:
    """What n1 obeyed before the store was lost."""
    create_app(world.client, "web", "v1", spec(8080))
    create_app(world.client, "job", "v1", spec(None))
    deploy(world.client, "web", "v1", ["n1"], id="a")
    deploy(world.client, "job", "v1", ["n1"], id="b")
    set_goals(world.client, ["b"], "stop")
    return [
        (world.get("n1", "a"), get_app(world.client, "web", "v1").app),
        (world.get("n1", "b"), get_app(world.client, "job", "v1").app),
    ]


def outcomes(rows: list[Restored]) -> dict[str, str]:
    return {f"{row.what} {row.name}": row.outcome for row in rows}


def test_all_is_put_back_as_it_was_obeyed(world: World, believed: Believed) -> None:
    claims = world.claims()
    world.wipe()
    planned = restore(world.client, CLUSTER, NODE, believed, dry_run=True)
    assert not world.keys(), "a dry run writes nothing"
    done = restore(world.client, CLUSTER, NODE, believed)
    assert planned == done
    assert outcomes(done) == {
        f"cluster {CLUSTER.id}": "created",
        "node n1": "created",
        "app web:v1": "created",
        "app job:v1": "created",
        "instance n1/a": "created",
        "instance n1/b": "created",
    }
    assert world.instances() == [instance for instance, _ in believed], (
        "the same orders, under the same change ids"
    )
    assert world.claims() == claims
    assert not list(violations(world))
    keys_now, guards = world.keys(), (world.guard("web"), world.guard("job"))
    again = restore(world.client, CLUSTER, NODE, believed)
    assert set(outcomes(again).values()) == {"there"}
    assert (world.keys(), (world.guard("web"), world.guard("job"))) == (keys_now, guards)


def test_a_store_of_another_cluster_is_left_alone(world: World, believed: Believed) -> None:
    world.wipe()
    world.put(keys.CLUSTER, Cluster(id="d" * 32, created=WHEN).encode())
    with pytest.raises(Conflict, match="nothing was put back"):
        restore(world.client, CLUSTER, NODE, believed)
    assert world.keys() == [keys.CLUSTER]


def test_what_operators_wrote_since_stays(world: World, believed: Believed) -> None:
    set_goals(world.client, ["a"], "stop")
    newer = world.get("n1", "a")
    assert set(outcomes(restore(world.client, CLUSTER, NODE, believed)).values()) == {"there"}
    assert world.get("n1", "a") == newer


def test_an_older_order_stays_and_adopt_is_named(world: World, believed: Believed) -> None:
    instance, app = believed[1]
    older = instance.model_copy(update={"goal": "start", "generation": 1, "lineage": instance.lineage[1:]})
    world.put(keys.instance("n1", "b"), older.encode())
    rows = restore(world.client, CLUSTER, NODE, [(instance, app)])
    assert outcomes(rows)["instance n1/b"] == "other"
    assert "roj adopt b" in rows[-1].message
    assert world.get("n1", "b") == older


def test_an_instance_comes_with_all_its_claims_or_not_at_all(world: World, believed: Believed) -> None:
    world.wipe()
    world.put(keys.port("n1", "tcp", 8080), PortClaim(uid="x", instance="other").encode())
    rows = restore(world.client, CLUSTER, NODE, believed)
    assert outcomes(rows)["instance n1/a"] == "other"
    assert outcomes(rows)["instance n1/b"] == "created"
    assert [row.message for row in rows if row.name == "n1/a"] == ["port 8080/tcp is held by instance other"]
    assert world.find("n1", "a") is None


def test_an_app_that_the_node_does_not_know_is_said_to_be_lost(world: World, believed: Believed) -> None:
    instance, _ = believed[1]
    rows = restore(world.client, CLUSTER, None, [(instance, None)])
    assert outcomes(rows)["app job:v1"] == "there"
    world.wipe()
    rows = restore(world.client, CLUSTER, None, [(instance, None)])
    assert outcomes(rows)["app job:v1"] == "lost"
    assert world.get("n1", "b") == instance


def test_another_app_of_that_name_stays(world: World, believed: Believed) -> None:
    world.wipe(keys.APPS)
    world.clock.sleep(1)
    create_app(world.client, "web", "v1", spec(9090))
    there = world.apps()
    rows = restore(world.client, CLUSTER, NODE, believed)
    assert outcomes(rows)["app web:v1"] == "other"
    assert set(there) <= set(world.apps())


def test_a_node_that_operators_changed_stays(world: World, believed: Believed) -> None:
    world.drop(keys.node("n1"))
    world.node("n1", ready=False, cordoned="new disk")
    cordoned = world.store.get(keys.node("n1"))
    assert outcomes(restore(world.client, CLUSTER, NODE, believed))["node n1"] == "there"
    assert world.store.get(keys.node("n1")) == cordoned
