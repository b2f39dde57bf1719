"""Undeploy without the node: what operators do in the place of an agent that will not come back (DESIGN.md section 3)."""

from __future__ import annotations

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import PortClaim
from roj.api.node import Node
from roj.client import errors
from roj.client.audit import audit
from roj.client.client import Client
from roj.client.references import Target
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Check, CheckAbsent, Conflict, Delete, Discard, Entry, Operation


def forgotten(client: Client, node: str) -> Entry | None:
    """The node's record, where it says that the node was forgotten: 1 request."""
    entry = client.store.get(keys.node(node), consistent=True)
    record = decoded(Node, entry, name=node) if entry is not None else None
    if entry is None or record is None or isinstance(record, Unreadable) or record.forgotten is None:
        return None
    return entry


def remove(client: Client, target: Target, sentinel: Entry, why: str) -> None:
    """Delete an instance of a forgotten node, with its claims, status and history, in one transaction: 2 reads, 1 write.

    Args:
        sentinel: the node's record; as long as it is this one, no agent of the node acts.

    Raises:
        errors.Conflict: somebody changed instance or node meanwhile.
        errors.Unreachable: no answer to the write in time.
    """
    record = keys.instance(target.node, target.id)
    instance = target.desired()
    uid = instance.uid if instance is not None else target.status.uid if target.status is not None else ""
    operations: list[Operation] = [
        Check(sentinel.key, sentinel.version),
        Delete(record, target.entry.version) if target.entry is not None else CheckAbsent(record),
        Discard(keys.instance_status(target.node, target.id)),
        Discard(keys.history(target.node, target.id)),
    ]
    for entry in client.store.list(keys.ports(target.node), consistent=True).entries:
        try:
            if PortClaim.decode(entry.value).uid == uid:
                operations.append(Discard(entry.key))
        except UnreadableRecord:
            continue
    message = f"{target.id} of {target.node}, which was forgotten, was undeployed without it"
    event = audit(client, reason="Undeployed", message=message, why=why, node=target.node)
    try:
        client.write(
            [*operations, *event],
            lambda: client.store.get(event[0].key, consistent=True) is not None,
            otherwise="`roj instances` shows whether it is there; the same again is safe.",
        )
    except Conflict:
        raise errors.Conflict(
            f"{target.name} was not undeployed: it or its node was changed just now", hint="Look again."
        ) from None
