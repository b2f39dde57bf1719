"""Operators' writes: whatever they do, however they come between each other, whatever answer is lost (P6)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roj.api import keys
from roj.client.apps import create_app, remove_apps
from roj.client.client import PATIENCE, Client
from roj.client.deployment import deploy
from roj.client.errors import ClientError, Conflict, NotFound, Unreachable
from roj.client.goals import set_goals
from roj.client.rollout_view import list_rollouts
from roj.client.rollouts import Terms, start_rollout
from roj.store.interface import Entry, Listing, Operation, Store, StoreUnavailable
from tests.unit.client.world import Fate, Meddled, Unreliable, World, Wrapper, spec, violations

NODES = ("n1", "n2", "n10")
APPS = {"web": spec(8080), "pair": spec(8080, 9090), "job": spec(None)}
"""`web` and `pair` want the same port of a node."""
IDS = ("a", "b", "ab")


class Operators(RuleBasedStateMachine):
    """Any sequence of commands, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*NODES)
        self.lives: dict[str, str] = {}

    def teardown(self) -> None:
        self.world.close()

    def attempt(self, operation: Callable[[], object]) -> None:
        before = self.world.keys()
        try:
            operation()
        except ClientError as error:
            assert error.exit_code in (2, 4, 5), error
            assert self.world.keys() == before, "it was refused, and something was written"

    @rule(name=st.sampled_from(list(APPS)))
    def create(self, name: str) -> None:
        self.attempt(lambda: create_app(self.world.client, name, "v1", APPS[name]))
        assert any(app.name == name for app in self.world.apps())

    @rule(name=st.sampled_from(list(APPS)))
    def remove(self, name: str) -> None:
        used = any(instance.app.name == name for instance in self.world.instances())
        there = any(app.name == name for app in self.world.apps())
        self.attempt(lambda: remove_apps(self.world.client, [(name, "v1")]))
        assert any(app.name == name for app in self.world.apps()) == (there and used)

    @rule(
        name=st.sampled_from(list(APPS)),
        nodes=st.lists(st.sampled_from(NODES), min_size=1, max_size=3),
        count=st.integers(1, 3),
        id=st.none() | st.sampled_from(IDS),
    )
    def deploy(self, name: str, nodes: list[str], count: int, id: str | None) -> None:
        guard, before = self.world.guard(name), self.world.instances()

        def operation() -> None:
            launches = deploy(self.world.client, name, "v1", nodes, count=count, id=id)
            made = [launch for launch in launches if not launch.existed]
            assert len(launches) == count * len(dict.fromkeys(nodes))
            assert len(self.world.instances()) == len(before) + len(made)
            assert not made or self.world.guard(name) != guard

        self.attempt(operation)

    @rule(
        references=st.lists(st.sampled_from([*IDS, "n1/a", "w", "job-"]), min_size=1, max_size=3),
        goal=st.sampled_from(["start", "stop", "undeploy"]),
    )
    def set_goal(self, references: list[str], goal: Any) -> None:
        before = {instance.uid: instance for instance in self.world.instances()}

        def operation() -> None:
            changes = set_goals(self.world.client, references, goal)
            for change in changes:
                old, new = before[change.uid], self.world.get(change.node, change.id)
                assert new.goal == goal
                assert new.generation == old.generation + change.written
                assert new.lineage[change.written :] == old.lineage[: 20 - change.written]

        self.attempt(operation)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """An agent undeploys one that is to be."""
        doomed = [instance for instance in self.world.instances() if instance.goal == "undeploy"]
        assume(doomed)
        chosen = data.draw(st.sampled_from(doomed))
        self.world.finish(chosen.node, chosen.id)

    @invariant()
    def what_must_hold(self) -> None:
        assert not list(violations(self.world))


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


# --- two at once ---


class Turns:
    """Lets threads go on one at a time, in a given order, from call to call of their stores."""

    def __init__(self, order: Sequence[int], workers: int) -> None:
        self._order = list(order)
        self._running = list(range(workers))
        self._turn = self._next()
        self._changed = threading.Condition()

    def _next(self) -> int | None:
        if not self._running:
            return None
        choice = self._order.pop(0) if self._order else 0
        return self._running[choice % len(self._running)]

    def wait(self, worker: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._turn == worker, timeout=60)

    def done(self, worker: int, *, ended: bool = False) -> None:
        with self._changed:
            if ended:
                self._running.remove(worker)
            if self._turn == worker:
                self._turn = self._next()
            self._changed.notify_all()


class InTurns(Wrapper):
    """A store whose every call waits for its turn."""

    def __init__(self, inner: Store, turns: Turns, worker: int) -> None:
        super().__init__(inner)
        self._turns = turns
        self._worker = worker

    def _in_turn(self, call: Callable[[], Any]) -> Any:
        self._turns.wait(self._worker)
        try:
            return call()
        finally:
            self._turns.done(self._worker)

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        found: Entry | None = self._in_turn(partial(super().get, key, consistent=consistent))
        return found

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        found: Listing = self._in_turn(partial(super().list, prefix, consistent=consistent))
        return found

    def transact(self, operations: Sequence[Operation]) -> None:
        self._in_turn(partial(super().transact, operations))


def together(world: World, order: Sequence[int], *operations: Callable[[Client], object]) -> list[object]:
    """Results or errors of operations that run at once, each call of the store in its turn."""
    turns = Turns(order, len(operations))
    results: list[object] = [None] * len(operations)

    def run(worker: int) -> None:
        client = world.person(f"person-{worker}", InTurns(world.store, turns, worker))
        try:
            results[worker] = operations[worker](client)
        except Exception as error:  # noqa: BLE001  (it is a result)
            results[worker] = error
        finally:
            turns.wait(worker)
            turns.done(worker, ended=True)

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in range(len(operations))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def inside(world: World, call: int, outer: Callable[[Client], object], inner: Callable[[], object]) -> object:
    """Result or error of an operation within which, before the given call of the store, another happens as a whole."""
    store = Meddled(world.store, inner, {call})
    try:
        return outer(world.person("otto@desk", store))
    except ClientError as error:
        return error


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("call", range(9))
def test_a_deploy_at_any_moment_of_a_removal(call: int, used_before: bool) -> None:
    with closing(World(*NODES)) as world:
        create_app(world.client, "web", "v1", APPS["web"])
        if used_before:
            deploy(world.client, "web", "v1", ["n2"], id="before")
            world.finish("n2", "before")
        result = inside(
            world,
            call,
            lambda client: remove_apps(client, [("web", "v1")]),
            lambda: deploy(world.client, "web", "v1", ["n1"]),
        )
        assert not list(violations(world))
        if call < 4:
            assert isinstance(result, Conflict)
            assert len(world.instances()) == 1


@pytest.mark.parametrize("recreated", [None, "web", "pair"])
@pytest.mark.parametrize("call", range(9))
def test_a_removal_at_any_moment_of_a_deploy(call: int, recreated: str | None) -> None:
    with closing(World(*NODES)) as world:
        create_app(world.client, "web", "v1", APPS["web"])

        def replace() -> None:
            with suppress(Conflict):
                remove_apps(world.client, [("web", "v1")])
                if recreated:
                    create_app(world.client, "web", "v1", APPS[recreated])

        result = inside(world, call, lambda client: deploy(client, "web", "v1", ["n1"]), replace)
        assert not list(violations(world))
        assert isinstance(result, list | NotFound | Conflict)


@pytest.mark.parametrize("call", range(12))
def test_a_rollout_that_starts_at_any_moment_of_a_removal(call: int) -> None:
    with closing(rollable()) as world:
        result = inside(
            world, call, lambda client: remove_apps(client, [("web", "v2")]), lambda: roll(world.client)
        )
        kept = any(app.version == "v2" for app in world.apps())
        assert isinstance(result, Conflict) == kept
        assert kept == any(row.name == "r" for row in list_rollouts(world.client)), (
            "its app is there, or no rollout"
        )
        if call < 2:
            assert kept


@pytest.mark.parametrize("call", range(12))
def test_a_removal_at_any_moment_of_a_rollout_s_start(call: int) -> None:
    with closing(rollable()) as world:

        def remove() -> None:
            with suppress(Conflict):
                remove_apps(world.client, [("web", "v2")])

        result = inside(world, call, roll, remove)
        kept = any(app.version == "v2" for app in world.apps())
        assert isinstance(result, NotFound | Conflict) != kept
        assert kept == any(row.name == "r" for row in list_rollouts(world.client))


def rollable() -> World:
    """An instance of web:v1, and web:v2 that it may get."""
    world = World(*NODES)
    for version in ("v1", "v2"):
        create_app(world.client, "web", version, APPS["web"])
    deploy(world.client, "web", "v1", ["n1"], id="a")
    return world


def roll(client: Client) -> object:
    return start_rollout(client, "r", ("web", "v2"), "web", Terms())


ORDERS = st.lists(st.integers(0, 2), max_size=60)


@given(ORDERS, st.sampled_from(["web", "job"]))
def test_a_removal_and_a_deploy_at_once_leave_no_instance_without_its_app(
    order: list[int], name: str
) -> None:
    world = World(*NODES)
    create_app(world.client, name, "v1", APPS[name])
    removed, launched = together(
        world,
        order,
        lambda client: remove_apps(client, [(name, "v1")]),
        lambda client: deploy(client, name, "v1", ["n1", "n2"]),
    )
    assert not list(violations(world))
    if removed is None:
        assert isinstance(launched, NotFound | Conflict)
        assert not world.instances()
    else:
        assert isinstance(removed, Conflict), removed
        assert world.apps()
    world.close()


@given(ORDERS)
def test_of_two_that_want_one_port_one_gets_it(order: list[int]) -> None:
    world = World(*NODES)
    for name in ("web", "pair"):
        create_app(world.client, name, "v1", APPS[name])
    results = together(
        world,
        order,
        lambda client: deploy(client, "web", "v1", ["n1"]),
        lambda client: deploy(client, "pair", "v1", ["n1"]),
    )
    assert not list(violations(world))
    assert len(world.instances()) == 1
    (refused,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(refused, Conflict)
    assert world.instances()[0].id in str(refused), "the holder is named"
    world.close()


@given(ORDERS, st.booleans(), st.sampled_from(["n1", "n2"]))
def test_an_id_is_given_once(order: list[int], same: bool, node: str) -> None:
    world = World(*NODES)
    for name in ("web", "job"):
        create_app(world.client, name, "v1", APPS[name])
    results = together(
        world,
        order,
        lambda client: deploy(client, "web", "v1", ["n1"], id="mine"),
        lambda client: deploy(client, "web" if same else "job", "v1", [node], id="mine"),
    )
    assert not list(violations(world))
    assert len(world.instances()) == 1
    failed = [result for result in results if isinstance(result, Exception)]
    if same and node == "n1":
        assert not failed
    else:
        assert [type(error) for error in failed] == [Conflict]
    world.close()


@given(ORDERS)
def test_many_may_deploy_one_app_at_once(order: list[int]) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    results = together(
        world, order, *[lambda client: deploy(client, "job", "v1", ["n1"], count=2) for _ in range(3)]
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert len(world.instances()) == 6
    assert not list(violations(world))
    world.close()


@given(ORDERS)
def test_goals_written_at_once_are_all_in_the_lineage(order: list[int]) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    deploy(world.client, "job", "v1", ["n1"], id="a")
    deploy(world.client, "job", "v1", ["n1"], id="b")
    results = together(
        world,
        order,
        lambda client: set_goals(client, ["a", "b"], "stop"),
        lambda client: set_goals(client, ["b"], "undeploy"),
        lambda client: set_goals(client, ["b", "a"], "stop"),
    )
    assert world.get("n1", "b").goal == "undeploy", "nobody takes that back"
    for id in ("a", "b"):
        instance = world.get("n1", id)
        assert instance.generation == len(instance.lineage)
    assert all(isinstance(result, list | Conflict) for result in results), results
    if not isinstance(results[0], Exception) or not isinstance(results[2], Exception):
        assert world.get("n1", "a").goal == "stop"
    world.close()


# --- answers that are lost ---

FATES = st.lists(st.sampled_from(["refused", "lost", "late"]), max_size=3)
READS = st.lists(st.booleans(), max_size=4)
"""No more than a writer has patience for."""


def unreliable(world: World, fates: list[Fate], reads: list[bool]) -> Client:
    return world.person("anna@desk", Unreliable(world.store, fates, reads))


@given(FATES, READS, st.integers(1, 3), st.integers(1, 3))
def test_a_deploy_whose_answers_are_lost_is_never_done_twice(
    fates: list[Fate], reads: list[bool], nodes: int, count: int
) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    launches = deploy(unreliable(world, fates, reads), "job", "v1", NODES[:nodes], count=count)
    assert [instance.uid for instance in world.instances()] == [
        launch.uid for launch in sorted(launches, key=lambda launch: (launch.node, launch.id))
    ]
    assert len(launches) == nodes * count
    assert not list(violations(world))
    world.close()


@given(FATES, READS)
def test_a_goal_whose_answers_are_lost_is_written_once(fates: list[Fate], reads: list[bool]) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    deploy(world.client, "job", "v1", ["n1", "n2"])
    ids = [instance.id for instance in world.instances()]
    changes = set_goals(unreliable(world, fates, reads), ids, "stop")
    assert [change.written for change in changes] == [True, True]
    assert [(i.goal, i.generation, len(i.lineage)) for i in world.instances()] == [("stop", 2, 2)] * 2
    world.close()


@given(FATES, READS)
def test_an_app_whose_answers_are_lost_is_written_and_removed(fates: list[Fate], reads: list[bool]) -> None:
    world = World(*NODES)
    create_app(unreliable(world, fates, reads), "job", "v1", APPS["job"])
    assert len(world.apps()) == 1
    remove_apps(unreliable(world, fates, reads), [("job", "v1")])
    found = world.keys()
    (event,) = [key for key in found if key.startswith(keys.OPERATORS)]
    assert [key for key in found if key != event] == [
        keys.CLUSTER,
        *[keys.node(node) for node in sorted(NODES)],
        *[keys.lease(node) for node in sorted(NODES)],
    ]
    world.close()


@pytest.mark.parametrize("fate", ["refused", "lost"])
def test_a_store_that_stays_away_is_given_up_on_in_time(fate: Fate) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    client = unreliable(world, [fate] * 1000, [False] * 1000)
    with pytest.raises(Unreachable, match="not known") as refused:
        deploy(client, "job", "v1", ["n1"])
    assert world.clock.passed <= PATIENCE
    assert "roj instances n1" in refused.value.hint
    assert "--id job-" in refused.value.hint
    if fate == "lost":
        (instance,) = world.instances()
        assert f"--id {instance.id}" in refused.value.hint
        again = deploy(world.client, "job", "v1", ["n1"], id=instance.id)
        assert again[0].existed
    world.close()


@given(st.lists(st.sampled_from(["well", "refused", "lost"]), max_size=6))
def test_what_was_told_as_created_stands_when_the_store_goes_away_in_between(fates: list[Fate]) -> None:
    world = World(*NODES)
    create_app(world.client, "job", "v1", APPS["job"])
    told: list[str] = []
    client = unreliable(world, [*fates, *["refused"] * 1000], [True] * len(fates) + [False] * 1000)  # type: ignore[list-item]
    with suppress(Unreachable, StoreUnavailable):
        deploy(client, "job", "v1", NODES, created=lambda launch: told.append(launch.id))
    assert set(told) <= {instance.id for instance in world.instances()}
    assert len(world.instances()) <= len(told) + 1
    world.close()
