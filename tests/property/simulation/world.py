"""A cluster: one store, nodes with a machine, a disk and the unmodified agent each, and operators.

A node's process is a group of the scheduler; it dies and is started again on the same disk and machine. What happens to
the world between (restores, power cuts, people's hands) are methods here; plans call them at drawn moments.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roj.agent.agent import Agent
from roj.agent.lease import HeldElsewhere
from roj.agent.options import AgentOptions
from roj.api.node import MachineIdentity
from roj.runtime.simulated_images import SimulatedRegistry
from tests.property.simulation.consul import Consul
from tests.property.simulation.disk import Disk
from tests.property.simulation.environment import SimulatedEnvironment, WallClock, WorldEnvironment
from tests.property.simulation.runtime_faults import FaultyRuntime, ObservedMachine
from tests.property.simulation.schedule import Schedule
from tests.property.simulation.scheduler import Group, Scheduler
from tests.property.simulation.store_faults import Link

RESTART = 2.0
"""Seconds after which a supervisor of the operating system starts an agent again that ended."""


class Node:
    """One machine with its agent."""

    def __init__(self, world: World, name: str, options: AgentOptions) -> None:
        scheduler = world.scheduler
        self.world = world
        self.name = name
        self.options = options
        self.clock = WallClock(scheduler)
        environment = WorldEnvironment(scheduler, name)
        environment.clock = self.clock
        self.machine = ObservedMachine(scheduler, name, environment, world.registry)
        self.runtime = FaultyRuntime(scheduler, environment, self.machine)
        self.disk = Disk(scheduler, name)
        self.link = Link(scheduler, world.consul, name)
        self.group: Group | None = None
        self.agent: Agent | None = None
        self.lives = 0
        self.wanted = False
        """Whether the agent should run: its supervisor starts it again whenever it ends."""
        self.refusals: list[str] = []
        """Why the agent did not start, each time it did not."""

    @property
    def up(self) -> bool:
        return self.group is not None and not self.group.crashed

    def start(self) -> None:
        """Start the agent's process, unless it runs."""
        self.wanted = True
        if self.up:
            return
        self.lives += 1
        self.group = self.world.scheduler.group(self.name)
        self.world.scheduler.tell(f"{self.name} starts its agent")
        environment = SimulatedEnvironment(self.world.scheduler, self.group, self.clock, life=self.lives)
        self.world.scheduler.spawn(self.group, "main", lambda: self._main(environment))

    def crash(self, *, back: float | None = RESTART) -> None:
        """kill -9 of the agent; started again after `back` seconds."""
        if self.group is not None and not self.group.crashed:
            self.world.scheduler.tell(f"{self.name}'s agent is killed")
            self.world.scheduler.crash(self.group)
            self.agent = None
        self._again(back)

    def crash_at(self, points: int, *, back: float = RESTART) -> None:
        """kill -9 when the agent has passed so many points more."""
        if self.group is not None and not self.group.crashed:
            self.group.crash_at = self.group.points + points
            self.group.after_crash = lambda: self._again(back)

    def boot(self, *, back: float = RESTART) -> None:
        """The machine loses power and comes back: agent and all containers die, Docker starts before the agent."""
        self.world.scheduler.tell(f"{self.name} loses power and boots")
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
                self.world.scheduler.tell(f"{self.name}'s agent has stopped")
                self.world.scheduler.crash(group)
                self._again(RESTART)  # it was to be started again meanwhile

            self.world.scheduler.spawn(group, "signals", stop)

    def identity(self) -> MachineIdentity:
        """Who this machine is, as `roj.agent.machine` says of a real one."""
        return MachineIdentity(
            state_id=f"state-{self.name}",
            machine_id=f"machine-{self.name}",
            docker_id=self.machine.daemon_id,
            hostname=self.name,
            pid=self.lives,
            since=self.clock.now(),
        )

    def _again(self, back: float | None) -> None:
        if back is not None and self.wanted:
            self.world.scheduler.at(
                self.world.scheduler.now + back, lambda: self.start() if self.wanted else None
            )

    def _main(self, environment: SimulatedEnvironment) -> None:
        """`roj agent`, without signals and endpoint (roj/agent/process.py)."""
        group = environment.group

        def end(why: str) -> None:
            self.refusals.append(why)
            self.world.scheduler.tell(f"{self.name}'s agent ends: {why}")
            self.world.scheduler.crash(group)
            self.agent = None
            self._again(RESTART)

        try:
            agent = Agent(
                environment,
                self.options,
                self.name,
                store=self.link.client(),
                runtime=self.runtime,
                state=self.disk,
                identity=self.identity,
                fatal=end,
            )
            self.agent = agent
            agent.start()
        except (HeldElsewhere, OSError) as error:
            end(f"{type(error).__name__}: {error}")


class World:
    """Everything in one run."""

    def __init__(
        self, schedule: Schedule | None = None, *, nodes: int = 1, options: AgentOptions | None = None
    ) -> None:
        self.scheduler = Scheduler(schedule)
        self.registry = SimulatedRegistry()
        self.consul = Consul(self.scheduler)
        self.nodes = [Node(self, f"n{number}", options or AgentOptions()) for number in range(1, nodes + 1)]

    @property
    def now(self) -> float:
        return self.scheduler.now

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
        for node in self.nodes:
            node.heal()
        self.registry.down = False

    def close(self) -> None:
        """End all threads."""
        self.scheduler.close()


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
        yield world
    finally:
        try:
            world.close()
        finally:
            logger.setLevel(before)
            logger.handlers[:], logger.propagate = handlers, spread
            if collects:
                gc.enable()
