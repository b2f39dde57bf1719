"""Counts the requests that an agent sends to Consul, as a proxy on loopback between the two."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class CountingProxy:
    """Forwards bytes to Consul and counts the HTTP requests in them, by method."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.reads = 0
        self.writes = 0
        self.renewals = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.reads = self.writes = self.renewals = 0

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, requests: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if requests:
                    self._count(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, data: bytes) -> None:
        # A request begins a segment: a client waits for the answer before it sends the next.
        line = data.split(b"\r\n", 1)[0]
        if line.startswith(b"GET "):
            self.reads += 1
        elif line.startswith(b"PUT /v1/session/renew/"):
            self.renewals += 1
        elif line.startswith(b"PUT "):
            self.writes += 1
