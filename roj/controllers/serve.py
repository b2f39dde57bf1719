"""Serve: how the containers of one revision are brought up and kept up, as a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roj.api.app import Container
from roj.api.instance import Phase
from roj.controllers import labels
from roj.controllers.actions import (
    Action,
    Actual,
    Create,
    EnsureNetwork,
    Plan,
    Replace,
    SetPolicy,
    Start,
    Unpause,
)
from roj.controllers.crashes import HEALTHY, MANY, Trouble
from roj.controllers.order import Order
from roj.runtime.interface import ContainerDetails, RestartPolicy

SETTLE = 1.0
"""Seconds that every container has run before the instance is launched (DESIGN.md section 1)."""
HAIR = 0.02
"""Seconds more, so that the look is not a hair too early and must be repeated."""
GLANCE = 0.5
"""Seconds until another look at something that Docker is in the middle of."""
SERVING: RestartPolicy = "unless-stopped"
"""The policy of what serves: Docker alone brings back what last served (DESIGN.md section 5)."""


@dataclass(slots=True)
class _Look:
    """What came out of looking at every container."""

    actions: list[Action] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    retries: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    healthy: list[ContainerDetails] = field(default_factory=list)


def serve(order: Order, actual: Actual) -> Plan:
    """The next step toward running what the order's revision asks for."""
    mine = labels.current(actual.containers, order.instance)
    wanted = [c.name for c in order.app.containers] if order.app else list(mine)
    look = _Look()
    for name in wanted:
        if name in mine:
            replaceable = order.app is not None and order.mode != "preserve"
            _keep_up(name, mine[name], actual, look, replaceable=replaceable)
    missing = [c for c in order.app.containers if c.name not in mine] if order.app else []
    if order.app is None and order.mode == "obey":
        return Plan(
            "pending", tuple(look.actions), actual.app_problem or "its app is not read yet", after=5.0
        )
    if missing and order.mode == "preserve":
        look.problems.append(f"{_names(missing)} missing; not made anew, as the state directory was damaged")
    elif missing:
        absent = [c.image for c in missing if c.image in actual.missing_images]
        if absent:
            words = "; ".join(actual.missing_images[image].message for image in dict.fromkeys(absent))
            return Plan("pulling", tuple(look.actions), words, min(look.again, default=None))
        _make(order, missing, actual, look)
    if len(look.healthy) == len(wanted) and wanted and not look.actions:
        policies = [SetPolicy(found.id, SERVING) for found in look.healthy if found.restart_policy != SERVING]
        # Once more when its crashes are forgotten, to say so.
        young = [
            HEALTHY - actual.uptime.get(mine[name].id, 0.0) + HAIR
            for name in wanted
            if name in actual.troubles
        ]
        return Plan("launched", tuple(policies), after=min(young, default=None))
    return Plan(
        _phase(order, actual, mine),
        tuple(look.actions),
        "; ".join(look.problems),
        min((*look.again, *look.retries), default=None),
        waiting=bool(look.retries) and not look.actions,
    )


def prepare(order: Order, actual: Actual) -> Plan | None:
    """What makes the revision's containers without starting one; None: all are there."""
    assert order.app is not None
    mine = labels.current(actual.containers, order.instance)
    missing = [c for c in order.app.containers if c.name not in mine]
    if not missing:
        return None
    look = _Look()
    _make(order, missing, actual, look, start=False)
    return Plan(
        "creating",
        tuple(look.actions),
        "; ".join(look.problems),
        min(look.retries, default=None),
        waiting=bool(look.retries) and not look.actions,
    )


def _phase(order: Order, actual: Actual, mine: Mapping[str, ContainerDetails]) -> Phase:
    """`failed` says that a revision that never was launched does not start; it is tried again all the same."""
    loops = [
        name
        for name, trouble in actual.troubles.items()
        if trouble.failures >= MANY and not waits_for_port(name, actual)
    ]
    if loops and order.obeyed.launched != order.instance.revision.id:
        return "failed"
    return "starting" if mine else "creating"


def waits_for_port(name: str, actual: Actual) -> bool:
    """Whether the engine will not start it as somebody else has its port."""
    refusal = actual.refusals.get(name)
    return refusal is not None and refusal.reason == "PortTaken"


def _make(order: Order, missing: list[Container], actual: Actual, look: _Look, *, start: bool = True) -> None:
    assert order.app is not None
    ready = [c for c in missing if actual.waits.get(c.name, 0.0) <= 0.0]
    for c in missing:
        if c not in ready:
            look.retries.append(actual.waits[c.name])
            look.problems.append(_refused(c.name, actual))
    if ready and len(order.app.containers) > 1:
        look.actions.append(EnsureNetwork())
    look.actions.extend(Create(c, start) for c in ready)


def _keep_up(name: str, found: ContainerDetails, actual: Actual, look: _Look, *, replaceable: bool) -> None:
    """Bring one existing container to run."""
    match found.state:
        case "running":
            uptime = actual.uptime.get(found.id, 0.0)
            if uptime >= SETTLE:
                look.healthy.append(found)
            else:
                look.again.append(SETTLE - uptime + HAIR)
            if (trouble := actual.troubles.get(name)) is not None and uptime < SETTLE:
                look.problems.append(_ended(name, found, trouble))
        case "paused":
            look.actions.append(Unpause(found.id))
        case "restarting":
            look.again.append(GLANCE)
            look.problems.append(f"{name} {_exit(found)}; Docker restarts it")
        case "removing":
            look.again.append(GLANCE)
        case "dead":
            look.actions.append(Replace(found.id))
        case _:
            wait = actual.waits.get(name, 0.0)
            if wait <= 0.0 and replaceable and _unusable(name, found, actual):
                look.actions.append(Replace(found.id))
            elif wait <= 0.0:
                look.actions.append(Start(name, found.id))
            else:
                look.retries.append(wait)
                trouble = actual.troubles.get(name)
                refused = name in actual.refusals or trouble is None
                look.problems.append(_refused(name, actual) if refused else _ended(name, found, trouble))


def _unusable(name: str, found: ContainerDetails, actual: Actual) -> bool:
    """It will never start again: it was taken by a power cut while it was paused, or its network is gone."""
    refusal, trouble = actual.refusals.get(name), actual.troubles.get(name)
    return (
        refusal is not None
        and refusal.reason == "StartRefused"
        and trouble is not None
        and trouble.failures >= MANY
    )


def _refused(name: str, actual: Actual) -> str:
    refusal = actual.refusals.get(name)
    return f"{name}: {refusal.message}" if refusal else f"{name} is not started yet"


def _ended(name: str, found: ContainerDetails, trouble: Trouble | None) -> str:
    times = f", {trouble.failures} times in a row" if trouble is not None and trouble.failures >= MANY else ""
    return f"{name} {_exit(found)}{times}"


def _exit(found: ContainerDetails) -> str:
    if found.oom_killed:
        return "was killed for want of memory"
    return f"exited with code {found.exit_code}" if found.state != "running" else "was started again"


def _names(containers: Iterable[Container]) -> str:
    names = [c.name for c in containers]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
