"""What Consul's client makes of answers that are not as they should be, seen from a server that plays them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from roj.environment import RealEnvironment
from roj.store import consul
from roj.store.address import open_store
from roj.store.interface import (
    Check,
    Conflict,
    Create,
    Delete,
    Set,
    Store,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    Swap,
    TooLarge,
)
from tests.unit.store.scripted import Scripted, answer, one_after_another
from tests.unit.store.world import Call, eventually

SESSION = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
ENTRY = '[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"MQ==","CreateIndex":5,"ModifyIndex":7}]'
HTML = "<html><body>Welcome to the hotel's network, please sign in</body></html>"

READS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("a/b"),
    "list": lambda store: store.list("a/"),
    "watch": lambda store: store.watch("a/", 5, 0.01),
    "node_name": lambda store: store.node_name(),
    "node_address": lambda store: store.node_address(),
}
WRITES: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("a/b", b"1"),
    "swap": lambda store: store.swap("a/b", b"1", 5),
    "delete": lambda store: store.delete("a/b", 5),
    "transact": lambda store: store.transact([Set("a/b", b"1")]),
    "open_session": lambda store: store.open_session("one", ttl=60, checked=True),
    "renew_session": lambda store: store.renew_session(SESSION),
    "end_session": lambda store: store.end_session(SESSION),
    "acquire": lambda store: store.acquire("a/b", b"1", SESSION),
    "release": lambda store: store.release("a/b", b"1", SESSION),
}
CALLS = READS | WRITES


def opened(url: str, **variables: str) -> closing[Store]:
    return closing(open_store(url, RealEnvironment(), variables))


@contextmanager
def answering(*answers: bytes | None, **variables: str) -> Iterator[tuple[Store, Scripted]]:
    """A client, and a server that answers so; the last answer is given for good."""
    script = one_after_another(answers)
    with (
        Scripted(lambda number: script(min(number, len(answers) - 1))) as server,
        opened(server.url, **variables) as store,
    ):
        yield store, server


# --- answers that are not Consul's ---


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "409 Conflict", "302 Found"])
def test_an_answer_that_is_not_consuls_is_no_answer(call: str, status: str) -> None:
    bodies: list[str | bytes] = [
        HTML,
        "",
        "null",
        "{}",
        "[1]",
        '[{"Key": "a/b"}]',
        '{"Errors": [{"OpIndex": 9}]}',
        "1",
        b"\xff\xfe",
    ]
    with answering(*(answer(status, body, Location="http://127.0.0.1:1/") for body in bodies)) as (
        store,
        server,
    ):
        for asked in range(1, len(bodies) + 1):
            with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}"):
                CALLS[call](store)
            assert len(server.requests) == asked


@pytest.mark.parametrize(
    "sent", [b"", b"\0\1\2\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n["]
)
def test_what_is_not_http_is_no_answer(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consul, "PATIENCE", 0.05)
    for call in CALLS.values():
        with answering(sent) as (store, _), pytest.raises(StoreUnavailable):
            call(store)


@pytest.mark.parametrize("index", ["", "none", "1.5"])
def test_an_index_that_is_none(index: str) -> None:
    with (
        answering(answer("200 OK", ENTRY, X_Consul_Index=index)) as (store, _),
        pytest.raises(StoreUnavailable),
    ):
        store.list("a/")


def test_a_proxys_404_is_no_word_on_what_there_is() -> None:
    with answering(answer("404 Not Found", HTML)) as (store, _):
        for call in ("get", "list", "watch", "renew_session"):
            with pytest.raises(StoreUnavailable):
                CALLS[call](store)
    with answering(answer("404 Not Found", "", X_Consul_Index="5")) as (store, _):
        assert store.get("a/b") is None
        assert store.list("a/").index == 5


# --- errors ---


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("403 Forbidden", "Permission denied", StoreDenied),
        ("403 Forbidden", "ACL not found", StoreDenied),
        ("401 Unauthorized", "ACL support disabled", StoreDenied),
        ("400 Bad Request", "Missing node name", StoreUnavailable),
        ("413 Too Large", "Value exceeds 524288 byte limit", TooLarge),
        ("429 Too Many Requests", "Your IP is issuing too many concurrent connections", StoreUnavailable),
        ("500 Internal Server Error", "No cluster leader", StoreUnavailable),
        ("503 Service Unavailable", "backend", StoreUnavailable),
    ],
)
def test_errors_have_types_and_consuls_words(status: str, body: str, error: type[StoreError]) -> None:
    with answering(answer(status, body)) as (store, server):
        for asked, call in enumerate(CALLS.values(), 1):
            with pytest.raises(error, match=body) as caught:
                call(store)
            assert type(caught.value) is error
            assert len(server.requests) == asked


def test_a_transaction_that_is_denied_in_part() -> None:
    body = '{"Results":null,"Errors":[{"OpIndex":1,"What":"Permission denied"}]}'
    with answering(answer("409 Conflict", body)) as (store, _), pytest.raises(StoreDenied):
        store.transact([Set("a/b", b"1"), Set("b/c", b"1")])


def test_the_operations_that_failed_are_numbered_as_the_callers_are() -> None:
    body = '{"Results":null,"Errors":[{"OpIndex":3,"What":"x"},{"OpIndex":2,"What":"y"},{"OpIndex":4,"What":"z"}]}'
    with answering(answer("409 Conflict", body)) as (store, _):
        with pytest.raises(Conflict) as caught:
            store.transact([Delete("a/a", 1), Delete("a/b", 1), Create("a/c", b""), Check("a/d", 1)])
        assert caught.value.failed == (1, 2)


@pytest.mark.parametrize(
    "words", ['invalid session "x"', "failed session lookup: index error: UUID must be 36 characters"]
)
def test_a_session_that_consul_does_not_know(words: str) -> None:
    with answering(answer("500 Internal Server Error", words)) as (store, _):
        assert not store.acquire("a/b", b"1", SESSION)
        assert not store.renew_session(SESSION)
        store.end_session(SESSION)
        with pytest.raises(StoreUnavailable):
            store.create("a/b", b"1")


# --- one request for one call ---


def test_each_call_is_one_request_over_one_connection() -> None:
    good: dict[str, bytes] = {
        "get": answer("200 OK", ENTRY, X_Consul_Index="7"),
        "list": answer("200 OK", ENTRY, X_Consul_Index="7"),
        "watch": answer("200 OK", ENTRY, X_Consul_Index="7"),
        "node_name": answer("200 OK", '{"Config": {"NodeName": "n1"}, "Member": {"Addr": "10.0.0.1"}}'),
        "node_address": answer("200 OK", '{"Config": {"NodeName": "n1"}, "Member": {"Addr": "10.0.0.1"}}'),
        "delete": answer("200 OK", '{"Results":[],"Errors":null}'),
        "transact": answer("200 OK", '{"Results":[],"Errors":null}'),
        "open_session": answer("200 OK", f'{{"ID":"{SESSION}"}}'),
        "renew_session": answer("200 OK", f'[{{"ID":"{SESSION}"}}]'),
    }
    with answering(*(good.get(name, answer("200 OK", "true")) for name in CALLS)) as (store, server):
        results = {name: call(store) for name, call in CALLS.items()}
        assert results["node_name"] == "n1"
        assert results["node_address"] == "10.0.0.1"
        assert results["open_session"] == SESSION
        assert results["acquire"] is results["release"] is results["renew_session"] is True
        assert len(server.requests) == len(CALLS)
        assert {request.connection for request in server.requests} == {0}


def test_what_cannot_be_is_not_asked() -> None:
    with answering(b"") as (store, server):
        with pytest.raises(Conflict):
            store.swap("a/b", b"1", 0)  # Consul would create it
        with pytest.raises(TooLarge):
            store.create("a/b", bytes(400_000))
        assert not store.acquire("a/b", b"1", "")  # Consul would write it
        assert server.requests == []


def test_how_things_are_asked() -> None:
    with answering(
        answer("404 Not Found", "", X_Consul_Index="5"), CONSUL_HTTP_TOKEN="t", CONSUL_NAMESPACE="ns1"
    ) as (
        store,
        server,
    ):
        store.get("a/b")
        store.get("a/b", consistent=True)
        store.list("a/", consistent=True)
        store.watch("a/", 7, 60)
        store.watch("a/", 7, 0)
        with pytest.raises(StoreUnavailable):
            store.transact([Swap("a/b", b"1", 0)])
        assert [request.target for request in server.requests] == [
            "/v1/kv/a/b",
            "/v1/kv/a/b?consistent=1",
            "/v1/kv/a/?recurse=true&consistent=1",
            "/v1/kv/a/?recurse=true&index=7&wait=60000ms",
            "/v1/kv/a/?recurse=true&index=7&wait=1ms",  # 0 is 5 minutes to Consul
            "/v1/txn?consistent=1",
        ]
        for request in server.requests:
            assert request.headers["x-consul-token"] == "t"
            assert request.headers["x-consul-namespace"] == "ns1"
        assert b"cas" not in server.requests[-1].body  # it would create


def test_user_and_password() -> None:
    with answering(answer("200 OK", "true"), CONSUL_HTTP_AUTH="me:pass:word") as (store, server):
        store.create("a/b", b"1")
        assert server.requests[0].headers["authorization"] == "Basic bWU6cGFzczp3b3Jk"


def test_the_environment_of_the_process_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CONSUL_HTTP_ADDR": "127.0.0.1:1",
        "CONSUL_HTTP_TOKEN": "wrong",
        "CONSUL_HTTP_SSL": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    with answering(answer("200 OK", "true")) as (store, server):
        store.create("a/b", b"1")
        assert "x-consul-token" not in server.requests[0].headers


# --- connections ---


def test_a_kept_connection_that_the_server_closed_is_made_anew_for_a_read_and_not_for_a_write() -> None:
    good = answer("200 OK", ENTRY, X_Consul_Index="7")
    with answering(good, b"", good, b"", good) as (store, server):
        assert store.get("a/b") is not None
        assert store.get("a/b") is not None  # the kept connection is closed on it; it asks once more
        assert len(server.requests) == 3
        with pytest.raises(StoreUnavailable):  # whether it was written nobody knows
            store.create("a/b", b"1")
        assert len(server.requests) == 4
        assert store.get("a/b") is not None
        assert len(server.requests) == 5


def test_a_new_connection_that_fails_is_not_tried_again() -> None:
    with answering(b"") as (store, server):
        with pytest.raises(StoreUnavailable):
            store.get("a/b")
        assert len(server.requests) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with opened(f"consul://127.0.0.1:{port}") as store:
        for call in CALLS.values():
            with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}: Connection refused"):
                call(store)


def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consul, "PATIENCE", 0.1)
    with answering(None) as (store, _):
        for call in CALLS.values():
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                call(store)


def test_a_name_that_nobody_has() -> None:
    with opened("consul://no-such-host.invalid:8500") as store, pytest.raises(StoreUnavailable) as caught:
        store.get("a/b")
    assert len(str(caught.value)) < 120


def test_close_ends_what_waits_for_an_answer() -> None:
    with answering(None) as (store, server):
        call = Call(lambda: store.create("a/b", b"1"))
        eventually(lambda: len(server.requests) == 1)
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            call.result()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.get("a/b")
