"""The scheduler: every worker is a real thread, and exactly one of them runs at a time.

The one that runs has the turn. It hands the turn on itself, at a point where the chooser says so or where it waits:
the next one's baton (a lock) is released, and its own is acquired. There is no thread in between, so a hand-over is one
switch of the operating system. Time stands still as long as anybody can go on, and then jumps to the next timer.

A group is what dies together: the threads of one process. A crash is raised in each of them at the point where it is,
before anybody else goes on; what it holds is let go as it unwinds, and it can do nothing more.

What ends a run as a failure: a thread that died of an exception, threads that wait for each other, more steps at one
moment than any honest work takes (`PATIENCE`).
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from tests.property.simulation.schedule import Chooser, Departure, Schedule
from tests.property.simulation.story import Story
from tests.property.simulation.workers import Crash, Group, Livelock, Owned, SimulationFailure, Worker, stack

PATIENCE = 50_000
"""Points at one virtual moment; more are a loop that waits for nothing."""
_REAL_PATIENCE = 60.0  # seconds of the real clock that the end of a thread may take


class Scheduler:
    """Runs the workers of one run. The thread that made it is the driver: it has the turn between calls of `run`."""

    def __init__(self, schedule: Schedule | None = None, *, patience: int = PATIENCE) -> None:
        self.schedule = schedule or Schedule()
        self.chooser = Chooser(self.schedule)
        self.story = Story()
        self.now = 0.0
        """Seconds (virtual) since the beginning."""
        self.steps = 0
        """Points passed by all."""
        self.workers: list[Worker] = []
        self.failure: BaseException | None = None
        self.current: Worker | None = None
        """Who has the turn; None: the driver."""
        self._patience = patience
        self._moment_steps = 0
        self._driver = threading.Lock()
        self._driver.acquire()
        self._ready: list[Worker] = []
        self._dying: list[Worker] = []
        self._timers: list[tuple[float, int, Worker | None, int, Callable[[], None] | None]] = []
        self._order = 0
        self._until = 0.0
        self._enough: Callable[[], bool] | None = None
        self._groups: list[Group] = []
        self._any_paused = False

    # --- for the driver ---

    def group(self, name: str) -> Group:
        """A new process without threads."""
        group = Group(name)
        self._groups.append(group)
        return group

    def run(self, seconds: float, *, enough: Callable[[], bool] | None = None) -> bool:
        """Let the workers go on for so much virtual time.

        Args:
            seconds: of virtual time.
            enough: asked between the steps; True ends the run early. It must not touch locks.

        Returns: whether `enough` was reached.

        Raises:
            SimulationFailure: a deadlock, a livelock, a thread that died of an exception.
        """
        assert self.current is None, "only the driver runs the run"
        self._until = self.now + seconds
        self._enough = enough
        self._hand_over(None)
        self._raise()
        return enough is not None and enough()

    def close(self) -> None:
        """End all threads. Raises SimulationFailure if one cannot be ended."""
        for group in self._groups:
            self.crash(group)
        self._until, self._enough = self.now, None
        failure, self.failure = self.failure, None
        for _ in range(100):
            if not self._dying:
                break
            self._hand_over(None)
            failure = failure or self.failure
            self.failure = None
        self.failure = failure
        for worker in self.workers:
            if worker.thread is not None:
                worker.thread.join(_REAL_PATIENCE)
                if worker.thread.is_alive():
                    raise SimulationFailure(f"{worker} cannot be ended:\n{stack(worker)}")

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something at a moment of virtual time, between the steps of the workers. It must not wait."""
        self._timer(moment, None, 0, action)

    def crash(self, group: Group) -> None:
        """The process dies: each of its threads where it is. If the caller is one of them it dies on return."""
        group.crashed = True
        for worker in group.workers:
            if not worker.done and worker not in self._dying:
                if worker.blocked:
                    worker.blocked = False
                elif worker in self._ready:
                    self._ready.remove(worker)
                self._dying.append(worker)

    def pause(self, group: Group, seconds: float) -> None:
        """The process gets no time for a while, as by SIGSTOP or a suspended machine."""
        group.paused = self._any_paused = True

        def resume() -> None:
            group.paused = False
            self._any_paused = any(other.paused for other in self._groups)

        self.at(self.now + seconds, resume)

    def resume(self) -> None:
        """All pauses end."""
        for group in self._groups:
            group.paused = False
        self._any_paused = False

    # --- for what runs in a worker ---

    def spawn(self, group: Group, name: str, target: Callable[[], None]) -> Worker:
        """A new thread of a process; it is ready, and runs when it gets its turn."""
        if self.current is not None:
            self._check(self.current)
        baton = threading.Lock()
        baton.acquire()
        worker = Worker(len(self.workers), f"{group.name}/{name}", group, baton)
        worker.thread = threading.Thread(
            target=self._main, args=(worker, target), name=f"sim-{worker.number}", daemon=True
        )
        self.workers.append(worker)
        group.workers.append(worker)
        self._ready.append(worker)
        worker.thread.start()
        return worker

    def point(self) -> None:
        """A moment at which another worker may go on, or the process may die.

        Raises:
            Crash: it did.
        """
        me = self.current
        if me is None:
            return
        group = me.group
        if group.crashed:
            raise Crash(group.name)
        self.steps += 1
        group.points += 1
        if group.points == group.crash_at:
            self.tell("dies")
            self.crash(group)
            if group.after_crash is not None:
                group.after_crash()
            raise Crash(group.name)
        self._moment_steps += 1
        if self._moment_steps > self._patience:
            self.fail(Livelock(f"{self._patience} steps at {self.now:.3f} s without an end:\n{self.where()}"))
            self._wait_turn(me)
        if group.paused:
            self._ready.append(me)
            self._wait_turn(me)
            return
        departure = self.chooser.at_point(self._ready)
        if departure is None:
            return
        if departure.stall:
            self.wait(f"stalled for {departure.stall} s", departure.stall)
        else:
            self._ready.append(me)
            self._hand_over(me, departure)
            self._check(me)

    def wait(self, why: str, timeout: float | None, wants: Owned | None = None) -> bool:
        """Not go on before `wake`, or before `timeout` seconds are over.

        Returns: whether it was woken.

        Raises:
            Crash: its process died meanwhile.
        """
        me = self.current
        assert me is not None, f"the driver cannot wait ({why})"
        self._check(me)
        me.ticket += 1
        me.blocked, me.woken, me.waits_for, me.wants = True, False, why, wants
        if timeout is not None:
            self._timer(self.now + max(0.0, timeout), me, me.ticket, None)
        if wants is not None:
            self._look_for_circle(me)
        self._wait_turn(me)
        return me.woken

    def wake(self, worker: Worker) -> None:
        """Let a worker that waits go on."""
        if worker.blocked:
            worker.blocked, worker.woken = False, True
            self._ready.append(worker)

    def tell(self, action: str, result: str = "") -> None:
        """Add a step to the story, of whoever has the turn."""
        self.story.tell(self.now, self.current.name if self.current else "world", action, result)

    def fail(self, error: BaseException) -> None:
        """End the run with this; `run` raises it. Only the first counts."""
        self.failure = self.failure or error

    def where(self) -> str:
        """Where each thread is."""
        lines = []
        for worker in self.workers:
            if not worker.done:
                state = (
                    worker.waits_for if worker.blocked else "runs" if worker is self.current else "is ready"
                )
                lines.append(f"  {worker}: {state}\n{stack(worker)}")
        return "\n".join(lines)

    # --- inside ---

    def _check(self, me: Worker) -> None:
        if me.group.crashed:
            raise Crash(me.group.name)

    def _wait_turn(self, me: Worker) -> None:
        self._hand_over(me)
        me.wants = None
        self._check(me)

    def _hand_over(self, me: Worker | None, departure: Departure | None = None) -> None:
        """Give the turn to the next; return when it is `me`'s again. `None`: the driver's."""
        following = self._next(departure)
        if following is me and following is not None:
            self.current = me
            return
        self.current = following
        if following is not None:
            following.baton.release()
        elif me is not None:
            self._driver.release()
        else:
            return
        if me is None:
            self._driver.acquire()
        elif not me.done:
            me.baton.acquire()

    def _next(self, departure: Departure | None) -> Worker | None:
        """Who goes on; None: the driver."""
        while True:
            if self._dying:
                return self._dying[0]
            if self.failure is not None or (self._enough is not None and self._enough()):
                return None
            ready = self._ready
            if self._any_paused:
                ready = [worker for worker in ready if not worker.group.paused]
            if ready:
                return self._pick(ready, departure)
            if not self._advance():
                return None

    def _pick(self, ready: list[Worker], departure: Departure | None) -> Worker:
        if departure is None:
            departure = self.chooser.at_wait(ready)
        chosen = ready[0]
        if departure is not None:
            for worker in ready:
                if worker.number == departure.worker:
                    chosen = worker
        self._ready.remove(chosen)
        return chosen

    def _advance(self) -> bool:
        """Go to the next timer; whether there was one in time."""
        while self._timers and self._stale(self._timers[0]):
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0][0] > self._until:
            self._look_for_deadlock()
            self.now = max(self.now, self._until)
            return False
        if self._timers[0][0] > self.now:
            self.now = self._timers[0][0]
            self._moment_steps = 0
        while self._timers and self._timers[0][0] <= self.now:
            _, _, worker, ticket, action = heapq.heappop(self._timers)
            if worker is not None:
                if worker.blocked and worker.ticket == ticket:
                    worker.blocked = False
                    self._ready.append(worker)
            elif action is not None:
                self._act(action)
        return self.failure is None

    def _act(self, action: Callable[[], None]) -> None:
        before, self.current = self.current, None
        try:
            action()
        except Exception as error:  # noqa: BLE001  (it ends the run, in the driver)
            self.fail(error)
        finally:
            self.current = before

    @staticmethod
    def _stale(timer: tuple[float, int, Worker | None, int, Callable[[], None] | None]) -> bool:
        worker = timer[2]
        return worker is not None and not (worker.blocked and worker.ticket == timer[3])

    def _timer(
        self, moment: float, worker: Worker | None, ticket: int, action: Callable[[], None] | None
    ) -> None:
        self._order += 1
        heapq.heappush(self._timers, (moment, self._order, worker, ticket, action))

    def _look_for_circle(self, me: Worker) -> None:
        seen = [me]
        owner = me.wants.owner if me.wants is not None else None
        while owner is not None and owner.blocked and owner.wants is not None:
            if owner in seen:
                names = " waits for ".join(str(worker) for worker in [*seen, owner])
                self.fail(SimulationFailure(f"deadlock: {names}\n{self.where()}"))
                return
            seen.append(owner)
            owner = owner.wants.owner
        if owner is me:
            self.fail(SimulationFailure(f"deadlock: {me} waits for a lock that it holds\n{self.where()}"))

    def _look_for_deadlock(self) -> None:
        stuck = [worker for worker in self.workers if worker.blocked and worker.wants is not None]
        if stuck and not self._timers:
            self.fail(SimulationFailure(f"deadlock: nobody can go on, and no timer is set\n{self.where()}"))

    def _raise(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _main(self, worker: Worker, target: Callable[[], None]) -> None:
        worker.baton.acquire()
        try:
            self._check(worker)
            target()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001  (in production its thread would be gone)
            told = SimulationFailure(f"{worker} died of {type(error).__name__}: {error}")
            told.__cause__ = error
            self.fail(told)
        worker.done = True
        if worker in self._dying:
            self._dying.remove(worker)
        for other in worker.ended:
            self.wake(other)
        self._hand_over(worker)
