"""`roj pull` as scripts see it: what is written, what is waited for, exit codes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.api import keys
from roj.api.pull import PullOrder, PullStatus
from roj.client.apps import create_app
from roj.client.pulls import order_pulls
from roj.client.selection import stored_node
from tests.unit.cli.seed import WHEN, Seed
from tests.unit.client.world import Fate, Unreliable, World, spec


@pytest.fixture
def nodes(seed: Seed) -> Seed:
    seed.cluster()
    seed.app()
    for name in ("n1", "n2", "n3"):
        seed.node(name, ready=name != "n3")
    return seed


def order(seed: Seed, node: str, version: str = "v1") -> PullOrder | None:
    entry = seed.store.get(keys.pull(node, "web", version))
    return PullOrder.decode(entry.value) if entry is not None else None


def report(seed: Seed, node: str, phase: str, message: str = "") -> None:
    found = order(seed, node)
    assert found is not None
    fields = {"node": node, "app": found.app, "change": found.change, "phase": phase, "message": message}
    key = keys.pull_status(node, "web", "v1")
    entry = seed.store.get(key)
    if entry is not None:
        seed.store.delete(key, entry.version)
    seed.store.create(key, PullStatus.checked({**fields, "since": WHEN}).encode())


def test_each_node_that_is_meant_is_told(nodes: Seed) -> None:
    done = nodes.roj("pull", "web:v1", "-l", "rack=a", "--keep", "2h", "-m", "Saturday")
    assert (done.code, done.out) == (0, "")
    assert "n1 is told to pull web:v1, and keep it until 20" in done.err and "n3 is away" in done.err
    for name in ("n1", "n2", "n3"):
        found = order(nodes, name)
        assert found is not None and found.why == "Saturday" and str(found.app) == "web:v1"
        assert found.expires - found.when == timedelta(hours=2)
    pulls = nodes.roj("inspect", "node", "n1", "-o", "json").json["pulls"]
    assert pulls["web:v1"]["desired"]["why"] == "Saturday" and pulls["web:v1"]["observed"] is None


def test_waiting(nodes: Seed) -> None:
    short = ("--wait", "--timeout", "20ms")
    assert nodes.roj("pull", "web:v1", "n1", *short).code == 3
    report(nodes, "n1", "pulled")
    again = nodes.roj("pull", "web:v1", "n1", *short)
    assert again.code == 3, "that was another order"
    found = order(nodes, "n1")
    assert found is not None and datetime.now(found.expires.tzinfo) < found.expires


def test_what_expired_goes_with_a_new_one(nodes: Seed) -> None:
    old = PullOrder(
        node="n1", app=nodes.instance("n2", "x").app, change="c", when=WHEN, expires=WHEN + timedelta(days=1)
    )
    nodes.store.create(keys.pull("n1", "web", "v0"), old.encode())
    later = old.model_copy(update={"expires": datetime.now(WHEN.tzinfo) + timedelta(days=1)})
    nodes.store.create(keys.pull("n1", "web", "v2"), later.encode())
    assert nodes.roj("pull", "web:v1", "n1").code == 0
    left = [entry.key.rpartition("/")[2] for entry in nodes.store.list(keys.pulls("n1")).entries]
    assert left == ["v1", "v2"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("web:v9", "n1"), 4, "web:v9"),
        (("web:v1", "n9"), 4, "there is no node n9"),
        (("web", "n1"), 2, "names no version"),
        (("web:v1",), 2, "name a node, or choose nodes by -l"),
        (("web:v1", "n1", "-l", "rack"), 2, "name a node, or choose nodes by -l"),
        (("web:v1", "n1", "--keep", "x"), 2, "--keep"),
        (("web:v1", "n1", "--timeout", "x"), 2, "--timeout"),
    ],
)
def test_what_cannot_be_meant_writes_nothing(
    nodes: Seed, words: tuple[str, ...], code: int, told: str
) -> None:
    done = nodes.roj("pull", *words)
    assert (done.code, done.out) == (code, "") and told in done.err
    assert nodes.store.list(keys.pulls("n1")).entries == ()


def test_a_forgotten_node_is_refused_and_a_dry_run_writes_nothing(nodes: Seed) -> None:
    assert nodes.roj("node", "forget", "n3", "--yes").code == 0
    assert nodes.roj("pull", "web:v1", "n1", "n3").code == 5
    assert "would be told" in nodes.roj("pull", "web:v1", "n1", "--dry-run").err
    assert order(nodes, "n1") is None


@given(st.lists(st.sampled_from(["well", "refused", "lost", "late"]), max_size=4))
def test_a_lost_answer_is_looked_for_before_it_is_written_again(fates: list[Fate]) -> None:
    world = World("n1")
    create_app(world.client, "web", "v1", spec(None))
    client = world.person("anna@desk", Unreliable(world.store, fates))
    (done,) = order_pulls(client, "web", "v1", [stored_node(client, "n1")], keep=60)
    entry = world.store.get(keys.pull("n1", "web", "v1"))
    assert entry is not None and PullOrder.decode(entry.value) == done.order
    world.close()
