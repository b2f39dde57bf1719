"""Which subnet a new network takes: the first free one of the node's pool.

Docker's own pools end at about 30 networks, so every network that roj makes has a subnet of its choice: a /28, room for
an app's 13 containers, or as wide as the app needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_network

NARROWEST = 28
"""Bits of the prefix of a usual subnet: 14 addresses, one of them the bridge's."""


def prefix_for(containers: int) -> int:
    """Bits of the prefix of a subnet that has room for so many containers, their bridge, and one to spare."""
    prefix = NARROWEST
    while 2 ** (32 - prefix) - 2 < containers + 2:
        prefix -= 1
    return prefix


def free_subnets(pool: str, taken: Iterable[str], *, prefix: int = NARROWEST) -> Iterator[str]:
    """The subnets of `pool` that overlap none of `taken`, lowest first.

    Args:
        pool: a network, `10.213.0.0/16`. A pool narrower than `prefix` is one subnet.
        taken: networks that others have; what is not IPv4 or does not parse cannot overlap and is skipped.
        prefix: bits of the prefix of the subnets.
    """
    whole = IPv4Network(pool, strict=False)
    size = max(prefix, whole.prefixlen)
    step = 2 ** (32 - size)
    ranges = sorted(_ranges(taken))
    start, end = int(whole.network_address), int(whole.broadcast_address)
    position = 0
    while start + step - 1 <= end:
        while position < len(ranges) and ranges[position][1] < start:
            position += 1
        overlapping = [
            last for first, last in ranges[position:] if first <= start + step - 1 and last >= start
        ]
        if overlapping:
            start += -(-(max(overlapping) + 1 - start) // step) * step
            continue
        yield f"{IPv4Network((start, size))}"
        start += step


def _ranges(taken: Iterable[str]) -> Iterator[tuple[int, int]]:
    for text in taken:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            continue
        if isinstance(network, IPv4Network) and network.prefixlen > 0:
            yield int(network.network_address), int(network.broadcast_address)
