"""Threads that do not end: one that does is started again and counted, or the process is told to end.

Half alive is worse than dead: an agent whose watcher died looks healthy and obeys nobody.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from roj.environment import Environment, Thread
from roj.framework.backoff import Backoff
from roj.framework.metrics import Metrics

MANY = 10
"""Ends of one thread within `WINDOW` that are borne; one more is fatal."""
WINDOW = 60.0
"""Seconds."""
_BACKOFF = Backoff(
    first=0.1, longest=4.0
)  # eleven ends with the longest delays take about 25 s: within the window

_log = logging.getLogger(__name__)


class Supervisor:
    """Starts threads and keeps them running."""

    def __init__(
        self, environment: Environment, metrics: Metrics | None, fatal: Callable[[str], None]
    ) -> None:
        """Begin with no threads.

        Args:
            environment: how to start threads and to wait.
            metrics: counts the ends.
            fatal: called with the reason, in the thread that cannot be kept running; it should end the process.
        """
        self._environment = environment
        self._metrics = metrics or Metrics()
        self._fatal = fatal
        self._stopping = environment.event()

    def spawn(
        self, name: str, target: Callable[[], None], *, finished: Callable[[], bool] = lambda: False
    ) -> Thread:
        """Run `target` in a thread, and again whenever it returns or raises, until `stop`.

        Args:
            name: of the thread, in logs and metrics.
            target: what it runs.
            finished: asked when `target` has ended; True: that was meant.

        Returns: the thread, to be joined.
        """
        return self._environment.spawn(name, lambda: self._keep(name, target, finished))

    def stop(self) -> None:
        """From now on a thread that ends stays ended. Ends no thread."""
        self._stopping.set()

    def _keep(self, name: str, target: Callable[[], None], finished: Callable[[], bool]) -> None:
        ends: deque[float] = deque(maxlen=MANY + 1)
        while True:
            problem = "it returned"
            try:
                target()
            except Exception as error:  # noqa: BLE001  (logged; a thread's end is what this is about)
                problem = f"{type(error).__name__}: {error}"
                _log.exception("thread %s ended", name)
            except SystemExit as error:  # any other BaseException ends the process, and is not ours to stop
                problem = f"it called exit({error.code})"
            if self._stopping.is_set() or finished():
                return
            ends.append(self._environment.monotonic())
            self._metrics.thread_restarts.labels(name).inc()
            if len(ends) > MANY and ends[-1] - ends[0] <= WINDOW:
                self._fatal(f"thread {name} ended {len(ends)} times within {WINDOW:.0f} s; last: {problem}")
                return
            recent = sum(ends[-1] - end <= WINDOW for end in ends)
            delay = _BACKOFF.delay(recent, self._environment.random)
            _log.warning("thread %s ended (%s); it is started again in %.1f s", name, problem, delay)
            if self._stopping.wait(delay) or finished():
                return
