"""Upgrade: one revision in the place of another that serves, as a pure function (DESIGN.md section 7, P9).

The images are pulled first, while the old revision serves and is repaired. Then `start-first`: the new one is started
beside it; or `stop-first`: the new containers are made (Docker takes a port only at the start), the old ones stopped, and
kept, and the new ones started. The old revision is given up when the new one is launched. Where that fails, the old one
serves again, and the new one is not tried again before an operator sets it again.
"""

from __future__ import annotations

from dataclasses import replace

from roj.controllers import labels
from roj.controllers.actions import Actual, Failure, Plan
from roj.controllers.crashes import MANY
from roj.controllers.ending import cleared, runs, stopped, superseded
from roj.controllers.order import Order
from roj.controllers.serve import GLANCE, HAIR, prepare, serve, waits_for_port
from roj.runtime.interface import ContainerDetails

STALL = 120.0
"""Seconds without progress of a pull after which the upgrade has failed."""


def upgrade(order: Order, actual: Actual) -> Plan:
    """The next step toward the order's revision in the place of the one that serves."""
    if order.failed is not None:
        return _fallen_back(order, actual)
    if order.mode != "obey" and (order.mode == "preserve" or any(map(runs, _serving(order, actual)))):
        return kept(order, actual)  # what was begun is only ended where nothing would serve else
    strays = tuple(stopped(superseded(order, actual))) if order.mode == "obey" else ()
    if order.app is None:
        why = actual.app_problem or "its app is not read yet"
        return _meanwhile(order, actual, Plan("pending", strays, why, 5.0))
    if _missing(order, actual):
        return _meanwhile(order, actual, replace(_pulling(order, actual), actions=strays))
    if (failure := _exits(order, actual)) is not None:
        return Plan("failed", failure=failure)
    ends = () if starts_first(order) else tuple(stopped(_serving(order, actual)))
    prepared = prepare(order, actual) if ends else None
    step = prepared or serve(order, actual)
    left = order.app.launch_timeout - actual.tried
    if left <= 0 and step.phase != "launched":
        words = f"not launched within {order.app.launch_timeout:g} s" + (
            f": {step.message}" if step.message else ""
        )
        return Plan("failed", failure=Failure("LaunchTimeout", words))
    if ends and prepared is None:
        words = f"stops {order.of_serving().instance.app} for {order.instance.app}"
        return Plan("stopping", (*strays, *ends, *step.actions), words, GLANCE)
    if step.phase == "launched":
        return step
    after = left + HAIR if step.after is None else min(step.after, left + HAIR)
    step = replace(step, actions=(*strays, *step.actions), after=after)
    return _meanwhile(order, actual, step) if prepared or starts_first(order) else step


def kept(order: Order, actual: Actual) -> Plan:
    """What served before the order goes on: it waits, or the store went back."""
    serving = order.of_serving()
    step = serve(serving, actual.serving or actual)
    return replace(step, actions=(), beside=step.actions)


def starts_first(order: Order) -> bool:
    """Whether the new revision is started beside the one that serves."""
    if order.app is None or order.serving_app is None or order.obeyed.idle:
        return False
    return order.app.starts_first and (order.app.update is not None or order.serving_app.starts_first)


def _fallen_back(order: Order, actual: Actual) -> Plan:
    """The old revision serves again; the failed one is kept stopped for a look at it, until another order comes."""
    failure, serving = order.failed, order.of_serving()
    assert failure is not None
    failed = tuple(labels.current(actual.containers, order.instance).values())
    ends = tuple(stopped((*superseded(order, actual), *failed)))
    step = serve(serving, actual.serving or actual)
    state = "serves" if step.phase == "launched" else f"is {step.phase}"
    words = f"upgrade to {order.instance.app} failed: {failure.message}; {serving.instance.app} {state}"
    if step.message:
        words += f": {step.message}"
    tidy = cleared(order, actual) if order.mode == "obey" and step.phase == "launched" else ()
    return replace(step, phase="failed", actions=ends, beside=step.actions, message=words, tidy=tidy)


def _meanwhile(order: Order, actual: Actual, step: Plan) -> Plan:
    """With what keeps the old revision up, unless it was stopped before."""
    if order.obeyed.idle:
        return step
    serving = serve(order.of_serving(), actual.serving or actual)
    times = [after for after in (step.after, serving.after) if after is not None]
    return replace(step, beside=serving.actions, after=min(times, default=None))


def _missing(order: Order, actual: Actual) -> list[str]:
    assert order.app is not None
    mine = labels.current(actual.containers, order.instance)
    images = dict.fromkeys(c.image for c in order.app.containers if c.name not in mine)
    return [image for image in images if image in actual.missing_images]


def _pulling(order: Order, actual: Actual) -> Plan:
    pulls = {image: actual.missing_images[image] for image in _missing(order, actual)}
    for image, pull in pulls.items():
        if pull.refusal:
            return Plan("failed", failure=Failure(pull.refusal, pull.message))
        if pull.quiet >= STALL:
            words = f"no progress in pulling {image} for {STALL:g} s: {pull.message}"
            return Plan("failed", failure=Failure("PullStalled", words))
    left = STALL - max(pull.quiet for pull in pulls.values())
    return Plan("pulling", (), "; ".join(pull.message for pull in pulls.values()), left + HAIR)


def _exits(order: Order, actual: Actual) -> Failure | None:
    """Three exits before launch, or as many starts that the engine refused."""
    for name, trouble in actual.troubles.items():
        if trouble.failures >= MANY and not waits_for_port(name, actual):
            refusal = actual.refusals.get(name)
            if refusal is not None:
                return Failure("StartRefused", f"{name}: {refusal.message}")
            found = labels.current(actual.containers, order.instance).get(name)
            code = f" with code {found.exit_code}" if found is not None and found.state != "running" else ""
            words = f"{name} exited{code} {trouble.failures} times in a row before it was launched"
            return Failure("ExitsAgainAndAgain", words)
    return None


def _serving(order: Order, actual: Actual) -> tuple[ContainerDetails, ...]:
    return tuple(labels.current(actual.containers, order.of_serving().instance).values())
