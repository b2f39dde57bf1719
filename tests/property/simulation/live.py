"""The simulated store for callers outside of the simulation: an ordinary test, with real threads or with none.

So that the tests of real stores can be run against it: each call becomes a worker of the scheduler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from roj.store.interface import Entry, Listing, Operation, Store
from tests.property.simulation.scheduler import Scheduler

TICK = 0.005
"""Seconds of the real clock between two looks at the virtual one."""

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What a call comes to."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._error: Exception | None = None
        self._result: T
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001  (raised again in the caller)
            self._error = error
        self.ended.set()

    def get(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result


class AtOnce:
    """Runs calls one after the other, in no virtual time: none may block."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._group = scheduler.group("callers")

    def __call__(self, work: Callable[[], T]) -> T:
        outcome = _Outcome(work)
        self._scheduler.spawn(self._group, "call", outcome.run)
        self._scheduler.run(0.0)
        assert outcome.ended.is_set(), "the call blocks"
        return outcome.get()

    def close(self) -> None:
        self._scheduler.close()


class Live:
    """Runs the calls of several real threads, while virtual time goes on as the real one does."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._group = scheduler.group("callers")
        self._changed = threading.Condition()
        self._waiting: list[Callable[[], None]] = []
        self._closed = False
        self._pump = threading.Thread(target=self._run, daemon=True)
        self._pump.start()

    def __call__(self, work: Callable[[], T]) -> T:
        outcome = _Outcome(work)
        with self._changed:
            self._waiting.append(outcome.run)
            self._changed.notify()
        outcome.ended.wait()
        return outcome.get()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._pump.join()
        self._scheduler.close()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._closed:
            with self._changed:
                if not self._waiting:
                    self._changed.wait(TICK)
                calls, self._waiting = self._waiting, []
            for call in calls:
                self._scheduler.spawn(self._group, "call", call)
            self._scheduler.run(max(0.0, time.monotonic() - began - self._scheduler.now))


class CalledStore:
    """A client of the simulated store (roj.store.interface.Store) whose calls are run by `Live` or `AtOnce`."""

    def __init__(self, call: AtOnce | Live, inner: Store) -> None:
        self._call = call
        self._inner = inner
        self.address = inner.address

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        return self._call(lambda: self._inner.get(key, consistent=consistent))

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._call(lambda: self._inner.list(prefix, consistent=consistent))

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        return self._call(lambda: self._inner.watch(prefix, index, wait))

    def create(self, key: str, value: bytes) -> None:
        self._call(lambda: self._inner.create(key, value))

    def swap(self, key: str, value: bytes, version: int) -> None:
        self._call(lambda: self._inner.swap(key, value, version))

    def delete(self, key: str, version: int) -> None:
        self._call(lambda: self._inner.delete(key, version))

    def transact(self, operations: Sequence[Operation]) -> None:
        self._call(lambda: self._inner.transact(operations))

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        return self._call(lambda: self._inner.open_session(name, ttl=ttl, checked=checked))

    def renew_session(self, session: str) -> bool:
        return self._call(lambda: self._inner.renew_session(session))

    def end_session(self, session: str) -> None:
        self._call(lambda: self._inner.end_session(session))

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        return self._call(lambda: self._inner.acquire(key, value, session))

    def release(self, key: str, value: bytes, session: str) -> bool:
        return self._call(lambda: self._inner.release(key, value, session))

    def node_name(self) -> str:
        return self._call(self._inner.node_name)

    def node_address(self) -> str:
        return self._call(self._inner.node_address)

    def clone(self) -> CalledStore:
        return CalledStore(self._call, self._inner.clone())

    def close(self) -> None:
        self._call(self._inner.close)
