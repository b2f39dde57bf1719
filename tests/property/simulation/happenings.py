"""What happens to the world beside faulty calls: agents die, disks fill up, people put their hands on things.

Each is drawn with a moment, a node and a number, which says which container, file, snapshot, ...; how many points or
seconds. What cannot happen at its moment, such as the death of a container where there is none, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance
from roj.api.node import Cluster, Drain, Mark
from roj.api.node import Node as NodeRecord
from roj.controllers import labels
from roj.runtime.interface import ContainerSpec
from roj.runtime.simulated_container import Container
from tests.property.simulation.consul import State
from tests.property.simulation.environment import START
from tests.property.simulation.operators import CATALOGUE, Verb
from tests.property.simulation.oracles import ANOTHER, cluster_of, decoded
from tests.property.simulation.scenario import TROUBLE, Happening
from tests.property.simulation.world import Node, World

SOMEBODY = "somebody"
"""Who writes to the store by hand, as its changes say."""
MENDING = 400.0
"""Seconds after TROUBLE within which an administrator puts right what was broken by hand, whenever a restore has
brought it back."""


class Happenings:
    """Makes them happen in one world."""

    def __init__(self, world: World, stranger: Callable[[str], None]) -> None:
        """`stranger` is told of the id of everything that roj has nothing to do with."""
        self._world = world
        self._stranger = stranger
        self._snapshots: list[State] = []
        self._garbled: dict[str, tuple[bytes, bytes]] = {}
        """By key: a value that does not parse, and what was there before."""

    def plan(self, happenings: Iterable[Happening]) -> None:
        """Set the timers."""
        scheduler = self._world.scheduler
        for moment in range(10, int(TROUBLE), 10):
            scheduler.at(float(moment), self._keep_snapshot)
        for happening in happenings:
            scheduler.at(happening.at, lambda happening=happening: self._happen(happening))  # type: ignore[misc]  # a default binds it
        for late in range(20, int(MENDING), 20):
            scheduler.at(TROUBLE + late, self._put_right)

    def _happen(self, happening: Happening) -> None:
        node, number = self._world.nodes[happening.node], happening.number
        self._world.tell(f"{happening.what} at {node.name} ({number})")
        self._world.coverage.note(node.host, happening.what)
        done = (
            self._to_the_agent(happening.what, node, number)
            or self._to_its_disk(happening.what, node, number)
            or self._to_the_machine(happening.what, node, number)
            or self._to_a_container(happening.what, node, number)
            or self._to_the_store(happening.what, node, number)
            or self._to_a_record(happening.what, node, number)
        )
        assert done, f"nobody knows how {happening.what} happens"

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._world.scheduler.at(self._world.now + seconds, action)

    def _to_the_agent(self, what: str, node: Node, number: int) -> bool:
        later = _seconds(number)
        match what:
            case "crash":
                node.crash(back=later)
            case "crash-soon":
                node.crash_at(1 + number, back=later)
            case "pause":
                node.pause(later * 4)
            case "clock-jump":
                node.clock.wrong += clock_jump(number)
            case "stop-start":
                node.stop()
                self._later(20.0 + later, node.start)
            case "rival":
                self._rival(node, number)
            case _:
                return False
        return True

    def _to_its_disk(self, what: str, node: Node, number: int) -> bool:
        disk, later = node.disk, _seconds(number)
        match what:
            case "disk-full":
                disk.full = True
                self._later(later, lambda: setattr(disk, "full", False))
            case "disk-broken":
                disk.broken = True
                self._later(later, lambda: setattr(disk, "broken", False))
            case "disk-damaged":
                files = disk.all()
                if files:
                    node.crash(back=later)
                    disk.damage(files[number % len(files)])
            case "disk-lost":
                node.crash(back=later)
                disk.lose()
            case _:
                return False
        return True

    def _to_the_machine(self, what: str, node: Node, number: int) -> bool:
        machine, later = node.machine, _seconds(number)
        match what:
            case "boot":
                node.boot(back=later)
            case "daemon-killed":
                machine.kill_daemon()
                self._later(later, machine.start_daemon)
            case "daemon-restarted":
                machine.stop_daemon()
                self._later(later / 10, machine.start_daemon)
            case "docker-lost":
                machine.lose_docker()
                self._later(later, machine.start_daemon)
            case "image-removed":
                images = [image for image in machine.images.all() if image.tags]
                used = [each.image_id for each in machine.containers()]
                free = [image for image in images if image.id not in used]
                if free:
                    machine.images.remove(free[number % len(free)].tags[0], used)
            case "tag-moved":
                self._move_tag(node, number)
            case "registry-down":
                self._world.registry.down = True
                self._later(later, lambda: setattr(self._world.registry, "down", False))
            case "disk-pressure":
                machine.disk_size = machine.disk_other + 1
            case "port-occupied":
                port = 8080 + number % 2
                machine.occupy("tcp", port)
                self._later(later * 2, lambda: machine.vacate("tcp", port))
            case "stranger":
                self._strangers(node, number)
            case _:
                return False
        return True

    def _to_a_container(self, what: str, node: Node, number: int) -> bool:
        """Of ours: it dies, or somebody has `docker` at hand."""
        machine = node.machine
        mine = [each for each in machine.containers() if labels.parse(each.spec.labels)]
        container: Container | None = mine[number % len(mine)] if mine else None
        match what:
            case "container-crashes" if container is not None:
                machine.crash(container.id, number % 3)
            case "container-stopped" if container is not None:
                machine.kill(container.id, action="stop", exit_code=0)
            case "container-removed" if container is not None:
                machine.remove(container.id, force=True)
            case "container-paused" if container is not None and container.state == "running":
                machine.pause(container.id)
            case "container-started" if container is not None and not container.live:
                machine.start_by_hand(container.id)
            case "container-policy" if container is not None:
                machine.set_policy(container.id, ("always", "no")[number % 2])
            case "name-taken-by-hand" if container is not None:
                self._take_name(node, container, later=_seconds(number) * 2)
            case _:
                return what.startswith("container-") or what == "name-taken-by-hand"
        return True

    def _to_the_store(self, what: str, node: Node, number: int) -> bool:
        world, later = self._world, _seconds(number)
        consul = world.consul
        snapshot = self._snapshots[number % len(self._snapshots)] if self._snapshots else None
        match what:
            case "session-lost":
                consul.end_sessions(node.host)
            case "tombstones-reaped":
                consul.reap_tombstones()
            case "restored" | "restored-fresh":
                if snapshot is not None:
                    consul.restore(snapshot, fresh=what == "restored-fresh")
            case "restored-twin":
                if snapshot is not None:
                    self._restore_twin(node, number, snapshot)
            case "wiped" | "swapped":
                if self._in_place() and self._all_know_it():
                    before = consul.snapshot()
                    consul.wipe()
                    if what == "swapped":
                        self._another_cluster()
                    self._later(later * 3, lambda: consul.restore(before, fresh=True))
            case _:
                return False
        return True

    def _to_a_record(self, what: str, node: Node, number: int) -> bool:
        """Somebody has `consul kv` at hand."""
        consul, later = self._world.consul, _seconds(number)
        prefix = keys.instances(node.name)
        records = [key for key in sorted(consul.state.entries) if key.startswith(prefix)]
        key = records[number % len(records)] if records else ""
        match what:
            case "record-garbled":
                if key:
                    bad, good = self._garble(key, number)
                    self._later(later * 2, lambda: self._mend(key, bad, good))
            case "other-garbled":
                others = [
                    *(keys.CLUSTER, keys.node(node.name), keys.lease(node.name), keys.node_status(node.name)),
                    *(keys.app(name, "v1") for name in CATALOGUE),
                    *(each for each in consul.state.entries if each.startswith(keys.ports(node.name))),
                    *(keys.instance_status(node.name, key.removeprefix(prefix)) for key in records),
                ]
                there = [each for each in others if each in consul.state.entries]
                if there and self._in_place():
                    other = there[number % len(there)]
                    self._garbled[other] = self._garble(other, number // 7)
            case "record-deleted":
                if key:
                    good = consul.state.entries[key].value
                    consul.delete(key, SOMEBODY)
                    if number % 3 == 0:
                        self._later(later, lambda: self._put_back(key, good))
            case "record-flickers":
                if key:
                    good = consul.state.entries[key].value
                    consul.delete(key, SOMEBODY)
                    consul.put(key, good, SOMEBODY)
            case "node-marked":
                self._mark(node, number)
            case _:
                return False
        return True

    # --- the longer ones ---

    def _rival(self, node: Node, number: int) -> None:
        """Another machine starts an agent of the same name: a mistake, or a copy of the machine, or a takeover."""
        rival = self._world.rival_of(node)
        if number % 3 == 1 and not rival.disk.all():
            rival.copy(node)
        rival.start(takeover=number % 4 == 1)
        if number % 2:
            self._later(_seconds(number) * 3, rival.stop)

    def _move_tag(self, node: Node, number: int) -> None:
        """The registry has another image under the tag; or somebody has pulled that on the node."""
        name = list(CATALOGUE)[number % len(CATALOGUE)]
        reference = CATALOGUE[name][0].image
        if name == "missing":
            return
        self._world.registry.publish(reference, f"{reference} moved {number}")
        if number // len(CATALOGUE) % 2 and node.machine.up:
            image = node.machine.pull_by_hand(reference)
            if image is not None:
                self._stranger(image.id)

    def _restore_twin(self, node: Node, number: int, snapshot: State) -> None:
        """An older snapshot in a fresh server, where an operator's next write has the ModifyIndex of another order."""
        consul = self._world.consul
        there = {key: consul.state.entries.get(key) for key in sorted(snapshot.entries)}
        newer = {
            key: now.version
            for key, now in there.items()
            if key.startswith(keys.instances(node.name)) and now is not None and now.version > snapshot.index
        }
        for key, version in newer.items():
            record = decoded(snapshot.entries[key])
            if record is not None and record.goal != "undeploy":
                consul.restore(snapshot, fresh=True)
                consul.skip_to(version - 1)
                self._change_goal(record, f"operator-{number}-{self._world.now:.0f}")
                return

    def _change_goal(self, record: Instance, who: str) -> None:
        operator = self._world.hire(who)
        verb: Verb = "stop" if record.goal == "start" else "start"
        operator.begin(lambda: operator.do(verb, record.node, record.id, ""))

    def _mark(self, node: Node, number: int) -> None:
        """An operator's mark on a node, written into the sentinel; taken off by `_put_right` at the latest."""
        record = self._sentinel(node)
        if record is None:
            return
        mark = Mark(who="operator", when=START, why="maintenance")
        drain = Drain(who="operator", when=START, why="maintenance", parallel=1 + number % 2)
        updates: list[dict[str, object]] = [
            {"forgotten": mark},
            {"frozen": mark},
            {"drained": drain},
            {"windows": ("Mon 02:00-04:00",)},
            {"cordoned": mark, "labels": {"rack": str(number)}},
        ]
        changed = record.model_copy(update=updates[number % len(updates)])
        self._world.consul.put(keys.node(node.name), changed.encode(), SOMEBODY)
        self._later(_seconds(number) * 3, lambda: self._unmark(node))

    def _unmark(self, node: Node) -> None:
        record = self._sentinel(node)
        marks = ("forgotten", "cordoned", "frozen", "drained", "windows")
        if record is not None and any(getattr(record, mark) for mark in marks):
            self._world.tell(f"somebody takes the marks off {node.name}")
            changed = NodeRecord(name=record.name, cluster=record.cluster, labels=record.labels)
            self._world.consul.put(keys.node(node.name), changed.encode(), SOMEBODY)

    def _sentinel(self, node: Node) -> NodeRecord | None:
        entry = self._world.consul.state.entries.get(keys.node(node.name))
        try:
            return NodeRecord.decode(entry.value) if entry is not None else None
        except UnreadableRecord:
            return None

    def _strangers(self, node: Node, number: int) -> None:
        """Somebody else's container, image and network, some with labels that look like ours."""
        machine = node.machine
        id = f"sha256:{number:064x}"
        machine.images.add(
            f"registry.example/stranger:{number}", id, f"sha256:{number:064x}", 1000, node.clock.now()
        )
        self._stranger(id)
        other = {
            labels.CLUSTER: ANOTHER, labels.NODE: node.name, labels.INSTANCE: "a", labels.UID: "u",
            labels.REVISION: "r", labels.CONTAINER: "main",
        }  # fmt: skip
        spec = ContainerSpec(
            name=f"stranger-{number}-{len(machine.containers())}",
            image=f"registry.example/stranger:{number}",
            labels=other if number % 2 else {},
        )
        container = machine.create(spec)
        self._stranger(container)
        if number % 3:
            machine.start(container)

    def _take_name(self, node: Node, ours: Container, *, later: float) -> None:
        """Somebody removes a container of ours and runs one of their own under its name, for a while."""
        machine, name = node.machine, ours.spec.name
        machine.remove(ours.id, force=True)
        if machine.images.find(ours.spec.image) is None:
            return
        stranger = machine.create(ContainerSpec(name=name, image=ours.spec.image))
        self._stranger(stranger)

        def leave() -> None:
            if any(each.id == stranger for each in machine.containers()):
                self._world.tell(f"somebody removes their container {name}")
                machine.remove(stranger, force=True)

        self._later(later, leave)

    # --- the store's keeper ---

    def _keep_snapshot(self) -> None:
        if self._in_place():
            self._snapshots.append(self._world.consul.snapshot())

    def _in_place(self) -> bool:
        """Whether the store is the cluster's own, and every node knows that cluster."""
        entry = self._world.consul.state.entries.get(keys.CLUSTER)
        try:
            id = Cluster.decode(entry.value).id if entry is not None else ANOTHER
        except UnreadableRecord:
            return False
        return id != ANOTHER and all(cluster_of(node) == id for node in self._world.nodes)

    def _all_know_it(self) -> bool:
        """Whether every node has been in the cluster. One that meets an empty store first makes a new one of it, and
        that nodes of two clusters come together again is not promised."""
        return all("cluster" in node.disk.all() for node in self._world.machines)

    def _another_cluster(self) -> None:
        """The store of somebody else's cluster, which has nodes of the same names."""
        consul = self._world.consul
        consul.put(keys.CLUSTER, Cluster(id=ANOTHER, created=START).encode(), "another cluster")
        for node in self._world.nodes:
            record = NodeRecord(name=node.name, cluster=ANOTHER)
            consul.put(keys.node(node.name), record.encode(), "another cluster")

    def _garble(self, key: str, number: int) -> tuple[bytes, bytes]:
        """A record is cut in half, or of a newer format; returns what is there now and what was."""
        good = self._world.consul.state.entries[key].value
        bad = b'{"format":99,"new":1}' if number % 2 else good[: len(good) // 2]
        self._world.consul.put(key, bad, SOMEBODY)
        return bad, good

    def _mend(self, key: str, bad: bytes, good: bytes) -> None:
        entry = self._world.consul.state.entries.get(key)
        if entry is not None and entry.value == bad:
            self._world.tell(f"somebody mends {key}")
            self._world.consul.put(key, good, SOMEBODY)

    def _put_back(self, key: str, good: bytes) -> None:
        if key not in self._world.consul.state.entries and self._in_place():
            self._world.tell(f"somebody puts {key} back")
            self._world.consul.put(key, good, SOMEBODY)

    def _put_right(self) -> None:
        """What people have broken, people put right, though not at once."""
        for key, (bad, good) in self._garbled.items():
            self._mend(key, bad, good)
        for node in self._world.nodes:
            self._unmark(node)


def _seconds(number: int) -> float:
    return 1.0 + number % 40


def clock_jump(number: int) -> float:
    """Seconds that a clock goes ahead; negative: back."""
    return (number - 200) * 60.0
