"""The rights that docs/operations.md lists are enough, and no more: on a Consul that denies whatever is not allowed."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engines import Consul
from roj.api import keys
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import Store, StoreDenied
from tests.e2e.harness import AgentProcess, Roj, Site, agent, wait_for

MASTER = "11111111-2222-3333-4444-555555555555"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


class Guarded:
    """A Consul with ACLs, default policy `deny`, its agent called as the node is."""

    def __init__(self, node: str) -> None:
        self.node = node
        tokens = {"master": MASTER, "agent": MASTER}
        acl = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        self.consul = Consul(node_name=node, settings={"acl": acl})
        self.consul.start(wait=False)  # it asks without a token whether it serves, and is denied

    def put(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://{self.consul.address}{path}",
            json.dumps(body).encode(),
            {"X-Consul-Token": MASTER},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def token(self, name: str, rules: str) -> str:
        """A new token with these rights; waits for the leader."""
        until = time.monotonic() + 60
        while True:
            try:
                self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
                return self.token_of(name)
            except OSError:
                assert time.monotonic() < until, self.consul.log.read_text(encoding="utf-8")[-2000:]
                time.sleep(0.2)

    def token_of(self, *policies: str) -> str:
        """A new token with policies that are there."""
        return str(self.put("/v1/acl/token", {"Policies": [{"Name": name} for name in policies]})["SecretID"])

    def roj(self, secret: str) -> Roj:
        """The command with this token."""
        found = Roj(self.consul.store_url)
        found.environment["CONSUL_HTTP_TOKEN"] = secret
        return found

    def store(self, secret: str) -> closing[Store]:
        return closing(open_store(self.consul.store_url, RealEnvironment(), {"CONSUL_HTTP_TOKEN": secret}))


@pytest.fixture
def guarded(site: Site) -> Iterator[Guarded]:
    guarded = Guarded(site.name("node"))
    yield guarded
    guarded.consul.stop()


def documented(node: str) -> tuple[str, str]:
    """The rules of docs/operations.md: an agent's of that node, and an operator's."""
    chapter = OPERATIONS.read_text(encoding="utf-8").partition("## Tokens")[2].partition("\n## ")[0]
    of_an_agent, of_an_operator = re.findall(r"```hcl\n(.*?)```", chapter, re.DOTALL)
    assert "node1" in of_an_agent
    return of_an_agent.replace("node1", node), of_an_operator


CLUSTER = re.compile(r'(key +"roj/v1/cluster" +\{ policy = )"read"')
"""What the cluster's first agent has more: it makes the cluster."""
STANDS_ASIDE = "this agent runs no rollouts: its token may not"


def is_ready(operator: Roj, node: str, process: AgentProcess) -> Callable[[], bool]:
    def look() -> bool:
        assert process.alive, process.tail()
        done = operator.here("nodes", "-o", "json")
        return done.code == 0 and any(row["name"] == node and row["ready"] for row in done.json)

    return look


def test_the_documented_rights_are_enough(site: Site, guarded: Guarded) -> None:
    node = guarded.node
    of_an_agent, of_an_operator = documented(node)
    assert CLUSTER.search(of_an_agent)
    first = guarded.token("first", CLUSTER.sub(r'\1"write"', of_an_agent))
    node_token = guarded.token("node", of_an_agent)
    operator = guarded.roj(guarded.token("operator", of_an_operator))
    reader = guarded.roj(guarded.token("reader", of_an_operator.replace('"write"', '"read"')))

    # The cluster's first agent makes the cluster; from then on reading its id is enough.
    with agent(guarded.roj(first), site.directory, node, site.engine, wait=False) as process:
        wait_for("the first agent is ready", is_ready(operator, node, process), timeout=60)
        assert process.stop() == 0
        no_denial(process)
    with agent(guarded.roj(node_token), site.directory, node, site.engine, wait=False) as process:
        wait_for("the agent is ready", is_ready(operator, node, process), timeout=60)
        id = site.name("web")
        operator.ok("create", f"{id}:v1", site.web.tag("v1"), "-p", "80", "-m", "try")
        operator.ok("create", f"{id}:v2", site.web.tag("v2"), "-p", "80")
        operator.ok("create", f"{id}:v3", site.web.tag("v2"))
        operator.ok("deploy", f"{id}:v1", node, "--id", id, "--wait")
        operator.ok("upgrade", f"{id}:v2", id, "--wait")
        operator.ok("rollback", id, "--wait")
        for words in (
            ["nodes"],
            ["instances"],
            ["instances", node],
            ["apps"],
            ["events", id],
            ["cluster"],
            ["rollouts", "-o", "json"],
            ["inspect", "app", f"{id}:v1"],
            ["inspect", "node", node],
            ["inspect", "instance", id],
            ["export", "app", f"{id}:v1"],
        ):
            assert reader.ok(*words)
        assert {"Launched"} <= set(reader.reasons(id))
        for words in (
            ["create", f"{id}:v4", "nginx"],
            ["deploy", f"{id}:v2", node],
            ["stop", id],
            ["upgrade", f"{id}:v2", id],
            ["rollback", id],
            ["rollout", "start", "two", "--to", f"{id}:v2", "--app", id],
            ["undeploy", id],
            ["remove", f"{id}:v3"],
        ):
            done = reader(*words)
            assert done.code == 7, (words, done)
            assert "CONSUL_HTTP_TOKEN" in done.err
        operator.ok("stop", id, "--wait")
        operator.ok("start", id, "--wait")
        operator.ok("undeploy", id, "--wait")
        operator.ok("remove", f"{id}:v1", f"{id}:v2", f"{id}:v3")
        assert operator.json("instances", node) == []
        assert process.stop() == 0
        no_denial(process)

    with guarded.store(MASTER) as store:
        other = site.name("other")
        for key in (
            keys.node(other),
            keys.node_status(other),
            keys.app("web", "v1"),
            keys.pin("web", "v1", "web"),
        ):
            store.create(key, b"{}")
    with guarded.store(node_token) as store:
        for key in (
            keys.CLUSTER,
            keys.app("web", "v1"),
            keys.app_use("web", "v1"),
            keys.node(other),
            keys.instance(other, "a"),
            keys.port(other, "tcp", 80),
            keys.node_status(other),
            keys.lease(other),
            keys.instance_status(other, "a"),
            f"{keys.events(other)}1",
            keys.history(other, "a"),
            # Not one whose name begins like its own.
            keys.node(f"{node}0"),
            keys.lock("rollouts"),
            keys.rollout("a"),
            keys.rollout_status("a"),
        ):
            with pytest.raises(StoreDenied):
                store.create(key, b"no")
        for prefix in (keys.desired(other), keys.observed(other), keys.DESIRED + other):
            assert store.list(prefix).entries == ()
            with pytest.raises(StoreDenied):
                store.get(prefix)
        assert store.get(keys.app("web", "v1")) is not None


def test_a_rollout_is_led_by_an_agent_with_an_operator_s_rights_alone(site: Site, guarded: Guarded) -> None:
    node, other = guarded.node, site.name("other")
    rules, of_an_operator = documented(node)
    first = guarded.token("first", CLUSTER.sub(r'\1"write"', rules))
    operator = guarded.roj(guarded.token("operator", of_an_operator))
    # The other agent is on the same Consul agent, whose name the session's rule has.
    of_the_other = re.sub(rf"roj/v1/(\w+)/{node}/", rf"roj/v1/\1/{other}/", rules)
    guarded.token("other", of_the_other)
    leading = guarded.roj(guarded.token_of("other", "operator"))
    id = site.name("web")
    with agent(guarded.roj(first), site.directory, node, site.engine, wait=False) as process:
        wait_for("the agent is ready", is_ready(operator, node, process), timeout=60)
        for version in ("v1", "v2"):
            operator.ok("create", f"{id}:{version}", site.web.tag(version), "-p", "80")
        operator.ok("deploy", f"{id}:v1", node, "--id", id, "--wait")
        wait_for("it stands aside", lambda: STANDS_ASIDE in process.tail(10_000), timeout=60)
        operator.ok("rollout", "start", "two", "--to", f"{id}:v2", "--app", id)
        time.sleep(3)
        row = operator.json("rollout", "status", "two")
        assert (row["phase"], row["by"], row["message"]) == ("running", "", "no agent has taken it up yet")
        with agent(leading, site.directory, other, site.engine, wait=False) as leader:
            wait_for("the leader is ready", is_ready(operator, other, leader), timeout=60)
            wait_for(
                "it is done", lambda: operator.json("rollout", "status", "two")["phase"] == "done", timeout=60
            )
            row = operator.json("rollout", "status", "two")
            assert (row["by"], row["done"], row["failed"]) == (other, 1, 0)
            instance = operator.instance(id)
            assert instance is not None
            assert (instance["app"], instance["phase"]) == (f"{id}:v2", "launched")
            operator.ok("rollout", "rollback", "two")
            operator.wait_row(
                id, "is back", lambda row: row["app"] == f"{id}:v1" and row["phase"] == "launched"
            )
            operator.ok("undeploy", id, "--wait")
            assert leader.stop() == 0
            assert STANDS_ASIDE not in leader.tail(10_000)
            no_denial(leader)
        assert process.stop() == 0
        no_denial(process)


def no_denial(process: AgentProcess) -> None:
    denials = [
        line
        for line in process.tail(10_000).splitlines()
        if (" denies " in line or "denied" in line) and STANDS_ASIDE not in line
    ]
    assert not denials, denials
