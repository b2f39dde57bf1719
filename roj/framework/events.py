"""A node's events: a bounded ring in the store, kept readable by counting what repeats and refusing what floods.

Ring: event number n is at `events/<node>/<n mod slots>`, so writing a new one is also the eviction of the oldest.
Alike: ten with the same object, type and reason within ten minutes; the tenth and all after it are one entry with a
count, as long as they keep coming. Flood: 25 at once for one object, then one in five minutes; the others are dropped.
(The numbers are those of Kubernetes' event correlator.)

Pure: it is told the time, and does not write; `roj.framework.reporter` does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roj.api import keys
from roj.api.event import Event
from roj.api.faults import UnreadableRecord
from roj.framework.limits import TokenBucket

ALIKE = 10
WINDOW = 600.0
"""Seconds."""
BURST = 25
REFILL = 1 / 300.0
"""Events a second."""
_MANY = 1000  # objects and kinds of events that are remembered; more than a node has

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Line:
    """One entry of the ring; `event` is replaced as its count grows."""

    number: int
    """Tells it from others before it has a sequence."""
    event: Event
    sequence: int | None = None
    """Given when it is first written: only then is it known what the ring holds."""


@dataclass(slots=True)
class _Kind:
    """Events that are alike."""

    since: float
    last: float
    seen: int = 0
    shared: Line | None = None
    """The entry that counts them, from the tenth on."""

    def over(self, now: float) -> bool:
        return now - (self.since if self.shared is None else self.last) > WINDOW


@dataclass(frozen=True, slots=True)
class Write:
    """One entry that is to be written."""

    key: str
    value: bytes
    line: Line
    event: Event
    """As of this writing."""


@dataclass(slots=True)
class EventLog:
    """The events of one node that are still to be written, and what is needed to continue the ring."""

    node: str
    slots: int
    _next: int | None = None
    """The next sequence; None until the ring was read."""
    _lines: int = 0
    _pending: dict[int, Line] = field(default_factory=dict)
    _kinds: dict[tuple[str, str, str, str], _Kind] = field(default_factory=dict)
    _objects: dict[str, TokenBucket] = field(default_factory=dict)

    def load(self, ring: Mapping[str, bytes]) -> None:
        """The ring was read (values by key): continue after its last event, and write nothing that is there."""
        last = -1
        for key, value in ring.items():
            try:
                last = max(last, Event.decode(value).sequence)
            except UnreadableRecord as error:
                _log.warning("%s: %s", key, error)
        self._next = max(self._next or 0, last + 1)
        started = [self._write(line) for line in self._pending.values() if line.sequence is not None]
        self.written(write for write in started if ring.get(write.key) == write.value)

    @property
    def loaded(self) -> bool:
        return self._next is not None

    def __len__(self) -> int:
        """Entries that are to be written."""
        return len(self._pending)

    def add(self, event: Event, now: float) -> str | None:
        """Take an event.

        Args:
            event: its count is 1; its sequence is given here.
            now: seconds on a clock that does not go back.

        Returns: why an event was dropped, this one (`burst`) or the oldest unwritten one (`full`); None if none was.
        """
        if not self._bucket(event, now).take(now):
            return "burst"
        kind = self._kind(event, now)
        kind.seen += 1
        kind.last = now
        if kind.seen < ALIKE:
            return self._append(self._line(event))
        if kind.shared is None or self._evicted(kind.shared):
            kind.shared = self._line(event)
            return self._append(kind.shared)
        old = kind.shared.event
        kind.shared.event = event.model_copy(update={"first": old.first, "count": old.count + 1})
        return self._append(kind.shared)

    def single(self, event: Event) -> Write:
        """An entry for a transaction of somebody else's; it is written with that one, or not at all."""
        return self._write(self._line(event))

    def writes(self) -> list[Write]:
        """What is to be written, oldest first. The ring must have been read."""
        return [self._write(line) for line in self._pending.values()]

    def written(self, writes: Iterable[Write]) -> None:
        """These are in the store now."""
        for write in writes:
            if write.line.event is write.event:  # else it was counted up meanwhile
                self._pending.pop(write.line.number, None)

    def _line(self, event: Event) -> Line:
        self._lines += 1
        return Line(self._lines, event)

    def _append(self, line: Line) -> str | None:
        self._pending[line.number] = line
        if len(self._pending) <= self.slots:
            return None
        oldest = next(iter(self._pending))
        del self._pending[oldest]
        return "full"

    def _write(self, line: Line) -> Write:
        if line.sequence is None:
            assert self._next is not None, "the ring was not read"
            line.sequence = self._next
            self._next += 1
        slot = line.sequence % self.slots
        key = f"{keys.events(self.node)}{slot:0{len(str(self.slots - 1))}d}"
        value = line.event.model_copy(update={"sequence": line.sequence}).encode()
        return Write(key, value, line, line.event)

    def _evicted(self, line: Line) -> bool:
        """Whether its place in the ring has been given to another, or it was dropped before it had one."""
        if line.sequence is None:
            return line.number not in self._pending
        return self._next is not None and self._next - line.sequence > self.slots - len(self._pending) - 1

    def _kind(self, event: Event, now: float) -> _Kind:
        name = (event.instance, event.uid, event.type, event.reason)
        kind = self._kinds.get(name)
        if kind is None or kind.over(now):
            if len(self._kinds) >= _MANY:
                self._kinds = {name: kind for name, kind in self._kinds.items() if not kind.over(now)}
                if len(self._kinds) >= _MANY:
                    self._kinds.clear()
            kind = self._kinds[name] = _Kind(since=now, last=now)
        return kind

    def _bucket(self, event: Event, now: float) -> TokenBucket:
        bucket = self._objects.get(event.instance)
        if bucket is None:
            if len(self._objects) >= _MANY:
                self._objects = {name: b for name, b in self._objects.items() if not b.full(now)}
                if len(self._objects) >= _MANY:
                    self._objects.clear()
            bucket = self._objects[event.instance] = TokenBucket(REFILL, BURST)
        return bucket
