"""The commands that read, on a seeded embedded store: what is wanted beside what is reported, and nothing hidden."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roj.api import keys
from roj.api.condition import Condition
from tests.unit.cli.seed import CLUSTER, STAMP, WHEN, Seed

NO_DOCKER = Condition(
    type="DockerReachable", status="False", reason="NoAnswer", message="connection refused", since=WHEN
)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["nodes"], "roj agent"),
        (["apps"], "roj create"),
        (["apps", "x*"], "roj apps"),
        (["instances"], "roj deploy"),
        (["events"], "no events"),
    ],
)
def test_an_empty_cluster_says_what_to_do_next_on_stderr(seed: Seed, words: list[str], hint: str) -> None:
    done = seed.roj(*words)
    assert (done.code, done.out) == (0, "")
    assert hint in done.err
    done = seed.roj(*words, "-o", "json")
    assert (done.code, done.json) == (0, [])


def test_a_launched_instance_is_in_every_form(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "web-abcde")
    seed.status("n1", "web-abcde")
    [row] = seed.roj("instances", "-o", "json").json
    assert row["since"] == STAMP
    assert (row["id"], row["node"], row["app"], row["goal"]) == ("web-abcde", "n1", "web:v1", "start")
    assert (row["phase"], row["generation"], row["observed_generation"]) == ("launched", 1, 1)
    assert (row["ports"], row["restarts"], row["message"]) == ({"80/tcp": 8080}, 0, "")
    assert row["containers"] == [
        {"name": "web", "id": "f" * 64, "image": "nginx:1.7.1", "state": "running", "ports": {"80/tcp": 8080}}
    ]
    assert row["changed"] == {"who": "anna@desk", "when": STAMP, "why": "try"}
    titles, line = seed.roj("instances").lines
    assert titles.split() == [
        "ID", "NODE", "APP", "GOAL", "PHASE", "GENERATION", "PORTS", "RESTARTS", "SINCE", "MESSAGE",
    ]  # fmt: skip
    assert line.split()[:8] == ["web-abcde", "n1", "web:v1", "start", "launched", "1", "8080->80/tcp", "0"]
    titles, line = seed.roj("instances", "n1", "-o", "wide").lines
    assert {"UID", "CHANGE", "CONTAINERS", "NEXT-TRY"} < set(titles.split())
    assert "web:running(ffffffffffff)" in line
    assert seed.roj("instances", "-o", "name").out == "web-abcde\n"
    assert "phase: launched" in seed.roj("instances", "-o", "yaml").out


def phase_and_message(seed: Seed, id: str) -> tuple[str, str]:
    [row] = [row for row in seed.roj("instances", "-o", "json").json if row["id"] == id]
    return row["phase"], row["message"]


def test_without_a_status_an_instance_is_pending(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    assert phase_and_message(seed, "a") == ("pending", "")


def test_a_status_of_an_earlier_life_counts_for_nothing(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a", uid="u2")
    seed.status("n1", "a", uid="u1", restarts=7)
    phase, message = phase_and_message(seed, "a")
    assert phase == "pending"
    assert "earlier life" in message
    [row] = seed.roj("instances", "-o", "json").json
    assert (row["observed_generation"], row["restarts"], row["ports"], row["containers"]) == (0, 0, {}, [])


def test_of_a_node_that_is_away_nothing_is_known(seed: Seed) -> None:
    seed.node("n1", ready=False)
    seed.instance("n1", "a")
    seed.status("n1", "a", message="well")
    seed.instance("n1", "b")
    phase, message = phase_and_message(seed, "a")
    assert phase == "unknown"
    assert message == "n1 is away; last reported launched: well"
    assert phase_and_message(seed, "b") == ("pending", "n1 is away")


def test_an_instance_for_a_node_that_never_was_says_so(seed: Seed) -> None:
    seed.instance("n9", "a")
    assert phase_and_message(seed, "a") == ("pending", "no agent reports as n9")


def test_while_docker_does_not_answer_nothing_is_known(seed: Seed) -> None:
    seed.node("n1", conditions=(NO_DOCKER,))
    seed.instance("n1", "a")
    seed.status("n1", "a")
    phase, message = phase_and_message(seed, "a")
    assert phase == "unknown"
    assert "connection refused" in message
    [node] = seed.roj("nodes", "-o", "json").json
    assert node["ready"]
    assert "connection refused" in node["message"]


def test_containers_without_an_instance_are_unclaimed(seed: Seed) -> None:
    seed.node("n1")
    seed.status("n1", "a", "unclaimed", goal=None, message="claim it")
    [row] = seed.roj("instances", "-o", "json").json
    assert (row["phase"], row["goal"], row["app"], row["message"]) == (
        "unclaimed",
        None,
        "web:v1",
        "claim it",
    )


def test_a_hold_is_shown_whatever_life_it_is_of(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a", uid="u0")
    seed.status("n1", "a", "held", uid="u1", message="the store went back")
    assert phase_and_message(seed, "a") == ("held", "the store went back")


def test_what_the_node_has_not_acted_on_yet_is_visible(seed: Seed) -> None:
    seed.node("n1")
    instance = seed.instance("n1", "a")
    seed.status("n1", "a")
    entry = seed.store.get(keys.instance("n1", "a"))
    assert entry is not None
    newer = instance.model_copy(update={"generation": 2, "goal": "stop"})
    seed.store.swap(entry.key, newer.encode(), entry.version)
    assert seed.roj("instances").lines[1].split()[3:6] == ["stop", "launched", "1/2"]


def test_an_order_that_its_node_has_not_seen_is_generation_0_of_1(seed: Seed) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    assert seed.roj("instances").lines[1].split()[4:6] == ["pending", "0/1"]


def test_the_table_says_when_the_next_try_is(seed: Seed) -> None:
    seed.node("n1")
    ahead, past = datetime.now(UTC) + timedelta(minutes=5), datetime.now(UTC) - timedelta(minutes=5)
    for id, moment, message in (
        ("a", ahead, "no such image"),
        ("b", ahead, ""),
        ("c", past, "no such image"),
    ):
        seed.instance("n1", id)
        seed.status("n1", id, "pulling", next_try=moment, message=message)
    lines = seed.roj("instances").lines[1:]
    at = f"next try {ahead.astimezone():%H:%M:%S}"
    assert lines[0].endswith(f"  no such image; {at}")
    assert lines[1].endswith(f"  {at}")
    assert lines[2].endswith("  no such image")
    assert [row["message"] for row in seed.roj("instances", "-o", "json").json] == [
        "no such image", "", "no such image",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [b"{", b'{"format":99}', b'{"format":1}', b"\xff\x00", b"[]"])
def test_a_record_that_does_not_parse_is_a_row_with_a_message(seed: Seed, value: bytes) -> None:
    seed.node("n1")
    seed.store.create(keys.instance("n1", "bad"), value)
    seed.store.create(keys.instance("n1", "bad-but-known"), value)
    seed.status("n1", "bad-but-known")
    seed.instance("n1", "bad-status")
    seed.store.create(keys.instance_status("n1", "bad-status"), value)
    phase, message = phase_and_message(seed, "bad")
    assert (phase, message[:28]) == ("unknown", "its record is not understood")
    phase, message = phase_and_message(seed, "bad-but-known")
    assert (phase, message[:28]) == ("launched", "its record is not understood")
    phase, message = phase_and_message(seed, "bad-status")
    assert (phase, message[:28]) == ("unknown", "its status is not understood")
    seed.store.create(keys.app("bad", "v1"), value)
    [row] = seed.roj("apps", "-o", "json").json
    assert (row["name"], row["created"]) == ("bad", None)
    assert row["message"]
    seed.store.create(keys.node("n2"), value)
    seed.store.create(keys.events("n1") + "001", value)
    [row] = seed.roj("events", "-o", "json").json
    assert row["reason"] == "RecordUnreadable"
    found = {row["name"]: row["message"] for row in seed.roj("nodes", "-o", "json").json}
    assert "its record is not understood" in found["n2"]
    for words in (["instances"], ["nodes"], ["apps"], ["events"], ["cluster"], ["inspect", "node", "n1"]):
        assert seed.roj(*words).code == 0
    done = seed.roj("inspect", "instance", "bad", "-o", "json")
    assert done.code == 0
    assert done.json["desired"]["unreadable"]


def test_a_record_under_another_ones_key_is_not_taken_for_it(seed: Seed) -> None:
    seed.node("n1")
    instance = seed.instance("n1", "a")
    seed.store.create(keys.instance("n1", "b"), instance.encode())
    assert "'a'" in phase_and_message(seed, "b")[1]


def test_instances_of_one_node_are_not_those_of_a_longer_name(seed: Seed) -> None:
    for node in ("n1", "n10"):
        seed.node(node)
        seed.instance(node, f"on-{node}")
    assert seed.roj("instances", "n1", "-o", "name").lines == ["on-n1"]
    assert seed.roj("instances", "-o", "name").lines == ["on-n1", "on-n10"]


def test_a_node_that_does_not_exist_is_not_found(seed: Seed) -> None:
    done = seed.roj("instances", "n1")
    assert (done.code, done.out) == (4, "")
    assert "roj nodes" in done.err


def test_nodes_are_ready_or_away(seed: Seed) -> None:
    seed.node("n1", cordoned=True)
    seed.node("n2", ready=False)
    seed.instance("n1", "a")
    first, second = seed.roj("nodes", "-o", "json").json
    assert (first["name"], first["ready"], first["instances"], first["since"]) == ("n1", True, 1, STAMP)
    assert (first["labels"], first["address"]) == ({"rack": "a"}, "10.0.0.1")
    assert first["versions"] == {"agent": "0.1.0", "docker": "20.10.24"}
    assert first["cordoned"]["who"] == "anna@desk"
    assert (second["name"], second["ready"]) == ("n2", False)
    lines = seed.roj("nodes").lines
    assert [line.split()[:2] for line in lines[1:]] == [["n1", "ready,cordoned"], ["n2", "away"]]
    assert seed.roj("nodes", "-o", "name").lines == ["n1", "n2"]
    assert "host-of-n1" in seed.roj("nodes", "-o", "wide").out


def test_apps_match_by_name_or_reference_and_count_their_instances(seed: Seed) -> None:
    seed.app("web", "v1")
    seed.app("web", "v2", host=None)
    seed.app("db", "v1")
    seed.instance("n1", "a")
    seed.instance("n2", "b")
    rows = {f"{row['name']}:{row['version']}": row for row in seed.roj("apps", "-o", "json").json}
    assert {name: row["instances"] for name, row in rows.items()} == {"db:v1": 0, "web:v1": 2, "web:v2": 0}
    assert rows["web:v1"]["created"] == STAMP
    assert rows["web:v1"]["containers"] == [
        {"name": "web", "image": "nginx:1.7.1", "ports": [{"container": 80, "host": 8080}]}
    ]
    assert seed.roj("apps", "w*", "-o", "name").lines == ["web:v1", "web:v2"]
    assert seed.roj("apps", "web:*2", "-o", "name").lines == ["web:v2"]
    assert seed.roj("apps", "db", "-o", "name").lines == ["db:v1"]
    assert "8080->80/tcp" in seed.roj("apps", "-o", "wide").out


def test_the_cluster_at_a_glance(seed: Seed) -> None:
    done = seed.roj("cluster", "-o", "json")
    assert (done.code, done.json["id"]) == (0, None)
    seed.cluster()
    seed.node("n1")
    seed.node("n2", ready=False)
    for id in ("a", "b"):
        seed.instance("n1", id)
        seed.status("n1", id)
    seed.instance("n2", "c")
    found = seed.roj("cluster", "-o", "json").json
    assert found["store"] == seed.url
    assert (found["id"], found["created"]) == (CLUSTER, STAMP)
    assert found["nodes"] == {"ready": ["n1"], "away": ["n2"]}
    assert found["instances"] == {"total": 3, "phases": {"launched": 2, "pending": 1}}
    text = seed.roj("cluster").out
    assert "1 ready, 1 away (n2)" in text
    assert "3: 2 launched, 1 pending" in text
    assert seed.roj("cluster", "-o", "name").out == f"{CLUSTER}\n"


def test_events_come_by_time_then_sequence_and_are_filtered(seed: Seed) -> None:
    later = WHEN + timedelta(seconds=1)
    seed.event("n1", 3, "Launched", instance="a", last=later)
    seed.event("n1", 2, "Started", instance="a", message="well")
    seed.event("n1", 1, "Created", instance="b", type="Warning", count=4)
    seed.event("n2", 1, "Registered")
    found = seed.roj("events", "-o", "json").json
    assert [event["reason"] for event in found] == ["Created", "Started", "Registered", "Launched"]
    assert found[0]["time"] == STAMP
    assert (found[0]["type"], found[0]["count"], found[0]["instance"]) == ("Warning", 4, "b")
    reasons = {
        reference: [line.split()[3] for line in seed.roj("events", reference).lines[1:]]
        for reference in ("a", "n1", "n2", "n1/b")
    }
    assert reasons == {
        "a": ["Started", "Launched"],
        "n1": ["Created", "Started", "Launched"],
        "n2": ["Registered"],
        "n1/b": ["Created"],
    }
    assert seed.roj("events", "n1", "-o", "name").lines == ["n1/1", "n1/2", "n1/3"]


def test_events_of_what_is_there_and_quiet_are_none(seed: Seed) -> None:
    seed.app()
    seed.node("n1")
    seed.node("n2", ready=False)
    for id in ("web-abcde", "web-fghij"):
        seed.instance("n1", id)
    seed.event("n1", 1, "Launched", instance="web-abcde")
    for reference in ("n2", "web:v1", "web-fghij", "n1/web-fghij", "web-f", "n1/web-f"):
        done = seed.roj("events", reference)
        assert (done.code, done.out) == (0, ""), reference
        assert f"no events of {reference}" in done.err
    for reference in ("web-a", "n1/web-a"):
        done = seed.roj("events", reference, "-o", "json")
        assert [event["instance"] for event in done.json] == ["web-abcde"], reference
    ambiguous = seed.roj("events", "web-")
    assert (ambiguous.code, ambiguous.out) == (2, "")
    assert "n1/web-abcde, n1/web-fghij" in ambiguous.err
    seed.app("db")
    assert seed.roj("events", "db").code == 0, "an app's name"


@pytest.mark.parametrize("flags", [(), ("-f",), ("-o", "json")])
def test_events_of_what_is_nowhere_are_not_found(seed: Seed, flags: tuple[str, ...]) -> None:
    seed.node("n1")
    seed.instance("n1", "a")
    seed.event("n1", 1, "Launched", instance="a")
    seed.event("n1", 2, "Undeployed", instance="gone")
    for reference in ("nope", "n1/nope", "nope/a", "nope:v1", "n1/", "/"):
        done = seed.roj("events", reference, *flags)
        assert (done.code, done.out) == (4, ""), reference
        assert f"{reference}, and no event of it" in done.err
        assert "`roj apps`" in done.err
    assert len(seed.roj("events", "gone").lines) == 2, "what is gone is known by its events"


def test_everything_of_an_instance(seed: Seed) -> None:
    seed.app()
    seed.node("n1")
    seed.instance("n1", "web-abcde")
    seed.status("n1", "web-abcde")
    seed.claim("n1", "web-abcde", 8080)
    seed.claim("n1", "other", 9090, uid="u9")
    seed.event("n1", 1, "Launched", instance="web-abcde")
    seed.event("n1", 2, "Launched", instance="other")
    for reference in ("web-abcde", "n1/web-abcde", "web", "n1/web"):
        found = seed.roj("inspect", "instance", reference, "-o", "json").json
        assert (found["kind"], found["id"], found["node"], found["phase"]) == (
            "instance", "web-abcde", "n1", "launched",
        )  # fmt: skip
        assert found["desired"]["revisions"][0]["app"]["name"] == "web"
        assert found["observed"]["containers"][0]["state"] == "running"
        assert found["app_record"]["containers"][0]["image"] == "nginx:1.7.1"
        assert found["pins"]["web"]["digest"].startswith("sha256:")
        assert list(found["claims"]) == ["tcp-8080"]
        assert [event["instance"] for event in found["events"]] == ["web-abcde"]
    assert seed.roj("inspect", "instance", "web", "-o", "name").out == "n1/web-abcde\n"
    assert "kind: instance" in seed.roj("inspect", "instance", "web").out


def test_an_instance_by_a_beginning_that_several_have_is_refused_with_the_candidates(seed: Seed) -> None:
    for id in ("web", "web-a", "web-b"):
        seed.instance("n1", id)
    assert seed.roj("inspect", "instance", "web", "-o", "json").json["id"] == "web"
    done = seed.roj("inspect", "instance", "web-")
    assert (done.code, done.out) == (2, "")
    assert "n1/web-a" in done.err
    assert "n1/web-b" in done.err
    assert seed.roj("inspect", "instance", "db").code == 4


def test_of_two_exact_ids_the_one_with_a_record_is_meant(seed: Seed) -> None:
    seed.node("n1")
    seed.node("n2")
    seed.status("n1", "a", "unclaimed")
    seed.instance("n2", "a")
    assert seed.roj("inspect", "instance", "a", "-o", "name").out == "n2/a\n"
    assert seed.roj("inspect", "instance", "n1/a", "-o", "name").out == "n1/a\n"
    assert seed.roj("inspect", "instance", "n1/").code == 4


def test_everything_of_a_node_and_of_an_app(seed: Seed) -> None:
    seed.app()
    seed.node("n1")
    seed.instance("n1", "a")
    seed.status("n1", "a")
    seed.claim("n1", "a", 8080)
    found = seed.roj("inspect", "node", "n1", "-o", "json").json
    assert (found["status"], found["lease"]["held"]) == ("ready", True)
    assert [item["id"] for item in found["instances"]] == ["a"]
    assert found["claims"]["tcp-8080"]["instance"] == "a"
    found = seed.roj("inspect", "app", "web:v1", "-o", "json").json
    assert found["desired"]["containers"][0]["ports"][0]["host"] == 8080
    assert [item["id"] for item in found["instances"]] == ["a"]
    assert len(found["digest"]) == 64
    assert seed.roj("inspect", "node", "n9").code == 4
    assert seed.roj("inspect", "app", "web:v9").code == 4
    assert seed.roj("inspect", "app", "web").code == 2
    assert seed.roj("inspect", "thing", "web").code == 2


def test_a_reader_writes_nothing(seed: Seed) -> None:
    seed.app()
    seed.node("n1")
    seed.instance("n1", "a")
    before = seed.store.list(keys.ROOT)
    for words in (["nodes"], ["apps"], ["instances"], ["cluster"], ["events"], ["inspect", "instance", "a"]):
        assert seed.roj(*words).code == 0
    assert seed.store.list(keys.ROOT) == before
