"""Node and cluster: what operators declare of a machine, and what its agent reports."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from roj.api.condition import Condition
from roj.api.names import Name
from roj.api.record import Part, Record, Time, rfc3339

LINEAGE = 20
"""Change ids that a node's record carries, newest first."""


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

    def holds(self, now: datetime) -> bool:
        """Whether its time is not over."""
        return self.until is None or now < self.until

    def in_words(self, word: str) -> str:
        """`frozen by anna until 2026-11-22T08:00:00.000Z: the disk is being swapped`."""
        by = f" by {self.who}" if self.who else ""
        until = f" until {rfc3339(self.until)}" if self.until is not None else ""
        return f"{word}{by}{until}" + (f": {self.why}" if self.why else "")


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
    lineage: tuple[str, ...] = Field(default=(), max_length=LINEAGE)
    """Ids of the last changes by operators, newest first; none: only its agent has written it."""
    changed: Mark | None = None
    """Who wrote the last of them, when and why."""

    def older_than(self, other: Node) -> bool:
        """Whether operators changed this record into `other`: a store that has it now went back."""
        if not self.lineage:
            return bool(other.lineage)
        return self.lineage[0] in other.lineage[1:]


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
