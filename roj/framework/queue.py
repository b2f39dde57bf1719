"""The work queue: which key is worked on next.

What it promises (client-go's contract, with one slot per key):

* Fair: keys come in the order in which they became due.
* Stingy: a key that is added many times before it is worked on is worked on once.
* Alone: a key is never worked on twice at once. Added meanwhile, it is worked on once more afterwards.
* Lossless: a key's mark is cleared when work on it *starts*, so what happens during the work is seen by the next.
* One slot: a key waits for one moment only. An earlier add takes a delayed one's place; a later one changes nothing.
* Low priority yields, but not for ever: after `ageing` seconds a low key is like any other, and older than most.

Nothing here runs by itself: a delay is a wait of whoever asks for the next key.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from roj.environment import Environment

AGEING = 10.0
"""Seconds that a low key yields to others."""
_LONGEST_WAIT = 3600.0  # seconds of one wait; a condition takes no infinite ones


@dataclass(order=True, slots=True, frozen=True)
class _Slot:
    """One key that waits."""

    due: float
    order: int
    """Of those that are due at the same moment."""
    key: str = field(compare=False)
    low: bool = field(compare=False)


class WorkQueue:
    """Keys that wait or are worked on. Safe to use from several threads."""

    def __init__(
        self,
        environment: Environment,
        *,
        ageing: float = AGEING,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """An empty queue.

        Args:
            environment: the clock, and how to wait.
            ageing: seconds after which a low key no longer yields.
            waited: told how long a key was due before work on it began, in seconds.
        """
        self._environment = environment
        self._ageing = ageing
        self._waited = waited
        self._changed = environment.condition()
        self._closed = False
        self._order = 0
        # The truth: what waits, and what is worked on since when. A key may be in both.
        self._slots: dict[str, _Slot] = {}
        self._working: dict[str, float] = {}
        # Views of _slots without the keys that are worked on. A slot that is no longer in _slots is skipped.
        self._later: list[_Slot] = []
        self._normal: list[_Slot] = []
        self._low: list[_Slot] = []

    def add(self, key: str, *, after: float = 0.0, low: bool = False) -> None:
        """Let `key` be worked on `after` seconds from now, or earlier if it is to be anyway.

        Args:
            key: what to work on.
            after: seconds from now.
            low: it may yield to others; a key that is wanted both ways is not low.
        """
        with self._changed:
            if self._closed:
                return
            due = self._environment.monotonic() + max(0.0, after)
            old = self._slots.get(key)
            if old is not None:
                low = low and old.low
                if due >= old.due and low == old.low:
                    return
                due = min(due, old.due)
            self._order += 1
            slot = _Slot(due, self._order, key, low)
            self._slots[key] = slot
            if key not in self._working:
                self._push(slot)

    def get(self) -> str | None:
        """Wait for the next key and begin work on it; None when the queue is shut down.

        Who got a key calls `done` with it.
        """
        with self._changed:
            while not self._closed:
                now = self._environment.monotonic()
                slot = self._take(now)
                if slot is not None:
                    self._working[slot.key] = now
                    self._waited(now - slot.due)
                    # Only one of those who wait may know of the next moment: pass it on.
                    self._changed.notify()
                    return slot.key
                self._changed.wait(self._until_next(now))
            return None

    def done(self, key: str) -> None:
        """End work on `key`; if it was added meanwhile, it waits again."""
        with self._changed:
            del self._working[key]
            slot = self._slots.get(key)
            if slot is not None and not self._closed:
                self._push(slot)

    def shut_down(self) -> None:
        """Give out no more keys; those who wait get None. Keys that wait stay undone: the next start finds them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Keys that wait, delayed ones too."""
        with self._changed:
            return len(self._slots)

    def __contains__(self, key: str) -> bool:
        """Whether the key waits."""
        with self._changed:
            return key in self._slots

    def busy(self) -> int:
        """Keys that are worked on, or would be if there were more workers."""
        with self._changed:
            now = self._environment.monotonic()
            due = sum(slot.due <= now and key not in self._working for key, slot in self._slots.items())
            return len(self._working) + due

    def working(self) -> list[float]:
        """For how many seconds each key that is worked on has been."""
        with self._changed:
            now = self._environment.monotonic()
            return [now - since for since in self._working.values()]

    def _push(self, slot: _Slot) -> None:
        heapq.heappush(self._later, slot)
        if len(self._later) > 2 * len(self._slots) + 100:  # most of it is skipped ones
            self._later = [slot for slot in self._later if self._slots.get(slot.key) is slot]
            heapq.heapify(self._later)
        self._changed.notify()

    def _take(self, now: float) -> _Slot | None:
        """Remove the slot whose turn it is."""
        while (slot := self._head(self._later)) is not None and slot.due <= now:
            heapq.heappush(self._low if slot.low else self._normal, heapq.heappop(self._later))
        normal, low = self._head(self._normal), self._head(self._low)
        aged = low is not None and low.due + self._ageing <= now
        if low is not None and (normal is None or (aged and low < normal)):
            heapq.heappop(self._low)
            slot = low
        elif normal is not None:
            heapq.heappop(self._normal)
            slot = normal
        else:
            return None
        del self._slots[slot.key]
        return slot

    def _head(self, heap: list[_Slot]) -> _Slot | None:
        """The first slot that still counts."""
        while heap and self._slots.get(heap[0].key) is not heap[0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _until_next(self, now: float) -> float | None:
        slot = self._head(self._later)
        if slot is None:
            return None
        return min(_LONGEST_WAIT, slot.due - now) if math.isfinite(slot.due) else _LONGEST_WAIT
