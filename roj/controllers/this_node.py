"""What the controllers know of the node that they work for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThisNode:
    """The node, as its agent was started."""

    name: str
    cluster: Callable[[], str]
    """The cluster's id; empty while it is not known, and then there is nothing to do."""
    may_act: Callable[[], bool]
    """Whether anything may be changed on the node: not while another machine holds its lease, or it is forgotten."""
    port_range: tuple[int, int] = (20000, 31999)
    """First and last of the node's ports that dynamic ports are taken from."""
    network_pool: str = "10.213.0.0/16"
    """Where the subnets of apps with several containers come from."""
    stop_grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL (Docker's default)."""
