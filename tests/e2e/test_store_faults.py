"""Consul restored to an older state, wiped, away, or with records that are wrong: nothing stops, and it is mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import Consul, Docker, Web
from engines.program import free_ports
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import Discard, Set
from tests.e2e.harness import AgentProcess, Machine, Roj, agent, wait_for

pytestmark = pytest.mark.engines


class Faulty:
    """A Consul of its own with one node, and three instances on it: `web`, `pair` (two containers) and `extra`."""

    def __init__(self, consul: Consul, process: AgentProcess, roj: Roj, machine: Machine) -> None:
        self.consul = consul
        self.agent = process
        self.roj = roj
        self.machine = machine

    def ids(self) -> list[str]:
        return sorted(container.id for container in self.machine.containers(node=self.agent.node))

    def running(self, instance: str) -> bool:
        found = self.machine.containers(instance, self.agent.node)
        return bool(found) and all(container.status == "running" for container in found)

    def reported(self, instance: str, phase: str) -> bool:
        done = self.roj("instances", "-o", "json")
        return done.code == 0 and any(row["id"] == instance and row["phase"] == phase for row in done.json)


@pytest.fixture
def site(docker_engine: Docker, web: Web, machine: Machine, tmp_path: Path) -> Iterator[Faulty]:
    with Consul() as consul:
        roj = Roj(consul.store_url)
        image = web.tag("v1")
        port = free_ports(1)[0]
        pair = {"containers": [{"name": "web", "image": image}, {"name": "side", "image": image}]}
        with agent(roj, tmp_path, "faults", docker_engine) as process:
            roj.ok("create", "web:v1", image, "-p", f"80:{port}")
            roj.ok("create", "pair:v1", "-f", "-", stdin=json.dumps(pair))
            roj.ok("deploy", "web:v1", "faults", "--id", "web", "--wait")
            roj.ok("deploy", "pair:v1", "faults", "--id", "pair", "--wait")
            yield Faulty(consul, process, roj, machine)


def test_a_store_restored_to_an_older_state_is_not_obeyed_and_adopt_mends_it(
    site: Faulty, tmp_path: Path
) -> None:
    roj = site.roj
    snapshot = tmp_path / "snapshot"
    site.consul.snapshot_save(snapshot)
    roj.ok("stop", "web", "--wait")
    roj.ok("deploy", "pair:v1", "faults", "--id", "extra", "--wait")
    roj.ok("undeploy", "pair", "--wait")
    before = site.ids()
    site.consul.snapshot_restore(snapshot)
    # A restore answers a blocking query once with old data: the next write, or the next answer, shows the new.
    roj.ok("deploy", "pair:v1", "faults", "--id", "poke", "--wait")
    for instance, phase in (("web", "held"), ("pair", "held"), ("extra", "unclaimed")):
        roj.wait_phase(instance, phase, timeout=90)
    assert set(before) <= set(site.ids())
    assert not site.running("web")
    assert site.machine.containers("pair", "faults") == []
    assert site.running("extra")
    row = roj.instance("web")
    assert row is not None
    assert "the store went back" in row["message"]
    assert "roj adopt web" in row["message"]
    roj.ok("adopt", "web")
    roj.ok("adopt", "extra")
    roj.ok("undeploy", "pair", "--wait")
    roj.wait_phase("web", "stopped")
    roj.wait_phase("extra", "launched")
    assert roj.instance("pair") is None
    assert set(before) <= set(site.ids())


def test_a_start_ends_a_hold_though_the_older_store_says_start_already(site: Faulty, tmp_path: Path) -> None:
    roj = site.roj
    site.consul.snapshot_save(tmp_path / "snapshot")
    roj.ok("stop", "web", "--wait")
    site.consul.snapshot_restore(tmp_path / "snapshot")
    roj.ok("deploy", "pair:v1", "faults", "--id", "poke", "--wait")
    roj.wait_phase("web", "held", timeout=90)
    roj.ok("start", "web", "--wait")
    assert site.running("web")


def test_a_wiped_store_stops_nothing_and_restore_puts_it_back(site: Faulty) -> None:
    roj, before = site.roj, site.ids()
    site.consul.wipe()
    wait_for(
        "the agent says so",
        lambda: "restore --state-dir" in site.agent.log.read_text(encoding="utf-8"),
        timeout=90,
    )
    assert roj.json("instances") == []
    assert roj.json("nodes") == []
    site.machine.containers("web", "faults")[0].kill()
    wait_for("repaired all the same", lambda: site.running("web"))
    dry = roj.ok("restore", "--state-dir", str(site.agent.state), "--dry-run")
    assert "web" in dry
    assert roj.json("instances") == []
    roj.ok("restore", "--state-dir", str(site.agent.state))
    for instance in ("web", "pair"):
        roj.wait_phase(instance, "launched", timeout=90)
    assert site.ids() == before
    assert roj("restore", "--state-dir", str(site.agent.state)).code == 0
    assert site.ids() == before


def test_keys_that_were_deleted_and_restored_before_anybody_looked_are_reported_anew(site: Faulty) -> None:
    """The session outlives its lease, so that no renewal tells that it is lost."""
    roj, before = site.roj, site.ids()
    wait_for("ready", lambda: roj.node("faults")["ready"])
    store = open_store(site.consul.store_url, RealEnvironment(), {})
    store.transact([Discard(entry.key) for entry in store.list("roj/v1/").entries])
    store.close()
    roj.ok("restore", "--state-dir", str(site.agent.state))
    node = roj.node("faults")
    assert node["ready"] or node["message"] == "no agent reports as this node"
    wait_for("ready again", lambda: (row := roj.node("faults"))["ready"] and row["versions"], timeout=30)
    for instance in ("web", "pair"):
        roj.wait_phase(instance, "launched")
    assert site.ids() == before


def test_without_consul_a_restarted_agent_repairs_and_reports_when_it_is_back(site: Faulty) -> None:
    site.consul.stop()
    site.machine.containers("web", "faults")[0].remove(force=True)
    site.agent.kill()
    site.agent.start(wait=False)
    wait_for("repaired", lambda: site.running("web"))
    kept = site.ids()
    site.consul.start()
    wait_for("reported", lambda: site.reported("web", "launched"), timeout=90)
    assert site.ids() == kept


def test_a_record_that_does_not_parse_and_one_deleted_by_hand_stop_nothing(site: Faulty) -> None:
    roj, before = site.roj, site.ids()
    store = open_store(site.consul.store_url, RealEnvironment(), {})
    store.transact(
        [
            Set("roj/v1/desired/faults/instances/web", b"{nonsense"),
            Discard("roj/v1/desired/faults/instances/pair"),
        ]
    )
    store.close()
    roj.wait_phase("pair", "unclaimed", timeout=90)
    wait_for("the bad record is told", lambda: "not understood" in (roj.instance("web") or {})["message"])
    # A reader says `unclaimed` by itself, before the node has noticed.
    wait_for("it is told", lambda: {"Unclaimed", "RecordUnreadable"} <= {*roj.reasons("faults")})
    roj.ok("adopt", "web")
    roj.ok("adopt", "pair")
    for instance in ("web", "pair"):
        wait_for(
            f"{instance} is mended",
            lambda instance=instance: (
                (row := roj.instance(instance))  # type: ignore[misc]
                and (row["phase"], row["message"]) == ("launched", "")
            ),
        )
    assert site.ids() == before
