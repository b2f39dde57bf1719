"""Clients of one store for several threads: each call of `client` has one to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from roj.environment import Environment
from roj.store.interface import Store


class StorePool:
    """Lends clients and keeps those that are not in use. Safe to use from several threads."""

    def __init__(self, environment: Environment, store: Store) -> None:
        self._lock = environment.lock()
        self._store = store
        self._free: list[Store] = []

    @contextmanager
    def client(self) -> Iterator[Store]:
        """A client that nobody else uses meanwhile."""
        with self._lock:
            client = self._free.pop() if self._free else None
        if client is None:
            client = self._store.clone()
        try:
            yield client
        finally:
            with self._lock:
                self._free.append(client)

    def close(self) -> None:
        """Close the clients that are not in use."""
        with self._lock:
            free, self._free = self._free, []
        for client in free:
            client.close()
