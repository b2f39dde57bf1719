"""The agent's HTTP endpoint: /metrics, /healthz, /readyz, on a unix socket and, where told, on TCP."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn

from roj.environment import Environment, Thread

Answer = tuple[int, str, str]
"""Status, content type, body."""

_LONGEST_SOCKET_PATH = 107  # bytes of sun_path that Linux takes


class AddressInvalid(ValueError):
    """`--http` is not HOST:PORT, or cannot be listened on."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    pages: dict[str, Callable[[], Answer]]

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody who hangs up early is no news."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = page() if page else (404, "text/plain", "no such page\n")
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


class Endpoint:
    """Serves the pages until it is closed."""

    def __init__(
        self,
        environment: Environment,
        unix: Path,
        tcp: str | None,
        *,
        metrics: Callable[[], str],
        healthy: Callable[[], str | None],
        ready: Callable[[], str | None],
    ) -> None:
        """Begin to serve.

        Args:
            environment: for its threads.
            unix: the unix socket; one that an earlier process left is replaced.
            tcp: `HOST:PORT`, or None.
            metrics: Prometheus text.
            healthy: why the process is not healthy; None: it is.
            ready: why the node is not ready; None: it is.

        Raises:
            AddressInvalid: `tcp` cannot be listened on.
        """
        pages: dict[str, Callable[[], Answer]] = {
            "/metrics": lambda: (200, "text/plain; version=0.0.4", metrics()),
            "/healthz": lambda: _verdict(healthy()),
            "/readyz": lambda: _verdict(ready()),
        }
        self._unix = unix
        self._servers: list[_Server] = []
        self._threads: list[Thread] = []
        if len(os.fsencode(unix)) <= _LONGEST_SOCKET_PATH:
            _remove_socket(unix)
            self._servers.append(_UnixServer(str(unix), _Handler))  # type: ignore[arg-type]
            unix.chmod(0o600)
        if tcp is not None:
            self._servers.append(_tcp_server(tcp))
        for server in self._servers:
            server.pages = pages
            self._threads.append(
                environment.spawn("http", lambda server=server: server.serve_forever(0.2))  # type: ignore[misc]
            )

    @property
    def served_on_socket(self) -> bool:
        """Whether the unix socket is there: a path over 107 bytes is longer than Linux takes."""
        return any(isinstance(server, _UnixServer) for server in self._servers)

    def close(self) -> None:
        """Serve no more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(2.0)
        _remove_socket(self._unix)


def _verdict(problem: str | None) -> Answer:
    return (200, "text/plain", "ok\n") if problem is None else (503, "text/plain", problem + "\n")


def _tcp_server(address: str) -> _Server:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise AddressInvalid(f"--http {address}: write HOST:PORT, as in 127.0.0.1:9100")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("_TcpServer", (_Server,), {"address_family": family})
    try:
        server: _Server = kind((host.strip("[]"), int(port)), _Handler)
    except OSError as error:
        raise AddressInvalid(f"--http {address}: cannot listen there: {error.strerror or error}") from None
    return server


def _remove_socket(path: Path) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
