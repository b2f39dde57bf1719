"""What writing costs: the requests to the store that the docstrings of `roj.client` state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from roj.api import keys
from roj.api.document import read_document
from roj.client.adoption import adopt
from roj.client.applying import Placed, plan
from roj.client.apps import create_app, remove_apps
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.goals import set_goals
from tests.unit.client.world import Meddled, World, spec


def asked(world: World, operation: Callable[[Client], object]) -> Counter[str]:
    store = Meddled(world.store, lambda: None, set())
    operation(world.person("anna@desk", store))
    return Counter(call.partition(" ")[0] for call in store.asked)


@pytest.fixture
def deployed(world: World) -> World:
    create_app(world.client, "web", "v1", spec(8080))
    create_app(world.client, "job", "v1", spec(None))
    deploy(world.client, "web", "v1", ["n1"])
    deploy(world.client, "job", "v1", ["n1"], id="a")
    deploy(world.client, "job", "v1", ["n2"], id="b")
    return world


def test_create(deployed: World) -> None:
    write = asked(deployed, lambda client: create_app(client, "new", "v1", spec(1)))
    assert write == {"get": 1, "transact": 1}
    assert asked(deployed, lambda client: create_app(client, "new", "v1", spec(1))) == {"get": 1}


@pytest.mark.parametrize(
    ("nodes", "count", "transactions"), [(["n1"], 1, 1), (["n1", "n2"], 30, 2), (["n1"], 100, 4)]
)
def test_deploy(deployed: World, nodes: list[str], count: int, transactions: int) -> None:
    got = asked(deployed, lambda client: deploy(client, "job", "v1", nodes, count=count))
    assert got == {"get": 1 + transactions, "list": 3, "transact": transactions}


def test_deploy_of_what_is_there(deployed: World) -> None:
    got = asked(deployed, lambda client: deploy(client, "job", "v1", ["n1"], id="a"))
    assert got == {"get": 1, "list": 2}


def test_goals(deployed: World) -> None:
    exact = asked(deployed, lambda client: set_goals(client, ["a", "b"], "stop"))
    assert exact == {"list": 1, "get": 4, "transact": 1}, "two nodes, two histories"
    one = asked(deployed, lambda client: set_goals(client, ["a"], "start"))
    assert one == {"list": 1, "get": 2, "transact": 1}
    full = asked(deployed, lambda client: set_goals(client, ["n1/a"], "stop"))
    assert full == {"get": 3, "transact": 1}
    again = asked(deployed, lambda client: set_goals(client, ["n1/a"], "stop"))
    assert again == {"get": 3}, "one more: whether its node holds"


def test_a_beginning_costs_one_list_more(deployed: World) -> None:
    got = asked(deployed, lambda client: set_goals(client, ["we"], "stop"))
    assert got == {"list": 2, "get": 2, "transact": 1}


def test_adopt(deployed: World) -> None:
    instance = deployed.get("n1", "a")
    deployed.report("n1", "a", "unclaimed", believed=instance)
    deployed.drop(keys.instance("n1", "a"))
    got = asked(deployed, lambda client: adopt(client, "n1/a"))
    assert got == {"get": 1 + 6, "list": 2, "transact": 1}, (
        "one get that finds no record, and two lists to find it"
    )


def test_comparing_documents(deployed: World) -> None:
    documents = [
        *(Placed("", read_document({"instance": f"n{number}", "app": "web:v2", "node": "n2"})) for number in range(9)),
        Placed("", read_document({"app": "web:v2", "containers": [{"name": "web", "image": "nginx:1.7.1"}]})),
    ]  # fmt: skip
    assert asked(deployed, lambda client: plan(client, documents, prune=True)) == {"list": 3}


def test_remove(deployed: World) -> None:
    create_app(deployed.client, "new", "v1", spec(1))
    create_app(deployed.client, "new", "v2", spec(1))
    got = asked(deployed, lambda client: remove_apps(client, [("new", "v1"), ("new", "v2")]))
    assert got == {"get": 4 + 2, "list": 5, "transact": 2}, "two gets settle that there is no rollout"
