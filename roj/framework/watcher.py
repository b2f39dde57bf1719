"""The thread of a watch: asks the store what `roj.framework.watch` says, and delivers what is believed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from roj.environment import Environment
from roj.framework.metrics import Metrics, follow
from roj.framework.watch import State, View, Watch, WatchSettings
from roj.store.interface import Entry, Listing, Store, StoreError

__all__ = ["View", "WatchSettings", "Watcher"]

_log = logging.getLogger(__name__)


class Watcher:
    """Watches one prefix with a client of its own."""

    def __init__(
        self,
        environment: Environment,
        store: Store,
        prefix: str,
        *,
        believe: Callable[[Listing], str | None],
        changed: Callable[[View], None],
        expected: tuple[type[Exception], ...] = (),
        settings: WatchSettings | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """A watcher that does nothing until `run`.

        Args:
            environment: clock, waiting, randomness.
            store: is cloned, not used.
            prefix: ends in `/`.
            believe: why a listing cannot be true, or None. After a doubt the next listing is a `consistent` one.
            changed: takes the first believed listing, each that differs from the one before, and each after a reset.
                If it raises, the same difference is delivered again after a backoff, from a new list. It is called in
                the watcher's thread, before `believed` shows the new entries.
            expected: what `changed` may raise without being at fault: logged without a traceback.
            settings: how to ask.
            metrics: where to count.
        """
        if not prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r} does not end in '/': it would take in its neighbours")
        self.prefix = prefix
        self._environment = environment
        self._store = store
        self._believe = believe
        self._deliver = changed
        self._expected = expected
        self._settings = settings or WatchSettings()
        self._metrics = metrics or Metrics()
        self._watch = Watch(self._settings)
        self._state = State()
        self._trouble: tuple[int, str] | None = None
        self._failure: Exception | None = None
        self._changed = environment.condition()
        # Under _changed: the client, taken away and closed to interrupt a request, and why that was done.
        self._client: Store | None = None
        self._poked = False
        self._stopped = False
        follow(self._metrics.watch_age, prefix, lambda: -1.0 if (age := self.age()) is None else age)

    def run(self) -> None:
        """Watch until `stop`."""
        while (client := self._turn()) is not None:
            self._ask(client)
        self._close()

    def stop(self) -> None:
        """Let `run` return soon."""
        with self._changed:
            self._stopped = True
            self._interrupt()

    def poke(self) -> None:
        """List again now, with a `consistent` read, and deliver what comes of it as a reset."""
        with self._changed:
            self._poked = True
            self._interrupt()

    def stopped(self) -> bool:
        """Whether `stop` was called."""
        with self._changed:
            return self._stopped

    def age(self) -> float | None:
        """Seconds since the last believed answer; None before the first."""
        at = self._state.believed_at
        return None if at is None else self._environment.monotonic() - at

    @property
    def believed(self) -> Mapping[str, Entry] | None:
        """What was last believed and delivered; None before the first."""
        return self._state.believed

    @property
    def failure(self) -> Exception | None:
        """What the last request or delivery raised; None: nothing."""
        return self._failure

    def _turn(self) -> Store | None:
        """Wait until a request may be sent; the client to send it with, or None to end."""
        with self._changed:
            while not self._stopped:
                now = self._environment.monotonic()
                if self._poked:
                    self._poked = False
                    self._state = self._watch.poked(self._state)
                if self._state.not_before <= now:
                    self._state = self._watch.sent(self._state, now)
                    if self._client is None:
                        self._client = self._store.clone()
                    return self._client
                self._changed.wait(self._state.not_before - now)
            return None

    def _ask(self, client: Store) -> None:
        state = self._state
        try:
            if state.phase == "watching":
                listing = client.watch(self.prefix, state.index, self._settings.wait)
            else:
                listing = client.list(self.prefix, consistent=True)
        except StoreError as error:
            with self._changed:
                interrupted = self._client is not client
            if not interrupted:
                self._failed("error", str(error), error)
            return
        self._judge(listing)

    def _judge(self, listing: Listing) -> None:
        try:
            doubt = self._believe(listing)
        except Exception as error:  # noqa: BLE001  (logged; a judge that fails is a doubt)
            _log.exception("%s: could not judge a listing", self.prefix)
            doubt = f"it could not be judged: {error}"
        now, random = self._environment.monotonic(), self._environment.random
        state, view, result = self._watch.answered(self._state, listing, doubt, now, random)
        if result == "not_believed":
            self._failed(result, f"the store's answer is not believed: {doubt}")
            return
        if result == "worthless":
            self._failed(result, f"the store's index went from {self._state.index} to {listing.index}")
            return
        if view is not None:
            try:
                self._deliver(view)
            except Exception as error:  # noqa: BLE001  (logged; delivered again)
                why = f"a change could not be taken: {error}"
                news = self._trouble is None or self._trouble[1] != why  # its traceback once
                if news and not isinstance(error, (StoreError, *self._expected)):
                    _log.exception("%s: %s", self.prefix, why)
                self._failed("error", why, error)
                return
        self._state = state
        self._failure = None
        self._metrics.watch_answers.labels(self.prefix, result).inc()
        if self._trouble is not None:
            _log.info("%s: watched again", self.prefix)
            self._trouble = None

    def _failed(self, result: str, why: str, error: Exception | None = None) -> None:
        self._failure = error
        self._state = self._watch.failed(self._state, self._environment.monotonic(), self._environment.random)
        self._metrics.watch_answers.labels(self.prefix, result).inc()
        level = logging.WARNING if self._state.failures > 1 else logging.INFO  # one alone is everyday
        if (level, why) != self._trouble:  # once, not for every try
            _log.log(level, "%s: %s; what was believed before stays", self.prefix, why)
            self._trouble = level, why

    def _interrupt(self) -> None:
        """End a request that blocks, by closing its client; the next one gets another."""
        client, self._client = self._client, None
        self._changed.notify_all()
        if client is not None:
            client.close()

    def _close(self) -> None:
        with self._changed:
            client, self._client = self._client, None
        if client is not None:
            client.close()
