"""The agent's endpoint: pages, the socket, what only the socket has, and paths that Linux finds too long."""

from __future__ import annotations

import socket
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roj.agent.http import AddressInvalid, Answer, Endpoint, ask, parse_address, socket_path
from roj.environment import RealEnvironment


class Pages:
    """What an agent would say."""

    healthy: str | None = None
    ready: str | None = "the store is away"

    def __init__(self) -> None:
        self.collected: list[bool] = []

    def collect(self, do: bool) -> Answer:
        self.collected.append(do)
        return 200, "application/json", "[]"

    @contextmanager
    def served(self, directory: Path, tcp: str | None = None) -> Iterator[None]:
        endpoint = Endpoint(
            RealEnvironment(),
            directory,
            tcp,
            metrics=lambda: "roj_up 1\n",
            healthy=lambda: self.healthy,
            ready=lambda: self.ready,
            collect=self.collect,
        )
        try:
            yield
        finally:
            endpoint.close()


def test_pages_on_the_socket(tmp_path: Path) -> None:
    pages = Pages()
    with pages.served(tmp_path):
        path = socket_path(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(tmp_path, "GET", "/metrics?x=1") == (200, "text/plain", "roj_up 1\n")
        assert ask(tmp_path, "GET", "/healthz")[0] == 200
        assert ask(tmp_path, "GET", "/readyz") == (503, "text/plain", "the store is away\n")
        assert ask(tmp_path, "GET", "/")[0] == 404
        assert ask(tmp_path, "POST", "/metrics")[0] == 405
        assert ask(tmp_path, "GET", "/gc") == (200, "application/json", "[]")
        assert ask(tmp_path, "POST", "/gc")[0] == 200
    assert pages.collected == [False, True]
    assert not path.exists()
    with pytest.raises(OSError, match="No such file"):
        ask(tmp_path, "GET", "/healthz")


def test_a_page_that_fails_is_an_answer_and_not_the_end(tmp_path: Path) -> None:
    pages = Pages()

    def fail(do: bool) -> Answer:
        raise RuntimeError("no")

    pages.collect = fail  # type: ignore[method-assign]  # a page that fails is what this is about
    with pages.served(tmp_path):
        assert ask(tmp_path, "GET", "/gc") == (500, "text/plain", "RuntimeError: no\n")
        assert ask(tmp_path, "GET", "/healthz")[0] == 200


def test_a_socket_that_was_left_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(tmp_path)))
    with Pages().served(tmp_path):
        assert ask(tmp_path, "GET", "/healthz")[0] == 200
    socket_path(tmp_path).write_text("somebody's")
    with pytest.raises(OSError, match="in use"), Pages().served(tmp_path):
        pass
    assert socket_path(tmp_path).read_text() == "somebody's"


@pytest.mark.parametrize("length", [20, 100, 250, 1000])
def test_a_path_of_any_length_is_served_where_it_is(length: int, tmp_path: Path) -> None:
    directory = tmp_path
    while len(str(directory)) < length:
        directory /= "d" * min(100, max(1, length - len(str(directory))))
    directory.mkdir(parents=True, exist_ok=True)
    with Pages().served(directory):
        assert (directory / "agent.sock").is_socket()
        assert ask(directory, "GET", "/healthz")[0] == 200
    assert list(directory.iterdir()) == []


def test_on_tcp_there_is_no_gc(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pages = Pages()
    with pages.served(tmp_path, f"127.0.0.1:{port}"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.read() == b"roj_up 1\n"
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/gc", data=b"", timeout=10)
        refused.value.close()
        assert refused.value.code == 404
        with (
            pytest.raises(AddressInvalid, match="cannot listen there"),
            Pages().served(tmp_path / "other", f"127.0.0.1:{port}"),
        ):
            pass
    assert pages.collected == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        ("[::1]:0", ("::1", 0)),
        ("node.example:65535", ("node.example", 65535)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "9100", ":9100", "host:", "host:x", "host:65536", "::1:9100", "host:-1"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(AddressInvalid, match="write HOST:PORT"):
        parse_address(text)
