"""What a person or a crash does to containers by hand is repaired by Docker's events; goals are kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import AgentProcess, Site, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    # With so long a resync it is the events that repair.
    with module_site.agent(module_site.name("node"), "--resync", "10m") as process:
        yield process


@pytest.fixture(scope="module")
def instance(module_site: Site, node: AgentProcess) -> str:
    return module_site.deploy(module_site.create("web"), node.node, "web")


@pytest.mark.parametrize("deed", ["kill", "stop", "pause", "remove"])
def test_what_was_done_by_hand_is_repaired(module_site: Site, instance: str, deed: str) -> None:
    roj, machine = module_site.roj, module_site.machine
    before = machine.one(instance)
    repairs = _repairs(module_site, instance)
    match deed:
        case "remove":
            before.remove(force=True)
            wait_for(
                f"{before.id} is gone", lambda: before.id not in [c.id for c in machine.containers(instance)]
            )
        case "stop":
            before.stop(timeout=10)
        case _:
            getattr(before, deed)()
    (after,) = machine.running(instance)
    assert (after == before.id) == (deed != "remove")
    wait_for("it is told", lambda: _repairs(module_site, instance) > repairs)
    row = roj.wait_phase(instance, "launched")
    assert (row["restarts"], row["next_try"]) == (0, None)
    assert "Crashed" not in roj.reasons(instance)


def test_the_hand_starts_no_backoff_however_often(module_site: Site, instance: str) -> None:
    roj, machine = module_site.roj, module_site.machine
    kept = machine.one(instance).id
    for _ in range(6):  # as crashes these would wait 30 s and more by now
        machine.one(instance).kill()
        assert machine.running(instance) == [kept]
    row = roj.wait_phase(instance, "launched")
    assert (row["restarts"], row["next_try"]) == (0, None)


def test_stopped_stays_stopped_and_start_goes_on_with_the_same_container(
    module_site: Site, instance: str
) -> None:
    roj, machine = module_site.roj, module_site.machine
    container = machine.one(instance)
    roj.ok("stop", instance, "--wait")
    container.reload()
    assert container.status == "exited"
    assert container.attrs["HostConfig"]["RestartPolicy"]["Name"] == "no"
    container.start()  # by hand: nobody wants it to run

    def stopped() -> bool:
        container.reload()
        return bool(container.status == "exited")

    wait_for("what was started by hand is stopped", stopped)
    roj.ok("start", instance, "--wait")
    assert machine.running(instance) == [container.id]
    container.reload()
    assert container.attrs["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_command_that_exits_at_once_is_never_launched(module_site: Site, node: AgentProcess) -> None:
    roj, machine = module_site.roj, module_site.machine
    app = module_site.create("exits", "--", "sh", "-c", "exit 3")
    id = module_site.deploy(app, node.node, "exits", wait=False)
    row = roj.wait_row(id, "waits for its next start", lambda row: row["restarts"] and row["next_try"])
    assert row["phase"] == "starting"
    assert "exited with code 3" in row["message"]
    reasons = roj.reasons(id)
    assert "Crashed" in reasons
    assert "Launched" not in reasons
    assert roj("deploy", app, node.node, "--id", id, "--wait", "--timeout", "1s").code in (1, 3)
    roj.ok("undeploy", id, "--wait")
    assert machine.containers(id) == []


def test_undeploy_removes_the_instance_and_its_container(module_site: Site, instance: str) -> None:
    roj = module_site.roj
    roj.ok("undeploy", instance, "--wait")
    assert module_site.machine.containers(instance) == []
    assert roj.instance(instance) is None
    assert "Undeployed" in roj.reasons(instance)
    assert roj("undeploy", instance).code == 4


def _repairs(site: Site, instance: str) -> int:
    return sum(event["count"] for event in site.roj.events(instance) if event["reason"] == "Repaired")
