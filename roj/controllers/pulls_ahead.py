"""Pulls ahead: the images of an app are brought to the node before an instance needs them (`roj pull`).

The image puller pulls; this controller says what for, reports how far it is, and notes when an instance has come to use
it. Nothing is written down on the node: without the store nothing new is pulled, and no image is collected either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from roj.api import keys
from roj.api.app import App, AppReference
from roj.api.faults import UnreadableRecord
from roj.api.pull import PullOrder, PullStatus
from roj.api.record import digest_of
from roj.controllers.actions import Pull
from roj.controllers.attempts import Images
from roj.controllers.orders import Orders
from roj.controllers.this_node import ThisNode
from roj.environment import Environment
from roj.framework.reporter import Reporter
from roj.framework.watcher import View
from roj.runtime.interface import Runtime
from roj.store.interface import StoreError
from roj.store.pool import StorePool

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks at whether the images are still there, and whether an instance uses them."""
RETRY = 10.0
"""Seconds until another try to read the app."""


class PullsAhead:
    """The handler of the pulls; its keys are `NAME/VERSION`. Safe to use from several threads."""

    name = "pulls-ahead"

    def __init__(
        self,
        environment: Environment,
        node: ThisNode,
        orders: Orders,
        *,
        runtime: Runtime,
        clients: StorePool,
        reporter: Reporter,
        images: Images,
        enqueue: Callable[[str, str], None],
    ) -> None:
        """
        Args:
            images: pulls, and says how that goes.
            enqueue: puts a key in this controller's queue, with the reason.
        """
        self._environment = environment
        self._node = node
        self._orders = orders
        self._runtime = runtime
        self._clients = clients
        self._reporter = reporter
        self._images = images
        self._enqueue = enqueue
        self._prefix = keys.pulls(node.name)
        self._reported = keys.pull_statuses(node.name)
        self._lock = environment.lock()
        self._wanted: dict[str, PullOrder] = {}
        self._apps: dict[str, App] = {}
        """By digest."""
        self._last: dict[str, PullStatus] = {}
        """What was reported last."""

    # --- what others ask ---

    def wanting(self, image: str) -> tuple[str, ...]:
        """The keys of the pulls that want an image and are not over."""
        now = self._environment.now()
        with self._lock:
            found = []
            for key, order in sorted(self._wanted.items()):
                app = self._apps.get(order.app.digest)
                if app is not None and now < order.expires and any(c.image == image for c in app.containers):
                    found.append(key)
        return tuple(key for key in found if not self._is_used(key))

    def used(self, order: PullOrder) -> bool:
        """Whether an instance has come to use what was pulled: from then on its images are kept for that."""
        status = self._status(f"{order.app.name}/{order.app.version}")
        return status is not None and status.change == order.change and status.phase == "used"

    def wanted(self) -> tuple[str, ...]:
        """The keys of all."""
        with self._lock:
            return tuple(sorted(self._wanted))

    # --- what the watcher brings ---

    def take(self, view: View) -> None:
        """Take what a believed listing says."""
        changed = [key for key in view.changed if key.startswith(self._prefix)]
        if view.first or view.reset:
            listed = [key for key in view.entries if key.startswith(self._prefix)]
            before = [self._prefix + name for name in self.wanted()]
            reported = [key for key in self._reporter.stored_keys() if key.startswith(self._reported)]
            left = [self._prefix + key.removeprefix(self._reported) for key in reported]
            changed = sorted(dict.fromkeys([*listed, *before, *left, *changed]))
        for key in changed:
            name, entry = key.removeprefix(self._prefix), view.entries.get(key)
            try:
                order = PullOrder.decode(entry.value) if entry is not None else None
            except UnreadableRecord as problem:
                log.warning("%s is not understood: %s", key, problem)
                continue
            with self._lock:
                if order is None:
                    self._wanted.pop(name, None)
                else:
                    self._wanted[name] = order
            self._enqueue(name, "it is ordered" if order is not None else "it is not ordered any more")

    # --- the handler ---

    def reconcile(self, key: str) -> float | None:
        """One pull, by `NAME/VERSION`."""
        now = self._environment.now()
        with self._lock:
            order = self._wanted.get(key)
            if order is not None and order.expires <= now:
                order = None
                del self._wanted[key]
        if order is None:
            self._forget(key)
            return None
        if not self._node.may_act():
            return None  # it is looked at again when that changes
        if self.used(order):
            return self._until(order.expires)
        app = self._app(order.app)
        if isinstance(app, str):
            self._report(key, order, "pulling", app)
            return RETRY
        missing = [c for c in app.containers if self._runtime.image(c.image) is None]
        if not missing:
            self._report(key, order, "used" if self._runs(order.app) else "pulled")
            return min(EVERY, self._until(order.expires))
        if (mark := self._node.frozen()) is not None:
            self._report(key, order, "pulling", mark.in_words("frozen"))
            return EVERY
        never = [c.image for c in missing if c.pull == "never"]
        asked = [self._images.ask(c.image) for c in missing if c.pull != "never"]
        words = [f"{image} is not to be pulled (pull: never)" for image in never]
        self._report_pulls(key, order, words, asked)
        return EVERY  # the puller wakes it before

    def _report_pulls(self, key: str, order: PullOrder, words: list[str], asked: list[Pull]) -> None:
        refused = bool(words) or any(pull.refusal for pull in asked)
        tries = [pull.next_try for pull in asked if pull.next_try is not None]
        message = "; ".join(dict.fromkeys([*words, *(pull.message for pull in asked)]))
        self._report(key, order, "failed" if refused else "pulling", message, min(tries, default=None))

    def _report(
        self,
        key: str,
        order: PullOrder,
        phase: Literal["pulling", "pulled", "used", "failed"],
        message: str = "",
        next_try: datetime | None = None,
    ) -> None:
        before = self._status(key)
        same = before is not None and (before.change, before.phase) == (order.change, phase)
        status = PullStatus(
            node=order.node, app=order.app, change=order.change, phase=phase,
            since=before.since if same and before is not None else self._environment.now(),
            message=message, next_try=next_try,
        )  # fmt: skip
        with self._lock:
            self._last[key] = status
        self._reporter.status(self._reported + key, status, transient=phase == "pulling")

    # --- inside ---

    def _status(self, key: str) -> PullStatus | None:
        with self._lock:
            if key in self._last:
                return self._last[key]
        stored = self._reporter.stored(self._reported + key)
        try:
            return PullStatus.decode(stored) if stored is not None else None
        except UnreadableRecord:
            return None

    def _is_used(self, key: str) -> bool:
        with self._lock:
            order = self._wanted.get(key)
        return order is not None and self.used(order)

    def _runs(self, app: AppReference) -> bool:
        """Whether an instance of the node is to run it, or does."""
        return any(app in order.references() for order in self._orders.all())

    def _app(self, reference: AppReference) -> App | str:
        """The app, or why it is not known."""
        known = self._orders.app(reference)
        with self._lock:
            known = known or self._apps.get(reference.digest)
            if known is not None:
                self._apps[reference.digest] = known
                return known
        try:
            with self._clients.client() as store:
                entry = store.get(keys.app(reference.name, reference.version), consistent=True)
        except StoreError as error:
            return f"app {reference} cannot be read: {error}"
        if entry is None or digest_of(entry.value) != reference.digest:
            return f"app {reference} is not in the store, or is another one now"
        try:
            app = App.decode(entry.value)
        except UnreadableRecord as problem:
            return str(problem)
        with self._lock:
            self._apps[reference.digest] = app
        return app

    def _forget(self, key: str) -> None:
        self._reporter.remove(self._reported + key)
        with self._lock:
            self._last.pop(key, None)
            wanted = {order.app.digest: None for order in self._wanted.values()}
            self._apps = {digest: app for digest, app in self._apps.items() if digest in wanted}

    def _until(self, moment: datetime) -> float:
        return max((moment - self._environment.now()).total_seconds(), 0.0) + 0.1
