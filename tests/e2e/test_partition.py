"""A node that is cut off for real, by its cable: it keeps and repairs, is seen as away, and catches up on return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import Consul, Docker, Node, NodeNetwork, Registry, Web
from tests.e2e.harness import AgentProcess, Machine, Roj, Site, agent, page, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture
def server() -> Iterator[tuple[NodeNetwork, Consul]]:
    """A network with one node, and Consul's server outside of the node."""
    with NodeNetwork(["node1"]) as network, Consul(node_name="server", address=network.address) as consul:
        yield network, consul


def test_a_node_that_was_cut_off_kept_its_services_and_catches_up(
    server: tuple[NodeNetwork, Consul], tmp_path: Path
) -> None:
    network, consul = server
    node = network.nodes["node1"]
    roj = Roj(consul.store_url)
    with (
        Registry(bind="0.0.0.0") as registry,
        Docker(prefix=node.prefix, address=node.address) as engine,
        Consul(
            node_name="node1", address=node.address, join=consul.serf_address, prefix=node.prefix
        ) as client,
    ):
        web = Web(registry)
        machine = Machine(engine)
        site = Site(roj, engine, machine, web, tmp_path, "cut")
        try:
            with agent(
                Roj(f"consul://{client.address}"), tmp_path, "node1", engine, prefix=node.prefix, wait=False
            ) as process:
                _play(site, node, network, registry, process)
        finally:
            machine.close()


def _play(site: Site, node: Node, network: NodeNetwork, registry: Registry, process: AgentProcess) -> None:
    roj, machine = site.roj, site.machine

    def ready() -> bool:
        return any(row["name"] == "node1" and row["ready"] for row in roj.json("nodes"))

    wait_for("the node is ready", ready, timeout=120)
    image = site.web.tag("v1").replace("127.0.0.1", network.address)
    assert image.startswith(f"{network.address}:{registry.port}/")
    app = site.create("web", "-p", "80", image=image)
    kept, removed, stopped = (site.deploy(app, "node1", word) for word in ("kept", "removed", "stopped"))
    port = roj.wait_phase(kept, "launched")["ports"]["80/tcp"]
    wait_for("it serves", lambda: page(port, node.address) == site.web.page("v1"))
    before = machine.one(kept).id

    node.cut()
    machine.one(removed).remove(force=True)
    machine.running(removed)
    wait_for("the node is seen to be away", lambda: not ready(), timeout=180)
    roj.wait_phase(kept, "unknown")
    roj.ok("stop", stopped)
    done = roj("deploy", app, "node1", "--id", site.name("new"))
    assert done.code == 0
    assert "away" in done.err
    process.kill()  # and started again, still cut off
    process.start(wait=False)
    machine.one(removed).remove(force=True)
    machine.running(removed)
    machine.running(stopped)
    assert machine.one(kept).id == before

    node.mend()
    roj.wait_phase(site.name("new"), "launched", timeout=240)
    roj.wait_phase(stopped, "stopped")
    roj.wait_phase(removed, "launched")
    wait_for("the node is ready", ready, timeout=120)
    assert machine.one(kept).id == before
    assert page(port, node.address) == site.web.page("v1")
