"""What becomes of the fields of a job of Helios."""

from __future__ import annotations

from typing import Any

import pytest

from roj.api.app import AppSpec
from roj.api.faults import InvalidInput
from roj.importers.helios import import_helios


def job(**fields: Any) -> tuple[AppSpec | None, dict[str, tuple[str, str]]]:
    done = import_helios({"image": "i", **fields})
    return done.spec, {note.place: (note.kind, note.words) for note in done.notes}


def dumped(**fields: Any) -> dict[str, Any]:
    spec, told = job(**fields)
    assert spec is not None
    assert not [words for kind, words in told.values() if kind == "refused"], told
    return spec.model_dump(mode="json", exclude_defaults=True)


def test_a_whole_job() -> None:
    assert dumped(
        id="Web:1.4:48d9888333089d782fc2bb0e1681c0afe1dc1454", command=["serve"], env={"A": "b"}, hostname="web",
        ports={"http": {"internalPort": 80, "externalPort": 8080, "protocol": "TCP"}, "dns": {"internalPort": 53, "protocol": "udp"}},
        volumes={"/etc/web:ro": "/srv/web", "/data": "data", "/cache": ""}, ramdisks={"/run": "size=1m"},
        resources={"memory": 268435456, "memorySwap": 536870912, "cpuShares": 512, "cpuset": "0-1"}, labels={"a": "b"},
        metadata={"GIT_COMMIT": "abc"}, dropCapabilities=["net_raw"], secondsToWaitBeforeKill=30, networkMode="bridge",
        registration={}, registrationDomain="", healthCheck=None, expires=None, token="", gracePeriod=None, addCapabilities=[],
        securityOpt=[], runtime=None, created=1400000000000, creatingUser="me",
        rolloutOptions={"overlap": False, "parallelism": 2},
    ) == {
        "containers": [
            {
                "name": "web", "image": "i", "command": ["serve"], "env": {"A": "b"},
                "ports": [{"container": 80, "host": 8080, "name": "http"}, {"container": 53, "protocol": "udp", "name": "dns"}],
                "volumes": ["/srv/web:/etc/web:ro", "data:/data", "web_cache:/cache"],
                "labels": {"a": "b", "helios.metadata.GIT_COMMIT": "abc"}, "hostname": "web", "tmpfs": ["/run:size=1m"],
                "cap_drop": ["NET_RAW"],
                "resources": {"memory": "256MiB", "memory_swap": "512MiB", "cpu_shares": 512, "cpuset": "0-1"},
                "stop": {"grace": "30s"},
            }
        ],
        "update": "stop-first",
    }  # fmt: skip


def test_what_helios_waits_is_written_down() -> None:
    assert dumped()["containers"][0]["stop"] == {"grace": "2m"}
    assert dumped(secondsToWaitBeforeKill=None)["containers"][0]["stop"] == {"grace": "2m"}
    assert dumped(secondsToWaitBeforeKill=0)["containers"][0]["stop"] == {"grace": "0s"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("registration", {"web/http": {"ports": {"http": {}}}}),
        ("registrationDomain", "x."),
        ("healthCheck", {"type": "tcp", "port": "http"}),
        ("expires", "2030-01-01T00:00:00Z"),
        ("token", "x"),
        ("addCapabilities", ["NET_ADMIN"]),
        ("securityOpt", ["x"]),
        ("networkMode", "host"),
        ("runtime", "nvidia"),
        ("id", "web"),
        ("id", "we b:1:a"),
        ("nonsense", 1),
        ("command", {"a": 1}),
    ],
)
def test_what_is_refused(field: str, value: object) -> None:
    spec, told = job(**{field: value})
    assert told[field][0] == "refused" and told[field][1]
    assert spec is not None  # for --partial


def test_a_grace_period_is_for_the_registration() -> None:
    assert job(gracePeriod=10)[1]["gracePeriod"][0] == "changed"
    assert job(gracePeriod=10, registration={"a": {}})[1]["gracePeriod"][0] == "refused"


def test_ports_at_one_address_are_refused() -> None:
    _, told = job(ports={"http": {"internalPort": 80, "ip": "127.0.0.1"}})
    assert told["ports.http"][0] == "refused"


def test_overlap_with_a_fixed_port_is_refused() -> None:
    _, told = job(ports={"a": {"internalPort": 80, "externalPort": 80}}, rolloutOptions={"overlap": True})
    assert "two revisions" in told["rolloutOptions.overlap"][1]


def test_an_image_can_be_given() -> None:
    assert import_helios({"command": ["a"]}).spec is None
    done = import_helios({"command": ["a"]}, image="nginx:1")
    assert done.whole and done.spec is not None


@pytest.mark.parametrize("document", [[], {}, "web:v1", None, 3])
def test_what_is_no_job(document: object) -> None:
    with pytest.raises(InvalidInput, match="is no job"):
        import_helios(document)
