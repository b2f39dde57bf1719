"""Ending: how containers are stopped and removed, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable

from roj.controllers.actions import Action, Actual, Finish, Plan, Remove, RemoveNetwork, SetPolicy, Stop
from roj.controllers.order import Order
from roj.controllers.serve import GLANCE
from roj.runtime.interface import ContainerDetails


def undeploy(actual: Actual) -> Plan:
    """Everything of the instance goes, whatever revision it is of."""
    networks = tuple(RemoveNetwork(network.id) for network in actual.networks)
    return Plan("stopping", (*gone(actual.containers), *networks, Finish()), after=GLANCE)


def stop(actual: Actual) -> Plan:
    """Everything stops; what is of the revisions that may run again stays."""
    actions = tuple(stopped(actual.containers))
    return Plan("stopping", actions, after=GLANCE) if actions else Plan("stopped")


def gone(containers: Iterable[ContainerDetails]) -> Iterable[Action]:
    """Stop and remove, the last started first."""
    containers = tuple(containers)
    yield from stopped(containers)
    yield from (Remove(found.id) for found in reversed(containers) if found.state != "removing")


def stopped(containers: Iterable[ContainerDetails]) -> Iterable[Action]:
    """Stop, the last started first."""
    for found in reversed(tuple(containers)):
        if runs(found):
            yield Stop(found.id, found.restart_policy, found.stop_grace)
        elif found.restart_policy != "no" and found.state != "removing":
            yield SetPolicy(found.id, "no")  # else a daemon's restart would revive it


def runs(found: ContainerDetails) -> bool:
    """Whether it has a process, or will have one again in a moment."""
    return found.state in ("running", "paused", "restarting")


def superseded(order: Order, actual: Actual) -> tuple[ContainerDetails, ...]:
    """Containers of neither the revision that should run nor the one that serves."""
    return tuple(found for found in actual.containers if not order.keeps(found.labels))


def cleared(order: Order, actual: Actual) -> tuple[Action, ...]:
    """Remove what `superseded` finds, with its networks."""
    networks = (RemoveNetwork(each.id) for each in actual.networks if not order.keeps(each.labels))
    return (*gone(superseded(order, actual)), *networks)
