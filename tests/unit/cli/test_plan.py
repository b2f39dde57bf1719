"""`roj plan`: all that is not yet as it is declared, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roj.api import keys
from roj.api.app import AppReference
from roj.api.instance import Instance
from roj.api.node import Drain, Mark, Node
from tests.unit.cli.seed import WHEN, Seed

NOW = datetime.now(UTC)
CONTAINER = {"name": "web", "id": "f" * 64, "image": "nginx:1.7.1", "state": "running"}
OLDER = AppReference(name="web", version="v0", digest="0" * 64)


def rows(seed: Seed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seed.roj("plan", "-o", "json").json
    return found


def planned(seed: Seed) -> list[tuple[str | None, str]]:
    return [(row["id"], row["action"]) for row in rows(seed)]


def order(seed: Seed, id: str = "a", **update: Any) -> Instance:
    """The instance with a newer order."""
    entry = seed.store.get(keys.instance("n1", id))
    assert entry is not None
    newer = Instance.decode(entry.value).model_copy(update={"generation": 2, **update})
    seed.store.swap(entry.key, newer.encode(), entry.version)
    return newer


def node(seed: Seed, **update: Any) -> None:
    entry = seed.store.get(keys.node("n1"))
    assert entry is not None
    seed.store.swap(entry.key, Node.decode(entry.value).model_copy(update=update).encode(), entry.version)


def test_what_is_as_declared_is_not_told(seed: Seed) -> None:
    seed.node("n1")
    for id, phase in (("a", "launched"), ("b", "completed")):
        seed.instance("n1", id)
        seed.status("n1", id, phase)
    done = seed.roj("plan", "--exit-code")
    assert (done.code, done.out) == (0, "")
    assert "as it is declared" in done.err


@pytest.mark.parametrize(
    ("desired", "status", "action", "code"),
    [
        ({}, None, "launch", 10),
        ({}, {"phase": "pulling", "observed_generation": 2}, "pull", 10),
        ({}, {"phase": "starting", "observed_generation": 2}, "launch", 10),
        ({}, {"phase": "launched", "app": OLDER}, "replace", 10),
        ({}, {"phase": "stopped", "observed_generation": 2}, "start", 10),
        ({}, {"phase": "failed", "app": OLDER, "observed_generation": 2, "message": "web exited"}, "failed", 0),
        ({}, {"phase": "held", "uid": "u0"}, "held", 0),
        ({}, {"phase": "launched", "observed_generation": 2, "containers": [{**CONTAINER, "state": "exited"}]}, "repair", 10),
        ({"goal": "stop"}, {"phase": "launched"}, "stop", 10),
        ({"goal": "undeploy"}, {"phase": "launched"}, "undeploy", 10),
        ({"at": NOW + timedelta(hours=1)}, {"phase": "launched", "app": OLDER}, "wait", 10),
        ({"at": NOW - timedelta(hours=1)}, {"phase": "launched", "app": OLDER}, "replace", 10),
    ],
)  # fmt: skip
def test_what_is_not_is(
    seed: Seed, desired: dict[str, Any], status: dict[str, Any] | None, action: str, code: int
) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    order(seed, **desired)
    if status is not None:
        seed.status("n1", "a", **status)
    assert planned(seed) == [("a", action)]
    assert seed.roj("plan", "n1", "--exit-code").code == code
    assert rows(seed)[0]["change"] == (code == 10)


def test_what_waits_says_for_what_and_what_comes_then(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    seed.status("n1", "a", app=OLDER)
    order(seed)
    assert planned(seed) == [("a", "replace")]
    closed = NOW + timedelta(hours=6)
    node(seed, windows=(f"daily {closed:%H}:00-{closed:%H}:30",))
    [row] = rows(seed)
    assert (row["action"], row["app"], row["observed_app"]) == ("wait", "web:v1", "web:v0")
    assert "maintenance window" in row["why"]
    assert "then: replace" in row["why"]
    order(seed, now=True)
    assert planned(seed) == [("a", "replace")]
    node(seed, frozen=Mark(who="anna", when=WHEN, why="disk"))
    [row] = rows(seed)
    assert row["action"] == "wait"
    assert "frozen by anna: disk" in row["why"]
    node(seed, frozen=Mark(who="anna", when=WHEN, until=WHEN + timedelta(seconds=1)))
    assert planned(seed) == [("a", "replace")], "its time is over"


def test_a_drained_node_stops_what_it_has(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    seed.status("n1", "a")
    node(seed, drained=Drain(who="anna", when=WHEN))
    assert planned(seed) == [("a", "stop")]


def test_nodes_that_are_away_and_containers_that_nobody_wants(seed: Seed) -> None:
    seed.node("n1", ready=False)
    seed.node("n2")
    for id in ("a", "b"):
        seed.instance("n1", id)
        seed.status("n1", id)
    order(seed, "b", goal="stop")
    seed.status("n2", "c", "unclaimed", goal=None)
    assert [(row["node"], row["id"], row["action"]) for row in rows(seed)] == [
        ("n1", None, "away"), ("n1", "b", "wait"), ("n2", "c", "unclaimed"),
    ]  # fmt: skip
    assert "n1 is away; then: stop" in seed.roj("plan").out
    assert seed.roj("plan", "n2", "--exit-code").code == 0
    assert seed.roj("plan", "-o", "name").out == "n1\nn1/b\nn2/c\n"


def test_what_is_not_understood_is_unknown(seed: Seed) -> None:
    seed.node("n1")
    seed.store.create(keys.instance("n1", "bad"), b"{}")
    assert planned(seed) == [("bad", "unknown")]


def test_a_plan_of_what_is_not_there(seed: Seed) -> None:
    assert seed.roj("plan", "n9").code == 4
    assert seed.roj("plan", "--prune").code == 2
    assert seed.roj("plan", "n1", "-f", "x").code == 2
