"""The simulated runtime and a real Docker Engine, driven by the same steps, give the same answers and states."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engines.program import free_ports
from roj.runtime.interface import ContainerSpec, PortBinding, RestartPolicy, RuntimeFailure
from tests.integration.runtime.world import DockerWorld
from tests.unit.runtime.world import FOREVER, LABEL, SimulatedWorld, World, eventually

pytestmark = pytest.mark.engines

_run = itertools.count()

NAMES = st.sampled_from(["a", "b", "c"])


class Twins(RuleBasedStateMachine):
    """Ids differ; containers go by name. What is compared: the kind of failure of each step, and all states after it."""

    real: DockerWorld

    @initialize()
    def begin(self) -> None:
        self.number = next(_run)
        self.worlds: tuple[World, World] = (self.real, SimulatedWorld())
        self.images = [world.here() for world in self.worlds]
        self.port = free_ports(1)[0]
        self.known: set[str] = set()

    def teardown(self) -> None:
        self.real.clean()

    def both(self, step: Callable[[World, str], object]) -> None:
        outcomes = []
        for world, image in zip(self.worlds, self.images, strict=True):
            try:
                step(world, image)
                outcomes.append("done")
            except RuntimeFailure as failure:
                outcomes.append(type(failure).__name__)
        assert outcomes[0] == outcomes[1]
        eventually(lambda: [self.states(world) for world in self.worlds], lambda two: two[0] == two[1])

    def states(self, world: World) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for each in world.runtime.containers({LABEL: ""}):
            it = world.runtime.container(each.id)
            found[it.name] = (
                *(it.state, it.exit_code, it.restart_policy, it.restart_count, it.ports),
                *(bool(it.error), it.started_at is None, it.finished_at is None),
            )
        return found

    def name(self, name: str) -> str:
        return f"twin-{self.number}-{name}"

    @rule(name=NAMES, port=st.booleans(), found=st.sampled_from([True, True, True, False]))
    def create(self, name: str, port: bool, found: bool) -> None:
        self.known.add(name)
        spec = ContainerSpec(
            self.name(name),
            "",
            command=FOREVER if found else ("no-such-program",),
            ports=(PortBinding(80, "tcp", self.port),) if port else (),
            labels={LABEL: "twin"},
        )
        self.both(
            lambda world, image: world.runtime.create(
                ContainerSpec(spec.name, image, command=spec.command, ports=spec.ports, labels=spec.labels)
            )
        )

    @precondition(lambda self: self.known)
    @rule(name=NAMES, action=st.sampled_from(["start", "start", "start", "kill", "unpause", "remove"]))
    def act(self, name: str, action: str) -> None:
        self.both(lambda world, _: getattr(world.runtime, action)(self.name(name)))

    @precondition(lambda self: self.known)
    @rule(name=NAMES)
    def stop(self, name: str) -> None:
        self.both(lambda world, _: world.runtime.stop(self.name(name), 10))

    @precondition(lambda self: self.known)
    @rule(name=NAMES, policy=st.sampled_from(["no", "unless-stopped", "always"]))
    def set_policy(self, name: str, policy: RestartPolicy) -> None:
        self.both(lambda world, _: world.runtime.set_restart_policy(self.name(name), policy))

    @precondition(lambda self: self.known)
    @rule(name=NAMES, what=st.sampled_from(["pause", "crash", "remove_by_force"]))
    def by_hand(self, name: str, what: str) -> None:
        def step(world: World, image: str) -> None:
            for each in world.runtime.containers({LABEL: "twin"}):
                if each.name == self.name(name) and (each.state == "running" or what == "remove_by_force"):
                    getattr(world, what)(each.id)

        self.both(step)

    @precondition(lambda self: self.known)
    @rule(fate=st.sampled_from(["kill", "boot"]))
    def daemon(self, fate: str) -> None:
        for world in self.worlds:
            if fate == "kill":
                world.kill_daemon()
                world.start_daemon()
            else:
                world.boot()
        self.both(lambda world, image: None)


def test_simulated_and_real_do_the_same(whole_world: DockerWorld) -> None:
    Twins.real = whole_world
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            phases=[Phase.generate],  # shrinking would take minutes of a real engine
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
