"""Goals: what operators want of instances that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from roj.api import keys
from roj.api.instance import Goal, History, Instance, changed
from roj.client import errors
from roj.client.changes import PLAIN, Terms, history_plus, read_history
from roj.client.client import Client
from roj.client.records import has_change
from roj.client.references import Target, find_targets, with_status
from roj.client.removal import forgotten, remove
from roj.store.interface import MAX_OPERATIONS, MAX_TRANSACTION, Conflict, Create, Operation, Swap

FULL = MAX_TRANSACTION // 2
"""Bytes of records in one transaction; base64 adds a third, keys and JSON some more."""


@dataclass(frozen=True, slots=True)
class Change:
    """An instance after an operator's write."""

    node: str
    id: str
    uid: str
    goal: Goal
    generation: int
    written: bool = True
    """False: it was so already."""
    away: bool = False
    """Its node is away: it does it when it is back."""
    removed: bool = False
    """Its node was forgotten: it was undeployed without it."""


def set_goals(client: Client, references: Sequence[str], goal: Goal, terms: Terms = PLAIN) -> list[Change]:
    """Set the goal of instances: the reads of `find_targets`, 1 for each node and each instance, and 1 write for 32
    instances. An undeploy reads 1 more for a node that is away; if that was forgotten, its instances are removed at once
    (see `removal`).

    Every reference is resolved, and every refusal found, before the first write. The claims on ports stay until the
    agent has undeployed it. An unclaimed instance is undeployed by the record that its node believes. One that has the
    goal already is written only where its node holds at an older order (1 read more for both).

    Raises:
        errors.NotFound, errors.Invalid: a reference means nothing, or several.
        errors.Conflict: an instance is being undeployed, has no record, was changed against the terms, or others wrote
            first again and again.
        errors.Unreachable: no answer to a write in time.
    """
    targets = [_looked_at(client, target, goal) for target in find_targets(client, references)]
    away = _away(client, targets)
    gone = {node: forgotten(client, node) for node in away} if goal == "undeploy" else {}
    for target in targets:
        _refuse(target, goal, terms, without=gone.get(target.node) is not None)
    done: dict[str, Change] = {}
    for target in targets:
        if (sentinel := gone.get(target.node)) is not None:
            remove(client, target, sentinel, terms.why)
            done[target.name] = _removed(target)
    left = [target for target in targets if target.name not in done]
    histories = _histories(client, [target for target in left if not _is_so(target, goal, terms)])
    for batch in _batches(left, histories):
        for change in _set(client, batch, histories, goal, terms):
            done[f"{change.node}/{change.id}"] = replace(change, away=change.node in away)
    return [done[target.name] for target in targets]


def _looked_at(client: Client, target: Target, goal: Goal) -> Target:
    """The target with its status, where that decides: it is unclaimed, or may be held at the very goal."""
    instance = target.desired()
    return target if instance is not None and instance.goal != goal else with_status(client, target)


def _is_so(target: Target, goal: Goal, terms: Terms) -> bool:
    """It has the goal, its node does not hold at an older order (else the same again is an order, and ends that), and
    does not wait with it for a time or a window that is another now."""
    instance, status = target.desired(), target.status
    if instance is None or instance.goal != goal or (status is not None and status.phase == "held"):
        return False
    return not terms.waits_otherwise(instance, status)


def _histories(client: Client, targets: Sequence[Target]) -> dict[str, History | None]:
    return {target.name: read_history(client, target.node, target.id) for target in targets}


def _batches(targets: Sequence[Target], histories: Mapping[str, History | None]) -> list[list[Target]]:
    """As few transactions as the store's limits allow."""
    batches: list[list[Target]] = []
    size = 0
    for target in targets:
        length = len(target.entry.value) if target.entry is not None else FULL // MAX_OPERATIONS
        history = histories.get(target.name)
        length += len(history.encode()) if history is not None else 0
        if not batches or len(batches[-1]) >= MAX_OPERATIONS // 2 or size + length > FULL:
            batches.append([])
            size = 0
        batches[-1].append(target)
        size += length
    return batches


def _refuse(target: Target, goal: Goal, terms: Terms, *, without: bool = False) -> None:
    """`without`: it is removed without its node, which then need not say what it believes."""
    instance = target.desired()
    if instance is None and goal != "undeploy":
        raise errors.Conflict(
            f"the store has no record of {target.name}: it is unclaimed",
            hint=f"`roj adopt {target.id}` claims it.",
        )
    if instance is None and not without and (target.status is None or target.status.believed is None):
        raise errors.Conflict(
            f"the store has no record of {target.name}, and {target.node} reports none that it obeys",
            hint=f"`roj inspect instance {target.name}` shows what is known.",
        )
    if instance is not None and instance.goal == "undeploy" and goal != "undeploy":
        raise errors.Conflict(
            f"{target.name} is being undeployed, and that is not taken back",
            hint=f"`roj deploy {instance.app} {target.node}` launches it anew.",
        )
    believed = target.status.believed if target.status is not None else None
    known = instance or believed
    if known is not None and (overtaken := terms.overtaken(known)):
        raise errors.Conflict(f"{target.name} {overtaken}")


def _set(
    client: Client,
    targets: Sequence[Target],
    histories: dict[str, History | None],
    goal: Goal,
    terms: Terms,
) -> list[Change]:
    """One transaction, made anew as long as others write first."""
    write = terms.write(client)  # the same for every try: whichever the store took, it is recognised
    current = list(targets)
    done: dict[str, Change] = {}

    def attempt() -> bool:
        nonlocal current
        operations: list[Operation] = []
        written: dict[str, Change] = {}
        for target in current:
            instance = target.desired()
            ours = instance is not None and write.change in instance.lineage
            if not ours:
                _refuse(target, goal, terms)
            if instance is not None and (ours or _is_so(target, goal, terms)):
                done[target.name] = change_of(instance, written=ours)
                continue
            new = changed(instance or _believed(target), write, goal)
            key, value = keys.instance(target.node, target.id), new.encode()
            operations += [
                Create(key, value) if target.entry is None else Swap(key, value, target.entry.version),
                history_plus(histories[target.name], new),
            ]
            written[target.name] = change_of(new)
        if not operations:
            return True
        first = operations[0].key
        try:
            client.write(
                operations,
                lambda: has_change(client, first, write.change),
                otherwise="`roj instances` shows the goals; the same again is safe.",
            )
        except Conflict:
            current = _again(client, current, written, goal, done)
            histories.update(_histories(client, current))
            return False
        done.update(written)
        return True

    if not client.again(attempt):
        names = ", ".join(target.name for target in current)
        raise errors.Conflict(f"others changed {names} first, again and again", hint="Repeat it.")
    return [done[target.name] for target in targets]


def _again(
    client: Client,
    targets: Sequence[Target],
    written: dict[str, Change],
    goal: Goal,
    done: dict[str, Change],
) -> list[Target]:
    """The targets that are not done yet as they are now: 1 read for each. One that is gone is done, if that was the goal.

    Raises:
        errors.Conflict: one is gone, or was deployed anew.
    """
    left = []
    for target in targets:
        wanted = written.get(target.name)
        if wanted is None:
            continue
        entry = client.store.get(keys.instance(target.node, target.id), consistent=True)
        now = replace(target, entry=entry)
        if entry is None and target.entry is not None:
            if goal != "undeploy":
                raise errors.NotFound(f"{target.name} was undeployed just now")
            done[target.name] = wanted
            continue
        instance = now.desired()
        if instance is not None and instance.uid != wanted.uid:
            raise errors.Conflict(
                f"{target.name} was undeployed and deployed anew just now", hint="Look again."
            )
        left.append(now)
    return left


def _removed(target: Target) -> Change:
    instance = target.desired()
    uid = instance.uid if instance is not None else ""
    return Change(target.node, target.id, uid, "undeploy", 0, removed=True)


def change_of(instance: Instance, *, written: bool = True) -> Change:
    """The change that made `instance`, or (not `written`) found it so."""
    return Change(
        instance.node, instance.id, instance.uid, instance.goal, instance.generation, written=written
    )


def _believed(target: Target) -> Instance:
    assert target.status is not None and target.status.believed is not None  # `_refuse` saw to it
    return target.status.believed


def _away(client: Client, targets: Sequence[Target]) -> dict[str, None]:
    """The nodes whose lease nobody holds: 1 read for each."""
    away: dict[str, None] = {}
    for node in dict.fromkeys(target.node for target in targets):
        lease = client.store.get(keys.lease(node))
        if lease is None or not lease.session:
            away[node] = None
    return away
