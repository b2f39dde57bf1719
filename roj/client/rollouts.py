"""Rollouts as operators write and read them. They are carried out by an agent (`roj.controllers.rollout`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.instance import Instance
from roj.api.node import Node
from roj.api.rollout import MAX_TARGETS, Rollout, RolloutGoal, Share, Target
from roj.client import errors
from roj.client.apps import get_app, guard_write
from roj.client.client import Client
from roj.client.reading import listed
from roj.client.rollout_view import RolloutRow, get_rollout, list_rollouts
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Check, Conflict, Create, Operation, Set, Swap, TooLarge, check_size

ONE, NONE = Share(number=1), Share(number=0)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a rollout goes on."""

    batch: Share = ONE
    canary: int = 0
    shard_by: str = ""
    """A label of nodes: their instances are taken together, by its values in their order."""
    max_failures: Share = NONE
    pause_after: str | None = None
    wait_between: float = 0.0
    """Seconds."""
    on_failure: str = "pause"


def start_rollout(
    client: Client,
    name: str,
    to: tuple[str, str],
    app: str,
    terms: Terms,
    *,
    chosen: Callable[[str, Node], bool] = lambda _, __: True,
    why: str = "",
    dry_run: bool = False,
) -> Rollout:
    """Write a rollout of app `to` to every instance of `app` (`NAME` or `NAME:VERSION`): 6 requests, and 1 write.

    Args:
        chosen: which nodes are meant.

    Raises:
        errors.NotFound: there is no such app, or no instance that is meant.
        errors.Invalid: there are too many instances for one rollout.
        errors.Conflict: there is a rollout of that name, or another one has one of the instances.
        errors.Unreachable: no answer to the write in time.
    """
    stored = get_app(client, *to)
    if app.partition(":")[0] != to[0]:
        raise errors.Conflict(
            f"{app} and {stored.reference} are apps of different names",
            hint="`roj upgrade --other-app` changes an instance to an app of another name.",
        )
    environment = client.environment
    targets = _targets(client, app, terms.shard_by, chosen)
    if not targets:
        raise errors.NotFound(
            f"there is no instance of {app} to roll out to", hint="`roj instances` lists all."
        )
    if len(targets) > MAX_TARGETS:
        raise errors.Invalid(
            f"{len(targets)} instances; one rollout takes {MAX_TARGETS}", hint="Choose fewer with -l."
        )
    rows = {row.name: row for row in list_rollouts(client)}
    entry = client.store.get(keys.rollout(name), consistent=True)
    _refuse_busy(name, targets, rows)
    change = environment.new_id()
    rollout = Rollout.checked(
        {
            "name": name, "uid": environment.new_id(), "to": stored.reference, "targets": targets, "change": change,
            "batch": terms.batch, "canary": terms.canary, "max_failures": terms.max_failures,
            "pause_after": terms.pause_after, "wait_between": terms.wait_between, "on_failure": terms.on_failure,
            "who": client.who, "when": environment.now(), "why": why,
        }
    )  # fmt: skip
    if dry_run:
        return rollout
    value = rollout.encode()
    write = (
        Create(keys.rollout(name), value) if entry is None else Swap(keys.rollout(name), value, entry.version)
    )
    operations: list[Operation] = [
        Check(keys.app(*to), stored.version),
        guard_write(client, *to, change),
        write,
        _poke(change),
    ]
    try:
        check_size(operations)
        client.write(
            operations, lambda: _has_change(client, name, change),
            otherwise=f"`roj rollout status {name}` shows it.",
        )  # fmt: skip
    except TooLarge as problem:
        raise errors.Invalid(
            f"it is too large for the store: {problem}", hint="Choose fewer with -l."
        ) from None
    except Conflict:
        raise errors.Conflict(
            f"somebody else wrote rollout {name}, or deployed {stored.reference}, just now", hint="Repeat it."
        ) from None
    return rollout


def change_rollout(client: Client, name: str, goal: RolloutGoal, why: str = "") -> Rollout:
    """Pause, resume, abort or roll back a rollout: 2 reads and 1 write.

    Raises:
        errors.NotFound: there is none of that name.
        errors.Conflict: it has ended, where that makes it senseless, or others wrote first again and again.
        errors.Unreachable: no answer to the write in time.
    """
    change = client.environment.new_id()
    result: Rollout | None = None

    def attempt() -> bool:
        nonlocal result
        row = get_rollout(client, name)
        if row.rollout is None:
            raise errors.Conflict(f"the record of rollout {name} is not understood, and so is not changed")
        if row.rollout.change == change:
            result = row.rollout
            return True
        if row.ended and goal != "rollback":
            raise errors.Conflict(f"rollout {name} has ended: it is {row.phase}")
        entry = client.store.get(keys.rollout(name), consistent=True)
        if entry is None or entry.value != row.rollout.encode():
            return False
        new = row.rollout.model_copy(
            update={
                "goal": goal, "generation": row.rollout.generation + 1, "change": change, "who": client.who,
                "when": client.environment.now(), "why": why,
            }
        )  # fmt: skip
        try:
            client.write(
                [Swap(entry.key, new.encode(), entry.version), _poke(change)],
                lambda: _has_change(client, name, change),
                otherwise=f"`roj rollout status {name}` shows it; the same again is safe.",
            )
        except Conflict:
            return False
        result = new
        return True

    if not client.again(attempt):
        raise errors.Conflict(f"others changed rollout {name} first, again and again", hint="Repeat it.")
    assert result is not None
    return result


def _targets(
    client: Client, app: str, shard_by: str, chosen: Callable[[str, Node], bool]
) -> tuple[Target, ...]:
    nodes: dict[str, Node] = {}
    found: list[Instance] = []
    for entry in listed(client.store, keys.DESIRED, consistent=True).entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "node"]:
                record = decoded(Node, entry, name=node)
                if not isinstance(record, Unreadable) and chosen(node, record):
                    nodes[node] = record
            case [node, "instances", id]:
                instance = decoded(Instance, entry, node=node, id=id)
                if not isinstance(instance, Unreadable) and instance.goal != "undeploy":
                    found.append(instance)
    targets = [
        Target(
            node=each.node, id=each.id, uid=each.uid, revision=each.revision.id,
            shard=nodes[each.node].labels.get(shard_by, "") if shard_by else "",
        )
        for each in found
        if each.node in nodes and app in (each.app.name, str(each.app))
    ]  # fmt: skip
    return tuple(sorted(targets, key=lambda target: (target.shard, target.node, target.id)))


def _refuse_busy(name: str, targets: tuple[Target, ...], rows: dict[str, RolloutRow]) -> None:
    same = rows.get(name)
    if same is not None and not same.ended:
        raise errors.Conflict(
            f"there is a rollout {name} already, and it is {same.phase}",
            hint=f"`roj rollout status {name}` shows it, `roj rollout abort {name}` ends it.",
        )
    wanted = {(target.node, target.id): target.name for target in targets}
    faults = [
        Fault(wanted[target.node, target.id], f"is in rollout {row.name}, which is {row.phase}")
        for row in rows.values()
        if row.rollout is not None and row.name != name and not row.ended
        for target in row.rollout.targets
        if (target.node, target.id) in wanted
    ]
    if faults:
        raise errors.Conflict("another rollout has these instances:", faults=faults)


def _poke(change: str) -> Operation:
    """Wakes the agents that stand for election: they wait on the lock's key. Whoever holds it goes on holding it."""
    return Set(keys.lock("rollouts"), change.encode())


def _has_change(client: Client, name: str, change: str) -> bool:
    entry = client.store.get(keys.rollout(name), consistent=True)
    try:
        return entry is not None and Rollout.decode(entry.value).change == change
    except UnreadableRecord:
        return False
