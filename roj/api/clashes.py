"""What the containers of an app cannot have together: names, ports and places of volumes that differ.

It is looked at in what could be read, whether or not all of it could: a file with a fault in one field is told of what
clashes in the others, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from roj.api.faults import Fault, quoted

MAX_CONTAINERS = 13
"""Containers of one app: as many as a /28 network has addresses for beside its gateway (DESIGN.md section 5)."""

Claim = tuple[object, str, str]
"""What may be there once, the place where it is asked for, and what to say to the second that does."""


def clashes(containers: Sequence[object]) -> list[Fault]:
    """What is wrong with the list as a whole; its items are containers, or mappings that were to become such."""
    faults = []
    if not 1 <= len(containers) <= MAX_CONTAINERS:
        faults.append(Fault("", f"{len(containers)} containers; an app has 1 to {MAX_CONTAINERS}"))
    # More of them are read no further: a file may name one container a million times.
    containers = containers[:MAX_CONTAINERS]
    faults += _twice(_names(containers))
    for at, container in enumerate(containers):
        faults += [fault.under(f"[{at}]") for fault in _twice(_within(container))]
    faults += _twice(_host_ports(containers))
    return faults


def update_clashes(update: object, containers: Sequence[object]) -> list[Fault]:
    """What is wrong with an upgrade's order (`update` of an app) for these containers."""
    if update == "start-first" and any(True for _ in _host_ports(containers[:MAX_CONTAINERS])):
        return [Fault("update", "start-first: two revisions cannot have one fixed port of the node")]
    return []


def _twice(claims: Iterable[Claim]) -> Iterator[Fault]:
    seen: set[object] = set()
    for what, place, problem in claims:
        if what in seen:
            yield Fault(place, problem)
        seen.add(what)


def _names(containers: Sequence[object]) -> Iterator[Claim]:
    for at, container in enumerate(containers):
        name = _field(container, "name")
        if isinstance(name, str):
            yield name, f"[{at}].name", f"another container is called {quoted(name)}, too"


def _within(container: object) -> Iterator[Claim]:
    for at, port in _items(container, "ports"):
        number, protocol, name = _port(port, "container"), _protocol(port), _field(port, "name")
        if number is not None and protocol is not None:
            yield (number, protocol), f"ports[{at}]", f"port {number}/{protocol} is published twice"
        if isinstance(name, str):
            yield name, f"ports[{at}].name", f"another port is called {quoted(name)}, too"
    for at, volume in _items(container, "volumes"):
        if isinstance(volume, str) and len(parts := volume.split(":")) > 1:
            yield parts[1].rstrip("/"), f"volumes[{at}]", f"another volume is at {quoted(parts[1])}, too"


def _host_ports(containers: Sequence[object]) -> Iterator[Claim]:
    for at, container in enumerate(containers):
        for number, port in _items(container, "ports"):
            host, protocol = _port(port, "host"), _protocol(port)
            if host is not None and protocol is not None:
                place = f"[{at}].ports[{number}].host"
                yield (host, protocol), place, f"port {host}/{protocol} of the node is asked for twice"


def _field(part: object, name: str) -> object:
    return part.get(name) if isinstance(part, Mapping) else getattr(part, name, None)


def _items(part: object, name: str) -> Iterator[tuple[int, object]]:
    items = _field(part, name)
    if isinstance(items, list | tuple):
        yield from enumerate(items)


def _port(port: object, which: str) -> int | None:
    number = _field(port, which)
    return (
        number if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 65535 else None
    )


def _protocol(port: object) -> str | None:
    protocol = _field(port, "protocol")
    if protocol is None and not (isinstance(port, Mapping) and "protocol" in port):
        return "tcp"
    return protocol if protocol in ("tcp", "udp") and isinstance(protocol, str) else None
