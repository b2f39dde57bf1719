"""Statuses: what is to be written, compared with what is stored. Pure: it is told the time, and does not write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

HOLD = 0.5
"""Seconds that a transient status must hold before it is written."""
LONGEST_HOLD = 2.0
"""Seconds after which a key whose transient statuses keep changing is written anyway."""


class Statuses:
    """The latest value of each key that is reported, and when it is to be written."""

    def __init__(self) -> None:
        self._reported: dict[str, bytes] = {}
        self._stored: dict[str, bytes] = {}
        # Of reported values that differ from the stored ones: when to write, and since when they have differed.
        self._due: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._removals: dict[str, None] = {}
        # What the store holds is known but for the keys that are being written.
        self._known = False
        self._sent: dict[str, None] = {}

    def report(self, key: str, value: bytes, now: float, *, transient: bool) -> None:
        """`value` is the state of `key` now; a transient one is written if it holds."""
        same = self._reported.get(key) == value
        self._reported[key] = value
        self._removals.pop(key, None)
        if self._stored.get(key) == value:
            self._in_store(key)
            return
        due = now
        if transient:
            due = min(now + HOLD, self._since.setdefault(key, now) + LONGEST_HOLD)
        if same and key in self._due:
            due = min(due, self._due[key])
        self._since.setdefault(key, now)
        self._due[key] = due

    def forget(self, key: str) -> None:
        """Write the key no more."""
        self._reported.pop(key, None)
        self._removals.pop(key, None)
        self._in_store(key)

    def gone(self, key: str) -> None:
        """Somebody else deleted the key, or may have: write it no more, unless it is reported again."""
        self.forget(key)
        self._stored.pop(key, None)

    def remove(self, key: str) -> None:
        """Write the key no more, and delete it if it is there, or may be."""
        self.forget(key)
        if key in self._stored or key in self._sent or not self._known:
            self._removals[key] = None

    def read(self, stored: Mapping[str, bytes], now: float) -> None:
        """This is in the store: write what differs."""
        self._stored = dict(stored)
        self._known = True
        for key, value in self._reported.items():
            if self._stored.get(key) == value:
                self._in_store(key)
            else:
                self._since.setdefault(key, now)
                self._due.setdefault(key, now)
        for key in [key for key in self._removals if key not in self._stored]:
            del self._removals[key]

    def stored(self, key: str) -> bytes | None:
        """What is in the store of a key."""
        return self._stored.get(key)

    def stored_keys(self) -> tuple[str, ...]:
        """What keys the store has."""
        return tuple(sorted(self._stored))

    def due(self) -> float | None:
        """When the next write is due; None: nothing is to be written. In the past for removals."""
        if self._removals:
            return float("-inf")
        return min(self._due.values(), default=None)

    def ready(self, now: float, *, all: bool) -> list[tuple[str, bytes]]:
        """What is to be written now, longest due first; `all`: whatever differs."""
        due = [(moment, key) for key, moment in self._due.items() if all or moment <= now]
        return [(key, self._reported[key]) for _, key in sorted(due)]

    def removals(self) -> list[str]:
        """Keys that are to be deleted."""
        return list(self._removals)

    def sent(self, keys: Iterable[str]) -> None:
        """These are being written: then `written` is called, or `doubt`."""
        self._sent = dict.fromkeys(keys)

    def doubt(self) -> None:
        """A write's outcome is unknown, or somebody else wrote: the store may hold what `stored` does not say."""
        self._sent = {}
        self._known = False

    def written(self, writes: Iterable[tuple[str, bytes]]) -> None:
        """These are in the store now."""
        self._sent = {}
        for key, value in writes:
            self._stored[key] = value
            if self._reported.get(key) == value:
                self._in_store(key)

    def removed(self, keys: Iterable[str]) -> None:
        """These are gone from the store."""
        for key in keys:
            self._stored.pop(key, None)
            self._removals.pop(key, None)
            if key in self._reported:  # reported again meanwhile
                self._due.setdefault(key, float("-inf"))

    def settled(self) -> bool:
        """Whether the store has what was reported."""
        return not self._due and not self._removals

    def _in_store(self, key: str) -> None:
        self._due.pop(key, None)
        self._since.pop(key, None)
