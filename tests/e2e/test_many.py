"""Many instances on one node: alone, and each a pair on a network of its own (Docker's own pools end at about 30)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.harness import Site

pytestmark = pytest.mark.engines

MANY = 40


def test_many_instances_and_many_pairs_that_reach_each_other_by_name(site: Site) -> None:
    roj, machine, node = site.roj, site.machine, site.name("node")
    names = [
        {"name": name, "image": site.web.tag(version)} for name, version in (("one", "v1"), ("two", "v2"))
    ]
    pair = site.create_file("pair", json.dumps({"containers": names}))
    with site.agent(node):
        alone = roj.ok("deploy", site.create("alone"), node, "--count", str(MANY)).splitlines()
        pairs = roj.ok("deploy", pair, node, "--count", str(MANY)).splitlines()
        assert len({*alone, *pairs}) == 2 * MANY
        done = roj("start", *alone, *pairs, "--wait", "--timeout", "4m", timeout=280)
        assert done.code == 0, done.err[-2000:]
        rows = roj.json("instances", node)
        assert {row["phase"] for row in rows} == {"launched"}
        containers = machine.containers(node=node)
        assert len(containers) == 3 * MANY
        networks = machine.client.networks.list(filters={"label": [f"roj.node={node}"]})
        assert len(networks) == MANY

        def reached(container: object) -> str:
            other = "two" if container.labels["roj.container"] == "one" else "one"  # type: ignore[attr-defined]
            words = ["wget", "-q", "-O", "-", f"http://{other}/"]
            code, out = container.exec_run(words)  # type: ignore[attr-defined]
            return f"{code} {out.decode()}"

        in_pairs = [container for container in containers if container.labels["roj.instance"] in pairs]
        with ThreadPoolExecutor(4) as workers:
            answers = sorted(workers.map(reached, in_pairs))
        pages = [f"0 {site.web.page(version)}" for version in ("v1", "v2")]
        assert answers == sorted(pages * MANY)

        roj.ok("undeploy", *pairs[:10], "--wait", "--timeout", "2m")
        assert len(machine.client.networks.list(filters={"label": [f"roj.node={node}"]})) == MANY - 10
