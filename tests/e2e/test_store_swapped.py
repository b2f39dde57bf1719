"""Another cluster's store in the place of ours, and a store that lost its heads: nothing stops, roj says why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engines import Consul, Docker, Web
from roj.api import keys
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import Discard
from tests.e2e.harness import Machine, Roj, Site, wait_for

pytestmark = pytest.mark.engines


def test_a_store_of_another_cluster_is_not_obeyed_and_a_lost_head_is_put_back(
    docker_engine: Docker, machine: Machine, web: Web, tmp_path: Path
) -> None:
    with Consul() as consul:
        site = Site(Roj(consul.store_url), docker_engine, machine, web, tmp_path, "swapped")
        roj, node, other = site.roj, site.name("node"), site.name("other")
        with site.agent(node) as agent:
            app = site.create("web", "-p", "80")
            ids = [site.deploy(app, node, word) for word in ("one", "two")]
            kept = machine.ids(node)

            def converged() -> None:
                for id in ids:
                    roj.wait_phase(id, "launched")
                wait_for("ready", agent.ready, timeout=120)
                assert machine.ids(node) == kept

            def said(words: str) -> None:
                wait_for(f"it says {words!r}", lambda: words in agent.tail(200), timeout=120)

            # By hand, the sentinel: the agent makes it anew.
            _delete(consul, keys.node(node))
            wait_for("it is there", lambda: roj.node(node)["message"] == "", timeout=120)
            converged()

            # By hand, the cluster's record: for all that roj can know, the store was wiped.
            agent.kill()
            _delete(consul, keys.CLUSTER, keys.node(node))
            agent.start(wait=False)
            said("has no cluster")
            assert machine.ids(node) == kept
            roj.ok("restore", "--state-dir", str(agent.state))
            converged()

            # In its place, a store in which somebody else founded a cluster.
            agent.kill()
            consul.wipe()
            with site.agent(other):
                site.create("web", "-p", "80")
                stranger = site.deploy(app, other, "stranger")
                agent.start(wait=False)
                said("is of cluster")
                machine.one(ids[0]).kill()
                machine.running(ids[0])
                refused = roj("restore", "--state-dir", str(agent.state))
                assert (refused.code, "nothing was put back" in refused.err) == (5, True)
                assert [row["id"] for row in roj.json("instances")] == [stranger]
                assert machine.ids(node) == kept
            consul.wipe()
            said("has no cluster")
            roj.ok("restore", "--state-dir", str(agent.state))
            converged()

            # The store wiped and the state directory lost: the containers know the cluster.
            cluster = roj.json("cluster")["id"]
            agent.kill()
            consul.wipe()
            shutil.rmtree(agent.state)
            agent.start(wait=False)
            said(f"Containers here are of node {node} in cluster {cluster}")
            roj.ok("restore", "--state-dir", str(agent.state))
            for id in ids:
                roj.wait_phase(id, "unclaimed")
            assert roj.json("cluster")["id"] == cluster
            assert machine.ids(node) == kept
            roj.ok("undeploy", *ids, "--wait")
            assert machine.ids(node) == []


def _delete(consul: Consul, *names: str) -> None:
    store = open_store(consul.store_url, RealEnvironment(), {})
    try:
        store.transact([Discard(name) for name in names])
    finally:
        store.close()
