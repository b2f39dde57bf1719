"""The simulation's own store does what a real Consul does: the conformance cases, and the machine of the embedded one.

Next to a real Consul it is run in tests/integration/store. What Consul does beyond them that one would not expect (indexes
that go back, a restore, sessions that end late) is in test_simulator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import settings

from roj.store.interface import Store
from tests.property.simulation.consul import Consul
from tests.property.simulation.live import AtOnce, CalledStore, Live
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import Link
from tests.property.store_machine import StoreMachine
from tests.unit.store.conformance import *  # noqa: F403  (the cases)
from tests.unit.store.world import World

ENDLESS = 10**9
"""Steps at one moment: of a test without a clock, all."""


class Punctual(Random):
    """Sessions end when they may, no later."""

    def random(self) -> float:
        return 0.0


@pytest.fixture
def world() -> Iterator[World]:
    scheduler = Scheduler(patience=ENDLESS)
    live = Live(scheduler)
    link = Link(scheduler, Consul(scheduler), "n1")
    world = World(lambda: CalledStore(live, link.client()))
    yield world
    world.close()
    live.close()


class SimulatedStoreMachine(StoreMachine):
    """The simulated store in the embedded one's machine."""

    def prepare(self) -> None:
        self.scheduler = Scheduler(patience=ENDLESS)
        consul = Consul(self.scheduler)
        consul.environment.random = Punctual()
        self.link = Link(self.scheduler, consul, "n1")
        self.calls = AtOnce(self.scheduler)

    def opened(self) -> Store:
        return CalledStore(self.calls, self.link.client())

    def pass_time(self, seconds: float) -> None:
        self.scheduler.run(seconds)

    def now(self) -> float:
        return self.scheduler.now

    def clean_up(self) -> None:
        self.calls.close()


SimulatedStoreMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestSimulatedStore = SimulatedStoreMachine.TestCase
