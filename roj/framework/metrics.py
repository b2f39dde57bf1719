"""Prometheus metrics, in controller-runtime's shape with the prefix `roj_`.

Each `Metrics` has a registry of its own: several agents, and tests, may live in one process.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per series, that nobody reads

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The framework's metrics; `registry` takes those of others too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._reconciles()
        self._queues()
        self._store()

    def text(self) -> str:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry).decode()

    def counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"roj_{name}", what, labels, registry=self.registry)

    def gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"roj_{name}", what, labels, registry=self.registry)

    def histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"roj_{name}", what, labels, registry=self.registry, buckets=_SECONDS)

    def _reconciles(self) -> None:
        self.reconciles = self.counter(
            "reconcile_total",
            "Runs of a controller's handler, by result: success, requeue_after, conflict, temporary, permanent, error",
            "controller",
            "result",
        )
        self.reconcile_errors = self.counter(
            "reconcile_errors_total", "Runs that failed and are tried again with backoff", "controller"
        )
        self.terminal_errors = self.counter(
            "terminal_reconcile_errors_total", "Runs that failed until there is news", "controller"
        )
        self.reconcile_time = self.histogram(
            "reconcile_time_seconds", "How long a run of a controller's handler took", "controller"
        )
        self.max_concurrent = self.gauge(
            "max_concurrent_reconciles", "Workers that a controller has", "controller"
        )
        self.active_workers = self.gauge("active_workers", "Workers that are busy", "controller")
        self.thread_restarts = self.counter(
            "thread_restarts_total", "Threads that ended and were started again", "thread"
        )

    def _queues(self) -> None:
        self.queue_depth = self.gauge("workqueue_depth", "Keys that wait, delayed ones too", "name")
        self.queue_adds = self.counter(
            "workqueue_adds_total", "Keys added, those that waited already too", "name"
        )
        self.queue_retries = self.counter(
            "workqueue_retries_total", "Keys added again after an error", "name"
        )
        self.queue_duration = self.histogram(
            "workqueue_queue_duration_seconds", "How long keys were due before work on them began", "name"
        )
        self.work_duration = self.histogram(
            "workqueue_work_duration_seconds", "How long work on a key took", "name"
        )
        self.unfinished_work = self.gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress, all keys together", "name"
        )
        self.longest_running = self.gauge(
            "workqueue_longest_running_processor_seconds",
            "Seconds that the longest work in progress took",
            "name",
        )

    def _store(self) -> None:
        self.store_requests = self.counter(
            "store_requests_total",
            "Requests to the store, by operation and result: ok, conflict, denied, too_large, unavailable, error",
            "operation",
            "result",
        )
        self.watch_age = self.gauge(
            "watch_age_seconds", "Seconds since the last answer that was believed; -1: none yet", "prefix"
        )
        self.watch_answers = self.counter(
            "watch_answers_total",
            "Answers to a watch, by what came of them: changed, same, worthless, not_believed, error",
            "prefix",
            "result",
        )
        self.reporter_writes = self.counter(
            "reporter_writes_total", "Transactions of the reporter, by result: ok, error", "result"
        )
        self.statuses_written = self.counter("statuses_written_total", "Statuses written to the store")
        self.events_written = self.counter("events_written_total", "Events written to the store")
        self.events_dropped = self.counter(
            "events_dropped_total", "Events that were not kept, by reason: burst, full", "reason"
        )


def follow(gauge: Gauge, label: str, read: Callable[[], float]) -> None:
    """Let `gauge` show what `read` says at the moment it is asked."""
    gauge.labels(label).set_function(read)
