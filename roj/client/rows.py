"""Rows for readers: what is wanted beside what is reported, joined by pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from roj.api.app import App
from roj.api.condition import Condition
from roj.api.event import Event
from roj.api.instance import ContainerStatus, Instance, InstanceStatus
from roj.api.node import Drain, Mark, Node, NodeStatus
from roj.client.snapshot import InstanceName, Snapshot, Unreadable

GOOD_CONDITIONS = frozenset(
    {"DockerReachable", "StateDirectoryWritable", "StoreReachable", "ImageAvailable", "PortsAvailable"}
)
"""Conditions that should be True; all others name a trouble, and should be False."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """One instance: what operators want of it and what its node says."""

    id: str
    node: str
    app: str
    """`NAME:VERSION` that should run; of an unclaimed instance the one that does."""
    goal: str
    """Empty where nothing is wanted, or it cannot be read."""
    phase: str
    """As DESIGN.md section 1, with `unknown` and `unclaimed`."""
    generation: int
    observed_generation: int
    since: datetime | None
    """When the phase began, as far as is known."""
    message: str
    ports: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    next_try: datetime | None = None
    containers: tuple[ContainerStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    uid: str = ""
    observed_app: str = ""
    change: str = ""
    """Id of the newest change."""
    who: str = ""
    when: datetime | None = None
    why: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.node}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node: what operators declare and what its agent reports."""

    name: str
    ready: bool
    """Its agent lives: a session holds the node's lease."""
    since: datetime | None
    labels: Mapping[str, str]
    instances: int
    """How many are wanted on it."""
    address: str
    versions: Mapping[str, str]
    host: str
    """The host name of the machine that holds the lease, or held it last."""
    conditions: tuple[Condition, ...]
    cordoned: Mark | None
    frozen: Mark | None
    forgotten: Mark | None
    message: str
    drained: Drain | None = None
    windows: tuple[str, ...] = ()
    changed: Mark | None = None
    """Who changed it last, when and why."""
    clock: str = ""
    """How far the machine's clock may be wrong, as its agent says."""

    @property
    def marks(self) -> Mapping[str, Mark]:
        """The marks that operators set, by their words."""
        marks = {
            "cordoned": self.cordoned, "frozen": self.frozen, "drained": self.drained, "forgotten": self.forgotten
        }  # fmt: skip
        return {word: mark for word, mark in marks.items() if mark is not None}

    @property
    def status(self) -> str:
        """`ready` or `away`, with the marks that operators set: `ready,cordoned`."""
        return self.status_at(None)

    def status_at(self, now: datetime | None) -> str:
        """The same without marks whose time was over by then."""
        words = [word for word, mark in self.marks.items() if now is None or mark.holds(now)]
        return ",".join(["ready" if self.ready else "away", *words])


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRow:
    """One app, and how many instances of it are wanted."""

    name: str
    version: str
    app: App | None
    """None: its record does not parse."""
    digest: str
    instances: int
    message: str

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event; `event` is None where its record does not parse."""

    node: str
    """Empty: it is an operator's, and of no node."""
    slot: str
    """Where it is kept: `NODE/SLOT`."""
    event: Event | None
    message: str

    @property
    def name(self) -> str:
        """`NODE/SEQUENCE`; of one that does not parse, or is an operator's, where it is kept."""
        return f"{self.node}/{self.event.sequence}" if self.event and not self.event.who else self.slot

    @property
    def order(self) -> tuple[float, str, int]:
        """By time, then by sequence within the node; what does not parse comes first."""
        if self.event is None:
            return (0.0, self.node, 0)
        return (self.event.last.timestamp(), self.node, self.event.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSummary:
    """The cluster at a glance."""

    store: str
    id: str | None
    """None: no agent has made one yet."""
    created: datetime | None
    ready: tuple[str, ...]
    away: tuple[str, ...]
    phases: Mapping[str, int]
    """Instances by phase, the most first."""
    message: str

    @property
    def instances(self) -> int:
        return sum(self.phases.values())


def instance_rows(snapshot: Snapshot) -> list[InstanceRow]:
    """All instances, and all containers without one, by node and id."""
    names = sorted(snapshot.instances.keys() | snapshot.statuses.keys())
    standings = {node: Standing.of(snapshot, node) for node in snapshot.node_names()}
    return [instance_row(snapshot, name, standings[name[0]]) for name in names]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether what a node reported is still so."""

    problem: str
    """Why it may not be; empty: it is."""
    since: datetime | None = None

    @classmethod
    def of(cls, snapshot: Snapshot, node: str) -> Standing:
        status = snapshot.node_statuses.get(node)
        if not snapshot.ready(node):
            # Not "never": a restored store has lost what an agent reported.
            silent = status is None and node not in snapshot.leases
            return cls(f"no agent reports as {node}" if silent else f"{node} is away")
        if isinstance(status, NodeStatus):
            for condition in status.conditions:
                if condition.type == "DockerReachable" and condition.status == "False":
                    return cls(f"Docker of {node} does not answer: {condition.message}", condition.since)
        return cls("")


def instance_row(snapshot: Snapshot, name: InstanceName, standing: Standing) -> InstanceRow:
    """Join what is wanted of one instance with what its node says of it."""
    node, id = name
    wanted = snapshot.instances.get(name)
    status = snapshot.statuses.get(name)
    desired = wanted if isinstance(wanted, Instance) else None
    unreadable = f"its record is not understood: {wanted.problem}" if isinstance(wanted, Unreadable) else ""
    seen = _of_this_life(desired, status)
    phase, since, message = _phase(wanted, status, standing)
    app = desired.app if desired is not None else seen.app if seen is not None else None
    return InstanceRow(
        id=id,
        node=node,
        app=str(app) if app is not None else "",
        goal=desired.goal if desired is not None else "",
        phase=phase,
        generation=desired.generation if desired is not None else 0,
        observed_generation=seen.observed_generation if seen is not None else 0,
        since=since,
        message="; ".join(part for part in (unreadable, message) if part),
        ports=seen.ports if seen is not None else {},
        restarts=seen.restarts if seen is not None else 0,
        next_try=seen.next_try if seen is not None else None,
        containers=seen.containers if seen is not None else (),
        conditions=seen.conditions if seen is not None else (),
        uid=desired.uid if desired is not None else seen.uid if seen is not None else "",
        observed_app=str(seen.app) if seen is not None and seen.app is not None else "",
        change=desired.change if desired is not None else "",
        who=desired.who if desired is not None else "",
        when=desired.when if desired is not None else None,
        why=desired.why if desired is not None else "",
    )


def _of_this_life(
    desired: Instance | None, status: InstanceStatus | Unreadable | None
) -> InstanceStatus | None:
    """The status, unless it is of an earlier life of the id; a node that holds says what it holds, whatever its uid."""
    if not isinstance(status, InstanceStatus):
        return None
    if desired is None or status.uid == desired.uid or status.phase == "held":
        return status
    return None


def _phase(
    wanted: Instance | Unreadable | None, status: InstanceStatus | Unreadable | None, standing: Standing
) -> tuple[str, datetime | None, str]:
    """Phase, since when, and what there is to say of it."""
    if isinstance(status, Unreadable):
        return "unknown", None, f"its status is not understood: {status.problem}"
    if status is None:
        if isinstance(wanted, Instance):
            return "pending", wanted.when, standing.problem
        return "unknown", None, standing.problem
    desired = wanted if isinstance(wanted, Instance) else None
    if desired is not None and _of_this_life(desired, status) is None:
        earlier = f"its node still reports an earlier life of it ({status.phase})"
        return "pending", desired.when, standing.problem or earlier
    if standing.problem:
        last = f"last reported {status.phase}" + (f": {status.message}" if status.message else "")
        return "unknown", standing.since, f"{standing.problem}; {last}"
    if wanted is None:
        return "unclaimed", status.since, status.message
    return status.phase, status.since, status.message


def node_rows(snapshot: Snapshot) -> list[NodeRow]:
    """All nodes, by name."""
    counts: dict[str, int] = {}
    for node, _ in snapshot.instances:
        counts[node] = counts.get(node, 0) + 1
    return [node_row(snapshot, name, counts.get(name, 0)) for name in snapshot.node_names()]


def node_row(snapshot: Snapshot, name: str, instances: int) -> NodeRow:
    """Join what is declared of one node with what its agent reports; `instances` are wanted on it."""
    declared, status, lease = (
        snapshot.nodes.get(name),
        snapshot.node_statuses.get(name),
        snapshot.leases.get(name),
    )
    node = declared if isinstance(declared, Node) else None
    report = status if isinstance(status, NodeStatus) else None
    messages = []
    if declared is None:
        messages.append("it is not declared: its sentinel is missing")
    for what, record in (("record", declared), ("status", status), ("lease", lease and lease.by)):
        if isinstance(record, Unreadable):
            messages.append(f"its {what} is not understood: {record.problem}")
    if lease is None and status is None:
        messages.append("no agent reports as this node")
    conditions = report.conditions if report is not None else ()
    messages += troubles(conditions)
    return NodeRow(
        name=name,
        ready=snapshot.ready(name),
        since=report.since if report is not None else None,
        labels=node.labels if node is not None else {},
        instances=instances,
        address=report.address if report is not None else "",
        versions=report.versions if report is not None else {},
        host=lease.by.hostname if lease is not None and not isinstance(lease.by, Unreadable) else "",
        conditions=conditions,
        cordoned=node.cordoned if node is not None else None,
        frozen=node.frozen if node is not None else None,
        drained=node.drained if node is not None else None,
        windows=node.windows if node is not None else (),
        forgotten=node.forgotten if node is not None else None,
        changed=node.changed if node is not None else None,
        clock=report.clock if report is not None else "",
        message="; ".join(messages),
    )


def troubles(conditions: Iterable[Condition]) -> list[str]:
    """What the conditions complain of, each with its type."""
    return [
        f"{condition.type}: {condition.message or condition.reason}"
        if condition.type not in GOOD_CONDITIONS
        else f"not {condition.type}: {condition.message or condition.reason}"
        for condition in conditions
        if condition.status == ("False" if condition.type in GOOD_CONDITIONS else "True")
    ]


def cluster_phases(rows: Iterable[InstanceRow]) -> dict[str, int]:
    """How many instances are in each phase, the most first."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.phase] = counts.get(row.phase, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
