"""What the store says of the cluster at one moment, decoded: what is wanted and what is reported, by node and id.

Two lists, `desired/` and `observed/`, of one node or of all. What does not parse is kept as `Unreadable`: it is shown,
and never taken for absent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance, InstanceStatus, PortClaim
from roj.api.node import MachineIdentity, Node, NodeStatus
from roj.api.pull import PullOrder, PullStatus
from roj.api.record import Record
from roj.client.reading import listed
from roj.store.interface import Entry, Store

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that does not parse, or is of a newer format."""

    key: str
    problem: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Lease:
    """The key that an agent's session holds while the agent lives."""

    held: bool
    by: MachineIdentity | Unreadable


InstanceName = tuple[str, str]
"""Node and id."""


@dataclass(slots=True)
class Snapshot:
    """Everything under `desired/` and `observed/`, or what is one node's of it."""

    nodes: dict[str, Node | Unreadable] = field(default_factory=dict)
    instances: dict[InstanceName, Instance | Unreadable] = field(default_factory=dict)
    claims: dict[str, dict[str, PortClaim | Unreadable]] = field(default_factory=dict)
    """By node, then `tcp-8080`."""
    node_statuses: dict[str, NodeStatus | Unreadable] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    statuses: dict[InstanceName, InstanceStatus | Unreadable] = field(default_factory=dict)
    pulls: dict[str, dict[str, PullOrder | Unreadable]] = field(default_factory=dict)
    """By node, then `NAME:VERSION`."""
    pull_statuses: dict[str, dict[str, PullStatus | Unreadable]] = field(default_factory=dict)

    def node_names(self) -> list[str]:
        """Every node that is declared, or has ever reported."""
        known = {**self.nodes, **self.node_statuses, **self.leases}
        known |= {node: None for node, _ in (*self.instances, *self.statuses)}  # type: ignore[misc]  # keys only
        return sorted(known)

    def ready(self, node: str) -> bool:
        """Whether the node's agent lives, as far as the store knows: its lease is held."""
        lease = self.leases.get(node)
        return lease is not None and lease.held


def read_snapshot(store: Store, node: str | None = None) -> Snapshot:
    """Read one node, or all: two lists.

    Desired first: between the two an undeploy may then at worst leave an instance without a status, which is shown as
    pending, and not a status without an instance, which would be an alarm.
    """
    desired = keys.desired(node) if node is not None else keys.DESIRED
    observed = keys.observed(node) if node is not None else keys.OBSERVED
    snapshot = Snapshot()
    _take_desired(snapshot, listed(store, desired).entries)
    _take_observed(snapshot, listed(store, observed).entries)
    return snapshot


def decoded(type: type[R], entry: Entry, **same: str) -> R | Unreadable:
    """The entry's record. `same`: fields that the key names too; a record that says otherwise is misplaced."""
    try:
        record = type.decode(entry.value)
    except UnreadableRecord as error:
        return Unreadable(entry.key, str(error), entry.value)
    for name, value in same.items():
        if getattr(record, name) != value:
            problem = (
                f"{type.what}: {name} is {getattr(record, name)!r}, and {value!r} in the key {entry.key}"
            )
            return Unreadable(entry.key, problem, entry.value)
    return record


def _take_desired(snapshot: Snapshot, entries: Iterable[Entry]) -> None:
    for entry in entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "node"]:
                snapshot.nodes[node] = decoded(Node, entry, name=node)
            case [node, "instances", id]:
                snapshot.instances[node, id] = decoded(Instance, entry, node=node, id=id)
            case [node, "ports", port]:
                snapshot.claims.setdefault(node, {})[port] = decoded(PortClaim, entry)
            case [node, "pulls", name, version]:
                snapshot.pulls.setdefault(node, {})[f"{name}:{version}"] = decoded(PullOrder, entry)


def _take_observed(snapshot: Snapshot, entries: Iterable[Entry]) -> None:
    for entry in entries:
        match entry.key.removeprefix(keys.OBSERVED).split("/"):
            case [node, "node"]:
                snapshot.node_statuses[node] = decoded(NodeStatus, entry, name=node)
            case [node, "lease"]:
                snapshot.leases[node] = Lease(bool(entry.session), decoded(MachineIdentity, entry))
            case [node, "instances", id]:
                snapshot.statuses[node, id] = decoded(InstanceStatus, entry, node=node, id=id)
            case [node, "pulls", name, version]:
                snapshot.pull_statuses.setdefault(node, {})[f"{name}:{version}"] = decoded(PullStatus, entry)
