"""What is wanted and reported in the whole cluster, as two lists gave it: what a deploy is checked against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import PortClaim
from roj.client.client import Client
from roj.client.reading import listed
from roj.store.interface import Entry

Place = tuple[str, str]
"""Node and id."""


@dataclass(slots=True)
class Cluster:
    """The keys of nodes, instances and claims on ports, and the ids that nodes report."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    """The sentinels."""
    instances: dict[Place, Entry] = field(default_factory=dict)
    claims: dict[str, Entry] = field(default_factory=dict)
    """By key."""
    reported: dict[Place, None] = field(default_factory=dict)
    """Instances that a node reports, with a record or without (then they are unclaimed)."""
    present: dict[str, None] = field(default_factory=dict)
    """Nodes whose lease is held."""

    def places(self, id: str) -> Iterator[Place]:
        """Where there is a record of an instance of that id."""
        return (place for place in self.instances if place[1] == id)

    def unclaimed(self, id: str) -> Iterator[Place]:
        """Where an instance of that id is reported and has no record."""
        return (place for place in self.reported if place[1] == id and place not in self.instances)

    def ids(self) -> dict[str, None]:
        """Every id that is in use."""
        return {id: None for places in (self.instances, self.reported) for _, id in places}


def read_cluster(client: Client) -> Cluster:
    """Read it: 2 requests. Neither list is stale."""
    cluster = Cluster()
    _take_desired(cluster, listed(client.store, keys.DESIRED, consistent=True).entries)
    _take_observed(cluster, listed(client.store, keys.OBSERVED, consistent=True).entries)
    return cluster


def holder(claim: Entry) -> str:
    """Who holds a port, in words."""
    try:
        return f"instance {PortClaim.decode(claim.value).instance}"
    except UnreadableRecord:
        return f"a claim that is not understood ({claim.key})"


def _take_desired(cluster: Cluster, entries: Iterable[Entry]) -> None:
    for entry in entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "node"]:
                cluster.nodes[node] = entry
            case [node, "instances", id]:
                cluster.instances[node, id] = entry
            case [_, "ports", _]:
                cluster.claims[entry.key] = entry


def _take_observed(cluster: Cluster, entries: Iterable[Entry]) -> None:
    for entry in entries:
        match entry.key.removeprefix(keys.OBSERVED).split("/"):
            case [node, "instances", id]:
                cluster.reported[node, id] = None
            case [node, "lease"] if entry.session:
                cluster.present[node] = None
