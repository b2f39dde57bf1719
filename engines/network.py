"""Several nodes on one machine: a network namespace each, joined by a bridge, and cut off for real."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from engines.commands import ran, tried
from engines.run import Run
from engines.subnets import unused_block


class Node:
    """One node: `address` on the common network, `prefix` to run a program as on that node.

    `nsenter --net` rather than `ip netns exec`, which would hide the control groups from Docker.
    """

    def __init__(self, name: str, namespace: str, device: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self._device = device  # the machine's end of the node's cable

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before a command, makes it run in the node's network."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}", "--")

    def run(self, argv: Sequence[str]) -> str:
        """Run a short command on the node; what it printed. Raises EngineError."""
        return ran([*self.prefix, *argv])

    def cut(self) -> None:
        """Pull the cable: nothing goes in or out, and nothing is told so."""
        ran(["ip", "link", "set", self._device, "down"])

    def mend(self) -> None:
        """Plug it in again."""
        ran(["ip", "link", "set", self._device, "up"])


class NodeNetwork:
    """`nodes` on a network of their own; the machine itself is at `address`, where its servers can be reached.

    Raises EngineError where namespaces or bridges cannot be made.
    """

    def __init__(self, names: Sequence[str] = ("node1", "node2")) -> None:
        self._run = Run.current()
        self._tag = os.urandom(3).hex()
        self.bridge = f"rojn-{self._tag}"
        self.nodes: dict[str, Node] = {}
        with unused_block(self._run) as block:
            self.address = str(block.bridge[1])
            self._run.note("device", self.bridge)
            ran(["ip", "link", "add", self.bridge, "type", "bridge"])
            ran(["ip", "address", "add", f"{self.address}/24", "dev", self.bridge])
            ran(["ip", "link", "set", self.bridge, "up"])
        for number, name in enumerate(names):
            self.nodes[name] = self._node(name, number, str(block.bridge[2 + number]))

    def _node(self, name: str, number: int, address: str) -> Node:
        namespace = f"roj-{self._tag}-{number}"
        outside, inside = f"rojv{number}-{self._tag}", "eth0"
        self._run.note("namespace", namespace)
        self._run.note("device", outside)
        ran(["ip", "netns", "add", namespace])
        ran(["ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", namespace])
        ran(["ip", "link", "set", outside, "master", self.bridge])
        ran(["ip", "link", "set", outside, "up"])
        node = Node(name, namespace, outside, address)
        for words in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{address}/24", "dev", inside],
            ["link", "set", inside, "up"],
            ["route", "add", "default", "via", self.address],
        ):
            node.run(["ip", *words])
        return node

    def close(self) -> None:
        """Remove namespaces and bridge; what runs in them must have been stopped."""
        for node in self.nodes.values():
            tried(["ip", "netns", "delete", node.namespace])
            tried(["ip", "link", "delete", node._device])
        tried(["ip", "link", "delete", self.bridge])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
