"""What to do next for one instance: a pure function of what is desired and what is there.

`plan` looks at the order and at the containers that carry the instance's labels, and says which actions bring the one
closer to the other, which phase that is, and when to look again. The deploy controller carries it out.

    ending.py   stop, undeploy, what is superseded       serve.py   one revision is brought up and kept up
    upgrade.py  one revision in the place of another
"""

from __future__ import annotations

from dataclasses import replace

from roj.controllers.actions import Actual, Plan
from roj.controllers.ending import cleared, runs, stop, undeploy
from roj.controllers.order import Order
from roj.controllers.serve import GLANCE, serve
from roj.controllers.upgrade import kept, upgrade


def plan(order: Order, actual: Actual) -> Plan:
    """The next step toward what `order` says."""
    if order.mode != "obey":
        if not order.serves:
            return Plan("starting" if any(map(runs, actual.containers)) else "stopped")
        return upgrade(order, actual) if order.replaces else serve(order, actual)
    if order.goal == "undeploy":
        return undeploy(actual)
    if order.goal == "stop":
        return replace(stop(actual), tidy=cleared(order, actual))
    if order.obeyed.waiting:
        return kept(order, actual)
    if order.replaces:
        return upgrade(order, actual)
    step = serve(order, actual)
    left = cleared(order, actual)
    if left and step.phase != "launched":  # it may be in the way
        return Plan("creating", left, "replaces what another revision left", GLANCE)
    return replace(step, tidy=left)
