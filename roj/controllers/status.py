"""What a node reports of one instance: a pure function of order, plan and what is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from roj.api.condition import Condition, with_condition
from roj.api.instance import LINEAGE, ContainerStatus, Instance, InstanceStatus, Outcome, Phase
from roj.api.node import Mark
from roj.controllers import labels
from roj.controllers.actions import Actual, Plan
from roj.controllers.crashes import MANY
from roj.controllers.ending import runs
from roj.controllers.gate import Gate
from roj.controllers.order import Order
from roj.runtime.interface import ContainerDetails

SAME_TRY = timedelta(seconds=2)
"""Two times of a next try that differ by less are one: it is computed anew at every look."""


def status_of(
    order: Order,
    plan: Plan,
    actual: Actual,
    *,
    waits: Gate | None,
    frozen: Mark | None,
    restarts: int,
    now: datetime,
    previous: InstanceStatus | None,
) -> InstanceStatus:
    """The status to report after `plan` was carried out and `actual` is there.

    Args:
        waits: what keeps the order's change back.
        frozen: the node changes nothing.
        restarts: starts after a crash since the revision was launched.
        previous: the status reported last; `since` and conditions go on from it.
    """
    instance = order.instance
    phase = _phase(order, plan)
    shown, there = _shown(order, actual)
    next_try = _next_try(plan, there, now)
    if previous is not None and previous.uid != instance.uid:
        previous = None
    if (
        previous is not None
        and previous.next_try
        and next_try
        and abs(previous.next_try - next_try) < SAME_TRY
    ):
        next_try = previous.next_try
    containers = _containers(shown, there)
    held_back = waits is not None or frozen is not None
    acted_on = instance.generation
    if order.resurrected or held_back:
        acted_on = previous.observed_generation if previous is not None and not order.resurrected else 0
    aside = order.held is not None or order.absent or bool(order.unreadable)
    return InstanceStatus(
        id=instance.id,
        node=instance.node,
        uid=instance.uid,
        app=shown.instance.revision.app,
        phase=phase,
        goal=instance.goal,
        observed_generation=acted_on,
        revision=shown.instance.revision.id,
        since=previous.since if previous is not None and previous.phase == phase else now,
        message=_message(order, plan),
        restarts=restarts,
        next_try=next_try,
        ports=_ports(containers),
        containers=containers,
        conditions=_conditions(
            [
                *_facts(order, plan, there),
                *_facts_of_node(order, waits, frozen),
                *_facts_of_upgrade(order, plan),
            ],
            now,
            previous.conditions if previous is not None else (),
        ),
        outcomes=_outcomes(instance, phase, plan, now, previous) if not held_back else _past(previous),
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
    if order.drained:
        return _DRAINED + (f"; {plan.message}" if plan.message else "")
    if order.unreadable:
        return f"its record is not understood, the last good one is obeyed: {order.unreadable}"
    return plan.message


_DRAINED = "its node is drained: `roj node uncordon` starts it again"


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


def _shown(order: Order, actual: Actual) -> tuple[Order, Actual]:
    """The revision that serves, while another one should run: until the old one is stopped, or as the new one failed."""
    if not order.replaces or actual.serving is None:
        return order, actual
    serving = order.of_serving()
    up = any(runs(found) for found in labels.current(actual.containers, serving.instance).values())
    if up or order.failed is not None or order.obeyed.waiting:
        return serving, actual.serving
    return order, actual


def _next_try(plan: Plan, actual: Actual, now: datetime) -> datetime | None:
    """When a start or a pull is tried again."""
    if plan.waiting and plan.after is not None:
        return now + timedelta(seconds=plan.after)
    times = [pull.next_try for pull in actual.missing_images.values() if pull.next_try is not None]
    return min(times, default=None) if plan.phase == "pulling" else None


def _past(previous: InstanceStatus | None) -> tuple[Outcome, ...]:
    return previous.outcomes if previous is not None else ()


def _outcomes(
    instance: Instance, phase: str, plan: Plan, now: datetime, previous: InstanceStatus | None
) -> tuple[Outcome, ...]:
    """With what became of this generation, as soon as that is certain, and of the one before."""
    outcomes = _past(previous)
    known = outcomes[0].generation if outcomes else 0
    before = previous.observed_generation if previous is not None else 0
    if known < before < instance.generation:
        outcomes = (Outcome(generation=before, outcome="superseded", when=now), *outcomes)
        known = before
    ends: dict[str, Literal["launched", "stopped", "failed"]] = {
        "launched": "launched", "stopped": "stopped", "failed": "failed",
    }  # fmt: skip
    if phase == "launched" and known == instance.generation and outcomes[0].outcome == "failed":
        outcomes, known = outcomes[1:], 0  # it was tried again all the same
    if phase in ends and known < instance.generation:
        began = max(instance.when, instance.at) if instance.at is not None else instance.when
        outcome = Outcome(
            generation=instance.generation, outcome=ends[phase], when=now,
            seconds=round(max(0.0, (now - began).total_seconds()), 3),
            message=plan.message if phase == "failed" else "",
        )  # fmt: skip
        outcomes = (outcome, *outcomes)
    return outcomes[:LINEAGE]


def _facts_of_node(
    order: Order, waits: Gate | None, frozen: Mark | None
) -> Iterable[tuple[str, Literal["True"], str, str]]:
    if waits is not None:
        yield "Waiting", "True", waits.reason, waits.message
    if frozen is not None:
        yield "Frozen", "True", "NodeFrozen", frozen.in_words("frozen")
    if order.drained:
        yield "Drained", "True", "NodeDrained", _DRAINED


def _facts_of_upgrade(order: Order, plan: Plan) -> Iterable[tuple[str, Literal["True"], str, str]]:
    failed = order.failed
    if failed is not None and order.replaces:
        yield "RolledBack", "True", failed.reason, plan.message


def _facts(order: Order, plan: Plan, actual: Actual) -> list[tuple[str, Literal["True", "False"], str, str]]:
    found: list[tuple[str, Literal["True", "False"], str, str]] = []
    if order.held is not None:
        found.append(("StoreWentBack", "True", "OlderOrder", _two_orders(order)))
    if order.unreadable:
        found.append(("RecordUnreadable", "True", "DoesNotParse", order.unreadable))
    if actual.missing_images and plan.phase == "pulling":
        words = "; ".join(pull.message for pull in actual.missing_images.values())
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
    return found


def _conditions(
    found: Sequence[tuple[str, str, str, str]], now: datetime, before: Iterable[Condition]
) -> tuple[Condition, ...]:
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
    if order.goal == "undeploy" or (order.goal == "stop" and not mine):
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
