"""Watches the records of a kind and runs a controller for them: what `Spec` asks for.

Absence is no order here either: a listing that lacks records is believed only if a second, `consistent` one agrees and
the store still says that it is the agent's cluster; the first listing of all only if it says so. A record that does not
parse keeps the last good one; without one the handler is not called.
"""

from __future__ import annotations

import logging
from typing import Generic

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import Cluster
from roj.framework.controller import Controller
from roj.framework.extension import Context, Spec
from roj.framework.kind import R
from roj.framework.metrics import Metrics
from roj.framework.watch import View, WatchSettings
from roj.framework.watcher import Watcher
from roj.store.interface import Entry, Listing, StoreError

_log = logging.getLogger(__name__)


class KindWatch(Generic[R]):
    """One spec at work."""

    def __init__(
        self,
        context: Context,
        spec: Spec[R],
        *,
        metrics: Metrics | None = None,
        settings: WatchSettings | None = None,
    ) -> None:
        self._context = context
        self._spec = spec
        self._lock = context.environment.lock()
        self._good: dict[str, R] = {}
        self._unreadable: dict[str, str] = {}
        self._doubted = False
        self.controller = Controller(
            context.environment, spec.name, self._reconcile, workers=spec.workers, metrics=metrics
        )
        self.watcher = Watcher(
            context.environment,
            context.store,
            spec.kind.prefix,
            believe=self._believe,
            changed=self._changed,
            settings=settings,
            metrics=metrics,
        )

    def _believe(self, listing: Listing) -> str | None:
        """Why the listing is not believed. The watcher asks for a consistent one after each doubt."""
        believed = self.watcher.believed
        there = {entry.key: entry for entry in listing.entries}
        missing = [key for key in believed or {} if key not in there]
        if believed is not None and not missing:
            self._doubted = False
            return None
        if believed is not None and not self._doubted:
            self._doubted = True
            return f"{len(missing)} of {len(believed)} records are missing; asking once more"
        problem = self._wrong_cluster()
        if problem is None:
            self._doubted = False
        return problem

    def _wrong_cluster(self) -> str | None:
        """Why the store is not the agent's cluster's."""
        known = self._context.cluster()
        if known is None:
            return "the agent does not know its cluster yet"
        client = self._context.store.clone()
        try:
            entry = client.get(keys.CLUSTER, consistent=True)
            if entry is None:
                return "the store has no cluster id"
            found = Cluster.decode(entry.value).id
        except (StoreError, UnreadableRecord) as error:
            return f"the store's cluster id cannot be read: {error}"
        finally:
            client.close()
        return None if found == known else f"the store is of cluster {found}, the agent of {known}"

    def _changed(self, view: View) -> None:
        kind = self._spec.kind
        existing = list(self._spec.existing()) if view.first or view.reset else []
        for key in view.changed:
            self._take(kind.name_of(key), view.entries.get(key))
        for key in view.changed:
            self.controller.enqueue(
                kind.name_of(key), "first listing" if view.first else "changed", low=view.first
            )
        for name in existing:
            if kind.key(name) not in view.entries:
                self.controller.enqueue(name, "it is there without a record")

    def _take(self, name: str, entry: Entry | None) -> None:
        problem = None
        record = None
        if entry is not None:
            try:
                record = self._spec.kind.type.decode(entry.value)
            except UnreadableRecord as error:
                problem = str(error)
        with self._lock:
            self._unreadable.pop(name, None)
            if problem is not None:
                self._unreadable[name] = problem
            elif record is not None:
                self._good[name] = record
            else:
                self._good.pop(name, None)
        if problem is not None:
            _log.error("%s %s: %s; the last good one stays", self._spec.kind.name, name, problem)
            message = f"{self._spec.kind.name} {name}: {problem}"
            self._context.reporter.event("RecordUnreadable", message, warning=True)

    def _reconcile(self, name: str) -> float | None:
        with self._lock:
            record = self._good.get(name)
            if record is None and name in self._unreadable:
                return None
        return self._spec.reconcile(name, record)
