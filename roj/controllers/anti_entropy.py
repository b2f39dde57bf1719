"""Anti-entropy: compares what should run with what does, by period and by Docker's events.

It owns nothing. What differs is handed to its owner, the deploy controller, with the reason; a lost event costs no more
than the time to the next comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from roj.controllers import labels
from roj.controllers.crashes import Crashes
from roj.controllers.order import Order
from roj.controllers.orders import Orders
from roj.controllers.this_node import ThisNode
from roj.runtime.interface import ContainerSummary, Runtime, RuntimeEvent

log = logging.getLogger(__name__)

NODE = "node"
"""The one key of this controller."""
_TELLING = ("die", "start", "destroy", "pause", "unpause", "oom", "stop", "kill", "rename", "update")
_BY_HAND = ("kill", "stop", "pause")


class AntiEntropy:
    """The anti-entropy controller's handler, and the reader of Docker's events."""

    name = "anti-entropy"

    def __init__(
        self,
        node: ThisNode,
        orders: Orders,
        runtime: Runtime,
        crashes: Crashes,
        *,
        every: float,
        hand_over: Callable[[str, str, bool], None],
        caused: Callable[[str, str], bool],
        look_now: Callable[[str], None],
        reported: Callable[[], Iterable[str]],
    ) -> None:
        """
        Args:
            every: seconds between two comparisons.
            hand_over: called with an instance's id, the reason, and whether it is news (an event).
            caused: whether an event (action, container id) is the echo of roj's own doing.
            look_now: called when anything may have been missed: a comparison is due.
            reported: ids of the instances that the store has a status of.
        """
        self._node = node
        self._orders = orders
        self._runtime = runtime
        self._crashes = crashes
        self._every = every
        self._hand_over = hand_over
        self._caused = caused
        self._look_now = look_now
        self._reported = reported
        self._followed = False

    def reconcile(self, _: str) -> float | None:
        """Compare everything."""
        if not self._node.cluster():
            return self._every
        found: dict[str, list[ContainerSummary]] = {}
        for summary in self._runtime.containers(labels.of_node(self._node.cluster(), self._node.name)):
            found.setdefault(summary.labels.get(labels.INSTANCE, ""), []).append(summary)
        orders = {order.id: order for order in self._orders.all()}
        for id, order in orders.items():
            if (reason := difference(order, found.get(id, ()))) is not None:
                self._hand_over(id, reason, False)
        rest = [*found, *self._orders.unreadable_ids(), *self._reported()]
        for id in dict.fromkeys(rest):
            if id and id not in orders:
                self._hand_over(id, "nothing asks for it", False)
        return self._every

    def follow(self, stopped: Callable[[], bool]) -> None:
        """Read Docker's events until `stopped`: the body of a thread."""
        for event in self._runtime.events(stopped):
            self.on_event(event)

    def on_event(self, event: RuntimeEvent) -> None:
        """Hand what an event is about to its owner."""
        if event.kind == "cut":
            self._look_now("Docker's event stream has ended")
            return
        if event.kind == "reconnected":
            self._look_now("Docker's event stream was cut")
            if self._followed:  # else the agent has only just looked at all of them
                for order in self._orders.all():  # a comparison of lists does not tell restart policies
                    self._hand_over(order.id, "Docker's event stream was cut", False)
            self._followed = True
            return
        if event.kind != "container" or event.action not in _TELLING:
            return
        owned = labels.owned(event.labels, self._node.cluster(), self._node.name)
        if owned is None or self._caused(event.action, event.id):
            return
        if event.action in _BY_HAND:
            self._crashes.touched(event.id)
        if event.action != "kill":  # `die` follows, or the signal did not end it
            self._hand_over(owned.instance, f"{owned.container}: {event.action}", True)


def difference(order: Order, found: Sequence[ContainerSummary]) -> str | None:
    """Why the owner should look at an instance; None: what is there is what is wanted, as far as a list tells."""
    if order.obeyed.waiting:
        return "its change waits"
    if order.replaces and order.failed is None and order.goal == "start" and order.mode == "obey":
        return "its app is to be replaced"
    if order.mode == "obey":
        for summary in found:
            if not order.keeps(summary.labels):
                return f"{summary.name} is of another revision"
    if order.replaces and order.goal == "start":
        order = order.of_serving()
    mine = labels.current(found, order.instance)
    if order.goal != "start":
        if order.mode != "obey":
            return None
        running = [
            name for name, summary in mine.items() if summary.state in ("running", "paused", "restarting")
        ]
        if order.goal == "undeploy":
            return "is to be undeployed"
        return f"{running[0]} runs" if running else None
    if not order.serves:
        return None
    if order.app is None:
        return "its app is not known"
    for container in order.app.containers:
        state = mine[container.name].state if container.name in mine else "missing"
        if state != "running":
            return f"{container.name} is {state}"
    return None
