"""Waiting until nodes have done what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Goal, Instance, InstanceStatus
from roj.client import errors
from roj.client.client import PATIENCE, Client
from roj.client.reading import listed
from roj.store.interface import Entry, StoreUnavailable

SLICE = 5.0
"""Seconds of one blocking list of what a node reports."""
TURN = 1.0
"""The same where several nodes take turns, or nothing is reported of what is to go: it goes without a change there."""
PACE = 0.25
"""Seconds at least between two rounds (DESIGN.md section 4)."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """An instance, and the change that its node should have acted on."""

    node: str
    id: str
    uid: str
    goal: Goal
    generation: int
    app: str = ""
    """`NAME:VERSION`, where the change was about that."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far one is.

    `pending` is what is not there yet, a held one too: it may still come there by an operator's order.
    """

    awaited: Awaited
    result: Literal["converged", "failed", "pending"]
    phase: str
    message: str
    next_try: datetime | None = None
    """When the node tries again what failed."""


Judge = Callable[[Awaited, Entry | None, Entry | None], Outcome]
"""How far an instance is, by its record and its status as stored."""


def wait(
    client: Client,
    awaited: Sequence[Awaited],
    timeout: float,
    tell: Callable[[Outcome], None] = lambda _: None,
    judge: Judge | None = None,
) -> list[Outcome]:
    """Wait until each has converged, or one has failed, at most `timeout` seconds: 2 requests a node and change there.

    Of one node every answer blocks until something changes; several nodes take turns.

    Args:
        tell: called whenever the phase of one is another, or its message, or when it is tried again.
        judge: how far one is; None: `judged`, by the change that was made.

    Raises:
        errors.Unreachable: the store did not answer for PATIENCE; the orders stand.
    """
    environment = client.environment
    deadline = environment.monotonic() + timeout
    outcomes: dict[tuple[str, str], Outcome] = {}
    indexes: dict[str, int] = {}
    silent: dict[str, None] = {}
    answered = environment.monotonic()
    while True:
        nodes = list(dict.fromkeys(each.node for each in awaited if _is_open(outcomes, each)))
        for node in nodes:
            remaining = deadline - environment.monotonic()
            patience = max(0.0, min(SLICE if len(nodes) == 1 and node not in silent else TURN, remaining))
            index = indexes.get(node, 0)
            try:
                observed = client.store.watch(keys.observed(node), index if patience > 0 else 0, patience)
                desired = listed(client.store, keys.instances(node))
            except StoreUnavailable as error:
                if environment.monotonic() - answered > PATIENCE:
                    raise errors.Unreachable(
                        f"the store no longer answers: {error}",
                        hint="The order stands. `roj instances` shows how it goes on.",
                    ) from error
                environment.sleep(1.0)
                continue
            answered = environment.monotonic()
            indexes[node] = observed.index if observed.index >= index else 0
            statuses = {entry.key: entry for entry in observed.entries}
            records = {entry.key: entry for entry in desired.entries}
            for each in awaited:
                if each.node == node and _is_open(outcomes, each):
                    record = records.get(keys.instance(node, each.id))
                    status = statuses.get(keys.instance_status(node, each.id))
                    if status is None:
                        silent[node] = None
                    outcome = (judge or judged)(each, record, status)
                    before = outcomes.get((node, each.id))
                    outcomes[node, each.id] = outcome
                    if outcome != before:
                        tell(outcome)
        decided = not any(_is_open(outcomes, each) for each in awaited)
        failed = any(outcome.result == "failed" for outcome in outcomes.values())
        if decided or failed or environment.monotonic() >= deadline:
            break
        environment.sleep(PACE)
    return [outcomes.get((each.node, each.id)) or Outcome(each, "pending", "unknown", "") for each in awaited]


def worst(outcomes: Sequence[Outcome]) -> Literal["converged", "failed", "pending"]:
    """The worst of them: one that failed, then one that is not there in time."""
    results = [outcome.result for outcome in outcomes]
    return "failed" if "failed" in results else "pending" if "pending" in results else "converged"


def _is_open(outcomes: Mapping[tuple[str, str], Outcome], each: Awaited) -> bool:
    outcome = outcomes.get((each.node, each.id))
    return outcome is None or outcome.result == "pending"


def judged(awaited: Awaited, record: Entry | None, status: Entry | None) -> Outcome:
    """How far an instance is, by what the store has of it."""
    instance = _decoded(Instance, record)
    gone = record is None or (instance is not None and instance.uid != awaited.uid)
    if awaited.goal == "undeploy" and gone:
        return Outcome(awaited, "converged", "gone", "")
    if gone:
        return Outcome(awaited, "failed", "gone", "its record is gone: somebody undeployed it meanwhile")
    if instance is not None and instance.generation > awaited.generation and instance.goal != awaited.goal:
        by = f" by {instance.who}" if instance.who else ""
        return Outcome(awaited, "failed", "overtaken", f"another order took its place: `{instance.goal}`{by}")
    if instance is not None and awaited.app and str(instance.app) != awaited.app:
        by = f" by {instance.who}" if instance.who else ""
        return Outcome(awaited, "failed", "overtaken", f"another app took its place: {instance.app}{by}")
    seen = _decoded(InstanceStatus, status)
    if seen is None or seen.uid != awaited.uid:
        return Outcome(awaited, "pending", "pending", "its node has not acted on it yet")
    if seen.observed_generation < awaited.generation:
        return Outcome(awaited, "pending", seen.phase, "its node has not acted on it yet")
    wanted = {"start": ("launched", "completed"), "stop": ("stopped",), "undeploy": ()}[awaited.goal]
    if seen.phase in wanted:
        return Outcome(awaited, "converged", seen.phase, seen.message)
    result: Literal["failed", "pending"] = "failed" if seen.phase == "failed" else "pending"
    return Outcome(awaited, result, seen.phase, seen.message, seen.next_try)


State = Literal["launched", "converged", "stopped", "gone"]


def awaits(instance: Instance) -> Awaited:
    """An instance as it is, for `reached`."""
    return Awaited(instance.node, instance.id, instance.uid, instance.goal, instance.generation)


def reached(state: State) -> Judge:
    """Whether an instance has come to a state, whoever ordered it: for `roj wait`.

    `converged`: its node has done the last order, whatever that is.
    """

    def judge(awaited: Awaited, record: Entry | None, status: Entry | None) -> Outcome:
        instance = _decoded(Instance, record)
        if record is None or (instance is not None and instance.uid != awaited.uid):
            if state == "gone" or (state == "converged" and awaited.goal == "undeploy"):
                return Outcome(awaited, "converged", "gone", "")
            return Outcome(awaited, "failed", "gone", "it was undeployed")
        seen = _decoded(InstanceStatus, status)
        if instance is None or seen is None or seen.uid != awaited.uid:
            return Outcome(awaited, "pending", "pending", "its node has not acted on it yet")
        if seen.observed_generation < instance.generation:
            return Outcome(awaited, "pending", seen.phase, seen.message or "its node has not acted on it yet")
        ends = {"start": ("launched", "completed"), "stop": ("stopped",), "undeploy": ()}
        wanted = {
            "launched": ends["start"],
            "stopped": ends["stop"],
            "gone": (),
            "converged": ends[instance.goal],
        }
        if seen.phase in wanted[state]:
            return Outcome(awaited, "converged", seen.phase, seen.message)
        failed = seen.phase == "failed" and state in ("launched", "converged")
        return Outcome(awaited, "failed" if failed else "pending", seen.phase, seen.message, seen.next_try)

    return judge


R = TypeVar("R", Instance, InstanceStatus)


def _decoded(kind: type[R], entry: Entry | None) -> R | None:
    if entry is None:
        return None
    try:
        return kind.decode(entry.value)
    except UnreadableRecord:
        return None
