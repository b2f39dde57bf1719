"""The agent's life: away, killed, started again, ended; one agent for a node; `--once`."""

from __future__ import annotations

import os
import random
import shutil
import socket
import time

import pytest

from roj.agent.http import ask
from roj.api import keys
from roj.environment import RealEnvironment
from roj.store.address import open_store
from tests.e2e.harness import AgentProcess, Site, wait_for

pytestmark = pytest.mark.engines


def test_what_is_deployed_while_the_agent_is_away_is_done_when_it_is_back(site: Site) -> None:
    roj, machine, node = site.roj, site.machine, site.name("node")
    app = site.create("web")
    assert roj("deploy", app, node).code == 4  # nobody knows the node yet
    with site.agent(node) as agent:
        first = site.deploy(app, node, "first")
        (kept,) = machine.running(first)
        for page in ("/healthz", "/readyz", "/metrics"):
            assert ask(agent.state, "GET", page)[0] == 200
        assert agent.stop(timeout=60) == 0
        assert machine.running(first) == [kept]
        row = roj.node(node)
        assert (row["ready"], row["instances"]) == (False, 1)
        assert roj.instance(first)["phase"] == "unknown"  # type: ignore[index]  # there is one

        done = roj("deploy", app, node, "--id", site.name("second"))
        assert (done.code, done.out) == (0, f"{site.name('second')}\n")
        assert "away" in done.err
        roj.ok("stop", first)
        assert machine.running(first) == [kept]

        agent.start()
        roj.wait_phase(site.name("second"), "launched")
        roj.wait_phase(first, "stopped")
        assert machine.one(first).id == kept


def test_killed_at_any_moment_it_goes_on_with_the_same_containers_and_lease(site: Site) -> None:
    roj, machine, node = site.roj, site.machine, site.name("node")
    app = site.create("web", "-p", "80")
    chance = random.Random(os.urandom(4))
    with site.agent(node) as agent:
        ids = [site.deploy(app, node, "i0")]
        session = _session(roj.store, node)
        kept = dict.fromkeys(machine.ids(node))
        for number in range(1, 6):
            ids.append(site.deploy(app, node, f"i{number}", wait=False))
            time.sleep(chance.uniform(0, 1.5))
            agent.kill()
            kept |= dict.fromkeys(machine.ids(node))
            agent.start(wait=False)
        roj.ok("start", *ids, "--wait", "--timeout", "120s")
        assert len(machine.ids(node)) == len(ids)
        for id in ids:
            machine.one(id)
        assert kept.keys() <= dict.fromkeys(machine.ids(node)).keys()
        wait_for("ready", agent.ready)
        assert session
        assert _session(roj.store, node) == session


def test_a_second_agent_of_a_live_node_is_refused(site: Site) -> None:
    roj, node = site.roj, site.name("node")
    with site.agent(node) as first:
        elsewhere = AgentProcess(roj, site.directory / "elsewhere", node, site.engine.url)
        elsewhere.log.parent.mkdir()
        assert elsewhere.start(wait=False).wait(60) == 5
        assert socket.gethostname() in elsewhere.tail()
        assert f"process {first.pid}" in elsewhere.tail()

        here = AgentProcess(roj, site.directory, node, site.engine.url)
        here.log = site.directory / "here.log"
        assert here.start(wait=False).wait(60) == 5
        assert str(site.directory / node) in here.tail()

        assert first.ready()
        session = _session(roj.store, node)
        taking = AgentProcess(roj, site.directory / "elsewhere", node, site.engine.url, "--takeover")
        try:
            taking.start(wait=False)
            wait_for("the lease is another's", lambda: _session(roj.store, node) not in ("", session))
            assert taking.alive
            assert first.alive  # it stands by
        finally:
            taking.kill()


def test_a_damaged_and_a_lost_state_directory_cost_no_container(site: Site) -> None:
    roj, machine, node = site.roj, site.machine, site.name("node")
    app = site.create("web", "-p", "80")
    with site.agent(node) as agent:
        one, two = (site.deploy(app, node, word) for word in ("one", "two"))
        kept = machine.ids(node)

        def is_as_it_was() -> None:
            agent.start()
            for id in (one, two):
                machine.running(id)
            roj.ok("start", one, two, "--wait", "--timeout", "120s")
            assert machine.ids(node) == kept

        agent.kill()
        for name in (f"orders/{one}", "cluster", "session"):
            file = agent.state / name
            assert file.exists(), name
            file.write_bytes(file.read_bytes()[:-20] + b"\0" * 20)
        is_as_it_was()

        assert agent.stop(60) == 0
        shutil.rmtree(agent.state)
        is_as_it_was()
        machine.one(two).remove(force=True)
        machine.running(two)
        roj.ok("stop", one, "--wait")
        assert machine.one(one).id in kept


def test_once_converges_and_ends(site: Site) -> None:
    roj, machine, node = site.roj, site.machine, site.name("node")
    app = site.create("web")
    with site.agent(node) as agent:
        agent.stop(60)
        good = site.deploy(app, node, "good", wait=False)
        words = ("--once", "--network-pool", site.engine.network_pool)
        once = AgentProcess(roj, site.directory, node, site.engine.url, *words)
        assert once.start(wait=False).wait(120) == 0, once.tail()
        (kept,) = machine.running(good)
        row = roj.instance(good)
        assert row is not None
        assert (row["observed_generation"], row["containers"][0]["id"]) == (1, kept)
        assert "last reported launched" in row["message"]

        bad = site.deploy(site.create("bad", image=f"{site.web.tag('v1')}-missing"), node, "bad", wait=False)
        hasty = AgentProcess(roj, site.directory, node, site.engine.url, *words, "--once-timeout", "3s")
        assert hasty.start(wait=False).wait(120) == 3
        assert f"{bad} is pulling" in hasty.tail()
        assert machine.running(good) == [kept]


def _session(store: str, node: str) -> str:
    client = open_store(store, RealEnvironment(), {})
    try:
        entry = client.get(keys.lease(node), consistent=True)
        return entry.session if entry is not None else ""
    finally:
        client.close()
