"""What a requests session lacks for Consul: a call that blocks can be ended, and an error has one short reason.

python-consul2 speaks through such a session; nothing here knows of Consul but the names in an error.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_match_hostname import CertificateError

from roj.store.consul_tls import Tls


class Sockets:
    """The sockets of one session, so that another thread can shut the one in use."""

    def __init__(self, session: requests.Session, tls: Tls) -> None:
        """Take over the session's connections."""
        self.tried = 0
        """Connections that were made, or tried to make, so far."""
        self._last: socket.socket | None = None  # one thread, one connection at a time
        self._shut = False
        sockets = self

        class Plain(HTTPConnection):
            def connect(self) -> None:
                sockets.tried += 1
                super().connect()
                sockets.note(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                sockets.tried += 1
                known = ssl.get_default_verify_paths()
                if tls.authorities:
                    self.ca_certs, self.ca_cert_dir, self.ca_cert_data = None, None, tls.authorities
                elif (
                    known.cafile or known.capath
                ):  # as Consul's command; else the collection that requests has
                    self.ca_certs, self.ca_cert_dir = known.cafile, known.capath
                super().connect()
                sockets.note(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        for prefix in ("http://", "https://"):
            adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
            adapter.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
            if tls.server_name and prefix == "https://":
                adapter.poolmanager.connection_pool_kw |= {
                    "server_hostname": tls.server_name,
                    "assert_hostname": tls.server_name,
                }
            session.mount(prefix, adapter)

    def note(self, made: socket.socket | None) -> None:
        """This one is in use from now on. Raises OSError after `shut`."""
        self._last = made
        if self._shut:
            raise ConnectionAbortedError("closed")

    def shut(self) -> None:
        """End the request that waits for an answer in another thread, and any later one."""
        self._shut = True
        if self._last is not None:
            with suppress(OSError):  # it is closed already
                # Not SSLSocket's own method, which takes the TLS state from under the thread that reads.
                socket.socket.shutdown(self._last, socket.SHUT_RDWR)


def silence_unverified() -> None:
    """Who turned verification off does not want to be told with each request."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def reason(error: BaseException) -> str:
    """The innermost cause in few words: the libraries wrap it several times, each time with all of the inner text."""
    causes = list(_causes(error))
    if any(isinstance(cause, requests.Timeout) for cause in causes):
        return "no answer in time"
    for cause in reversed(causes):
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            text = cause.strerror or str(cause)
            if text:
                return _without_place(text)[:200]
    return _without_place(str(causes[-1]))[:200] or type(causes[-1]).__name__


def _without_place(text: str) -> str:
    """OpenSSL's words, without its code and the line of Python's that it was noticed in."""
    return re.sub(r"^\[[A-Z0-9_:, ]*\] | ?\(_ssl\.c:\d+\)", "", text)


def advice(error: BaseException) -> str:
    """What to do about a failure of TLS; empty where it is none."""
    for cause in _causes(error):
        if isinstance(cause, CertificateError):
            return "CONSUL_TLS_SERVER_NAME says what name its certificate has, where that is not the host's."
        if not isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError):
            continue
        words = str(cause).upper().replace(" ", "_")
        if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER_FAILURE" in words:
            return (
                "It speaks no TLS there: is that Consul's HTTP port, and CONSUL_HTTP_SSL or https too much?"
            )
        if "VERIFY_FAILED" in words:
            return "CONSUL_CACERT or CONSUL_CAPATH names the authority that its certificate is of."
        if "ALERT" in words:
            return "It may want a certificate of ours: CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY name it."
    return ""


PLAIN_TO_TLS = "HTTP request to an HTTPS server"
"""In the words of an HTTPS port that was spoken to in plain HTTP; they come as a 400."""
SPEAKS_TLS = "It speaks HTTPS there: CONSUL_HTTP_SSL=true, or consul+https://HOST:PORT."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and not any(following is one for one in seen):
        seen.append(following)
        yield following
        inner = getattr(following, "reason", None)
        following = (
            inner if isinstance(inner, BaseException) else following.__cause__ or following.__context__
        )
