"""Starts the parts of a process in order, and stops them in the reverse order.

    started: reporter, controllers, watches       stopped: watches, controllers (intake, then work), reporter

A controller may thus report as soon as it runs, and nothing is enqueued to one that does not run. What is being worked
on when the stop comes is finished, within a time; what waits is found again by the next start.
"""

from __future__ import annotations

import logging

from roj.environment import Environment, Thread
from roj.framework.controller import Controller
from roj.framework.extension import Context, load
from roj.framework.kind_watch import KindWatch
from roj.framework.metrics import Metrics
from roj.framework.reporter import Reporter
from roj.framework.supervisor import Supervisor
from roj.framework.watch import WatchSettings
from roj.framework.watcher import Watcher

REPORTS = 3.0
"""Seconds of a stop that are kept for the last reports."""

_log = logging.getLogger(__name__)


class Manager:
    """The controllers, watches and reporter of one process."""

    def __init__(
        self,
        environment: Environment,
        supervisor: Supervisor,
        *,
        reporter: Reporter | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Nothing yet; parts are added before `start`.

        Args:
            environment: clock and waiting.
            supervisor: keeps the threads running.
            reporter: started first and stopped last.
            metrics: of the extensions' parts.
        """
        self._environment = environment
        self._supervisor = supervisor
        self._reporter = reporter
        self._metrics = metrics or Metrics()
        self._controllers: list[Controller] = []
        self._watchers: list[tuple[str, Watcher]] = []
        self._threads: list[Thread] = []

    def controller(self, controller: Controller) -> None:
        """Add a controller."""
        self._controllers.append(controller)

    def watch(self, name: str, watcher: Watcher) -> None:
        """Add a watch; `name` is its thread's."""
        self._watchers.append((name, watcher))

    def extensions(self, context: Context, *, settings: WatchSettings | None = None) -> list[str]:
        """Add the controllers of all extensions that are installed; their names."""
        names = []
        for spec in load(context):
            part = KindWatch(context, spec, metrics=self._metrics, settings=settings)
            self.controller(part.controller)
            self.watch(f"watch-{spec.name}", part.watcher)
            names.append(spec.name)
        return names

    def start(self) -> None:
        """Start all."""
        if self._reporter is not None:
            reporter = self._reporter
            self._supervisor.spawn("reporter", reporter.run, finished=reporter.stopped)
        for controller in self._controllers:
            controller.start(self._supervisor)
        for name, watcher in self._watchers:
            self._threads.append(self._supervisor.spawn(name, watcher.run, finished=watcher.stopped))

    def busy(self) -> int:
        """Keys that are worked on or due now, of all controllers."""
        return sum(controller.busy() for controller in self._controllers)

    def stop(self, timeout: float) -> bool:
        """Stop all, within `timeout` seconds; whether everything ended by itself in time."""
        deadline = self._environment.monotonic() + timeout
        for _, watcher in self._watchers:
            watcher.stop()
        for controller in self._controllers:
            controller.stop()
        ended = True
        for controller in self._controllers:
            if not controller.join(max(0.0, deadline - REPORTS - self._environment.monotonic())):
                _log.warning("controller %s is still at work; it is left", controller.name)
                ended = False
        if self._reporter is not None:
            self._reporter.stop(max(0.0, deadline - self._environment.monotonic()))
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._environment.monotonic()))
        return ended and not any(thread.is_alive() for thread in self._threads)
