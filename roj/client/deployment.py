"""Deploy: launch an app on nodes (DESIGN.md section 3, "Written")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault
from roj.api.instance import Instance, PortClaim, Write, new_instance
from roj.api.names import check_instance_id, check_name, new_instance_id
from roj.api.node import Node
from roj.client import errors
from roj.client.apps import StoredApp, get_app, guard_write, pinned_images
from roj.client.client import Client
from roj.client.cluster import Cluster, holder, read_cluster
from roj.client.records import has_change
from roj.client.snapshot import Unreadable, decoded
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
    created: Callable[[Launch], None] = lambda _: None,
) -> list[Launch]:
    """Launch `count` instances of an app on each node: 4 reads, then 1 read and 1 write a node and 61 instances.

    Everything is checked before the first write. A node that is away gets its order when it is back.

    Args:
        id: what the instance is to be called; by default the app's name and five characters. With it, the same again
            is no change.
        created: told of each as soon as the store has it: what is told stands, also where a later node is refused.

    Raises:
        errors.NotFound: there is no such app or node.
        errors.Invalid: the names or numbers cannot be meant.
        errors.Conflict: a port or the id is taken, a node takes nothing, or others wrote first again and again.
        errors.Failed: the app's record is not understood.
        errors.Unreachable: no answer to a write in time; the id that may be there is named.
    """
    _refuse_nonsense(nodes, count, id)
    nodes = list(dict.fromkeys(nodes))
    app = get_app(client, name, version)
    if count > 1 and app.app.spec.host_ports():
        ports = ", ".join(f"{port}/{protocol}" for protocol, port in app.app.spec.host_ports())
        raise errors.Invalid(
            f"{app.reference} takes the fixed port {ports} of its node: only one instance fits there",
            hint="Leave --count out, or write a version of the app without a host port.",
        )
    images = pinned_images(client, app.app)
    cluster = read_cluster(client)
    existing = _existing(cluster, app, nodes[0], id) if id is not None else None
    if existing is not None:
        created(existing)
        return [existing]
    _refuse_impossible(cluster, app, nodes)
    launches: list[Launch] = []
    for node in nodes:
        left = count
        while left:
            made = _launch(client, app, node, images, cluster, count=min(ROOM, left), id=id, why=why)
            left -= len(made)
            launches.extend(made)
            for launch in made:
                cluster.reported[node, launch.id] = None  # the next one gets another id
                created(launch)
    return launches


ROOM = MAX_OPERATIONS - 3
"""Instances of one transaction, beside its two checks and the guard; one with fixed ports is alone in its own."""


def _refuse_nonsense(nodes: Sequence[str], count: int, id: str | None) -> None:
    faults = []
    for node in nodes:
        try:
            check_name(node)
        except ValueError as problem:
            faults.append(Fault("NODE", str(problem)))
    if not nodes:
        faults.append(Fault("NODE", "name at least one"))
    if count < 1:
        faults.append(Fault("--count", "1 is the least"))
    if id is not None:
        try:
            check_instance_id(id)
        except ValueError as problem:
            faults.append(Fault("--id", str(problem)))
        if len(dict.fromkeys(nodes)) > 1 or count > 1:
            faults.append(Fault("--id", "goes with one node and a count of 1"))
    if faults:
        raise errors.Invalid("this cannot be deployed:", faults=faults)


def _existing(cluster: Cluster, app: StoredApp, node: str, id: str) -> Launch | None:
    """The instance that has the id, if it is the one that is asked for.

    Raises:
        errors.Conflict: the id is taken by another.
    """
    for place in cluster.places(id):
        if place[0] != node:
            raise errors.Conflict(
                f"the id {id} is taken: {place[0]}/{id}", hint="Ids are unique in the cluster."
            )
        instance = decoded(Instance, cluster.instances[place], node=node, id=id)
        if isinstance(instance, Unreadable):
            raise errors.Conflict(f"{node}/{id} is there, and is not understood: {instance.problem}")
        if instance.goal == "undeploy":
            raise errors.Conflict(f"{node}/{id} is being undeployed", hint="Repeat it when it is gone.")
        if instance.app != app.reference:
            raise errors.Conflict(
                f"{node}/{id} is there already, and runs {instance.app}"
                + (", another app of that name" if str(instance.app) == str(app.reference) else "")
            )
        away = node not in cluster.present
        return Launch(node, id, instance.uid, instance.generation, existed=True, away=away)
    for place in cluster.unclaimed(id):
        raise errors.Conflict(
            f"the id {id} is taken: {place[0]} reports {id}, of which the store has no record",
            hint=f"`roj adopt {place[0]}/{id}` claims it, `roj undeploy {place[0]}/{id}` removes it.",
        )
    return None


def _refuse_impossible(cluster: Cluster, app: StoredApp, nodes: Sequence[str]) -> None:
    unknown = [node for node in nodes if node not in cluster.nodes]
    if unknown:
        known = list(cluster.nodes)
        more = f" and {len(known) - 10} more" if len(known) > 10 else ""
        raise errors.NotFound(
            f"there is no node {', '.join(unknown)}",
            hint=f"There are {', '.join(known[:10])}{more}."
            if known
            else "There are none yet: `roj agent` on a machine makes it one.",
        )
    problems = []
    for node in nodes:
        record = decoded(Node, cluster.nodes[node], name=node)
        if isinstance(record, Unreadable):
            problems.append(Fault(node, f"its record is not understood: {record.problem}"))
            continue
        for word, mark in (("forgotten", record.forgotten), ("cordoned", record.cordoned)):
            if mark is not None:
                by = f" by {mark.who}" if mark.who else ""
                why = f": {mark.why}" if mark.why else ""
                problems.append(Fault(node, f"was {word}{by}{why}, and takes no new instances"))
        for protocol, port in app.app.spec.host_ports():
            claim = cluster.claims.get(keys.port(node, protocol, port))
            if claim is not None:
                problems.append(Fault(node, f"port {port}/{protocol} is held by {holder(claim)}"))
    if len(problems) == 1:
        raise errors.Conflict(f"{app.reference} cannot be deployed: {problems[0]}")
    if problems:
        raise errors.Conflict(f"{app.reference} cannot be deployed:", faults=problems)


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
) -> list[Launch]:
    """One transaction. `cluster` is as it was before the first; what was created since is found by the conflict.

    The change id and the uids stay the same however often it is tried, unless somebody else took one of the ids.
    """
    batch = _new_batch(client, app, node, cluster, count=count, id=id)
    known = cluster
    existing: Launch | None = None

    def attempt() -> bool:
        nonlocal known, batch, existing
        writes = _writes(client, app, batch, images, why)
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
            existing = _existing(known, app, node, id) if id is not None else None
            if existing is not None:
                return True
            _refuse_impossible(known, app, [node])
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


def _writes(client: Client, app: StoredApp, batch: _Batch, images: dict[str, str], why: str) -> list[Create]:
    writes = []
    for id, uid in batch.ids.items():
        write = Write(batch.change, client.environment.now(), client.who, why)
        instance = new_instance(
            id=id, node=batch.node, uid=uid, write=write, app=app.reference, images=images
        )
        writes.append(Create(keys.instance(batch.node, id), instance.encode()))
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
