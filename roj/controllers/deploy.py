"""Deploy: owns the containers and networks of every instance, and brings them to what its order says.

`reconcile` looks at one instance, asks `plan` for the next step, carries it out, looks again, and reports. It keeps
nothing that it could not rebuild from the store, Docker's labels and the state directory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from roj.api import keys
from roj.api.app import AppReference
from roj.api.faults import UnreadableRecord
from roj.api.instance import InstanceStatus, PortClaim
from roj.controllers import labels
from roj.controllers.actions import Actual, Failure, Plan
from roj.controllers.attempts import Attempts, Images
from roj.controllers.ending import runs
from roj.controllers.gate import Gate, drains, gate, held_back
from roj.controllers.hands import Hands
from roj.controllers.look import Looker
from roj.controllers.order import Order, from_labels
from roj.controllers.orders import Orders
from roj.controllers.plan import plan
from roj.controllers.serve import HAIR
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
ASK_AGAIN = 300.0
"""Seconds after which the store is asked again for an app that it did not have, of an instance that is only kept: the
store went back, or lost the instance's record."""
RECHECK = 60.0
"""Seconds between two looks at the clock for a change that waits for its time."""


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
        wake: Callable[[str, str], None],
    ) -> None:
        """
        Args:
            restarts: starts after a crash of a life's revision.
            wake: called with an instance's id and the reason when it is to be looked at.
        """
        self._environment = environment
        self._node = node
        self._orders = orders
        self._looker = looker
        self._hands = hands
        self._clients = clients
        self._reporter = reporter
        self._restarts = restarts
        self._wake = wake
        self._last: dict[str, InstanceStatus] = {}
        self._attempts = Attempts(environment, looker, images)
        self._restarts_before: dict[str, int] = {}
        self._ask_again: dict[str, float] = {}
        """Of what is only kept: the moment before which the store is not asked for its app again, by instance."""

    def reconcile(self, id: str) -> float | None:
        """One instance, by its id."""
        if not self._node.cluster() or not self._node.may_act():
            return None
        listed = self._orders.listed  # first: an order that is taken meanwhile is not overlooked
        order = self._orders.get(id)
        if order is None:
            self._without_order(id, listed=listed)
            return None
        if order.absent and order.instance.goal == "undeploy" and self._is_undeployed(order):
            self._done(order)
            return None
        problem = self._learn_apps(order)
        for _ in range(LOOKS):
            order, gate = self._begun(self._orders.get(id) or order)
            actual, news = self._looker.at(order)
            actual = self._attempts.with_images(order, replace(actual, app_problem=problem))
            for words in news:
                self._event(order, "Crashed", words, warning=True)
            step = plan(order, actual)
            if gate is not None:
                step = replace(step, message=gate.message + (f"; {step.message}" if step.message else ""))
            if (mark := self._node.frozen()) is not None:
                self._attempts.forget(id)
                self._report(order, held_back(step, mark), actual, gate, transient=False)
                return self._until(mark.until)
            if step.failure is not None:
                self._fail(order, step.failure)
                continue
            if not step.actions and not step.beside:
                break
            if step.phase in ("stopping", "pulling", "launched"):
                self._report(order, step, actual, gate, transient=True)
            if not self._carry_out(order, step, actual):
                return None
            current = self._orders.get(id)
            if current is None or current.instance.change != order.instance.change:
                return 0.0  # what was seen and done was for another order
            if step.phase == "launched":  # only policies were set: what was seen is still so
                step = replace(step, actions=(), beside=())
                break
        launched = step.phase == "launched" and order.mode == "obey" and gate is None and not step.actions
        if launched:
            self._orders.launched(order)
        replaced = launched and order.replaces
        self._report(order, step, actual, gate, transient=step.phase in ("creating", "starting", "stopping"))
        if step.failure is not None or step.actions or step.beside or replaced:
            return 0.0
        again = [step.after, self._tidied(order, step, actual), self._until(gate.until) if gate else None]
        return min((after for after in again if after is not None), default=None)

    def phase(self, id: str) -> str | None:
        """The phase that was reported last; None: none yet."""
        status = self._last.get(id)
        return status.phase if status is not None else None

    def message(self, id: str) -> str:
        """What was reported with it, for people."""
        status = self._last.get(id)
        return status.message if status is not None else ""

    # --- parts of a look ---

    def _learn_apps(self, order: Order) -> str:
        """Read the apps that are not known yet from the store; why the one that should run is not."""
        if order.mode == "preserve" or order.instance.goal == "undeploy":
            return ""
        if order.mode != "obey" and order.app is None:
            now = self._environment.monotonic()
            if now < self._ask_again.get(order.id, 0.0):
                return f"app {order.instance.app} is not known"
            self._ask_again[order.id] = now + ASK_AGAIN
        serving = order.obeyed.serving
        if order.replaces and order.serving_app is None and serving is not None:
            self._learn(serving.app)
        return self._learn(order.instance.app) if order.app is None else ""

    def _learn(self, reference: AppReference) -> str:
        """Why an app is not known; empty: it is now."""
        try:
            with self._clients.client() as store:
                entry = store.get(keys.app(reference.name, reference.version))
                if entry is None:
                    entry = store.get(keys.app(reference.name, reference.version), consistent=True)
        except StoreError as error:
            return f"app {reference} cannot be read: {error}"
        if entry is None:
            return f"app {reference} is not in the store: `roj create {reference}` it again, the same"
        try:
            self._orders.learn(reference, entry.value)
        except UnreadableRecord as problem:
            return str(problem)
        return ""

    def _begun(self, order: Order) -> tuple[Order, Gate | None]:
        """The order as it is to be acted on now, and what keeps its change back."""
        node, waits = self._node.record(), None
        if order.obeyed.waiting and order.mode == "obey":
            waits = gate(order, node, self._environment.now())
            if waits is None:
                self._orders.begin(order)
                order = self._orders.get(order.id) or order
        if node is not None and node.drained is not None and order.goal == "start":
            order = replace(order, drained=drains(order.id, node, self._running(order.id)))
        return order, waits

    def _running(self, id: str) -> dict[str, bool]:
        """Whether something runs of every instance, as reported last; of `id` as Docker says."""
        running = {each: status.phase not in ("stopped", "completed") for each, status in self._last.items()}
        return {**running, id: any(map(runs, self._looker.containers(id)))}

    def _fail(self, order: Order, failure: Failure) -> None:
        """Write the verdict down: the next look starts the old revision again."""
        self._orders.failed(order, failure.reason, failure.message)
        self._event(order, "UpgradeFailed", f"{order.instance.app}: {failure.message}", warning=True)

    def _tidied(self, order: Order, step: Plan, actual: Actual) -> float | None:
        """Remove what is left of other revisions if the store confirms the order; seconds until another try."""
        if not step.tidy or self._orders.get(order.id) is None:
            return None
        try:
            if self._confirmed(order) is None:
                return 0.0
        except TemporaryError as error:
            log.info("%s: %s", order.id, error)
            return error.delay
        self._hands.carry_out(order, step.tidy, actual)
        return 0.0

    def _until(self, moment: datetime | None) -> float:
        """Seconds until then, and at most RECHECK: the wall clock may be set meanwhile."""
        if moment is None:
            return RECHECK
        return min(max((moment - self._environment.now()).total_seconds(), 0.0) + HAIR, RECHECK)

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
        if repaired and done.words and order.goal == "start":
            self._event(order, "Repaired", done.words)
        if done.refused:
            self._event(order, "StartRefused", done.refused, warning=True)
        if done.finish:
            self._finish(order, version)
            return False
        if step.beside:
            beside = self._hands.carry_out(order.of_serving(), step.beside, actual.serving or actual)
            if beside.refused:
                self._event(order, "StartRefused", beside.refused, warning=True)
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
        operations += [Discard(keys.history(order.instance.node, order.id)), Discard(status)]
        self._reporter.transact(
            operations,
            retire=(status,),
            events=(self._reporter.make_event("Undeployed", "", instance=order.id, uid=order.instance.uid),),
        )
        self._done(order)

    def _is_undeployed(self, order: Order) -> bool:
        """Of an undeploy whose record is gone: whether it is done.

        Either the transaction was applied and its answer lost; or another machine was the node's agent meanwhile and
        did it there, and there is nothing here.
        """
        if self._orders.is_finished(order.instance.uid):
            return True
        if self._looker.containers(order.id):
            return False
        self._orders.finishing(order)
        return True

    def _done(self, order: Order) -> None:
        known = self._orders.drop(order)
        self._reporter.forget(keys.instance_status(order.instance.node, order.id))
        self._looker.forget(order.instance.uid)
        self._last.pop(order.id, None)
        self._attempts.forget(order.id)
        self._ask_again.pop(order.id, None)
        if known:
            log.info("undeployed %s", order.id)

    # --- what is reported ---

    def _report(
        self, order: Order, step: Plan, actual: Actual, waits: Gate | None, *, transient: bool
    ) -> None:
        previous = self._previous(order.id)
        instance = order.instance
        revision = order.obeyed.launched if order.replaces else instance.revision.id
        base = self._restarts_before.setdefault(
            revision,
            previous.restarts if previous is not None and previous.revision == revision else 0,
        )
        status = status_of(
            order,
            step,
            actual,
            waits=waits,
            frozen=self._node.frozen(),
            restarts=base + self._restarts(instance.uid, revision),
            now=self._environment.now(),
            previous=previous,
        )
        self._tell_transition(order, previous, status)
        self._last[order.id] = status
        self._reporter.status(keys.instance_status(instance.node, order.id), status, transient=transient)
        if order.drained and status.phase == "stopped" and (previous is None or previous.phase != "stopped"):
            for other in self._orders.all():
                self._wake(other.id, f"{order.id} was drained")

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
        elif status.phase == "failed" and order.failed is not None and not _rolled_back(previous):
            self._event(order, "RolledBack", status.message, warning=True)

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


def _rolled_back(status: InstanceStatus | None) -> bool:
    return status is not None and any(c.type == "RolledBack" for c in status.conditions)
