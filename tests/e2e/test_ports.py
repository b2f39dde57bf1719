"""Ports of the node: claimed, taken by others, or chosen by the node and kept."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.harness import AgentProcess, Site, page, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    with module_site.agent(module_site.name("node"), "--port-range", "28000-28999") as process:
        yield process


def test_a_port_that_the_node_chose_is_told_and_kept(module_site: Site, node: AgentProcess) -> None:
    roj, machine = module_site.roj, module_site.machine
    app = module_site.create("dynamic", "-p", "80", "-p", "53/udp")
    one, other = (module_site.deploy(app, node.node, word) for word in ("one", "other"))
    row = roj.wait_phase(one, "launched")
    ports = row["ports"]
    assert all(28000 <= port <= 28999 for port in ports.values())
    assert ports.keys() == {"80/tcp", "53/udp"}
    assert not set(ports.values()) & set(roj.wait_phase(other, "launched")["ports"].values())
    variables = machine.one(one).attrs["Config"]["Env"]
    assert f"ROJ_PORT_80={ports['80/tcp']}" in variables
    assert f"ROJ_PORT_53_UDP={ports['53/udp']}" in variables
    wait_for("it serves", lambda: page(ports["80/tcp"]) == module_site.web.page("v1"))

    node.kill()
    machine.one(one).remove(force=True)
    node.start()
    machine.running(one)
    assert roj.wait_phase(one, "launched")["ports"] == ports
    wait_for("it serves", lambda: page(ports["80/tcp"]) == module_site.web.page("v1"))
    roj.ok("undeploy", one, other, "--wait")


def test_a_claimed_port_is_refused_to_others_until_its_holder_is_gone(
    module_site: Site, node: AgentProcess, free_port: Callable[[], int]
) -> None:
    roj, port = module_site.roj, free_port()
    app = module_site.create("fixed", "-p", f"80:{port}")
    assert roj("deploy", app, node.node, "--count", "2").code == 2
    holder = module_site.deploy(app, node.node, "holder")
    assert page(port) == module_site.web.page("v1")
    refused = roj("deploy", app, node.node)
    assert (refused.code, refused.out) == (5, "")
    assert holder in refused.err
    assert str(port) in refused.err
    roj.ok("stop", holder, "--wait")
    assert roj("deploy", app, node.node).code == 5  # it may be started again
    roj.ok("undeploy", holder, "--wait")
    heir = module_site.deploy(app, node.node, "heir")
    wait_for("it serves", lambda: page(port) == module_site.web.page("v1"))
    roj.ok("undeploy", heir, "--wait")


def test_a_port_that_another_program_has_is_said_and_waited_for(
    module_site: Site, node: AgentProcess
) -> None:
    roj = module_site.roj
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        app = module_site.create("taken", "-p", f"80:{port}")
        id = module_site.deploy(app, node.node, "taken", wait=False)
        row = roj.wait_row(
            id, "says that its port is taken", lambda row: row["conditions"] and row["next_try"]
        )
        assert row["phase"] in ("creating", "starting")
        assert str(port) in row["message"]
        (condition,) = row["conditions"]
        assert (condition["type"], condition["status"]) == ("PortsAvailable", "False")
        assert "StartRefused" in roj.reasons(id)
        bystander = module_site.deploy(module_site.create("bystander"), node.node, "bystander")
    row = roj.wait_phase(id, "launched")
    assert (row["conditions"], row["ports"]) == ([], {"80/tcp": port})
    wait_for("it serves", lambda: page(port) == module_site.web.page("v1"))
    roj.ok("undeploy", id, bystander, "--wait")
