"""Addresses for test networks: blocks that nothing on this machine uses."""

import ipaddress
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engines.commands import ran
from engines.errors import EngineError
from engines.run import Run, gate, noted_subnets


@dataclass(frozen=True)
class Block:
    """One of 256 sets of subnets out of 10/8, far from roj's own default pool."""

    number: int

    @property
    def bridge(self) -> ipaddress.IPv4Network:
        """A /24: a daemon's default bridge, or the network between nodes."""
        return ipaddress.IPv4Network(f"10.212.{self.number}.0/24")

    @property
    def docker_pool(self) -> ipaddress.IPv4Network:
        """A /24 for the networks whose subnets Docker chooses."""
        return ipaddress.IPv4Network(f"10.220.{self.number}.0/24")

    @property
    def roj_pool(self) -> ipaddress.IPv4Network:
        """A /20 (256 networks of /28) for `roj agent --network-pool`."""
        return ipaddress.IPv4Network(f"10.{224 + self.number // 16}.{self.number % 16 * 16}.0/20")


@contextmanager
def unused_block(run: Run) -> Iterator[Block]:
    """A block of which this machine has no address; while the context lasts no other run takes it.

    The context must give the machine the bridge's address. Raises EngineError where all are taken.
    """
    with gate():
        taken = set()
        for device in json.loads(ran(["ip", "-json", "-4", "address"]) or "[]"):
            taken |= {ipaddress.ip_address(entry["local"]) for entry in device.get("addr_info", [])}
        promised = noted_subnets()  # of engines in namespaces of their own no address is seen here
        for number in range(256):
            block = Block(number)
            subnets = (block.bridge, block.docker_pool, block.roj_pool)
            if str(block.bridge) not in promised and not any(
                address in subnet for address in taken for subnet in subnets
            ):
                for subnet in subnets:
                    run.note("subnet", str(subnet))
                yield block
                return
    raise EngineError("no unused block of test networks: 256 are in use")
