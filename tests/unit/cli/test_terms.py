"""`--at`, `--now`, and instances that are chosen by what they have in common, on the commands that change instances."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from roj.api import keys
from roj.api.instance import Instance
from tests.unit.cli.seed import Seed


@pytest.fixture
def there(seed: Seed) -> Seed:
    seed.cluster()
    seed.node("n1")
    seed.node("n2")
    for version in ("v1", "v2"):
        assert seed.roj("create", f"web:{version}", "nginx:1.7.1").code == 0
    for node, id in (("n1", "web-a"), ("n1", "web-b"), ("n2", "web-c")):
        assert seed.roj("deploy", "web:v1", node, "--id", id).code == 0
    return seed


def record(seed: Seed, node: str = "n1", id: str = "web-a") -> Instance:
    entry = seed.store.get(keys.instance(node, id))
    assert entry is not None
    return Instance.decode(entry.value)


@pytest.mark.parametrize("verb", ["stop", "undeploy", "upgrade"])
def test_a_change_may_wait_for_its_time_and_is_said_in_full(there: Seed, verb: str) -> None:
    words = ("upgrade", "web:v2", "web-a") if verb == "upgrade" else (verb, "web-a")
    done = there.roj(*words, "--at", "+2h", "--now")
    assert done.code == 0
    found = record(there)
    assert found.at is not None and found.now
    assert timedelta(hours=1, minutes=59) < found.at - datetime.now(UTC) <= timedelta(hours=2)
    here = found.at.astimezone().isoformat(timespec="seconds")
    assert f"at {here}, in 2h" in done.err


def test_a_time_of_day_is_the_next_one(there: Seed) -> None:
    assert there.roj("stop", "web-a", "--at", "02:00").code == 0
    found = record(there).at
    assert found is not None and found > datetime.now(UTC)
    assert (found.astimezone().hour, found.astimezone().minute) == (2, 0)


def test_the_same_again_is_no_change_and_another_time_is(there: Seed) -> None:
    at = (datetime.now(UTC) + timedelta(hours=3)).isoformat(timespec="seconds")
    for words in (("stop", "web-a"), ("upgrade", "web:v2", "web-b")):
        id = words[-1]
        assert there.roj(*words, "--at", at).code == 0
        first = record(there, id=id)
        assert "already" in there.roj(*words, "--at", at).err
        assert record(there, id=id) == first
        assert there.roj(*words).code == 0
        second = record(there, id=id)
        assert (second.at, second.generation) == (None, first.generation + 1), "at once, after all"
        assert second.revision.id == first.revision.id
        assert "already" in there.roj(*words).err


def test_a_rollback_may_wait_too(there: Seed) -> None:
    there.roj("upgrade", "web:v2", "web-a")
    assert there.roj("rollback", "web-a", "--at", "+1h").code == 0
    found = record(there)
    assert str(found.app) == "web:v1" and found.at is not None


@pytest.mark.parametrize("verb", ["start", "stop", "undeploy", "rollback", "upgrade"])
@pytest.mark.parametrize("time", ["tomorrow", "25:00", "2020-01-01T00:00:00Z", "2031-01-01T00:00:00"])
def test_what_is_no_time_writes_nothing(there: Seed, verb: str, time: str) -> None:
    before = record(there)
    words = ("upgrade", "web:v2", "web-a") if verb == "upgrade" else (verb, "web-a")
    done = there.roj(*words, "--at", time)
    assert (done.code, done.out) == (2, "") and "--at:" in done.err
    assert record(there) == before


def test_what_was_waited_for_counts_from_its_time(there: Seed) -> None:
    done = there.roj("stop", "web-a", "--at", "+200ms", "--wait", "--timeout", "1ms")
    assert done.code == 3
    at = record(there).at
    assert at is not None and datetime.now(UTC) >= at


def test_several_that_nobody_named_are_asked_for(there: Seed) -> None:
    for verb in ("stop", "undeploy"):
        done = there.roj(verb, "--app", "web")
        assert done.code == 2, done.err
        assert (
            f"this would {verb} 3 instances: n1/web-a, n1/web-b, n2/web-c" in done.err and "--yes" in done.err
        )
    assert record(there).goal == "start"
    assert there.roj("stop", "--app", "web", "--node", "n2").code == 0, "one is not several"
    assert record(there, "n2", "web-c").goal == "stop"
    assert there.roj("stop", "-l", "zone=a", "--yes").code == 4, "no node has labels"
    there.roj("node", "label", "n1", "zone=a")
    assert there.roj("stop", "-l", "zone=a", "--yes").code == 0
    assert [record(there, "n1", id).goal for id in ("web-a", "web-b")] == ["stop", "stop"]
    assert there.roj("start", "--app", "web:v1").code == 0, "what starts is not asked for"
    assert there.roj("upgrade", "web:v2", "--app", "web", "-l", "zone").code == 0
    assert [str(record(there, node, id).app) for node, id in (("n1", "web-a"), ("n2", "web-c"))] == [
        "web:v2",
        "web:v1",
    ]
    assert there.roj("stop", "web-a", "web-b", "web-c").code == 0, "they are named"


@pytest.mark.parametrize(("answer", "goal", "code"), [(b"y\n", "stop", 0), (b"n\n", "start", 2)])
def test_on_a_terminal_it_is_asked(there: Seed, answer: bytes, goal: str, code: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "roj", "stop", "--app", "web"]
    environment = {**os.environ, "ROJ_STORE": there.url}
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        told = b""
        while b"Go on?" not in told:
            told += os.read(ours, 4096)
        assert b"stop 3 instances: n1/web-a" in told
        os.write(ours, answer)
        assert running.wait(60) == code
    os.close(ours)
    assert record(there).goal == goal


@pytest.mark.parametrize("verb", ["start", "stop", "undeploy"])
def test_names_and_a_choice_are_one_too_many(there: Seed, verb: str) -> None:
    for words in ((), ("web-a", "--app", "web"), ("-l", ""), ("--node", "N!")):
        assert there.roj(verb, *words).code == 2
    assert there.roj(verb, "--app", "db").code == 4
    assert there.roj(verb, "--node", "n9").code == 4


def test_nodes_to_deploy_to_are_chosen_by_labels(there: Seed) -> None:
    there.roj("node", "label", "n2", "rack=b")
    done = there.roj("deploy", "web:v2", "-l", "rack=b")
    assert done.code == 0
    (id,) = done.lines
    assert record(there, "n2", id).node == "n2"
    assert there.roj("deploy", "web:v2", "n1", "-l", "rack=b").code == 2
    assert there.roj("deploy", "web:v2", "-l", "rack=z").code == 4
    assert there.roj("deploy", "web:v2", "-l", "a=b=c").code == 2


def test_a_rollout_goes_to_the_nodes_that_are_meant(there: Seed) -> None:
    there.roj("node", "label", "n2", "zone=b")
    words = ("rollout", "start", "r", "--to", "web:v2", "--app", "web", "--dry-run")
    assert there.roj(*words, "-l", "zone=b").lines == ["n2/web-c"]
    assert there.roj(*words, "-l", "!zone").lines == ["n1/web-a", "n1/web-b"]
    assert there.roj(*words, "-l", "zone=b", "--node", "n1").code == 4
    assert there.roj(*words, "-l", "a=b=c").code == 2
