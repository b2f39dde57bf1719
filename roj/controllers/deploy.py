"""Deploy: owns the containers and networks of every instance, and brings them to what its order says.

`reconcile` looks at one instance, asks `plan` for the next step, carries it out, looks again, and reports. It keeps
nothing that it could not rebuild from the store, Docker's labels and the state directory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import InstanceStatus, PortClaim
from roj.controllers import labels
from roj.controllers.hands import Hands
from roj.controllers.look import Looker
from roj.controllers.order import Order, from_labels
from roj.controllers.orders import Orders
from roj.controllers.plan import Actual, Plan, plan
from roj.controllers.status import status_of, unclaimed_status, unreadable_status
from roj.controllers.this_node import ThisNode
from roj.environment import Environment
from roj.framework.errors import TemporaryError
from roj.framework.reporter import Reporter
from roj.store.interface import Delete, Discard, Operation, StoreError
from roj.store.pool import StorePool

log = logging.getLogger(__name__)

LOOKS = 5
"""Steps that one reconcile takes for an instance before others get their turn."""


class Images(Protocol):
    """What deploy needs of the image puller."""

    def ask(self, reference: str) -> tuple[str, datetime | None]:
        """Have an image pulled; what is known of it in words, and when it is tried again."""


class Deploy:
    """The deploy controller's handler."""

    name = "deploy"

    def __init__(
        self,
        environment: Environment,
        node: ThisNode,
        orders: Orders,
        *,
        looker: Looker,
        hands: Hands,
        clients: StorePool,
        reporter: Reporter,
        images: Images,
        restarts: Callable[[str, str], int],
    ) -> None:
        self._environment = environment
        self._node = node
        self._orders = orders
        self._looker = looker
        self._hands = hands
        self._clients = clients
        self._reporter = reporter
        self._images = images
        self._restarts = restarts
        self._last: dict[str, InstanceStatus] = {}
        self._restarts_before: dict[str, int] = {}

    def reconcile(self, id: str) -> float | None:
        """One instance, by its id."""
        if not self._node.cluster() or not self._node.may_act():
            return None
        listed = self._orders.listed  # first: an order that is taken meanwhile is not overlooked
        order = self._orders.get(id)
        if order is None:
            self._without_order(id, listed=listed)
            return None
        if (
            order.absent
            and order.instance.goal == "undeploy"
            and self._orders.is_finished(order.instance.uid)
        ):
            self._done(order)  # the transaction was applied and its answer lost
            return None
        app_problem = ""
        if order.app is None and order.mode != "preserve" and order.instance.goal != "undeploy":
            order, app_problem = self._with_app(order)
        for _ in range(LOOKS):
            actual, news = self._looker.at(order)
            actual, next_try = self._ask_for_images(replace(actual, app_problem=app_problem))
            for words in news:
                self._event(order, "Crashed", words, warning=True)
            step = plan(order, actual)
            if not step.actions:
                break
            if step.phase in ("stopping", "pulling", "launched"):
                self._report(order, step, actual, next_try, transient=True)
            if not self._carry_out(order, step, actual):
                return None
            current = self._orders.get(id)
            if current is None or current.instance.change != order.instance.change:
                return 0.0  # what was seen and done was for another order
            order = current
            if step.phase == "launched":  # only policies were set: what was seen is still so
                step = replace(step, actions=())
                break
        if step.phase == "launched" and order.mode == "obey" and not step.actions:
            self._orders.launched(order)
        self._report(
            order, step, actual, next_try, transient=step.phase in ("creating", "starting", "stopping")
        )
        return 0.0 if step.actions else step.after

    def phase(self, id: str) -> str | None:
        """The phase that was reported last; None: none yet."""
        status = self._last.get(id)
        return status.phase if status is not None else None

    # --- parts of a look ---

    def _with_app(self, order: Order) -> tuple[Order, str]:
        """The order with its app, read from the store if need be; or why it is not known."""
        reference = order.instance.app
        try:
            with self._clients.client() as store:
                entry = store.get(keys.app(reference.name, reference.version))
                if entry is None:
                    entry = store.get(keys.app(reference.name, reference.version), consistent=True)
        except StoreError as error:
            return order, f"app {reference} cannot be read: {error}"
        if entry is None:
            return order, f"app {reference} is not in the store: `roj create {reference}` it again, the same"
        try:
            self._orders.learn(reference, entry.value)
        except UnreadableRecord as problem:
            return order, str(problem)
        return self._orders.get(order.id) or order, ""

    def _ask_for_images(self, actual: Actual) -> tuple[Actual, datetime | None]:
        known = {reference: self._images.ask(reference) for reference in actual.missing_images}
        times = [when for _, when in known.values() if when is not None]
        words = {reference: message for reference, (message, _) in known.items()}
        return replace(actual, missing_images=words), min(times, default=None)

    def _carry_out(self, order: Order, step: Plan, actual: Actual) -> bool:
        """Whether the order is still there afterwards."""
        version = 0
        if step.removes:
            entry = self._confirmed(order)
            if entry is None:
                return True
            version = entry
        before = self._previous(order.id)
        repaired = (
            order.obeyed.launched == order.instance.revision.id
            and before is not None
            and before.phase in ("launched", "starting", "creating")
            and before.observed_generation == order.instance.generation
        )
        done = self._hands.carry_out(order, step.actions, actual)
        if repaired and done.words and order.instance.goal == "start":
            self._event(order, "Repaired", done.words)
        if done.refused:
            self._event(order, "StartRefused", done.refused, warning=True)
        if done.finish:
            self._finish(order, version)
            return False
        return True

    def _confirmed(self, order: Order) -> int | None:
        """The version of the order's record, read after the look at what is to be removed; None: it is another now.

        Raises:
            TemporaryError: the store did not answer, or has no such order: it was wiped, or is another's.
        """
        try:
            entry = self._orders.confirm(order.id)
        except StoreError as error:
            raise TemporaryError(f"nothing is removed before the store confirms it: {error}", 5.0) from error
        current = self._orders.get(order.id)
        if current is None or current.instance.change != order.instance.change or current.mode != "obey":
            return None
        if entry is None:
            raise TemporaryError(f"nothing is removed: the store does not have the order for {order.id}", 5.0)
        return entry.version

    def _finish(self, order: Order, version: int) -> None:
        """The one place where an agent deletes what operators wrote (DESIGN.md section 3, "Undeployed")."""
        self._orders.finishing(order)
        status = keys.instance_status(order.instance.node, order.id)
        operations: list[Operation] = [Delete(keys.instance(order.instance.node, order.id), version)]
        with self._clients.client() as store:
            claims = store.list(keys.ports(order.instance.node), consistent=True)
        for entry in claims.entries:
            try:
                claim = PortClaim.decode(entry.value)
            except UnreadableRecord:
                continue
            if claim.uid == order.instance.uid:
                # No Delete: that is two of the transaction's 64 operations.
                operations.append(Discard(entry.key))
        operations.append(Discard(status))
        self._reporter.transact(
            operations,
            retire=(status,),
            events=(self._reporter.make_event("Undeployed", "", instance=order.id, uid=order.instance.uid),),
        )
        self._done(order)

    def _done(self, order: Order) -> None:
        known = self._orders.drop(order)
        self._reporter.forget(keys.instance_status(order.instance.node, order.id))
        self._looker.forget(order.instance.uid)
        self._last.pop(order.id, None)
        if known:
            log.info("undeployed %s", order.id)

    # --- what is reported ---

    def _report(
        self, order: Order, step: Plan, actual: Actual, next_try: datetime | None, *, transient: bool
    ) -> None:
        previous = self._previous(order.id)
        instance = order.instance
        base = self._restarts_before.setdefault(
            instance.revision.id,
            previous.restarts if previous is not None and previous.revision == instance.revision.id else 0,
        )
        status = status_of(
            order,
            step,
            actual,
            restarts=base + self._restarts(instance.uid, instance.revision.id),
            next_try=next_try if step.phase == "pulling" else None,
            now=self._environment.now(),
            previous=previous,
        )
        self._tell_transition(order, previous, status)
        self._last[order.id] = status
        self._reporter.status(keys.instance_status(instance.node, order.id), status, transient=transient)

    def _tell_transition(self, order: Order, previous: InstanceStatus | None, status: InstanceStatus) -> None:
        before = previous.phase if previous is not None and previous.uid == status.uid else None
        same_order = previous is not None and previous.observed_generation == status.observed_generation
        if status.phase == "launched" and not (before == "launched" and same_order):
            self._event(order, "Launched", f"{order.instance.revision.app}")
        elif status.phase == "stopped" and before != "stopped":
            self._event(order, "Stopped", f"{order.instance.revision.app}")
        elif status.phase == "held" and before != "held":
            self._event(order, "StoreWentBack", status.message, warning=True)
        elif status.phase == "unclaimed" and before != "unclaimed":
            self._event(order, "Unclaimed", status.message, warning=True)
        elif order.unreadable and (previous is None or previous.message != status.message):
            self._event(order, "RecordUnreadable", status.message, warning=True)
        elif status.phase == "pulling" and before != "pulling":
            self._event(order, "Pulling", status.message)

    def _event(self, order: Order, reason: str, message: str, *, warning: bool = False) -> None:
        self._reporter.event(reason, message, instance=order.id, uid=order.instance.uid, warning=warning)

    def _previous(self, id: str) -> InstanceStatus | None:
        """What was reported last, by this process or the one before it."""
        if id not in self._last:
            stored = self._reporter.stored(keys.instance_status(self._node.name, id))
            if stored is None:
                return None
            try:
                self._last[id] = InstanceStatus.decode(stored)
            except UnreadableRecord:
                return None
        return self._last[id]

    def _without_order(self, id: str, *, listed: bool) -> None:
        """No order: containers are unclaimed, a record that never parsed is said, anything else is over.

        Unless the store was not `listed` yet: then it is not known.
        """
        key = keys.instance_status(self._node.name, id)
        found = self._looker.containers(id)
        now = self._environment.now()
        problem = self._orders.unreadable(id)
        if problem is not None:
            self._publish(key, unreadable_status(id, self._node.name, problem, now, self._previous(id)))
        elif not listed:
            return  # the state directory was lost, and what the store wants is not known yet
        elif found:
            newest = max(found, key=lambda container: (container.created_at or now, container.name))
            owned = labels.parse(newest.labels)
            assert owned is not None
            believed = from_labels(owned, newest.created_at or now)
            self._publish(key, unclaimed_status(id, believed, found, now, self._previous(id)))
        else:
            self._last.pop(id, None)
            self._reporter.remove(key)

    def _publish(self, key: str, status: InstanceStatus) -> None:
        self._last[status.id] = status
        self._reporter.status(key, status)
