"""P9, a bad upgrade costs nothing: what serves is given up only when the new one is launched; what failed is not tried again.

What a node believes is read from its disk, where it stands before anything is done for it.
"""

from __future__ import annotations

from roj.controllers.order import Obeyed
from roj.runtime.interface import RuntimeEvent
from roj.runtime.simulated_container import Container
from tests.property.simulation.oracles import Oracles, obeyed_of, owned_by_us
from tests.property.simulation.world import Node, World


class Upgrades:
    """Watches one run."""

    def __init__(self, world: World, others: Oracles) -> None:
        """`others` know what was launched, and are told what is broken."""
        self._world = world
        self._others = others
        self._broken = others.broken
        for node in world.machines:
            node.disk.observers.append(lambda name, value, node=node: self._launched(node, name, value))  # type: ignore[misc]  # a default binds it
            node.runtime.guards.append(lambda call, about, node=node: self._before(node, call, about))  # type: ignore[misc]  # the same
            node.machine.observers.append(lambda event, node=node: self._after(node, event))  # type: ignore[misc]  # the same

    def _launched(self, node: Node, name: str, value: bytes | None) -> None:
        """It is written down that another revision serves: so it was launched."""
        if value is None or not name.startswith("orders/") or node.disk.lost:
            return
        serving = Obeyed.decode(value).serving
        self._others.note_launched(node)
        if serving is not None and serving.id not in self._others.facts.launched:
            self._broken(
                "bad upgrade", "P9", f"{node.host} notes {serving.id[:8]} as serving, and it never was"
            )

    def _before(self, node: Node, call: str, about: str) -> None:
        container = next((each for each in node.machine.containers() if each.id == about), None)
        owned = owned_by_us(container) if container is not None else None
        if call != "remove" or container is None or owned is None or not _usable(container):
            return
        obeyed = obeyed_of(node, owned.instance)
        if (
            obeyed is not None
            and obeyed.instance.goal == "start"
            and obeyed.instance.uid == owned.uid
            and obeyed.launched == owned.revision
        ):
            self._broken(
                "bad upgrade", "P9", f"{node.host} gives up {container.spec.name}, which is what serves"
            )

    def _after(self, node: Node, event: RuntimeEvent) -> None:
        by_agent = str(self._world.scheduler.current).startswith(f"{node.host}/")
        if (event.kind, event.action) != ("container", "start") or not by_agent:
            return
        owned = owned_by_us(node.machine.find(event.id))
        obeyed = obeyed_of(node, owned.instance) if owned is not None else None
        if owned is None or obeyed is None or obeyed.failed is None:
            return
        if obeyed.failed.of(obeyed.instance.revision) and obeyed.failed.revision == owned.revision:
            words = f"{node.host} starts {owned.instance} of {owned.app} again, an upgrade that has failed"
            self._broken("bad upgrade", "P9", words)


def _usable(container: Container) -> bool:
    """It can be started, as far as is known."""
    return not container.error and not container.lost_while_paused and container.state != "dead"
