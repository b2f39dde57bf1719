"""Node and cluster: what operators declare of a machine, and what its agent reports."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from roj.api.condition import Condition
from roj.api.names import Name
from roj.api.record import Part, Record, Time


class Cluster(Record):
    """`cluster`: made once; the fuse against a wiped or swapped store."""

    what: ClassVar[str] = "cluster"

    id: str
    created: Time


class Mark(Part):
    """An operator's mark on a node: who, when, why, and until when it holds."""

    who: str = ""
    when: Time
    why: str = ""
    until: Time | None = None


class Drain(Mark):
    """An operator's mark that empties a node: its instances stop in the order of their ids, and keep their goals."""

    parallel: int = Field(default=1, ge=1)
    """How many stop at once."""


class Node(Record):
    """What operators declare of a node; its presence in a listing makes the listing believable (the sentinel)."""

    what: ClassVar[str] = "node"

    name: Name
    cluster: str
    """The cluster's id."""
    labels: dict[str, str] = Field(default_factory=dict)
    cordoned: Mark | None = None
    """Takes no new instances."""
    frozen: Mark | None = None
    """Its agent observes and reports, and changes nothing."""
    drained: Drain | None = None
    windows: tuple[str, ...] = ()
    """When changes that end a service may be made, as `Sat 02:00-04:00 Europe/Warsaw`; none: at any time."""
    forgotten: Mark | None = None


class NodeStatus(Record):
    """What an agent reports of its node: `observed/<node>/node`."""

    what: ClassVar[str] = "node status"

    name: Name
    address: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    """`agent` and `docker`."""
    since: Time
    """When this agent took the node's lease, or when readiness last changed."""
    clock: str = ""
    """How far the machine's clock may be wrong: `synchronised, within 10ms`, or `not synchronised`; in steps."""
    conditions: tuple[Condition, ...] = ()


class MachineIdentity(Record):
    """Who holds a node's lease: value of `observed/<node>/lease`."""

    what: ClassVar[str] = "machine identity"

    state_id: str
    """Random id of the state directory."""
    machine_id: str = ""
    docker_id: str = ""
    hostname: str = ""
    pid: int = 0
    since: Time

    def same_machine(self, other: MachineIdentity) -> bool:
        """Whether both are one agent's: same state directory, machine and Docker daemon."""
        return (self.state_id, self.machine_id, self.docker_id) == (
            other.state_id,
            other.machine_id,
            other.docker_id,
        )
