"""What to do next for one instance: a pure function of what is desired and what is there.

`plan` looks at the order and at the containers that carry the instance's labels, and says which actions bring the one
closer to the other, which phase that is, and when to look again. The deploy controller carries it out.

    ending.py   stop, undeploy, what is superseded       serve.py   one revision is brought up and kept up
    upgrade.py  one revision in the place of another
"""

from __future__ import annotations

from dataclasses import replace

from roj.controllers import labels
from roj.controllers.actions import Actual, Plan
from roj.controllers.ending import cleared, runs, stop, superseded, undeploy
from roj.controllers.order import Order
from roj.controllers.serve import GLANCE, HAIR, SETTLE, serve
from roj.controllers.upgrade import kept, upgrade

LINGER = 1.0
"""Seconds that the old containers of a start-first upgrade go on after the launch: who follows the port that roj reports
has the new one by then."""


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
    wait = _lingers(order, actual) if left else 0.0
    if wait > 0.0:
        return replace(step, after=wait if step.after is None else min(step.after, wait))
    return replace(step, tidy=left)


def _lingers(order: Order, actual: Actual) -> float:
    """Seconds that what was superseded goes on beside what was just launched; 0: nothing of it runs, or it is time."""
    if not any(map(runs, superseded(order, actual))):
        return 0.0
    mine = labels.current(actual.containers, order.instance).values()
    youngest = min((actual.uptime.get(found.id, 0.0) for found in mine), default=0.0)
    return SETTLE + LINGER - youngest + HAIR if youngest < SETTLE + LINGER else 0.0
