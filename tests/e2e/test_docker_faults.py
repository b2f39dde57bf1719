"""Docker killed and started, and the machine's boot: what served serves, what was stopped stays stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engines import Docker
from tests.e2e.harness import Machine, Site, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture
def own_site(site: Site) -> Iterator[Site]:
    """On a Docker Engine that the test may kill."""
    with Docker() as engine:
        machine = Machine(engine)
        yield replace(site, engine=engine, machine=machine)
        machine.close()


def test_what_served_serves_and_what_was_stopped_stays_stopped(own_site: Site) -> None:
    site, node = own_site, own_site.name("node")
    roj, machine, engine = site.roj, site.machine, site.engine
    app = site.create("web", "-p", "80")
    # A dead Docker is noticed by the end of its events, and what waits for it goes on when they are back.
    with site.agent(node, "--resync", "10m") as agent:
        serving, stopped, gone = (site.deploy(app, node, word) for word in ("serving", "stopped", "gone"))
        roj.ok("stop", stopped, "--wait")
        roj.ok("undeploy", gone, "--wait")
        kept, ports = machine.ids(node), roj.wait_phase(serving, "launched")["ports"]

        def all_is_as_it_was() -> None:
            machine.running(serving)
            assert roj.wait_phase(serving, "launched")["ports"] == ports
            roj.wait_phase(stopped, "stopped")
            assert machine.ids(node) == kept
            assert machine.one(stopped).status == "exited"

        engine.kill()
        roj.wait_phase(serving, "unknown", timeout=10)
        roj.ok("deploy", app, node, "--id", site.name("meanwhile"))
        once = roj(
            "agent",
            "--once",
            "--node",
            site.name("other"),
            "--state-dir",
            f"{agent.state}-2",
            "--docker",
            engine.url,
        )
        assert once.code == 6 and "does not answer" in once.err
        time.sleep(20.0)  # its backoff is long by now
        engine.start()
        roj.wait_phase(site.name("meanwhile"), "launched", timeout=15)
        assert "Traceback" not in agent.tail(10_000)
        roj.ok("undeploy", site.name("meanwhile"), "--wait")
        all_is_as_it_was()

        agent.kill()
        engine.boot()  # Docker alone, without an agent
        machine.running(serving)
        assert machine.one(stopped).status == "exited"
        assert machine.ids(node) == kept
        agent.start()
        wait_for("ready", agent.ready)
        all_is_as_it_was()
        assert "Crashed" not in roj.reasons(stopped)
