"""`roj node VERB` and `-l`, as scripts see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from roj.api import keys
from roj.api.node import Node
from tests.unit.cli.seed import Done, Seed


@pytest.fixture
def nodes(seed: Seed) -> Seed:
    seed.cluster()
    for name in ("n1", "n2", "n3"):
        seed.node(name, ready=name != "n3")
    return seed


def ok(seed: Seed, *words: str) -> Done:
    done = seed.roj(*words)
    assert (done.code, done.out) == (0, ""), done.err
    return done


def row(seed: Seed, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = seed.roj("nodes", "-o", "json").json
    return next(each for each in found if each["name"] == name)


def node(seed: Seed, name: str) -> Node:
    entry = seed.store.get(keys.node(name))
    assert entry is not None
    return Node.decode(entry.value)


def test_labels_are_set_and_taken_off_and_nodes_chosen_by_them(nodes: Seed) -> None:
    done = ok(nodes, "node", "label", "n1", "role=web", "zone=a", "rack-", "-m", "moved")
    assert "n1 has the labels role=web,zone=a" in done.err
    assert row(nodes, "n1")["labels"] == {"role": "web", "zone": "a"}
    assert row(nodes, "n1")["changed"]["why"] == "moved"
    assert "already" in ok(nodes, "node", "label", "n1", "role=web").err
    ok(nodes, "node", "label", "-l", "rack=a", "zone=b")
    assert nodes.roj("nodes", "-l", "zone=b", "-o", "name").lines == ["n2", "n3"]
    assert nodes.roj("nodes", "-l", "zone in (a,b)", "-l", "role", "-o", "name").lines == ["n1"]
    nothing = nodes.roj("nodes", "-l", "zone=c")
    assert (nothing.code, nothing.out) == (0, "") and "zone=c" in nothing.err
    nodes.instance("n1", "web-a")
    nodes.instance("n2", "web-b")
    assert nodes.roj("instances", "-l", "zone=b", "-o", "name").lines == ["web-b"]


def test_marks_have_who_when_why_and_until(nodes: Seed) -> None:
    done = ok(nodes, "node", "freeze", "n1", "--for", "2h", "-m", "the disk")
    assert "n1 is frozen until 20" in done.err
    ok(nodes, "node", "drain", "n2", "--parallel", "3", "-m", "kernel")
    frozen = row(nodes, "n1")["frozen"]
    assert "@" in frozen["who"] and frozen["why"] == "the disk"
    lasts = datetime.fromisoformat(frozen["until"]) - datetime.fromisoformat(frozen["when"])
    assert lasts.total_seconds() == 7200
    assert row(nodes, "n2")["drained"]["parallel"] == 3
    wide = nodes.roj("nodes", "-o", "wide").out
    assert "ready,frozen" in wide and "ready,cordoned,drained" in wide and ": the disk" in wide
    inspected = nodes.roj("inspect", "node", "n1", "-o", "json").json
    assert inspected["desired"]["frozen"]["why"] == "the disk"
    ok(nodes, "node", "unfreeze", "n1")
    assert "what was drained starts again" in ok(nodes, "node", "uncordon", "n2").err
    assert [
        row(nodes, name)[mark] for name in ("n1", "n2") for mark in ("frozen", "drained", "cordoned")
    ] == [None] * 6


def test_a_freeze_that_is_over_is_not_shown(nodes: Seed) -> None:
    ok(nodes, "node", "freeze", "n1", "--for", "1ms")
    assert "frozen" not in nodes.roj("nodes", "-o", "wide").out


def test_windows(nodes: Seed) -> None:
    texts = ("Sat 02:00-04:00 Europe/Warsaw", "daily 03:00-04:00")
    ok(nodes, "node", "window", "n1", *texts)
    assert row(nodes, "n1")["windows"] == list(texts)
    assert texts[0] in nodes.roj("nodes", "-o", "wide").out
    ok(nodes, "node", "window", "n1", "--clear")
    assert row(nodes, "n1")["windows"] == []


def test_a_node_that_is_away_is_said(nodes: Seed) -> None:
    assert "n3 is away" in ok(nodes, "node", "freeze", "n3").err


def test_forget_and_rejoin(nodes: Seed) -> None:
    nodes.instance("n3", "web-a")
    nodes.status("n3", "web-a")
    nodes.claim("n3", "web-a", 8080)
    assert nodes.roj("node", "forget", "n3").code == 2
    assert nodes.roj("node", "forget", "n1", "--yes").code == 5
    ok(nodes, "node", "forget", "n3", "--yes", "-m", "burnt")
    assert "away,forgotten" in nodes.roj("nodes").out
    assert nodes.roj("node", "cordon", "n3").code == 5
    done = ok(nodes, "undeploy", "web-a", "--wait", "--timeout", "5s")
    assert "web-a is removed: n3 was forgotten" in done.err
    assert [entry.key for entry in nodes.store.list(keys.ROOT).entries if "web-a" in entry.key] == []
    assert "Undeployed" in nodes.roj("events").out
    ok(nodes, "node", "rejoin", "n3")
    assert node(nodes, "n3").forgotten is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("node", "label", "n1"), "name a label"),
        (("node", "label", "n1", "a"), "write KEY=VALUE, or KEY- to take one off"),
        (("node", "label", "n1", "a=b", "a-"), "a is given twice"),
        (("node", "label", "n1", "a=b c"), "is no value of a label"),
        (("node", "label", "n1", "-a=b"), "-a"),
        (("node", "cordon"), "name a node, or choose nodes by -l"),
        (("node", "cordon", "n1", "-l", "rack=a"), "name a node, or choose nodes by -l"),
        (("node", "cordon", "-l", ""), "an empty selector would mean every node"),
        (("node", "cordon", "-l", "a b"), "write it as role=web"),
        (("node", "freeze", "n1", "--for", "x"), "--for: 'x' is no duration"),
        (("node", "freeze", "n1", "--for", "0s"), "a freeze lasts longer"),
        (("node", "drain", "n1", "--parallel", "0"), "--parallel"),
        (("node", "window", "n1"), "or --clear"),
        (("node", "window", "n1", "Sat"), "'Sat' is no window"),
        (("node", "window", "n1", "daily 01:00-02:00", "--clear"), "or --clear"),
        (("node", "cordon", "n1", "--exit-code"), "--exit-code goes with --dry-run"),
        (("nodes", "-l", "a=b=c"), "write it as role=web"),
        (("instances", "-l", "a=b=c"), "write it as role=web"),
    ],
)
def test_what_cannot_be_meant_writes_nothing(nodes: Seed, words: tuple[str, ...], told: str) -> None:
    before = [(entry.key, entry.version) for entry in nodes.store.list(keys.ROOT).entries]
    done = nodes.roj(*words)
    assert (done.code, done.out) == (2, ""), done.err
    assert told in done.err
    assert [(entry.key, entry.version) for entry in nodes.store.list(keys.ROOT).entries] == before


def test_what_is_not_there(nodes: Seed) -> None:
    assert nodes.roj("node", "cordon", "n9").code == 4
    done = nodes.roj("node", "cordon", "-l", "rack=z")
    assert done.code == 4 and "There are rack=a." in done.err


def test_a_plan_says_what_would_be(nodes: Seed) -> None:
    done = nodes.roj("node", "drain", "n1", "--dry-run", "--exit-code")
    assert done.code == 10 and "would be written: n1 is drained" in done.err
    assert node(nodes, "n1").drained is None
    ok(nodes, "node", "drain", "n1")
    assert nodes.roj("node", "drain", "n1", "--dry-run", "--exit-code").code == 0


def test_a_drain_by_labels_that_stops_several_instances_is_asked_for(nodes: Seed) -> None:
    for name in ("n1", "n2"):
        nodes.instance(name, f"web-{name}")
    done = nodes.roj("node", "drain", "-l", "rack=a")
    assert done.code == 2
    assert "this would stop 2 instances: n1/web-n1, n2/web-n2" in done.err and "--yes" in done.err
    assert node(nodes, "n1").drained is None
    ok(nodes, "node", "drain", "-l", "rack=a", "--yes")
    assert node(nodes, "n2").drained is not None
