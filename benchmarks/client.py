"""A client that asks a web server again and again, and knows how long it got no answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PERIOD = 0.01
"""Seconds between the beginnings of two requests."""
PATIENCE = 1.0
"""Seconds that a request waits for its answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; both moments on the monotonic clock."""

    began: float
    ended: float
    page: str
    """Empty: no answer."""


class Polling:
    """Asks `http://127.0.0.1:PORT/` every 10 ms, at the first of `ports()` that answers, between `with` and its end."""

    def __init__(self, ports: Callable[[], Iterable[int]]) -> None:
        self._ports = ports
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.requests: list[Request] = []

    def __enter__(self) -> Polling:
        self._thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.3)
        self._stopping.set()
        self._thread.join()

    @property
    def downtime(self) -> float:
        """Seconds without an answer: from each first request that failed to the next answer."""
        lost, since = 0.0, None
        for request in self.requests:
            if not request.page:
                since = request.began if since is None else since
            elif since is not None:
                lost, since = lost + request.ended - since, None
        assert since is None, "it never answered again"
        return lost

    def first(self, page: str) -> float:
        """When that page was answered first, on the monotonic clock."""
        return next(request.ended for request in self.requests if request.page == page)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            began = time.monotonic()
            page = next(filter(None, map(ask, self._ports())), "")
            self.requests.append(Request(began, time.monotonic(), page))
            due = max(due + PERIOD, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


def ask(port: int) -> str:
    """The page at that port; empty where there is no whole answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(b"GET / HTTP/1.0\r\nHost: bench\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode() if head.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")) else ""


class Followed:
    """A value that is looked up every 50 ms, as a proxy in front of the service would."""

    def __init__(self, look: Callable[[], list[int]]) -> None:
        self._look = look
        self._found = look()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __call__(self) -> list[int]:
        return self._found

    def __enter__(self) -> Followed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            self._found = self._look()
