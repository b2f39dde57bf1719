"""What roj did not make is never touched, though it shares the daemon: strangers', and another agent's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from docker.errors import NotFound

from tests.e2e.harness import Site

pytestmark = pytest.mark.engines


def test_strangers_and_another_agent_on_the_same_daemon_are_left_alone(site: Site) -> None:
    roj, machine, client = site.roj, site.machine, site.machine.client
    one, two = site.name("one"), site.name("two")
    image = client.images.pull(site.web.tag("bystander"))
    strangers = [
        # As alike as a stranger can be: roj's image, a name and labels that look like roj's, stopped and paused.
        client.containers.run(image, detach=True, name=site.name("stranger")),
        client.containers.create(image, name=site.name("created"), labels={"roj.instance": site.name("web")}),
        client.containers.run(image, detach=True, labels=_labels(one, site.name("ghost"))),
    ]
    strangers[2].pause()
    network = client.networks.create(site.name("network"))
    volume = client.volumes.create(site.name("volume"))
    try:
        before = [_state(container) for container in strangers]
        app = site.create("web", "-v", f"{volume.name}:/data", version="bystander")
        with site.agent(one) as agent, site.agent(two) as other:
            mine = site.deploy(app, one, "mine")
            theirs = site.deploy(app, two, "theirs")
            kept = _state(machine.one(theirs))
            machine.one(mine).remove(force=True)
            machine.running(mine)
            agent.kill()
            agent.start()
            roj.ok("stop", mine, "--wait")
            roj.ok("undeploy", mine, "--wait")
            for process in (agent, other):
                roj.ok("node", "gc", process.node, "--state-dir", str(process.state))
            assert _state(machine.one(theirs)) == kept
            assert machine.ids(one) == [strangers[2].id]
            assert [_state(container) for container in strangers] == before
            assert client.images.get(str(image.id)).tags == image.tags
            assert client.networks.list(ids=[network.id])
            roj.ok("undeploy", theirs, "--wait")
        assert [_state(container) for container in strangers[:2]] == before[:2]
        assert client.volumes.get(volume.name)
    finally:
        for container in strangers:
            with suppress(NotFound):  # the last one went with what was left of its node
                container.remove(force=True)
        network.remove()
        volume.remove()


def _labels(node: str, instance: str) -> dict[str, str]:
    """As of a container of the same node in another cluster."""
    words = ("uid", "revision", "app", "app-digest", "container")
    return {"roj.cluster": "another", "roj.node": node, "roj.instance": instance} | {
        f"roj.{word}": "x" for word in words
    }


def _state(container: Any) -> tuple[str, str, str, int, str]:
    container.reload()
    state = container.attrs["State"]
    policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
    return container.id, container.status, state["StartedAt"], container.attrs["RestartCount"], policy
