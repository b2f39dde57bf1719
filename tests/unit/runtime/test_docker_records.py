"""Requests that are made, records that are read, and the words about a pull."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from roj.runtime import docker_records, host_ports
from roj.runtime.interface import ContainerSpec, PortBinding
from roj.runtime.pull_progress import PullProgress
from roj.runtime.simulated_images import repository, with_tag
from roj.runtime.simulated_process import Process, process_of

PORTS = st.lists(
    st.builds(PortBinding, st.integers(1, 65535), st.sampled_from(["tcp", "udp"]), st.integers(1, 65535)),
    unique=True,
)


@given(PORTS)
def test_ports_come_back_as_they_were_asked_for(ports: list[PortBinding]) -> None:
    body = docker_records.container_body(ContainerSpec("a", "image", ports=tuple(ports)))
    assert set(body["ExposedPorts"]) == {port.key for port in ports}
    answer = {
        "Id": "1",
        "Name": "/a",
        "State": {"Status": "created"},
        "Config": {"Image": "image", "Labels": None},
        "HostConfig": {"PortBindings": body["HostConfig"]["PortBindings"]},
    }
    found = docker_records.container_details(answer)
    assert set(found.configured_ports) == set(ports)
    assert (found.name, found.labels, found.ports, found.restart_policy) == ("a", {}, (), "no")


def test_one_request_makes_a_container_with_its_network_and_aliases() -> None:
    spec = ContainerSpec("a", "image", network="n" * 64, aliases=("web", "w"), volumes=("b:/b:ro", "/a:/a"))
    body = docker_records.container_body(spec)
    assert body["HostConfig"]["NetworkMode"] == spec.network
    assert body["NetworkingConfig"] == {"EndpointsConfig": {spec.network: {"Aliases": ["web", "w"]}}}
    assert body["HostConfig"]["Binds"] == ["b:/b:ro", "/a:/a"]
    assert "Cmd" not in body
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}


def test_a_linked_container_keeps_its_own_name() -> None:
    entry = {"Id": "1", "Names": ["/other/alias", "/own"], "State": "running", "Ports": None}
    assert docker_records.container_summary(entry).name == "own"


def test_both_families_of_addresses_are_one_port() -> None:
    ports = [{"IP": ip, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"} for ip in ("0.0.0.0", "::")] + [
        {"PrivatePort": 81, "Type": "tcp"}
    ]
    entry = {"Id": "1", "Names": ["/a"], "State": "running", "Ports": ports}
    assert docker_records.container_summary(entry).ports == (PortBinding(80, "tcp", 8080),)


def test_moments() -> None:
    assert docker_records.moment("0001-01-01T00:00:00Z") is None
    assert docker_records.moment("") is None
    assert docker_records.moment("2026-11-25T23:52:17.50936917Z") == datetime(
        2026, 11, 25, 23, 52, 17, 509369, tzinfo=UTC
    )


def test_events_lose_their_words() -> None:
    entry = {"Type": "container", "Action": "exec_start: sh -c x", "Actor": {"ID": "1", "Attributes": None}}
    event = docker_records.event(entry)
    assert event is not None
    assert (event.action, event.id, event.labels) == ("exec_start", "1", {})
    assert docker_records.event({"Type": "volume", "Action": "create"}) is None


LINES = st.fixed_dictionaries(
    {"status": st.sampled_from(["Pulling fs layer", "Downloading", "Download complete", "Already exists", "Digest: x"])},
    optional={
        "id": st.sampled_from("abc"),
        "progressDetail": st.fixed_dictionaries({}, optional={"current": st.integers(0, 99), "total": st.integers(0, 99)}),
    },
)  # fmt: skip


@given(st.lists(LINES, max_size=30))
def test_words_about_a_pull_are_few_and_go_up(lines: list[dict[str, object]]) -> None:
    progress = PullProgress()
    told = [words for line in lines if (words := progress.feed(line))]
    percents = [int(words.split()[1]) for words in told]
    assert percents == sorted(set(percents))
    assert all(percent % 10 == 0 and 0 <= percent <= 100 for percent in percents)


def test_a_pull_is_done_when_its_layers_are() -> None:
    progress = PullProgress()
    lines: list[dict[str, object]] = [{"status": "Pulling fs layer", "id": layer} for layer in "ab"]
    lines += [
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}},
        {"status": "Download complete", "id": "a"},
        {"status": "Download complete", "id": "b"},
    ]
    assert [progress.feed(line) for line in lines] == [
        "pulling 0 %",
        None,
        "pulling 20 %",
        "pulling 50 %",
        "pulling 100 %",
    ]


def test_a_port_is_in_use_while_somebody_listens_on_any_address() -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")):
        with socket.socket(family) as server:
            server.bind((address, 0))
            server.listen()
            port = server.getsockname()[1]
            assert host_ports.in_use("tcp", port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        assert host_ports.in_use("udp", server.getsockname()[1])


def test_what_simulated_commands_do() -> None:
    assert process_of(None) == Process(None, 0, heeds_term=True)
    assert process_of(("false",)) == Process(0, 1, heeds_term=True)
    assert process_of(("sh", "-c", "echo hello; sleep 0.5; exit 3")) == Process(0.5, 3, heeds_term=False)
    assert process_of(("sh", "-c", "trap 'exit 0' TERM; sleep 9 & wait")) == Process(9, 0, heeds_term=True)
    assert process_of(("nginx", "-g", "daemon off;")) == Process(None, 0, heeds_term=True)
    assert not process_of(("no-such-program",)).found


def test_references() -> None:
    assert with_tag("host:5000/a") == "host:5000/a:latest"
    assert with_tag("a:1") == "a:1"
    assert repository("host:5000/a:1") == "host:5000/a"
    assert repository("a@sha256:1") == "a"
