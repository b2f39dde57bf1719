"""Carrying out what a plan says, one call of the runtime after another.

What is done here comes back as Docker's events; `caused` tells them from what others did.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from roj.api.app import Container
from roj.controllers import labels
from roj.controllers.actions import (
    Action,
    Actual,
    Create,
    EnsureNetwork,
    Finish,
    Refusal,
    Remove,
    RemoveNetwork,
    Replace,
    SetPolicy,
    Start,
    Stop,
    Unpause,
)
from roj.controllers.crashes import Crashes, Slot
from roj.controllers.look import Looker
from roj.controllers.order import Order
from roj.controllers.orders import Orders
from roj.controllers.ports import NoPortFree, bindings, choose_ports, environment_of, port_key
from roj.controllers.subnets import free_subnets, prefix_for
from roj.controllers.this_node import ThisNode
from roj.controllers.upgrade import starts_first
from roj.environment import Environment
from roj.framework.errors import TemporaryError
from roj.runtime.interface import (
    ContainerSpec,
    InUse,
    NameTaken,
    NotFound,
    PortTaken,
    RestartPolicy,
    Runtime,
    StartRefused,
)

log = logging.getLogger(__name__)

OURS = 10.0
"""Seconds within which an event is taken for the echo of what was done here."""


@dataclass(slots=True)
class Done:
    """What came of a plan's actions."""

    changes: list[str] = field(default_factory=list)
    refused: str = ""
    """Why the engine would not start a container; the actions after it were left."""
    finish: bool = False
    """All was removed: the undeploy may be finished."""

    @property
    def words(self) -> str:
        return ", ".join(self.changes)


class Hands:
    """Changes containers and networks. Safe to use from several threads for different instances."""

    def __init__(
        self,
        environment: Environment,
        node: ThisNode,
        orders: Orders,
        *,
        runtime: Runtime,
        looker: Looker,
        crashes: Crashes,
    ) -> None:
        self._environment = environment
        self._node = node
        self._orders = orders
        self._runtime = runtime
        self._looker = looker
        self._crashes = crashes
        self._lock = environment.lock()
        self._choosing = environment.lock()
        """Held while ports or a subnet are chosen and noted, so that two instances never choose the same."""
        self._echoes: dict[tuple[str, str], float] = {}

    def caused(self, action: str, id: str) -> bool:
        """Whether an event of the runtime is the echo of what was done here."""
        with self._lock:
            until = self._echoes.pop((action, id), None)
        return until is not None and self._environment.monotonic() < until

    def carry_out(self, order: Order, actions: Sequence[Action], actual: Actual) -> Done:
        """Carry out `actions` in their order, up to the first that the engine refuses. Raises RuntimeFailure."""
        done = Done()
        network: str | None = None
        for action in actions:
            match action:
                case EnsureNetwork():
                    network = self._network(order, actual)
                case Create(container, start):
                    id = self._create(order, container, network, done)
                    if id is None or (start and not self._start(order, container.name, id, done)):
                        return done
                case Start(name, id):
                    if not self._start(order, name, id, done):
                        return done
                case Unpause(id):
                    self._expect(id, "unpause")
                    self._runtime.unpause(id)
                    done.changes.append("let a paused container go on")
                case SetPolicy(id, policy):
                    self._set_policy(id, policy)
                case Stop(id, policy, grace):
                    self._stop(id, policy, self._node.stop_grace if grace is None else grace)
                case Remove(id) | Replace(id):
                    self._expect(id, "destroy")
                    self._runtime.remove(id)
                    self._looker.removed(id)
                case RemoveNetwork(id):
                    self._runtime.remove_network(id)
                case Finish():
                    done.finish = True
        return done

    def _set_policy(self, id: str, policy: RestartPolicy) -> None:
        self._expect(id, "update")
        try:
            self._runtime.set_restart_policy(id, policy)
        except NotFound as gone:
            if policy != "no":  # what was to be called launched is not there any more
                raise TemporaryError(f"a container went meanwhile: {gone}", 0.1) from gone

    def _stop(self, id: str, policy: str, grace: float) -> None:
        self._looker.stopping(id)
        self._expect(id, "kill", "die", "stop")
        with suppress(NotFound):
            if policy != "no":
                self._expect(id, "update")
                self._runtime.set_restart_policy(id, "no")
            self._runtime.stop(id, grace)

    def _create(self, order: Order, container: Container, network: str | None, done: Done) -> str | None:
        slot = _slot(order, container.name)
        try:
            ports = self._ports(order)
        except NoPortFree as problem:
            self._refused(slot, "PortTaken", str(problem), done)
            return None
        published = bindings(container, ports)
        name = labels.container_name(self._node.cluster(), order.instance, container.name)
        spec = ContainerSpec(
            name=name,
            image=container.image,
            command=container.command,
            env={**container.env, **environment_of(published)},
            ports=published,
            volumes=container.volumes,
            labels=labels.of_container(self._node.cluster(), order.instance, container),
            network=network,
            aliases=(container.name,) if network is not None else (),
            hostname=container.hostname,
            entrypoint=container.entrypoint,
            workdir=container.workdir,
            user=container.user,
            tmpfs=container.tmpfs,
            read_only=container.read_only,
            init=container.init,
            cap_drop=container.cap_drop,
            dns=container.dns,
            extra_hosts=container.extra_hosts,
            resources=container.resources,
            stop=container.stop,
            logging=container.logging,
        )
        try:
            id = self._runtime.create(spec)
        except NameTaken as taken:
            # Ours is found by its labels at the next look; a stranger's stays in the way, and is named.
            raise TemporaryError(f"a container called {name} is there already: {taken}", 1.0) from taken
        except NotFound as gone:
            raise TemporaryError(f"{container.name} could not be made: {gone}", 0.5) from gone
        except StartRefused as refusal:
            self._refused(slot, "StartRefused", str(refusal), done)
            return None
        done.changes.append(f"made {container.name} anew")
        return id

    def _start(self, order: Order, name: str, id: str, done: Done) -> bool:
        slot = _slot(order, name)
        self._looker.started(id)
        self._expect(id, "start")
        trouble = self._crashes.trouble(slot)
        try:
            self._runtime.start(id)
        except PortTaken as taken:
            self._expect(id, "destroy")
            self._give_up_ports(order, name, id)
            self._refused(slot, "PortTaken", str(taken), done)
            return False
        except NotFound as gone:
            # Gone itself, or its network is: made anew at the next look.
            with suppress(NotFound):
                self._runtime.remove(id)
            raise TemporaryError(f"{name} could not be started: {gone}", 0.5) from gone
        except StartRefused as refusal:
            self._refused(slot, "StartRefused", str(refusal), done)
            return False
        self._crashes.began(slot)  # not before: a refused start is no run, and the end before it counts once
        if (
            trouble is not None
            and trouble.failures
            and not trouble.by_hand
            and slot not in self._looker.refusals
        ):
            self._crashes.restarted(slot)
        if not done.changes:
            done.changes.append(f"started {name} again")
        return True

    def _refused(self, slot: Slot, reason: str, message: str, done: Done) -> None:
        self._crashes.failed(slot)
        self._looker.refusals[slot] = Refusal(reason, message)
        done.refused = f"{slot.container}: {message}"

    def _give_up_ports(self, order: Order, name: str, id: str) -> None:
        """After "already allocated": other dynamic ports next time. The container has the old ones built in."""
        current = self._current(order)
        app = current.app
        dynamic = [
            port_key(name, port.key)
            for container in (app.containers if app is not None else ())
            for port in container.ports
            if container.name == name and port.host is None
        ]
        if dynamic:
            kept = {key: port for key, port in current.ports.items() if key not in dynamic}
            self._orders.assign_ports(current, kept)
            self._runtime.remove(id)

    def _ports(self, order: Order) -> dict[str, int]:
        """The node's ports for the order's dynamic ones, chosen and noted where they are not yet.

        A revision that takes the place of another one, and not beside it, goes on with the same ones.
        """
        current = self._current(order)
        app = current.app
        assert app is not None
        wanted = [port_key(c.name, p.key) for c in app.containers for p in c.ports if p.host is None]
        if all(key in current.ports for key in wanted):
            return dict(current.ports)
        inherited = current.of_serving().ports if current.replaces and not starts_first(current) else {}
        with self._choosing:
            chosen = choose_ports(
                app.containers,
                {**inherited, **current.ports},
                port_range=self._node.port_range,
                taken=tuple(self._promised(current)),
                in_use=self._runtime.port_in_use,
                random=self._environment.random,
            )
            self._orders.assign_ports(current, chosen)
        return chosen

    def _promised(self, but: Order) -> Iterable[tuple[str, int]]:
        """Ports that others have or will have: containers of anybody, fixed ports and choices of our own orders."""
        for summary in self._runtime.containers():
            for port in summary.ports:
                yield port.protocol, port.host
        for order in self._orders.all():
            for app in (order.app, order.serving_app):
                if app is not None:
                    yield from app.host_ports()
            for revision, chosen in order.obeyed.ports.items():
                if (order.id, revision) != (but.id, but.instance.revision.id):
                    for key, number in chosen.items():
                        yield key.rpartition("/")[2], number

    def _current(self, order: Order) -> Order:
        """The order with what was noted meanwhile, of the revision that `order` is seen for."""
        current = self._orders.get(order.id)
        if current is None or current.instance.uid != order.instance.uid:
            return order
        if current.instance.revision.id == order.instance.revision.id:
            return current
        return current.of_serving() if current.obeyed.launched == order.instance.revision.id else order

    def _network(self, order: Order, actual: Actual) -> str:
        """The revision's network, made if need be. Network names do not collide: it is found by its labels."""
        wanted = labels.of_network(self._node.cluster(), order.instance)
        for network in actual.networks:
            if labels.is_current(network.labels, order.instance):
                return network.id
        assert order.app is not None
        with self._choosing:
            taken = [subnet for network in self._runtime.networks() for subnet in network.subnets]
            prefix = prefix_for(len(order.app.containers))
            for subnet in free_subnets(self._node.network_pool, taken, prefix=prefix):
                with suppress(InUse):  # an address that Docker does not know of is in it
                    name = labels.network_name(self._node.cluster(), order.instance)
                    return self._runtime.create_network(name, subnet, wanted)
        raise TemporaryError(
            f"no subnet is free in {self._node.network_pool}: start the agent with another --network-pool",
            30.0,
        )

    def _expect(self, id: str, *actions: str) -> None:
        now = self._environment.monotonic()
        with self._lock:
            if len(self._echoes) > 1000:
                self._echoes = {what: until for what, until in self._echoes.items() if until > now}
            for action in actions:
                self._echoes[action, id] = now + OURS


def _slot(order: Order, container: str) -> Slot:
    return Slot(order.instance.uid, order.instance.revision.id, container)
