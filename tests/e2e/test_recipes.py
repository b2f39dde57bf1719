"""The recipes of docs/upgrades.md, each command read out of the page and run, on six nodes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engines import Consul, Docker, Web
from tests.e2e.harness import ROJ, Machine, Result, Roj, agent, page, wait_for

pytestmark = pytest.mark.engines
PAGE = Path(__file__).parents[2] / "docs" / "upgrades.md"
NODES = [f"node{number}" for number in range(1, 7)]
STAGING, PROD = NODES[:2], NODES[2:]


class Cluster:
    """Six nodes as the page has them; its commands are run as they stand, but for the registry's address."""

    def __init__(self, roj: Roj, machine: Machine, web: Web, directory: Path) -> None:
        self.roj = roj
        self.machine = machine
        self.web = web
        self.directory = directory
        self.roj.environment["PATH"] = f"{ROJ.parent}:{self.roj.environment['PATH']}"

    def block(self, name: str) -> str:
        """The commands, or the script, of a recipe."""
        text = PAGE.read_text(encoding="utf-8").partition(f"<!-- recipe: {name} -->")[2]
        found = re.match(r"\s*```(?:console|sh)\n(.*?)```", text, re.DOTALL)
        assert found is not None, f"the page has no recipe {name}"
        return re.sub(r"registry\.example/web:(v\d)", lambda match: self.web.tag(match[1]), found[1])

    def play(self, name: str, other: Mapping[str, str] | None = None) -> Iterator[Result]:
        """Run a recipe, and stop after every command.

        Args:
            other: what takes the place of a part of the page that depends on when it is run.
        """
        text = self.block(name)
        for part, instead in (other or {}).items():
            assert part in text
            text = text.replace(part, instead)
        lines = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        assert lines
        for line in lines:
            command, _, comment = line.partition("  # ")
            expected = re.match(r"exit code (\d+)", comment)
            done = self.shell(command)
            assert done.code == (int(expected[1]) if expected else 0), (command, done)
            yield done

    def shell(self, *words: str) -> Result:
        """One line of shell, or a script with its arguments."""
        run = ["bash", "-c", *words] if len(words) == 1 else ["sh", *words]
        done = subprocess.run(
            run, env=self.roj.environment, input="", capture_output=True, text=True, timeout=300, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The one instance of every node."""
        rows: dict[str, dict[str, Any]] = {row["node"]: row for row in self.roj.json("instances")}
        assert sorted(rows) == NODES
        return rows

    def served(self) -> dict[str, str]:
        """The version that every node's instance answers with."""
        pages = {self.web.page(version): version for version in ("v1", "v2")}
        return {
            node: pages.get(page(next(iter(row["ports"].values()), 0)), "none")
            for node, row in self.rows().items()
        }

    def on(self, version: str) -> list[str]:
        """The nodes whose instance serves that version."""
        return [node for node, found in self.served().items() if found == version]

    def all_on(self, version: str) -> None:
        wait_for(f"all serve {version}", lambda: self.on(version) == NODES, timeout=90)
        wait_for(
            f"all are launched with {version}",
            lambda: all(
                (row["phase"], row["app"], row["observed_app"])
                == ("launched", f"web:{version}", f"web:{version}")
                for row in self.rows().values()
            ),
            timeout=60,
        )


@pytest.fixture(scope="module")
def nodes(
    docker_engine: Docker, machine: Machine, web: Web, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("recipes")
    with ExitStack() as stack:
        roj = Roj(stack.enter_context(Consul()).store_url)
        cluster = Cluster(roj, machine, web, directory)
        for node in NODES:
            stack.enter_context(agent(roj, directory, node, docker_engine))
        for _ in cluster.play("before"):
            pass
        yield cluster


@pytest.fixture
def cluster(nodes: Cluster) -> Iterator[Cluster]:
    """All on v1, no window, no rollout under way."""
    nodes.all_on("v1")
    yield nodes
    for row in nodes.roj.json("rollouts"):
        if row["phase"] in ("running", "paused"):
            nodes.roj.ok("rollout", "abort", row["name"])
    nodes.roj.ok("node", "window", "-l", "env", "--clear")
    if any(row["app"] != "web:v1" for row in nodes.rows().values()):
        nodes.roj.ok("upgrade", "web:v1", "--app", "web:v2", "--now", "--wait", "--timeout", "120s")


def test_rolling(cluster: Cluster) -> None:
    (done,) = cluster.play("rolling")
    lines = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    assert max(sum(step["state"] == "started" for step in line["steps"]) for line in lines) == 1
    cluster.all_on("v2")


def test_canary(cluster: Cluster) -> None:
    steps = cluster.play("canary")
    next(steps)
    assert cluster.on("v2") == NODES[:1]
    for _ in steps:
        pass
    cluster.all_on("v2")


def test_staged_by_environment(cluster: Cluster) -> None:
    steps = cluster.play("staged")
    next(steps)
    assert (cluster.on("v2"), cluster.on("v1")) == (STAGING, PROD)
    for _ in steps:
        pass
    cluster.all_on("v2")


def test_sharded_by_zone(cluster: Cluster) -> None:
    after = [cluster.on("v2") for _ in cluster.play("sharded")]
    a, b = ["node1", "node3"], ["node2", "node4", "node5"]
    assert after[0] == a
    assert after[2] == sorted([*a, *b])
    assert after[4] == NODES
    cluster.all_on("v2")


def test_synchronised(cluster: Cluster) -> None:
    steps = cluster.play("synchronised")
    next(steps)
    began = datetime.now(UTC)
    next(steps)
    assert cluster.on("v1") == NODES, "the images are there, and nothing happens before the time"
    next(steps)
    cluster.all_on("v2")
    for container in cluster.machine.containers():
        if container.labels.get("roj.app") == "web:v2" and container.labels["roj.node"] in NODES:
            started = datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00")
            assert started >= began + timedelta(seconds=13), container.attrs["State"]


def test_within_maintenance_windows(cluster: Cluster) -> None:
    opens = (datetime.now(UTC) + timedelta(seconds=80)).replace(second=0)
    window = f"daily {opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC"
    for _ in cluster.play("windows", {"daily 02:00-04:00 Europe/Warsaw": window}):
        pass
    wait_for("staging is upgraded", lambda: cluster.on("v2") == STAGING, timeout=60)
    waiting = [
        node
        for node, row in cluster.rows().items()
        if any(each["type"] == "Waiting" for each in row["conditions"])
    ]
    assert waiting == PROD
    assert datetime.now(UTC) < opens, "too slow to tell"
    cluster.all_on("v2")
    assert datetime.now(UTC) >= opens
    wait_for("it is done", lambda: cluster.roj.json("rollout", "status", "web-2-night")["phase"] == "done")


def test_rollback_under_fire(cluster: Cluster) -> None:
    cluster.roj.ok("upgrade", "web:v2", "--app", "web:v1", "--wait", "--timeout", "120s")
    cluster.all_on("v2")
    closed = datetime.now(UTC) + timedelta(hours=5)
    cluster.roj.ok("node", "window", "node3", f"daily {closed:%H:%M}-{closed + timedelta(hours=1):%H:%M} UTC")
    for _ in cluster.play("fire"):
        pass
    cluster.all_on("v1")


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_twenty_lines_of_shell(cluster: Cluster, good: bool, tmp_path: Path) -> None:
    script, check = tmp_path / "roll", tmp_path / "check"
    script.write_text(cluster.block("shell"), encoding="utf-8")
    assert len([line for line in cluster.block("shell").splitlines() if line]) <= 20
    third = cluster.rows()["node3"]["id"]
    check.write_text("#!/bin/sh\n" + ("true\n" if good else f"[ \"$1\" != '{third}' ]\n"), encoding="utf-8")
    check.chmod(0o755)
    done = cluster.shell(str(script), "web:v1", "web:v2", str(check))
    assert done.code == (0 if good else 1), done
    cluster.all_on("v2" if good else "v1")
