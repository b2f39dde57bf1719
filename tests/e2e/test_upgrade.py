"""Upgrade and rollback on real engines: what serves goes on until the new one is launched, and again where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.harness import AgentProcess, Site, page, wait_for

pytestmark = pytest.mark.engines
WAIT = ("--wait", "--timeout", "120s")


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    with module_site.agent(module_site.name("node")) as process:
        yield process


def up(site: Site, id: str) -> list[str]:
    """The containers that run; one that failed is kept, stopped, for a look at its output."""
    return [c.id for c in site.machine.containers(id) if c.status == "running"]


def test_stop_first_upgrade_downgrade_and_rollback_without_a_registry(
    module_site: Site, node: AgentProcess, free_port: Callable[[], int]
) -> None:
    roj, machine, port = module_site.roj, module_site.machine, free_port()
    one = module_site.create("up", "-p", f"80:{port}")
    two = module_site.create("up", "-p", f"80:{port}", version="v2")
    id = module_site.deploy(one, node.node, "up")
    first = page(port)
    assert roj.ok("upgrade", two, id, "-m", "faster", *WAIT) == id
    assert page(port) not in ("", first)
    (kept,) = [c.id for c in machine.containers(id)]
    row = roj.instance(id)
    assert row is not None
    assert (row["phase"], row["app"], row["generation"], row["observed_generation"]) == (
        "launched",
        two,
        2,
        2,
    )
    assert roj.ok("upgrade", two, id, *WAIT) == id, "the same again is no change"
    assert [c.id for c in machine.containers(id)] == [kept]
    assert roj.ok("rollback", id, *WAIT) == id
    assert page(port) == first
    assert len(machine.containers(id)) == 1
    assert roj.ok("upgrade", two, "--app", one, *WAIT) == id
    assert page(port) != first
    roj.ok("undeploy", id, "--wait")


@pytest.mark.parametrize("ports", [("-p", "80"), ()], ids=["dynamic", "none"])
@pytest.mark.parametrize("bad", ["exits", "no program", "no image"])
def test_a_bad_upgrade_costs_nothing(
    module_site: Site, node: AgentProcess, ports: tuple[str, ...], bad: str, request: pytest.FixtureRequest
) -> None:
    roj, machine = module_site.roj, module_site.machine
    word = request.node.name.rpartition("[")[2].rstrip("]").replace(" ", "-")
    one = module_site.create(word, *ports)
    id = module_site.deploy(one, node.node, word)
    (container,) = machine.running(id)
    image: str | None = None
    command: tuple[str, ...] = ("--", "sh", "-c", "exit 3")
    if bad == "no program":
        command = ("--", "/no/such/program")
    elif bad == "no image":
        image, command = f"{module_site.web.tag('v1')}-never", ()
    two = module_site.create(word, *ports, *command, image=image, version="v2")
    done = roj("upgrade", two, id, *WAIT)
    assert done.code == 1, done.err
    assert "failed" in done.err
    assert up(module_site, id) == [container]
    row = roj.instance(id)
    assert row is not None
    assert (row["phase"], row["app"], row["observed_generation"]) == ("failed", two, 2)
    assert one in row["message"]
    assert [c["type"] for c in row["conditions"] if c["type"] == "RolledBack"]
    node.kill()
    node.start()
    roj.wait_row(id, "says failed again", lambda row: row["phase"] == "failed")
    assert up(module_site, id) == [container]
    roj.ok("rollback", id, *WAIT)
    assert machine.running(id) == [container], "what failed is removed by the next order"
    roj.ok("undeploy", id, "--wait")


def test_a_new_instance_that_does_not_start_ends_wait_with_1(module_site: Site, node: AgentProcess) -> None:
    roj = module_site.roj
    app = module_site.create("never", "--", "sh", "-c", "exit 3")
    done = roj("deploy", app, node.node, "--id", module_site.name("never"), *WAIT)
    assert done.code == 1, done.err
    roj.ok("undeploy", module_site.name("never"), "--wait")
    wait_for("it is gone", lambda: not module_site.machine.containers(module_site.name("never")))
