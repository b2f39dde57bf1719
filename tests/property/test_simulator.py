"""The simulator itself: the same run from the same schedule, time, crashes, deadlocks, and a store and disk that lie.

What it says of roj is worth as much as this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roj.framework.queue import WorkQueue
from roj.store.interface import Conflict, Create, Delete, Listing, StoreUnavailable, Swap
from tests.property.simulation.consul import Consul
from tests.property.simulation.disk import Disk
from tests.property.simulation.environment import SimulatedEnvironment
from tests.property.simulation.operators import CATALOGUE
from tests.property.simulation.play import prepared
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS
from tests.property.simulation.scenario import (
    EVERYTHING,
    TROUBLE,
    VERBS,
    Command,
    Happening,
    Scenario,
    Window,
)
from tests.property.simulation.schedule import Departure, Schedule
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import STORE_FAULTS, Link, StoreFault
from tests.property.simulation.workers import Crash, Group, SimulationFailure
from tests.property.simulation.world import World, running

SCHEDULES = st.builds(
    Schedule,
    seed=st.integers(0, 2**32),
    density=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]),
    stalls=st.sampled_from([0.0, 0.01]),
)


def busy(schedule: Schedule) -> Scheduler:
    """Four workers of a queue and one that fills it; returns when all is done."""
    scheduler = Scheduler(schedule)
    group = scheduler.group("process")
    environment = SimulatedEnvironment(scheduler, group)
    queue = WorkQueue(environment)

    def work() -> None:
        while (key := queue.get()) is not None:
            scheduler.tell("works on", key)
            environment.sleep(environment.random.random())
            queue.done(key)

    def fill() -> None:
        for _ in range(30):
            queue.add(f"key-{environment.random.randrange(8)}", after=environment.random.random())
            environment.sleep(0.1)
        environment.sleep(20.0)
        queue.shut_down()

    for number in range(4):
        scheduler.spawn(group, f"worker-{number}", work)
    scheduler.spawn(group, "filler", fill)
    scheduler.run(5000.0)
    scheduler.close()
    return scheduler


class Two:
    """Two processes for a test."""

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.scheduler = Scheduler(schedule)
        self.one, self.other = self.scheduler.group("one"), self.scheduler.group("other")
        self.of_one = SimulatedEnvironment(self.scheduler, self.one)
        self.of_other = SimulatedEnvironment(self.scheduler, self.other)

    def spawn(self, group: Group, name: str, target: Callable[[], None]) -> None:
        self.scheduler.spawn(group, name, target)


# --- the same run ---


@given(schedule=SCHEDULES)
@settings(max_examples=25)
def test_a_run_is_a_function_of_its_schedule(schedule: Schedule) -> None:
    one, other = busy(schedule), busy(schedule)
    assert one.story.text() == other.story.text()
    assert (one.steps, one.chooser.made) == (other.steps, other.chooser.made)


@given(schedule=SCHEDULES)
@settings(max_examples=25)
def test_a_recorded_run_is_replayed(schedule: Schedule) -> None:
    recorded = busy(schedule)
    replayed = busy(Schedule(schedule.seed, departures=recorded.chooser.made))
    assert recorded.story.text() == replayed.story.text()


def test_other_schedules_are_other_runs() -> None:
    digests = {busy(Schedule(7, 0.3)).story.digest(), busy(Schedule(7)).story.digest()}
    digests |= {
        busy(Schedule(7, departures={number: Departure(2) for number in range(20, 200)})).story.digest()
    }
    assert len(digests) == 3


WHOLE_RUN = """
from tests.property.test_simulator import whole_run
print(whole_run())
"""


def cluster_run() -> str:
    """Two agents under faults, told by a digest."""
    world = World(Schedule(11, 0.2, 0.0005), nodes=2)
    with running(world):
        for node in world.nodes:
            node.start()
        world.run(20.0)
        for fault in STORE_FAULTS:
            world.nodes[0].link.set(fault, 0.1)
        world.nodes[1].crash_at(50)
        world.run(60.0)
        world.heal()
        world.run(60.0)
    return f"{world.scheduler.steps} {world.scheduler.story.digest()}"


def whole_run() -> str:
    """Everything that can happen, each once, under every fault and with operators at work, told by a digest."""
    places = cycle(range(4))
    scenario = Scenario(
        nodes=2,
        schedule=Schedule(23, 0.2, 0.0005),
        commands=tuple(
            Command(5.0 + 4 * number, number % 2, verb, number % 2, "ab"[number // 2 % 2], app)
            for number, (verb, app) in enumerate(zip(VERBS * 4, cycle(CATALOGUE)))
        ),
        windows=tuple(
            Window(8.0 + 5 * number, 30.0, next(places), fault, 0.5)
            for number, fault in enumerate((*STORE_FAULTS, *RUNTIME_FAULTS))
        ),
        happenings=tuple(
            Happening(20.0 + 3 * number, what, number % 2, number) for number, what in enumerate(EVERYTHING)
        ),
        reap=30.0,
    )
    with prepared(scenario) as run:
        run.world.run(TROUBLE + 20.0)
        run.world.heal()
        run.world.run(60.0)
    whats = {fault for _, fault in run.world.covered().pairs}
    return f"{run.world.scheduler.steps} {run.world.scheduler.story.digest()} {len(whats)}"


def test_a_run_depends_neither_on_the_process_nor_on_the_order_of_hashes() -> None:
    def run(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", WHOLE_RUN],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    one = run("1")
    assert one == run("2") == whole_run() + "\n"
    # Everything that happens is counted; of the faults of calls, those that no call met in their window are not.
    assert int(one.split()[2]) >= len(EVERYTHING) + 10


# --- time ---


def test_time_stands_still_while_anybody_can_go_on() -> None:
    two = Two()
    seen: list[float] = []

    def sleeper() -> None:
        two.of_one.sleep(3600.0)
        seen.append(two.of_one.monotonic())

    def worker() -> None:
        for _ in range(1000):
            two.of_other.monotonic()
        seen.append(two.of_other.monotonic())

    two.spawn(two.one, "sleeper", sleeper)
    two.spawn(two.other, "worker", worker)
    two.scheduler.run(7200.0)
    two.scheduler.close()
    assert seen == [0.0, 3600.0]
    assert two.scheduler.now == 7200.0


def test_a_condition_wakes_those_who_wait_and_gives_up_in_time() -> None:
    two = Two(Schedule(3, 0.5))
    condition = two.of_one.condition()
    outcomes: list[tuple[float, bool]] = []

    def wait(timeout: float) -> None:
        with condition:
            outcomes.append((timeout, condition.wait(timeout)))

    def notify() -> None:
        two.of_one.sleep(5.0)
        with condition:
            condition.notify_all()

    for timeout in (1.0, 10.0, 20.0):
        two.spawn(two.one, f"waiter-{timeout}", lambda timeout=timeout: wait(timeout))  # type: ignore[misc]  # a default binds it
    two.spawn(two.one, "notifier", notify)
    two.scheduler.run(60.0)
    two.scheduler.close()
    assert sorted(outcomes) == [(1.0, False), (10.0, True), (20.0, True)]


def test_a_paused_process_does_nothing_meanwhile() -> None:
    two = Two()
    times: list[float] = []

    def tick() -> None:
        while True:
            two.of_one.sleep(1.0)
            times.append(two.of_one.monotonic())

    two.spawn(two.one, "ticker", tick)
    two.scheduler.run(2.5)
    two.scheduler.pause(two.one, 10.0)
    two.scheduler.run(12.0)
    two.scheduler.close()
    assert times == [1.0, 2.0, 12.5, 13.5, 14.5]


# --- the end of processes ---


@given(schedule=SCHEDULES, points=st.integers(1, 60))
@settings(max_examples=40)
def test_a_crash_ends_every_thread_of_a_process_and_no_other(schedule: Schedule, points: int) -> None:
    two = Two(schedule)
    shared = two.of_other.lock()
    done: list[str] = []

    def careless() -> None:
        while True:
            try:
                with shared:
                    two.of_one.sleep(0.01)
            except Exception:  # noqa: BLE001  (this is the point: it does not see a crash)
                done.append("a crash was caught")

    def survivor() -> None:
        for _ in range(20):
            with shared:
                two.of_other.sleep(0.5)
        done.append("survived")

    for number in range(3):
        two.spawn(two.one, f"careless-{number}", careless)
    two.spawn(two.other, "survivor", survivor)
    two.one.crash_at = points
    two.scheduler.run(2000.0)
    assert [worker.done for worker in two.one.workers] == [True, True, True]
    assert done == ["survived"]
    two.scheduler.close()


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    cluster_run()
    assert threading.active_count() == before


def test_a_thread_that_dies_is_a_failure() -> None:
    two = Two()

    def dies() -> None:
        raise ValueError("nobody caught this")

    two.spawn(two.one, "worker", dies)
    with pytest.raises(SimulationFailure, match="one/worker died of ValueError: nobody caught this"):
        two.scheduler.run(1.0)
    two.scheduler.close()


def test_threads_that_wait_for_each_other_are_a_failure() -> None:
    two = Two()
    left, right = two.of_one.lock(), two.of_one.lock()

    def take(first: object, second: object) -> None:
        with first:  # type: ignore[attr-defined]  # locks
            two.of_one.sleep(1.0)
            with second:  # type: ignore[attr-defined]  # locks
                pass

    two.spawn(two.one, "left", lambda: take(left, right))
    two.spawn(two.one, "right", lambda: take(right, left))
    with pytest.raises(
        SimulationFailure, match=r"deadlock: one/\w+ waits for one/\w+ waits for one/\w+"
    ) as failure:
        two.scheduler.run(60.0)
    assert "test_simulator.py" in str(failure.value)
    two.scheduler.close()


def test_a_loop_that_waits_for_nothing_is_a_failure() -> None:
    two = Two()

    def loop() -> None:
        while True:
            two.of_one.monotonic()

    two.spawn(two.one, "looper", loop)
    with pytest.raises(SimulationFailure, match="without an end"):
        two.scheduler.run(60.0)
    two.scheduler.close()


# --- the disk ---


def test_a_damaged_file_is_read_as_its_previous_copy() -> None:
    disk = Disk(Scheduler(), "n1")
    disk.write("orders/a", b"old")
    disk.write("orders/a", b"new")
    disk.damage("orders/a")
    file = disk.read("orders/a")
    assert file is not None
    assert (file.value, file.previous) == (b"old", True)
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        disk.write("orders/a", b"newer")
    assert disk.names("orders/") == ("orders/a",)
    disk.lose()
    assert disk.read("orders/a") is None


# --- the store ---


def client_of(consul: Consul, *faults: StoreFault) -> tuple[Scheduler, Link]:
    link = Link(consul.scheduler, consul, "n1")
    for fault in faults:
        link.set(fault, 1.0)
    return consul.scheduler, link


def in_worker(scheduler: Scheduler, work: Callable[[], object], seconds: float = 200.0) -> list[object]:
    """What `work` returned or raised."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001  (returned)
            outcome.append(error)

    scheduler.spawn(scheduler.group("client"), "main", run)
    scheduler.run(seconds)
    scheduler.close()
    return outcome


def test_a_write_whose_answer_is_lost_was_made_and_one_that_is_refused_was_not() -> None:
    for fault, made in (
        ("answer-lost", True),
        ("deaf", True),
        ("refused", False),
        ("reset", False),
        ("cut", False),
    ):
        scheduler, link = client_of(Consul(Scheduler()), fault)  # type: ignore[arg-type]  # literals
        store = link.client()
        outcome = in_worker(scheduler, lambda store=store: store.create("a/b", b"1"))  # type: ignore[misc]  # a default binds it
        assert isinstance(outcome[0], StoreUnavailable), fault
        assert ("a/b" in link.consul.state.entries) == made, fault


def test_compare_and_swap_and_transactions_are_all_or_nothing() -> None:
    consul = Consul(Scheduler())
    consul.transact([Create("a/1", b"x")], "test")
    version = consul.state.entries["a/1"].version
    with pytest.raises(Conflict) as conflict:
        consul.transact([Create("a/2", b"y"), Swap("a/1", b"z", version + 1), Delete("a/3", 1)], "test")
    assert conflict.value.failed == (1, 2)
    assert set(consul.state.entries) == {"a/1"}


def test_indexes_go_back_as_consuls_do() -> None:
    consul = Consul(Scheduler())
    consul.put("a/1", b"x", "test")
    consul.put("a/2", b"y", "test")
    before = consul.state.listing("a/").index
    consul.transact([Delete("a/2", consul.state.entries["a/2"].version)], "test")
    assert consul.state.listing("a/").index == before + 1
    consul.reap_tombstones()
    assert consul.state.listing("a/").index == before - 1
    consul.put("a/1", b"x", "test")  # equal: moves nothing
    assert consul.state.listing("a/").index == before - 1
    assert consul.state.listing("nothing/").index == consul.state.index


def test_a_restore_answers_a_watch_once_with_the_old_data() -> None:
    consul = Consul(Scheduler())
    scheduler = consul.scheduler
    consul.put("a/1", b"old", "test")
    snapshot = consul.snapshot()
    consul.put("a/1", b"new", "test")
    index = consul.state.listing("a/").index
    scheduler.at(5.0, lambda: consul.restore(snapshot, fresh=True))
    store = Link(scheduler, consul, "n1").client()

    def watch() -> tuple[Listing, Listing, float]:
        first = store.watch("a/", index, 60.0)
        return first, store.watch("a/", index, 60.0), scheduler.now

    [found] = in_worker(scheduler, watch)
    assert isinstance(found, tuple)
    first, second, ended = found
    assert (first.entries[0].value, first.index) == (b"new", index)
    assert second.entries[0].value == b"old"
    assert second.index < index
    assert ended >= 65.0  # nobody woke it
    consul.put("a/1", b"another", "test")
    assert consul.state.entries["a/1"].version == index  # the same ModifyIndex for another value


def test_a_session_that_is_not_renewed_lets_its_keys_go() -> None:
    consul = Consul(Scheduler())
    scheduler = consul.scheduler
    store = Link(scheduler, consul, "n1").client()

    def hold() -> bool:
        session = store.open_session("test", ttl=60.0, checked=True)
        return store.acquire("lease", b"me", session)

    assert in_worker(scheduler, hold, 59.0) == [True]
    assert consul.state.entries["lease"].session
    scheduler.run(62.0)
    assert not consul.state.entries["lease"].session


def test_a_closed_client_stops_waiting() -> None:
    consul = Consul(Scheduler())
    scheduler = consul.scheduler
    store = Link(scheduler, consul, "n1").client()
    index = consul.state.listing("a/").index
    scheduler.at(3.0, store.close)
    assert isinstance(in_worker(scheduler, lambda: store.watch("a/", index, 60.0), 4.0)[0], StoreUnavailable)


def test_a_crash_is_no_exception() -> None:
    assert not issubclass(Crash, Exception)
