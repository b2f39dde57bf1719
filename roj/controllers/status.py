"""What a node reports of one instance: a pure function of order, plan and what is there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from roj.api.condition import Condition, with_condition
from roj.api.instance import ContainerStatus, Instance, InstanceStatus, Phase
from roj.controllers import labels
from roj.controllers.crashes import MANY
from roj.controllers.order import Order
from roj.controllers.plan import Actual, Plan
from roj.runtime.interface import ContainerDetails

SAME_TRY = timedelta(seconds=2)
"""Two times of a next try that differ by less are one: it is computed anew at every look."""


def status_of(
    order: Order,
    plan: Plan,
    actual: Actual,
    *,
    restarts: int,
    next_try: datetime | None,
    now: datetime,
    previous: InstanceStatus | None,
) -> InstanceStatus:
    """The status to report after `plan` was carried out and `actual` is there.

    Args:
        restarts: starts after a crash since the revision was launched.
        next_try: when an image that is missing is asked for again.
        previous: the status reported last; `since` and conditions go on from it.
    """
    instance = order.instance
    phase = _phase(order, plan)
    if plan.waiting and plan.after is not None:
        next_try = now + timedelta(seconds=plan.after)
    if previous is not None and previous.uid != instance.uid:
        previous = None
    if (
        previous is not None
        and previous.next_try
        and next_try
        and abs(previous.next_try - next_try) < SAME_TRY
    ):
        next_try = previous.next_try
    containers = _containers(order, actual)
    aside = order.held is not None or order.absent or bool(order.unreadable)
    return InstanceStatus(
        id=instance.id,
        node=instance.node,
        uid=instance.uid,
        app=instance.revision.app,
        phase=phase,
        goal=instance.goal,
        observed_generation=0 if order.resurrected else instance.generation,
        revision=instance.revision.id,
        since=previous.since if previous is not None and previous.phase == phase else now,
        message=_message(order, plan),
        restarts=restarts,
        next_try=next_try,
        ports=_ports(containers),
        containers=containers,
        conditions=_conditions(order, plan, actual, now, previous.conditions if previous is not None else ()),
        believed=instance if aside else None,
        believed_app=order.app if aside else None,
    )


def unclaimed_status(
    id: str,
    believed: Instance,
    found: tuple[ContainerDetails, ...],
    now: datetime,
    previous: InstanceStatus | None,
) -> InstanceStatus:
    """The status of containers that carry our labels and belong to no instance."""
    containers = tuple(_container(container) for container in found)
    return InstanceStatus(
        id=id,
        node=believed.node,
        uid=believed.uid,
        app=believed.app,
        phase="unclaimed",
        revision=believed.revision.id,
        since=previous.since if previous is not None and previous.phase == "unclaimed" else now,
        message=_UNCLAIMED.format(id=id),
        ports=_ports(containers),
        containers=containers,
        believed=believed,
    )


def unreadable_status(
    id: str, node: str, problem: str, now: datetime, previous: InstanceStatus | None
) -> InstanceStatus:
    """The status of an instance whose record does not parse and never did."""
    same = previous is not None and previous.message == problem
    since = previous.since if previous is not None and same else now
    condition = Condition(
        type="RecordUnreadable", status="True", reason="DoesNotParse", message=problem, since=since
    )
    return InstanceStatus(
        id=id, node=node, phase="pending", since=since, message=problem, conditions=(condition,)
    )


_UNCLAIMED = "the store has no record of it; `roj adopt {id}` claims it, `roj undeploy {id}` removes it"


def _phase(order: Order, plan: Plan) -> Phase | Literal["unclaimed"]:
    if order.held is not None:
        return "held"
    return "unclaimed" if order.absent else plan.phase


def _message(order: Order, plan: Plan) -> str:
    if order.held is not None:
        return _two_orders(order) + (f"; {plan.message}" if plan.message else "")
    if order.absent:
        return _UNCLAIMED.format(id=order.id)
    if order.unreadable:
        return f"its record is not understood, the last good one is obeyed: {order.unreadable}"
    return plan.message


def _two_orders(order: Order) -> str:
    held = order.held
    assert held is not None
    if order.resurrected:
        return (
            f"the store went back: it asks for `{held.goal}` (generation {held.generation}, change {held.change[:8]}) of "
            f"an instance that was undeployed; `roj undeploy {order.id}` ends that, `roj adopt {order.id}` brings it back"
        )
    return (
        f"the store went back: it holds generation {held.generation} ({held.goal}, change {held.change[:8]}), this node "
        f"obeys generation {order.instance.generation} ({order.instance.goal}, change {order.instance.change[:8]}); "
        f"`roj adopt {order.id}` puts the newer one back"
    )


def _conditions(
    order: Order, plan: Plan, actual: Actual, now: datetime, before: Iterable[Condition]
) -> tuple[Condition, ...]:
    found = []
    if order.held is not None:
        found.append(("StoreWentBack", "True", "OlderOrder", _two_orders(order)))
    if order.unreadable:
        found.append(("RecordUnreadable", "True", "DoesNotParse", order.unreadable))
    if actual.missing_images and plan.phase == "pulling":
        words = "; ".join(actual.missing_images.values())
        found.append(("ImageAvailable", "False", "Missing", words))
    ports = [refusal.message for refusal in actual.refusals.values() if refusal.reason == "PortTaken"]
    if ports:
        found.append(("PortsAvailable", "False", "PortTaken", "; ".join(ports)))
    loops = [
        name
        for name, trouble in actual.troubles.items()
        if trouble.failures >= MANY and name not in actual.refusals
    ]
    if loops:
        found.append(("CrashLoop", "True", "ExitsAgainAndAgain", f"{', '.join(loops)} does not stay up"))
    old = [c for c in before if c.type in [kind for kind, *_ in found]]
    result: tuple[Condition, ...] = ()
    for kind, state, reason, message in found:
        new = Condition.checked(
            {"type": kind, "status": state, "reason": reason, "message": message, "since": now}
        )
        fresh = with_condition([c for c in old if c.type == kind], new)
        result = (*result, *fresh)
    return tuple(sorted(result, key=lambda c: c.type))


def _containers(order: Order, actual: Actual) -> tuple[ContainerStatus, ...]:
    mine = labels.current(actual.containers, order.instance)
    names = [c.name for c in order.app.containers] if order.app is not None else sorted(mine)
    if order.instance.goal == "undeploy" or (order.instance.goal == "stop" and not mine):
        names = [name for name in names if name in mine]
    images = {c.name: c.image for c in order.app.containers} if order.app is not None else {}
    return tuple(
        _container(mine[name])
        if name in mine
        else ContainerStatus(name=name, image=images.get(name, ""), state="missing")
        for name in names
    )


def _container(found: ContainerDetails) -> ContainerStatus:
    ports = found.ports or found.configured_ports
    return ContainerStatus(
        name=found.labels.get(labels.CONTAINER, found.name),
        id=found.id,
        image=found.image,
        state=found.state,
        ports={port.key: port.host for port in ports},
    )


def _ports(containers: Iterable[ContainerStatus]) -> dict[str, int]:
    containers = tuple(containers)
    keys = [key for container in containers for key in container.ports]
    return {
        (f"{container.name}:{key}" if keys.count(key) > 1 else key): host
        for container in containers
        for key, host in sorted(container.ports.items())
    }
