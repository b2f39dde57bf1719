"""P1: an order that cannot be written down is not obeyed, and the node says so, until it can be."""

from __future__ import annotations

from roj.api import keys
from roj.api.instance import InstanceStatus
from roj.api.node import NodeStatus
from roj.client.rows import troubles
from tests.property.simulation.play import Run, prepared
from tests.property.simulation.scenario import Command, Scenario
from tests.property.simulation.schedule import Schedule


def phase(run: Run) -> str:
    entry = run.world.consul.state.entries[keys.instance_status("n1", "a0")]
    return InstanceStatus.decode(entry.value).phase


def said(run: Run) -> list[str]:
    """What `roj nodes` says of the node."""
    entry = run.world.consul.state.entries[keys.node_status("n1")]
    return troubles(NodeStatus.decode(entry.value).conditions)


def test_a_full_state_directory_is_said_while_it_keeps_orders_away() -> None:
    commands = (Command(4.0, 0, "deploy", 0, "a", "plain"), Command(40.0, 0, "stop", 0, "a", "plain"))
    with prepared(Scenario(1, Schedule(), commands)) as run:
        node = run.world.nodes[0]
        run.world.run(30.0)
        assert (phase(run), said(run)) == ("launched", [])
        node.disk.full = True
        run.world.run(20.0)
        (words,) = said(run)
        assert words.startswith("not StateDirectoryWritable: the state directory cannot be written")
        assert "no space left" in words
        assert node.agent is not None
        assert str(node.agent.not_ready()) in words
        assert phase(run) == "launched"
        node.crash()
        run.world.run(20.0)
        assert said(run) == [words]
        node.disk.full = False
        run.world.run(30.0)
        assert (phase(run), said(run), node.agent.not_ready()) == ("stopped", [], None)
