"""Whether a port of this machine is taken, found out by binding it for a moment."""

from __future__ import annotations

import errno
import socket


def in_use(protocol: str, port: int) -> bool:
    """Whether any process has `port` on any address, IPv4 or IPv6; what may not be tried (a low port) counts as free.

    For TCP with SO_REUSEADDR, as Docker's proxy binds: connections in TIME_WAIT do not count, a listener does.
    """
    return any(_taken(family, protocol, port) for family in (socket.AF_INET, socket.AF_INET6))


def _taken(family: socket.AddressFamily, protocol: str, port: int) -> bool:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(family, kind) as trial:
            if kind == socket.SOCK_STREAM:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(("", port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE  # others: no IPv6 here, no right to a low port
    return False
