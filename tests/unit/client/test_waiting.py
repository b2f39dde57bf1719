"""Waiting: when a node has done what was asked, and when there is no use in waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roj.api import keys
from roj.client.apps import create_app
from roj.client.client import PATIENCE, Client
from roj.client.deployment import deploy
from roj.client.errors import Unreachable
from roj.client.goals import set_goals
from roj.client.waiting import Awaited, Outcome, wait, worst
from roj.store.interface import Listing, StoreUnavailable
from tests.unit.client.world import Meddled, World, Wrapper, spec


@pytest.fixture
def deployed(world: World) -> World:
    create_app(world.client, "job", "v1", spec(None))
    deploy(world.client, "job", "v1", ["n1"], id="a")
    deploy(world.client, "job", "v1", ["n2"], id="b")
    return world


def prompt(world: World) -> Client:
    """A client whose store does not block: no time passes there."""
    return world.person("anna@desk", Meddled(world.store, lambda: None, set()))


def awaited(world: World, *places: str) -> list[Awaited]:
    instances = [world.get(*place.split("/")) for place in places]
    return [Awaited(i.node, i.id, i.uid, i.goal, i.generation) for i in instances]


def waited(world: World, orders: list[Awaited], *steps: Callable[[], object]) -> tuple[str, list[str]]:
    """The worst outcome and the last phases, where the steps happen one a round."""
    left = list(steps)

    def step() -> None:
        if left:
            left.pop(0)()

    store = Meddled(world.store, step, set(range(1, 10_000)))
    outcomes = wait(world.person("anna@desk", store), orders, 60.0)
    return worst(outcomes), [outcome.phase for outcome in outcomes]


def test_it_is_done_when_the_node_has_acted_on_this_very_order(deployed: World) -> None:
    deployed.report("n1", "a", "launched")
    set_goals(deployed.client, ["a"], "stop")
    set_goals(deployed.client, ["a"], "start")
    told: list[Outcome] = []
    orders = awaited(deployed, "n1/a")
    assert worst(wait(prompt(deployed), orders, 0.0, told.append)) == "pending", "it launched an older one"
    assert "not acted on it yet" in told[0].message
    result = waited(deployed, orders, lambda: None, lambda: deployed.report("n1", "a", "launched"))
    assert result == ("converged", ["launched"])
    assert deployed.clock.passed < 60.0


@pytest.mark.parametrize(
    ("goal", "phase", "result"),
    [
        ("start", "launched", "converged"),
        ("start", "failed", "failed"),
        ("start", "pulling", "pending"),
        ("start", "stopped", "pending"),
        ("start", "held", "pending"),
        ("stop", "stopped", "converged"),
        ("stop", "launched", "pending"),
        ("undeploy", "stopped", "pending"),
        ("undeploy", "stopping", "pending"),
    ],
)
def test_what_each_phase_is_to_each_goal(deployed: World, goal: str, phase: str, result: str) -> None:
    if goal != "start":
        set_goals(deployed.client, ["a"], goal)  # type: ignore[arg-type]  # one of the goals
    deployed.report("n1", "a", phase)
    assert worst(wait(prompt(deployed), awaited(deployed, "n1/a"), 1.0)) == result


def test_the_status_of_an_earlier_life_says_nothing(deployed: World) -> None:
    deployed.report("n1", "a", "failed", uid="earlier", observed_generation=9)
    assert worst(wait(prompt(deployed), awaited(deployed, "n1/a"), 1.0)) == "pending"


def test_an_undeploy_is_done_when_the_record_is_gone(deployed: World) -> None:
    set_goals(deployed.client, ["a"], "undeploy")
    orders = awaited(deployed, "n1/a")
    assert waited(deployed, orders, lambda: deployed.finish("n1", "a")) == ("converged", ["gone"])
    deploy(deployed.client, "job", "v1", ["n1"], id="a")
    assert worst(wait(prompt(deployed), orders, 0.0)) == "converged", "another life of that id"


def test_a_record_that_is_not_understood_is_not_gone(deployed: World) -> None:
    set_goals(deployed.client, ["a"], "undeploy")
    orders = awaited(deployed, "n1/a")
    deployed.put(keys.instance("n1", "a"), b"{}")
    assert worst(wait(prompt(deployed), orders, 1.0)) == "pending"


def test_an_order_that_another_took_the_place_of_will_not_be_done(deployed: World) -> None:
    orders = awaited(deployed, "n1/a")
    set_goals(deployed.person("otto@desk"), ["a"], "stop")
    (outcome,) = wait(prompt(deployed), orders, 60.0)
    assert (outcome.result, outcome.phase) == ("failed", "overtaken")
    assert "`stop` by otto@desk" in outcome.message
    deployed.finish("n1", "a")
    (outcome,) = wait(prompt(deployed), orders, 60.0)
    assert (outcome.result, outcome.phase) == ("failed", "gone")


def test_the_first_that_fails_ends_it(deployed: World) -> None:
    orders = awaited(deployed, "n1/a", "n2/b")
    result = waited(deployed, orders, *[lambda: None] * 5, lambda: deployed.report("n2", "b", "failed"))
    assert result == ("failed", ["pending", "failed"])
    assert deployed.clock.passed < 60.0


def test_several_nodes_are_waited_for_together(deployed: World) -> None:
    orders = awaited(deployed, "n1/a", "n2/b")
    result = waited(
        deployed,
        orders,
        lambda: deployed.report("n2", "b", "launched"),
        *[lambda: None] * 9,
        lambda: deployed.report("n1", "a", "launched"),
    )
    assert result == ("converged", ["launched", "launched"])


def test_it_is_told_of_each_phase_once(deployed: World) -> None:
    told: list[str] = []
    phases = ["pulling", "creating", "creating", "launched"]

    def report() -> None:
        deployed.report("n1", "a", phases.pop(0))

    store = Meddled(deployed.store, report, {0, 2, 4, 6})
    client = deployed.person("anna@desk", store)
    wait(client, awaited(deployed, "n1/a"), 60.0, lambda outcome: told.append(outcome.phase))
    assert told == ["pulling", "creating", "launched"]


class Away(Wrapper):
    """A store that does not answer `watch` so many times."""

    times = 0

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("memory: no answer")
        return super().watch(prefix, index, 0)


def test_a_store_that_is_away_for_a_moment_is_waited_for(deployed: World) -> None:
    store = Away(deployed.store)
    store.times = 3
    deployed.report("n1", "a", "launched")
    assert worst(wait(deployed.person("", store), awaited(deployed, "n1/a"), 60.0)) == "converged"


def test_a_store_that_stays_away_is_given_up_on(deployed: World) -> None:
    store = Away(deployed.store)
    store.times = 1000
    with pytest.raises(Unreachable) as refused:
        wait(deployed.person("", store), awaited(deployed, "n1/a"), 600.0)
    assert "The order stands" in refused.value.hint
    assert PATIENCE < deployed.clock.passed < 2 * PATIENCE
