"""A controller and its supervisor, with real threads and without."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from roj.environment import RealEnvironment
from roj.framework.backoff import Backoff
from roj.framework.controller import Controller
from roj.framework.errors import PermanentError, TemporaryError
from roj.framework.log import current
from roj.framework.metrics import Metrics
from roj.framework.supervisor import MANY, Supervisor
from roj.store.interface import Conflict, StoreUnavailable
from tests.unit.framework.still import Still

PATIENCE = 30.0


def unexpected(reason: str) -> None:
    raise AssertionError(reason)


def run_still(
    reconcile: Callable[[str], float | None],
    plan: Callable[[Still, Controller], None],
    seconds: float = 1000.0,
) -> Metrics:
    """Run a controller of one worker in this thread for so many seconds of its clock."""
    still, metrics = Still(), Metrics()
    controller = Controller(still, "test", reconcile, metrics=metrics)
    plan(still, controller)
    still.at(seconds, controller.stop)
    controller.start(Supervisor(still, metrics, unexpected))
    still.threads[0]()
    return metrics


@contextmanager
def running(reconcile: Callable[[str], float | None], workers: int) -> Iterator[Controller]:
    environment = RealEnvironment()
    controller = Controller(environment, "test", reconcile, workers=workers)
    controller.start(Supervisor(environment, None, unexpected))
    yield controller
    controller.stop()
    assert controller.join(PATIENCE)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def results(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["result"]: sample.value
        for family in metrics.reconciles.collect()
        for sample in family.samples
        if sample.name == "roj_reconcile_total"
    }


def test_a_key_is_never_worked_on_twice_at_once_and_none_is_lost() -> None:
    at_work: Counter[str] = Counter()
    seen: dict[str, int] = {}
    latest: dict[str, int] = {}
    lock, twice = threading.Lock(), []

    def reconcile(key: str) -> None:
        with lock:
            at_work[key] += 1
            if at_work[key] > 1:
                twice.append(key)
            found = latest[key]
        time.sleep(0)
        with lock:
            seen[key] = found
            at_work[key] -= 1

    with running(reconcile, 4) as controller:

        def produce() -> None:
            for number in range(300):
                key = f"k{number % 7}"
                with lock:
                    latest[key] = latest.get(key, 0) + 1
                controller.enqueue(key)

        producers = [threading.Thread(target=produce) for _ in range(3)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join()
        wait_for(lambda: controller.busy() == 0)
    assert twice == []
    assert seen == latest


def test_delayed_keys_are_taken_by_whoever_is_free() -> None:
    """While one worker, the one that knew of the delay, works for long, another takes the delayed key."""
    release, late = threading.Event(), threading.Event()

    def reconcile(key: str) -> None:
        if key == "late":
            late.set()
        else:
            assert release.wait(PATIENCE)

    with running(reconcile, 2) as controller:
        controller.enqueue("late", after=0.2)
        controller.enqueue("long")
        assert late.wait(PATIENCE)
        release.set()


def test_whatever_a_handler_raises_its_worker_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = [
        ValueError("a bug"),
        StoreUnavailable("away"),
        SystemExit(3),
        KeyError("x"),
    ]
    errors += [Conflict("first"), TemporaryError("soon", 5.0)]
    runs: list[float] = []

    def plan(still: Still, controller: Controller) -> None:
        controller.enqueue("a")
        clock.append(still)

    clock: list[Still] = []

    def reconcile(key: str) -> None:
        runs.append(clock[0].monotonic())
        if errors:
            raise errors.pop(0)

    with caplog.at_level(logging.DEBUG, "roj"):
        metrics = run_still(reconcile, plan)
    assert results(metrics) == {"error": 4.0, "conflict": 1.0, "temporary": 1.0, "success": 1.0}
    assert runs[-1] == runs[-2] + 5.0, "a temporary error says when"
    assert runs[-2] == runs[-3], "a conflict is tried again at once"
    with_traceback = [record for record in caplog.records if record.exc_info]
    assert len(with_traceback) == 3, "a store that is away is no bug: no traceback"


def test_the_same_error_again_is_logged_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def reconcile(key: str) -> None:
        raise ValueError("a bug")

    run_still(reconcile, lambda _, controller: controller.enqueue("a"))
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) > 10
    assert [bool(record.exc_info) for record in errors] == [True] + [False] * (len(errors) - 1)


class Away(Exception):
    """Something that a controller expects."""


def test_what_is_expected_is_logged_without_a_traceback_and_looked_at_once_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    still, runs = Still(), dict[str, list[float]]()
    back = 600.0

    def reconcile(key: str) -> None:
        runs.setdefault(key, []).append(still.monotonic())
        if key == "sick":
            raise ValueError("a bug")
        if still.monotonic() < back:
            raise Away("no answer")

    controller = Controller(still, "test", reconcile, expected=(Away,))
    for key in ("a", "b", "sick"):
        controller.enqueue(key)
    still.at(back, lambda: controller.again("it is back"))
    still.at(back + 200.0, lambda: controller.again("it is back once more"))
    still.at(900.0, controller.stop)
    controller.start(Supervisor(still, None, unexpected))
    still.threads[0]()
    for key in "ab":
        assert runs[key][-1] == back, "it does not wait for its backoff, and then no more"
        assert runs[key].count(back) == 1
    assert back not in runs["sick"], "its failure was another"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        record.getMessage() for record in caplog.records if "a bug" in record.getMessage()
    ][:1]


def test_what_is_back_while_a_handler_fails_by_it_is_not_waited_for() -> None:
    still, runs, controllers = Still(), list[float](), list[Controller]()

    def reconcile(key: str) -> None:
        runs.append(still.monotonic())
        if len(runs) == 1:
            controllers[0].again("it is back")
            raise Away("no answer")

    backoff = Backoff(first=60.0, longest=60.0)
    controllers.append(Controller(still, "test", reconcile, backoff=backoff, expected=(Away,)))
    controllers[0].enqueue("a")
    still.at(100.0, controllers[0].stop)
    controllers[0].start(Supervisor(still, None, unexpected))
    still.threads[0]()
    assert len(runs) == 2 and runs[1] <= 1.0


def test_a_simulated_crash_passes_through() -> None:
    class Crash(BaseException):
        pass

    def reconcile(key: str) -> None:
        raise Crash

    with pytest.raises(Crash):
        run_still(reconcile, lambda _, controller: controller.enqueue("a"))


def test_a_permanent_error_ends_periodic_looks_until_there_is_news() -> None:
    runs: list[str] = []

    def reconcile(key: str) -> None:
        runs.append(key)
        raise PermanentError("no such image")

    def plan(still: Still, controller: Controller) -> None:
        controller.enqueue("a")
        for moment in range(10, 100, 10):
            still.at(moment, lambda: controller.enqueue("a", "periodic", news=False))
        still.at(105, lambda: reasons.append(controller.dropped("a")))
        still.at(110, lambda: controller.enqueue("a", "new order"))

    reasons: list[str | None] = []
    run_still(reconcile, plan)
    assert len(runs) == 2
    assert reasons == ["no such image"]


def test_news_that_come_while_a_key_fails_for_good_are_not_lost() -> None:
    runs: list[str] = []
    controllers: list[Controller] = []

    def reconcile(key: str) -> None:
        runs.append(key)
        if len(runs) == 1:
            controllers[0].enqueue(key, "new order")
            raise PermanentError("no such image")

    def plan(still: Still, controller: Controller) -> None:
        controllers.append(controller)
        controller.enqueue("a")

    run_still(reconcile, plan)
    assert len(runs) == 2


def test_a_periodic_look_does_not_cut_a_backoff_short_and_news_do() -> None:
    runs: list[float] = []
    clock: list[Still] = []

    def reconcile(key: str) -> None:
        runs.append(clock[0].monotonic())
        raise ValueError("a bug")

    def plan(still: Still, controller: Controller) -> None:
        clock.append(still)
        controller.enqueue("a")
        for moment in range(1, 1000):
            still.at(moment, lambda: controller.enqueue("a", "periodic", news=False))
        still.at(500.25, lambda: controller.enqueue("a", "new order"))

    run_still(reconcile, plan)
    assert len(runs) < 70
    assert 500.25 in runs


def test_a_handler_says_when_it_wants_to_look_again_and_an_earlier_look_takes_its_place() -> None:
    runs: list[float] = []
    clock: list[Still] = []

    def reconcile(key: str) -> float:
        runs.append(clock[0].monotonic())
        return 30.0

    def plan(still: Still, controller: Controller) -> None:
        clock.append(still)
        controller.enqueue("a")
        still.at(40.0, lambda: controller.enqueue("a", "news"))

    run_still(reconcile, plan, 110.0)
    assert runs == [0.0, 30.0, 40.0, 70.0, 100.0]


def test_log_lines_carry_a_reconcile_id() -> None:
    seen: list[dict[str, str]] = []

    def reconcile(key: str) -> None:
        seen.append(dict(current()))

    def plan(still: Still, controller: Controller) -> None:
        for key in "ab":
            controller.enqueue(key)

    run_still(reconcile, plan)
    assert [fields["key"] for fields in seen] == ["a", "b"]
    assert seen[0]["reconcile"] != seen[1]["reconcile"]
    assert seen[0]["controller"] == "test"
    assert current() == {}


def test_a_thread_that_ends_is_started_again_and_too_many_ends_are_fatal() -> None:
    still, metrics = Still(), Metrics()
    reasons: list[str] = []
    supervisor = Supervisor(still, metrics, reasons.append)
    ends = 0

    def target() -> None:
        nonlocal ends
        ends += 1
        if ends % 2:
            raise ValueError("a bug")

    supervisor.spawn("sick", target)
    still.threads[0]()
    assert ends == MANY + 1
    assert still.monotonic() <= 60.0
    assert len(reasons) == 1 and "sick" in reasons[0]
    assert 'roj_thread_restarts_total{thread="sick"} 11.0' in metrics.text()


def test_a_thread_that_ends_seldom_is_started_again_for_ever() -> None:
    still = Still()
    supervisor = Supervisor(still, None, unexpected)
    ends = 0

    def target() -> None:
        nonlocal ends
        ends += 1
        still.advance(10.0)
        if ends == 200:
            supervisor.stop()

    supervisor.spawn("weak", target)
    still.threads[0]()
    assert ends == 200


def test_a_thread_that_was_meant_to_end_is_let_go() -> None:
    still = Still()
    ends: list[str] = []
    Supervisor(still, None, unexpected).spawn("done", lambda: ends.append("once"), finished=lambda: True)
    still.threads[0]()
    assert ends == ["once"]
