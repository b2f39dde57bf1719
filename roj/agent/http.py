"""The agent's HTTP endpoint: /metrics, /healthz, /readyz, on a unix socket and, where told, on TCP.

What `roj node gc` asks for, /gc, is on the unix socket alone, which only the agent's own user may open.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn

from roj.environment import Environment, Thread

Answer = tuple[int, str, str]
"""Status, content type, body."""

_LONGEST_SOCKET_PATH = 107  # bytes of sun_path that Linux takes


def socket_path(directory: Path) -> Path:
    """The unix socket of the agent that works with a state directory.

    It is in it; where that path is longer than Linux takes, in a directory under /tmp that the path's hash names.
    """
    path = directory.absolute() / "agent.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"roj-{os.geteuid()}-{name}" / "agent.sock"


class AddressInvalid(ValueError):
    """`--http` is not HOST:PORT, or cannot be listened on."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    pages: dict[tuple[str, str], Callable[[], Answer]]
    """By method and path."""

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
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        page = self.server.pages.get((method, self.path.partition("?")[0]))
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
        directory: Path,
        tcp: str | None,
        *,
        metrics: Callable[[], str],
        healthy: Callable[[], str | None],
        ready: Callable[[], str | None],
        collect: Callable[[bool], Answer],
    ) -> None:
        """Begin to serve.

        Args:
            environment: for its threads.
            directory: the state directory; `socket_path` says where its socket is. One that an earlier process
                left is replaced.
            tcp: `HOST:PORT`, or None.
            metrics: Prometheus text.
            healthy: why the process is not healthy; None: it is.
            ready: why the node is not ready; None: it is.
            collect: what garbage collection would remove (False), or removed (True), as JSON.

        Raises:
            AddressInvalid: `tcp` cannot be listened on.
        """
        pages: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/metrics"): lambda: (200, "text/plain; version=0.0.4", metrics()),
            ("GET", "/healthz"): lambda: _verdict(healthy()),
            ("GET", "/readyz"): lambda: _verdict(ready()),
        }
        garbage: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/gc"): lambda: collect(False),
            ("POST", "/gc"): lambda: collect(True),
        }
        self._unix = socket_path(directory)
        self._servers: list[_Server] = []
        self._threads: list[Thread] = []
        if tcp is not None:
            self._serve(environment, _tcp_server(tcp), pages)
        self._unix.parent.mkdir(mode=0o700, exist_ok=True)
        _remove_socket(self._unix)
        unix = _UnixServer(str(self._unix), _Handler)  # type: ignore[arg-type]
        self._unix.chmod(0o600)
        self._serve(environment, unix, pages | garbage)

    def _serve(
        self, environment: Environment, server: _Server, pages: dict[tuple[str, str], Callable[[], Answer]]
    ) -> None:
        server.pages = pages
        self._servers.append(server)
        self._threads.append(environment.spawn("http", lambda: server.serve_forever(0.2)))

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
