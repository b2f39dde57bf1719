"""Connections to a Docker daemon, and the credentials for registries: all that roj takes from Docker's library.

The only module that imports the library. A client of it is a requests session, which threads may not share: each call
borrows one of a free list. The API's version is settled once, and again after the daemon was away, as it may have come
back as another.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import docker
import requests
import urllib3
from docker.auth import AuthConfig, resolve_repository_name
from docker.errors import APIError, DockerException, StreamParseError
from docker.tls import TLSConfig
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool
from docker.utils import parse_repository_tag

from roj.environment import Environment
from roj.runtime import docker_errors
from roj.runtime.endpoint import Endpoint
from roj.runtime.interface import RuntimeFailure, RuntimeUnavailable

API_VERSION = (1, 41)
"""Of Docker 20.10: what this was written to. Newer daemons speak it, too, unless their oldest is newer (29: 1.44)."""

CALL_TIMEOUT = 60
"""Seconds without a byte of an answer after which the daemon counts as away; Docker's library waits as long."""

PULL_TIMEOUT = 120
"""Seconds without a line of a pull after which it is given up; dockerd itself waits 30 s for a connection."""

TROUBLE = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    DockerException,
    StreamParseError,
    OSError,
    ValueError,
    KeyError,  # an answer that is not Docker's, a proxy's perhaps
)
"""What the library raises when there is no proper answer. APIError, which is one, is among them: catch it first."""

Meaning = Callable[[int, str], RuntimeFailure]
"""From status and words of an error that Docker answered to one of the interface's."""


class Silence(RuntimeUnavailable):
    """The connection stands and nothing came in time."""


class Client(docker.APIClient):
    """The library's client; its streams, which have no timeout there, have one."""

    stream_timeout: float | None = PULL_TIMEOUT

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if options.get("timeout") is None:
            options["timeout"] = self.stream_timeout
        return super().send(request, **options)


class Clients:
    """Clients of one daemon, lent to one call each. Safe to use from several threads."""

    def __init__(self, environment: Environment, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = environment.lock()
        self._free: list[Client] = []
        self._version: str | None = None
        self._closed = False

    @contextmanager
    def lent(
        self,
        meaning: Meaning = docker_errors.of_call,
        *,
        patience: int = CALL_TIMEOUT,
        alone: bool = False,
    ) -> Iterator[Client]:
        """A client for one call, which waits `patience` seconds for an answer. `alone`: a new one, closed afterwards.

        Raises: what `meaning` makes of the daemon's errors; RuntimeUnavailable.
        """
        client = None
        try:
            client = self._borrow(alone)
            client.timeout = patience
            yield client
        except APIError as error:
            raise meaning(error.status_code or 0, str(error.explanation or error)) from error
        except RuntimeFailure:
            raise
        except TROUBLE as error:
            alone = True
            self._forget()
            kind = Silence if _is_silence(error) else RuntimeUnavailable
            raise kind(f"Docker at {self._endpoint.url} does not answer: {reason(error)}") from error
        except BaseException:
            alone = True  # its answer may be half read
            raise
        finally:
            if client is not None:
                self._give_back(client, alone)

    def close(self) -> None:
        """Close what is not lent; what is, closes when it comes back."""
        with self._lock:
            self._closed = True
        self._forget()

    def _borrow(self, alone: bool) -> Client:
        with self._lock:
            if self._closed:
                raise RuntimeUnavailable("this runtime is closed")
            if self._free and not alone:
                return self._free.pop()
            version = self._version
        if version is None:
            with self._connect(".".join(map(str, API_VERSION))) as first:
                version = _common_version(first.version(api_version=False))
            with self._lock:
                self._version = version
        return self._connect(version)

    def _connect(self, version: str) -> Client:
        client = Client(
            base_url=self._endpoint.url,
            version=version,
            timeout=CALL_TIMEOUT,
            tls=_tls(self._endpoint),
            use_ssh_client=self._endpoint.url.startswith("ssh://"),
        )
        if self._endpoint.url.startswith("unix://"):
            client.mount(
                "http+docker://", _Adapter(f"http+{self._endpoint.url}", CALL_TIMEOUT, pool_connections=2)
            )
        return client

    def _give_back(self, client: Client, alone: bool) -> None:
        with self._lock:
            if not alone and not self._closed:
                self._free.append(client)
                return
        client.close()

    def _forget(self) -> None:
        """The daemon was away: settle the version again, open connections anew."""
        with self._lock:
            self._version = None
            clients, self._free = self._free, []
        for client in clients:
            client.close()


class _Connection(UnixHTTPConnection):
    """The library's, but a socket that cannot connect is closed."""

    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(self.timeout)
            opened.connect(self.unix_socket)
        except BaseException:
            opened.close()
            raise
        self.sock = opened


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:  # the two libraries' stubs disagree
        return _Connection(self.base_url, self.socket_path, cast("Any", self.timeout))


class _Adapter(UnixHTTPAdapter):
    """The library's, with our connections."""

    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(url, self.socket_path, self.timeout)
        return pool


def credentials(
    reference: str, configuration: Path, variables: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """What Docker's own files and helpers say now of the registry of `reference`, and what was wrong with them.

    As Docker's command does, a pull goes on without credentials where they cannot be had: most images need none.
    """
    path = configuration / "config.json"
    try:
        registry, _ = resolve_repository_name(parse_repository_tag(reference)[0])
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content:
            return {}, ""
        known = AuthConfig.load_config(None, content, credstore_env=dict(variables))
        return dict(known.resolve_authconfig(registry) or {}), ""
    except FileNotFoundError:
        return {}, ""
    except TROUBLE as error:
        return {}, f"{path}: {reason(error)}"


def with_tag(reference: str) -> str:
    """As Docker: without tag and digest it is `latest`, not all tags."""
    return reference if parse_repository_tag(reference)[1] else f"{reference}:latest"


def reason(error: BaseException) -> str:
    """The innermost reason: the library wraps "No such file or directory" five times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _is_silence(error: Exception) -> bool:
    return isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError | TimeoutError)


def _common_version(found: Mapping[str, Any]) -> str:
    """Ours, unless the daemon's newest is older or its oldest newer."""
    newest, oldest = (
        tuple(map(int, str(found.get(key) or ".".join(map(str, API_VERSION))).split(".")))
        for key in ("ApiVersion", "MinAPIVersion")
    )
    return ".".join(map(str, max(min(API_VERSION, newest), oldest)))


def _tls(where: Endpoint) -> TLSConfig | bool:
    if where.tls is None:
        return False
    certificate, key = where.tls.certificate, where.tls.key
    return TLSConfig(
        client_cert=(str(certificate), str(key)) if certificate and key else None,
        ca_cert=str(where.tls.authority) if where.tls.authority else None,
        verify=where.tls.verify,
    )
