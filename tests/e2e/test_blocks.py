"""The blocks around upgrades on real engines: freeze, drain, windows and times, images that are pulled before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from docker.errors import ImageNotFound

from roj.agent.clock import STEPS, UNKNOWN
from roj.api.duration import format_duration
from tests.e2e.harness import AgentProcess, Site, wait_for

pytestmark = pytest.mark.engines
WAIT = ("--wait", "--timeout", "120s")


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    with module_site.agent(module_site.name("node")) as process:
        yield process


def reason(row: dict[str, Any], condition: str) -> str | None:
    """Of a condition that is true."""
    found = (c["reason"] for c in row["conditions"] if c["type"] == condition and c["status"] == "True")
    return next(found, None)


def test_a_frozen_node_repairs_and_stops_nothing_until_it_is_no_longer(
    module_site: Site, node: AgentProcess
) -> None:
    roj, machine = module_site.roj, module_site.machine
    broken = module_site.deploy(module_site.create("broken"), node.node, "broken")
    stays = module_site.deploy(module_site.create("stays"), node.node, "stays")
    roj.ok("node", "freeze", node.node, "--for", "2h", "-m", "the disk")
    mark = roj.node(node.node)["frozen"]
    assert mark["why"] == "the disk" and mark["until"]
    roj.wait_row(stays, "is frozen", lambda row: reason(row, "Frozen"))
    machine.one(broken).remove(force=True)
    roj.ok("stop", stays)
    for id in (broken, stays):
        row = roj.wait_row(id, "is kept as it is", lambda row: "to do:" in row["message"])
        assert "the disk" in row["message"]
    assert machine.containers(broken) == []
    assert machine.one(stays).status == "running"
    assert roj("wait", stays, "--for", "stopped", "--timeout", "1s").code == 3
    roj.ok("node", "unfreeze", node.node)
    roj.ok("wait", stays, "--for", "stopped", "--timeout", "60s")
    machine.running(broken)
    roj.ok("undeploy", broken, stays, *WAIT)
    roj.ok("wait", broken, stays, "--for", "gone")


def test_a_drained_node_is_empty_until_it_is_uncordoned(module_site: Site, node: AgentProcess) -> None:
    roj, machine = module_site.roj, module_site.machine
    app = module_site.create("drained")
    ids = [module_site.deploy(app, node.node, f"drained-{number}") for number in range(3)]
    roj.ok("node", "drain", node.node, "--parallel", "2", "-m", "new kernel")
    roj.ok("wait", "--node", node.node, "--for", "stopped", "--timeout", "120s")
    assert [machine.one(id).status for id in ids] == ["exited"] * 3
    rows = [row for row in roj.json("instances", node.node) if row["id"] in ids]
    assert [(row["goal"], reason(row, "Drained") is not None) for row in rows] == [("start", True)] * 3
    assert roj.node(node.node)["drained"]["parallel"] == 2
    refused = roj("deploy", app, node.node)
    assert refused.code == 5 and "new kernel" in refused.err
    roj.ok("node", "uncordon", node.node)
    roj.ok("wait", "--app", app, "--for", "launched", "--timeout", "120s")
    assert [machine.one(id).status for id in ids] == ["running"] * 3
    assert roj("undeploy", "--app", app).code == 2, "nobody named them, and there is nobody to ask"
    roj.ok("undeploy", "--app", app, "--yes", *WAIT)


def test_changes_wait_for_their_window_and_their_time(module_site: Site, node: AgentProcess) -> None:
    roj, machine = module_site.roj, module_site.machine
    one, two = module_site.create("timed"), module_site.create("timed", version="v2")
    id = module_site.deploy(one, node.node, "timed")
    (container,) = machine.running(id)
    opens = datetime.now(UTC) + timedelta(hours=3)
    roj.ok("node", "window", node.node, f"daily {opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}")
    roj.ok("upgrade", two, id)
    row = roj.wait_row(id, "waits for the window", lambda row: reason(row, "Waiting") == "Window")
    assert (row["app"], row["observed_app"], row["phase"]) == (two, one, "launched")
    assert f"{opens:%H:%M}" in row["message"]
    assert machine.running(id) == [container]
    machine.one(id).kill()  # a repair does not wait
    wait_for("it is repaired", lambda: machine.one(id).status == "running")
    assert roj.ok("upgrade", two, id, "--now", *WAIT) == id
    assert machine.running(id) != [container]
    roj.ok("node", "window", node.node, "--clear")

    at = datetime.now(UTC) + timedelta(seconds=6)
    told = roj("stop", id, "--at", at.isoformat(timespec="milliseconds"))
    assert told.code == 0 and f"{at.astimezone():%H:%M:%S}" in told.err
    roj.wait_row(id, "waits for its time", lambda row: reason(row, "Waiting") == "At")
    assert machine.one(id).status == "running"
    assert roj("stop", id, "--at", at.isoformat(timespec="milliseconds"), *WAIT).code == 0, (
        "the same again waits for it"
    )
    assert datetime.now(UTC) >= at
    assert machine.one(id).status == "exited"
    roj.ok("start", id, "--at", "+2s", *WAIT)
    roj.ok("undeploy", id, *WAIT)


def test_images_are_there_before_an_instance_needs_them(module_site: Site, node: AgentProcess) -> None:
    roj = module_site.roj
    image = module_site.web.tag(module_site.name("ahead"))
    app = module_site.create("ahead", image=image)

    def there() -> bool:
        try:
            return bool(module_site.machine.client.images.get(image).id)
        except ImageNotFound:
            return False

    assert not there()
    roj.ok("node", "label", node.node, f"site={module_site.tag}")
    roj.ok("pull", app, "-l", f"site={module_site.tag}", *WAIT)
    assert there()
    pulls = roj.json("inspect", "node", node.node)["pulls"]
    assert pulls[app]["observed"]["phase"] == "pulled"
    id = module_site.deploy(app, node.node, "ahead")
    assert "Pulling" not in roj.reasons(id)
    missing = module_site.create("missing", image=f"{image}-never")
    refused = roj("pull", missing, node.node, "--wait")
    assert refused.code == 1 and "failed" in refused.err
    roj.ok("undeploy", id, *WAIT)


def test_how_far_a_clock_may_be_wrong_is_shown(module_site: Site, node: AgentProcess) -> None:
    known = ["", UNKNOWN, "synchronised, beyond 10s"]
    known += [f"synchronised, within {format_duration(step)}" for step in STEPS]
    assert module_site.roj.node(node.node)["clock"] in known
    assert module_site.roj.node(node.node)["clock"] != "", "this machine's kernel says"
