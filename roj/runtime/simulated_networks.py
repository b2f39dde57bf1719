"""The networks of a simulated machine. Names do not collide, as in Docker before 25; subnets do."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from roj.runtime.interface import InUse, Network, NotFound, StartRefused

DEFAULT_SUBNET = "172.17.0.0/16"


class Networks:
    """Networks by id; `bridge`, `host` and `none` are always there."""

    def __init__(self, ids: tuple[str, str, str]) -> None:
        self._networks = {
            id: Network(id, name, {}, subnets)
            for id, name, subnets in zip(
                ids, ("bridge", "host", "none"), ((DEFAULT_SUBNET,), (), ()), strict=True
            )
        }
        self.bridge = ids[0]
        self._own = frozenset(ids)

    def all(self) -> tuple[Network, ...]:
        """Ordered by name, then id."""
        return tuple(sorted(self._networks.values(), key=lambda each: (each.name, each.id)))

    def find(self, id: str) -> Network:
        """By id, or by a name that only one has. Raises: NotFound."""
        if id in self._networks:
            return self._networks[id]
        named = [each for each in self._networks.values() if each.name == id]
        if len(named) != 1:
            raise NotFound(f"network {id} not found")
        return named[0]

    def name_of(self, id: str) -> str:
        """The name, or the id where the network is gone."""
        return self._networks[id].name if id in self._networks else id

    def check(self, id: str) -> None:
        """That a container may start on it. Raises: StartRefused.

        Docker notes a container's network by name: a second one of that name makes the container unable to start.
        """
        if id not in self._networks:
            raise StartRefused(f"network {id} not found")
        name = self._networks[id].name
        if sum(each.name == name for each in self._networks.values()) > 1:
            raise StartRefused(f"network {name} is ambiguous (2 matches found on name)")

    def create(self, id: str, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        """Raises: InUse, where the subnet overlaps another's."""
        wanted = ipaddress.ip_network(subnet, strict=False)
        for each in self._networks.values():
            if any(wanted.overlaps(ipaddress.ip_network(other)) for other in each.subnets):
                raise InUse("Pool overlaps with other one on this address space")
        self._networks[id] = Network(id, name, dict(labels), (str(wanted),))

    def remove(self, id: str, *, used: bool) -> bool:
        """Whether there was one. Raises: InUse."""
        try:
            network = self.find(id)
        except NotFound:
            return False
        if used or network.id in self._own:
            raise InUse(f"network {network.name} id {network.id} has active endpoints, or is Docker's own")
        del self._networks[network.id]
        return True
