"""How a rollout goes on: a pure function of what an operator wants, how far it is, and what its instances are.

It is a sliding window: so many instances are under way at once, and the next one is started when one is launched. An
instance whose node is away is neither done nor failed: it takes no place in the window, and is caught up when its node
is back. What somebody else changed meanwhile is left as they want it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from roj.api.instance import Instance, InstanceStatus
from roj.api.rollout import Rollout, RolloutPhase, RolloutStatus, Step, StepState, Target

SETTLED: tuple[StepState, ...] = ("done", "failed", "left", "undone", "stuck")
UNDER_WAY: tuple[StepState, ...] = ("started", "undoing")


@dataclass(frozen=True, slots=True)
class Seen:
    """A target as the store has it."""

    instance: Instance | None
    """None: there is none of that uid."""
    status: InstanceStatus | None
    present: bool
    """Its node's lease is held."""


@dataclass(frozen=True, slots=True)
class Advance:
    """How far the rollout is now, and what to do next."""

    status: RolloutStatus
    upgrade: tuple[int, ...] = ()
    """Numbers of the targets that get the new app now."""
    undo: tuple[int, ...] = ()
    """Numbers of the targets that go back to what they ran before."""
    after: float | None = None
    """Seconds until `wait_between` has passed."""


def begun(rollout: Rollout, now: datetime) -> RolloutStatus:
    """Nothing is done yet."""
    return RolloutStatus(
        name=rollout.name, uid=rollout.uid, phase="running", since=now, steps=tuple(Step() for _ in rollout.targets)
    )  # fmt: skip


def advance(
    rollout: Rollout, status: RolloutStatus | None, look: Callable[[Target], Seen], now: datetime
) -> Advance:
    """The next step of a rollout.

    Args:
        status: as stored; None, or of another uid: none yet.
        look: reads a target; asked only for those that matter now.
    """
    if status is None or status.uid != rollout.uid:
        status = begun(rollout, now)
    if len(status.steps) != len(rollout.targets):
        raise ValueError(
            f"the status of rollout {rollout.name} has another number of steps than it has targets"
        )
    status = _obeying(rollout, status, now)
    if status.phase not in ("running", "paused", "rolling_back", "aborted"):
        return Advance(status)
    seen: dict[int, Seen] = {}

    def at(number: int) -> Seen:
        if number not in seen:
            seen[number] = look(rollout.targets[number])
        return seen[number]

    steps = list(status.steps)
    for number, step in enumerate(steps):
        if step.state in UNDER_WAY:
            steps[number] = judged(rollout, step, at(number), now)
    status = status.model_copy(update={"steps": tuple(steps)})
    if status.phase == "running":
        return _running(rollout, status, at, now)
    if status.phase == "rolling_back":
        return _rolling_back(rollout, status, at, now)
    return Advance(status)


def judged(rollout: Rollout, step: Step, seen: Seen, now: datetime) -> Step:
    """A step that is under way, by what is reported."""
    instance, status = seen.instance, seen.status
    if instance is None:
        return _step(step, "left", now, "it is gone")
    if instance.goal == "undeploy":
        return _step(step, "left", now, "it is being undeployed")
    ours = instance.app == rollout.to if step.state == "started" else instance.revision.id == step.back
    if not ours and step.change not in instance.lineage[:1]:
        by = f" by {instance.who}" if instance.who else ""
        return _step(step, "left", now, f"it was changed to {instance.app}{by}")
    if status is None or status.uid != instance.uid or status.observed_generation < step.generation:
        return step
    if status.phase in ("launched", "stopped", "completed"):
        return _step(step, "done" if step.state == "started" else "undone", now, "")
    if status.phase == "failed":
        return _step(step, "failed" if step.state == "started" else "stuck", now, status.message)
    return step


def served(seen: Seen, instance: Instance) -> str:
    """The revision that an instance goes back to: what its node says that serves, where an upgrade before had failed."""
    status, kept = seen.status, [revision.id for revision in instance.revisions]
    if status is not None and status.uid == instance.uid and status.revision in kept:
        return status.revision
    return instance.revision.id


def started(step: Step, instance: Instance, back: str, now: datetime) -> Step:
    """A waiting step after the write of `instance`, which goes back to revision `back`."""
    return Step(
        state="started", generation=instance.generation, change=instance.change, back=back, when=now
    )  # fmt: skip


def undoing(step: Step, instance: Instance, now: datetime) -> Step:
    """A step after the write that takes it back."""
    return step.model_copy(
        update={
            "state": "undoing", "generation": instance.generation, "change": instance.change, "when": now,
            "message": "",
        }
    )  # fmt: skip


def _obeying(rollout: Rollout, status: RolloutStatus, now: datetime) -> RolloutStatus:
    """After what the operator wants now."""
    if status.observed_generation >= rollout.generation:
        return status
    status = status.model_copy(update={"observed_generation": rollout.generation})
    match rollout.goal:
        case "rollback":
            return _in(status, "rolling_back", now, "")
        case "abort" if status.phase in ("running", "paused", "rolling_back"):
            return _in(status, "aborted", now, "what is under way goes on by itself")
        case "pause" if status.phase == "running":
            return _in(status, "paused", now, "an operator paused it")
        case "run" if status.phase == "paused":
            reached = status.count(*SETTLED, *UNDER_WAY)
            update = {"released": max(status.released, reached), "forgiven": status.count("failed")}
            return _in(status.model_copy(update=update), "running", now, "")
    return status


def _running(rollout: Rollout, status: RolloutStatus, at: Callable[[int], Seen], now: datetime) -> Advance:
    failed = status.count("failed")
    if failed - status.forgiven > rollout.max_failures.of(len(rollout.targets)):
        words = f"{failed} failed: " + "; ".join(_messages(rollout, status, "failed"))
        if rollout.on_failure == "rollback":
            return _rolling_back(rollout, _in(status, "rolling_back", now, words), at, now)
        return Advance(_in(status, "paused", now, words))
    steps = list(status.steps)
    limit, stop = _limit(rollout, steps, at, status.released)
    if stop:
        return Advance(_in(status, "paused", now, stop))
    free = rollout.window() - sum(
        step.state == "started" and at(number).present for number, step in enumerate(steps)
    )
    chosen: list[int] = []
    away = sum(step.state in UNDER_WAY and not at(number).present for number, step in enumerate(steps))
    pause = _pause(rollout, steps, now)
    for number in range(limit):
        if steps[number].state != "waiting" or (len(chosen) >= free > 0):
            continue
        seen = at(number)
        already = _already(rollout, number, steps[number], seen, now)
        if already is not None:
            steps[number] = already
        elif not seen.present:
            away += 1
        elif len(chosen) < free and pause is None:
            chosen.append(number)
        if free <= 0 or pause is not None:
            break
    status = status.model_copy(update={"steps": tuple(steps), "away": away})
    if all(step.state in SETTLED for step in steps):
        return Advance(_in(status, "done", now, "; ".join(_messages(rollout, status, "failed"))))
    words = f"{away} away: caught up when their nodes are back" if away else ""
    status = status.model_copy(update={"message": words})
    return Advance(status, upgrade=tuple(chosen), after=pause)


def _already(rollout: Rollout, number: int, step: Step, seen: Seen, now: datetime) -> Step | None:
    """A waiting step for which nothing is to be written."""
    if seen.instance is None:
        return _step(step, "left", now, "it is gone")
    if seen.instance.goal == "undeploy":
        return _step(step, "left", now, "it is being undeployed")
    if seen.instance.app == rollout.to:
        back = seen.instance.revisions[1].id if len(seen.instance.revisions) > 1 else ""
        there = Step(
            state="started", generation=seen.instance.revision.generation, change=seen.instance.change, back=back,
            when=now, message="it was changed by somebody else",
        )  # fmt: skip
        return judged(rollout, there, seen, now)
    if seen.instance.revision.id != rollout.targets[number].revision:
        by = f" by {seen.instance.who}" if seen.instance.who else ""
        return _step(step, "left", now, f"it was changed to {seen.instance.app}{by}")
    return None


def _limit(rollout: Rollout, steps: list[Step], at: Callable[[int], Seen], released: int) -> tuple[int, str]:
    """How many of the targets may be started by now; and why it pauses, if it does."""
    for stop in rollout.checkpoints():
        for number in range(stop):
            state = steps[number].state
            if state not in SETTLED and (state in UNDER_WAY or at(number).present):
                return stop, ""
        pauses = rollout.pause_after is not None and (
            rollout.pause_after != "canary" or stop == rollout.canary
        )
        if pauses and stop > released and any(step.state == "waiting" for step in steps[stop:]):
            return stop, f"paused after {stop} of {len(steps)}: `roj rollout resume {rollout.name}` goes on"
    return len(steps), ""


def _pause(rollout: Rollout, steps: list[Step], now: datetime) -> float | None:
    """Seconds until the next one may be started, after one was launched."""
    ends = [step.when for step in steps if step.state == "done" and step.when is not None]
    if not rollout.wait_between or not ends:
        return None
    left = (max(ends) + timedelta(seconds=rollout.wait_between) - now).total_seconds()
    return left if left > 0 else None


def _rolling_back(
    rollout: Rollout, status: RolloutStatus, at: Callable[[int], Seen], now: datetime
) -> Advance:
    steps = list(status.steps)
    busy = sum(step.state in UNDER_WAY and at(number).present for number, step in enumerate(steps))
    away = sum(step.state == "undoing" and not at(number).present for number, step in enumerate(steps))
    chosen: list[int] = []
    for number in reversed(range(len(steps))):
        step = steps[number]
        if step.state not in ("started", "done", "failed") or not step.change:
            continue
        seen = at(number)
        if seen.instance is None or seen.instance.goal == "undeploy" or seen.instance.app != rollout.to:
            steps[number] = _step(step, "left", now, "it is gone, or somebody else changed it")
        elif step.back not in [revision.id for revision in seen.instance.revisions]:
            steps[number] = _step(step, "left", now, "what it ran before is not kept any more")
        elif not seen.present:
            away += 1
        elif step.state == "started":  # it is under way as it is
            chosen.append(number)
        elif busy < rollout.window():
            chosen.append(number)
            busy += 1
    status = status.model_copy(update={"steps": tuple(steps), "away": away})
    open_ = [step for step in steps if step.state in ("started", "done", "failed", "undoing") and step.change]
    if not open_:
        stuck = _messages(rollout, status, "stuck")
        return Advance(_in(status, "failed" if stuck else "rolled_back", now, "; ".join(stuck)))
    return Advance(status, undo=tuple(chosen))


def _messages(rollout: Rollout, status: RolloutStatus, state: StepState) -> list[str]:
    return [
        f"{target.name}: {step.message}"
        for target, step in zip(rollout.targets, status.steps, strict=True)
        if step.state == state
    ][:3]


def _step(step: Step, state: StepState, now: datetime, message: str) -> Step:
    return step.model_copy(update={"state": state, "when": now, "message": message})


def _in(status: RolloutStatus, phase: RolloutPhase, now: datetime, message: str) -> RolloutStatus:
    since = status.since if status.phase == phase else now
    return status.model_copy(update={"phase": phase, "since": since, "message": message})
