"""Whose a node is: two machines of one name, and a node that was forgotten or frozen (DESIGN.md sections 3 and 4).

The lease is no fence: a machine that is cut off works on (P5). But one that can see that another holds the lease, or that
the node was forgotten or frozen, changes nothing any more; and one that never had anything to do with the node does not begin to.
"""

from __future__ import annotations

from collections.abc import Callable

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import Node as NodeRecord
from tests.property.simulation.consul import Change
from tests.property.simulation.world import Node, World

NOTICED = 240.0
"""Seconds within which an agent that nothing keeps from the store or from Docker takes its hands off: until the next
renewal (30 s) or the watch's next answer (64 s), and what a worker had decided before it (REACTION of the oracles)."""


class Ownership:
    """Watches one run."""

    def __init__(self, world: World, broken: Callable[[str, str, str], None]) -> None:
        """`broken` is told the oracle, the promise and the words."""
        self._world = world
        self._broken = broken
        self._off: dict[str, tuple[float, str]] = {}
        """By machine: since when it must not act, and why."""
        self._held: dict[str, None] = {}
        """Machines that had the lease of their node at some time."""
        world.consul.observers.append(self._look)
        for node in world.machines:
            node.runtime.guards.append(lambda call, about, node=node: self._before(node, call))  # type: ignore[misc]  # a default binds it

    def _look(self, change: Change) -> None:
        for node in self._world.machines:
            if change.key in {keys.lease(node.name), keys.node(node.name), keys.CLUSTER}:
                why = self._why(node)
                if not why:
                    self._off.pop(node.host, None)
                elif node.host not in self._off:
                    self._off[node.host] = self._world.now, why

    def _why(self, node: Node) -> str:
        state = self._world.consul.state
        sentinel = state.entries.get(keys.node(node.name))
        try:
            record = NodeRecord.decode(sentinel.value) if sentinel is not None else None
            if record is not None and record.forgotten is not None:
                return "the node was forgotten"
            if record is not None and record.frozen is not None:
                return "the node was frozen"
        except UnreadableRecord:
            pass
        lease = state.entries.get(keys.lease(node.name))
        session = state.sessions.get(lease.session) if lease is not None else None
        if session is None:
            return ""
        self._held[session.machine] = None
        return f"{session.machine} holds the lease" if session.machine != node.host else ""

    def _before(self, node: Node, call: str) -> None:
        if node.came_without_state and node.host not in self._held:
            self._broken(
                "ownership", "P3", f"{node.host} would {call}, and never had the lease of {node.name}"
            )
        since, why = self._off.get(node.host, (self._world.now, ""))
        if why and max(since, node.sound_since) + NOTICED < self._world.now:
            self._broken("ownership", "P3", f"{node.host} would {call}, though since {since:.0f} s {why}")
