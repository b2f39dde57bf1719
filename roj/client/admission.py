"""Admission: everything that speaks against a deploy, found before its first write and told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault
from roj.api.instance import Instance
from roj.api.names import check_instance_id, check_name, parse_app_reference
from roj.api.node import Node
from roj.client import errors
from roj.client.apps import StoredApp, get_app
from roj.client.client import Client
from roj.client.cluster import Cluster, holder, read_cluster
from roj.client.refusals import Refusal, raise_refusals
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import StoreError


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be deployed, as somebody asked for it: any of it may be nonsense."""

    name: str
    version: str
    """Empty where none was named."""
    nodes: tuple[str, ...]
    count: int
    id: str | None

    @property
    def reference(self) -> str:
        """The app as it was named."""
        return f"{self.name}:{self.version}" if self.version else self.name


def admitted(
    client: Client, request: Request, faults: Sequence[Fault] = ()
) -> tuple[StoredApp, Cluster, Instance | None]:
    """The app, the cluster as it was checked against, and the instance that is there already: 3 reads.

    Args:
        faults: what the caller found wrong already: it is refused together with what is found here.

    Raises:
        errors.Invalid, errors.NotFound, errors.Conflict, errors.Failed: as `deploy` has them.
    """
    what = f"{request.reference} cannot be deployed"
    refusals = [Refusal(errors.Invalid, fault) for fault in (*faults, *_nonsense(request))]
    try:
        app, more = _wanted_app(client, request)
        cluster = read_cluster(client)
    except StoreError:
        raise_refusals(what, refusals)  # they are wrong whatever the store would say
        raise
    existing = None
    if request.id is not None and len(request.nodes) == 1 and not _faults("", check_instance_id, request.id):
        try:
            existing = existing_instance(cluster, app, request.nodes[0], request.id)
        except errors.Conflict as taken:
            more.append(Refusal.of(taken))
    if existing is None:
        named = [node for node in dict.fromkeys(request.nodes) if not _faults("", check_name, node)]
        more += refusals_of_nodes(cluster, app, named)
    raise_refusals(what, [*refusals, *more])
    assert app is not None  # else that is a refusal
    return app, cluster, existing


def _wanted_app(client: Client, request: Request) -> tuple[StoredApp | None, list[Refusal]]:
    """The app, and what it has against the request; None where it is not to be had."""
    if _faults("", parse_app_reference, request.reference):
        return None, []
    try:
        app = get_app(client, request.name, request.version)
    except errors.ClientError as problem:
        return None, [Refusal.of(problem)]
    if request.count <= 1 or not app.app.spec.host_ports():
        return app, []
    ports = ", ".join(f"{port}/{protocol}" for protocol, port in app.app.spec.host_ports())
    fault = Fault("--count", f"it takes the fixed port {ports} of its node: only one instance fits there")
    hint = "Leave --count out, or write a version of the app without a host port."
    return app, [Refusal(errors.Invalid, fault, hint)]


def _nonsense(request: Request) -> list[Fault]:
    """What is wrong whatever the store says."""
    faults = _faults("NAME:VERSION", parse_app_reference, request.reference)
    for node in dict.fromkeys(request.nodes):
        faults += _faults("NODE", check_name, node)
        if request.nodes.count(node) > 1:
            faults.append(Fault("NODE", f"{node} is named twice; --count 2 makes two instances on each node"))
    if not request.nodes:
        faults.append(Fault("NODE", "name at least one"))
    if request.count < 1:
        faults.append(Fault("--count", "1 is the least"))
    if request.id is not None:
        faults += _faults("--id", check_instance_id, request.id)
        if len(request.nodes) > 1 or request.count > 1:
            faults.append(Fault("--id", "goes with one node and a count of 1"))
    return faults


def _faults(place: str, check: Callable[[str], object], text: str) -> list[Fault]:
    try:
        check(text)
    except ValueError as problem:
        return [Fault(place, str(problem))]
    return []


def existing_instance(cluster: Cluster, app: StoredApp | None, node: str, id: str) -> Instance | None:
    """The instance that has the id, if it is the one that is asked for; None where no app is asked for.

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
        if app is None:
            return None
        if instance.app != app.reference:
            raise errors.Conflict(
                f"{node}/{id} is there already, and runs {instance.app}"
                + (", another app of that name" if str(instance.app) == str(app.reference) else "")
            )
        return instance
    for place in cluster.unclaimed(id):
        raise errors.Conflict(
            f"the id {id} is taken: {place[0]} reports {id}, of which the store has no record",
            hint=f"`roj adopt {place[0]}/{id}` claims it, `roj undeploy {place[0]}/{id}` removes it.",
        )
    return None


def refusals_of_nodes(cluster: Cluster, app: StoredApp | None, nodes: Sequence[str]) -> list[Refusal]:
    """What the nodes have against an app, or (None) against any: they are not there, take nothing, a port is taken."""
    refusals = []
    unknown = [node for node in nodes if node not in cluster.nodes]
    if unknown:
        known = list(cluster.nodes)
        more = f" and {len(known) - 10} more" if len(known) > 10 else ""
        hint = (
            f"There are the nodes {', '.join(known[:10])}{more}."
            if known
            else "There are no nodes yet: `roj agent` on a machine makes it one."
        )
        fault = Fault("", f"there is no node {', '.join(unknown)}")
        refusals.append(Refusal(errors.NotFound, fault, hint))
    for node in nodes:
        if node not in unknown:
            refusals += [
                Refusal(errors.Conflict, Fault(node, problem)) for problem in _against(cluster, app, node)
            ]
    return refusals


def _against(cluster: Cluster, app: StoredApp | None, node: str) -> Iterator[str]:
    """Why a node that is there takes no instance of the app."""
    record = decoded(Node, cluster.nodes[node], name=node)
    if isinstance(record, Unreadable):
        yield f"its record is not understood: {record.problem}"
        return
    for word, mark in (("forgotten", record.forgotten), ("cordoned", record.cordoned)):
        if mark is not None:
            by = f" by {mark.who}" if mark.who else ""
            why = f": {mark.why}" if mark.why else ""
            yield f"was {word}{by}{why}, and takes no new instances"
    for protocol, port in app.app.spec.host_ports() if app is not None else ():
        claim = cluster.claims.get(keys.port(node, protocol, port))
        if claim is not None:
            yield f"port {port}/{protocol} is held by {holder(claim)}"
