"""The short forms of a Compose service: ports, volumes, hosts, commands."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Any

from roj.api.faults import quoted
from roj.importers.notes import Notes
from roj.importers.reading import Node

_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9A-Fa-f:.]*\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}):)?"
    r"(?:(?P<host>[0-9]{1,5}(?:-[0-9]{1,5})?)?:)?"
    r"(?P<container>[0-9]{1,5}(?:-[0-9]{1,5})?)"
    r"(?:/(?P<protocol>[A-Za-z]+))?",
    re.ASCII,
)
MAX_RANGE = 1000
"""Ports of one range: roj publishes each of them by itself."""
ALL_ADDRESSES = ("0.0.0.0", "")


def ports_of(node: Node) -> Iterator[dict[str, Any]]:
    """The ports of one entry, in its short form or its long one, as an app file has them.

    Raises:
        Refused: it is none, or has what roj's ports have not.
    """
    if node.is_mapping:
        yield from _long_port(node)
        return
    text = node.text()
    form = _PORT.fullmatch(text)
    if form is None:
        raise node.refusal(f"{quoted(text)} is no port: write [HOST:]CONTAINER[/tcp|udp]")
    refuse_address(node, form["ip"])
    yield from _each(node, form["container"], form["host"], (form["protocol"] or "tcp").lower())


def refuse_address(node: Node, ip: str | None) -> None:
    """Raises Refused where a port is to be reached at one address of the node alone."""
    if ip is not None and ip not in ALL_ADDRESSES:
        raise node.refusal(f"only at {ip}: roj publishes ports at all addresses of a node")


def _long_port(node: Node) -> Iterator[dict[str, Any]]:
    entries = {key: each for key, each in node.entries().items() if each.value is not None}
    unknown = entries.keys() - {"target", "published", "protocol", "host_ip", "mode", "name", "app_protocol"}
    if unknown or "target" not in entries:
        raise node.refusal(f"{quoted(min(unknown))} is not known here" if unknown else "has no target")
    if "host_ip" in entries:
        refuse_address(entries["host_ip"], entries["host_ip"].text())
    published = entries["published"].text() if "published" in entries else None
    protocol = entries["protocol"].text().lower() if "protocol" in entries else "tcp"
    for port in _each(node, entries["target"].text(), published or None, protocol):
        yield {**port, "name": entries["name"].text()} if "name" in entries else port


def _each(node: Node, container: str, host: str | None, protocol: str) -> Iterator[dict[str, Any]]:
    first, last = _range(node, container)
    if host is None:
        yield from ({"container": number, "protocol": protocol} for number in range(first, last + 1))
        return
    host_first, host_last = _range(node, host)
    if host_last - host_first != last - first:
        raise node.refusal("roj gives one port of the container one port of the node: the ranges differ")
    for at in range(last - first + 1):
        yield {"container": first + at, "host": host_first + at, "protocol": protocol}


def _range(node: Node, text: str) -> tuple[int, int]:
    form = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text, re.ASCII)
    if form is None:
        raise node.refusal(f"{quoted(text)} is no port")
    first, last = int(form[1]), int(form[2] or form[1])
    if not 0 <= last - first < MAX_RANGE:
        raise node.refusal(f"{quoted(text)}: a range goes upwards, and has up to {MAX_RANGE} ports")
    return first, last


def words_of(node: Node) -> list[str]:
    """A command: a list, or a text that is split as a shell does it, without its variables and wildcards.

    Raises:
        Refused: its quotes do not match, or it is empty.
    """
    if node.is_list:
        words = [item.text() if item.value is not None else "" for item in node.items()]
    else:
        text = node.text()
        try:
            words = shlex.split(text)
        except ValueError as problem:
            raise node.refusal(f"{quoted(text)} cannot be split into words: {str(problem).lower()}") from None
    if not words:
        raise node.refusal(
            "is empty: roj keeps the image's own where a file says nothing, and cannot clear it"
        )
    return words


def hosts_of(node: Node, notes: Notes) -> list[tuple[str, str, str]]:
    """Name, address and place of `extra_hosts`: a mapping, or a list of `NAME=ADDRESS` or `NAME:ADDRESS`."""
    found = []
    for each in node.entries().values() if node.is_mapping else node.items():
        with notes.reading(each.place):
            if node.is_mapping:
                name = each.place.removeprefix(node.place)[1:]
                addresses = each.items()
                if len(addresses) != 1:
                    raise each.refusal("roj gives a name one address")
                address = addresses[0].text()
            else:
                name, equals, address = each.text().partition("=")
                if not equals:
                    name, _, address = each.text().partition(":")
            found.append((name.strip(), address.strip().strip("[]"), each.place))
    return found


def is_path(source: str) -> bool:
    """Whether a volume's source is a path of the node, and no volume's name."""
    return source.startswith((".", "/", "~"))


def path_of(node: Node, source: str, directory: str, home: str | None) -> str:
    """A path of the node, absolute: relative ones begin at the file's directory, `~` is the user's home."""
    if source == "~" or source.startswith("~/"):
        if not home:
            raise node.refusal(f"{quoted(source)}: HOME is not set")
        source = f"{home.rstrip('/')}/{source[2:]}"
    if source.startswith("/"):
        return source
    return posixpath.normpath(posixpath.join(directory, source))
