"""Deploy: launch an app on nodes (DESIGN.md section 3, "Written")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.instance import Instance, PortClaim, new_instance
from roj.api.names import check_instance_id, check_name, new_instance_id
from roj.api.node import Node
from roj.client import errors
from roj.client.apps import StoredApp, get_app, guard_write, pinned_images
from roj.client.client import Client
from roj.store.interface import MAX_OPERATIONS, Check, Conflict, Create, Entry, Listing, Operation


@dataclass(frozen=True, slots=True)
class Launch:
    """An instance that was asked for."""

    node: str
    id: str
    uid: str
    generation: int
    existed: bool = False
    """It was there already, as asked for; nothing was written."""


@dataclass(frozen=True, slots=True)
class _Cluster:
    """What is desired in the whole cluster, as one list gave it."""

    nodes: dict[str, Entry]
    instances: dict[tuple[str, str], Entry]
    claims: dict[str, Entry]

    def holders(self, id: str) -> list[tuple[str, str]]:
        return [place for place in self.instances if place[1] == id]


def deploy(
    client: Client,
    name: str,
    version: str,
    nodes: Sequence[str],
    *,
    count: int = 1,
    id: str | None = None,
    why: str = "",
) -> list[Launch]:
    """Launch `count` instances of an app on each node: 4 reads, then 1 read and 1 write for each node.

    Everything is checked before the first write. A node that is away gets its order when it is back.

    Raises:
        errors.NotFound: there is no such app or node.
        errors.Invalid: the names or numbers cannot be meant.
        errors.Conflict: a port or the id is taken, a node takes nothing, or others wrote first again and again.
    """
    _refuse_nonsense(nodes, count, id)
    nodes = list(dict.fromkeys(nodes))
    app = get_app(client, name, version)
    if count > 1 and app.app.spec.host_ports():
        ports = ", ".join(f"{port}/{protocol}" for protocol, port in app.app.spec.host_ports())
        raise errors.Invalid(
            f"{app.app.reference} takes the fixed port {ports} of its node: only one instance fits there",
            hint="Leave --count out, or write a version of the app without a host port.",
        )
    images = pinned_images(client, name, version)
    cluster = _read(client)
    if id is not None:
        existing = _existing(cluster, app, nodes[0], id)
        if existing is not None:
            return [existing]
    _refuse_impossible(cluster, app, nodes)
    launches: list[Launch] = []
    for node in nodes:
        launches.extend(_launch_on(client, app, node, images, cluster, count=count, id=id, why=why))
    return launches


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


def _read(client: Client) -> _Cluster:
    return _sorted_out(client.store.list(keys.DESIRED, consistent=True))


def _sorted_out(listing: Listing) -> _Cluster:
    cluster = _Cluster({}, {}, {})
    for entry in listing.entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "node"]:
                cluster.nodes[node] = entry
            case [node, "instances", id]:
                cluster.instances[node, id] = entry
            case [_, "ports", _]:
                cluster.claims[entry.key] = entry
    return cluster


def _existing(cluster: _Cluster, app: StoredApp, node: str, id: str) -> Launch | None:
    """The instance that has the id, if it is the one that is asked for.

    Raises:
        errors.Conflict: the id is taken by another.
    """
    for place in cluster.holders(id):
        try:
            instance = Instance.decode(cluster.instances[place].value)
        except UnreadableRecord as problem:
            raise errors.Conflict(f"{place[0]}/{id} is there, and does not parse: {problem}") from None
        if place[0] != node:
            raise errors.Conflict(
                f"the id {id} is taken: {place[0]}/{id}", hint="Ids are unique in the cluster."
            )
        if instance.goal == "undeploy":
            raise errors.Conflict(f"{node}/{id} is being undeployed", hint="Repeat it when it is gone.")
        if instance.app != app.reference:
            raise errors.Conflict(f"{node}/{id} is there already, and runs {instance.app}")
        return Launch(node, id, instance.uid, instance.generation, existed=True)
    return None


def _refuse_impossible(cluster: _Cluster, app: StoredApp, nodes: Sequence[str]) -> None:
    unknown = [node for node in nodes if node not in cluster.nodes]
    if unknown:
        known = ", ".join(list(cluster.nodes)[:10])
        raise errors.NotFound(
            f"there is no node {', '.join(unknown)}",
            hint=f"There are {known}."
            if known
            else "There are none yet: `roj agent` on a machine makes it one.",
        )
    problems = []
    for node in nodes:
        try:
            record = Node.decode(cluster.nodes[node].value)
        except UnreadableRecord as problem:
            problems.append(Fault(node, f"its record does not parse: {problem}"))
            continue
        for word, mark in (("forgotten", record.forgotten), ("cordoned", record.cordoned)):
            if mark is not None:
                by = f" by {mark.who}" if mark.who else ""
                why = f": {mark.why}" if mark.why else ""
                problems.append(Fault(node, f"was {word}{by}{why}, and takes no new instances"))
        for protocol, port in app.app.spec.host_ports():
            claim = cluster.claims.get(keys.port(node, protocol, port))
            if claim is not None:
                problems.append(Fault(node, f"port {port}/{protocol} is held by {_holder(claim)}"))
    if problems:
        raise errors.Conflict("nothing was deployed:", faults=problems)


def _holder(claim: Entry) -> str:
    try:
        return f"instance {PortClaim.decode(claim.value).instance}"
    except UnreadableRecord:
        return f"a claim that does not parse ({claim.key})"


def _launch_on(
    client: Client,
    app: StoredApp,
    node: str,
    images: dict[str, str],
    cluster: _Cluster,
    *,
    count: int,
    id: str | None,
    why: str,
) -> list[Launch]:
    """One transaction, or as many as the store's limit on operations asks for."""
    room = MAX_OPERATIONS - 3 - len(app.app.spec.host_ports())
    launches: list[Launch] = []
    while len(launches) < count:
        launches.extend(
            _one_transaction(
                client, app, node, images, cluster, count=min(room, count - len(launches)), id=id, why=why
            )
        )
    return launches


def _one_transaction(
    client: Client,
    app: StoredApp,
    node: str,
    images: dict[str, str],
    cluster: _Cluster,
    *,
    count: int,
    id: str | None,
    why: str,
) -> list[Launch]:
    environment = client.environment
    known = cluster
    launches: list[Launch] = []

    def attempt() -> bool:
        nonlocal known, launches
        change = environment.new_id()
        launches, writes = [], []
        taken = {place[1]: None for place in known.instances}
        for _ in range(count):
            new = id or new_instance_id(app.app.name, environment.random)
            while id is None and new in taken:
                new = new_instance_id(app.app.name, environment.random)
            taken[new] = None
            uid = environment.new_id()
            instance = new_instance(
                id=new, node=node, uid=uid, change=change, app=app.reference, when=environment.now(),
                who=client.who, why=why, images=images,
            )  # fmt: skip
            launches.append(Launch(node, new, uid, 1))
            writes.append(Create(keys.instance(node, new), instance.encode()))
            for protocol, port in app.app.spec.host_ports():
                claim = PortClaim(uid=uid, instance=new)
                writes.append(Create(keys.port(node, protocol, port), claim.encode()))
        operations: list[Operation] = [
            Check(keys.node(node), known.nodes[node].version),
            Check(keys.app(app.app.name, app.app.version), app.version),
            guard_write(client, app.app.name, app.app.version, change),
            *writes,
        ]
        first = keys.instance(node, launches[0].id)

        def applied() -> bool:
            entry = client.store.get(first, consistent=True)
            return entry is not None and entry.value == writes[0].value

        try:
            client.write(operations, applied)
        except Conflict:
            known = _read(client)
            if get_app(client, app.app.name, app.app.version) != app:
                raise errors.Conflict(f"app {app.app.reference} was removed or replaced just now") from None
            if id is not None:
                existing = _existing(known, app, node, id)
                if existing is not None:
                    launches = [existing]
                    return True
            _refuse_impossible(known, app, [node])
            return False
        return True

    if not client.again(attempt):
        raise errors.Conflict(f"others wrote to {node} first, again and again", hint="Repeat it.")
    return launches
