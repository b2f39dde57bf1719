"""Restore: put back into a store that lost it what one node last believed. It creates, and overwrites nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from roj.api import keys
from roj.api.app import App
from roj.api.faults import UnreadableRecord
from roj.api.instance import AppUse, Instance, PortClaim
from roj.api.node import Cluster, Node
from roj.client import errors
from roj.client.client import Client
from roj.store.interface import Conflict, Create


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one record."""

    what: str
    name: str
    outcome: Literal["created", "there", "other", "lost"]
    """`there`: the same is in the store; `other`: something else is, and stays; `lost`: the node does not know it."""


def restore(
    client: Client,
    cluster: Cluster,
    node: Node | None,
    believed: Sequence[tuple[Instance, App | None]],
    *,
    dry_run: bool = False,
) -> list[Restored]:
    """Put back cluster id, node, apps with their guards, instances and claims: 1 read, and 1 write for each created.

    Raises:
        errors.Conflict: the store is another cluster's; nothing was written.
    """
    _refuse_another(client, cluster)
    found = [_put(client, "cluster", cluster.id, key=keys.CLUSTER, value=cluster.encode(), dry_run=dry_run)]
    if node is not None:
        found.append(
            _put(client, "node", node.name, key=keys.node(node.name), value=node.encode(), dry_run=dry_run)
        )
    apps: dict[str, None] = {}
    for instance, app in believed:
        name = f"{instance.app}"
        if name not in apps:
            apps[name] = None
            if app is None:
                found.append(Restored("app", name, "lost"))
            else:
                key = keys.app(app.name, app.version)
                found.append(_put(client, "app", name, key=key, value=app.encode(), dry_run=dry_run))
                guard = AppUse(change=instance.change).encode()
                _put(
                    client,
                    "app use",
                    name,
                    key=keys.app_use(app.name, app.version),
                    value=guard,
                    dry_run=dry_run,
                )
        key = keys.instance(instance.node, instance.id)
        found.append(_put(client, "instance", instance.id, key=key, value=instance.encode(), dry_run=dry_run))
        for protocol, port in app.spec.host_ports() if app is not None else ():
            claim = PortClaim(uid=instance.uid, instance=instance.id).encode()
            key = keys.port(instance.node, protocol, port)
            found.append(_put(client, "port", f"{port}/{protocol}", key=key, value=claim, dry_run=dry_run))
    return found


def _refuse_another(client: Client, cluster: Cluster) -> None:
    entry = client.store.get(keys.CLUSTER, consistent=True)
    if entry is None:
        return
    try:
        there = Cluster.decode(entry.value)
    except UnreadableRecord as problem:
        raise errors.Conflict(f"{keys.CLUSTER} is there and does not parse: {problem}") from None
    if there.id != cluster.id:
        raise errors.Conflict(
            f"the store is of cluster {there.id}, and this node of cluster {cluster.id}: nothing was put back",
            hint="Give --store the store that lost its data, or delete the other cluster's keys (roj/v1/) first.",
        )


def _put(client: Client, what: str, name: str, *, key: str, value: bytes, dry_run: bool) -> Restored:
    entry = client.store.get(key, consistent=True)
    if entry is not None:
        return Restored(what, name, "there" if entry.value == value else "other")
    if not dry_run:

        def applied() -> bool:
            there = client.store.get(key, consistent=True)
            return there is not None and there.value == value

        try:
            client.write([Create(key, value)], applied)
        except Conflict:
            return Restored(what, name, "there" if applied() else "other")
    return Restored(what, name, "created")
