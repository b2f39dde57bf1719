"""What one node does when the app of an instance becomes another: P9, and the blocks around it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roj.api.app import AppReference
from roj.api.instance import Goal, Instance, InstanceStatus, Write, changed, upgraded
from roj.api.node import Drain, Mark
from roj.controllers import labels
from roj.runtime.interface import ContainerDetails, ContainerSpec
from tests.unit.controllers.node import CLUSTER, Node

FIXED: dict[str, Any] = {"ports": [{"container": 80, "host": 8080}]}
DYNAMIC: dict[str, Any] = {"ports": [{"container": 80}]}
CRASHES: dict[str, Any] = {"command": ["sh", "-c", "sleep 0.1; exit 3"]}
NOT_THERE: dict[str, Any] = {"command": ["no-such-program"]}


@pytest.fixture
def node() -> Node:
    return Node()


def app(node: Node, version: str, *, image: str | None = None, **container: Any) -> AppReference:
    return node.create("web", version, [{"name": "web", "image": image or f"web:{version}", **container}])


def serving(node: Node, id: str = "web-a", *, version: str = "v1", **container: Any) -> ContainerDetails:
    node.launch(id, app(node, version, **container))
    node.run(10)
    assert node.phase(id) == "launched", node.status(id)
    return node.only(id)


def upgrade(node: Node, version: str, id: str = "web-a", **container: Any) -> Instance:
    return node.upgrade(id, app(node, version, **container))


def status(node: Node, id: str = "web-a") -> InstanceStatus:
    found = node.status(id)
    assert found is not None
    return found


def running(node: Node, id: str = "web-a") -> dict[str, ContainerDetails]:
    """The containers that run, by their apps."""
    return {c.labels[labels.APP]: c for c in node.containers(id) if c.state == "running"}


def conditions(node: Node, id: str = "web-a") -> dict[str, str]:
    return {condition.type: condition.reason for condition in status(node, id).conditions}


@pytest.mark.parametrize("container", [FIXED, DYNAMIC, {"volumes": ["data:/data"]}, {}])
def test_an_upgrade_leaves_one_container_of_the_new_revision(node: Node, container: dict[str, Any]) -> None:
    serving(node, **container)
    record = upgrade(node, "v2", **container)
    node.run(30)
    found = node.only("web-a")
    assert (found.labels[labels.APP], found.state, found.restart_policy) == (
        "web:v2",
        "running",
        "unless-stopped",
    )
    assert found.labels[labels.REVISION] == record.revision.id
    now = status(node)
    assert (now.phase, now.observed_generation, str(now.app)) == ("launched", 2, "web:v2")
    assert [(o.generation, o.outcome) for o in now.outcomes] == [(2, "launched"), (1, "launched")]


@pytest.mark.parametrize(("container", "first"), [(FIXED, False), (DYNAMIC, True), ({}, True)])
def test_start_first_runs_both_until_the_new_one_is_launched_and_stop_first_never_does(
    node: Node, container: dict[str, Any], first: bool
) -> None:
    old = serving(node, **container)
    upgrade(node, "v2", **container)
    seen = []
    for _ in range(60):
        node.run(0.1)
        seen.append(tuple(sorted(running(node))))
    assert (("web:v1", "web:v2") in seen) == first
    assert (() not in seen) or not first
    assert seen[-1] == ("web:v2",)
    if container is FIXED:
        assert node.only("web-a").ports[0].host == 8080
    elif container is DYNAMIC:
        assert node.only("web-a").ports[0].host != old.ports[0].host


def test_stop_first_makes_the_new_containers_before_it_stops_the_old_ones(node: Node) -> None:
    old = serving(node, **FIXED)
    calls: list[str] = []
    for name in ("create", "stop", "start"):
        note(node, name, calls)
    upgrade(node, "v2", **FIXED)
    node.run(10)
    assert calls == ["create", f"stop {old.id}", f"start {node.only('web-a').id}"]


def note(node: Node, name: str, calls: list[str]) -> None:
    """Write down every call of the runtime of that name."""
    inner = getattr(node.docker, name)

    def outer(what: Any, *more: Any) -> Any:
        calls.append(f"{name} {what}" if isinstance(what, str) else name)
        return inner(what, *more)

    setattr(node.docker, name, outer)


def test_while_the_new_containers_cannot_be_made_the_old_ones_serve(node: Node) -> None:
    old = serving(node, **FIXED)
    write = Write(node.still.new_id(), node.still.now())
    record = upgraded(node.record("web-a"), write, app(node, "v2", **FIXED), {})
    taken = labels.container_name(CLUSTER, record, "web")
    stranger = node.docker.create(ContainerSpec(name=taken, image="web:v1"))
    node.write(record)
    node.run(30)
    assert node.docker.container(old.id).state == "running"
    assert node.docker.container(old.id).started_at == old.started_at, "it was never stopped"
    node.run(50)
    assert (status(node).phase, conditions(node)["RolledBack"]) == ("failed", "LaunchTimeout")
    assert node.docker.container(old.id).started_at == old.started_at
    node.docker.remove(stranger)


def test_stop_first_keeps_the_dynamic_ports(node: Node) -> None:
    container = {**DYNAMIC, "volumes": ["data:/data"]}
    old = serving(node, **container)
    upgrade(node, "v2", **container)
    node.run(30)
    assert node.only("web-a").ports[0].host == old.ports[0].host


def test_the_pull_comes_before_the_stop_and_the_old_one_is_repaired_meanwhile(node: Node) -> None:
    old = serving(node, **FIXED)
    node.machine.registry.down = True
    upgrade(node, "v2", **FIXED)
    node.run(5)
    assert (status(node).phase, str(status(node).app)) == ("pulling", "web:v1")
    assert node.only("web-a").id == old.id
    node.docker.remove_by_force(old.id)
    node.run(35)
    assert list(running(node)) == ["web:v1"]
    node.machine.registry.down = False
    node.run(60)
    assert list(running(node)) == ["web:v2"]


@pytest.mark.parametrize("container", [FIXED, DYNAMIC])
@pytest.mark.parametrize(
    ("bad", "reason"), [(CRASHES, "ExitsAgainAndAgain"), (NOT_THERE, "StartRefused"), ("missing", "ImageNotFound"),
                        ("denied", "ImageDenied")]
)  # fmt: skip
def test_a_bad_upgrade_costs_nothing_and_is_not_tried_again(
    node: Node, container: dict[str, Any], bad: dict[str, Any] | str, reason: str
) -> None:
    serving(node, **container)
    more = bad if isinstance(bad, dict) else {}
    if bad == "missing":
        node.machine.registry.withdraw("web:v2")
    elif bad == "denied":
        node.machine.registry.deny("web:v2")
    upgrade(node, "v2", **container, **more)
    node.run(60)
    for _ in range(2):
        assert list(running(node)) == ["web:v1"]
        now = status(node)
        assert (now.phase, now.observed_generation, str(now.app)) == ("failed", 2, "web:v1")
        assert "web:v2 failed" in now.message
        assert "web:v1 serves" in now.message
        assert conditions(node)["RolledBack"] == reason
        assert now.outcomes[0].outcome == "failed"
        before = [c.id for c in node.containers("web-a")]
        node.start()  # the agent, anew
        node.run(200)
        assert [c.id for c in node.containers("web-a")] == before
    node.machine.boot()
    node.run(60)
    assert list(running(node)) == ["web:v1"]


def test_an_upgrade_that_is_not_launched_in_time_has_failed(node: Node) -> None:
    serving(node, **FIXED)
    upgrade(node, "v2", ports=[{"container": 80, "host": 8081}])
    node.machine.occupy("tcp", 8081)
    node.run(50)
    assert status(node).phase == "starting"
    node.run(40)
    assert (status(node).phase, conditions(node)["RolledBack"]) == ("failed", "LaunchTimeout")
    assert list(running(node)) == ["web:v1"]


def test_a_pull_without_progress_has_failed(node: Node) -> None:
    serving(node, **FIXED)
    node.machine.registry.down = True
    upgrade(node, "v2", **FIXED)
    node.run(100)
    assert status(node).phase == "pulling"
    node.run(30)
    assert (status(node).phase, conditions(node)["RolledBack"]) == ("failed", "PullStalled")
    assert list(running(node)) == ["web:v1"]


def test_an_order_after_a_failed_one_is_tried_with_a_clean_slate(node: Node) -> None:
    serving(node, **FIXED)
    node.machine.registry.withdraw("web:v2")
    upgrade(node, "v2", **FIXED)
    node.run(10)
    assert status(node).phase == "failed"
    node.machine.registry.publish("web:v2")
    upgrade(node, "v2", **FIXED)
    node.run(5)
    assert (status(node).phase, list(running(node))) == ("launched", ["web:v2"])
    assert conditions(node) == {}


def test_a_rollback_to_what_still_serves_leaves_its_container_alone(node: Node) -> None:
    old = serving(node, **FIXED)
    first = node.record("web-a").revision
    node.machine.registry.down = True
    upgrade(node, "v2", **FIXED)
    node.run(5)
    node.roll_back("web-a", first)
    node.run(10)
    assert node.only("web-a").id == old.id
    now = status(node)
    assert (now.phase, now.observed_generation) == ("launched", 3)
    assert [o.outcome for o in now.outcomes] == ["launched", "superseded", "launched"]


@pytest.mark.parametrize("container", [FIXED, DYNAMIC])
def test_a_rollback_after_an_upgrade_needs_no_registry(node: Node, container: dict[str, Any]) -> None:
    serving(node, **container)
    first = node.record("web-a").revision
    upgrade(node, "v2", **container)
    node.run(30)
    node.machine.registry.down = True
    node.roll_back("web-a", first)
    node.run(30)
    assert (node.only("web-a").labels[labels.APP], status(node).phase) == ("web:v1", "launched")


def test_a_stopped_instance_is_upgraded_when_it_is_started(node: Node) -> None:
    serving(node, **DYNAMIC)
    node.goal("web-a", "stop")
    node.run(20)
    upgrade(node, "v2", **DYNAMIC)
    node.run(20)
    assert running(node) == {}
    assert status(node).phase == "stopped"
    node.goal("web-a", "start")
    seen = []
    for _ in range(50):
        node.run(0.2)
        seen.append(tuple(sorted(running(node))))
    assert ("web:v1",) not in seen
    assert seen[-1] == ("web:v2",)


def test_while_it_is_stopped_or_its_node_frozen_an_upgrade_has_its_time(node: Node) -> None:
    """Found by the simulation: it failed as soon as it was begun, as its time had run while nothing was tried."""
    serving(node, **FIXED)
    upgrade(node, "v2", **FIXED)
    node.goal("web-a", "stop")
    node.run(120)
    node.goal("web-a", "start")
    node.run(10)
    assert (status(node).phase, list(running(node))) == ("launched", ["web:v2"])
    node.declare(frozen=Mark(who="anna", when=node.still.now()))
    upgrade(node, "v3", **FIXED)
    node.run(120)
    node.declare(frozen=None)
    node.run(10)
    assert (status(node).phase, list(running(node))) == ("launched", ["web:v3"])


def test_without_the_store_a_bad_upgrade_falls_back_all_the_same(node: Node) -> None:
    serving(node, **FIXED)
    upgrade(node, "v2", **FIXED, **CRASHES)
    node.run(1)
    node.world.away = True
    node.run(60)
    assert list(running(node)) == ["web:v1"]
    node.start()
    node.run(60)
    assert list(running(node)) == ["web:v1"]


def test_a_state_that_is_lost_in_the_middle_costs_no_service(node: Node) -> None:
    serving(node, **FIXED)
    node.machine.registry.down = True
    upgrade(node, "v2", **FIXED, **CRASHES)
    node.run(5)
    node.disk.files.clear()
    node.start()
    node.run(1)
    assert list(running(node)) == ["web:v1"]
    node.machine.registry.down = False
    node.run(90)
    assert list(running(node)) == ["web:v1"]
    assert status(node).phase == "failed"


def test_an_app_of_several_containers_is_replaced_with_its_network(node: Node) -> None:
    def pair(version: str) -> AppReference:
        return node.create("web", version, [{"name": n, "image": f"{n}:{version}"} for n in ("a", "b")])

    node.launch("web-a", pair("v1"))
    node.run(20)
    node.upgrade("web-a", pair("v2"))
    node.run(60)
    assert status(node).phase == "launched"
    assert [c.labels[labels.APP] for c in node.containers("web-a")] == ["web:v2"] * 2
    assert [n.labels[labels.APP] for n in node.docker.networks({labels.INSTANCE: "web-a"})] == ["web:v2"]


# --- time, windows, marks ---


def later(node: Node, id: str, *, seconds: float, goal: Goal = "stop") -> None:
    at = node.still.now() + timedelta(seconds=seconds)
    node.write(changed(node.record(id), Write(node.still.new_id(), node.still.now(), at=at), goal))


def test_a_change_with_a_time_waits_for_it_and_what_served_is_repaired(node: Node) -> None:
    old = serving(node, **FIXED)
    later(node, "web-a", seconds=100)
    node.run(50)
    now = status(node)
    assert (now.phase, now.observed_generation, conditions(node)["Waiting"]) == ("launched", 1, "At")
    node.docker.remove_by_force(old.id)
    node.start()
    node.run(40)
    assert list(running(node)) == ["web:v1"]
    node.run(30)
    now = status(node)
    assert (now.phase, now.observed_generation, running(node)) == ("stopped", 2, {})
    later(node, "web-a", seconds=30, goal="start")
    node.run(20)
    assert (status(node).phase, running(node)) == ("stopped", {})
    node.run(20)
    assert (status(node).phase, list(running(node))) == ("launched", ["web:v1"])


def test_an_upgrade_with_a_time_is_pulled_before_and_swapped_then(node: Node) -> None:
    serving(node, **FIXED)
    at = node.still.now() + timedelta(seconds=100)
    reference = app(node, "v2", **FIXED)
    write = Write(node.still.new_id(), node.still.now(), at=at)
    node.write(upgraded(node.record("web-a"), write, reference, {}))
    node.run(50)
    assert list(running(node)) == ["web:v1"]
    assert node.docker.image("web:v2") is not None
    node.run(60)
    assert list(running(node)) == ["web:v2"]


def test_what_ends_a_service_waits_for_a_window_and_now_does_not(node: Node) -> None:
    serving(node, **FIXED)
    opening = node.still.now() + timedelta(minutes=2)
    window = f"daily {opening:%H:%M}-{opening + timedelta(minutes=30):%H:%M}"
    node.declare(windows=(window,))
    upgrade(node, "v2", **FIXED)
    node.launch("web-b", app(node, "v3"))
    node.run(20)
    assert (status(node).phase, status(node).observed_generation) == ("launched", 1)
    assert conditions(node)["Waiting"] == "Window"
    assert node.phase("web-b") == "launched", "a new instance ends no service"
    node.run(200)
    assert (list(running(node)), status(node).observed_generation) == (["web:v2"], 2)
    node.declare(windows=("daily 00:00-00:01", "nonsense"))
    node.write(changed(node.record("web-a"), Write(node.still.new_id(), node.still.now(), now=True), "stop"))
    node.run(20)
    assert running(node) == {}
    node.start()
    node.run(60)
    assert running(node) == {}, "it was acted on, and no window that closes takes that back"


def test_a_frozen_node_reports_and_changes_nothing(node: Node) -> None:
    serving(node, **FIXED)
    until = node.still.now() + timedelta(seconds=300)
    node.declare(frozen=Mark(who="anna", when=node.still.now(), why="disk", until=until))
    upgrade(node, "v2", **FIXED)
    node.launch("web-b", app(node, "v3"))
    node.run(60)
    assert list(running(node)) == ["web:v1"]
    assert node.containers("web-b") == []
    now = status(node)
    assert (now.observed_generation, conditions(node)["Frozen"]) == (1, "NodeFrozen")
    assert "anna" in now.message
    node.docker.kill(node.only("web-a").id)
    node.run(60)
    assert status(node).phase != "launched"
    node.run(300)
    assert list(running(node)) == ["web:v2"]
    assert node.phase("web-b") == "launched"


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_drained_node_stops_so_many_at_a_time_and_starts_them_again(node: Node, parallel: int) -> None:
    ids = ["web-a", "web-b", "web-c", "web-d"]
    for id in ids:
        serving(node, id, command=["sh", "-c", "serve"])  # takes the whole grace to stop
    node.declare(drained=Drain(when=node.still.now(), parallel=parallel))
    least = len(ids)
    stopped: list[str] = []
    for _ in range(400):
        node.run(0.2)
        up = [id for id in ids if running(node, id)]
        least = min(least, len(up))
        stopped += [id for id in ids if id not in up and id not in stopped]
    assert stopped == ids
    assert {node.phase(id) for id in ids} == {"stopped"}
    assert "drained" in status(node).message
    assert all(node.record(id).goal == "start" for id in ids)
    node.start()
    node.run(60)
    assert not any(running(node, id) for id in ids)
    node.declare(drained=None)
    node.run(30)
    assert {node.phase(id) for id in ids} == {"launched"}


def test_the_old_container_goes_on_for_a_moment_after_the_new_one_is_reported(node: Node) -> None:
    serving(node, **DYNAMIC)
    upgrade(node, "v2", **DYNAMIC)
    for _ in range(100):
        node.run(0.1)
        if status(node).phase == "launched" and status(node).observed_generation == 2:
            break
    assert sorted(running(node)) == ["web:v1", "web:v2"]
    node.run(0.5)
    assert sorted(running(node)) == ["web:v1", "web:v2"]
    node.run(3)
    assert sorted(running(node)) == ["web:v2"]


@pytest.mark.parametrize("before", ["started", "deployed"])
def test_an_order_that_a_waiting_one_follows_at_once_is_carried_out(node: Node, before: str) -> None:
    if before == "started":
        serving(node, **FIXED)
        node.goal("web-a", "stop")
        node.run(20)
        node.goal("web-a", "start")
    else:
        node.launch("web-a", app(node, "v1", **FIXED))
    at = node.still.now() + timedelta(seconds=100)
    node.write(
        upgraded(
            node.record("web-a"),
            Write(node.still.new_id(), node.still.now(), at=at),
            app(node, "v2", **FIXED),
            {},
        )
    )
    node.run(50)
    assert list(running(node)) == ["web:v1"]
    node.run(80)
    assert list(running(node)) == ["web:v2"]
