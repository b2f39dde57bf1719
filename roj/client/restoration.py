"""Restore: put back into a store that lost it what one node last believed. It creates, and overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roj.api import keys
from roj.api.app import App
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance, PortClaim
from roj.api.node import Cluster, Node
from roj.api.record import Record, digest_of
from roj.client import errors
from roj.client.apps import guard_write
from roj.client.audit import audit
from roj.client.changes import history_write
from roj.client.client import Client
from roj.client.cluster import holder
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Check, Conflict, Create, Entry, Operation

Outcome = Literal["created", "there", "other", "lost"]
NAMED = 10
"""Records that a restore's event names; it may have put back thousands."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one record."""

    what: str
    """`cluster`, `node`, `app` or `instance`."""
    name: str
    outcome: Outcome
    """`there`: the same, or a newer write on top of it, is in the store; `other`: something else is, and stays; `lost`:
    the node does not know it."""
    message: str = ""
    """What stands in the way, where something does."""


def restore(
    client: Client,
    cluster: Cluster,
    node: Node | None,
    believed: Sequence[tuple[Instance, App | None]],
    *,
    dry_run: bool = False,
    why: str = "",
) -> list[Restored]:
    """Put back cluster id, node, apps, and instances with their claims: 2 to 6 reads and 1 write for each; 1 list and 1
    write more for an event that tells of it.

    An instance is put back as it was obeyed, under the same change id: to its node it is the same order. It comes with
    all its claims, or not at all.

    Raises:
        errors.Conflict: the store is another cluster's; nothing was written.
        errors.Unreachable: no answer to a write in time.
    """
    _refuse_another(client, cluster)
    found = [_put(client, "cluster", cluster.id, keys.CLUSTER, cluster, dry_run=dry_run)]
    if node is not None:
        found.append(_put(client, "node", node.name, keys.node(node.name), node, dry_run=dry_run))
    apps = {(i.app.name, i.app.version, i.app.digest): app for i, app in believed}
    for (name, version, digest), app in apps.items():
        if app is None or app.digest() != digest:
            found.append(_app_of_store(client, name, version, digest))
        else:
            found.append(_put(client, "app", app.reference, keys.app(name, version), app, dry_run=dry_run))
    found += [_put_instance(client, instance, app, dry_run=dry_run) for instance, app in believed]
    created = [f"{each.what} {each.name}" for each in found if each.outcome == "created"]
    if created and not dry_run:
        _tell(client, created, node.name if node is not None else "", why)
    return found


def _tell(client: Client, created: Sequence[str], node: str, why: str) -> None:
    """The event of a restore, which names the first few of what was put back."""
    more = f" and {len(created) - NAMED} more" if len(created) > NAMED else ""
    message = f"{', '.join(created[:NAMED])}{more} put back into the store"
    event = audit(client, reason="Restored", message=message, why=why, node=node)

    def applied() -> bool:
        return client.store.get(event[0].key) is not None

    client.write(event, applied, otherwise=_OTHERWISE)


def _refuse_another(client: Client, cluster: Cluster) -> None:
    entry = client.store.get(keys.CLUSTER, consistent=True)
    if entry is None:
        return
    try:
        there = Cluster.decode(entry.value)
    except UnreadableRecord as problem:
        raise errors.Conflict(f"{keys.CLUSTER} is there and is not understood: {problem}") from None
    if there.id != cluster.id:
        raise errors.Conflict(
            f"the store is of cluster {there.id}, and this node of cluster {cluster.id}: nothing was put back",
            hint="Give --store the store that lost its data, or delete the other cluster's keys (roj/v1/) first.",
        )


def _put(client: Client, what: str, name: str, key: str, record: Record, *, dry_run: bool) -> Restored:
    value = record.encode()

    def compared(entry: Entry) -> Restored:
        if entry.value == value or _means_the_same(record, entry):
            return Restored(what, name, "there")
        return Restored(what, name, "other", "the store has another")

    entry = client.store.get(key, consistent=True)
    if entry is not None:
        return compared(entry)
    if not dry_run and not _created(client, key, value):
        entry = client.store.get(key, consistent=True)
        return compared(entry) if entry is not None else Restored(what, name, "other", "it was just removed")
    return Restored(what, name, "created")


def _means_the_same(record: Record, entry: Entry) -> bool:
    """Whether operators only wrote more on it: of cluster and node the cluster's id is what counts."""
    match record:
        case Cluster():
            there = decoded(Cluster, entry)
            return isinstance(there, Cluster) and there.id == record.id
        case Node():
            node = decoded(Node, entry)
            return isinstance(node, Node) and node.cluster == record.cluster
    return False


def _created(client: Client, key: str, value: bytes) -> bool:
    def applied() -> bool:
        there = client.store.get(key, consistent=True)
        return there is not None and there.value == value

    try:
        client.write([Create(key, value)], applied, otherwise=_OTHERWISE)
    except Conflict:
        return False
    return True


_OTHERWISE = "Call it again: what is there already is left as it is."


def _app_of_store(client: Client, name: str, version: str, digest: str) -> Restored:
    """An app that the node does not know: it may be in the store."""
    entry = client.store.get(keys.app(name, version), consistent=True)
    if entry is None:
        return Restored("app", f"{name}:{version}", "lost", "this node does not know it either")
    if digest_of(entry.value) == digest:
        return Restored("app", f"{name}:{version}", "there")
    return Restored("app", f"{name}:{version}", "other", "the store has another")


def _put_instance(client: Client, instance: Instance, app: App | None, *, dry_run: bool) -> Restored:
    key = keys.instance(instance.node, instance.id)
    result: Restored | None = None

    def told(outcome: Outcome, message: str = "") -> bool:
        nonlocal result
        result = Restored("instance", f"{instance.node}/{instance.id}", outcome, message)
        return True

    def attempt() -> bool:
        entry = client.store.get(key, consistent=True)
        if entry is not None:
            return _compare(instance, entry, told)
        claims = _claims(client, instance, app)
        if isinstance(claims, str):
            return told("other", claims)
        if dry_run:
            return told("created")
        stored = client.store.get(keys.app(instance.app.name, instance.app.version), consistent=True)
        operations: list[Operation] = [
            Create(key, instance.encode()),
            *claims,
            history_write(client, instance),
        ]
        if stored is not None:
            change = client.environment.new_id()
            guard = guard_write(client, instance.app.name, instance.app.version, change)
            operations += [Check(stored.key, stored.version), guard]

        def applied() -> bool:
            there = client.store.get(key, consistent=True)
            return there is not None and _is_ours(instance, there)

        try:
            client.write(operations, applied, otherwise=_OTHERWISE)
        except Conflict:
            return False
        return told("created")

    if not client.again(attempt) or result is None:
        raise errors.Conflict(f"others changed {instance.node}/{instance.id} first, again and again")
    return result


def _compare(instance: Instance, entry: Entry, told: Callable[[Outcome, str], bool]) -> bool:
    if _is_ours(instance, entry):
        return told("there", "")
    there = decoded(Instance, entry, node=instance.node, id=instance.id)
    if isinstance(there, Unreadable):
        return told("other", f"the store's record is not understood: {there.problem}")
    return told(
        "other",
        f"the store has generation {there.generation} ({there.goal}), this node obeyed generation {instance.generation} "
        f"({instance.goal}); `roj adopt {instance.id}` puts that back",
    )


def _is_ours(instance: Instance, entry: Entry) -> bool:
    there = decoded(Instance, entry, node=instance.node, id=instance.id)
    return isinstance(there, Instance) and there.uid == instance.uid and instance.change in there.lineage


def _claims(client: Client, instance: Instance, app: App | None) -> list[Create] | str:
    """The claims that are missing, or who holds what it needs."""
    if app is None or not app.spec.host_ports():
        return []
    entries = client.store.list(keys.ports(instance.node), consistent=True).entries
    present = {entry.key: entry for entry in entries}
    wanted = PortClaim(uid=instance.uid, instance=instance.id)
    claims = []
    for protocol, port in app.spec.host_ports():
        key = keys.port(instance.node, protocol, port)
        there = present.get(key)
        if there is None:
            claims.append(Create(key, wanted.encode()))
        elif decoded(PortClaim, there) != wanted:
            return f"port {port}/{protocol} is held by {holder(there)}"
    return claims
