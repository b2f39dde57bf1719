"""What the cluster would do now: every instance, and every node, whose state is not yet what is declared (2 lists).

A pure function of one snapshot. What a node still finds out itself (whether an image is there, whether a container has
drifted since its last report) is as it last reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from roj.api.instance import Instance, InstanceStatus
from roj.api.node import Node
from roj.api.record import rfc3339
from roj.api.window import is_open, next_opening
from roj.client.rows import InstanceRow, Standing, instance_row
from roj.client.snapshot import Snapshot, Unreadable

Action = Literal[
    "launch", "pull", "replace", "start", "stop", "undeploy", "repair", "wait", "failed", "held", "unclaimed",
    "unknown", "away",
]  # fmt: skip
CHANGES = ("launch", "pull", "replace", "start", "stop", "undeploy", "repair", "wait")
"""What is still to come; the others need somebody."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of one instance, or is the matter with one node."""

    node: str
    id: str
    """Empty: it is of the node itself."""
    action: Action
    why: str
    app: str = ""
    """`NAME:VERSION` that should run."""
    observed_app: str = ""
    goal: str = ""
    phase: str = ""

    @property
    def change(self) -> bool:
        """Whether it comes by itself."""
        return self.action in CHANGES


def outlook(snapshot: Snapshot, now: datetime, node: str | None = None) -> list[Planned]:
    """Everything that is not as it should be, by node and id; nothing of what is.

    Args:
        snapshot: what is declared and reported.
        now: decides about times and maintenance windows that are waited for.
        node: only of this one.
    """
    found: list[Planned] = []
    names = sorted(snapshot.instances.keys() | snapshot.statuses.keys())
    for each in snapshot.node_names() if node is None else [node]:
        standing = Standing.of(snapshot, each)
        planned = [
            made for name in names if name[0] == each for made in _instance(snapshot, name, standing, now)
        ]
        found += [*_node(snapshot, each, standing), *planned]
    return found


def _node(snapshot: Snapshot, name: str, standing: Standing) -> Iterator[Planned]:
    record = snapshot.nodes.get(name)
    if isinstance(record, Unreadable):
        yield Planned(name, "", "unknown", f"its record is not understood: {record.problem}")
    elif isinstance(record, Node) and record.forgotten is not None:
        yield Planned(name, "", "away", record.forgotten.in_words("forgotten"))
    elif standing.problem:
        yield Planned(name, "", "away", standing.problem)


def _instance(
    snapshot: Snapshot, name: tuple[str, str], standing: Standing, now: datetime
) -> Iterator[Planned]:
    wanted, status = snapshot.instances.get(name), snapshot.statuses.get(name)
    row = instance_row(snapshot, name, standing)

    def planned(action: Action, why: str) -> Planned:
        return Planned(row.node, row.id, action, why, row.app, row.observed_app, row.goal, row.phase)

    if wanted is None:
        yield planned(
            "unclaimed", "nothing is wanted of it: it is left alone until it is adopted or undeployed"
        )
        return
    if isinstance(wanted, Unreadable):
        yield planned("unknown", row.message)
        return
    seen = status if isinstance(status, InstanceStatus) and status.uid == wanted.uid else None
    if isinstance(status, InstanceStatus) and status.phase == "held":
        yield planned(
            "held", f"the store went back to an older order: {status.message or 'its node goes on'}"
        )
        return
    action, why = _of(wanted, seen, row, snapshot.nodes.get(row.node), now)
    if action is not None and standing.problem and action in CHANGES:
        yield planned("wait", f"{standing.problem}; then: {_words(action)}")
    elif action is not None:
        yield planned(action, why)


def _of(
    wanted: Instance,
    seen: InstanceStatus | None,
    row: InstanceRow,
    node: Node | Unreadable | None,
    now: datetime,
) -> tuple[Action | None, str]:
    """What is to become of an instance whose node is there; None: all is as it should be."""
    step = _step(wanted, seen, node)
    if step is None:
        return None, ""
    action, why = step
    if action == "failed":
        return action, why
    waits = _waits(wanted, seen, row, node, now, disruptive=action in ("replace", "stop"))
    return ("wait", f"{waits}; then: {_words(action)}") if waits else (action, why)


def _step(
    wanted: Instance, seen: InstanceStatus | None, node: Node | Unreadable | None
) -> tuple[Action, str] | None:
    """The next thing to do, whenever that may be."""
    if wanted.goal == "undeploy":
        return "undeploy", "it is to be removed"
    drained = isinstance(node, Node) and node.drained is not None
    if wanted.goal == "stop" or drained:
        if seen is not None and seen.phase == "stopped":
            return None
        if seen is None and wanted.goal == "stop":
            return "stop", "it is to be stopped, and its node has not reported it yet"
        return "stop", "its node is drained" if drained and wanted.goal != "stop" else "it is to be stopped"
    if seen is None:
        return "launch", "its node has not reported it yet"
    behind = seen.observed_generation < wanted.generation
    if seen.phase == "failed" and not behind:
        return "failed", seen.message or "its node could not launch it"
    if seen.app is not None and seen.app != wanted.app:
        return "replace", f"{seen.app} runs, {wanted.app} is to" + (
            f": {seen.message}" if seen.message else ""
        )
    if seen.phase == "pulling":
        return "pull", seen.message or "its image is being pulled"
    if seen.phase in ("launched", "completed"):
        drift = [f"{each.name} is {each.state}" for each in seen.containers if each.state in _DRIFT]
        if drift and seen.phase == "launched":
            return "repair", ", ".join(drift)
        return ("start", "its node has not acted on its newest change yet") if behind else None
    if seen.phase == "stopped":
        return "start", "it is to run"
    return "launch", seen.message or f"it is {seen.phase}"


_DRIFT = ("missing", "exited", "dead", "paused", "created")
"""Docker's words, and ours, for a container of a launched instance that does not run."""


def _waits(
    wanted: Instance,
    seen: InstanceStatus | None,
    row: InstanceRow,
    node: Node | Unreadable | None,
    now: datetime,
    *,
    disruptive: bool,
) -> str:
    """What it waits for, in words; empty: for nothing."""
    if isinstance(node, Node) and node.frozen is not None and node.frozen.holds(now):
        return f"its node is {node.frozen.in_words('frozen')}"
    for condition in row.conditions:
        if condition.type == "Waiting" and condition.status == "True":
            return condition.message or f"it waits ({condition.reason})"
    behind = seen is None or seen.observed_generation < wanted.generation
    if behind and wanted.at is not None and wanted.at > now:
        return f"it waits until {rfc3339(wanted.at)}"
    windows = node.windows if isinstance(node, Node) else ()
    if behind and disruptive and windows and not wanted.now and not is_open(windows, now):
        opens = next_opening(windows, now)
        return "it waits for a maintenance window" + (f", until {rfc3339(opens)}" if opens else "")
    return ""


def _words(action: Action) -> str:
    return {"pull": "pull and launch"}.get(action, action)
