"""A store under test, whichever it is, with clients for several threads and keys that nobody else uses."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from roj.store.interface import Store

PATIENCE = 30.0
"""Seconds after which a test gives up: generous, as machines are slow; nothing waits so long that goes well."""

T = TypeVar("T")
_numbers = itertools.count()


class World:
    """`store` is one client of it; `another` makes more, for other threads or other processes' roles."""

    def __init__(self, opened: Callable[[], Store]) -> None:
        """`opened`: a client that is not a clone of another."""
        self._opened = opened
        self._clients: list[Store] = []
        self.store = self.another()
        self.prefix = f"test-{next(_numbers)}/"

    def key(self, name: str) -> str:
        """A key that is this test's alone."""
        return self.prefix + name

    def another(self) -> Store:
        """A further client, as of another process."""
        return self.keep(self._opened())

    def clone(self) -> Store:
        """A further client, for another thread."""
        return self.keep(self.store.clone())

    def keep(self, store: Store) -> Store:
        """Close it at the end of the test."""
        self._clients.append(store)
        return store

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Call(Generic[T]):
    """A call that runs in a thread of its own."""

    def __init__(self, target: Callable[[], T]) -> None:
        self._target = target
        self._result: T
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._target()
        except Exception as error:  # noqa: BLE001  (handed to whoever asks)
            self.error = error

    def running(self, seconds: float = 0.0) -> bool:
        """Whether it still runs `seconds` from now."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self) -> T:
        """What it returned. Raises what it raised, or AssertionError if it does not end."""
        assert not self.running(PATIENCE), "the call does not end"
        if self.error is not None:
            raise self.error
        return self._result


def eventually(true: Callable[[], bool]) -> None:
    """Wait until it holds. Raises AssertionError if it does not in time."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)
