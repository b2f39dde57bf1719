"""The store in Consul, through python-consul2: the only module that imports it.

Of python-consul2 its HTTP client is used, not its `Consul` class: that one lets environment variables override its
arguments, has no timeouts, knows no `check-index` in transactions, turns every 409 and 429 into one generic error, and
fails with whatever comes first where an answer is not JSON. Here every call is one request, and an answer that is not
Consul's is StoreUnavailable.

One client serves one thread, as a requests session is not to be shared; only `close` may come from another.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import requests
import urllib3
from consul.std import HTTPClient

from roj.store import consul_http
from roj.store.consul_address import ConsulAddress
from roj.store.consul_operations import steps_of
from roj.store.interface import (
    Conflict,
    Delete,
    Entry,
    Listing,
    Operation,
    Set,
    StoreDenied,
    StoreUnavailable,
    TooLarge,
    check_size,
)

CONNECT = 3.0
"""Seconds to connect."""
PATIENCE = 10.0
"""Seconds that an answer may take, beside the wait of a blocking query. Consul itself looks 7 s for a leader."""
SHORTEST_TTL = 10.0
"""Seconds; Consul refuses a session with a shorter one."""

_GONE = ("invalid session", "session lookup")
"""In Consul's words for a session that is not, or whose id cannot be one; they come as a 500."""
_UNKNOWN_TOKEN = "ACL not found"
"""In Consul's words for a token that it does not know."""
_TROUBLE = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,  # an answer's head that is none
    AttributeError,  # a connection that is closed from another thread has no socket any more
)

T = TypeVar("T")
Flags = list[tuple[str, str]]


class Answer(Protocol):
    """What python-consul2 makes of an answer."""

    code: int
    headers: Mapping[str, str]
    body: str


class ConsulStore:
    """A client of Consul's KV store and sessions; the interface says what its methods promise."""

    def __init__(self, address: ConsulAddress) -> None:
        """Nothing is asked yet: Consul may be away."""
        self._address = address
        self.address = str(address)
        host, _, port = address.authority.rpartition(":")
        self._http = HTTPClient(host, port, address.scheme, address.tls.verify, address.tls.certificate)
        session = self._http.session
        session.trust_env = False  # no proxy, .netrc or CA of the environment's
        session.max_redirects = 0  # Consul does not redirect; what does is not Consul
        session.auth = address.auth
        session.headers["Accept-Encoding"] = "identity"  # the agent is near, and compressing costs it
        for header, value in (
            ("X-Consul-Token", address.token),
            ("X-Consul-Namespace", address.namespace),
            ("X-Consul-Partition", address.partition),
        ):
            if value:
                session.headers[header] = value.encode()
        if not address.tls.verify:
            consul_http.silence_unverified()
        self._sockets = consul_http.Sockets(session, address.tls)
        self._closed = False

    # --- reading ---

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        answer = self._ask("get", f"/v1/kv/{key}", _flags(consistent), absent=True)
        entries = self._listing(answer).entries
        return entries[0] if entries else None

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        flags = [("recurse", "true"), *_flags(consistent)]
        return self._listing(self._ask("get", f"/v1/kv/{prefix}", flags, absent=True))

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        # A wait of 0 would be Consul's default of 5 minutes.
        milliseconds = max(int(wait * 1000), 1)
        flags = [("recurse", "true"), ("index", str(index)), ("wait", f"{milliseconds}ms")]
        return self._listing(self._ask("get", f"/v1/kv/{prefix}", flags, wait=wait, absent=True))

    def _listing(self, answer: Answer) -> Listing:
        # Consul gives the index with a 404, too; a 404 without one is a proxy's, and no word on what there is.
        def read() -> Listing:
            index = int(answer.headers["X-Consul-Index"])
            found = [] if answer.code == 404 else json.loads(answer.body)
            return Listing(tuple(sorted(map(_entry, found), key=lambda entry: entry.key.encode())), index)

        return self._understood(answer, read)

    # --- writing ---

    def create(self, key: str, value: bytes) -> None:
        self._put_if(key, value, 0, f"{key} exists")

    def swap(self, key: str, value: bytes, version: int) -> None:
        why = f"{key} has not version {version}"
        if version <= 0:  # `cas=0` would create
            raise Conflict(why, (0,))
        self._put_if(key, value, version, why)

    def _put_if(self, key: str, value: bytes, version: int, why: str) -> None:
        check_size([Set(key, value)])
        if not self._truth(self._ask("put", f"/v1/kv/{key}", [("cas", str(version))], value)):
            raise Conflict(why, (0,))

    def delete(self, key: str, version: int) -> None:
        self.transact([Delete(key, version)])

    def transact(self, operations: Sequence[Operation]) -> None:
        check_size(operations)
        steps = steps_of(operations)
        body = json.dumps([step for _, step in steps]).encode()
        # A transaction of checks alone is a read to Consul, and might be stale.
        answer = self._ask("put", "/v1/txn", _flags(True), body, conflict=True)
        if answer.code == 200:
            self._understood(answer, lambda: json.loads(answer.body)["Results"])
            return
        errors: dict[int, str] = self._understood(
            answer,
            lambda: {
                steps[error["OpIndex"]][0]: str(error["What"]) for error in json.loads(answer.body)["Errors"]
            },
        )
        words = "; ".join(errors.values())
        if "Permission denied" in words or _UNKNOWN_TOKEN in words:
            raise self._denied("the transaction", words)
        raise Conflict(words or "a precondition did not hold", sorted(errors))

    # --- sessions ---

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        # NodeChecks and Checks both: Consul before 1.7 knows the latter only, and takes serfHealth if it is left out.
        checks = ["serfHealth"] if checked else []
        body = {
            "Name": name,
            "TTL": f"{max(ttl, SHORTEST_TTL):g}s",
            "LockDelay": "0s",
            "Behavior": "release",
            "NodeChecks": checks,
            "Checks": checks,
        }
        answer = self._ask("put", "/v1/session/create", [], json.dumps(body).encode())
        return self._understood(answer, lambda: str(json.loads(answer.body)["ID"]))

    def renew_session(self, session: str) -> bool:
        answer = self._ask("put", f"/v1/session/renew/{session}", [], absent=True, gone=True)
        if session not in answer.body and answer.code in (200, 404):
            raise self._not_consul(answer)  # Consul names the session, whether it lives or not
        return answer.code == 200

    def end_session(self, session: str) -> None:
        answer = self._ask("put", f"/v1/session/destroy/{session}", [], gone=True)
        if answer.code == 200:
            self._truth(answer)

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        return self._lock("acquire", key, value, session)

    def release(self, key: str, value: bytes, session: str) -> bool:
        return self._lock("release", key, value, session)

    def _lock(self, verb: str, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        if not session:  # it would be a plain write
            return False
        answer = self._ask("put", f"/v1/kv/{key}", [(verb, session)], value, gone=True)
        return answer.code == 200 and self._truth(answer)

    # --- the local Consul agent, and the client itself ---

    def node_name(self) -> str:
        answer = self._ask("get", "/v1/agent/self", [])
        return self._understood(answer, lambda: str(json.loads(answer.body)["Config"]["NodeName"]))

    def node_address(self) -> str:
        answer = self._ask("get", "/v1/agent/self", [])
        return self._understood(answer, lambda: str(json.loads(answer.body)["Member"]["Addr"]))

    def clone(self) -> ConsulStore:
        return ConsulStore(self._address)

    def close(self) -> None:
        self._closed = True
        self._sockets.shut()
        self._http.session.close()

    # --- one request ---

    def _ask(
        self,
        verb: str,
        path: str,
        flags: Flags,
        data: bytes = b"",
        *,
        wait: float = 0.0,
        absent: bool = False,
        conflict: bool = False,
        gone: bool = False,
    ) -> Answer:
        """One request; answers that mean no failure here are returned, all others raise.

        Args:
            wait: seconds that Consul is asked to wait before it answers.
            absent: 404 is an answer.
            conflict: 409 is an answer.
            gone: an error that speaks of an unknown session is an answer.
        """
        # Consul adds up to a sixteenth (https://developer.hashicorp.com/consul/api-docs/features/blocking).
        self._http.timeout = (CONNECT, wait + wait / 16 + PATIENCE)
        answer = self._sent(verb, path, flags, data)
        code = answer.code
        if code == 200 or (absent and code == 404) or (conflict and code == 409):
            return answer
        words = " ".join(answer.body.split())[:300]
        if gone and any(word in words for word in _GONE):
            return answer
        if code in (401, 403):
            raise self._denied(path, words)
        if code == 413:
            raise TooLarge(f"{self.address} takes nothing of that size: {words}")
        todo = consul_http.SPEAKS_TLS if consul_http.PLAIN_TO_TLS in words else ""
        raise StoreUnavailable(f"{self.address} answers {path} with {code}: {words}", advice=todo)

    def _sent(self, verb: str, path: str, flags: Flags, data: bytes) -> Answer:
        method: Callable[..., Answer] = getattr(self._http, verb)
        arguments: dict[str, Any] = {"path": path, "params": flags}
        if verb != "get":
            arguments["data"] = data
        for last in (False, True):
            if self._closed:
                raise StoreUnavailable(f"{self.address}: the client is closed")
            tried = self._sockets.tried
            try:
                return method(_as_it_is, **arguments)
            except _TROUBLE as error:
                # A kept connection that the server closed meanwhile: reading again is harmless, writing may not be.
                kept = tried == self._sockets.tried and isinstance(error, requests.ConnectionError)
                if kept and verb == "get" and not last and not self._closed:
                    continue
                why = "the client is closed" if self._closed else consul_http.reason(error)
                raise StoreUnavailable(f"{self.address}: {why}", advice=consul_http.advice(error)) from error
        raise AssertionError

    def _denied(self, what: str, words: str) -> StoreDenied:
        source = self._address.token_from
        if not source:
            whose = "without a token"
            todo = "Set CONSUL_HTTP_TOKEN, or CONSUL_HTTP_TOKEN_FILE to the path of a file that has one."
        elif _UNKNOWN_TOKEN in words:
            whose = f"with the token of {source}"
            todo = f"Consul does not know the token of {source}."
        else:
            whose = f"with the token of {source}"
            todo = f"The token in use is that of {source}."
        return StoreDenied(f"{self.address} denies {what} {whose}: {words or 'no reason given'}", advice=todo)

    def _truth(self, answer: Answer) -> bool:
        """Consul's `true` or `false`."""
        said = answer.body.strip()
        if said not in ("true", "false"):
            raise self._not_consul(answer)
        return said == "true"

    def _understood(self, answer: Answer, read: Callable[[], T]) -> T:
        try:
            return read()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, binascii.Error) as error:
            raise self._not_consul(answer) from error

    def _not_consul(self, answer: Answer) -> StoreUnavailable:
        start = " ".join(answer.body.split())[:80]
        return StoreUnavailable(f"{self.address} answers {answer.code} and not as Consul does: {start!r}")


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _flags(consistent: bool) -> Flags:
    return [("consistent", "1")] if consistent else []


def _entry(item: Mapping[str, Any]) -> Entry:
    value = base64.b64decode(item["Value"]) if item["Value"] is not None else b""
    return Entry(str(item["Key"]), value, int(item["ModifyIndex"]), item.get("Session") or "")
