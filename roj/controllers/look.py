"""Looking at what is there for one instance: its containers, how long they have run, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from roj.controllers import labels
from roj.controllers.actions import Actual, Pull, Refusal
from roj.controllers.crashes import Crashes, Slot, Trouble
from roj.controllers.labels import Owned
from roj.controllers.order import Order
from roj.controllers.this_node import ThisNode
from roj.environment import Environment
from roj.runtime.interface import ContainerDetails, Network, NotFound, Runtime


class Uptimes:
    """How long containers have run, safe from jumps of the wall clock after the first sight of a run."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lock = environment.lock()
        self._sights: dict[str, tuple[datetime | None, float, float]] = {}

    def before(self) -> tuple[datetime, float]:
        """The clocks, to be read before the runtime is asked."""
        return self._environment.now(), self._environment.monotonic()

    def of(self, found: ContainerDetails, before: tuple[datetime, float]) -> float:
        """Seconds that a running container had certainly run when the runtime said so.

        Counted up to `before` it was asked: since its answer the process may have been interrupted for any time, and
        the container may have ended.
        """
        wall, asked = before
        with self._lock:
            known = self._sights.get(found.id)
            if known is None or known[0] != found.started_at:
                age = (wall - found.started_at).total_seconds() if found.started_at is not None else -1.0
                # Below zero: it was started meanwhile, or the wall clock went back. Counted from now on.
                known = (
                    (found.started_at, age, asked)
                    if age >= 0.0
                    else (found.started_at, 0.0, self._environment.monotonic())
                )
                self._sights[found.id] = known
        return max(0.0, known[1] + asked - known[2])

    def forget(self, id: str) -> None:
        """The container is gone."""
        with self._lock:
            self._sights.pop(id, None)


class Looker:
    """Reads the runtime for one instance at a time. Safe to use from several threads for different instances."""

    def __init__(self, environment: Environment, node: ThisNode, runtime: Runtime, crashes: Crashes) -> None:
        self._node = node
        self._runtime = runtime
        self._crashes = crashes
        self._uptimes = Uptimes(environment)
        self._docker_restarts: dict[str, int] = {}
        self.refusals: dict[Slot, Refusal] = {}
        """Why the engine would not start a container the last time; the deploy controller notes it."""

    def containers(self, id: str) -> tuple[ContainerDetails, ...]:
        """All containers of this node that carry the instance's label. Raises RuntimeFailure."""
        found = []
        for summary in self._runtime.containers(
            labels.of_instance(self._node.cluster(), self._node.name, id)
        ):
            with suppress(NotFound):  # it went between list and inspect
                found.append(self._runtime.container(summary.id))
        return tuple(found)

    def at(self, order: Order) -> tuple[Actual, tuple[str, ...]]:
        """What is there for an order, and the crashes that are news, in words. Raises RuntimeFailure."""
        before = self._uptimes.before()
        found = self.containers(order.id)
        networks: tuple[Network, ...] = ()
        if _may_have_networks(order, found):
            networks = self._runtime.networks(
                labels.of_instance(self._node.cluster(), self._node.name, order.id)
            )
        uptime = {c.id: self._uptimes.of(c, before) for c in found if c.state == "running"}
        actual, news = self._seen_for(order, found, networks, uptime)
        if order.replaces:
            serving, more = self._seen_for(order.of_serving(), found, networks, uptime)
            actual, news = replace(actual, serving=serving), [*news, *more]
        return actual, tuple(news)

    def begins(self, order: Order) -> None:
        """The order's revision is tried anew: what was counted of it before is forgotten."""
        self._crashes.forget(order.instance.uid, order.instance.revision.id)
        for slot in [slot for slot in list(self.refusals) if slot.revision == order.instance.revision.id]:
            self.refusals.pop(slot, None)

    def _seen_for(
        self,
        order: Order,
        found: tuple[ContainerDetails, ...],
        networks: tuple[Network, ...],
        uptime: Mapping[str, float],
    ) -> tuple[Actual, list[str]]:
        """What there is, as it is to be seen for the order's revision."""
        news: list[str] = []
        for container in found:
            owned = labels.parse(container.labels)
            if owned is not None and owned.belongs_to(order.instance) and order.goal == "start":
                planned = (
                    container.id not in self._docker_restarts
                    and container.restart_policy == "no"
                    and order.obeyed.launched == order.instance.revision.id
                )
                # What roj stopped has lost its policy, and this process has not started it since.
                if not planned:
                    news.extend(self._account(owned, container, uptime.get(container.id, 0.0)))
        names = (
            [c.name for c in order.app.containers]
            if order.app
            else [c.labels.get(labels.CONTAINER, "") for c in found]
        )
        slots = {name: Slot(order.instance.uid, order.instance.revision.id, name) for name in names}
        troubles = {name: self._crashes.trouble(slot) for name, slot in slots.items()}
        actual = Actual(
            containers=found,
            networks=networks,
            missing_images=self._missing(order, found),
            uptime=uptime,
            troubles={name: trouble for name, trouble in troubles.items() if trouble is not None},
            waits={name: self._crashes.wait(slot) for name, slot in slots.items()},
            refusals={name: self.refusals[slot] for name, slot in slots.items() if slot in self.refusals},
        )
        return actual, news

    def stopping(self, id: str) -> None:
        """The container is about to be stopped as planned: its end is no crash."""
        self._docker_restarts.pop(id, None)

    def started(self, id: str) -> None:
        """The container was started: its next end counts."""
        self._docker_restarts[id] = 0

    def removed(self, id: str) -> None:
        """The container is gone."""
        self._uptimes.forget(id)
        self._docker_restarts.pop(id, None)

    def forget(self, uid: str) -> None:
        """Forget a life of an instance."""
        self._crashes.forget(uid)
        for slot in [slot for slot in list(self.refusals) if slot.uid == uid]:
            self.refusals.pop(slot, None)

    def _missing(self, order: Order, found: tuple[ContainerDetails, ...]) -> dict[str, Pull]:
        if order.app is None or order.goal != "start":
            return {}
        present = labels.current(found, order.instance)
        references = dict.fromkeys(c.image for c in order.app.containers if c.name not in present)
        return {reference: Pull() for reference in references if self._runtime.image(reference) is None}

    def _account(self, owned: Owned, found: ContainerDetails, uptime: float) -> list[str]:
        """Count crashes: ours, and those that Docker's own restart mended."""
        slot = Slot(owned.uid, owned.revision, owned.container)
        news = []
        before = self._docker_restarts.get(found.id)
        self._docker_restarts[found.id] = found.restart_count
        again = found.restart_count - before if before is not None and found.restart_count >= before else 0
        if again > 0:
            self._crashes.restarted(slot, again)
            news.append(f"{owned.container} ended by itself; Docker started it again")
        if found.state == "running":
            self._crashes.lasts(slot, uptime)
            if uptime > 0 and self.refusals.pop(slot, None) is not None:
                self._crashes.accepted(slot)
        elif found.state in ("exited", "dead") and found.started_at is not None:
            trouble, new = self._crashes.ended(slot, found.id, str(found.started_at), _lasted(found))
            if new and not trouble.by_hand:
                news.append(_words(owned.container, found, trouble))
        return news


def _may_have_networks(order: Order, found: tuple[ContainerDetails, ...]) -> bool:
    """Whether it is worth asking: an app of one container has none."""
    apps = [order.app, *([order.serving_app] if order.replaces else [])]
    several = any(app is None or len(app.containers) > 1 for app in apps)
    return several or any(not labels.is_current(c.labels, order.instance) for c in found)


def _lasted(found: ContainerDetails) -> float:
    if found.started_at is None or found.finished_at is None:
        return 0.0
    return max(0.0, (found.finished_at - found.started_at).total_seconds())


def _words(name: str, found: ContainerDetails, trouble: Trouble) -> str:
    why = "was killed for want of memory" if found.oom_killed else f"exited with code {found.exit_code}"
    return f"{name} {why} after {_lasted(found):.0f} s" + (
        f", {trouble.failures} times in a row" if trouble.failures > 1 else ""
    )
