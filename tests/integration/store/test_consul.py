"""A real Consul that stops, forgets, goes back, denies, or speaks TLS."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from engines import Consul
from engines.packages import consul_program
from engines.program import free_ports
from roj.cli.main import run
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import (
    CheckAbsent,
    CheckSession,
    Conflict,
    Create,
    Set,
    Store,
    StoreDenied,
    StoreUnavailable,
)
from tests.unit.store.world import Call, World, eventually

pytestmark = pytest.mark.engines


def opened(consul: Consul, **variables: str) -> closing[Store]:
    return closing(open_store(consul.store_url, RealEnvironment(), variables))


def asked(consul: Consul, path: str, *, method: str = "GET", data: object = None, token: str = "") -> Any:
    """Ask Consul past roj's client."""
    request = urllib.request.Request(
        f"http://{consul.address}{path}",
        method=method,
        data=None if data is None else json.dumps(data).encode(),
        headers={"X-Consul-Token": token} if token else {},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def own() -> Iterator[Consul]:
    """A Consul that these tests may stop, wipe and set back."""
    with Consul() as consul:
        yield consul


@pytest.fixture
def running(own: Consul) -> Consul:
    own.start()
    return own


# --- sessions as they are in Consul ---


@pytest.mark.parametrize("checked", [True, False])
def test_what_a_session_is_like(world: World, consul: Consul, checked: bool) -> None:
    session = world.store.open_session("roj agent of n1", ttl=60, checked=checked)
    (found,) = asked(consul, f"/v1/session/info/{session}")
    assert found["Name"] == "roj agent of n1"
    assert (found["TTL"], found["LockDelay"], found["Behavior"]) == ("60s", 0, "release")
    assert found["NodeChecks"] == (["serfHealth"] if checked else [])
    assert not found["ServiceChecks"]


def test_the_machine_is_the_consul_agents(world: World, consul: Consul) -> None:
    assert (world.store.node_name(), world.store.node_address()) == (consul.node_name, "127.0.0.1")


def test_another_programs_flags_and_values_do_no_harm(world: World, consul: Consul) -> None:
    assert asked(consul, f"/v1/kv/{world.key('a')}?flags=42", method="PUT") is True
    found = world.store.get(world.key("a"))
    assert found is not None
    world.store.swap(world.key("a"), b"1", found.version)


# --- away, back, empty, older ---


def test_stopped_and_back(running: Consul) -> None:
    with opened(running) as store, opened(running) as watching:
        store.create("away/a", b"1")
        watching_saw = watching.list("away/")
        call = Call(lambda: watching.watch("away/", watching_saw.index, 60))
        assert call.running(0.1)
        running.stop()
        with suppress(StoreUnavailable):  # or, where it could still answer, what there was
            assert call.result() == watching_saw
        for ask in (
            lambda: store.get("away/a"),
            lambda: store.list("away/", consistent=True),
            lambda: store.transact([Set("away/a", b"2")]),
        ):
            with pytest.raises(StoreUnavailable, match="Connection refused"):
                ask()
        running.start()
        assert [entry.value for entry in store.list("away/").entries] == [b"1"]


def test_connections_survive_a_restart_that_nobody_saw(running: Consul) -> None:
    with opened(running) as reader, opened(running) as writer:
        writer.transact([Set("restart/a", b"1")])
        assert reader.get("restart/a") is not None
        running.restart()
        assert reader.get("restart/a", consistent=True) is not None
        writer.transact([Set("restart/a", b"2")])


def test_killed_while_it_writes(running: Consul) -> None:
    with opened(running) as store:
        store.transact([Set("killed/a", b"1")])
        running.kill()
        with pytest.raises(StoreUnavailable):
            store.transact([Set("killed/a", b"2")])
        running.start()
        found = store.get("killed/a", consistent=True)
        assert found is not None
        assert found.value == b"1"


def test_wiped(running: Consul) -> None:
    with opened(running) as store:
        store.transact([Set("wiped/a", b"1")])
        session = store.open_session("wiped", ttl=60, checked=False)
        running.wipe()
        listing = store.list("wiped/", consistent=True)
        assert listing.entries == ()
        assert listing.index > 0
        assert not store.renew_session(session)
        assert not store.acquire("wiped/a", b"1", session)


def test_set_back_to_a_snapshot(running: Consul, tmp_path: Path) -> None:
    with opened(running) as store, opened(running) as watching:
        store.transact([Set("back/a", b"old")])
        old = store.open_session("old", ttl=60, checked=False)
        assert store.acquire("back/lock", b"1", old)
        running.snapshot_save(tmp_path / "snapshot")
        store.end_session(old)
        store.transact([Set("back/a", b"new"), Set("back/b", b"new")])
        new = store.list("back/")
        call = Call(lambda: watching.watch("back/", new.index, 60))
        assert call.running(0.1)
        running.snapshot_restore(tmp_path / "snapshot")
        # The watch is answered with what was there before; the next would block. Only who lists again sees it.
        assert call.result() == new
        listing = store.list("back/", consistent=True)
        assert listing.index < new.index
        assert [entry.value for entry in listing.entries] == [b"old", b"1"]
        assert listing.entries[1].session == old  # sessions come back, too
        assert store.renew_session(old)
        for entry in new.entries[:2]:
            with pytest.raises(Conflict):
                store.swap(entry.key, b"newer", entry.version)
        store.swap("back/a", b"newer", listing.entries[0].version)


def test_the_end_of_consuls_agent_ends_a_checked_session(running: Consul) -> None:
    # An orderly end: the agent leaves, and takes its node's sessions with it. Other clients are elsewhere then, so a
    # second agent joins, and it is that one that ends.
    with (
        Consul(node_name="n2", join=running.serf_address) as agent,
        opened(agent) as store,
        opened(running) as other,
    ):
        assert store.node_name() == "n2"
        session = store.open_session("n2", ttl=60, checked=True)
        assert store.acquire("agent/lock", b"1", session)
        agent.stop()

        def free() -> bool:
            found = other.get("agent/lock")
            return found is not None and found.session == ""

        eventually(free)


# --- rights ---

MASTER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Consul]:
    """A Consul with ACLs, where reading is allowed under `open/` and writing under `open/mine/`."""
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": MASTER, "agent": MASTER, "default": ""},
    }
    consul = Consul(settings={"acl": acl})
    consul.start(wait=False)  # it asks without a token whether it serves, and is denied
    try:
        yield consul
    finally:
        consul.stop()


@pytest.fixture(scope="module")
def limited(guarded: Consul) -> str:
    """A token that may not much."""
    until = time.monotonic() + 60
    while True:
        try:
            rules = 'key_prefix "open/" { policy = "read" } key_prefix "open/mine/" { policy = "write" }'
            asked(
                guarded, "/v1/acl/policy", method="PUT", data={"Name": "some", "Rules": rules}, token=MASTER
            )
            break
        except OSError:
            assert time.monotonic() < until, guarded.log.read_text(encoding="utf-8")[-2000:]
            time.sleep(0.2)
    token = asked(guarded, "/v1/acl/token", method="PUT", data={"Policies": [{"Name": "some"}]}, token=MASTER)
    return str(token["SecretID"])


def test_what_the_token_may_not_is_denied(guarded: Consul, limited: str) -> None:
    with opened(guarded, CONSUL_HTTP_TOKEN=MASTER) as master:
        master.create("open/a", b"1")
        master.create("closed/a", b"1")
        version = master.list("open/").entries[0].version
    with opened(guarded, CONSUL_HTTP_TOKEN=limited) as store:
        assert [entry.value for entry in store.list("open/").entries] == [b"1"]
        store.create("open/mine/a", b"1")
        store.transact([Set("open/mine/a", b"2"), CheckAbsent("open/mine/b")])
        for ask in (
            lambda: store.get("closed/a"),
            lambda: store.create("open/b", b"1"),
            lambda: store.swap("open/a", b"1", version),
            lambda: store.delete("open/a", version),
            lambda: store.transact([Set("open/mine/a", b"3"), Create("open/b", b"1")]),
            lambda: store.transact([CheckAbsent("closed/a")]),
            lambda: store.open_session("one", ttl=60, checked=False),
            store.node_name,
        ):
            with pytest.raises(StoreDenied):
                ask()
        found = store.get("open/mine/a")
        assert found is not None
        assert found.value == b"2"
        # Consul leaves out what the token may not read, and does not say so: an empty list is no word on what there is.
        assert store.list("closed/").entries == ()
    with (
        opened(guarded, CONSUL_HTTP_TOKEN="22222222-2222-3333-4444-555555555555") as store,
        pytest.raises(StoreDenied),
    ):
        store.list("open/")


def test_a_denial_says_whose_token_it_was(
    guarded: Consul, limited: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{limited}\n", encoding="ascii")
    unknown = "22222222-2222-3333-4444-555555555555"
    for variables, message, hint in (
        ({}, "without a token", "Set CONSUL_HTTP_TOKEN, or"),
        ({"CONSUL_HTTP_TOKEN": limited}, "the token of CONSUL_HTTP_TOKEN:", "The token in use is that of"),
        (
            {"CONSUL_HTTP_TOKEN_FILE": str(file), "CONSUL_HTTP_TOKEN": MASTER},
            f"the token of CONSUL_HTTP_TOKEN_FILE, {file},:",
            "The token in use is that of",
        ),
        (
            {"CONSUL_HTTP_TOKEN": unknown},
            "the token of CONSUL_HTTP_TOKEN:",
            "Consul does not know the token of",
        ),
    ):
        assert run(["create", "web:v1", "nginx"], variables=variables | {"ROJ_STORE": guarded.store_url}) == 7
        said = capsys.readouterr().err.splitlines()
        assert message in said[0], said
        assert said[1].startswith(hint), said
        assert limited not in str(said)


def test_without_a_token(guarded: Consul, limited: str) -> None:
    del limited  # by then it serves
    with opened(guarded) as store:
        with pytest.raises(StoreDenied):
            store.get("open/a")
        with pytest.raises(StoreDenied):
            store.transact([CheckSession("open/a", MASTER)])


# --- TLS ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    for command in (
        ["ca", "create"],
        ["cert", "create", "-server"],
        ["cert", "create", "-client"],
        ["ca", "create", "-domain", "other"],
    ):
        subprocess.run(
            [str(consul_program()), "tls", *command], cwd=directory, check=True, capture_output=True
        )
    return directory


@pytest.fixture(scope="module")
def secure(certificates: Path) -> Iterator[tuple[Consul, str]]:
    """A Consul that asks for a client's certificate at its HTTPS address."""
    settings = {
        "ca_file": str(certificates / "consul-agent-ca.pem"),
        "cert_file": str(certificates / "dc1-server-consul-0.pem"),
        "key_file": str(certificates / "dc1-server-consul-0-key.pem"),
        "verify_incoming_https": True,
    }
    http, server, serf, https = free_ports(4, "127.0.0.1")
    ports = {"http": http, "server": server, "serf_lan": serf, "https": https} | dict.fromkeys(
        ["serf_wan", "dns", "grpc"], -1
    )
    consul = Consul(settings=settings | {"ports": ports})
    consul._ports = [http, server, serf]  # it picks them itself, and all of `ports` is one setting
    with consul:
        yield consul, f"consul+https://127.0.0.1:{https}"


def test_tls(secure: tuple[Consul, str], certificates: Path) -> None:
    consul, url = secure
    good = {
        "CONSUL_CACERT": str(certificates / "consul-agent-ca.pem"),
        "CONSUL_CLIENT_CERT": str(certificates / "dc1-client-consul-0.pem"),
        "CONSUL_CLIENT_KEY": str(certificates / "dc1-client-consul-0-key.pem"),
    }
    environment = RealEnvironment()

    def tried(**variables: str) -> str:
        with closing(open_store(url, environment, good | variables)) as store:
            return store.node_name()

    assert tried() == consul.node_name
    assert tried(CONSUL_TLS_SERVER_NAME="server.dc1.consul") == consul.node_name
    assert tried(CONSUL_CACERT="", CONSUL_HTTP_SSL_VERIFY="false") == consul.node_name
    for wrong, advice in (
        ({"CONSUL_CACERT": ""}, "CONSUL_CACERT"),
        ({"CONSUL_CACERT": str(certificates / "other-agent-ca.pem")}, "CONSUL_CACERT"),
        ({"CONSUL_TLS_SERVER_NAME": "server.dc2.consul"}, "CONSUL_TLS_SERVER_NAME"),
        ({"CONSUL_CLIENT_CERT": "", "CONSUL_CLIENT_KEY": ""}, "CONSUL_CLIENT_CERT"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            tried(**wrong)
        assert len(str(caught.value)) < 250
        assert "_ssl.c" not in str(caught.value)
        assert advice in caught.value.advice
    with closing(open_store(url, environment, good)) as store, closing(store.clone()) as watching:
        store.create("tls/a", b"1")
        index = watching.list("tls/").index
        call = Call(lambda: watching.watch("tls/", index, 60))
        assert call.running(0.1)
        watching.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            call.result()


def test_authorities_by_directory(secure: tuple[Consul, str], certificates: Path, tmp_path: Path) -> None:
    """All files of it count, whatever they are called: OpenSSL's own way would want them named by hash."""
    consul, url = secure
    variables = {
        "CONSUL_CAPATH": str(tmp_path),
        "CONSUL_CLIENT_CERT": str(certificates / "dc1-client-consul-0.pem"),
        "CONSUL_CLIENT_KEY": str(certificates / "dc1-client-consul-0-key.pem"),
    }
    for name in ("other-agent-ca.pem", "consul-agent-ca.pem"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    with closing(open_store(url, RealEnvironment(), variables)) as store:
        assert store.node_name() == consul.node_name


def test_plain_http_and_tls_confounded(
    secure: tuple[Consul, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each end code 6, and a word on what to set."""
    consul, url = secure
    for variables, advice in (
        (
            {"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_SSL": "true"},
            "CONSUL_HTTP_SSL or https too much?",
        ),
        ({"CONSUL_HTTP_ADDR": url.removeprefix("consul+https://")}, "CONSUL_HTTP_SSL=true"),
    ):
        assert run(["nodes"], variables=variables) == 6
        said = capsys.readouterr().err
        assert advice in said.splitlines()[1], said


def test_a_certificate_and_a_key_that_are_no_pair(
    certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {
        "CONSUL_CLIENT_CERT": str(certificates / "dc1-client-consul-0.pem"),
        "CONSUL_CLIENT_KEY": str(certificates / "dc1-server-consul-0-key.pem"),
    }
    assert run(["nodes"], variables=variables) == 2
    assert "are no certificate and its key" in capsys.readouterr().err
