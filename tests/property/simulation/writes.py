"""What is written may not contradict itself: two orders for one port, an app gone from under its instances, a second
cluster.

Looked at in the store, at the moment of the write; of ports that a node chooses by itself, on its disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from roj.api import keys
from roj.api.instance import Instance
from roj.controllers.order import Obeyed
from tests.property.simulation.consul import Change
from tests.property.simulation.operators import CATALOGUE
from tests.property.simulation.oracles import decoded
from tests.property.simulation.world import Node, World


class Writes:
    """Watches one run."""

    def __init__(self, world: World, broken: Callable[[str, str, str], None]) -> None:
        """`broken` is told the oracle, the promise and the words."""
        self._world = world
        self._broken = broken
        self._by_hand: dict[str, None] = {}
        """Lives of instances whose records somebody has put into the store: what they claim is anybody's guess."""
        world.consul.observers.append(self._look)
        for node in world.machines:
            node.disk.observers.append(lambda name, value, node=node: self._chosen(node, name, value))  # type: ignore[misc]  # a default binds it

    def _look(self, change: Change) -> None:
        before, after = decoded_instance(change, change.before), decoded_instance(change, change.after)
        if change.who == "somebody" and after is not None and before is None:
            self._by_hand[after.uid] = None
        if change.who.startswith("operator"):
            # What is unclaimed is undeployed without its app and its claims.
            new = after is not None and after.goal != "undeploy"
            if after is not None and new and (before is None or before.app != after.app):
                self._one_port(after)
                self._has_its_app(after)
            if change.after is None and change.key.startswith(keys.APPS):
                self._unused(change.key)
        if change.key == keys.CLUSTER and change.before is None:
            self._one_cluster(change)

    def _one_port(self, record: Instance) -> None:
        """Of two deploys for one port one is refused."""
        mine = _fixed_ports(record)
        for other in self._records(record.node):
            if other.id == record.id or other.goal == "undeploy" or other.uid in self._by_hand:
                continue
            for port in mine:
                if port in _fixed_ports(other):
                    words = f"{record.node}/{record.id} and {other.id} were both promised port {port}"
                    self._broken("one port", "P3", words)

    def _has_its_app(self, record: Instance) -> None:
        if keys.app(record.app.name, record.app.version) not in self._world.consul.state.entries:
            words = f"{record.node}/{record.id} was deployed of app {record.app}, which had been removed"
            self._broken("apps in use", "P6", words)

    def _unused(self, key: str) -> None:
        for node in self._world.nodes:
            for record in self._records(node.name):
                used = [keys.app(revision.app.name, revision.app.version) for revision in record.revisions]
                if key in used and record.uid not in self._by_hand:
                    words = f"{key} was removed, and {record.node}/{record.id} is of it"
                    self._broken("apps in use", "P6", words)

    def _one_cluster(self, change: Change) -> None:
        """An empty store is no order to begin anew."""
        for node in self._world.machines:
            if change.who.startswith(f"{node.host}/") and node.disk.content("cluster") is not None:
                words = f"{node.host} makes a cluster of the empty store, and has been in one"
                self._broken("absence is no order", "P4", words)

    def _chosen(self, node: Node, name: str, value: bytes | None) -> None:
        """A port that the node chose is one instance's alone."""
        if value is None or not name.startswith("orders/") or self._guesses(node):
            return
        mine = dict(_chosen_ports(Obeyed.decode(value)))
        for file in node.disk.all():
            content = node.disk.content(file) if file.startswith("orders/") and file != name else None
            for port, whose in _chosen_ports(Obeyed.decode(content)) if content is not None else ():
                if port in mine:
                    words = f"{node.host} chose port {port} for {mine[port]} and for {whose}"
                    self._broken("one port", "P3", words)

    def _guesses(self, node: Node) -> bool:
        """Its disk was damaged: what it knows of its own choices may be old."""
        return bool(node.disk.lost or node.disk.damaged)

    def _records(self, node: str) -> Iterator[Instance]:
        for key, entry in self._world.consul.state.entries.items():
            if key.startswith(keys.instances(node)):
                record = decoded(entry)
                if record is not None:
                    yield record


def decoded_instance(change: Change, entry: object) -> Instance | None:
    """The instance's record before or after a change, if it is one's."""
    if not change.key.startswith(keys.DESIRED) or "/instances/" not in change.key:
        return None
    return decoded(entry)  # type: ignore[arg-type]  # an entry or None


def _fixed_ports(record: Instance) -> list[str]:
    containers = CATALOGUE.get(record.app.name, ())
    return [
        f"{port.host}/{port.protocol}" for each in containers for port in each.ports if port.host is not None
    ]


def _chosen_ports(obeyed: Obeyed) -> Iterator[tuple[str, str]]:
    """Ports of the revision that should run, and whose they are."""
    for key, number in obeyed.ports.get(obeyed.instance.revision.id, {}).items():
        yield f"{number}/{key.rpartition('/')[2]}", f"{obeyed.instance.id}/{key}"
