"""What the controllers know of the node that they work for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roj.api.node import Mark, Node


@dataclass(frozen=True, slots=True)
class ThisNode:
    """The node, as its agent was started."""

    name: str
    cluster: Callable[[], str]
    """The cluster's id; empty while it is not known, and then there is nothing to do."""
    may_act: Callable[[], bool]
    """Whether anything may be changed on the node: not while another machine holds its lease, or it is forgotten."""
    record: Callable[[], Node | None]
    """What operators declare of the node, as far as it is known: its marks and windows."""
    frozen: Callable[[], Mark | None]
    """An operator's order to change nothing for now."""
    port_range: tuple[int, int] = (20000, 31999)
    """First and last of the node's ports that dynamic ports are taken from."""
    network_pool: str = "10.213.0.0/16"
    """Where the subnets of apps with several containers come from."""
    stop_grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL (Docker's default)."""

    def may_change(self) -> bool:
        """Whether containers and images may be changed now."""
        return self.may_act() and self.frozen() is None
