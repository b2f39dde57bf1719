"""The agent's HTTP endpoint: /metrics, /healthz, /readyz, on a unix socket and, where told, on TCP.

What `roj node gc` asks for, /gc, is on the unix socket alone, which only the agent's own user may open.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn

from roj.api.faults import quoted
from roj.environment import Environment, Thread

log = logging.getLogger(__name__)

Answer = tuple[int, str, str]
"""Status, content type, body."""
Pages = Mapping[tuple[str, str], Callable[[], Answer]]
"""What makes an answer, by method and path."""

_LONGEST_SOCKET_PATH = 107  # bytes of sun_path that Linux takes


def socket_path(directory: Path) -> Path:
    """The unix socket of the agent that works with a state directory."""
    return directory.absolute() / "agent.sock"


def ask(directory: Path, method: str, page: str, *, timeout: float = 120.0) -> Answer:
    """One request to the agent that works with a state directory.

    Args:
        timeout: seconds without a byte of an answer.

    Raises:
        OSError: no agent serves there, or this user may not ask it.
    """
    connection = _UnixConnection(socket_path(directory), timeout)
    try:
        connection.request(method, page)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(f"the agent hung up: {error}") from error
    finally:
        connection.close()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The socket's path, or a shorter one for the same where Linux does not take it: by way of its directory."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with _short(self._path) as path:
            self.sock.connect(path)


class AddressInvalid(ValueError):
    """`--http` is not HOST:PORT, or cannot be listened on."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    pages: Pages

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody who hangs up early is no news."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(("localhost", 0), _Handler)

    def server_bind(self) -> None:
        with _short(self._path) as path:
            self.socket.bind(path)
        self._path.chmod(0o600)  # nobody can connect yet: it does not listen
        self.server_name, self.server_port = "localhost", 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path = self.path.partition("?")[0]
        page = self.server.pages.get((method, path))
        if page is None:
            known = any(path == other for _, other in self.server.pages)
            self._send(
                (405, "text/plain", "no such method\n") if known else (404, "text/plain", "no such page\n")
            )
            return
        try:
            answer = page()
        except Exception as error:  # whatever a page fails by is its answer, and logged; the server serves on
            log.exception("%s %s", method, path)
            answer = (500, "text/plain", f"{type(error).__name__}: {error}\n")
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        status, kind, body = answer
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
            OSError: the unix socket cannot be made.
        """
        pages: Pages = {
            ("GET", "/metrics"): lambda: (200, "text/plain; version=0.0.4", metrics()),
            ("GET", "/healthz"): lambda: _verdict(healthy()),
            ("GET", "/readyz"): lambda: _verdict(ready()),
        }
        garbage: Pages = {
            ("GET", "/gc"): lambda: collect(False),
            ("POST", "/gc"): lambda: collect(True),
        }
        self._unix = socket_path(directory)
        self._servers: list[_Server] = []
        self._threads: list[Thread] = []
        if tcp is not None:
            self._serve(environment, _tcp_server(tcp), pages)
        try:
            _remove_socket(self._unix)
            self._serve(environment, _UnixServer(self._unix), {**pages, **garbage})
        except BaseException:
            self.close()
            raise

    def _serve(self, environment: Environment, server: _Server, pages: Pages) -> None:
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


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; the host without the brackets of IPv6. Port 0 is a free one.

    Raises:
        AddressInvalid: it is not of that form.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if (
        not colon
        or not bare
        or not re.fullmatch(r"[0-9]{1,5}", port)
        or int(port) > 65535
        or (":" in bare and bare == host)
    ):
        raise AddressInvalid(f"{quoted(text)}: write HOST:PORT, as in 127.0.0.1:9100 or [::1]:9100")
    return bare, int(port)


def _tcp_server(address: str) -> _Server:
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("_TcpServer", (_Server,), {"address_family": family})
    try:
        server: _Server = kind((host, port), _Handler)
    except OSError as error:
        raise AddressInvalid(f"--http {address}: cannot listen there: {error.strerror or error}") from None
    return server


def _remove_socket(path: Path) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
