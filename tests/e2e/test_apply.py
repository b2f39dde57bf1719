"""apply, plan, export and history on real engines: files become what runs, and what was done is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import AgentProcess, Site, page, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    with module_site.agent(module_site.name("node")) as process:
        yield process


def test_files_become_what_runs_and_what_was_done_is_told(
    module_site: Site, node: AgentProcess, free_port: Callable[[], int], tmp_path: Path
) -> None:
    roj, machine, port = module_site.roj, module_site.machine, free_port()
    name, id = module_site.name("applied"), module_site.name("one")
    file = tmp_path / "cluster.yaml"

    def write(version: str, goal: str = "start", *, named: bool = True) -> None:
        container = {
            "name": "web", "image": module_site.web.tag(version), "ports": [{"container": 80, "host": port}]
        }  # fmt: skip
        documents: list[dict[str, Any]] = [
            {"app": f"{name}:{version}", "containers": [container]},
            {"node": node.node, "labels": {"zone": "a"}},
        ]
        if named:
            documents.append({"instance": id, "app": f"{name}:{version}", "node": node.node, "goal": goal})
        file.write_text("---\n".join(yaml.safe_dump(document) for document in documents))

    def plan(*flags: str) -> int:
        return roj("plan", *flags, "--exit-code").code

    def launched(generation: int) -> Callable[[], bool]:
        def look() -> bool:
            row = roj.instance(id)
            seen = (row["phase"], row["observed_generation"]) if row is not None else None
            return seen == ("launched", generation)

        return look

    write("v1")
    assert plan("-f", str(file)) == 10
    roj.ok("apply", "-f", str(file), "-m", "first")
    wait_for("launched", launched(1))
    first = page(port)
    assert plan("-f", str(file)) == 0
    assert plan(node.node) == 0

    write("v2")
    roj.ok("apply", "-f", str(file), "-m", "release 2")
    wait_for("upgraded", launched(2))
    assert page(port) not in ("", first)
    assert plan(node.node) == 0

    write("v2", "stop")
    roj.ok("apply", "-f", str(file))
    roj.wait_phase(id, "stopped")
    rows = roj.json("history", id)
    brief = [(row["generation"], row["app"], row["goal"], row["why"], row["outcome"]) for row in rows]
    assert brief == [
        (3, f"{name}:v2", "stop", "", "stopped"),
        (2, f"{name}:v2", "start", "release 2", "launched"),
        (1, f"{name}:v1", "start", "first", "launched"),
    ]
    assert all(row["seconds"] >= 0 for row in rows)

    exported = tmp_path / "exported.yaml"
    exported.write_text(roj.ok("export", "all") + "\n")
    assert plan("-f", str(exported)) == 0

    write("v2", named=False)
    assert roj("apply", "-f", str(file), "--prune").code == 2, "it asks, and there is no terminal"
    roj.ok("apply", "-f", str(file), "--prune", "--yes")
    wait_for("gone", lambda: roj.instance(id) is None)
    assert machine.containers(id) == []
    assert roj("history", id).code == 4


def test_a_node_that_is_away_and_one_that_is_frozen_are_planned_for(
    module_site: Site, node: AgentProcess
) -> None:
    roj = module_site.roj
    app = module_site.create("later")
    id = module_site.deploy(app, node.node, "later")
    roj.ok("node", "freeze", node.node, "-m", "the disk is being swapped")
    roj.ok("stop", id)
    [row] = wait_for("planned", lambda: [row for row in roj.json("plan", node.node) if row["id"] == id])
    assert (row["action"], row["change"]) == ("wait", True)
    assert "the disk is being swapped" in row["why"]
    assert "then: stop" in row["why"]
    roj.ok("node", "unfreeze", node.node)
    roj.wait_phase(id, "stopped")
    roj.ok("undeploy", id, "--wait")
