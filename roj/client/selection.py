"""Which nodes a person means, by name or by a selector; and which instances, where they are not named one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.instance import Instance
from roj.api.names import check_name
from roj.api.node import Node
from roj.api.selector import Selector
from roj.client import errors
from roj.client.client import Client
from roj.client.reading import listed
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Entry


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node's record, and where it is."""

    node: Node
    entry: Entry

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, slots=True)
class Choice:
    """Instances by what they have in common; all that is given must hold."""

    app: str = ""
    """`NAME` or `NAME:VERSION` that should run; empty: any."""
    nodes: tuple[str, ...] = ()
    """On one of these; none: on any."""
    selector: Selector | None = None
    """On a node with such labels."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The instances that a choice means."""

    references: tuple[str, ...]
    """As NODE/ID, in order."""
    unreadable: tuple[str, ...] = ()
    """Those of which it cannot be told, as their record does not parse."""


def stored_node(client: Client, name: str) -> StoredNode:
    """One node: 1 request.

    Raises:
        errors.NotFound: there is none.
        errors.Conflict: its record does not parse.
    """
    try:
        check_name(name)
    except ValueError as problem:
        raise errors.Invalid(f"NODE: {problem}") from None
    entry = client.store.get(keys.node(name), consistent=True)
    if entry is None:
        raise errors.NotFound(f"there is no node {name}", hint="`roj nodes` lists all.")
    return _readable(entry, name)


def select_nodes(client: Client, selector: Selector) -> list[StoredNode]:
    """The nodes with such labels, by name: 1 request.

    Raises:
        errors.NotFound: there is none.
        errors.Conflict: a node's record does not parse, so that it cannot be told.
    """
    sentinels = _sentinels(listed(client.store, keys.DESIRED, consistent=True).entries)
    return _matching(sentinels, selector)


def select_instances(client: Client, choice: Choice, *, leaving: bool = False, none: bool = False) -> Chosen:
    """The instances that are meant, by node and id: 1 request.

    Args:
        leaving: those that are being undeployed are meant, too.
        none: there may be none.

    Raises:
        errors.NotFound: there is none, or a node that is named is not there, or none has such labels.
        errors.Conflict: a node's record does not parse, so that it cannot be told.
    """
    entries = listed(client.store, keys.DESIRED, consistent=True).entries
    sentinels = _sentinels(entries)
    if missing := [name for name in choice.nodes if name not in sentinels]:
        raise errors.NotFound(f"there is no node {', '.join(missing)}", hint="`roj nodes` lists all.")
    meant = list(choice.nodes) or None
    if choice.selector is not None:
        labelled = [found.name for found in _matching(sentinels, choice.selector)]
        meant = labelled if meant is None else [name for name in meant if name in labelled]
    references: list[str] = []
    unreadable: list[str] = []
    for entry in entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "instances", id] if meant is None or node in meant:
                record = decoded(Instance, entry, node=node, id=id)
                if isinstance(record, Unreadable):
                    (unreadable if choice.app or not leaving else references).append(f"{node}/{id}")
                elif _runs(record, choice.app) and (leaving or record.goal != "undeploy"):
                    references.append(f"{node}/{id}")
    if not references and not none:
        app = f" of {choice.app}" if choice.app else ""
        where = f" on {', '.join(meant)}" if meant else ""
        hint = "`roj instances` lists all."
        if unreadable:
            hint += f" The record of {', '.join(unreadable)} is not understood."
        raise errors.NotFound(f"there is no such instance{app}{where}", hint=hint)
    return Chosen(tuple(references), tuple(unreadable))


def _runs(instance: Instance, app: str) -> bool:
    return not app or app in (instance.app.name, str(instance.app))


def _sentinels(entries: Iterable[Entry]) -> dict[str, Entry]:
    found = {}
    for entry in entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "node"]:
                found[node] = entry
    return found


def _matching(sentinels: dict[str, Entry], selector: Selector) -> list[StoredNode]:
    nodes = [_readable(entry, name) for name, entry in sentinels.items()]
    found = [stored for stored in nodes if selector.matches(stored.node.labels)]
    if not found:
        raise errors.NotFound(f"no node has labels as in {selector}", hint=_labels_there(nodes))
    return found


def _labels_there(nodes: Sequence[StoredNode]) -> str:
    labels = sorted({f"{key}={value}": None for stored in nodes for key, value in stored.node.labels.items()})
    if not labels:
        return "No node has labels: `roj node label NODE KEY=VALUE` gives one."
    return f"There are {', '.join(labels[:10])}{' ...' if len(labels) > 10 else ''}."


def _readable(entry: Entry, name: str) -> StoredNode:
    record = decoded(Node, entry, name=name)
    if isinstance(record, Unreadable):
        raise errors.Conflict(
            f"the record of node {name} is not understood: {record.problem}",
            hint=f"`roj inspect node {name}` shows what is stored.",
        )
    return StoredNode(record, entry)
