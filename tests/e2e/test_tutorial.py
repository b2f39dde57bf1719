"""The tutorial of the README, word for word: only the port, and where the engines are, is each run's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines import Consul, Docker, Web
from roj import __version__
from tests.e2e.harness import AgentProcess, Machine, Roj, page, wait_for

pytestmark = pytest.mark.engines

NGINX = "nginx:1.7.1"


@pytest.fixture
def roj(docker_engine: Docker) -> Iterator[Roj]:
    """On a fresh Consul, found as Consul's own command finds it; Docker as Docker's own does."""
    with Consul(node_name="node1") as consul:
        roj = Roj("")
        del roj.environment["ROJ_STORE"]
        roj.environment |= {"CONSUL_HTTP_ADDR": consul.address, "DOCKER_HOST": docker_engine.url}
        yield roj


@pytest.fixture
def nginx(machine: Machine, web: Web) -> Iterator[None]:
    """An image of that name, as no public registry is asked."""
    image = machine.client.images.pull(web.tag("tutorial"))
    image.tag(*NGINX.split(":"))
    yield
    machine.client.images.remove(NGINX)


@pytest.mark.usefixtures("nginx")
def test_the_tutorial(
    roj: Roj, machine: Machine, web: Web, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    assert roj.ok("version") == f"roj {__version__}"

    created = roj("create", "web:v1", NGINX, "-p", f"80:{port}")
    assert created.code == 0
    assert f"port 80 of the container is reached at port {port} of the node" in created.err
    assert "web:v1" in roj.ok("apps")
    nodes = roj("nodes")
    assert (nodes.code, nodes.out) == (0, "")
    assert "roj agent" in nodes.err

    agent = AgentProcess(roj, tmp_path, "node1", machine.engine.url)
    agent.words = [
        word for word in agent.words if word not in ("--node", "node1", "--docker", machine.engine.url)
    ]
    try:
        agent.start()
        assert "node1" in agent.tail()
        assert re.search(r"node1 +ready", roj.ok("nodes"))

        deployed = roj("deploy", "web:v1", "node1")
        assert deployed.code == 0
        id = deployed.out.removesuffix("\n")
        assert re.fullmatch(r"web-[a-z2-7]{5}", id)
        roj.wait_phase(id, "launched")
        assert re.search(rf"{id} .*launched", roj.ok("instances", "node1"))
        assert page(port) == web.page("tutorial")

        _reading(roj, id, port, machine)

        roj.ok("undeploy", id)
        wait_for("it is gone", lambda: roj.json("instances") == [])
        assert machine.containers(id) == []
        assert page(port) == ""
        roj.ok("remove", "web:v1")
        assert roj("undeploy", id).code == 4
        assert agent.stop() == 0
        assert re.search(r"node1 +away", roj.ok("nodes"))
    finally:
        agent.kill()
        machine.clean("node1")


def _reading(roj: Roj, id: str, port: int, machine: Machine) -> None:
    """What the other reading commands say meanwhile."""
    (row,) = roj.json("instances")
    assert (row["id"], row["node"], row["app"], row["goal"]) == (id, "node1", "web:v1", "start")
    assert (row["phase"], row["generation"], row["observed_generation"]) == ("launched", 1, 1)
    assert (row["ports"], row["restarts"]) == ({"80/tcp": port}, 0)
    (container,) = row["containers"]
    assert (container["id"], container["image"]) == (machine.one(id).id, NGINX)
    (node,) = roj.json("nodes")
    assert (node["ready"], node["instances"], node["versions"]["agent"]) == (True, 1, __version__)
    (app,) = roj.json("apps")
    assert (app["name"], app["version"], app["instances"]) == ("web", "v1", 1)
    cluster = roj.json("cluster")
    assert (cluster["nodes"]["ready"], cluster["instances"]["phases"]) == (["node1"], {"launched": 1})
    for kind, name in (("app", "web:v1"), ("node", "node1"), ("instance", id)):
        assert roj.json("inspect", kind, name)["kind"] == kind
    assert "Launched" in roj.reasons(id)
    same = roj("create", "web:v1", NGINX, "-p", f"container=80,host={port}")
    assert same.code == 0
    assert roj("create", "web:v1", NGINX).code == 5
    assert roj("remove", "web:v1").code == 5
    exported = roj.ok("export", "app", "web:v1")
    assert roj("create", "copy:v1", "-f", "-", stdin=exported).code == 0
    assert json.loads(roj.ok("export", "app", "copy:v1", "-o", "json"))["containers"][0]["image"] == NGINX
