"""Readers' side: the cluster as rows, each read in a stated number of requests to the store.

    instances        2 lists (with a node: of that node's prefixes)
    nodes            2 lists
    apps             2 lists
    cluster          1 get, 2 lists
    events           1 list; following: 1 blocking list at a time
    inspect          see `roj.client.inspection`

A record that does not parse is a row with a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase

from roj.api import keys
from roj.api.app import App
from roj.api.event import Event
from roj.api.instance import Instance
from roj.api.node import Cluster
from roj.api.record import digest_of
from roj.client.errors import NotFound
from roj.client.rows import (
    AppRow,
    ClusterSummary,
    EventRow,
    InstanceRow,
    NodeRow,
    cluster_phases,
    instance_rows,
    node_rows,
)
from roj.client.snapshot import Unreadable, decoded, read_snapshot
from roj.environment import Environment
from roj.store.interface import Entry, Store, StoreUnavailable

FOLLOW_WAIT = 60.0
"""Seconds that one blocking list lasts while events are followed."""
FOLLOW_PACE = 0.25
"""Seconds at least between two of them (DESIGN.md section 4)."""
FOLLOW_RETRY = 2.0
"""Seconds until the next try while the store is away."""


class View:
    """Reads the cluster. Every method raises StoreUnavailable and StoreDenied as the store does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def instances(self, node: str | None = None) -> list[InstanceRow]:
        """All instances, or those of one node, by node and id; containers without an instance too.

        Raises:
            NotFound: the store knows nothing of that node.
        """
        snapshot = read_snapshot(self._store, node)
        if node is not None and not snapshot.node_names():
            raise NotFound(f"there is no node {node}", hint="`roj nodes` lists all.")
        return instance_rows(snapshot)

    def nodes(self) -> list[NodeRow]:
        """All nodes, by name."""
        return node_rows(read_snapshot(self._store))

    def apps(self, glob: str = "*") -> list[AppRow]:
        """Apps whose name, or `NAME:VERSION`, matches `glob`, by name and age."""
        return app_rows(self._store.list(keys.APPS).entries, self._store.list(keys.DESIRED).entries, glob)

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

    def events(self, reference: str = "") -> list[EventRow]:
        """Events, oldest first: all, or those of a node, of an instance id, or of `NODE/ID`."""
        prefix, wanted = event_filter(reference)
        return event_rows(self._store.list(prefix).entries, wanted)

    def follow(
        self, environment: Environment, reference: str, trouble: Callable[[StoreUnavailable], None]
    ) -> Iterator[list[EventRow]]:
        """Events as `events` has them, then, without end, those that are new or whose count has grown.

        Args:
            environment: for waiting.
            reference: as of `events`.
            trouble: is told, once, when the store has gone away meanwhile; it is asked again until it answers.

        Raises:
            StoreUnavailable: the store did not answer the first question.
        """
        prefix, wanted = event_filter(reference)
        listing = self._store.list(prefix)
        seen: dict[str, tuple[int, bytes]] = {}
        told = False
        while True:
            news = [entry for entry in listing.entries if seen.get(entry.key) != (entry.version, entry.value)]
            seen = {entry.key: (entry.version, entry.value) for entry in listing.entries}
            yield event_rows(news, wanted)
            asked = environment.monotonic()
            try:
                answer = self._store.watch(prefix, listing.index, FOLLOW_WAIT)
                told = False
                # An index that went back is worthless: list again.
                listing = self._store.list(prefix) if answer.index < listing.index else answer
            except StoreUnavailable as error:
                if not told:
                    trouble(error)
                    told = True
                environment.sleep(FOLLOW_RETRY)
            environment.sleep(max(0.0, asked + FOLLOW_PACE - environment.monotonic()))


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


def event_filter(reference: str) -> tuple[str, str]:
    """The prefix to list for `reference`, and the node or id that an event must be of; empty: any."""
    node, slash, id = reference.partition("/")
    return (keys.events(node), id) if slash else (keys.EVENTS, node)


def event_rows(entries: Iterable[Entry], wanted: str = "") -> list[EventRow]:
    """Events of the node or instance `wanted` (empty: all), by time, then by sequence."""
    rows = []
    for entry in entries:
        node, _, slot = entry.key.removeprefix(keys.EVENTS).partition("/")
        event = decoded(Event, entry, node=node)
        if isinstance(event, Unreadable):
            row = EventRow(node=node, slot=slot, event=None, message=event.problem)
        else:
            row = EventRow(node=node, slot=slot, event=event, message=event.message)
        # One that does not parse may be of any instance of its node, and is not hidden.
        if not wanted or wanted == node or row.event is None or row.event.instance == wanted:
            rows.append(row)
    return sorted(rows, key=lambda row: row.order)
