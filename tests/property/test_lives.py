"""P4, no time travel: a life of an instance that another one followed does not come back when that is undeployed."""

from __future__ import annotations

from roj.api import keys
from roj.api.instance import InstanceStatus
from tests.property.simulation.play import prepared
from tests.property.simulation.scenario import Command, Scenario
from tests.property.simulation.schedule import Schedule


def test_a_life_that_was_followed_by_another_is_over_when_that_is_undeployed() -> None:
    commands = (
        Command(10.0, 0, "deploy", 0, "a", "plain"),
        Command(41.0, 0, "deploy", 0, "a", "plain"),  # where the store does not know the first one any more
        Command(110.0, 0, "undeploy", 0, "a", "plain"),
    )
    with prepared(Scenario(1, Schedule(), commands)) as run:
        world, consul = run.world, run.world.consul
        world.run(9.0)
        nothing = consul.snapshot()
        world.run(21.0)
        first = consul.snapshot()
        world.run(10.0)
        consul.restore(nothing, fresh=False)
        world.run(80.0)
        assert keys.instance("n1", "a0") not in consul.state.entries
        consul.restore(first, fresh=False)
        world.run(200.0)  # the oracles watch that no order is obeyed again
        assert not world.nodes[0].machine.containers()
        status = InstanceStatus.decode(consul.state.entries[keys.instance_status("n1", "a0")].value)
        assert status.phase == "held"
