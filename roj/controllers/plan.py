"""What to do next for one instance: a pure function of what is desired and what is there.

`plan` looks at the order and at the containers that carry the instance's labels, and says which actions bring the one
closer to the other, which phase that is, and when to look again. The deploy controller carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roj.api.app import Container
from roj.api.instance import Phase
from roj.controllers import labels
from roj.controllers.crashes import HEALTHY, MANY, Trouble
from roj.controllers.order import Order
from roj.runtime.interface import ContainerDetails, Network, RestartPolicy

SETTLE = 1.0
"""Seconds that every container has run before the instance is launched (DESIGN.md section 1)."""
HAIR = 0.02
"""Seconds more, so that the look is not a hair too early and must be repeated."""
GLANCE = 0.5
"""Seconds until another look at something that Docker is in the middle of."""
SERVING: RestartPolicy = "unless-stopped"
"""The policy of what serves: Docker alone brings back what last served (DESIGN.md section 5)."""


@dataclass(frozen=True, slots=True)
class EnsureNetwork:
    """Make the revision's network unless it is there."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create a container and start it."""

    container: Container


@dataclass(frozen=True, slots=True)
class Start:
    """Start an existing container."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Unpause:
    """Let a paused container go on."""

    id: str


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Change Docker's restart policy of a container."""

    id: str
    policy: RestartPolicy


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a container; its restart policy is taken off before."""

    id: str
    policy: RestartPolicy
    """The policy that it has now."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that does not run."""

    id: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Remove a container that its revision needs and that cannot be used any more; the next look makes it anew."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a network."""

    id: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Tell the store that the undeploy is done."""


Action = (
    EnsureNetwork | Create | Start | Unpause | SetPolicy | Stop | Remove | Replace | RemoveNetwork | Finish
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The engine would not start a container."""

    reason: str
    """`PortTaken` or `StartRefused`."""
    message: str


@dataclass(frozen=True, slots=True)
class Actual:
    """What is there for one instance, and what is known of it."""

    containers: tuple[ContainerDetails, ...] = ()
    """All containers of this node that carry the instance's label, of every life and revision."""
    networks: tuple[Network, ...] = ()
    """All networks of this node that carry the instance's label."""
    missing_images: Mapping[str, str] = field(default_factory=dict)
    """References that are not on the machine, with what the puller says of them."""
    uptime: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a running container has run, by container id."""
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """Containers of the current revision that do not stay up, by container name."""
    waits: Mapping[str, float] = field(default_factory=dict)
    """Seconds until such a container may be started again, by container name."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """Why the engine would not start a container, by container name."""
    app_problem: str = ""
    """Why the app's record is not known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in their order, what to report, and when to look again (seconds; None: when something happens)."""

    phase: Phase
    actions: tuple[Action, ...] = ()
    message: str = ""
    after: float | None = None
    waiting: bool = False
    """`after` is a wait for another try, which the status names."""

    @property
    def removes(self) -> bool:
        """Whether it removes anything: then the order must be confirmed by a `consistent` read made after the look."""
        return any(isinstance(action, Remove | RemoveNetwork | Finish) for action in self.actions)


def plan(order: Order, actual: Actual) -> Plan:
    """The next step toward what `order` says."""
    if order.mode == "obey":
        if order.instance.goal == "undeploy":
            return _undeploy(actual)
        stale = [found for found in actual.containers if not labels.is_current(found.labels, order.instance)]
        if stale:
            return Plan("creating", tuple(_gone(stale)), "replaces what another revision left", GLANCE)
        if order.instance.goal == "stop":
            return _stop(actual)
    elif not order.serves:
        return Plan("stopped" if not any(map(_runs, actual.containers)) else "starting")
    return _serve(order, actual)


def _undeploy(actual: Actual) -> Plan:
    networks = tuple(RemoveNetwork(network.id) for network in actual.networks)
    return Plan("stopping", (*_gone(actual.containers), *networks, Finish()), after=GLANCE)


def _stop(actual: Actual) -> Plan:
    actions = tuple(_stopped(actual.containers))
    return Plan("stopping", actions, after=GLANCE) if actions else Plan("stopped")


def _gone(containers: Iterable[ContainerDetails]) -> Iterable[Action]:
    """Stop and remove, the last started first."""
    containers = tuple(containers)
    yield from _stopped(containers)
    yield from (Remove(found.id) for found in reversed(containers) if found.state != "removing")


def _stopped(containers: Iterable[ContainerDetails]) -> Iterable[Action]:
    for found in reversed(tuple(containers)):
        if _runs(found):
            yield Stop(found.id, found.restart_policy)
        elif found.restart_policy != "no" and found.state != "removing":
            yield SetPolicy(found.id, "no")  # else a daemon's restart would revive it


def _runs(found: ContainerDetails) -> bool:
    return found.state in ("running", "paused", "restarting")


@dataclass(slots=True)
class _Look:
    """What came out of looking at every container."""

    actions: list[Action] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    retries: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    healthy: list[ContainerDetails] = field(default_factory=list)


def _serve(order: Order, actual: Actual) -> Plan:
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
            words = "; ".join(actual.missing_images[image] for image in dict.fromkeys(absent))
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
        "starting" if mine else "creating",
        tuple(look.actions),
        "; ".join(look.problems),
        min((*look.again, *look.retries), default=None),
        waiting=bool(look.retries) and not look.actions,
    )


def _make(order: Order, missing: list[Container], actual: Actual, look: _Look) -> None:
    assert order.app is not None
    ready = [c for c in missing if actual.waits.get(c.name, 0.0) <= 0.0]
    for c in missing:
        if c not in ready:
            look.retries.append(actual.waits[c.name])
            look.problems.append(_refused(c.name, actual))
    if ready and len(order.app.containers) > 1:
        look.actions.append(EnsureNetwork())
    look.actions.extend(Create(c) for c in ready)


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
