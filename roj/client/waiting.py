"""Waiting until nodes have done what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Goal, Instance, InstanceStatus
from roj.client.client import Client
from roj.store.interface import Entry, StoreUnavailable

SLICE = 5.0
"""Seconds of one blocking list; several nodes take turns, a second each."""
PACE = 0.1
"""Seconds at least between two requests."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """An instance, and the change that its node should have acted on."""

    node: str
    id: str
    uid: str
    goal: Goal
    generation: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far one is."""

    awaited: Awaited
    result: Literal["converged", "failed", "pending"]
    phase: str
    message: str


def wait(
    client: Client,
    awaited: Sequence[Awaited],
    timeout: float,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Wait until each has converged or failed, at most `timeout` seconds; 2 requests a node and change there.

    Args:
        tell: called whenever the phase of one is another.

    Raises:
        StoreUnavailable: the store did not answer, at last.
    """
    environment = client.environment
    deadline = environment.monotonic() + timeout
    outcomes: dict[tuple[str, str], Outcome] = {}
    indexes: dict[str, int] = {}
    while True:
        nodes = list(
            dict.fromkeys(each.node for each in awaited if _open(outcomes.get((each.node, each.id))))
        )
        if not nodes:
            break
        for node in nodes:
            remaining = deadline - environment.monotonic()
            patience = max(0.0, min(SLICE if len(nodes) == 1 else 1.0, remaining))
            index = indexes.get(node, 0)
            try:
                observed = client.store.watch(keys.observed(node), index if patience > 0 else 0, patience)
                desired = client.store.list(keys.instances(node))
            except StoreUnavailable:
                if environment.monotonic() >= deadline:
                    raise
                environment.sleep(1.0)
                continue
            indexes[node] = observed.index if observed.index >= index else 0
            statuses = {entry.key: entry for entry in observed.entries}
            records = {entry.key: entry for entry in desired.entries}
            for each in awaited:
                if each.node == node:
                    outcome = judged(
                        each,
                        records.get(keys.instance(node, each.id)),
                        statuses.get(keys.instance_status(node, each.id)),
                    )
                    before = outcomes.get((node, each.id))
                    outcomes[node, each.id] = outcome
                    if before is None or (before.phase, before.message) != (outcome.phase, outcome.message):
                        tell(outcome)
        if environment.monotonic() >= deadline:
            break
        environment.sleep(PACE)
    return [outcomes.get((each.node, each.id)) or Outcome(each, "pending", "unknown", "") for each in awaited]


def _open(outcome: Outcome | None) -> bool:
    return outcome is None or outcome.result == "pending"


def judged(awaited: Awaited, record: Entry | None, status: Entry | None) -> Outcome:
    """How far an instance is, by what the store has of it."""
    instance = _decoded(Instance, record)
    if awaited.goal == "undeploy":
        if instance is None or instance.uid != awaited.uid:
            return Outcome(awaited, "converged", "gone", "")
    elif record is None:
        return Outcome(awaited, "failed", "gone", "its record is gone: somebody undeployed it meanwhile")
    seen = _decoded(InstanceStatus, status)
    if seen is None or seen.uid != awaited.uid:
        return Outcome(awaited, "pending", "pending", "its node has not acted on it yet")
    if seen.observed_generation < awaited.generation:
        return Outcome(awaited, "pending", seen.phase, seen.message or "its node has not acted on it yet")
    wanted = {"start": ("launched", "completed"), "stop": ("stopped",), "undeploy": ()}[awaited.goal]
    if seen.phase in wanted:
        return Outcome(awaited, "converged", seen.phase, seen.message)
    return Outcome(awaited, "failed" if seen.phase == "failed" else "pending", seen.phase, seen.message)


R = TypeVar("R", Instance, InstanceStatus)


def _decoded(kind: type[R], entry: Entry | None) -> R | None:
    if entry is None:
        return None
    try:
        return kind.decode(entry.value)
    except UnreadableRecord:
        return None
