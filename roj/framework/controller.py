"""A controller: a queue of keys, workers, one handler, and the retry policy between them.

A handler, `reconcile(key)`, compares what is wanted with what is, takes a step, and returns how many seconds it wants
to wait until it looks again, or None. It is told the key and nothing else: why it was woken goes to the log and never
into the decision, so that a lost wake-up costs time and nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from roj.environment import Environment, Thread
from roj.framework.backoff import Backoff
from roj.framework.log import about
from roj.framework.metrics import Metrics, follow
from roj.framework.queue import WorkQueue
from roj.framework.retry import NONE, Decision, History, Outcome, decide
from roj.framework.supervisor import Supervisor
from roj.store.interface import StoreError

Reconcile = Callable[[str], float | None]

_REASONS = 5  # kept per key for the log
_SOON = 1.0  # seconds

_log = logging.getLogger(__name__)


class Controller:
    """Runs a handler for keys: never twice at once for one key, at most `workers` at once in all."""

    def __init__(
        self,
        environment: Environment,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 1,
        backoff: Backoff | None = None,
        expected: tuple[type[Exception], ...] = (),
        metrics: Metrics | None = None,
    ) -> None:
        """A controller that does nothing until it is started; keys may be enqueued before.

        Args:
            environment: clock, threads, waiting, randomness.
            name: one word, in logs and metrics.
            reconcile: the handler. May raise TemporaryError, PermanentError, Conflict; anything else is a failure.
            workers: how many keys are worked on at once.
            backoff: after failures (0.5 s to 60 s).
            expected: errors of a world that is away, as the store's are: no fault of the handler, so no traceback.
                `again` ends the backoff of what failed by them.
            metrics: where to count.
        """
        self.name = name
        self._environment = environment
        self._reconcile = reconcile
        self._workers = workers
        self._backoff = backoff or Backoff()
        self._expected = expected
        self._metrics = metrics or Metrics()
        self._queue = WorkQueue(environment, waited=self._metrics.queue_duration.labels(name).observe)
        self._stopped = environment.event()
        self._threads: list[Thread] = []
        self._lock = environment.lock()
        # Of keys that have something to remember: what happened, the last error (its traceback is logged once, not at
        # every try), which are dropped until news, why they were woken.
        self._history: dict[str, History] = {}
        self._told: dict[str, str] = {}
        self._dropped: dict[str, str] = {}
        self._reasons: dict[str, list[str]] = {}
        # Which failed last by something expected, and how often they were all let go on.
        self._away: dict[str, None] = {}
        self._agains = 0
        follow(self._metrics.queue_depth, name, lambda: len(self._queue))
        follow(self._metrics.unfinished_work, name, lambda: sum(self._queue.working()))
        follow(self._metrics.longest_running, name, lambda: max(self._queue.working(), default=0.0))
        self._metrics.max_concurrent.labels(name).set(workers)

    def enqueue(
        self, key: str, reason: str = "", *, after: float = 0.0, low: bool = False, news: bool = True
    ) -> None:
        """Let the handler look at `key`.

        Args:
            key: what to look at.
            reason: why, for the log.
            after: seconds from now; a look that comes earlier for another reason takes its place.
            low: it may yield to other keys for a while.
            news: something changed. False: a periodic look, which neither brings back a key that was dropped by
                PermanentError nor cuts short the backoff of one that fails.
        """
        with self._lock:
            if news:
                self._dropped.pop(key, None)
            elif key in self._dropped or self._history.get(key, NONE).failures:
                return
            reasons = self._reasons.setdefault(key, [])
            if reason and reason not in reasons and len(reasons) < _REASONS:
                reasons.append(reason)
        self._metrics.queue_adds.labels(self.name).inc()
        self._queue.add(key, after=after, low=low)

    def again(self, reason: str) -> None:
        """What was away is back: look at once at all keys that wait because it was (`expected`)."""
        with self._lock:
            self._agains += 1
            waiting = list(self._away)
        for key in waiting:
            self.enqueue(key, reason)

    def start(self, supervisor: Supervisor) -> None:
        """Start the workers."""
        for number in range(self._workers):
            name = f"{self.name}-{number}" if self._workers > 1 else self.name
            self._threads.append(supervisor.spawn(name, self._work, finished=self._stopped.is_set))

    def stop(self) -> None:
        """Take on no more work; what is being worked on is finished."""
        self._stopped.set()
        self._queue.shut_down()

    def join(self, timeout: float) -> bool:
        """Wait for the workers to end, at most `timeout` seconds; whether they did."""
        deadline = self._environment.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._environment.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def busy(self) -> int:
        """Keys that are worked on or due now; 0: this controller has nothing to do at the moment."""
        return self._queue.busy()

    def dropped(self, key: str) -> str | None:
        """Why the key was dropped until there is news of it, if it was."""
        with self._lock:
            return self._dropped.get(key)

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            self._look(key)

    def _look(self, key: str) -> None:
        """Run the handler for one key and do what its outcome asks for.

        Nothing here is in a `finally`: what is no Exception (a simulated crash) ends the process, and a process that
        ended tidies nothing up.
        """
        with self._lock:
            self._dropped.pop(key, None)
            reasons = self._reasons.pop(key, [])
            history = self._history.get(key, NONE)
            agains = self._agains
        with about(controller=self.name, key=key, reconcile=self._environment.new_id()[-8:]):
            _log.debug("woken: %s", ", ".join(reasons) or "its time has come")
            self._metrics.active_workers.labels(self.name).inc()
            began = self._environment.monotonic()
            outcome: Outcome
            try:
                outcome = self._reconcile(key)
            except Exception as error:  # noqa: BLE001  (an unexpected one is an outcome like any other, and logged)
                outcome = error
            except SystemExit as error:
                outcome = RuntimeError(f"the handler called exit({error.code})")
            took = self._environment.monotonic() - began
            self._metrics.active_workers.labels(self.name).dec()
            decision = decide(outcome, history, self._backoff, self._environment.random)
            self._tell(key, outcome, decision, took)
        self._settle(key, outcome, decision, agains)

    def _settle(self, key: str, outcome: Outcome, decision: Decision, agains: int) -> None:
        with self._lock:
            self._away.pop(key, None)
            if isinstance(outcome, self._expected):
                self._away[key] = None
                if (
                    self._agains != agains and decision.after is not None
                ):  # maybe it was back only after this failed
                    decision = replace(decision, after=min(decision.after, _SOON))
            if decision.history == NONE:
                self._history.pop(key, None)
                self._told.pop(key, None)
            else:
                self._history[key] = decision.history
            # News that came while the handler ran have their slot in the queue already, and end the drop.
            if decision.result == "permanent" and key not in self._queue:
                self._dropped[key] = str(outcome)
        if decision.after is not None:
            self._queue.add(key, after=decision.after)
        self._queue.done(key)

    def _tell(self, key: str, outcome: Outcome, decision: Decision, took: float) -> None:
        """Log and count; the results are those of `roj.framework.retry`."""
        metrics, name = self._metrics, self.name
        metrics.reconciles.labels(name, decision.result).inc()
        metrics.reconcile_time.labels(name).observe(took)
        metrics.work_duration.labels(name).observe(took)
        match decision.result:
            case "error":
                metrics.reconcile_errors.labels(name).inc()
                metrics.queue_retries.labels(name).inc()
                _log.error(
                    "failed; tried again in %.1f s: %s",
                    decision.after,
                    outcome,
                    exc_info=self._news(key, outcome),
                )
            case "permanent":
                metrics.terminal_errors.labels(name).inc()
                _log.error("failed until something changes: %s", outcome)
            case "temporary":
                metrics.queue_retries.labels(name).inc()
                _log.info("not yet; tried again in %.1f s: %s", decision.after, outcome)
            case "conflict":
                metrics.queue_retries.labels(name).inc()
                _log.debug("somebody else wrote first; looking again: %s", outcome)
            case _:
                _log.debug("%s in %.3f s", decision.result, took)

    def _news(self, key: str, outcome: Outcome) -> Exception | None:
        """The error, if its traceback is worth a look: it is not the last one's again, nor of a world that is away."""
        if not isinstance(outcome, Exception) or isinstance(outcome, (StoreError, *self._expected)):
            return None
        name = f"{type(outcome).__name__}: {outcome}"
        with self._lock:
            last, self._told[key] = self._told.get(key), name
        return None if last == name else outcome
