"""A server that answers requests as it was told, whether that is HTTP or not, and remembers what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Script = Callable[[int], bytes | None]
"""From the number of a request to what is sent; `b""`: the connection is closed; None: nothing, and it stays open."""


def answer(status: str, body: str | bytes = "", **headers: str) -> bytes:
    """An answer in HTTP; header names are written with `_` for `-`."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def one_after_another(answers: Iterable[bytes | None]) -> Script:
    """The n-th of them for the n-th request."""
    listed = list(answers)
    return lambda number: listed[number]


@dataclass(frozen=True)
class Request:
    """What a client asked: the first line's parts, headers in small letters, the body."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The number of the connection that it came by."""


class Scripted:
    """Listens on 127.0.0.1 at `port`."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.requests: list[Request] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"consul://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):  # it is closed
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = len(self._connections)
            self._connections.append(connection)
            self._start(lambda connection=connection, number=number: self._serve(connection, number))  # type: ignore[misc]  # mypy cannot infer defaults

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while (first := stream.readline().decode().split()) != []:
                    headers = {}
                    while (line := stream.readline().decode().strip()) != "":
                        name, _, value = line.partition(":")
                        headers[name.lower()] = value.strip()
                    body = stream.read(int(headers.get("content-length", "0")))
                    with self._lock:
                        count = len(self.requests)
                        self.requests.append(Request(first[0], first[1], headers, body, number))
                    sent = self._script(count)
                    if sent == b"":
                        return
                    if sent is not None:
                        connection.sendall(sent)
            except OSError:
                return
