"""The commands that write, as scripts see them: exit codes, stdout and stderr, and what is in the store then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roj.agent.state_directory import StateDirectory
from roj.api import keys
from roj.api.app import App, AppSpec
from roj.api.duration import parse_duration
from roj.api.faults import Fault, InvalidInput
from roj.api.instance import Instance
from roj.api.node import Cluster, Node
from roj.cli.export import exported
from roj.cli.flags import parsed, port_of
from roj.controllers.order import Obeyed
from tests.property.test_api import APPS
from tests.unit.cli.seed import CLUSTER, WHEN, Done, Seed


def stored(seed: Seed, reference: str) -> dict[str, Any]:
    entry = seed.store.get(keys.app(*reference.split(":")))
    assert entry is not None
    fields: dict[str, Any] = json.loads(entry.value)
    return fields


def instance(seed: Seed, node: str, id: str) -> Instance:
    entry = seed.store.get(keys.instance(node, id))
    assert entry is not None
    return Instance.decode(entry.value)


def everything(seed: Seed) -> list[tuple[str, bytes]]:
    return [(entry.key, entry.value) for entry in seed.store.list(keys.ROOT).entries]


def quiet(done: Done) -> Done:
    """It wrote nothing to stdout."""
    assert done.out == "", done.out
    return done


# --- create ---


def test_create_says_whose_port_is_whose(seed: Seed) -> None:
    done = quiet(seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "80:8080"))
    assert done.code == 0
    assert "port 80 of the container is reached at port 8080 of the node" in done.err
    assert stored(seed, "web:v1")["containers"] == [
        {"name": "web", "image": "nginx:1.7.1", "ports": [{"container": 80, "host": 8080}]}
    ]


def test_create_again_is_no_change_and_another_is_a_conflict(seed: Seed) -> None:
    assert seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "80:8080", "-m", "first").code == 0
    before = everything(seed)
    again = quiet(seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "container=80,host=8080", "-m", "again"))
    assert again.code == 0
    assert "already" in again.err
    assert everything(seed) == before
    other = quiet(seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "80:8081"))
    assert other.code == 5
    assert "another version" in other.err
    assert everything(seed) == before


def test_create_with_everything(seed: Seed) -> None:
    done = seed.roj(
        "create", "job:v1", "busybox:1.36", "-p", "http=80", "-p", "53/udp", "-e", "MODE=a=b", "-e", "EMPTY=",
        "-v", "data:/data", "-v", "/srv:/srv:ro", "--label", "team=x", "-m", "because",
        "--", "sh", "-c", "echo -- -p",
    )  # fmt: skip
    assert done.code == 0, done.err
    app = stored(seed, "job:v1")
    assert app["why"] == "because"
    assert app["created_by"]
    assert app["containers"] == [
        {
            "name": "job",
            "image": "busybox:1.36",
            "command": ["sh", "-c", "echo -- -p"],
            "env": {"MODE": "a=b", "EMPTY": ""},
            "ports": [{"container": 80, "name": "http"}, {"container": 53, "protocol": "udp"}],
            "volumes": ["data:/data", "/srv:/srv:ro"],
            "labels": {"team": "x"},
        }
    ]
    assert "ROJ_PORT_80" in done.err
    assert "ROJ_PORT_53_UDP" in done.err


def test_create_tells_every_fault_of_every_flag_at_once(seed: Seed) -> None:
    done = quiet(
        seed.roj(
            "create", "Web", "nginx", "-p", "x", "-p", "80:99999", "-e", "K", "-e", "ROJ_X=1", "-v", "data",
            "--label", "roj.x=1",
        )
    )  # fmt: skip
    assert done.code == 2
    for word in ("NAME:VERSION", "'x'", "-p 80:99999", "-e: 'K'", "ROJ_X", "-v: 'data'", "roj.x"):
        assert word in done.err, word
    assert not everything(seed)


def test_create_tells_of_a_doubled_port_beside_other_faults(seed: Seed) -> None:
    words = (
        "-p",
        "80",
        "-p",
        "80:8080",
        "-p",
        "81/sctp",
        "-v",
        "data:/d",
        "-v",
        "/srv:/d",
        "-e",
        "K",
        "--label",
        "a b=1",
    )
    done = quiet(seed.roj("create", "web:v1", "Nginx", *words))
    assert done.code == 2
    assert done.err.splitlines() == [
        "roj: 6 faults:",
        "  -e: 'K': write K=V",
        "  IMAGE: 'Nginx' is no image reference: write [HOST[:PORT]/]NAME[:TAG][@DIGEST], NAME in lower case, as in nginx:1.27",
        "  -p 81/sctp: is 'sctp': write tcp or udp",
        "  --label a b: 'a b' is not a label's key",
        "  -p 80:8080: port 80/tcp is published twice",
        "  -v: another volume is at '/d', too",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("web:v1",),
        ("web:v1", "--", "sh", "-c", "true"),
        ("web:v1", "nginx", "-f", "app.yaml"),
        ("web:v1", "-f", "app.yaml", "-p", "80"),
        ("web:v1", "-f", "app.yaml", "--", "sh"),
        ("web:v1", "nginx", "sh"),
        ("web", "nginx"),
        ("web:v1", "Nginx/Upper"),
        ("web:v1", "nginx", "-p", "127.0.0.1:80:80"),
        ("web:v1", "nginx", "-p", "80:8080/sctp"),
        ("web:v1", "nginx", "-p", "80", "-p", "80"),
        ("web:v1", "nginx", "-p", "8" * 5000),
        ("web:v1", "nginx", "-p", "container=" + "8" * 5000),
        ("web:v1", "nginx", "-p", "\uff18\uff10"),
        ("web:v1", "nginx", "-v", "data:/"),
        ("web:v1", "nginx", "-v", "d:/data"),
        ("web:v1", "nginx", "-e", "A=\udcff"),
        ("web:v1", "nginx", "--", "sh", "\udcff"),
        ("web:v1", "nginx", "-e", "A=1", "-e", "A=2"),
        ("web:v1", "-f", "/nowhere.yaml"),
    ],
)
def test_create_refuses_what_cannot_be_meant(seed: Seed, words: tuple[str, ...]) -> None:
    done = quiet(seed.roj("create", *words))
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "roj: unexpected" not in done.err
    assert not everything(seed)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("80", {"container": 80}),
        ("80:8080", {"container": 80, "host": 8080}),
        ("53:5353/udp", {"container": 53, "host": 5353, "protocol": "udp"}),
        ("http=80:8080/tcp", {"name": "http", "container": 80, "host": 8080, "protocol": "tcp"}),
        ("container=80", {"container": 80}),
        ("host=8080,container=80", {"container": 80, "host": 8080}),
        ("container=53,protocol=udp,name=dns", {"container": 53, "protocol": "udp", "name": "dns"}),
    ],
)
def test_both_ways_to_write_a_port(text: str, port: dict[str, Any]) -> None:
    assert port_of(text) == port


FILE = """
containers:                      # started in this order
- name: web
  image: nginx:1.7.1
  ports:
  - {container: 80, host: 8080}  # host left out: dynamic
  env: {MODE: production}
  volumes: ["data:/var/lib/data", "/srv/www:/www:ro"]
- name: sidecar
  image: busybox:1.36
  command: [sh, -c, "while true; do wget -qO- http://web/; sleep 5; done"]
"""


def test_create_from_a_file_and_export_it(
    seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(FILE)
    done = seed.roj("create", "web:v1", "-f", str(file))
    assert done.code == 0, done.err
    assert "port 80 of web is reached at port 8080 of the node" in done.err
    assert [container["name"] for container in stored(seed, "web:v1")["containers"]] == ["web", "sidecar"]
    for form in ("yaml", "json"):
        export = seed.roj("export", "app", "web:v1", "-o", form)
        assert export.code == 0
        assert export.err == ""
        exported_file = tmp_path / f"exported.{form}"
        exported_file.write_text(export.out)
        again = seed.roj("create", "web:v1", "-f", str(exported_file))
        assert (again.code, "already" in again.err) == (0, True)
        with exported_file.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert seed.roj("create", f"web:{form}", "-f", "-").code == 0
        assert stored(seed, f"web:{form}")["containers"] == stored(seed, "web:v1")["containers"]


def test_export_of_what_is_not_there(seed: Seed) -> None:
    assert quiet(seed.roj("export", "app", "web:v1")).code == 4
    assert quiet(seed.roj("export", "app", "web")).code == 2


@given(APPS)
def test_an_exported_app_is_the_same_app(app: App) -> None:
    for form in ("yaml", "json"):
        assert AppSpec.checked(parsed(exported(app, form), "file", [])) == app.spec


YAML = st.lists(
    st.sampled_from(
        ["\n", "  ", "- ", ": ", "? ", "{", "}", "[", "]", "&a ", "*a ", "<<", "!!int ", "!!float ", "!!set ", "!!binary ", "!!timestamp ", "!!omap ", "!x ", "|", ">", "'", '"', "#", "---", "%", "containers", "name", "image", "ports", "80", "80:80", "0x", "1_0", ".inf", "2026-13-45", "true", "~", "\t", "\\u", "\x00", "\ufeff", "\x85"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=300)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("utf-8", "replace")) | YAML)
def test_any_text_is_an_app_file_or_refused(text: str) -> None:
    faults: list[Fault] = []
    try:
        spec = AppSpec.checked(parsed(text, "file", faults))
    except InvalidInput as refused:
        faults.extend(refused.faults)
        assert refused.faults
    else:
        assert AppSpec.checked(spec.model_dump()) == spec
    for fault in faults:
        assert "Input should" not in fault.problem and "()" not in fault.problem, fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "containers:\n- {name: a, image: i}\n- {name: a, image: i, comand: [x]}\n",
            ["containers[1].comand"],
        ),
        (
            "containers: [{name: a}]\nversion: 2\n",
            ["containers[0].image: is missing", "version: is not known"],
        ),
        ("containers:\n- name: a\n  image: i\n  image: j\n", ["line 4", "'image' stands twice"]),
        (
            "containers:\n- {name: a, name: b, image: I, image: J}\nx: 1\nx: 2\n",
            [
                "line 2, column 13: the key 'name' stands twice",
                "line 2, column 32: the key 'image' stands twice",
                "line 4, column 1: the key 'x' stands twice",
                "x: is not known",
                "containers[0].image: 'J' is no image",
            ],
        ),
        (
            '{"containers": [{"name": "a", "name": "b", "image": "i", "image": "J"}], "x": 1}',
            ["'name' stands twice", "'image' stands twice", "x: is not known", "'J' is no image"],
        ),
        ("containers:\n- {name: a, image: i, ports: [{container: " + "1" * 5000 + "}]}\n", ["is no int"]),
        (
            '{"containers": [{"name": "a", "image": "I", "\\ud800": 1, "env": {"\\udc00": 1}}]}',
            [r"the key '\ud800' is no text", r"the key '\udc00' is no text", "image: 'I' is no image"],
        ),
        (
            'containers: [{name: a, image: I, "\\ud800": 1}]',
            [r"the key '\ud800' is no text", "image: 'I' is no image"],
        ),
        ("containers: !!int x\n", ["line 1, column 13: 'x' is no int"]),
        ("#" + "x" * 1_000_000, ["too large", "1,000,000 bytes"]),
        ("a: \x01", ["U+0001"]),
        (
            "containers:\n- name: a\n  image: i\n  env: {PORT: 80, 1: x, ON: yes}\n",
            ["env.PORT", "quotes"],
        ),
        ("containers: [\n", ["line 2"]),
        ("", ["is empty"]),
        ("# nothing\n", ["is empty"]),
        ("- a\n", ["no app file"]),
        ("nginx\n", ["no app file"]),
        ("{}", ["containers: is missing"]),
        ("containers: []\n", ["0 containers"]),
        ("containers: &a [*a]\n", ["containers"]),
        ("a: 1\n---\nb: 2\n", ["document"]),
        ("containers: !!python/object:os.system {}\n", ["python"]),
        ("[" * 5000, ["nested"]),
        ("\x00", ["neither"]),
    ],
)
def test_a_file_with_faults_is_refused_with_their_places(
    seed: Seed, tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(text)
    done = quiet(seed.roj("create", "web:v1", "-f", str(file)))
    assert done.code == 2, done.err
    for word in words:
        assert word in done.err, done.err
    assert "roj: unexpected" not in done.err


def test_words_that_older_yaml_takes_for_truth_are_texts() -> None:
    assert parsed("{ON: yes, n: off, a: true, day: 2026-11-22, at: 12:30, and: 1:2.5}", "file", []) == {
        "ON": "yes",
        "n": "off",
        "a": True,
        "day": "2026-11-22",
        "at": "12:30",
        "and": "1:2.5",
    }


def test_json_with_tabs_is_json(seed: Seed, tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    file.write_text(
        '{\n\t"containers": [\n\t\t{"name": "a", "image": "i", "env": {"A": "\\ud83d\\ude00\\/"}}\n\t]\n}\n'
    )
    assert seed.roj("create", "web:v1", "-f", str(file)).code == 0
    assert stored(seed, "web:v1")["containers"][0]["env"] == {"A": "😀/"}


def test_a_file_in_another_encoding_is_refused(seed: Seed, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_bytes(b"containers: [{name: \xff\xfe}]")
    assert quiet(seed.roj("create", "web:v1", "-f", str(file))).code == 2


# --- remove ---


def test_remove(seed: Seed) -> None:
    seed.roj("create", "web:v1", "nginx")
    seed.roj("create", "web:v2", "nginx")
    assert quiet(seed.roj("remove", "web:v1", "web:v3")).code == 4
    assert len(seed.store.list(keys.APPS).entries) == 2
    assert quiet(seed.roj("remove", "web:v1", "web")).code == 2
    assert quiet(seed.roj("remove", "web:v1", "web:v2", "web:v1")).code == 0
    assert not seed.store.list(keys.APPS).entries


def test_why_an_app_was_removed_is_an_event(seed: Seed) -> None:
    for version in ("v1", "v2", "v3"):
        assert seed.roj("create", f"web:{version}", "nginx").code == 0
    assert seed.roj("remove", "web:v1", "web:v2", "-m", "superseded").code == 0
    assert seed.roj("remove", "web:v3").code == 0
    found = seed.roj("events", "-o", "json").json
    assert [(event["app"], event["reason"], event["why"]) for event in found] == [
        ("web:v1", "AppRemoved", "superseded"),
        ("web:v2", "AppRemoved", "superseded"),
        ("web:v3", "AppRemoved", ""),
    ]
    assert all("@" in event["who"] for event in found)
    [line] = seed.roj("events", "web:v2").lines[1:]
    assert line.endswith(f"  app web:v2 was removed, by {found[1]['who']}: superseded")
    assert len(seed.roj("events", "web").lines) == 4, "of all its versions"


def test_only_the_last_events_of_operators_are_kept(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roj.client.audit.KEPT", 3)
    for number in range(5):
        seed.roj("create", f"web:{number}", "nginx")
        seed.roj("remove", f"web:{number}")
    assert [event["app"] for event in seed.roj("events", "-o", "json").json] == ["web:2", "web:3", "web:4"]


def test_remove_of_what_is_in_use_names_its_users(seed: Seed) -> None:
    seed.node("node1")
    seed.roj("create", "web:v1", "nginx")
    id = seed.roj("deploy", "web:v1", "node1").out.strip()
    done = quiet(seed.roj("remove", "web:v1"))
    assert done.code == 5
    assert f"node1/{id}" in done.err
    assert "roj undeploy" in done.err


# --- deploy ---


@pytest.fixture
def cluster(seed: Seed) -> Seed:
    seed.cluster()
    seed.node("node1")
    seed.node("node2", ready=False)
    assert seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "80:8080").code == 0
    assert seed.roj("create", "job:v1", "busybox:1.36").code == 0
    return seed


def test_deploy_prints_ids_alone(cluster: Seed) -> None:
    done = cluster.roj("deploy", "job:v1", "node1", "node2", "--count", "2", "-m", "try")
    assert done.code == 0
    assert len(done.lines) == 4
    assert [line.startswith("job-") and len(line) == 9 for line in done.lines] == [True] * 4
    assert instance(cluster, "node1", done.lines[0]).why == "try"
    assert "node2 is away" in done.err
    assert "--id" in done.err, "the same again makes more"


def test_deploy_with_an_id_again(cluster: Seed) -> None:
    for _ in range(2):
        done = cluster.roj("deploy", "web:v1", "node1", "--id", "mine")
        assert (done.code, done.out) == (0, "mine\n")
    assert quiet(cluster.roj("deploy", "web:v1", "node2", "--id", "mine")).code == 5
    assert quiet(cluster.roj("deploy", "job:v1", "node1", "--id", "mine")).code == 5
    cluster.roj("undeploy", "mine")
    assert quiet(cluster.roj("deploy", "web:v1", "node1", "--id", "mine")).code == 5


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("web:v1", "node9"), 4, "There are the nodes node1, node2."),
        (("web:v9", "node1"), 4, "web:v1"),
        (("web", "node1"), 2, "NAME:VERSION"),
        (("web:v1",), 2, "NODE"),
        (("web:v1", "node1", "--count", "2"), 2, "8080/tcp"),
        (("job:v1", "node1", "--count", "0"), 2, "--count"),
        (("job:v1", "node1", "node2", "--id", "a"), 2, "--id"),
        (("job:v1", "node1", "--id", "A_b"), 2, "--id"),
        (("job:v1", "node1", "node2", "node1"), 2, "node1 is named twice; --count 2 makes two"),
        (("job:v1", "node1", "--wait", "--timeout", "soon"), 2, "60s"),
    ],
)
def test_deploy_refuses_before_it_writes(cluster: Seed, words: tuple[str, ...], code: int, told: str) -> None:
    before = everything(cluster)
    done = quiet(cluster.roj("deploy", *words))
    assert done.code == code, done.err
    assert told in done.err
    assert everything(cluster) == before


def test_deploy_tells_every_fault_at_once(cluster: Seed) -> None:
    id = cluster.roj("deploy", "web:v1", "node1").out.strip()
    before = everything(cluster)
    done = quiet(
        cluster.roj("deploy", "web:v9", "node9", "--id", "A_b", "--wait", "--timeout", "soon", "--count", "0")
    )
    assert done.code == 2
    for said in ("--timeout: 'soon'", "--count: ", "--id: 'A_b'", "no app web:v9", "no node node9"):
        assert said in done.err
    assert "There are the apps web:v1" in done.err and "There are the nodes node1, node2." in done.err
    done = quiet(cluster.roj("deploy", "web:v1", "node1", "node9"))
    assert done.code == 4
    assert f"node1: port 8080/tcp is held by instance {id}" in done.err
    assert "there is no node node9" in done.err
    assert everything(cluster) == before


def test_deploy_names_who_holds_the_port(cluster: Seed) -> None:
    id = cluster.roj("deploy", "web:v1", "node1").out.strip()
    before = everything(cluster)
    done = quiet(cluster.roj("deploy", "web:v1", "node2", "node1"))
    assert done.code == 5
    assert f"port 8080/tcp is held by instance {id}" in done.err
    assert everything(cluster) == before


# --- goals ---


def test_goals_and_their_references(cluster: Seed) -> None:
    for id in ("a", "ab", "b"):
        cluster.roj("deploy", "job:v1", "node1", "--id", id)
    assert quiet(cluster.roj("stop", "a", "-m", "lunch")).code == 0
    assert (instance(cluster, "node1", "a").goal, instance(cluster, "node1", "a").why) == ("stop", "lunch")
    assert "already" in quiet(cluster.roj("stop", "node1/a")).err
    assert quiet(cluster.roj("start", "a", "node1/b")).code == 0
    assert instance(cluster, "node1", "a").generation == 3
    before = everything(cluster)
    assert quiet(cluster.roj("stop", "a", "x")).code == 4
    cluster.roj("deploy", "job:v1", "node1", "--id", "abc")
    before = everything(cluster)
    ambiguous = quiet(cluster.roj("stop", "a", "node1/"))
    assert ambiguous.code in (2, 4)
    cluster.roj("undeploy", "a")
    assert quiet(cluster.roj("start", "a")).code == 5
    assert before != everything(cluster)


def test_an_ambiguous_beginning_names_the_candidates(cluster: Seed) -> None:
    for id in ("web-1", "web-2"):
        cluster.roj("deploy", "job:v1", "node1", "--id", id)
    before = everything(cluster)
    done = quiet(cluster.roj("undeploy", "web"))
    assert done.code == 2
    assert "node1/web-1, node1/web-2" in done.err
    assert everything(cluster) == before


def test_an_undeploy_of_an_away_node_says_that_it_waits(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node2", "--id", "far")
    done = quiet(cluster.roj("undeploy", "far"))
    assert done.code == 0
    assert "node2 is away" in done.err


def test_adopt(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node1", "--id", "a")
    lost = instance(cluster, "node1", "a")
    nothing = quiet(cluster.roj("adopt", "a"))
    assert nothing.code == 5
    assert "nothing to adopt" in nothing.err
    cluster.store.delete(*_place(cluster, keys.instance("node1", "a")))
    cluster.status("node1", "a", "unclaimed", uid=lost.uid, believed=lost)
    refused = quiet(cluster.roj("stop", "a"))
    assert refused.code == 5
    assert "roj adopt a" in refused.err
    done = quiet(cluster.roj("adopt", "a", "-m", "it is ours"))
    assert done.code == 0, done.err
    assert instance(cluster, "node1", "a").lineage[1:] == lost.lineage
    assert quiet(cluster.roj("adopt", "nothing")).code == 4


def _place(seed: Seed, key: str) -> tuple[str, int]:
    entry = seed.store.get(key)
    assert entry is not None
    return key, entry.version


# --- waiting ---


def test_wait_ends_with_the_outcome(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node1", "--id", "a")
    uid = instance(cluster, "node1", "a").uid
    cluster.status("node1", "a", "launched", uid=uid)
    done = cluster.roj("deploy", "job:v1", "node1", "--id", "a", "--wait")
    assert (done.code, done.out) == (0, "a\n")
    assert "a: launched" in done.err
    late = quiet(cluster.roj("stop", "a", "--wait", "--timeout", "300ms"))
    assert late.code == 3
    assert "not in 0.3 s" in late.err
    assert "The order stands" in late.err
    assert instance(cluster, "node1", "a").goal == "stop"


def test_wait_ends_at_once_when_it_failed(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node1", "--id", "a")
    cluster.status("node1", "a", "failed", uid=instance(cluster, "node1", "a").uid, message="it is broken")
    done = cluster.roj("deploy", "job:v1", "node1", "--id", "a", "--wait", "--timeout", "1h")
    assert (done.code, done.out) == (1, "a\n")
    assert "it is broken" in done.err


def test_wait_says_when_the_next_try_is(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node1", "--id", "a")
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    uid = instance(cluster, "node1", "a").uid
    cluster.status("node1", "a", "pulling", uid=uid, message="no such image", next_try=ahead)
    done = cluster.roj("deploy", "job:v1", "node1", "--id", "a", "--wait", "--timeout", "300ms")
    assert done.code == 3
    words = f"pulling: no such image; next try {ahead.astimezone():%H:%M:%S}"
    assert f"a: {words}" in done.err.splitlines()
    assert f"a: not in 0.3 s: {words}" in done.err.splitlines()


def test_wait_sees_what_happens_meanwhile(cluster: Seed) -> None:
    cluster.roj("deploy", "job:v1", "node1", "--id", "a")

    def undeploy() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            entry = cluster.store.get(keys.instance("node1", "a"))
            if entry is not None and Instance.decode(entry.value).goal == "undeploy":
                cluster.store.delete(entry.key, entry.version)
                return

    thread = threading.Thread(target=undeploy)
    thread.start()
    done = quiet(cluster.roj("undeploy", "a", "--wait"))
    thread.join()
    assert done.code == 0, done.err


def test_ctrl_c_detaches_and_the_order_stands(cluster: Seed) -> None:
    command = [
        sys.executable,
        "-m",
        "roj",
        "deploy",
        "job:v1",
        "node1",
        "--id",
        "a",
        "--wait",
        "--timeout",
        "1h",
    ]
    environment = {**os.environ, "ROJ_STORE": cluster.url}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = ""
        while "not acted on it yet" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "a\n"
    assert "the order stands" in err
    assert "Traceback" not in err
    assert instance(cluster, "node1", "a").goal == "start"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("2m", 120), ("1h30m", 5400), ("500ms", 0.5), ("7", 7), ("0", 0), ("1.5s", 1.5)],
)
def test_a_length_of_time(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "-1s", "1x", "1s2", "s1", "nan", "inf", "1 s", "1h-30m"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


# --- restore ---


def test_restore(cluster: Seed, tmp_path: Path) -> None:
    cluster.roj("deploy", "web:v1", "node1", "--id", "a")
    believed = instance(cluster, "node1", "a")
    app = cluster.store.get(keys.app("web", "v1"))
    assert app is not None
    state = StateDirectory(tmp_path / "state")
    state.write("cluster", Cluster(id=CLUSTER, created=WHEN).encode())
    state.write("node", Node(name="node1", cluster=CLUSTER).encode())
    state.write("orders/a", Obeyed(instance=believed).encode())
    state.write(f"apps/{believed.app.digest}", app.value)
    for key, _ in everything(cluster):
        cluster.store.delete(*_place(cluster, key))
    words = ("restore", "--state-dir", str(tmp_path / "state"))
    plan = cluster.roj(*words, "--dry-run", "-o", "json")
    assert plan.code == 0
    assert {row["outcome"] for row in plan.json} == {"created"}
    assert not everything(cluster)
    assert cluster.roj(*words, "--dry-run", "--exit-code").code == 10
    assert quiet(cluster.roj(*words, "--exit-code")).code == 2
    assert not everything(cluster)
    done = cluster.roj(*words, "-m", "Consul was wiped")  # the agent runs: it holds the lock
    state.close()
    assert done.code == 0
    assert "4 put back, 0 left as they are" in done.err
    assert instance(cluster, "node1", "a") == believed
    assert cluster.store.get(keys.port("node1", "tcp", 8080)) is not None
    assert cluster.roj("export", "app", "web:v1").code == 0
    again = cluster.roj(*words, "-o", "json")
    assert {row["outcome"] for row in again.json} == {"there"}
    [event] = cluster.roj("events", "node1", "-o", "json").json
    assert (event["reason"], event["node"], event["why"]) == ("Restored", "node1", "Consul was wiped")
    assert "app web:v1, instance node1/a put back" in event["message"]
    assert cluster.roj(*words, "--dry-run", "--exit-code").code == 0


def test_restore_of_what_is_no_state(cluster: Seed, tmp_path: Path) -> None:
    assert quiet(cluster.roj("restore", "--state-dir", str(tmp_path / "nothing"))).code == 2
    assert quiet(cluster.roj("restore", "--state-dir", str(tmp_path))).code == 4


# --- what all have in common ---


@pytest.mark.parametrize(
    "words",
    [
        ("create", "web:v1", "nginx"),
        ("remove", "web:v1"),
        ("export", "app", "web:v1"),
        ("deploy", "web:v1", "n1"),
        ("stop", "a"),
        ("adopt", "a"),
    ],
)
def test_a_store_that_cannot_be_reached_is_6_at_once(words: tuple[str, ...], seed: Seed) -> None:
    began = time.monotonic()
    done = quiet(seed.roj(*words, ROJ_STORE="sqlite:////proc/nowhere/roj.db"))
    assert done.code == 6, done.err
    assert "Traceback" not in done.err
    assert time.monotonic() - began < 9, "nothing was written, so there is nothing to find out"


def test_yaml_of_an_export_is_what_people_write(seed: Seed) -> None:
    seed.roj("create", "web:v1", "nginx:1.7.1", "-p", "80:8080")
    assert yaml.safe_load(seed.roj("export", "app", "web:v1").out) == {
        "containers": [{"name": "web", "image": "nginx:1.7.1", "ports": [{"container": 80, "host": 8080}]}]
    }
