"""What one node does for its instances: launched, repaired, stopped, held, undeployed."""

from __future__ import annotations

import pytest

from roj.api import keys
from roj.api.instance import InstanceStatus, PortClaim
from roj.api.record import Record
from roj.client.apps import MAX_HOST_PORTS
from roj.controllers.crashes import Slot
from roj.runtime.interface import RestartPolicy, StartRefused
from roj.store.interface import Entry
from tests.unit.controllers.node import Node

WEB: list[dict[str, object]] = [{"name": "web", "image": "web:1", "ports": [{"container": 80, "host": 8080}]}]


@pytest.fixture
def node() -> Node:
    return Node()


def launched(node: Node, containers: list[dict[str, object]] | None = None) -> str:
    """A launched instance; its container's id, or the first one's."""
    node.launch("web-a", node.create("web", "v1", containers or WEB))
    node.run(10)
    assert node.phase("web-a") == "launched", node.status("web-a")
    return node.containers("web-a")[0].id


def test_a_deployed_instance_is_pulled_created_started_and_serves(node: Node) -> None:
    launched(node)
    found = node.only("web-a")
    assert found.state == "running"
    assert found.restart_policy == "unless-stopped"
    status = node.status("web-a")
    assert status is not None
    assert status.ports == {"80/tcp": 8080}
    assert status.observed_generation == 1


@pytest.mark.parametrize("deed", ["crash", "kill", "pause", "remove", "boot", "daemon"])
def test_what_befalls_a_container_is_repaired(node: Node, deed: str) -> None:
    id = launched(node)
    match deed:
        case "crash":
            node.machine.crash(id)
        case "kill":
            node.docker.kill(id)
        case "pause":
            node.docker.pause(id)
        case "remove":
            node.docker.remove_by_force(id)
        case "boot":
            node.machine.boot()
        case "daemon":
            node.machine.kill_daemon()
            node.machine.start_daemon()
    node.run(60)
    found = node.only("web-a")
    assert found.state == "running"
    assert (found.id == id) == (deed != "remove")
    assert node.phase("web-a") == "launched"


def test_a_stopped_instance_stays_stopped_over_a_boot_and_starts_again(node: Node) -> None:
    id = launched(node)
    node.goal("web-a", "stop")
    node.run(20)
    assert node.phase("web-a") == "stopped"
    node.machine.boot()
    node.run(60)
    assert node.only("web-a").state == "exited"
    node.goal("web-a", "start")
    node.run(10)
    found = node.only("web-a")
    assert (found.id, found.state) == (id, "running")
    status = node.status("web-a")
    assert status is not None
    assert (status.phase, status.restarts) == ("launched", 0)


def test_an_undeploy_that_is_done_while_its_record_is_read_again_stays_done(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(node)
    node.goal("web-a", "undeploy")
    read = node.orders._read

    def meanwhile(id: str) -> Entry | None:
        found = read(id)
        if found is None:  # the watcher saw it gone; now the deploy controller ends what it did
            monkeypatch.undo()
            order = node.orders.get(id)
            assert order is not None and node.orders.drop(order)
        return found

    node.world.entries.pop(keys.instance("n1", "web-a"))
    monkeypatch.setattr(node.orders, "_read", meanwhile)
    node.listen()
    assert node.orders.all() == ()


def test_an_undeployed_instance_leaves_nothing(node: Node) -> None:
    launched(node, [*WEB, {"name": "side", "image": "side:1"}])
    assert len(node.docker.networks({"roj.instance": "web-a"})) == 1
    node.goal("web-a", "undeploy")
    node.run(30)
    assert node.containers("web-a") == []
    assert node.docker.networks({"roj.instance": "web-a"}) == ()
    assert keys.instance("n1", "web-a") not in node.world.entries
    assert keys.instance_status("n1", "web-a") not in node.world.entries
    assert node.disk.names("orders/") == ()
    assert node.disk.names("apps/") == ()


def test_an_agent_that_starts_again_goes_on_with_the_same_containers(node: Node) -> None:
    id = launched(node)
    node.start()
    node.run(60)
    assert node.only("web-a").id == id
    assert node.phase("web-a") == "launched"


def test_without_the_store_an_agent_repairs_what_it_was_last_told(node: Node) -> None:
    id = launched(node)
    node.world.away = True
    node.docker.remove_by_force(id)
    node.start()
    node.run(60)
    assert node.only("web-a").state == "running"


def test_a_record_that_vanished_stops_nothing_and_its_containers_are_repaired(node: Node) -> None:
    id = launched(node)
    node.world.drop(keys.instance("n1", "web-a"))
    node.listen()
    node.run(10)
    assert node.phase("web-a") == "unclaimed"
    node.docker.kill(id)
    node.run(60)
    assert node.only("web-a").state == "running"
    node.start()
    node.run(10)
    assert node.phase("web-a") == "unclaimed"


def test_an_undeploy_that_a_wiped_store_has_lost_waits_for_it(node: Node) -> None:
    """Found by the simulation: the node asked for its record again and again, without a pause."""
    launched(node)
    node.goal("web-a", "undeploy")
    node.listen()
    record = node.world.entries[keys.instance("n1", "web-a")]
    node.world.drop(record.key)  # the listing without the sentinel is not believed
    node.world.requests.clear()
    node.run(60)
    assert node.only("web-a").state == "running"
    assert len(node.world.requests) < 60
    node.world.put(record.key, record.value)
    node.run(10)
    assert node.containers("web-a") == []
    assert record.key not in node.world.entries


def test_containers_are_not_called_unclaimed_before_the_store_was_listed(node: Node) -> None:
    """Found by the simulation: with the state directory lost, the first look at Docker came before the first listing."""
    launched(node)
    node.disk.files.clear()
    node.world.away = True
    node.start()
    node.run(60)
    assert node.phase("web-a") is None
    node.world.away = False
    node.listen(first=True)
    node.run(60)
    assert node.phase("web-a") == "launched"


def test_a_store_that_went_back_is_not_obeyed_until_an_operator_writes(node: Node) -> None:
    launched(node)
    before = node.record("web-a")
    node.goal("web-a", "stop")
    node.run(20)
    node.write(before)
    node.run(60)
    assert node.phase("web-a") == "held"
    assert node.only("web-a").state == "exited"
    node.goal("web-a", "start")
    node.run(20)
    assert node.phase("web-a") == "launched"


def test_an_undeploy_does_not_come_back_with_an_older_store(node: Node) -> None:
    launched(node)
    before = node.record("web-a")
    node.goal("web-a", "undeploy")
    node.run(20)
    node.write(before)
    node.run(60)
    assert node.phase("web-a") == "held"
    assert node.containers("web-a") == []


def test_a_store_that_goes_back_while_an_undeploy_is_finished_is_noticed(node: Node) -> None:
    launched(node)
    before = node.record("web-a")
    transact = node.reporter.transact

    def overtaken(*arguments: object, **more: object) -> None:
        transact(*arguments, **more)  # type: ignore[arg-type]  # as it was called
        node.write(before)

    node.reporter.transact = overtaken  # type: ignore[method-assign]
    node.goal("web-a", "undeploy")
    node.run(60)
    assert node.phase("web-a") == "held"


def test_a_container_that_exits_at_once_is_never_launched_and_backs_off(node: Node) -> None:
    node.launch("web-a", node.create("web", "v1", [{"name": "web", "image": "web:1", "command": ["false"]}]))
    phases = []
    for _ in range(60):
        node.run(1)
        phases.append(node.phase("web-a"))
    status = node.status("web-a")
    assert status is not None
    assert "launched" not in phases
    assert status.next_try is not None
    assert "exited with code 1" in status.message
    assert [c.type for c in status.conditions] == ["CrashLoop"]
    assert 3 <= status.restarts <= 10


def test_a_port_that_is_taken_is_waited_for_and_said(node: Node) -> None:
    node.machine.occupy("tcp", 8080)
    node.launch("web-a", node.create("web", "v1", WEB))
    node.run(30)
    status = node.status("web-a")
    assert status is not None
    assert "8080" in status.message
    assert [c.type for c in status.conditions] == ["PortsAvailable"]
    node.machine.vacate("tcp", 8080)
    node.run(120)
    status = node.status("web-a")
    assert status is not None
    assert (status.phase, status.conditions) == ("launched", ())


def test_a_crash_loop_that_ended_is_no_longer_said(node: Node) -> None:
    launched(node)
    instance = node.record("web-a")
    slot = Slot(instance.uid, instance.revision.id, "web")
    for number in range(4):
        node.crashes.ended(slot, "container", str(number), 1.0)
    node.add("deploy", "web-a")
    node.run(1)
    status = node.status("web-a")
    assert status is not None
    assert [c.type for c in status.conditions] == ["CrashLoop"]
    node.run(70)
    status = node.status("web-a")
    assert status is not None
    assert (status.phase, status.conditions) == ("launched", ())


def test_an_image_that_is_missing_is_asked_for_again(node: Node) -> None:
    node.machine.registry.withdraw("web:1")
    node.launch("web-a", node.create("web", "v1", WEB))
    node.run(30)
    status = node.status("web-a")
    assert status is not None
    assert status.phase == "pulling"
    assert "not found" in status.message
    assert status.next_try is not None
    node.machine.registry.publish("web:1")
    node.run(120)
    assert node.phase("web-a") == "launched"


def test_dynamic_ports_are_chosen_told_to_the_container_and_kept(node: Node) -> None:
    launched(node, [{"name": "web", "image": "web:1", "ports": [{"container": 80}]}])
    port = node.only("web-a").configured_ports[0].host
    assert 20000 <= port <= 31999
    node.docker.remove_by_force(node.only("web-a").id)
    node.run(60)
    assert node.only("web-a").configured_ports[0].host == port


def test_a_damaged_state_file_starts_nothing_by_its_previous_copy(node: Node) -> None:
    id = launched(node)
    node.disk.previous["orders/web-a"] = None
    node.world.away = True
    node.docker.remove_by_force(id)
    node.start()
    node.run(60)
    assert node.containers("web-a") == []
    node.world.away = False
    node.listen()
    node.run(10)
    assert node.phase("web-a") == "launched"


def test_containers_whose_network_was_removed_while_they_were_stopped_are_made_anew(node: Node) -> None:
    launched(node, [*WEB, {"name": "side", "image": "side:1"}])
    node.goal("web-a", "stop")
    node.run(30)
    (network,) = node.docker.networks({"roj.instance": "web-a"})
    node.docker.remove_network(network.id)
    node.goal("web-a", "start")
    node.run(120)
    assert node.phase("web-a") == "launched", node.status("web-a")
    assert [found.state for found in node.containers("web-a")] == ["running", "running"]


def test_a_container_that_a_power_cut_took_while_it_was_paused_is_made_anew(node: Node) -> None:
    id = launched(node)
    node.docker.pause(id)
    node.machine.boot()
    node.run(120)
    assert node.phase("web-a") == "launched"


def test_an_order_that_comes_while_another_is_carried_out_is_not_called_launched(node: Node) -> None:
    node.launch("web-a", node.create("web", "v1", WEB))
    set_policy = node.docker.set_restart_policy
    other = node.create("web", "v2", [{"name": "web", "image": "web:2"}])

    def overtaken(id: str, policy: RestartPolicy) -> None:
        set_policy(id, policy)
        node.docker.set_restart_policy = set_policy  # type: ignore[method-assign]
        before = node.record("web-a")
        change = node.still.new_id()
        revision = before.revision.model_copy(update={"id": change, "app": other, "generation": 2})
        node.write(
            before.model_copy(
                update={
                    "app": other,
                    "generation": 2,
                    "lineage": (change, *before.lineage),
                    "revisions": (revision, *before.revisions),
                }
            )
        )

    node.docker.set_restart_policy = overtaken  # type: ignore[method-assign]
    reported: list[InstanceStatus] = []
    report = node.reporter.status

    def reporting(key: str, record: Record, *, transient: bool = False) -> None:
        assert isinstance(record, InstanceStatus)
        reported.append(record)
        report(key, record, transient=transient)

    node.reporter.status = reporting  # type: ignore[method-assign]
    node.run(20)
    launched = [status for status in reported if status.phase == "launched"]
    assert [status.observed_generation for status in launched][-1] == 2
    assert all([container.state for container in status.containers] == ["running"] for status in launched)


def test_an_undeploy_gives_back_as_many_ports_as_an_app_may_claim(node: Node) -> None:
    ports = [{"container": 1000 + number, "host": 9000 + number} for number in range(MAX_HOST_PORTS)]
    instance = node.launch(
        "web-a", node.create("web", "v1", [{"name": "web", "image": "web:1", "ports": ports}])
    )
    for number in range(MAX_HOST_PORTS):
        claim = PortClaim(uid=instance.uid, instance="web-a")
        node.world.put(keys.port("n1", "tcp", 9000 + number), claim.encode())
    node.run(10)
    node.goal("web-a", "undeploy")
    node.run(30)
    assert keys.instance("n1", "web-a") not in node.world.entries
    assert not [key for key in node.world.entries if "/ports/" in key]


def test_a_container_that_served_long_and_is_refused_a_start_is_tried_with_backoff(node: Node) -> None:
    id = launched(node)
    node.run(300)
    tries = 0

    def refused(id: str) -> None:
        nonlocal tries
        tries += 1
        assert tries < 100, "no backoff"
        raise StartRefused("a simulated reason")

    start = node.docker.start
    node.docker.start = refused  # type: ignore[method-assign]
    node.docker.kill(id)
    node.run(120)
    assert 3 <= tries <= 12
    node.docker.start = start  # type: ignore[method-assign]
    node.run(120)
    assert node.phase("web-a") == "launched"
