"""Apply: what documents say becomes what is wanted. First all of it is compared with the store, then it is written.

read and compare    3 lists
write               as `create_app`, `change_nodes`, `deploy`, `upgrade` and `set_goals` do, for what differs
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from roj.api import keys
from roj.api.app import App, AppReference
from roj.api.document import AppDocument, Document, InstanceDocument, NodeDocument
from roj.api.faults import Fault, UnreadableRecord
from roj.api.instance import Instance, PortClaim
from roj.api.names import parse_app_reference
from roj.api.node import Mark, Node
from roj.api.record import digest_of
from roj.client import errors
from roj.client.admission import refusals_of_nodes
from roj.client.apps import StoredApp, create_app, write_of
from roj.client.changes import Terms
from roj.client.client import Client
from roj.client.cluster import Cluster, holder, read_cluster
from roj.client.deployment import deploy
from roj.client.goals import set_goals
from roj.client.nodes import change_nodes
from roj.client.reading import listed
from roj.client.refusals import Refusal, raise_refusals
from roj.client.selection import stored_node
from roj.client.snapshot import Unreadable, decoded
from roj.client.upgrade import upgrade
from roj.store.interface import Entry, Store

Action = Literal["create", "change", "undeploy", "none"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A document, and where it stands: `web.yaml, document 2`."""

    place: str
    document: Document


@dataclass(frozen=True, slots=True)
class Step:
    """What applying does to one app, node or instance."""

    kind: Literal["app", "node", "instance"]
    name: str
    action: Action
    changes: tuple[str, ...] = ()
    """In words: `app web:v1 -> web:v2`."""
    place: str = ""
    """Where the document stands; empty: none names it, and it is pruned."""
    document: Document | None = None
    instance: Instance | None = None
    """As it was when it was compared."""


def plan(client: Client, documents: Sequence[Placed], *, prune: bool = False) -> list[Step]:
    """What `carry_out` would write: apps, then nodes, then instances, then what is pruned: 3 lists.

    Args:
        documents: each of another app, node or instance.
        prune: instances of apps whose names are in the documents, and that no document names, are undeployed.

    Raises:
        errors.NotFound, errors.Conflict: with every reason why they cannot be applied.
    """
    apps = {entry.key: entry for entry in listed(client.store, keys.APPS, consistent=True).entries}
    comparison = _Comparison(client, apps, read_cluster(client))
    order = (AppDocument, NodeDocument, InstanceDocument)
    for placed in sorted(documents, key=lambda placed: order.index(type(placed.document))):
        comparison.compare(placed)
    raise_refusals("this cannot be applied", comparison.refusals)
    if prune:
        comparison.prune([placed.document for placed in documents])
    return comparison.steps


def carry_out(
    client: Client, steps: Sequence[Step], *, why: str = "", told: Callable[[Step], None] = lambda _: None
) -> None:
    """Write what was planned, one after another; an instance only if nobody changed it since.

    Raises:
        errors.ClientError: as the operations do; what was `told` before stands.
    """
    for step in steps:
        if step.action != "none":
            _write(client, step, why)
        told(step)


def _write(client: Client, step: Step, why: str) -> None:
    match step.document:
        case AppDocument() as app:
            create_app(client, app.name, app.version, app.spec, why)
        case NodeDocument() as node:
            change_nodes(
                client, [stored_node(client, node.node)], lambda record, mark: declared(node, record, mark), why=why
            )  # fmt: skip
        case InstanceDocument() as wanted:
            _write_instance(client, wanted, step.instance, why)
        case None:
            assert step.instance is not None
            set_goals(client, [_full_name(step.instance)], "undeploy", _terms(step.instance, why))


def _write_instance(client: Client, wanted: InstanceDocument, before: Instance | None, why: str) -> None:
    name, version = parse_app_reference(wanted.app)
    if before is None:
        deploy(client, name, version, [wanted.node], id=wanted.instance, why=why, goal=wanted.goal)
        return
    terms = _terms(before, why)
    reference = [_full_name(before)]

    def set_goal(terms: Terms) -> None:
        if before.goal != wanted.goal:
            set_goals(client, reference, wanted.goal, terms)

    def set_app(terms: Terms) -> None:
        if str(before.app) != wanted.app:
            upgrade(client, name, version, reference, terms=terms, other_app=True)

    # What is to stop does so before it gets another app, and what is to start has it before it does.
    first, second = (set_goal, set_app) if wanted.goal == "stop" else (set_app, set_goal)
    both = before.goal != wanted.goal and str(before.app) != wanted.app
    first(terms)
    second(replace(terms, if_change="") if both else terms)


def _terms(instance: Instance, why: str) -> Terms:
    return Terms(why=why, if_change=instance.change)


def _full_name(instance: Instance) -> str:
    return f"{instance.node}/{instance.id}"


def declared(document: NodeDocument, node: Node, mark: Mark) -> Node:
    """A node's record as the document says; the same one where it is so already."""
    update: dict[str, object] = {}
    if document.labels is not None and document.labels != node.labels:
        update["labels"] = document.labels
    if document.windows is not None and document.windows != node.windows:
        update["windows"] = document.windows
    closed = node.cordoned is not None or node.drained is not None
    if document.cordoned is not None and document.cordoned != closed:
        update |= {"cordoned": mark} if document.cordoned else {"cordoned": None, "drained": None}
    return node.model_copy(update=update) if update else node


class _Comparison:
    """Documents against what is there, one after the other; what an earlier one would make counts for a later one."""

    def __init__(self, client: Client, apps: dict[str, Entry], cluster: Cluster) -> None:
        self.steps: list[Step] = []
        self.refusals: list[Refusal] = []
        self._client = client
        self._apps = apps
        self._made: dict[str, StoredApp] = {}
        self._cluster = cluster

    def compare(self, placed: Placed) -> None:
        match placed.document:
            case AppDocument() as app:
                self._app(placed, app)
            case NodeDocument() as node:
                self._node(placed, node)
            case InstanceDocument() as instance:
                self._instance(placed, instance)

    def prune(self, documents: Sequence[Document]) -> None:
        names: dict[str, None] = {}
        kept: dict[str, None] = {}
        for document in documents:
            match document:
                case AppDocument():
                    names[document.name] = None
                case InstanceDocument():
                    names[document.app.partition(":")[0]] = None
                    kept[document.instance] = None
        for (node, id), entry in sorted(self._cluster.instances.items()):
            record = decoded(Instance, entry, node=node, id=id)
            if isinstance(record, Unreadable) or record.goal == "undeploy" or id in kept:
                continue
            if record.app.name in names:
                changes = (f"{record.app} on {node}",)
                self.steps.append(Step("instance", id, "undeploy", changes, instance=record))

    def _refuse(self, placed: Placed, kind: type[errors.ClientError], problem: str, hint: str = "") -> None:
        self.refusals.append(Refusal(kind, Fault(placed.place, problem), hint))

    def _app(self, placed: Placed, document: AppDocument) -> None:
        name = document.reference
        there = self._stored(placed, name)
        if there is not None and there.app.spec != document.spec:
            hint = f"Apps never change: write it under another version. `roj export app {name}` prints it."
            self._refuse(
                placed, errors.Conflict, f"app {name} is there already, with another specification", hint
            )
        if there is None:
            now = self._client.environment.now()
            app = App.of(document.spec, name=document.name, version=document.version, created=now)
            try:
                write_of(app)
            except errors.Invalid as problem:
                self._refuse(placed, errors.Invalid, problem.message, problem.hint)
            self._made[name] = StoredApp(
                app, AppReference(name=app.name, version=app.version, digest=app.digest()), 0
            )
        action: Action = "create" if there is None else "none"
        self.steps.append(Step("app", name, action, place=placed.place, document=document))

    def _stored(self, placed: Placed, reference: str) -> StoredApp | None:
        """The app as it is in the store."""
        name, version = parse_app_reference(reference)
        entry = self._apps.get(keys.app(name, version))
        if entry is None:
            return None
        record = decoded(App, entry, name=name, version=version)
        if isinstance(record, Unreadable):
            self._refuse(
                placed, errors.Failed, f"the record of app {reference} is not understood: {record.problem}"
            )
            return None
        digest = digest_of(entry.value)
        return StoredApp(record, AppReference(name=name, version=version, digest=digest), entry.version)

    def _node(self, placed: Placed, document: NodeDocument) -> None:
        entry = self._cluster.nodes.get(document.node)
        if entry is None:
            hint = "`roj agent` on a machine makes it a node; `roj nodes` lists all."
            self._refuse(placed, errors.NotFound, f"there is no node {document.node}", hint)
            return
        before = decoded(Node, entry, name=document.node)
        if isinstance(before, Unreadable):
            self._refuse(
                placed,
                errors.Conflict,
                f"the record of {document.node} is not understood: {before.problem}",
            )
            return
        if before.forgotten is not None:
            self._refuse(
                placed, errors.Conflict, f"{document.node} {before.forgotten.in_words('was forgotten')}"
            )
            return
        after = declared(document, before, Mark(when=self._client.environment.now()))
        changes = []
        if after.labels != before.labels:
            changes.append(f"labels {_pairs(before.labels)} -> {_pairs(after.labels)}")
        if (after.cordoned is None) != (before.cordoned is None) or after.drained != before.drained:
            changes.append("cordoned" if after.cordoned is not None else "no longer cordoned")
        if after.windows != before.windows:
            changes.append(f"windows {_list(before.windows)} -> {_list(after.windows)}")
        self._cluster.nodes[document.node] = replace(entry, value=after.encode())
        action: Action = "change" if changes else "none"
        self.steps.append(
            Step("node", document.node, action, tuple(changes), place=placed.place, document=document)
        )

    def _instance(self, placed: Placed, document: InstanceDocument) -> None:
        app = self._made.get(document.app) or self._stored(placed, document.app)
        if app is None:
            hint = "`roj apps` lists all; a document `app: NAME:VERSION` writes one."
            self._refuse(placed, errors.NotFound, f"there is no app {document.app}", hint)
        places = list(self._cluster.places(document.instance))
        elsewhere = [node for node, _ in places if node != document.node]
        if elsewhere:
            hint = "An instance stays on its node: undeploy it there, or choose another id."
            self._refuse(placed, errors.Conflict, f"{document.instance} is on node {elsewhere[0]}", hint)
        elif places:
            self._present(placed, document, app, self._cluster.instances[places[0]])
        else:
            self._absent(placed, document, app)

    def _absent(self, placed: Placed, document: InstanceDocument, app: StoredApp | None) -> None:
        for node, id in self._cluster.unclaimed(document.instance):
            hint = f"`roj adopt {node}/{id}` claims it, `roj undeploy {node}/{id}` removes it."
            self._refuse(
                placed, errors.Conflict, f"{node} reports {id}, of which the store has no record", hint
            )
        for refusal in refusals_of_nodes(self._cluster, app, [document.node]):
            problem = Fault(placed.place, str(refusal.fault))
            self.refusals.append(replace(refusal, fault=problem))
        if app is not None:
            self._claim(document, app, "")
        changes = (f"{document.app} on {document.node}, goal {document.goal}",)
        self.steps.append(Step("instance", document.instance, "create", changes, placed.place, document))

    def _present(
        self, placed: Placed, document: InstanceDocument, app: StoredApp | None, entry: Entry
    ) -> None:
        before = decoded(Instance, entry, node=document.node, id=document.instance)
        if isinstance(before, Unreadable):
            hint = f"`roj adopt {document.instance}` puts back the last good one that its node obeys."
            self._refuse(placed, errors.Conflict, f"its record is not understood: {before.problem}", hint)
            return
        if before.goal == "undeploy":
            self._refuse(
                placed,
                errors.Conflict,
                f"{document.instance} is being undeployed",
                "Repeat it when it is gone.",
            )
            return
        changes = []
        if str(before.app) != document.app:
            changes.append(f"app {before.app} -> {document.app}")
            for taken in self._taken(document, app, before.uid) if app is not None else ():
                self._refuse(
                    placed, errors.Conflict, f"{document.instance} cannot get {document.app}: {taken}"
                )
            if app is not None:
                self._claim(document, app, before.uid)
        if before.goal != document.goal:
            changes.append(f"goal {before.goal} -> {document.goal}")
        action: Action = "change" if changes else "none"
        self.steps.append(
            Step("instance", document.instance, action, tuple(changes), placed.place, document, before)
        )

    def _taken(self, document: InstanceDocument, app: StoredApp, uid: str) -> list[str]:
        """The fixed ports that others hold."""
        taken = []
        for protocol, port in app.app.host_ports():
            claim = self._cluster.claims.get(keys.port(document.node, protocol, port))
            if claim is not None and not _is_of(claim, uid):
                taken.append(f"port {port}/{protocol} of {document.node} is held by {holder(claim)}")
        return taken

    def _claim(self, document: InstanceDocument, app: StoredApp, uid: str) -> None:
        """From here on its ports are taken."""
        value = PortClaim(uid=uid or document.instance, instance=document.instance).encode()
        for protocol, port in app.app.host_ports():
            key = keys.port(document.node, protocol, port)
            self._cluster.claims.setdefault(key, Entry(key=key, value=value, version=0))


def _is_of(claim: Entry, uid: str) -> bool:
    try:
        return PortClaim.decode(claim.value).uid == uid
    except UnreadableRecord:
        return False


def _pairs(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "none"


def _list(texts: Sequence[str]) -> str:
    return "; ".join(texts) or "none"


def declared_records(store: Store, kinds: Sequence[str]) -> tuple[list[App | Node | Instance], list[str]]:
    """What is declared, for documents that would change nothing: apps, nodes, instances, by name: 1 or 2 lists.

    Instances that are being undeployed are none of it.

    Returns:
        The records, and what is wrong with those that do not parse.
    """
    found: list[App | Unreadable] | list[Any] = []
    if "app" in kinds:
        for entry in listed(store, keys.APPS).entries:
            name, _, version = entry.key.removeprefix(keys.APPS).partition("/")
            found.append(decoded(App, entry, name=name, version=version))
    nodes: list[Any] = []
    instances: list[Any] = []
    if "node" in kinds or "instance" in kinds:
        for entry in listed(store, keys.DESIRED).entries:
            match entry.key.removeprefix(keys.DESIRED).split("/"):
                case [node, "node"]:
                    nodes.append(decoded(Node, entry, name=node))
                case [node, "instances", id]:
                    instances.append(decoded(Instance, entry, node=node, id=id))
    found += nodes if "node" in kinds else []
    found += instances if "instance" in kinds else []
    unreadable = [f"{each.key}: {each.problem}" for each in found if isinstance(each, Unreadable)]
    records = [
        each
        for each in found
        if not isinstance(each, Unreadable)
        and not (isinstance(each, Instance) and each.goal == "undeploy")
        and not (isinstance(each, Node) and each.forgotten is not None)
    ]
    return records, unreadable
