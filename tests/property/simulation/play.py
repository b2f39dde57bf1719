"""Plays a scenario: trouble, then peace until everything is as it should be, then a while in which nothing may happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from roj.agent.options import AgentOptions
from roj.api import keys
from roj.api.node import Cluster
from roj.api.node import Node as NodeRecord
from roj.controllers import labels
from roj.framework.reporter import REREAD
from roj.runtime.interface import ContainerSpec
from roj.runtime.simulated_container import Container
from tests.property.simulation.consul import State
from tests.property.simulation.environment import START, SimulatedEnvironment
from tests.property.simulation.operators import STEADY, Operator, Written
from tests.property.simulation.oracles import (
    ANOTHER,
    Broken,
    Oracles,
    astray,
    cluster_of,
    differences,
    services,
)
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS
from tests.property.simulation.scenario import REWINDS, TROUBLE, Command, Happening, Scenario, Window
from tests.property.simulation.store_faults import STORE_FAULTS, Link
from tests.property.simulation.world import Node, World, running

CONVERGED = 600.0
"""Seconds after the last fault within which everything is as it should be: the longest backoff (60 s), a pull that
stalled (90 s), a watch that nobody wakes (64 s) and the renewals of a lease, one after another, with room."""
GARBAGE = 200.0
"""Seconds after which what nobody needs any more is collected: an image's two minutes and a look of the collector."""
QUIET = 300.0
"""Ten resyncs."""


LOOK = 10.0
"""Seconds between two looks at how much was asked for and done."""
REQUESTS, PULLS, CALLS = 120, 15, 300
"""Of one node in LOOK seconds, at most, whatever goes wrong (P12): three times the most that 400 runs with every
fault took (35, 5, 92). A loop without a pause makes thousands."""


@dataclass(slots=True)
class Run:
    """A scenario that is played."""

    scenario: Scenario
    world: World
    oracles: Oracles
    operators: list[Operator]
    links: list[Link]
    converged_after: float = 0.0
    """Seconds after the last fault."""

    @property
    def written(self) -> list[Written]:
        """What all operators wrote."""
        return [written for operator in self.operators for written in operator.written]


started: Callable[[Run], None] = lambda run: None  # noqa: E731  (a hook for whoever wants to see a run)


@contextmanager
def prepared(scenario: Scenario, options: AgentOptions | None = None) -> Iterator[Run]:
    """The world of a scenario, with everything that will happen planned; all threads end with it."""
    world = World(scenario.schedule, nodes=scenario.nodes, options=options)
    world.registry.withdraw("registry.example/missing:1")
    oracles = Oracles(world)
    run = Run(scenario, world, oracles, [], [node.link for node in world.nodes])
    with running(world):
        for number in range(2):
            _hire(run, number)
        for window in scenario.windows:
            world.scheduler.at(window.at, lambda window=window: _open(run, window))  # type: ignore[misc]  # a default binds it
            world.scheduler.at(window.at + window.seconds, lambda window=window: _close(run, window))  # type: ignore[misc]  # the same
        snapshots: list[State] = []
        for moment in range(10, int(TROUBLE), 10):
            world.scheduler.at(float(moment), lambda: _keep_snapshot(world, snapshots))
        for happening in scenario.happenings:
            world.scheduler.at(happening.at, lambda happening=happening: _happen(run, happening, snapshots))  # type: ignore[misc]  # the same
        _look(run, [(0, 0, 0)] * len(world.nodes))
        started(run)
        for node in world.nodes:
            node.start()
        yield run


def play(scenario: Scenario) -> Run:
    """Play it to the end.

    Raises:
        Broken: a promise was broken.
        SimulationFailure: a deadlock, a livelock, a thread that died.
    """
    with prepared(scenario) as run:
        try:
            run.world.run(TROUBLE + 20.0)
            converge(run)
            no_lost_order(run)
            quiet(run)
        except AssertionError as broken:
            broken.add_note(f"{run.world.scheduler.story.text(400)}\n\nreplay: {scenario.line()}")
            raise
    return run


def offline(scenario: Scenario) -> Run:
    """P5: what was told before the store went away is kept and repaired, whatever happens to agent, Docker, machine.

    The commands' times are divided by ten: all is said, and done, before the store goes.
    """
    early = tuple(replace(command, at=5.0 + command.at / 10.0) for command in scenario.commands)
    late = tuple(replace(each, at=60.0 + each.at) for each in scenario.happenings)
    with prepared(replace(scenario, commands=early, happenings=late)) as run:
        world = run.world
        try:
            world.run(60.0)
            settled = not differences(world)
            known = {key: entry for key, entry in world.consul.state.entries.items() if "/instances/" in key}
            for node in world.nodes:
                node.link.set("cut", 1.0)
            world.run(TROUBLE + 80.0)
            for node in world.nodes:
                node.runtime.heal()
            world.run(180.0)
            if settled:
                for node in world.nodes:
                    for words in services(node, known):
                        raise Broken("offline works", "P5", f"{node.name}: {words}")
            converge(run)
            no_lost_order(run)
        except AssertionError as broken:
            broken.add_note(f"{world.scheduler.story.text(400)}\n\nreplay: offline({scenario!r})")
            raise
    return run


def frozen(scenario: Scenario) -> Run:
    """Faults that never heal at the first node: the others go on, and reach what is desired."""
    with prepared(scenario) as run:
        world = run.world
        try:
            first, *others = world.nodes
            first.link.set("cut", 1.0)
            first.runtime.set("away", 0.9)
            first.runtime.set("stop-hangs", 1.0)
            world.run(TROUBLE + 20.0)
            for node in others:
                node.heal()
            for link in run.links[len(world.nodes) :]:
                link.heal()
            world.scheduler.chooser.calm()
            world.scheduler.resume()

            def left() -> list[str]:
                return [words for words in differences(world) if not words.startswith(f"{first.name}:")]

            ends = world.now + CONVERGED
            while left() and world.now < ends:
                world.run(10.0)
            if left():
                raise Broken("convergence beside a node that is lost", "P1", "\n  ".join(left()))
        except AssertionError as broken:
            broken.add_note(f"{world.scheduler.story.text(400)}\n\nreplay: frozen({scenario!r})")
            raise
    return run


def converge(run: Run) -> None:
    """P1: all faults end, and everything is as it should be within a bounded time, published status included.

    Where the store was set back, statuses may be too, and nobody wakes the node for that: it reads them hourly.
    """
    within = CONVERGED + (REREAD if run.oracles.facts.rewound is not None else 0.0)
    run.world.heal()
    ended = run.world.now
    while run.world.now < ended + within:
        run.world.run(10.0)
        if not differences(run.world):
            # Not by chance, between two steps of something that goes on and on.
            run.world.run(2.0)
            if not differences(run.world):
                run.converged_after = run.world.now - ended
                return
    words = "\n  ".join(differences(run.world))
    raise Broken("convergence", "P1", f"{within:.0f} s after the last fault:\n  {words}")


def quiet(run: Run, seconds: float = QUIET) -> None:
    """P2 and P12: once converged, nothing is written and nothing done until something changes."""
    world = run.world
    if any(command.app not in STEADY for command in run.scenario.commands):
        return  # such an app is tried again for ever, and its status says so
    if any(b'"PortsAvailable"' in entry.value for entry in world.consul.state.entries.values()):
        return  # the same
    # A lease that a restore has set back is mended at a look every ten minutes, statuses hourly.
    world.run(GARBAGE + (REREAD if run.oracles.facts.rewound is not None else 0.0))
    changes, writes = len(world.consul.changes), [node.link.writes for node in world.nodes]
    calls, requests = (
        [node.machine.calls for node in world.nodes],
        [node.link.requests for node in world.nodes],
    )
    steps = len(world.scheduler.story.steps)
    world.run(seconds)
    told = "\n  ".join(
        str(step)
        for step in world.scheduler.story.steps[steps:]
        if not any(
            word in step.action for word in ("store: watch", "store: list", "renew_session", "store: get")
        )
    )
    if len(world.consul.changes) != changes or [node.link.writes for node in world.nodes] != writes:
        raise Broken("quiescence", "P2", f"something was written to the store though all was done:\n  {told}")
    if [node.machine.calls for node in world.nodes] != calls:
        raise Broken("quiescence", "P2", f"something was done to Docker though all was done:\n  {told}")
    for node, before in zip(world.nodes, requests, strict=True):
        made = (node.link.requests - before) / seconds * 60.0
        if made > 8.0 and not astray(world, node):
            raise Broken("bounded work", "P12", f"an idle {node.name} made {made:.1f} requests a minute")


def no_lost_order(run: Run) -> None:
    """P6: every acknowledged write is in the final state, unless the store itself was set back."""
    if any(happening.what in {*REWINDS, "record-garbled"} for happening in run.scenario.happenings):
        return
    entries = run.world.consul.state.entries
    applied = [known.record for known in run.oracles.facts.changes.values()]
    for written in run.written:
        words = f"{written.verb} {written.node}/{written.id} (generation {written.generation})"
        mine = [record for record in applied if record.uid == written.uid]
        made = [record for record in mine if record.generation == written.generation]
        if [record.goal for record in made] != [written.goal]:
            raise Broken(
                "no lost order", "P6", f"{words} was acknowledged, and was applied {len(made)} times"
            )
        entry = entries.get(keys.instance(written.node, written.id))
        if entry is not None and f'"uid":"{written.uid}"'.encode() in entry.value:
            if made[0].change.encode() not in entry.value:
                raise Broken("no lost order", "P6", f"{words} was overwritten silently")
        elif "undeploy" not in [record.goal for record in mine]:
            raise Broken("no lost order", "P6", f"{words}: it is gone, and nobody undeployed it")


def _hire(run: Run, number: int) -> None:
    world = run.world
    name = f"operator-{number}"
    link = Link(world.scheduler, world.consul, name)
    run.links.append(link)
    group = world.scheduler.group(name)
    environment = SimulatedEnvironment(world.scheduler, group)
    operator = Operator(world.scheduler, environment, link.client(), name)
    run.operators.append(operator)
    mine = [command for command in run.scenario.commands if command.operator == number]

    def work() -> None:
        for command in mine:
            _until(environment, command)
            operator.do(
                command.verb, world.nodes[command.node].name, f"{command.id}{command.node}", command.app
            )

    world.scheduler.spawn(group, "shell", work)


def _look(run: Run, before: list[tuple[int, int, int]]) -> None:
    """P12: bounded work, under any fault."""
    world = run.world
    now = [(node.link.requests, node.machine.pulls, node.runtime.calls) for node in world.nodes]
    for node, counts, earlier in zip(world.nodes, now, before, strict=True):
        made = [count - less for count, less in zip(counts, earlier, strict=True)]
        if made[0] > REQUESTS or made[1] > PULLS or made[2] > CALLS:
            run.oracles.broken(
                "bounded work",
                "P12",
                f"{node.name} made {made[0]} requests of the store, {made[1]} pulls and {made[2]} calls of Docker in "
                f"{LOOK:.0f} s",
            )
    world.scheduler.at(world.now + LOOK, lambda: _look(run, now))


def _until(environment: SimulatedEnvironment, command: Command) -> None:
    wait = command.at - environment.scheduler.now
    if wait > 0.0:
        environment.sleep(wait)


def _open(run: Run, window: Window) -> None:
    run.world.tell(f"{window.rate:.0%} {window.fault} at {_place(run, window)}")
    if window.fault in STORE_FAULTS:
        run.links[window.place].set(window.fault, window.rate)
    elif window.place < len(run.world.nodes) and window.fault in RUNTIME_FAULTS:
        run.world.nodes[window.place].runtime.set(window.fault, window.rate)


def _close(run: Run, window: Window) -> None:
    run.world.tell(f"no more {window.fault} at {_place(run, window)}")
    if window.fault in STORE_FAULTS:
        run.links[window.place].set(window.fault, 0.0)
    elif window.place < len(run.world.nodes) and window.fault in RUNTIME_FAULTS:
        run.world.nodes[window.place].runtime.set(window.fault, 0.0)


def _place(run: Run, window: Window) -> str:
    return run.links[window.place].machine


def _happen(run: Run, happening: Happening, snapshots: list[State]) -> None:
    world, node, number = run.world, run.world.nodes[happening.node], happening.number
    scheduler = world.scheduler
    machine = node.machine
    mine = [each for each in machine.containers() if labels.parse(each.spec.labels)]
    container: Container | None = mine[number % len(mine)] if mine else None
    world.tell(f"{happening.what} at {node.name} ({number})")
    later = 1.0 + number % 40
    match happening.what:
        case "crash":
            node.crash(back=later)
        case "crash-soon":
            node.crash_at(1 + number, back=later)
        case "pause":
            if node.up and node.group is not None:
                scheduler.pause(node.group, later * 4)
        case "clock-jump":
            node.clock.wrong += (number - 200) * 60.0
        case "stop-start":
            node.stop()
            scheduler.at(world.now + 20.0 + later, node.start)
        case "disk-full":
            node.disk.full = True
            scheduler.at(world.now + later, lambda: setattr(node.disk, "full", False))
        case "disk-damaged":
            files = node.disk.all()
            if files:
                node.crash(back=later)
                node.disk.damage(files[number % len(files)])
        case "disk-lost":
            node.crash(back=later)
            node.disk.lose()
        case "boot":
            node.boot(back=later)
        case "daemon-killed":
            machine.kill_daemon()
            scheduler.at(world.now + later, machine.start_daemon)
        case "daemon-restarted":
            machine.stop_daemon()
            scheduler.at(world.now + later / 10, machine.start_daemon)
        case "container-crashes" if container is not None:
            machine.crash(container.id, number % 3)
        case "container-stopped" if container is not None:
            machine.kill(container.id, action="stop", exit_code=0)
        case "container-removed" if container is not None:
            machine.remove(container.id, force=True)
        case "container-paused" if container is not None and container.state == "running":
            machine.pause(container.id)
        case "image-removed":
            images = [image for image in machine.images.all() if image.tags]
            used = [each.image_id for each in machine.containers()]
            free = [image for image in images if image.id not in used]
            if free:
                machine.images.remove(free[number % len(free)].tags[0], used)
        case "registry-down":
            world.registry.down = True
            scheduler.at(world.now + later, lambda: setattr(world.registry, "down", False))
        case "disk-pressure":
            machine.disk_size = machine.disk_other + 1
        case "stranger":
            _stranger(run, node, number)
        case "session-lost":
            world.consul.end_sessions(node.name)
        case "tombstones-reaped":
            world.consul.reap_tombstones()
        case "restored" | "restored-fresh" if snapshots:
            world.consul.restore(snapshots[number % len(snapshots)], fresh=happening.what == "restored-fresh")
        case "wiped" | "swapped" if _in_place(world) and _all_know_it(world):
            before = world.consul.snapshot()
            world.consul.wipe()
            if happening.what == "swapped":
                _another_cluster(world)
            scheduler.at(world.now + later * 3, lambda: world.consul.restore(before, fresh=True))
        case "record-garbled":
            prefix = keys.instances(node.name)
            known = [key for key in sorted(world.consul.state.entries) if key.startswith(prefix)]
            if known:
                key = known[number % len(known)]
                good = world.consul.state.entries[key].value
                bad = b'{"format":99,"new":1}' if number % 2 else good[: len(good) // 2]
                world.consul.put(key, bad, "somebody")
                scheduler.at(world.now + later * 2, lambda: _mend(world, key, bad, good))


def _keep_snapshot(world: World, snapshots: list[State]) -> None:
    if _in_place(world):
        snapshots.append(world.consul.snapshot())


def _in_place(world: World) -> bool:
    """Whether the store is the cluster's own, and every node knows that cluster."""
    entry = world.consul.state.entries.get(keys.CLUSTER)
    id = Cluster.decode(entry.value).id if entry is not None else ANOTHER
    return id != ANOTHER and all(cluster_of(node) == id for node in world.nodes)


def _all_know_it(world: World) -> bool:
    """Whether every node has been in the cluster. One that meets an empty store first makes a new one of it, and that
    nodes of two clusters come together again is not promised."""
    return all("cluster" in node.disk.all() for node in world.nodes)


def _mend(world: World, key: str, bad: bytes, good: bytes) -> None:
    entry = world.consul.state.entries.get(key)
    if entry is not None and entry.value == bad:
        world.tell(f"somebody mends {key}")
        world.consul.put(key, good, "somebody")


def _stranger(run: Run, node: Node, number: int) -> None:
    """Somebody else's container, image and network, some with labels that look like ours."""
    machine = node.machine
    id = f"sha256:{number:064x}"
    machine.images.add(
        f"registry.example/stranger:{number}", id, f"sha256:{number:064x}", 1000, node.clock.now()
    )
    run.oracles.stranger(id)
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
    run.oracles.stranger(container)
    if number % 3:
        machine.start(container)


def _another_cluster(world: World) -> None:
    """The store of somebody else's cluster, which has nodes of the same names."""
    world.consul.put(keys.CLUSTER, Cluster(id=ANOTHER, created=START).encode(), "another cluster")
    for node in world.nodes:
        record = NodeRecord(name=node.name, cluster=ANOTHER)
        world.consul.put(keys.node(node.name), record.encode(), "another cluster")
