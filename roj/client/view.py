"""Readers' side: the cluster as rows, each read in a stated number of requests to the store.

    instances        2 lists (with a node: of that node's prefixes)
    nodes            2 lists
    apps             2 lists
    cluster          1 get, 2 lists
    inspect          see `roj.client.inspection`
    events           see `roj.client.event_view`

One request more for each list that is empty (`roj.client.reading`).

A record that does not parse is a row with a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from roj.api import keys
from roj.api.app import App
from roj.api.instance import Instance
from roj.api.node import Cluster, Node
from roj.api.record import digest_of
from roj.api.selector import Selector
from roj.client.errors import NotFound
from roj.client.reading import listed
from roj.client.rows import (
    AppRow,
    ClusterSummary,
    InstanceRow,
    NodeRow,
    cluster_phases,
    instance_rows,
    node_rows,
)
from roj.client.snapshot import Unreadable, decoded, read_snapshot
from roj.store.interface import Entry, Store


class View:
    """Reads the cluster. Every method raises StoreUnavailable and StoreDenied as the store does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def instances(self, node: str | None = None, selector: Selector | None = None) -> list[InstanceRow]:
        """All instances, or those of one node, by node and id; containers without an instance too.

        Args:
            node: only those of this one.
            selector: only those of nodes with such labels.

        Raises:
            NotFound: the store knows nothing of that node.
        """
        snapshot = read_snapshot(self._store, node)
        if node is not None and not snapshot.node_names():
            raise NotFound(f"there is no node {node}", hint="`roj nodes` lists all.")
        rows = instance_rows(snapshot)
        if selector is None:
            return rows
        labels = {name: record.labels for name, record in snapshot.nodes.items() if isinstance(record, Node)}
        return [row for row in rows if selector.matches(labels.get(row.node, {}))]

    def nodes(self) -> list[NodeRow]:
        """All nodes, by name."""
        return node_rows(read_snapshot(self._store))

    def apps(self, glob: str = "*") -> list[AppRow]:
        """Apps whose name, or `NAME:VERSION`, matches `glob`, by name and age."""
        return app_rows(
            listed(self._store, keys.APPS).entries, listed(self._store, keys.DESIRED).entries, glob
        )

    def cluster(self) -> ClusterSummary:
        """The cluster at a glance."""
        entry = self._store.get(keys.CLUSTER)
        record = decoded(Cluster, entry) if entry is not None else None
        snapshot = read_snapshot(self._store)
        nodes = snapshot.node_names()
        if record is None:
            message = "it has no id yet: no agent has run, or the store was lost"
        else:
            message = record.problem if isinstance(record, Unreadable) else ""
        return ClusterSummary(
            store=self._store.address,
            id=record.id if isinstance(record, Cluster) else None,
            created=record.created if isinstance(record, Cluster) else None,
            ready=tuple(node for node in nodes if snapshot.ready(node)),
            away=tuple(node for node in nodes if not snapshot.ready(node)),
            phases=cluster_phases(instance_rows(snapshot)),
            message=message,
        )


def app_rows(apps: Iterable[Entry], desired: Iterable[Entry], glob: str) -> list[AppRow]:
    """The apps that match, with the number of instances that want them."""
    counts: dict[tuple[str, str], int] = {}
    for entry in desired:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [_, "instances", _]:
                instance = decoded(Instance, entry)
                if isinstance(instance, Instance):
                    app = (instance.app.name, instance.app.version)
                    counts[app] = counts.get(app, 0) + 1
    rows = []
    for entry in apps:
        name, _, version = entry.key.removeprefix(keys.APPS).partition("/")
        if fnmatchcase(name, glob) or fnmatchcase(f"{name}:{version}", glob):
            rows.append(app_row(entry, name, version, counts.get((name, version), 0)))
    return sorted(rows, key=_age)


def app_row(entry: Entry, name: str, version: str, instances: int) -> AppRow:
    """One app as it is stored."""
    app = decoded(App, entry, name=name, version=version)
    readable = isinstance(app, App)
    return AppRow(
        name=name,
        version=version,
        app=app if isinstance(app, App) else None,
        digest=digest_of(entry.value) if readable else "",
        instances=instances,
        message=app.problem if isinstance(app, Unreadable) else "",
    )


def _age(row: AppRow) -> tuple[str, float, str]:
    return (row.name, row.app.created.timestamp() if row.app is not None else 0.0, row.version)
