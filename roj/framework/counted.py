"""A store that counts what is asked of it, for `roj_store_requests_total`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from roj.framework.metrics import Metrics
from roj.store.interface import (
    Conflict,
    Entry,
    Listing,
    Operation,
    Store,
    StoreDenied,
    StoreUnavailable,
    TooLarge,
)

T = TypeVar("T")

_RESULTS: tuple[tuple[type[Exception], str], ...] = (
    (Conflict, "conflict"),
    (StoreDenied, "denied"),
    (TooLarge, "too_large"),
    (StoreUnavailable, "unavailable"),
)


class CountedStore:
    """The store it is given, counted; so are its clones."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self.address = store.address
        self._store = store
        self._metrics = metrics

    def _counted(self, operation: str, request: Callable[[], T]) -> T:
        result = "ok"
        try:
            return request()
        except Exception as error:  # only named for the metric, and raised on
            result = next((name for kind, name in _RESULTS if isinstance(error, kind)), "error")
            raise
        finally:
            self._metrics.store_requests.labels(operation, result).inc()

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        return self._counted("get", lambda: self._store.get(key, consistent=consistent))

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._counted("list", lambda: self._store.list(prefix, consistent=consistent))

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        return self._counted("watch", lambda: self._store.watch(prefix, index, wait))

    def create(self, key: str, value: bytes) -> None:
        self._counted("create", lambda: self._store.create(key, value))

    def swap(self, key: str, value: bytes, version: int) -> None:
        self._counted("swap", lambda: self._store.swap(key, value, version))

    def delete(self, key: str, version: int) -> None:
        self._counted("delete", lambda: self._store.delete(key, version))

    def transact(self, operations: Sequence[Operation]) -> None:
        self._counted("transact", lambda: self._store.transact(operations))

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        return self._counted("session", lambda: self._store.open_session(name, ttl=ttl, checked=checked))

    def renew_session(self, session: str) -> bool:
        return self._counted("renew", lambda: self._store.renew_session(session))

    def end_session(self, session: str) -> None:
        self._counted("session", lambda: self._store.end_session(session))

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        return self._counted("acquire", lambda: self._store.acquire(key, value, session))

    def release(self, key: str, value: bytes, session: str) -> bool:
        return self._counted("release", lambda: self._store.release(key, value, session))

    def node_name(self) -> str:
        return self._counted("self", self._store.node_name)

    def node_address(self) -> str:
        return self._counted("self", self._store.node_address)

    def clone(self) -> Store:
        return CountedStore(self._store.clone(), self._metrics)

    def close(self) -> None:
        self._store.close()
