"""The store in Consul, through python-consul2: the only module that imports it.

Of python-consul2 the HTTP client is used, not its `Consul` class: that one lets environment variables override its
arguments, has no timeouts, knows no `check-index` in transactions, and turns every 409 and 429 into one generic error.
One client serves one thread, as a requests session is not to be shared.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from consul.std import HTTPClient
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from roj.store.interface import (
    MAX_OPERATIONS,
    Check,
    CheckAbsent,
    CheckSession,
    Conflict,
    Create,
    Delete,
    Discard,
    Entry,
    Listing,
    Operation,
    Set,
    StoreDenied,
    StoreUnavailable,
    Swap,
    TooLarge,
    check_size,
)

CONNECT = 3.0
"""Seconds to connect."""
PATIENCE = 10.0
"""Seconds that an answer may take, beside the wait of a blocking query."""
Flags = Sequence[tuple[str, str]]
"""Query parameters."""
_GONE_SESSION = ("invalid session", "Session lookup failed")


@dataclass(frozen=True, slots=True)
class ConsulAddress:
    """Where a Consul agent is, and how to speak to it."""

    host: str
    port: int = 8500
    scheme: str = "http"
    token: str = ""
    verify: bool | str = True
    """False: any certificate; a path: a bundle of authorities."""
    certificate: tuple[str, str] | None = None
    """Paths of the client's certificate and key."""
    auth: tuple[str, str] | None = None
    """User and password for HTTP basic authentication."""
    namespace: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"consul{'+https' if self.scheme == 'https' else ''}://{host}:{self.port}"


class _Answer(Protocol):
    code: int
    headers: Mapping[str, str]
    body: str
    content: bytes


class ConsulStore:
    """A client of Consul's KV store and sessions; the interface says what its methods promise."""

    def __init__(self, address: ConsulAddress) -> None:
        self._address = address
        self.address = str(address)
        self._http = HTTPClient(
            address.host if ":" not in address.host else f"[{address.host}]",
            address.port,
            address.scheme,
            address.verify,
            address.certificate,
        )
        self._http.session.trust_env = False  # no proxy, .netrc or CA of the environment's
        self._http.session.auth = address.auth
        self._sockets = _Sockets(self._http.session)
        self._closed = False

    # --- reading ---

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        answer = self._ask("get", f"/v1/kv/{key}", _flags(consistent), absent=True)
        if answer.code == 404:
            return None
        found = self._json(answer)
        return _entry(found[0]) if found else None

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._listing(prefix, _flags(consistent), PATIENCE)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        # Consul adds up to wait/16 of jitter (its documentation of blocking queries).
        flags = [("index", str(index)), ("wait", f"{int(wait * 1000)}ms")]
        return self._listing(prefix, flags, wait + wait / 16 + PATIENCE)

    def _listing(self, prefix: str, flags: Flags, patience: float) -> Listing:
        answer = self._ask("get", f"/v1/kv/{prefix}", [("recurse", "true"), *flags], patience, absent=True)
        try:
            index = int(answer.headers.get("X-Consul-Index", "0"))
        except ValueError:
            index = 0
        found = [] if answer.code == 404 else self._json(answer)
        entries = sorted((_entry(item) for item in found), key=lambda entry: entry.key)
        return Listing(tuple(entries), index)

    # --- writing ---

    def create(self, key: str, value: bytes) -> None:
        self._put_if(key, value, 0)

    def swap(self, key: str, value: bytes, version: int) -> None:
        if version <= 0:  # `cas=0` would create
            raise Conflict(f"{key} has no version {version}")
        self._put_if(key, value, version)

    def _put_if(self, key: str, value: bytes, version: int) -> None:
        check_size([Set(key, value)])
        answer = self._ask("put", f"/v1/kv/{key}", [("cas", str(version))], data=value)
        if self._json(answer) is not True:
            raise Conflict(f"{key} was written by somebody else")

    def delete(self, key: str, version: int) -> None:
        self.transact([Delete(key, version)])

    def transact(self, operations: Sequence[Operation]) -> None:
        check_size(operations)
        steps = [(number, step) for number, operation in enumerate(operations) for step in _steps(operation)]
        if len(steps) > MAX_OPERATIONS:  # a Delete is two
            raise TooLarge(f"a transaction of {len(steps)} operations; Consul takes {MAX_OPERATIONS}")
        body = json.dumps([step for _, step in steps]).encode()
        answer = self._ask("put", "/v1/txn", [], data=body, conflict=True)
        if answer.code == 409:
            errors = self._json(answer).get("Errors") or []
            failed = sorted({steps[error.get("OpIndex", 0)][0] for error in errors})
            words = "; ".join(str(error.get("What", "")) for error in errors)
            raise Conflict(words or "a precondition did not hold", failed)

    # --- sessions ---

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        # NodeChecks and Checks both: what Consul before 1.7 calls Checks would else default to serfHealth.
        checks = ["serfHealth"] if checked else []
        body = {
            "Name": name,
            "TTL": f"{int(ttl)}s",
            "LockDelay": "0s",
            "Behavior": "release",
            "NodeChecks": checks,
            "Checks": checks,
        }
        answer = self._ask("put", "/v1/session/create", [], data=json.dumps(body).encode())
        return str(self._json(answer)["ID"])

    def renew_session(self, session: str) -> bool:
        answer = self._ask("put", f"/v1/session/renew/{session}", [], absent=True)
        return answer.code != 404

    def end_session(self, session: str) -> None:
        self._ask("put", f"/v1/session/destroy/{session}", [])

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        return self._lock("acquire", key, value, session)

    def release(self, key: str, value: bytes, session: str) -> bool:
        return self._lock("release", key, value, session)

    def _lock(self, verb: str, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        answer = self._ask("put", f"/v1/kv/{key}", [(verb, session)], data=value, gone_session=True)
        return answer.code == 200 and self._json(answer) is True

    # --- the local Consul agent ---

    def node_name(self) -> str:
        return str(self._self()["Config"]["NodeName"])

    def node_address(self) -> str:
        return str((self._self().get("Member") or {}).get("Addr", ""))

    def _self(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json(self._ask("get", "/v1/agent/self", []))
        return found

    def clone(self) -> ConsulStore:
        return ConsulStore(self._address)

    def close(self) -> None:
        """Let go of connections. A call that blocks in another thread ends when its socket is shut."""
        self._closed = True
        self._sockets.shut()
        self._http.session.close()

    # --- one request ---

    def _ask(
        self,
        verb: str,
        path: str,
        flags: Flags,
        patience: float = PATIENCE,
        *,
        data: bytes = b"",
        absent: bool = False,
        conflict: bool = False,
        gone_session: bool = False,
    ) -> _Answer:
        """One request; answers that mean no failure here are returned, all others raise.

        Args:
            patience: seconds until the answer.
            absent: 404 is an answer.
            conflict: 409 is an answer.
            gone_session: a 500 that speaks of an invalid session is an answer.
        """
        if self._closed:
            raise StoreUnavailable(f"the client of {self.address} is closed")
        if self._address.namespace:
            flags = [*flags, ("ns", self._address.namespace)]
        self._http.timeout = (CONNECT, patience)
        headers = {"X-Consul-Token": self._address.token} if self._address.token else {}
        answer = self._sent(verb, path, flags, data, headers)
        if answer.code == 200 or (absent and answer.code == 404) or (conflict and answer.code == 409):
            return answer
        words = " ".join(answer.body.split())[:300]
        if answer.code == 403:
            raise StoreDenied(f"{self.address} denies {path}: {words or 'Permission denied'}")
        if answer.code == 413:
            raise TooLarge(f"{self.address} takes no value of that size: {words}")
        if gone_session and any(word in answer.body for word in _GONE_SESSION):
            return answer
        raise StoreUnavailable(f"{self.address} answers {path} with {answer.code}: {words}")

    def _sent(self, verb: str, path: str, flags: Flags, data: bytes, headers: dict[str, str]) -> _Answer:
        method: Callable[..., _Answer] = getattr(self._http, verb)
        arguments: dict[str, Any] = {"path": path, "params": flags, "headers": headers}
        if verb != "get":
            arguments["data"] = data
        for attempt in range(2):
            try:
                return method(_as_it_is, **arguments)
            except requests.ConnectionError as error:
                # A kept connection that the server closed meanwhile: reading again is harmless, writing may not be.
                if verb == "get" and attempt == 0 and not self._closed and _was_kept(error):
                    continue
                raise StoreUnavailable(f"{self.address} cannot be reached: {_reason(error)}") from error
            except (requests.RequestException, OSError, ValueError, AttributeError) as error:
                raise StoreUnavailable(f"{self.address} does not answer: {_reason(error)}") from error
        raise AssertionError

    def _json(self, answer: _Answer) -> Any:
        try:
            return json.loads(answer.body)
        except ValueError:
            start = " ".join(answer.body.split())[:80]
            raise StoreUnavailable(f"{self.address} answers with what is no JSON: {start!r}") from None


def _as_it_is(answer: _Answer) -> _Answer:
    return answer


def _flags(consistent: bool) -> Flags:
    return [("consistent", "")] if consistent else []


def _entry(item: Mapping[str, Any]) -> Entry:
    value = base64.b64decode(item["Value"]) if item.get("Value") else b""
    return Entry(item["Key"], value, int(item["ModifyIndex"]), item.get("Session") or "")


def _steps(operation: Operation) -> list[dict[str, Any]]:
    """The operations of Consul's transaction that one of ours is."""

    def step(verb: str, **more: object) -> dict[str, Any]:
        return {"KV": {"Verb": verb, "Key": operation.key, **more}}

    def encoded(value: bytes) -> str:
        return base64.b64encode(value).decode()

    match operation:
        case Check(_, version):
            return [step("check-index", Index=version)]
        case CheckAbsent():
            return [step("check-not-exists")]
        case CheckSession(_, session):
            return [step("check-session", Session=session)]
        case Set(_, value):
            return [step("set", Value=encoded(value))]
        case Create(_, value):
            return [step("cas", Value=encoded(value), Index=0)]
        case Swap(_, value, version):
            if version <= 0:  # `cas` with index 0 would create
                return [step("check-index", Index=version), step("cas", Value=encoded(value), Index=version)]
            return [step("cas", Value=encoded(value), Index=version)]
        case Delete(_, version):
            return [step("check-index", Index=version), step("delete-cas", Index=version)]
        case Discard():
            return [step("delete")]


def _was_kept(error: requests.ConnectionError) -> bool:
    words = str(error)
    return "RemoteDisconnected" in words or "Connection reset" in words or "BrokenPipe" in words


def _reason(error: BaseException) -> str:
    """The innermost reason, without the wrappings of the libraries."""
    if isinstance(error, requests.Timeout):
        return "timed out"
    words = str(error)
    for end in ("Connection refused", "Name or service not known", "No route to host", "timed out"):
        if end in words:
            return end.lower()
    return words[:200] or type(error).__name__


class _Sockets:
    """The socket in use, so that another thread can shut it and so end a call that blocks."""

    def __init__(self, session: requests.Session) -> None:
        self._open: list[socket.socket] = []
        noted = self._open

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                noted[:] = [self.sock]

        class Tls(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                noted[:] = [self.sock]

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        for adapter in session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                adapter.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def shut(self) -> None:
        for found in self._open:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
