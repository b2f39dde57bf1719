"""A kind and a controller of somebody else's: DNS records in roj's store become lines of every node's hosts file.

python -m pip install ./examples/hosts_file         # beside roj; then start `roj agent` anew
consul kv put example/dns/db.internal '{"format": 1, "address": "10.0.0.7"}'
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import ClassVar

from roj.api.record import Record
from roj.framework.errors import PermanentError
from roj.framework.extension import Context, Spec
from roj.framework.kind import Kind

MARK = "# roj example/dns"  # our lines end in it; others are never touched


class DnsRecord(Record):
    """What is declared: the address of a name."""

    what: ClassVar[str] = "DNS record"
    address: IPv4Address | IPv6Address


DNS = Kind("dns", "example/dns/", DnsRecord)


class HostsFile:
    """What is: a file of lines `address name`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """Names that have a line of ours."""
        return [line.split()[1] for line in self._lines() if line.endswith(MARK)]

    def reconcile(self, name: str, record: DnsRecord | None) -> None:
        """Let the file have exactly one line for the name, or none. Does nothing if that is so already."""
        if name.split() != [name]:
            raise PermanentError(f"{name!r} is no host name")
        before = self._lines()
        after = [line for line in before if not (line.endswith(MARK) and line.split()[1] == name)]
        if record is not None:
            after.append(f"{record.address}\t{name}\t{MARK}")
        if sorted(after) != sorted(before):
            new = self._path.with_name(self._path.name + ".roj")
            new.write_text("".join(f"{line}\n" for line in after), encoding="utf-8")
            new.chmod(0o644)
            new.replace(self._path)  # at once: nobody reads half a file

    def _lines(self) -> list[str]:
        return self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []


def controllers(context: Context) -> Iterable[Spec[DnsRecord]]:
    """The entry point: asked once, when the agent starts."""
    hosts = HostsFile(Path(os.environ.get("HOSTS_FILE", "/etc/hosts")))
    yield Spec("hosts-file", DNS, hosts.reconcile, existing=hosts.names)
