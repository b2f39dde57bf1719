"""Pulls ahead of any instance: pulled, kept from the collector until used or expired, reported, and taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roj.api import keys
from roj.api.app import AppReference
from roj.api.node import Mark
from roj.api.pull import PullOrder, PullStatus
from tests.unit.controllers.node import Node

DAY = 86400.0


@pytest.fixture
def node() -> Node:
    return Node()


def app(node: Node, version: str, **container: object) -> AppReference:
    return node.create("web", version, [{"name": "web", "image": f"web:{version}", **container}])


def order(node: Node, reference: AppReference, keep: float = DAY) -> PullOrder:
    made = PullOrder(
        node="n1", app=reference, change=node.still.new_id(), when=node.still.now(),
        expires=node.still.now() + timedelta(seconds=keep),
    )  # fmt: skip
    node.world.put(keys.pull("n1", reference.name, reference.version), made.encode())
    node.listen()
    return made


def status(node: Node, version: str = "v1") -> PullStatus | None:
    return node.ahead._last.get(f"web/{version}")


def phase(node: Node, version: str = "v1") -> str | None:
    found = status(node, version)
    return found.phase if found is not None else None


def garbage(node: Node) -> list[str]:
    return [item.name for item in node.collector.plan() if item.what == "image"]


def there(node: Node, version: str = "v1") -> bool:
    return node.docker.image(f"web:{version}") is not None


def test_images_are_pulled_and_kept_until_the_pull_expires(node: Node) -> None:
    made = order(node, app(node, "v1"), keep=3600)
    node.run(30)
    assert there(node)
    now = status(node)
    assert now is not None and (now.phase, now.change, now.message) == ("pulled", made.change, "")
    node.run(3000)
    assert garbage(node) == []
    node.run(600)
    assert garbage(node) == ["web:v1"]
    assert status(node) is None, "an expired one counts as absent"


def test_images_are_kept_until_an_instance_uses_them_and_then_for_that(node: Node) -> None:
    reference = app(node, "v1")
    order(node, reference)
    node.run(30)
    node.launch("web-a", reference)
    node.run(120)
    assert (node.phase("web-a"), phase(node)) == ("launched", "used")
    node.goal("web-a", "undeploy")
    node.run(60)
    node.run(300)
    assert garbage(node) == ["web:v1"], "its time is not over, but it was used"
    order(node, reference)
    node.run(30)
    assert phase(node) == "pulled", "a new order is another one"
    assert garbage(node) == []


def test_what_the_node_knows_of_a_pull_outlives_its_agent(node: Node) -> None:
    order(node, app(node, "v1"))
    node.run(30)
    node.start()
    node.run(30)
    assert phase(node) == "pulled"
    assert garbage(node) == []


def test_a_pull_that_is_taken_back_is_reported_no_more(node: Node) -> None:
    order(node, app(node, "v1"))
    node.run(30)
    del node.world.entries[keys.pull("n1", "web", "v1")]
    node.listen()
    node.run(300)
    assert status(node) is None
    assert garbage(node) == ["web:v1"]


def test_what_the_registry_refuses_is_said_and_tried_again(node: Node) -> None:
    node.docker.machine.registry.withdraw("web:v1")
    order(node, app(node, "v1"))
    node.run(5)
    now = status(node)
    assert now is not None and now.phase == "failed" and now.next_try is not None
    assert "web:v1" in now.message
    node.docker.machine.registry.publish("web:v1")
    node.run(120)
    assert phase(node) == "pulled"


def test_an_image_that_somebody_removes_is_pulled_again(node: Node) -> None:
    order(node, app(node, "v1"))
    node.run(30)
    node.docker.remove_image("web:v1")
    node.run(180)
    assert there(node)


def test_a_frozen_node_pulls_when_it_is_no_longer(node: Node) -> None:
    node.declare(frozen=Mark(who="ann", when=node.still.now(), why="disk"))
    order(node, app(node, "v1"))
    node.run(120)
    now = status(node)
    assert now is not None and (now.phase, now.message) == ("pulling", "frozen by ann: disk")
    assert not there(node)
    node.declare(frozen=None)
    node.run(120)
    assert there(node) and phase(node) == "pulled"


def test_an_app_that_is_not_to_be_pulled_is_refused(node: Node) -> None:
    order(node, app(node, "v1", pull="never"))
    node.run(60)
    assert phase(node) == "failed" and not there(node)


def test_an_app_that_is_gone_from_the_store_keeps_no_image_from_the_collector(node: Node) -> None:
    order(node, app(node, "v1"))
    other = app(node, "v2")
    node.launch("web-b", other)
    node.run(30)
    node.goal("web-b", "undeploy")
    del node.world.entries[keys.app("web", "v1")]
    node.start()
    node.run(300)
    found = status(node)
    assert found is not None and "not in the store" in found.message
    assert "web:v2" in garbage(node)


def test_a_pull_that_does_not_parse_keeps_every_image(node: Node) -> None:
    order(node, app(node, "v1"), keep=1)
    node.run(300)
    assert garbage(node) == ["web:v1"]
    node.world.put(keys.pull("n1", "web", "v9"), b"garbage")
    node.listen()
    assert garbage(node) == []
