"""Gate: what keeps an order back for now, as pure functions: its own time, a maintenance window, marks on the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from roj.api.instance import Instance
from roj.api.node import Mark, Node
from roj.api.record import rfc3339
from roj.api.window import is_open, next_opening
from roj.controllers.actions import Plan
from roj.controllers.order import Order


@dataclass(frozen=True, slots=True)
class Gate:
    """Why a change is not acted on yet."""

    reason: Literal["At", "Window"]
    message: str
    until: datetime | None
    """None: it is not known."""


def gate(order: Order, node: Node | None, now: datetime) -> Gate | None:
    """What keeps the order's change back; None: nothing does.

    Only what ends a service that is up waits for a window: stop, undeploy, and an app in the place of another. Repairs,
    starts and new instances do not.
    """
    instance = order.instance
    if instance.at is not None and now < instance.at:
        return Gate("At", f"{_change(instance)} waits until {rfc3339(instance.at)}", instance.at)
    if node is None or not node.windows or instance.now or not _ends_a_service(order):
        return None
    if is_open(node.windows, now):
        return None
    until = next_opening(node.windows, now)
    when = rfc3339(until) if until is not None else "a window that never opens"
    return Gate("Window", f"{_change(instance)} waits for a window of {node.name}: {when}", until)


def frozen(node: Node | None, now: datetime) -> Mark | None:
    """The order to change nothing on the node, while it holds."""
    mark = node.frozen if node is not None else None
    return mark if mark is not None and mark.holds(now) else None


def held_back(step: Plan, mark: Mark) -> Plan:
    """What is reported of a step that a frozen node does not take."""
    words = mark.in_words("frozen")
    due = bool(step.actions or step.beside or step.failure)
    if due:
        words += f"; to do: {step.message or step.phase}"
    elif step.message:
        words += f"; {step.message}"
    lasting = step.phase in ("launched", "starting", "pulling", "stopped", "completed")
    return replace(step, phase=step.phase if lasting else "pending", message=words, after=None)


def drains(id: str, node: Node | None, running: Mapping[str, bool]) -> bool:
    """Whether it is an instance's turn to stop on a node that is drained: in the order of ids, so many at a time.

    Args:
        running: for every instance of the node whether something of it runs. One that does not stays so.
    """
    if node is None or node.drained is None:
        return False
    waiting = sorted(each for each, runs in running.items() if runs)
    return id not in waiting or id in waiting[: node.drained.parallel]


def _ends_a_service(order: Order) -> bool:
    if order.obeyed.serving is None or order.obeyed.idle:
        return False
    return order.instance.goal != "start" or order.replaces


def _change(instance: Instance) -> str:
    what = f"{instance.app}" if instance.goal == "start" else instance.goal
    return f"generation {instance.generation} ({what})"
