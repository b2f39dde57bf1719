"""Which ports of the node a container gets: the fixed ones that it asks for, and dynamic ones that the node chooses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from roj.api.app import Container
from roj.environment import Random
from roj.runtime.interface import PortBinding


class NoPortFree(Exception):
    """Every port of the node's `--port-range` is taken."""


def port_key(container: str, port: str) -> str:
    """What an assignment is kept under: `CONTAINER:80/tcp`."""
    return f"{container}:{port}"


def choose_ports(
    containers: Collection[Container],
    assigned: Mapping[str, int],
    *,
    port_range: tuple[int, int],
    taken: Collection[tuple[str, int]],
    in_use: Callable[[str, int], bool],
    random: Random,
) -> dict[str, int]:
    """A port of the node for every port without a fixed one; those in `assigned` stay.

    Args:
        containers: of one app.
        assigned: chosen before, by `port_key`.
        port_range: first and last port that may be chosen.
        taken: (protocol, port) that are promised to others.
        in_use: whether some process listens on (protocol, port).
        random: where the search begins, so that agents that share a machine seldom meet.

    Raises:
        NoPortFree: there is none.
    """
    chosen = {}
    used = dict.fromkeys(taken)
    for container in containers:
        for port in container.ports:
            if port.host is not None:
                continue
            key = port_key(container.name, port.key)
            number = assigned.get(key)
            if number is None:
                number = _free_port(port.protocol, port_range, used, in_use, random)
            used[port.protocol, number] = None
            chosen[key] = number
    return chosen


def bindings(container: Container, assigned: Mapping[str, int]) -> tuple[PortBinding, ...]:
    """The container's ports as the runtime publishes them."""
    return tuple(
        PortBinding(
            port.container,
            port.protocol,
            port.host if port.host is not None else assigned[port_key(container.name, port.key)],
        )
        for port in container.ports
    )


def environment_of(published: Collection[PortBinding]) -> dict[str, str]:
    """`ROJ_PORT_80=8080` for every published port; `ROJ_PORT_53_UDP` for those of UDP."""
    return {
        f"ROJ_PORT_{port.container}{'_UDP' if port.protocol == 'udp' else ''}": str(port.host)
        for port in published
    }


def _free_port(
    protocol: str,
    port_range: tuple[int, int],
    used: Mapping[tuple[str, int], None],
    in_use: Callable[[str, int], bool],
    random: Random,
) -> int:
    first, last = port_range
    count = last - first + 1
    start = random.randrange(count)
    for step in range(count):
        number = first + (start + step) % count
        if (protocol, number) not in used and not in_use(protocol, number):
            return number
    raise NoPortFree(
        f"no {protocol} port is free between {first} and {last}: start the agent with another --port-range"
    )
