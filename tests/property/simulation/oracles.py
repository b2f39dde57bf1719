"""What must hold: each oracle has a name and the promise of DESIGN.md section 7 that it checks.

Those that watch a run end it at the step that breaks the promise, so that a story ends with the culprit. Those of the
end compare what the store, the machines and the statuses say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from roj.api import keys
from roj.api.app import App, AppSpec
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance, InstanceStatus, Revision
from roj.api.node import Cluster
from roj.api.node import Node as NodeRecord
from roj.controllers import labels
from roj.controllers.order import Finished, Obeyed
from roj.runtime.interface import RuntimeEvent
from roj.runtime.simulated_container import Container
from roj.store.interface import Entry
from tests.property.simulation.consul import Change
from tests.property.simulation.operators import CATALOGUE, STEADY
from tests.property.simulation.world import Node, World

SETTLED = 0.999
"""Seconds that a container has run when it counts as launched; the design says 1, clocks are floats."""
REACTION = 120.0
"""Seconds for which a worker may act on what it read before: its stalls and slow calls."""


ANOTHER = "another"
"""The id of the cluster that is not ours."""


class Broken(AssertionError):
    """A promise was broken; the message begins with the oracle's name and the promise."""

    def __init__(self, oracle: str, promise: str, words: str) -> None:
        self.oracle, self.promise = oracle, promise
        super().__init__(f"{oracle} ({promise}): {words}")


@dataclass(slots=True)
class Known:
    """What an operator wrote, as it was applied in the store."""

    number: int
    time: float
    record: Instance


@dataclass(slots=True)
class Facts:
    """What is known of a run beside what the world says now."""

    changes: dict[str, Known] = field(default_factory=dict)
    """By change id: what operators wrote, in the order in which the store applied it."""
    rewound: float | None = None
    """When the store was last set back, wiped or swapped."""
    launched: dict[str, float] = field(default_factory=dict)
    """By revision: when all its containers were last seen to have run for long enough."""

    undeployed: dict[tuple[str, str], float] = field(default_factory=dict)
    """When the life of an instance was ended, by the machine that did it and the uid."""
    missing: dict[str, float] = field(default_factory=dict)
    """Since when the store has no record of an instance that it had, by its key."""
    restored: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When a restore brought a record back, which wakes no watch, and since when it was missing before, by its key."""
    absent: dict[str, float] = field(default_factory=dict)
    """When the record of an instance was last seen to be missing or not to parse, by its key."""

    drained: dict[str, float] = field(default_factory=dict)
    """When a node was last to be emptied, by its name."""

    def take(self, change: Change) -> None:
        """An observer of the store."""
        for entry in (change.before, change.after):
            if (drained := _drained(entry)) is not None:
                self.drained[drained] = change.time if entry is change.before else inf
        if change.who == "restore":
            self.rewound = change.time
        if "/instances/" in change.key and change.key.startswith(keys.DESIRED):
            self._note(change)
        record = instance_in(change)
        if record is not None and change.who.startswith("operator") and record.change not in self.changes:
            self.changes[record.change] = Known(len(self.changes), change.time, record)

    def _note(self, change: Change) -> None:
        before = decoded(change.before)
        if before is None or decoded(change.after) is None:
            self.absent[change.key] = change.time
        if change.after is None:
            restored, since = self.restored.pop(change.key, (change.time - REACTION, change.time))
            self.missing[change.key] = since if change.time - restored < REACTION else change.time
        elif (since_when := self.missing.pop(change.key, None)) is not None and change.who == "restore":
            self.restored[change.key] = change.time, since_when
        if (
            change.after is None
            and before is not None
            and before.goal == "undeploy"
            and change.who != "restore"
        ):
            self.undeployed[change.who.partition("/")[0], before.uid] = change.time


def decoded(entry: Entry | None) -> Instance | None:
    """The record, if there is one that parses."""
    try:
        return Instance.decode(entry.value) if entry is not None else None
    except UnreadableRecord:
        return None


def instance_in(change: Change) -> Instance | None:
    """The instance's record that was written, if it is one."""
    named = change.key.startswith(keys.DESIRED) and "/instances/" in change.key
    return decoded(change.after) if named else None


def owned_by_us(container: Container) -> labels.Owned | None:
    """What the labels say, unless they are another cluster's."""
    owned = labels.parse(container.spec.labels)
    return owned if owned is not None and owned.cluster != ANOTHER else None


class Oracles:
    """All oracles that watch a run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.facts = Facts()
        world.consul.observers.append(self.facts.take)
        world.consul.observers.append(self._truthful_status)
        self._obeyed: dict[tuple[str, str], int] = {}
        self._history: dict[tuple[str, str], list[tuple[float, Instance]]] = {}
        """What each node obeyed of each instance, since when."""
        self._strangers: dict[str, None] = {}
        for node in world.machines:
            node.disk.observers.append(lambda name, value, node=node: self._time_travel(node, name, value))  # type: ignore[misc]  # a default binds it
            node.runtime.guards.append(lambda call, about, node=node: self._before(node, call, about))  # type: ignore[misc]  # the same
            node.machine.observers.append(lambda event, node=node: self._after(node, event))  # type: ignore[misc]  # the same

    def stranger(self, id: str) -> None:
        """A container, image or network that roj has nothing to do with."""
        self._strangers[id] = None

    def broken(self, oracle: str, promise: str, words: str) -> None:
        """End the run."""
        self.world.scheduler.tell(f"BROKEN {oracle} ({promise}): {words}")
        self.world.scheduler.fail(Broken(oracle, promise, words))

    # --- before a change ---

    def _before(self, node: Node, call: str, about: str) -> None:
        if call == "remove_image":
            self._garbage_safety(node, about)
        if call in {"create", "pull", "create_network"}:
            return
        image = node.machine.images.find(about)
        if about in self._strangers or (
            image is not None and call == "remove_image" and image.id in self._strangers
        ):
            self.broken("bystanders", "P7", f"{node.name} would {call} {about[:12]}, which is not roj's")
        container = next((each for each in node.machine.containers() if each.id == about), None)
        if container is None:
            return
        owned = owned_by_us(container)
        if owned is None or owned.node != node.name:
            self.broken(
                "bystanders", "P7", f"{node.name} would {call} {container.spec.name}, which is not its own"
            )
        elif call in {"stop", "kill", "remove"} and container.live:
            self._no_harm(node, call, container, owned)

    def _no_harm(self, node: Node, call: str, container: Container, owned: labels.Owned) -> None:
        if node.disk.lost and self.facts.rewound is not None:
            return  # neither the node nor the store knows what the last order was
        if self._may_be_reaped(node, owned) or _has_failed(node, owned):
            return
        if self.facts.drained.get(node.name, -REACTION) + REACTION >= self.world.now:
            return
        history = self._history.get((node.host, owned.instance), [])
        known = [each.record for each in self.facts.changes.values()]
        if history:
            # What was obeyed when a worker that was interrupted since made its plan.
            ends = [*(time for time, _ in history[1:]), self.world.now]
            known = [
                record
                for (_, record), end in zip(history, ends, strict=True)
                if end >= self.world.now - REACTION
            ]
        for record in known:
            mine = (record.node, record.id) == (node.name, owned.instance)
            ordered = record.goal != "start" or (record.uid, record.revision.id) != (
                owned.uid,
                owned.revision,
            )
            if mine and ordered and record.change in self.facts.changes:
                return
        self.broken("no harm", "P4", f"{node.name} would {call} {container.spec.name}, and no order says so")

    def _may_be_reaped(self, node: Node, owned: labels.Owned) -> bool:
        """The node was told to, and the instance has been unclaimed for so long."""
        since = self.facts.missing.get(keys.instance(node.name, owned.instance))
        after = node.options.reap_unclaimed
        return after is not None and since is not None and since + after <= self.world.now

    def _garbage_safety(self, node: Node, reference: str) -> None:
        image = node.machine.images.find(reference)
        if image is None:
            return
        for id, since, wanted in self._needed(node):
            found = node.machine.images.find(wanted)
            if found is not None and found.id == image.id and since + REACTION < self.world.now:
                self.broken("garbage safety", "P8", f"{node.name} would remove {reference}, which {id} needs")

    def _needed(self, node: Node) -> Iterator[tuple[str, float, str]]:
        """Images that desired instances need or may be rolled back to: id, since when, reference."""
        for key, entry in self.world.consul.state.entries.items():
            if not key.startswith(keys.instances(node.name)):
                continue
            try:
                record = Instance.decode(entry.value)
            except UnreadableRecord:
                continue
            known = self.facts.changes.get(record.change)
            if record.goal == "undeploy" or known is None:
                continue
            for revision in record.revisions:
                app = self.world.consul.state.entries.get(keys.app(revision.app.name, revision.app.version))
                if app is not None:
                    for each in App.decode(app.value).containers:
                        since = max(known.time, self.facts.rewound or 0.0)
                        yield record.id, since, each.image

    # --- after a change ---

    def _after(self, node: Node, event: RuntimeEvent) -> None:
        if event.kind != "container" or event.action not in {"start", "die", "pause", "unpause"}:
            return
        if event.action == "start" and str(self.world.scheduler.current).startswith(f"{node.host}/"):
            self._no_resurrection(node, event.id)
        live: dict[tuple[str, str], list[Container]] = {}
        for container in node.machine.containers():
            owned = owned_by_us(container)
            if owned is None or not container.live or container.id in node.machine.by_hand:
                continue
            slot = (owned.node, f"{owned.instance}/{owned.container}")
            others = live.setdefault(slot, [])
            if others and not (len(others) == 1 and _starts_first(others[0], container)):
                words = f"{others[0].spec.name} and {container.spec.name} both live"
                self.broken("at most one", "P3", words)
            others.append(container)
        self.note_launched(node, before_death_of=event.id if event.action in {"die", "pause"} else "")

    def note_launched(self, node: Node, before_death_of: str = "") -> None:
        """Which revisions are, or were until this death, launched."""
        revisions: dict[str, list[Container]] = {}
        for container in node.machine.containers():
            owned = owned_by_us(container)
            if owned is not None:
                revisions.setdefault(owned.revision, []).append(container)
        for revision, containers in revisions.items():
            if all(self._settled(each, before_death_of) for each in containers):
                self.facts.launched[revision] = self.world.now

    def _settled(self, container: Container, dead: str) -> bool:
        runs = container.state == "running" or container.id == dead
        return runs and self.world.now - container.begun >= SETTLED

    # --- what is written ---

    def _time_travel(self, node: Node, name: str, value: bytes | None) -> None:
        if not name.startswith("orders/") or value is None:
            return
        slot = (node.host, name.removeprefix("orders/"))
        record = Obeyed.decode(value).instance
        change = record.change
        history = self._history.setdefault(slot, [])
        before = [each for _, each in history]
        history.append((self.world.now, record))
        known = self.facts.changes.get(change)
        if known is None:
            self.broken("no time travel", "P4", f"{slot} obeys {change[:8]}, which no operator wrote")
            return
        last = self._obeyed.get(slot)
        if record.goal == "undeploy" and record.uid in finished_of(node):
            return  # it was done, and the store has it once more: nothing comes of it but that the record goes again
        older = last is not None and known.number < last and not self._of_another_branch(known, before)
        if older and not node.disk.lost:
            self.broken(
                "no time travel",
                "P4",
                f"{node.host} obeys {known.record.goal} of {slot[1]} (change {change[:8]}, number {known.number}) "
                f"after the newer number {last}",
            )
        self._obeyed[slot] = max(known.number, last if last is not None else -1)

    def _of_another_branch(self, known: Known, before: list[Instance]) -> bool:
        """Whether a restore has brought an order that the node cannot tell from a new one: it was written on top of one
        restore and given up by the next, and the node has not seen it, nor anything on top of it."""
        rewound = self.facts.rewound
        return (
            rewound is not None
            and known.time <= rewound
            and not any(known.record.change in each.lineage for each in before)
        )

    def _truthful_status(self, change: Change) -> None:
        if (
            change.after is None
            or not change.key.startswith(keys.OBSERVED)
            or "/instances/" not in change.key
        ):
            return
        if change.who in {"restore", "somebody"}:
            return
        status = InstanceStatus.decode(change.after.value)
        if status.phase == "unclaimed":
            self._truly_unclaimed(status)
        if status.phase != "launched":
            return
        for node in self.world.machines:
            if change.who.startswith(f"{node.host}/"):
                self.note_launched(node)
        when = self.facts.launched.get(status.revision)
        if when is None:
            self.broken(
                "truthful status", "P10", f"{status.node}/{status.id} is reported as launched, and never was"
            )

    def _truly_unclaimed(self, status: InstanceStatus) -> None:
        key = keys.instance(status.node, status.id)
        missing = key not in self.world.consul.state.entries
        if not missing and self.facts.absent.get(key, -REACTION) + REACTION < self.world.now:
            self.broken(
                "truthful status",
                "P10",
                f"{status.node}/{status.id} is reported as unclaimed, and is wanted all along",
            )

    def _no_resurrection(self, node: Node, id: str) -> None:
        container = node.machine.find(id)
        owned = owned_by_us(container)
        ended = self.facts.undeployed.get((node.host, owned.uid)) if owned is not None else None
        if owned is None or ended is None or node.disk.lost:
            return
        later = [
            known
            for known in self.facts.changes.values()
            if known.record.uid == owned.uid and known.time >= ended and known.record.goal == "start"
        ]
        if not later:
            self.broken(
                "no time travel", "P4", f"{node.name} starts {container.spec.name}, which was undeployed"
            )


# --- at the end ---


def obeyed_of(node: Node, id: str) -> Obeyed | None:
    """What the node's disk says that it obeys."""
    content = node.disk.content(f"orders/{id}")
    return Obeyed.decode(content) if content is not None else None


def finished_of(node: Node) -> Mapping[str, object]:
    """The uids whose undeploy the node finished."""
    content = node.disk.content("finished")
    return Finished.decode(content).uids if content is not None else {}


def differences(world: World) -> list[str]:
    """Convergence (P1): what is not as it should be, now that nothing goes wrong any more."""
    found: list[str] = []
    for node in world.nodes:
        if astray(world, node):
            continue
        if node.up:
            found.extend(f"{node.name}: {words}" for words in _of_node(world, node))
        elif node.wanted:
            found.append(f"{node.name}: its agent does not run ({(node.refusals or ['?'])[-1]})")
    return found


def astray(world: World, node: Node) -> bool:
    """It lost its state while the store was another's: an operator has to say where it belongs."""
    return bool(node.disk.lost) and cluster_of(node) != _id_in(world.consul.state.entries.get(keys.CLUSTER))


def cluster_of(node: Node) -> str | None:
    """The cluster that the node knows."""
    content = node.disk.content("cluster")
    return Cluster.decode(content).id if content is not None else None


def _id_in(entry: Entry | None) -> str | None:
    try:
        return Cluster.decode(entry.value).id if entry is not None else None
    except UnreadableRecord:
        return None


def _status(entry: Entry) -> InstanceStatus | None:
    try:
        return InstanceStatus.decode(entry.value)
    except UnreadableRecord:
        return None


def _of_node(world: World, node: Node) -> Iterator[str]:
    entries = world.consul.state.entries
    lease = entries.get(keys.lease(node.name))
    if lease is None or not lease.session:
        yield "its lease is not held"
    prefix = keys.instances(node.name)
    records = {key.removeprefix(prefix): entries[key] for key in sorted(entries) if key.startswith(prefix)}
    reported = keys.instance_status(node.name, "")
    statuses = {
        key.removeprefix(reported): _status(entries[key])
        for key in sorted(entries)
        if key.startswith(reported)
    }
    mine: dict[str, list[Container]] = {}
    for container in node.machine.containers():
        owned = owned_by_us(container)
        if owned is not None and owned.node == node.name:
            mine.setdefault(owned.instance, []).append(container)
    for id, entry in records.items():
        try:
            record = Instance.decode(entry.value)
        except UnreadableRecord:
            status = statuses.get(id)
            if status is None or not any(each.type == "RecordUnreadable" for each in status.conditions):
                yield f"{id}: its record does not parse, and its status does not say so"
            continue
        yield from (
            f"{id}: {words}" for words in _of_instance(node, record, statuses.get(id), mine.get(id, []))
        )
    reaps = node.options.reap_unclaimed is not None
    for id in sorted({*statuses, *mine} - set(records)):
        status = statuses.get(id)
        if mine.get(id) and reaps:
            yield f"{id}: unclaimed containers are still there"
        if not mine.get(id) and reaps and status is not None:
            yield f"{id}: a status of what was reaped"
        if mine.get(id) and (status is None or status.phase != "unclaimed"):
            yield f"{id}: containers without an instance, and its status is {status and status.phase}"
        if not mine.get(id) and status is not None and status.phase != "unclaimed":
            yield f"{id}: a status ({status.phase}) of nothing"
        obeyed = obeyed_of(node, id)
        if (
            not mine.get(id)
            and status is not None
            and obeyed is not None
            and obeyed.instance.goal == "undeploy"
        ):
            yield f"{id}: it was undeployed, and is still reported ({status.phase})"


def _of_instance(
    node: Node, record: Instance, status: InstanceStatus | None, containers: list[Container]
) -> Iterator[str]:
    if status is None:
        yield f"no status; goal {record.goal}"
        return
    obeyed = obeyed_of(node, record.id)
    if status.phase == "held":
        if obeyed is not None and obeyed.instance.change == record.change:
            yield "held at the order that it obeys"
        return
    if (status.uid, status.observed_generation) != (record.uid, record.generation):
        yield f"generation {record.generation} is wanted, {status.observed_generation} is reported ({status.phase})"
    live = [each.spec.name for each in containers if each.live]
    match record.goal:
        case "undeploy":
            yield "it is not undeployed"
        case "stop":
            if live:
                yield f"it should be stopped, and {', '.join(live)} runs"
            if status.phase != "stopped":
                yield f"it should be stopped, and {status.phase} is reported"
            if any(each.policy != "no" for each in containers):
                yield "it should be stopped, and Docker would start it again"
        case "start":
            yield from _of_started(record, status, containers, obeyed)


def waits_for_a_port(status: InstanceStatus) -> bool:
    """A terminal state: somebody else, such as an unclaimed instance, has its port, and it says so."""
    return any((each.type, each.status) == ("PortsAvailable", "False") for each in status.conditions)


def failed_upgrade(obeyed: Obeyed | None, record: Instance) -> Revision | None:
    """The revision that serves, where the record's is an upgrade that has failed."""
    if obeyed is None or obeyed.failed is None or obeyed.instance.change != record.change:
        return None
    return obeyed.serving if obeyed.failed.of(record.revision) else None


def of_serving(record: Instance, serving: Revision) -> Instance:
    """The record as if it asked for the revision that serves."""
    return record.model_copy(update={"app": serving.app, "revisions": (serving,)})


def _of_started(
    record: Instance, status: InstanceStatus, containers: list[Container], obeyed: Obeyed | None
) -> Iterator[str]:
    serving = failed_upgrade(obeyed, record)
    if serving is not None:
        if status.phase != "failed" or not status.message:
            yield f"its upgrade has failed, and {status.phase} is reported ({status.message})"
        yield from (f"{each.spec.name} runs, and has failed" for each in _of(containers, record) if each.live)
        record = of_serving(record, serving)
        if record.app.name in STEADY and not waits_for_a_port(status):
            yield from _serves(record, _of(containers, record))
        return
    if record.app.name not in STEADY:
        if not status.message and status.phase != "launched":
            yield f"it cannot be launched, and its status ({status.phase}) does not say why"
        return
    if waits_for_a_port(status):
        return
    yield from _serves(record, containers)
    if status.phase != "launched":
        yield f"{status.phase} is reported ({status.message})"


def _of(containers: list[Container], record: Instance) -> list[Container]:
    """Those of the record's revision."""
    return [each for each in containers if labels.is_current(each.spec.labels, record)]


def _serves(record: Instance, containers: list[Container]) -> Iterator[str]:
    there: list[str] = []
    for container in containers:
        owned = labels.parse(container.spec.labels)
        assert owned is not None
        if not owned.belongs_to(record):
            yield f"{container.spec.name} is of another life or revision"
        elif container.state != "running":
            yield f"{container.spec.name} is {container.state}"
        else:
            there.append(owned.container)
            if container.policy != "unless-stopped":
                yield f"{container.spec.name} has restart policy {container.policy}"
    wanted = sorted(each.name for each in CATALOGUE[record.app.name])
    if sorted(there) != wanted:
        yield f"{', '.join(wanted)} should run, and {', '.join(there) or 'nothing'} does"


def services(node: Node, known: Mapping[str, Entry]) -> Iterator[str]:
    """What does not run as the records said that the node was last told (P5)."""
    for key, entry in known.items():
        if not key.startswith(keys.instances(node.name)):
            continue
        record = Instance.decode(entry.value)
        mine = [
            each
            for each in node.machine.containers()
            if (owned := owned_by_us(each)) is not None and owned.instance == record.id
        ]
        serving = failed_upgrade(obeyed_of(node, record.id), record)
        if serving is not None:
            record = of_serving(record, serving)
            mine = _of(mine, record)
        if record.goal == "start" and record.app.name in STEADY:
            yield from (f"{record.id}: {words}" for words in _serves(record, mine))
        elif record.goal == "stop":
            yield from (
                f"{record.id}: {each.spec.name} runs, and it was stopped" for each in mine if each.live
            )


def _drained(entry: Entry | None) -> str | None:
    """The name of the node that the record says is to be emptied."""
    if entry is None or not entry.key.startswith(keys.DESIRED) or not entry.key.endswith("/node"):
        return None
    try:
        record = NodeRecord.decode(entry.value)
    except UnreadableRecord:
        return None
    return record.name if record.drained is not None else None


def _has_failed(node: Node, owned: labels.Owned) -> bool:
    """Whether it is of an upgrade that the node has given up."""
    obeyed = obeyed_of(node, owned.instance)
    failed = obeyed.failed if obeyed is not None else None
    return failed is not None and failed.revision == owned.revision


def _starts_first(one: Container, other: Container) -> bool:
    """Whether they are of two revisions that may be up together for the time of an upgrade."""
    revisions = {each.spec.labels[labels.REVISION] for each in (one, other)}
    apps = [
        AppSpec(containers=CATALOGUE[each.spec.labels[labels.APP].partition(":")[0]]) for each in (one, other)
    ]
    return len(revisions) == 2 and all(app.starts_first for app in apps)
