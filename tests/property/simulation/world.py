"""A cluster: one store, nodes with a machine, a disk and the unmodified agent each, and operators.

A node's process is a group of the scheduler; it dies and is started again on the same disk and machine. What happens to
the world between (restores, power cuts, people's hands) are methods here; plans call them at drawn moments.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from unittest.mock import patch

from roj.agent.agent import Agent
from roj.agent.lease import HeldElsewhere
from roj.agent.options import AgentOptions
from roj.api.node import MachineIdentity
from roj.framework import extension
from roj.runtime.simulated_images import SimulatedRegistry
from tests.property.simulation.consul import Consul
from tests.property.simulation.coverage import Coverage
from tests.property.simulation.disk import Disk
from tests.property.simulation.environment import SimulatedEnvironment, WallClock, WorldEnvironment
from tests.property.simulation.operators import Operator
from tests.property.simulation.runtime_faults import FaultyRuntime, ObservedMachine
from tests.property.simulation.schedule import Schedule
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import Link
from tests.property.simulation.workers import Group

RESTART = 2.0
"""Seconds after which a supervisor of the operating system starts an agent again that ended."""

REFUSED = 10.0
"""The same of one that was refused the lease: less often, which is quicker to simulate."""


class Node:
    """One machine with its agent."""

    def __init__(self, world: World, name: str, options: AgentOptions, host: str = "") -> None:
        """`name` is the node's, `host` the machine's: the same, but where two machines have one node's name."""
        scheduler = world.scheduler
        self.world = world
        self.name = name
        self.host = host = host or name
        self.came_without_state = host != name
        """It is not the node's first machine, nor a copy of that."""
        self.options = options
        self.clock = WallClock(scheduler)
        environment = WorldEnvironment(scheduler, host)
        environment.clock = self.clock
        self.machine = ObservedMachine(scheduler, host, environment, world.registry)
        self.runtime = FaultyRuntime(scheduler, environment, self.machine)
        self.disk = Disk(scheduler, host)
        self.link = Link(scheduler, world.consul, host)
        self.group: Group | None = None
        self._looks_like = host
        self._resumed = 0.0
        self.agent: Agent | None = None
        self.lives = 0
        self.wanted = False
        """Whether the agent should run: its supervisor starts it again whenever it ends."""
        self.refusals: list[str] = []
        """Why the agent did not start, each time it did not."""

    @property
    def up(self) -> bool:
        return self.group is not None and not self.group.crashed

    @property
    def sound_since(self) -> float:
        """Since when nothing comes between the agent and the store or Docker, nor keeps it from running."""
        return max(self.link.sound_since, self.runtime.sound_since, self._resumed)

    def copy(self, other: Node) -> None:
        """This machine is a copy of another, made now: state directory and machine id, though not its Docker."""
        self.disk.copy(other.disk)
        self._looks_like = other.host
        self.came_without_state = False

    def start(self, *, takeover: bool = False) -> None:
        """Start the agent's process, unless it runs; told to take the lease over or not."""
        self.wanted = True
        if self.up:
            return
        self.lives += 1
        self.group = self.world.scheduler.group(self.host)
        self.world.scheduler.tell(f"{self.host} starts its agent" + (", with --takeover" if takeover else ""))
        environment = SimulatedEnvironment(self.world.scheduler, self.group, self.clock, life=self.lives)
        options = replace(self.options, takeover=takeover)
        self.world.scheduler.spawn(self.group, "main", lambda: self._main(environment, options))

    def pause(self, seconds: float) -> None:
        """The agent gets no time for a while."""
        if self.group is not None and not self.group.crashed:
            self.world.scheduler.pause(self.group, seconds)
            self._resumed = max(self._resumed, self.world.now + seconds)

    def crash(self, *, back: float | None = RESTART) -> None:
        """kill -9 of the agent; started again after `back` seconds."""
        if self.group is not None and not self.group.crashed:
            self.world.scheduler.tell(f"{self.host}'s agent is killed")
            self.world.scheduler.crash(self.group)
            self.agent = None
        self._again(back)

    def crash_at(self, points: int, *, back: float = RESTART) -> None:
        """kill -9 when the agent has passed so many points more."""
        if self.group is not None and not self.group.crashed:

            def crashed() -> None:
                self.world.coverage.note(self.host, "crash")
                self._again(back)

            self.group.crash_at = self.group.points + points
            self.group.after_crash = crashed

    def boot(self, *, back: float = RESTART) -> None:
        """The machine loses power and comes back: agent and all containers die, Docker starts before the agent."""
        self.world.scheduler.tell(f"{self.host} loses power and boots")
        self.crash(back=None)
        self.machine.boot()
        self._again(back)

    def heal(self) -> None:
        """All that is wrong with it ends, and its agent runs soon, if it should."""
        self.link.heal()
        self.runtime.heal()
        if self.group is not None:
            self.group.crash_at = -1
        self.disk.full = self.disk.broken = False
        self.machine.start_daemon()
        if self.wanted and not self.up:
            self._again(RESTART)

    def stop(self) -> None:
        """SIGTERM: the agent ends in order, and stays so."""
        self.wanted = False
        agent, group = self.agent, self.group
        if agent is not None and group is not None and self.up:

            def stop() -> None:
                agent.stop()
                self.world.scheduler.tell(f"{self.host}'s agent has stopped")
                self.world.scheduler.crash(group)
                self._again(RESTART)  # it was to be started again meanwhile

            self.world.scheduler.spawn(group, "signals", stop)

    def identity(self) -> MachineIdentity:
        """Who this machine is, as `roj.agent.machine` says of a real one."""
        return MachineIdentity(
            state_id=f"state-{self._looks_like}",
            machine_id=f"machine-{self._looks_like}",
            docker_id=self.machine.daemon_id,
            hostname=self.host,
            pid=self.lives,
            since=self.clock.now(),
        )

    def _again(self, back: float | None) -> None:
        if back is not None and self.wanted:
            self.world.scheduler.at(
                self.world.scheduler.now + back, lambda: self.start() if self.wanted else None
            )

    def _main(self, environment: SimulatedEnvironment, options: AgentOptions) -> None:
        """`roj agent`, without signals and endpoint (roj/agent/process.py)."""
        group = environment.group

        def end(why: str, *, again: float = RESTART) -> None:
            self.refusals.append(why)
            self.world.scheduler.tell(f"{self.host}'s agent ends: {why}")
            self.world.scheduler.crash(group)
            self.agent = None
            self._again(again)

        try:
            agent = Agent(
                environment,
                options,
                self.name,
                store=self.link.client(),
                runtime=self.runtime,
                state=self.disk,
                identity=self.identity,
                fatal=end,
            )
            self.agent = agent
            agent.start()
        except HeldElsewhere as error:
            end(f"{type(error).__name__}: {error}", again=REFUSED)
        except OSError as error:
            end(f"{type(error).__name__}: {error}")


class World:
    """Everything in one run."""

    def __init__(
        self, schedule: Schedule | None = None, *, nodes: int = 1, options: AgentOptions | None = None
    ) -> None:
        self.scheduler = Scheduler(schedule)
        self.registry = SimulatedRegistry()
        self.consul = Consul(self.scheduler)
        self.coverage = Coverage(self.scheduler.story)
        """What happened to whole agents, and while they did what."""
        self.operators: list[Operator] = []
        self.nodes = [Node(self, f"n{number}", options or AgentOptions()) for number in range(1, nodes + 1)]
        self.rivals: list[Node] = []
        """Other machines whose agents are told that they are one of the nodes."""

    @property
    def now(self) -> float:
        return self.scheduler.now

    @property
    def machines(self) -> list[Node]:
        """All of them, those of one name too."""
        return [*self.nodes, *self.rivals]

    def add_rival(self, node: Node) -> None:
        """Another machine, whose agent may be started under the node's name."""
        self.rivals.append(Node(self, node.name, node.options, f"{node.name}-rival"))

    def rival_of(self, node: Node) -> Node:
        """The other machine of the node's name."""
        return next(each for each in self.rivals if each.name == node.name)

    def hire(self, name: str) -> Operator:
        """A person with the `roj` command and a machine of their own."""
        group = self.scheduler.group(name)
        environment = SimulatedEnvironment(self.scheduler, group)
        operator = Operator(self.scheduler, environment, Link(self.scheduler, self.consul, name), name)
        self.operators.append(operator)
        return operator

    def covered(self) -> Coverage:
        """All pairs of fault and action so far."""
        whole = Coverage()
        whole.add([self.coverage])
        for link in [*(each.link for each in self.machines), *(each.link for each in self.operators)]:
            whole.calls("store", link.met)
        for node in self.machines:
            whole.calls("docker", node.runtime.met)
        return whole

    def run(self, seconds: float, *, enough: Callable[[], bool] | None = None) -> bool:
        """Let it go on (see `Scheduler.run`)."""
        return self.scheduler.run(seconds, enough=enough)

    def tell(self, words: str) -> None:
        """Something happens in the world."""
        self.scheduler.tell(words)

    def heal(self) -> None:
        """All faults end: links, disks and Docker work, and every agent that should run does so soon."""
        self.tell("all faults end")
        self.scheduler.chooser.calm()
        self.scheduler.resume()
        for rival in self.rivals:
            rival.heal()
            rival.stop()
        for node in self.nodes:
            node.wanted = True  # also where somebody had stopped it, and meant to start it again
            node.heal()
        for operator in self.operators:
            operator.link.heal()
        self.registry.down = False

    def close(self) -> None:
        """End all threads."""
        self.scheduler.close()


_entry_points = cache(entry_points)
"""What is installed, read once: each start of an agent would read it from the disk."""


@contextmanager
def running(world: World) -> Iterator[World]:
    """Run in it; all threads end with it.

    The garbage collector is off meanwhile: it would end suspended generators in whichever thread happens to run.
    """
    logger = logging.getLogger("roj")
    before, handlers, spread = logger.level, logger.handlers[:], logger.propagate
    collects = gc.isenabled()
    gc.disable()
    if not any(type(handler).__name__ == "StoryHandler" for handler in handlers):
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with patch.object(extension, "entry_points", _entry_points):
            yield world
    finally:
        try:
            world.close()
        finally:
            logger.setLevel(before)
            logger.handlers[:], logger.propagate = handlers, spread
            if collects:
                gc.enable()
