"""`roj wait`: exit codes as those of `--wait`, whoever ordered what is waited for."""

from __future__ import annotations

import pytest

from roj.api import keys
from roj.api.instance import Instance, Write, changed
from tests.unit.cli.seed import WHEN, Seed


@pytest.fixture
def there(seed: Seed) -> Seed:
    seed.cluster()
    for name in ("n1", "n2"):
        seed.node(name)
    seed.instance("n1", "web-a")
    seed.instance("n1", "web-b", app="web:v2")
    seed.instance("n2", "web-c")
    return seed


def order(seed: Seed, node: str, id: str, goal: str) -> None:
    entry = seed.store.get(keys.instance(node, id))
    assert entry is not None
    new = changed(Instance.decode(entry.value), Write(f"{goal}-{id}", WHEN), goal)  # type: ignore[arg-type]  # one of three
    seed.store.swap(entry.key, new.encode(), entry.version)


def code(seed: Seed, *words: str) -> int:
    done = seed.roj("wait", *words, "--timeout", "20ms")
    assert done.out == ""
    return done.code


def test_launched(there: Seed) -> None:
    assert code(there, "web-a") == 3
    there.status("n1", "web-a")
    assert code(there, "web-a", "--for", "launched") == 0
    assert code(there, "web-a") == 0, "converged: the last order is done"
    assert code(there, "web-a", "--for", "stopped") == 3
    assert code(there, "web-a", "--for", "gone") == 3
    order(there, "n1", "web-a", "stop")
    assert code(there, "web-a", "--for", "launched") == 3, "it is to stop, and its node has not acted on that"


def test_a_failed_one_ends_the_wait_for_what_it_failed(there: Seed) -> None:
    there.status("n1", "web-a", "failed", message="no such image")
    done = there.roj("wait", "web-a", "--for", "launched")
    assert done.code == 1 and "no such image" in done.err
    assert code(there, "web-a", "--for", "stopped") == 3


def test_stopped_is_what_is_stopped_whatever_its_goal(there: Seed) -> None:
    there.status("n2", "web-c", "stopped")  # its node is drained
    assert code(there, "--node", "n2", "--for", "stopped") == 0
    assert code(there, "--node", "n2") == 3


def test_apps_nodes_and_labels(there: Seed) -> None:
    there.status("n1", "web-a")
    there.status("n2", "web-c")
    assert code(there, "--app", "web:v1", "--for", "launched") == 0
    assert code(there, "--app", "web", "--for", "launched") == 3
    assert code(there, "--app", "web", "-l", "rack=a", "--node", "n2", "--for", "launched") == 0
    assert code(there, "--app", "db") == 4
    assert code(there, "--node", "n9") == 4
    assert code(there, "--node", "n9", "--for", "gone") == 4
    assert code(there, "web-a", "--app", "web") == 2
    assert code(there) == 2
    assert there.roj("wait", "web-a", "--timeout", "x").code == 2


def test_gone(there: Seed) -> None:
    assert code(there, "web-a", "no-such", "--for", "gone") == 3
    assert code(there, "no-such", "--for", "gone") == 0
    assert code(there, "--app", "db", "--for", "gone") == 0
    assert code(there, "no-such", "--for", "launched") == 4
    there.status("n2", "left")
    done = there.roj("wait", "left", "--for", "gone")
    assert done.code == 5 and "unclaimed" in done.err
