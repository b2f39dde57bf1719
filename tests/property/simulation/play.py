"""Plays a scenario: trouble, then peace until everything is as it should be, then a while in which nothing may happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from roj.agent.lease import RENEW
from roj.agent.membership import LOOK as LOOK_AT_ALL
from roj.agent.options import AgentOptions
from roj.api import keys
from roj.api.instance import InstanceStatus
from roj.framework.reporter import REREAD
from tests.property.simulation.happenings import Happenings, clock_jump
from tests.property.simulation.operators import Written
from tests.property.simulation.oracles import (
    Broken,
    Oracles,
    astray,
    differences,
    obeyed_of,
    services,
    waits_for_a_port,
)
from tests.property.simulation.ownership import Ownership
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS
from tests.property.simulation.scenario import REWINDS, TROUBLE, Scenario, Window
from tests.property.simulation.store_faults import STORE_FAULTS, Link
from tests.property.simulation.upgrades import Upgrades
from tests.property.simulation.world import World, running
from tests.property.simulation.writes import Writes

CONVERGED = 600.0
"""Seconds after the last fault within which everything is as it should be: the longest backoff (60 s), a pull that
stalled (90 s), a watch that nobody wakes (64 s) and the renewals of a lease, one after another, with room."""
GARBAGE = 200.0
"""Seconds after which what nobody needs any more is collected: an image's two minutes and a look of the collector."""
LEASE = RENEW * LOOK_AT_ALL + 60.0
"""Seconds between two looks of an agent at its lease, with room."""
QUIET = 300.0
"""Ten resyncs."""


PORTS = (20000, 20011)
"""Ports that a node may choose: few, so that two who choose at once meet."""
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
    links: list[Link]
    """By place: the nodes', then the operators'."""
    converged_after: float = 0.0
    """Seconds after the last fault."""

    @property
    def written(self) -> list[Written]:
        """What all operators wrote."""
        return [written for operator in self.world.operators for written in operator.written]


started: Callable[[Run], None] = lambda run: None  # noqa: E731  (a hook for whoever wants to see a run)


@contextmanager
def prepared(scenario: Scenario, options: AgentOptions | None = None) -> Iterator[Run]:
    """The world of a scenario, with everything that will happen planned; all threads end with it."""
    options = replace(options or AgentOptions(port_range=PORTS), reap_unclaimed=scenario.reap)
    world = World(scenario.schedule, nodes=scenario.nodes, options=options)
    for number in sorted({each.node for each in scenario.happenings if each.what == "rival"}):
        world.add_rival(world.nodes[number])
    world.registry.withdraw("registry.example/missing:1")
    oracles = Oracles(world)
    Ownership(world, oracles.broken)
    Upgrades(world, oracles)
    Writes(world, oracles.broken)
    run = Run(scenario, world, oracles, [node.link for node in world.nodes])
    with running(world):
        for number in range(2):
            _hire(run, number)
        for window in scenario.windows:
            world.scheduler.at(window.at, lambda window=window: _open(run, window))  # type: ignore[misc]  # a default binds it
            if not window.forever:
                world.scheduler.at(window.at + window.seconds, lambda window=window: _close(run, window))  # type: ignore[misc]  # the same
        Happenings(world, oracles.stranger).plan(scenario.happenings)
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
    """Faults that never heal, at some of the nodes: the others go on, and reach what is desired."""
    with prepared(scenario) as run:
        world = run.world
        try:
            lost = [window.place for window in scenario.windows if window.forever]
            world.run(TROUBLE + 20.0)
            for place, node in enumerate(world.nodes):
                if place not in lost:
                    node.heal()
            for link in run.links[len(world.nodes) :]:
                link.heal()
            world.scheduler.chooser.calm()
            world.scheduler.resume()
            names = tuple(f"{world.nodes[place].name}:" for place in lost)

            def left() -> list[str]:
                return [words for words in differences(world) if not words.startswith(names)]

            ends = world.now + CONVERGED
            while left() and world.now < ends:
                world.run(10.0)
            if left():
                raise Broken("convergence beside nodes that are lost", "P1", "\n  ".join(left()))
        except AssertionError as broken:
            broken.add_note(f"{world.scheduler.story.text(400)}\n\nreplay: frozen({scenario!r})")
            raise
    return run


def converge(run: Run) -> None:
    """P1: all faults end, and everything is as it should be within a bounded time, published status included.

    Where the store was set back, statuses may be too, and nobody wakes the node for that: it reads them every REREAD seconds.
    """
    within = CONVERGED + (REREAD if run.oracles.facts.rewound is not None else 0.0)
    run.world.heal()
    ended = run.world.now
    while run.world.now < ended + within:
        run.world.run(10.0)
        if not differences(run.world) and not any(each.at_work for each in run.world.operators):
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
    world.run(GARBAGE + _mended_late(run))
    if _tried_for_ever(world):
        return
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


def _tried_for_ever(world: World) -> bool:
    """Whether anything is tried again and again: its status says so, or it is launched and dies in turns."""
    for key, entry in world.consul.state.entries.items():
        if key.startswith(keys.OBSERVED) and "/instances/" in key:
            status = InstanceStatus.decode(entry.value)
            crashing = status.app is not None and status.app.name == "crashing"
            if crashing or waits_for_a_port(status):
                return True
            if status.phase == "failed" and not _given_up(world, status):
                return True
            if status.phase not in {"launched", "stopped", "failed", "held", "unclaimed"}:
                return True
    return False


def _given_up(world: World, status: InstanceStatus) -> bool:
    """Whether it is an upgrade that has failed, and is not tried again."""
    node = next(each for each in world.nodes if each.name == status.node)
    obeyed = obeyed_of(node, status.id)
    return obeyed is not None and obeyed.failed is not None


def _mended_late(run: Run) -> float:
    """Statuses that a restore has set back are mended when they are read; a lease that names an older machine, every ten
    minutes; ages are told by the wall clock, which may have gone back."""
    happenings = run.scenario.happenings
    rewound = REREAD if run.oracles.facts.rewound is not None else 0.0
    lease = LEASE if any(each.what in {"docker-lost", "other-garbled"} for each in happenings) else 0.0
    back = sum(max(0.0, -clock_jump(each.number)) for each in happenings if each.what == "clock-jump")
    return max(rewound, lease, back)


def no_lost_order(run: Run) -> None:
    """P6: every acknowledged write is in the final state, unless the store itself was set back."""
    if any(
        happening.what in {*REWINDS, "record-garbled", "record-deleted"}
        for happening in run.scenario.happenings
    ):
        return
    for refused in (each for operator in run.world.operators for each in operator.refused):
        if refused.done:
            raise Broken("no lost order", "P6", f"{refused.words} was refused, and is in the store")
    entries = run.world.consul.state.entries
    applied = [known.record for known in run.oracles.facts.changes.values()]
    for written in run.written:
        words = f"{written.verb} {written.node}/{written.id} (generation {written.generation})"
        mine = [record for record in applied if record.uid == written.uid]
        made = [record for record in mine if record.generation == written.generation]
        if (
            run.world.rivals
        ):  # one machine may do an undeploy, and what the other obeys may be adopted after it
            if written.goal == "undeploy":
                continue
            made = [record for record in made if record.goal == written.goal]
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
    operator = run.world.hire(f"operator-{number}")
    run.links.append(operator.link)
    mine = [command for command in run.scenario.commands if command.operator == number]

    def work() -> None:
        for command in mine:
            operator.until(command.at)
            node = run.world.nodes[command.node].name
            operator.do(command.verb, node, f"{command.id}{command.node}", command.app)

    operator.begin(work)


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


def _open(run: Run, window: Window) -> None:
    run.world.tell(f"{window.rate:.0%} {window.fault} at {_place(run, window)}")
    if window.fault in STORE_FAULTS:
        run.links[window.place].set(window.fault, window.rate)
    elif window.place < len(run.world.nodes) and window.fault in RUNTIME_FAULTS:
        run.world.nodes[window.place].runtime.set(window.fault, window.rate)


def _close(run: Run, window: Window) -> None:
    if any(
        each.forever and (each.place, each.fault) == (window.place, window.fault)
        for each in run.scenario.windows
    ):
        return
    run.world.tell(f"no more {window.fault} at {_place(run, window)}")
    if window.fault in STORE_FAULTS:
        run.links[window.place].set(window.fault, 0.0)
    elif window.place < len(run.world.nodes) and window.fault in RUNTIME_FAULTS:
        run.world.nodes[window.place].runtime.set(window.fault, 0.0)


def _place(run: Run, window: Window) -> str:
    return run.links[window.place].machine
