"""Rollouts over five nodes: a window, canaries, failures, a leader that dies, a node that is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.harness import AgentProcess, Site, wait_for

pytestmark = pytest.mark.engines
NODES = 5


@pytest.fixture(scope="module")
def nodes(module_site: Site) -> Iterator[list[AgentProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(module_site.agent(module_site.name(f"node{n}"))) for n in range(NODES)]


@pytest.fixture
def app(module_site: Site, nodes: list[AgentProcess], request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an app that runs as v1 on every node; v2 is there, and v3 that never starts."""
    word = request.node.name.removeprefix("test_").replace("_", "-")[:24]
    one = module_site.create(word)
    module_site.create(word, version="v2")
    module_site.create(word, "--", "sh", "-c", "exit 3", version="v3")
    ids = module_site.roj.ok(
        "deploy", one, *(node.node for node in nodes), "--wait", "--timeout", "120s"
    ).split()
    yield one.partition(":")[0]
    module_site.roj.ok("undeploy", *ids, "--wait", "--timeout", "120s")


def rollout(site: Site, name: str) -> Any:
    return site.roj.json("rollout", "status", name)


def apps(site: Site, app: str) -> list[str]:
    """What each instance of the app is to run, by node."""
    rows = [row for row in site.roj.json("instances") if row["app"].startswith(f"{app}:")]
    return [row["app"].partition(":")[2] for row in sorted(rows, key=lambda row: row["node"])]


def test_rolling_one_after_the_other(module_site: Site, app: str) -> None:
    name = module_site.name("rolling")
    done = module_site.roj("rollout", "start", name, "--to", f"{app}:v2", "--app", app, "--wait", "-m", "new")
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if line.startswith("{")]
    for line in lines:
        assert sum(step["state"] == "started" for step in json.loads(line)["steps"]) <= 1
    assert apps(module_site, app) == ["v2"] * NODES
    found = rollout(module_site, name)
    assert (found["phase"], found["done"], found["total"], found["failed"]) == ("done", NODES, NODES, 0)
    rows = [row for row in module_site.roj.json("instances") if row["app"] == f"{app}:v2"]
    assert {row["phase"] for row in rows} == {"launched"}


def test_canary_pauses_and_resumes(module_site: Site, app: str) -> None:
    roj, name = module_site.roj, module_site.name("canary")
    start = ("rollout", "start", name, "--to", f"{app}:v2", "--app", f"{app}:v1")
    done = roj(*start, "--canary", "1", "--pause-after", "canary", "--batch", "50%", "--wait")
    assert done.code == 3, done.err
    assert apps(module_site, app).count("v2") == 1
    assert roj("rollout", "start", module_site.name("second"), "--to", f"{app}:v2", "--app", app).code == 5
    assert roj(*start).code == 5
    roj.ok("rollout", "resume", name)
    wait_for("it is done", lambda: rollout(module_site, name)["phase"] == "done", timeout=90)
    assert apps(module_site, app) == ["v2"] * NODES


def test_failures_stop_it_and_it_is_rolled_back(module_site: Site, app: str) -> None:
    roj, name = module_site.roj, module_site.name("failing")
    done = roj("rollout", "start", name, "--to", f"{app}:v3", "--app", app, "--max-failures", "1", "--wait")
    assert done.code == 1, done.err
    found = rollout(module_site, name)
    assert (found["phase"], found["failed"]) == ("paused", 2)
    assert apps(module_site, app).count("v3") == 2
    roj.ok("rollout", "rollback", name)
    wait_for("it is back", lambda: rollout(module_site, name)["phase"] == "rolled_back", timeout=90)
    assert apps(module_site, app) == ["v1"] * NODES
    rows = [row for row in roj.json("instances") if row["app"] == f"{app}:v1"]
    assert {row["phase"] for row in rows} == {"launched"}


def test_it_survives_its_leader_and_catches_up_who_was_away(
    module_site: Site, nodes: list[AgentProcess], app: str
) -> None:
    roj, name = module_site.roj, module_site.name("leader")
    nodes[4].stop()
    roj.ok("rollout", "start", name, "--to", f"{app}:v2", "--app", app, "--wait-between", "2s")
    led = wait_for("somebody leads", lambda: rollout(module_site, name)["by"], timeout=60)
    (leader,) = [node for node in nodes if node.node == led]
    wait_for("it has begun", lambda: rollout(module_site, name)["done"] >= 1, timeout=60)
    leader.kill()
    wait_for("another leads", lambda: rollout(module_site, name)["by"] not in ("", led), timeout=90)
    leader.start()
    wait_for("all but one are done", lambda: rollout(module_site, name)["done"] == NODES - 1, timeout=120)
    found = rollout(module_site, name)
    assert (found["phase"], found["away"]) == ("running", 1)
    nodes[4].start()
    wait_for("it is done", lambda: rollout(module_site, name)["phase"] == "done", timeout=90)
    assert apps(module_site, app) == ["v2"] * NODES
    rows = [row for row in roj.json("instances") if row["app"] == f"{app}:v2"]
    assert {row["generation"] for row in rows} == {2}, "no step was made twice"
