"""The reporter: the one writer of a node's `observed/<node>/` and `events/<node>/`.

Others say what is; the reporter writes what differs from what the store holds, as little and as late as is useful:

* The latest status of a key wins; one that equals what is stored is not written.
* A transient status is written only if it still holds after half a second.
* Events wait up to two seconds for a status to go along with, in one transaction.
* What the store holds is read before the first write, after trouble, and when asked (`reread`); its statuses again every
  ten minutes, and its events every hour: a store that is set back in part wakes nobody.
* No more than four transactions a second in the long run. Memory is bounded: statuses by their keys, events by the
  ring.

A write whose answer was lost is simply repeated: the keys have one writer, and the values say the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from roj.api import keys
from roj.api.event import Event
from roj.api.record import Record
from roj.environment import Environment
from roj.framework.backoff import Backoff
from roj.framework.batch import fits, fitting, sets
from roj.framework.errors import TemporaryError
from roj.framework.events import EventLog, Write
from roj.framework.limits import TokenBucket
from roj.framework.metrics import Metrics
from roj.framework.statuses import Statuses
from roj.store.interface import (
    MAX_OPERATIONS,
    Discard,
    Operation,
    Set,
    Store,
    StoreError,
    StoreUnavailable,
    check_size,
)

SLOTS = 500
"""Events of one node that the store keeps."""
EVENT_DELAY = 2.0
"""Seconds that an event waits for a status to go along with."""
MESSAGE = 2000
"""Characters of an event's message that are kept."""
REREAD = 600.0
"""Seconds between two readings of the statuses that the store holds."""
REREAD_EVENTS = 3600.0
"""The same of the events, which are many and which nobody waits for."""
RATE, RATE_BURST = 4.0, 8
"""Transactions a second in the long run, and at once."""
PAUSE_RETRY = 5.0
"""Seconds after which a transaction that was refused while paused is tried again."""

_log = logging.getLogger(__name__)


class Reporter:
    """Takes reports from any thread; `run` writes them."""

    def __init__(
        self,
        environment: Environment,
        store: Store,
        node: str,
        *,
        events: int = SLOTS,
        metrics: Metrics | None = None,
    ) -> None:
        """A reporter that takes reports, and writes nothing until `run`.

        Args:
            environment: clock, waiting, randomness.
            store: is cloned, not used.
            node: whose reports these are.
            events: slots of the ring.
            metrics: where to count.
        """
        self.node = node
        self._environment = environment
        self._metrics = metrics or Metrics()
        self._backoff = Backoff(first=0.5, longest=15.0)
        # Held during requests to the store, which may take long; taken before _changed, never after it.
        self._using = environment.lock()
        self._client = store.clone()
        # Held for moments; guards all below.
        self._changed = environment.condition()
        self._statuses = Statuses()
        self._events = EventLog(node, events)
        self._events_due: float | None = None
        self._bucket = TokenBucket(RATE, RATE_BURST)
        self._reread_at = self._reread_events_at = environment.monotonic()
        self._not_before = 0.0
        self._failures = 0
        self._failure: StoreError | None = None
        self._paused = False
        self._running = False
        self._stop_by: float | None = None
        self._ended = environment.event()

    def status(self, key: str, record: Record, *, transient: bool = False) -> None:
        """Report `record` as the present state of `key`, under `observed/<node>/`.

        Args:
            key: the whole key.
            record: replaces what was reported before.
            transient: it may be over in a moment: not written unless it still holds after 0.5 s.

        Raises:
            TooLarge: the store takes no value of that size.
        """
        value = record.encode()
        check_size([Set(key, value)])
        with self._changed:
            self._statuses.report(key, value, self._environment.monotonic(), transient=transient)
            self._changed.notify()

    def forget(self, key: str) -> None:
        """Report the key no more. What is stored stays as it is."""
        with self._changed:
            self._statuses.forget(key)

    def remove(self, key: str) -> None:
        """Report the status of an instance or a pull no more, and delete it.

        Raises:
            ValueError: it is none of this node (its lease and its own status are not deleted).
        """
        if not key.startswith((keys.instance_status(self.node, ""), keys.pull_statuses(self.node))):
            raise ValueError(f"{key} is no status of an instance or a pull of {self.node}")
        with self._changed:
            self._statuses.remove(key)
            self._changed.notify()

    def event(
        self, reason: str, message: str, *, instance: str = "", uid: str = "", warning: bool = False
    ) -> None:
        """Report that something happened. Repeated ones become one with a count; floods are dropped.

        Args:
            reason: one word in CamelCase.
            message: for people; cut after 2,000 characters.
            instance: what it is about; empty: the node.
            uid: the life of the instance.
            warning: somebody may have to do something.
        """
        event = self.make_event(reason, message, instance=instance, uid=uid, warning=warning)
        with self._changed:
            now = self._environment.monotonic()
            dropped = self._events.add(event, now)
            if dropped is not None:
                self._metrics.events_dropped.labels(dropped).inc()
            if len(self._events) and self._events_due is None:
                self._events_due = now + EVENT_DELAY
                self._changed.notify()

    def make_event(
        self, reason: str, message: str, *, instance: str = "", uid: str = "", warning: bool = False
    ) -> Event:
        """An event of now, for `transact`."""
        now = self._environment.now()
        return Event(
            node=self.node,
            instance=instance,
            uid=uid,
            type="Warning" if warning else "Normal",
            reason=reason,
            message=message[:MESSAGE],
            first=now,
            last=now,
        )

    def transact(
        self, operations: Sequence[Operation], *, retire: Iterable[str] = (), events: Iterable[Event] = ()
    ) -> None:
        """Run a caller's transaction, with events, between two writes of the reporter's own.

        Args:
            operations: what to do.
            retire: statuses that the operations delete. They are reported no more if the transaction succeeded, and
                also if its outcome is unknown, so that no status comes back for what is gone; the caller finds out
                and reports again, or repeats the transaction.
            events: appended to the ring in the same transaction (see `make_event`). So are, where there is room,
                those that wait.

        Raises:
            Conflict: a precondition did not hold; nothing was written.
            TemporaryError: this node must not write now.
            StoreUnavailable, StoreDenied, TooLarge: as of the store.
        """
        with self._using:
            with self._changed:
                if self._paused:
                    raise TemporaryError("this node must not write to the store now", PAUSE_RETRY)
            if not self._events.loaded:
                self._read()
            with self._changed:
                own = [self._events.single(event) for event in events]
                waiting = fitting([*operations, *sets(own)], self._events.writes())
            try:
                self._client.transact([*operations, *sets(own), *sets(waiting)])
            except StoreUnavailable:
                self._retire(retire)
                with self._changed:
                    self._statuses.doubt()
                raise
            self._retire(retire)
            with self._changed:
                self._wrote_events(waiting)
            self._metrics.events_written.inc(len(own))

    def pause(self) -> None:
        """Write nothing until `resume`: another machine holds the lease, or the store is another cluster's.

        Reports are still taken. A request under way may still succeed.
        """
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Write again, after reading what is there."""
        with self._changed:
            self._paused = False
            self._read_anew(self._environment.monotonic())

    def reread(self) -> None:
        """Read again what the store holds, and write what differs."""
        with self._changed:
            self._read_anew(self._environment.monotonic())

    def load(self) -> None:
        """Read now what the store holds, so that `stored` knows it before anything is reported.

        Raises:
            StoreError: it did not say.
        """
        with self._using:
            self._read()

    def stored(self, key: str) -> bytes | None:
        """What the store holds of a key under `observed/<node>/`, as far as was read and written; None: nothing."""
        with self._changed:
            return self._statuses.stored(key)

    def stored_keys(self) -> tuple[str, ...]:
        """All keys under `observed/<node>/` that the store holds, as far as was read and written."""
        with self._changed:
            return self._statuses.stored_keys()

    def settled(self) -> bool:
        """Whether all that was reported is in the store, transient statuses included."""
        with self._changed:
            return self._statuses.settled() and not len(self._events)

    @property
    def failure(self) -> StoreError | None:
        """Why the last request failed; None: it did not."""
        return self._failure

    def run(self) -> None:
        """Write reports until `stop`."""
        with self._changed:
            self._running = True
        while self._turn():
            self._step()
        self._finish()
        self._client.close()
        self._ended.set()

    def stop(self, timeout: float) -> None:
        """Write what is left, within `timeout` seconds, and end; returns when that is done, or is not in time."""
        with self._changed:
            self._stop_by = self._environment.monotonic() + timeout
            self._changed.notify()
            running = self._running
        if running:
            self._ended.wait(timeout)
        else:
            self._client.close()

    def stopped(self) -> bool:
        """Whether `stop` was called."""
        with self._changed:
            return self._stop_by is not None

    def _turn(self) -> bool:
        """Wait until there is something to write; False: end."""
        with self._changed:
            while self._stop_by is None:
                now = self._environment.monotonic()
                moment = self._next_moment(now)
                if moment is not None and moment <= now:
                    return True
                self._changed.wait(None if moment is None else moment - now)
            return False

    def _next_moment(self, now: float) -> float | None:
        """When the next request to the store is due; None: not before somebody says something."""
        if self._paused:
            return None
        moments = [self._reread_at, self._events_due, self._statuses.due()]
        due = min(moment for moment in moments if moment is not None)
        return max(due, self._not_before, now + self._bucket.until(now))

    def _step(self, *, all: bool = False) -> bool:
        """One request, or two to read; whether it went well."""
        with self._using:
            with self._changed:
                if self._paused:
                    return False
                now = self._environment.monotonic()
                read = self._reread_at <= now
            try:
                if read:
                    self._read()
                else:
                    self._write(now, all=all)
            except StoreError as error:
                self._failed(error)
                return False
            self._failures, self._failure = 0, None
            return True

    def _read(self) -> None:
        """Learn what the store holds."""
        with self._changed:
            ring_too = self._reread_events_at <= self._environment.monotonic()
        stored = self._client.list(keys.observed(self.node), consistent=True)
        ring = self._client.list(keys.events(self.node), consistent=True) if ring_too else None
        with self._changed:
            now = self._environment.monotonic()
            share = self._environment.random.uniform(0.9, 1.0)
            self._statuses.read({entry.key: entry.value for entry in stored.entries}, now)
            self._reread_at = now + REREAD * share
            if ring is None:
                return
            self._events.load({entry.key: entry.value for entry in ring.entries})
            if not len(self._events):
                self._events_due = None  # the ring has what was to be written: its answer was lost
            self._reread_events_at = now + REREAD_EVENTS * share

    def _write(self, now: float, *, all: bool) -> None:
        """One transaction: removals, statuses, then events."""
        with self._changed:
            removals = self._statuses.removals()[:MAX_OPERATIONS]
            operations: list[Operation] = [Discard(key) for key in removals]
            statuses: list[tuple[str, bytes]] = []
            for key, value in self._statuses.ready(now, all=all):
                if not fits([*operations, Set(key, value)]):
                    break
                operations.append(Set(key, value))
                statuses.append((key, value))
            self._statuses.sent(key for key, _ in statuses)
            events: list[Write] = []
            if operations or all or (self._events_due is not None and self._events_due <= now):
                events = fitting(operations, self._events.writes())
            self._bucket.take(now)
        operations += sets(events)
        if not operations:
            return
        self._client.transact(operations)
        with self._changed:
            self._statuses.removed(removals)
            self._statuses.written(statuses)
            self._wrote_events(events)
        self._metrics.reporter_writes.labels("ok").inc()
        self._metrics.statuses_written.inc(len(statuses))

    def _wrote_events(self, writes: Sequence[Write]) -> None:
        self._events.written(writes)
        self._metrics.events_written.inc(len(writes))
        if not len(self._events):
            self._events_due = None

    def _retire(self, retired: Iterable[str]) -> None:
        with self._changed:
            for key in retired:
                self._statuses.gone(key)

    def _failed(self, error: StoreError) -> None:
        self._metrics.reporter_writes.labels("error").inc()
        with self._changed:
            self._failures, self._failure = self._failures + 1, error
            now = self._environment.monotonic()
            self._not_before = now + self._backoff.delay(self._failures, self._environment.random)
            # Whether it was written is unknown, and the store may be another one when it is back.
            self._read_anew(now)
        if self._failures == 1:
            _log.warning("reports cannot be written now, and are kept: %s", error)

    def _read_anew(self, now: float) -> None:
        self._statuses.doubt()
        self._reread_at = self._reread_events_at = now
        self._changed.notify()

    def _finish(self) -> None:
        """Write all that is left, transient or not."""
        while not self.settled():
            with self._changed:
                now = self._environment.monotonic()
                over = self._paused or self._stop_by is None or now >= self._stop_by
            if over:
                _log.warning("some reports were not written; the next start reports anew")
                return
            if not self._step(all=True):
                self._environment.sleep(0.2)
