"""Deploy: launch an app on nodes (DESIGN.md section 3, "Written")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roj.api import keys
from roj.api.faults import Fault
from roj.api.instance import Goal, Instance, PortClaim, Write, new_instance
from roj.api.names import new_instance_id
from roj.client import errors
from roj.client.admission import Request, admitted, existing_instance, refusals_of_nodes
from roj.client.apps import StoredApp, get_app, guard_write, pinned_images
from roj.client.changes import history_plus
from roj.client.client import Client
from roj.client.cluster import Cluster, read_cluster
from roj.client.records import has_change
from roj.client.refusals import raise_refusals
from roj.store.interface import MAX_OPERATIONS, Check, CheckAbsent, Conflict, Create, Operation


@dataclass(frozen=True, slots=True)
class Launch:
    """An instance that was asked for."""

    node: str
    id: str
    uid: str
    generation: int
    existed: bool = False
    """It was there already, as asked for; nothing was written."""
    away: bool = False
    """Its node is away: it does it when it is back."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction creates: instances of one node, under one change id."""

    node: str
    change: str
    ids: dict[str, str]
    """uid by id."""


def deploy(
    client: Client,
    name: str,
    version: str,
    nodes: Sequence[str],
    *,
    count: int = 1,
    id: str | None = None,
    why: str = "",
    goal: Literal["start", "stop"] = "start",
    created: Callable[[Launch], None] = lambda _: None,
    faults: Sequence[Fault] = (),
) -> list[Launch]:
    """Launch `count` instances of an app on each node: 4 reads, then 1 read and 1 write a node and 30 instances.

    Everything is checked before the first write, and every fault is told at once. A node that is away gets its order
    when it is back.

    Args:
        id: what the instance is to be called; by default the app's name and five characters. With it, the same again
            is no change.
        goal: what is wanted of it; `stop`: it is started later.
        created: told of each as soon as the store has it: what is told stands, also where a later node is refused.
        faults: what the caller found wrong already: it is refused together with what is found here.

    Raises:
        errors.Invalid: the names or numbers cannot be meant.
        errors.NotFound: there is no such app or node.
        errors.Conflict: a port or the id is taken, a node takes nothing, or others wrote first again and again.
        errors.Failed: the app's record is not understood.
        errors.Unreachable: no answer to a write in time; the id that may be there is named.
    """
    request = Request(name, version, tuple(nodes), count, id)
    app, cluster, existing = admitted(client, request, faults)
    if existing is not None:
        launch = _found(existing, cluster)
        created(launch)
        return [launch]
    images = pinned_images(client, app.app)
    launches: list[Launch] = []
    for node in nodes:
        left = count
        while left:
            made = _launch(
                client, app, node, images, cluster, count=min(ROOM, left), id=id, why=why, goal=goal
            )
            left -= len(made)
            launches.extend(made)
            for launch in made:
                cluster.reported[node, launch.id] = None  # the next one gets another id
                created(launch)
    return launches


ROOM = (MAX_OPERATIONS - 3) // 2
"""Instances of one transaction, each with its history, beside two checks and the guard; one with fixed ports is alone in
its own."""


def _found(instance: Instance, cluster: Cluster) -> Launch:
    """An instance that was there already."""
    away = instance.node not in cluster.present
    return Launch(instance.node, instance.id, instance.uid, instance.generation, existed=True, away=away)


def _launch(
    client: Client,
    app: StoredApp,
    node: str,
    images: dict[str, str],
    cluster: Cluster,
    *,
    count: int,
    id: str | None,
    why: str,
    goal: Literal["start", "stop"],
) -> list[Launch]:
    """One transaction. `cluster` is as it was before the first; what was created since is found by the conflict.

    The change id and the uids stay the same however often it is tried, unless somebody else took one of the ids.
    """
    batch = _new_batch(client, app, node, cluster, count=count, id=id)
    known = cluster
    existing: Launch | None = None

    def attempt() -> bool:
        nonlocal known, batch, existing
        writes = _writes(client, app, batch, images, why, goal=goal)
        name, version = app.app.name, app.app.version
        operations: list[Operation] = [
            Check(keys.node(node), known.nodes[node].version),
            Check(keys.app(name, version), app.version),
            guard_write(client, name, version, batch.change),
            *writes,
        ]
        if id is not None:
            operations += _nowhere_else(known, node, id, MAX_OPERATIONS - len(operations))
        first = next(iter(batch.ids))

        def applied() -> bool:
            return has_change(client, keys.instance(node, first), batch.change)

        try:
            client.write(operations, applied, otherwise=_otherwise(app, node, batch))
        except Conflict:
            known = read_cluster(client)
            if get_app(client, name, version) != app:
                raise errors.Conflict(f"app {app.reference} was removed or replaced just now") from None
            there = existing_instance(known, app, node, id) if id is not None else None
            existing = _found(there, known) if there is not None else None
            if existing is not None:
                return True
            raise_refusals(f"{app.reference} cannot be deployed", refusals_of_nodes(known, app, [node]))
            taken = known.ids()
            if any(each in taken for each in batch.ids):
                batch = _new_batch(client, app, node, known, count=count, id=id)
            return False
        return True

    if not client.again(attempt):
        raise errors.Conflict(
            f"others wrote to {node} or deployed {app.reference} first, again and again", hint="Repeat it."
        )
    if existing is not None:
        return [existing]
    away = node not in known.present
    return [Launch(node, new, uid, 1, away=away) for new, uid in batch.ids.items()]


def _new_batch(
    client: Client, app: StoredApp, node: str, cluster: Cluster, *, count: int, id: str | None
) -> _Batch:
    environment = client.environment
    taken = cluster.ids()
    ids: dict[str, str] = {}
    while len(ids) < count:
        new = id or new_instance_id(app.app.name, environment.random)
        if id is not None or (new not in taken and new not in ids):
            ids[new] = environment.new_id()
    return _Batch(node, environment.new_id(), ids)


def _writes(
    client: Client, app: StoredApp, batch: _Batch, images: dict[str, str], why: str, *, goal: Goal
) -> list[Operation]:
    writes: list[Operation] = []
    for id, uid in batch.ids.items():
        write = Write(batch.change, client.environment.now(), client.who, why)
        instance = new_instance(
            id=id, node=batch.node, uid=uid, write=write, app=app.reference, images=images, goal=goal
        )
        writes += [Create(keys.instance(batch.node, id), instance.encode()), history_plus(None, instance)]
        claim = PortClaim(uid=uid, instance=id).encode()
        writes += [
            Create(keys.port(batch.node, protocol, port), claim)
            for protocol, port in app.app.spec.host_ports()
        ]
    return writes


def _nowhere_else(cluster: Cluster, node: str, id: str, room: int) -> list[CheckAbsent]:
    """That no other node has the id by now: two people may choose one at once. As far as there is room; what was there
    before is known anyway, and ids that roj chooses are not chosen twice."""
    return [CheckAbsent(keys.instance(other, id)) for other in cluster.nodes if other != node][:room]


def _otherwise(app: StoredApp, node: str, batch: _Batch) -> str:
    names = ", ".join(list(batch.ids)[:5]) + (" ..." if len(batch.ids) > 5 else "")
    text = f"`roj instances {node}` shows whether {names} {'is' if len(batch.ids) == 1 else 'are'} there."
    if len(batch.ids) == 1:
        text += f" `roj deploy {app.reference} {node} --id {names}` is safe in either case."
    return text
