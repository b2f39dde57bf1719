"""The store: versioned values under keys, with compare-and-swap, transactions, blocking reads and sessions.

Semantics are those of Consul's KV store. `version` is Consul's ModifyIndex of a key, `index` its X-Consul-Index of an
answer; both are compared for equality and never for truth (DESIGN.md section 4). A client is used by one thread at a
time; `clone` makes another one for another thread.

    StoreError
     +- StoreUnavailable      unreachable, timed out, 5xx, no leader: the outcome of a write is unknown
     +- StoreDenied           the token may not (403)
     +- TooLarge              a value or transaction is over the limits: nothing was sent
     +- Conflict              a precondition did not hold: nothing was written
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from roj.api.record import MAX_VALUE

MAX_OPERATIONS = 64
"""Operations of one transaction, as `count` counts them (Consul's txn endpoint)."""
MAX_TRANSACTION = 500_000
"""Bytes of a transaction's JSON, base64 included (Consul answers 413 or resets beyond 512 KB)."""


class StoreError(Exception):
    """Something is wrong with the store."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        """`advice`: what a person can do about it, in a sentence, where the store knows."""
        super().__init__(message)
        self.advice = advice


class StoreUnavailable(StoreError):
    """The store did not answer, or answered that it cannot now. A write may or may not have been applied."""


class StoreDenied(StoreError):
    """The token does not allow it."""


class TooLarge(StoreError):
    """A value or a transaction is larger than the store takes; nothing was sent."""


class Conflict(StoreError):
    """A precondition did not hold; nothing was written.

    `failed` has the positions of the operations that failed, where the store said so.
    """

    def __init__(self, message: str, failed: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value."""

    key: str
    value: bytes
    version: int
    session: str = ""
    """The session that holds the key; empty: none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys under a prefix, in the order of their names, and the index of the answer."""

    entries: tuple[Entry, ...]
    index: int


@dataclass(frozen=True, slots=True)
class Check:
    """Precondition: the key exists with this version."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class CheckAbsent:
    """Precondition: the key does not exist."""

    key: str


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Precondition: the key is held by this session."""

    key: str
    session: str


@dataclass(frozen=True, slots=True)
class Set:
    """Write without a precondition (beware: overwrites; also a locked key)."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Create:
    """Write; the key must not exist."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Swap:
    """Write; the key must exist with this version."""

    key: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete; the key must exist with this version (a Check goes with it: Consul's delete-cas of no key succeeds)."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete whatever is there, if anything."""

    key: str


Operation = Check | CheckAbsent | CheckSession | Set | Create | Swap | Delete | Discard


class Store(Protocol):
    """A client of the store, for one thread at a time.

    Every call may raise StoreUnavailable and StoreDenied; writes also TooLarge.
    """

    address: str
    """Where it is, as `--store` takes it: `consul://127.0.0.1:8500`."""

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        """The key, or None. `consistent`: confirmed by a quorum, never stale."""

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        """All under `prefix`, which ends in `/`; empty if there is none."""

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        """The listing as soon as its index is another than `index`, or after `wait` seconds.

        It may return early with nothing changed. `index` 0 does not block.
        """

    def create(self, key: str, value: bytes) -> None:
        """Write a key that does not exist.

        Raises:
            Conflict: it does.
        """

    def swap(self, key: str, value: bytes, version: int) -> None:
        """Write a key that has this version.

        Raises:
            Conflict: it has another, or does not exist.
        """

    def delete(self, key: str, version: int) -> None:
        """Delete a key that has this version.

        Raises:
            Conflict: it has another, or does not exist.
        """

    def transact(self, operations: Sequence[Operation]) -> None:
        """All of them or none, at once.

        Raises:
            Conflict: a precondition did not hold.
            TooLarge: more than MAX_OPERATIONS, or more bytes than MAX_TRANSACTION.
        """

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        """A new session that ends `ttl` to 2 `ttl` seconds after its last renewal (10 at least), lock-delay 0.

        `checked`: it ends also when the local Consul agent's serfHealth fails. When it ends, its keys are released.
        """

    def renew_session(self, session: str) -> bool:
        """Whether it still lived; it now lives another TTL."""

    def end_session(self, session: str) -> None:
        """End it; nothing happens if it is gone."""

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        """Write and hold the key, unless another session holds it (then False), or `session` is gone (False)."""

    def release(self, key: str, value: bytes, session: str) -> bool:
        """Write the key and let it go; False if `session` did not hold it."""

    def node_name(self) -> str:
        """The name of this machine in the store: Consul's node name; for the embedded store the host's name."""

    def node_address(self) -> str:
        """This machine's address as the store knows it; may be empty."""

    def clone(self) -> Store:
        """Another client of the same store, for another thread."""

    def close(self) -> None:
        """Let go of connections; a call that blocks in another thread ends with StoreUnavailable soon."""


def count(operations: Sequence[Operation]) -> int:
    """How many of Consul's operations these are: a Delete is two."""
    return len(operations) + sum(isinstance(operation, Delete) for operation in operations)


def check_size(operations: Sequence[Operation]) -> None:
    """Refuse what the store would.

    Raises:
        TooLarge: too many operations, a value over MAX_VALUE, or all together over MAX_TRANSACTION.
    """
    if count(operations) > MAX_OPERATIONS:
        raise TooLarge(f"{count(operations)} operations in one transaction; the store takes {MAX_OPERATIONS}")
    total = 0
    for operation in operations:
        if isinstance(operation, Set | Create | Swap):
            if len(operation.value) > MAX_VALUE:
                raise TooLarge(f"{operation.key}: {len(operation.value)} bytes; a value may have {MAX_VALUE}")
            total += len(operation.value) * 4 // 3
        total += len(operation.key) + 100
    if total > MAX_TRANSACTION:
        raise TooLarge(f"a transaction of {total} bytes; the store takes {MAX_TRANSACTION}")
