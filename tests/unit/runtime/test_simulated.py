"""The simulated runtime does what a real Docker Engine does: the conformance cases, and its own test handles."""

from __future__ import annotations

import pytest

from roj.runtime.interface import ContainerSpec, ImageDenied, ImageNotFound
from tests.unit.runtime.conformance import *  # noqa: F403  (the cases)
from tests.unit.runtime.world import LABEL, SimulatedWorld


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld()


def test_a_registry_that_denies_and_one_that_is_slow(world: SimulatedWorld) -> None:
    reference = world.image("private:v1")
    world.registry.deny(reference)
    with pytest.raises(ImageDenied):
        world.runtime.pull(reference)
    world.image("private:v1")
    world.registry.seconds = 0.01
    told: list[str] = []
    world.runtime.pull(reference, told.append)
    assert told == [f"pulling {percent} %" for percent in range(0, 110, 10)]
    world.registry.withdraw(reference)
    with pytest.raises(ImageNotFound):
        world.runtime.pull(reference)


def test_out_of_memory(world: SimulatedWorld) -> None:
    id = world.running()
    world.machine.crash(id, 137, out_of_memory=True)
    assert world.runtime.container(id).oom_killed
    world.runtime.start(id)
    assert not world.runtime.container(id).oom_killed


def test_two_agents_share_a_machine(world: SimulatedWorld) -> None:
    strangers = world.runtime.create(ContainerSpec(world.name(), world.here()))
    id = world.create()
    assert [each.id for each in world.runtime.containers({LABEL: ""})] == [id]
    assert {each.id for each in world.runtime.containers()} == {id, strangers}


def test_images_fill_the_disk(world: SimulatedWorld) -> None:
    before = world.machine.disk_usage().used
    reference = "registry.test/big:v1"
    world.registry.publish(reference, size=5_000)
    world.runtime.pull(reference)
    assert world.machine.disk_usage().used == before + 5_000
