"""Goals: what operators want of instances that are there; and the adoption of those that the store lost or set back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.app import App
from roj.api.faults import UnreadableRecord
from roj.api.instance import LINEAGE, Goal, Instance, PortClaim, changed
from roj.api.record import digest_of
from roj.client import errors
from roj.client.apps import guard_write
from roj.client.client import Client
from roj.client.references import Target, find_targets
from roj.store.interface import Check, Conflict, Create, Entry, Operation, Swap


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
    """The node is away: it does it when it is back."""


def set_goals(client: Client, references: Sequence[str], goal: Goal, why: str = "") -> list[Change]:
    """Set the goal of instances: 2 reads, then 1 write for each (and a read where somebody else wrote first).

    Every reference is resolved, and every refusal found, before the first write.

    Raises:
        errors.NotFound, errors.Invalid: a reference means nothing, or several.
        errors.Conflict: an instance is being undeployed, has no record, or others wrote first again and again.
    """
    targets = find_targets(client, references)
    for target in targets:
        _refuse(target, goal)
    away = _away(client, targets)
    return [_set(client, target, goal, why, away=target.node in away) for target in targets]


def _refuse(target: Target, goal: Goal) -> None:
    instance = target.desired()
    if instance is None and goal != "undeploy":
        raise errors.Conflict(
            f"the store has no record of {target.name}: it is unclaimed",
            hint=f"`roj adopt {target.id}` claims it.",
        )
    if instance is not None and instance.goal == "undeploy" and goal != "undeploy":
        raise errors.Conflict(
            f"{target.name} is being undeployed, and that is not taken back",
            hint=f"`roj deploy {instance.app} {target.node}` launches it anew.",
        )


def _set(client: Client, target: Target, goal: Goal, why: str, *, away: bool) -> Change:
    entry = target.entry
    result: Change | None = None

    def attempt() -> bool:
        nonlocal entry, result
        environment = client.environment
        current = Target(target.node, target.id, entry, target.status)
        _refuse(current, goal)
        instance = current.desired()
        if instance is not None and instance.goal == goal:
            result = Change(
                target.node, target.id, instance.uid, goal, instance.generation, written=False, away=away
            )
            return True
        change = environment.new_id()
        if instance is None:
            new = _on_top(client, _believed(current), None, change=change, goal=goal, why=why)
        else:
            new = changed(instance, change=change, goal=goal, when=environment.now(), who=client.who, why=why)
        key = keys.instance(target.node, target.id)
        write: Operation = (
            Create(key, new.encode()) if entry is None else Swap(key, new.encode(), entry.version)
        )
        try:
            client.write([write], lambda: _has_change(client, key, change))
        except Conflict:
            entry = client.store.get(key, consistent=True)
            if entry is None and target.entry is not None:
                raise errors.NotFound(f"{target.name} was undeployed just now") from None
            return False
        result = Change(target.node, target.id, new.uid, goal, new.generation, away=away)
        return True

    if not client.again(attempt) or result is None:
        raise errors.Conflict(f"others changed {target.name} first, again and again", hint="Repeat it.")
    return result


def adopt(client: Client, reference: str, why: str = "") -> Change:
    """Write down as wanted what a node obeys or reports: ends a hold, claims an unclaimed instance.

    3 to 5 reads and 1 write: the app (where the store lost it), its guard, the record, the claims on its fixed ports.

    Raises:
        errors.NotFound, errors.Invalid: the reference means nothing, or several.
        errors.Conflict: there is nothing to adopt, or it cannot be.
    """
    (target,) = find_targets(client, [reference])
    believed = _believed(target)
    stored: Instance | None = None
    if target.entry is not None:
        try:
            stored = Instance.decode(target.entry.value)
        except UnreadableRecord:
            stored = None  # what is put back replaces it
    change = client.environment.new_id()
    new = _on_top(client, believed, stored, change=change, goal=believed.goal, why=why)
    key = keys.instance(target.node, target.id)
    sentinel = client.store.get(keys.node(target.node), consistent=True)
    if sentinel is None:
        raise errors.Conflict(
            f"the store does not know the node {target.node}",
            hint="Its agent makes it known when it has joined.",
        )
    operations: list[Operation] = [
        Check(sentinel.key, sentinel.version),
        *_app_put_back(client, target, new),
        guard_write(client, new.app.name, new.app.version, change),
        Create(key, new.encode()) if target.entry is None else Swap(key, new.encode(), target.entry.version),
        *_claims_put_back(client, target, new),
    ]
    try:
        client.write(operations, lambda: _has_change(client, key, change))
    except Conflict:
        raise errors.Conflict(f"somebody else changed {target.name} just now", hint="Look again.") from None
    return Change(target.node, target.id, new.uid, new.goal, new.generation)


def _believed(target: Target) -> Instance:
    status = target.status
    if status is None or status.believed is None:
        raise errors.Conflict(
            f"there is nothing to adopt: the node of {target.name} does not report that it obeys another order",
            hint=f"`roj inspect instance {target.id}` shows what is wanted and what is.",
        )
    return status.believed


def _on_top(
    client: Client, believed: Instance, stored: Instance | None, *, change: str, goal: Goal, why: str
) -> Instance:
    """`believed` as a new order on top of itself, of a generation above any that the store had."""
    generation = max(believed.generation, stored.generation if stored is not None else 0)
    return believed.model_copy(
        update={
            "goal": goal,
            "generation": generation + 1,
            "lineage": (change, *believed.lineage)[:LINEAGE],
            "who": client.who,
            "when": client.environment.now(),
            "why": why,
        }
    )


def _app_put_back(client: Client, target: Target, new: Instance) -> list[Operation]:
    key = keys.app(new.app.name, new.app.version)
    entry = client.store.get(key, consistent=True)
    if entry is not None:
        if digest_of(entry.value) != new.app.digest:
            raise errors.Conflict(
                f"{target.name} runs another {new.app} than the store has (digest {new.app.digest[:12]})",
                hint=f"`roj undeploy {target.id}`, then deploy the app that is wanted.",
            )
        return [Check(key, entry.version)]
    app: App | None = target.status.believed_app if target.status is not None else None
    if app is None or app.digest() != new.app.digest:
        raise errors.Conflict(
            f"the store has lost app {new.app}, and the node does not know it either",
            hint=f"`roj create {new.app}` it again, the same; or `roj undeploy {target.id}`.",
        )
    return [Create(key, app.encode())]


def _claims_put_back(client: Client, target: Target, new: Instance) -> list[Operation]:
    app = target.status.believed_app if target.status is not None else None
    if app is None:
        entry = client.store.get(keys.app(new.app.name, new.app.version), consistent=True)
        app = App.decode(entry.value) if entry is not None else None
    if app is None or not app.spec.host_ports():
        return []
    present = {
        entry.key: entry for entry in client.store.list(keys.ports(target.node), consistent=True).entries
    }
    operations: list[Operation] = []
    for protocol, port in app.spec.host_ports():
        key = keys.port(target.node, protocol, port)
        if key not in present:
            operations.append(Create(key, PortClaim(uid=new.uid, instance=new.id).encode()))
        elif (holder := _holder(present[key])) != new.id:
            raise errors.Conflict(f"port {port}/{protocol} of {target.node} is held by {holder}")
    return operations


def _holder(entry: Entry) -> str:
    try:
        return PortClaim.decode(entry.value).instance
    except UnreadableRecord:
        return f"a claim that does not parse ({entry.key})"


def _has_change(client: Client, key: str, change: str) -> bool:
    entry = client.store.get(key, consistent=True)
    if entry is None:
        return False
    try:
        return change in Instance.decode(entry.value).lineage
    except UnreadableRecord:
        return False


def _away(client: Client, targets: Sequence[Target]) -> dict[str, None]:
    """The nodes whose lease nobody holds: 1 read for each."""
    away: dict[str, None] = {}
    for node in dict.fromkeys(target.node for target in targets):
        lease = client.store.get(keys.lease(node))
        if lease is None or not lease.session:
            away[node] = None
    return away
