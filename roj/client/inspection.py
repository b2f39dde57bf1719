"""Everything that is known of one app, node or instance, wanted and reported, as it is stored.

    app        1 get of the app and 1 of its guard, lists of its pins, of `desired/` and of `observed/`: 5 requests
    node       lists of its wanted and its reported state, and of its events: 3
    instance   `NODE/ID`: lists of that node's wanted and reported state and events, then gets of the app and the history
               and a list of its pins: 6. An id alone: the same with both lists over all nodes.

The result is plain data (dictionaries, lists, texts, numbers), for JSON. A record that does not parse is
`{"unreadable": why, "key": ..., "stored": its text}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from roj.api import keys
from roj.api.app import App, AppReference, Pin
from roj.api.instance import AppUse, Instance, InstanceStatus
from roj.api.names import parse_app_reference
from roj.api.record import Record, digest_of
from roj.client.errors import Failed, Invalid, NotFound
from roj.client.event_view import Subject, event_rows
from roj.client.history import history_rows
from roj.client.reading import listed
from roj.client.references import find_row
from roj.client.rows import InstanceRow, instance_rows, node_row
from roj.client.snapshot import InstanceName, Lease, Snapshot, Unreadable, decoded, read_snapshot
from roj.store.interface import Entry, Store

Data = dict[str, Any]


def inspect_app(store: Store, reference: str) -> Data:
    """The app, who uses it, what its images' tags were pinned to.

    Raises:
        Invalid: the reference is none.
        NotFound: there is no such app.
    """
    try:
        name, version = parse_app_reference(reference)
    except ValueError as error:
        raise Invalid(str(error)) from None
    entry = store.get(keys.app(name, version))
    if entry is None:
        raise NotFound(f"there is no app {reference}", hint="`roj apps` lists all.")
    use = store.get(keys.app_use(name, version))
    pins = _pins(store, name, version)
    snapshot = read_snapshot(store)
    return {
        "kind": "app",
        "name": name,
        "version": version,
        "digest": digest_of(entry.value),
        "desired": _stored(decoded(App, entry, name=name, version=version)),
        "pins": pins,
        "last_use": _stored(decoded(AppUse, use)) if use is not None else None,
        "instances": [_brief(row) for row in instance_rows(snapshot) if row.app == reference],
        "revisions": _kept_revisions(snapshot, name, version),
    }


def inspect_node(store: Store, name: str) -> Data:
    """The node as declared and as it reports, its instances, claims on ports, and events.

    Raises:
        NotFound: there is no such node.
    """
    snapshot = read_snapshot(store, name)
    if not snapshot.node_names():
        raise NotFound(f"there is no node {name}", hint="`roj nodes` lists all.")
    row = node_row(snapshot, name, len(snapshot.instances))
    return {
        "kind": "node",
        "name": name,
        "status": row.status,
        "message": row.message,
        "desired": _stored(snapshot.nodes.get(name)),
        "observed": _stored(snapshot.node_statuses.get(name)),
        "lease": _lease(snapshot.leases.get(name)),
        "instances": [_brief(row) for row in instance_rows(snapshot)],
        "claims": {port: _stored(claim) for port, claim in sorted(snapshot.claims.get(name, {}).items())},
        "pulls": _pulls(snapshot, name),
        "events": _events(listed(store, keys.events(name)).entries),
    }


def _pulls(snapshot: Snapshot, node: str) -> Data:
    """What the node was told to pull (`roj pull`), and how far it is; by `NAME:VERSION`."""
    wanted, reported = snapshot.pulls.get(node, {}), snapshot.pull_statuses.get(node, {})
    return {
        app: {"desired": _stored(wanted.get(app)), "observed": _stored(reported.get(app))}
        for app in sorted(wanted.keys() | reported.keys())
    }


def inspect_instance(store: Store, reference: str) -> Data:
    """The instance as wanted and as reported, its node's standing, app, pins, claims on ports, and events.

    Args:
        store: where to read.
        reference: an id, `NODE/ID`, or the beginning of an id that no other has.

    Raises:
        NotFound: there is none.
        Invalid: there are several.
    """
    node, slash, _ = reference.partition("/")
    snapshot = read_snapshot(store, node if slash else None)
    row = find_row(instance_rows(snapshot), reference)
    name: InstanceName = (row.node, row.id)
    wanted, status = snapshot.instances.get(name), snapshot.statuses.get(name)
    claims = {
        port: claim
        for port, claim in sorted(snapshot.claims.get(row.node, {}).items())
        if isinstance(claim, Unreadable) or (claim.instance, claim.uid) == (row.id, row.uid)
    }
    app = _app_of(wanted, row)
    entry = store.get(keys.app(*app)) if app is not None else None
    return {
        "kind": "instance",
        "id": row.id,
        "node": row.node,
        "app": row.app,
        "goal": row.goal or None,
        "phase": row.phase,
        "message": row.message,
        "node_status": node_row(snapshot, row.node, 0).status,
        "desired": _stored(wanted),
        "observed": _stored(status),
        "app_record": _stored(decoded(App, entry)) if entry is not None else None,
        "pins": _pins(store, *app) if app is not None else {},
        "claims": {port: _stored(claim) for port, claim in claims.items()},
        "revisions": [each.model_dump(mode="json") for each in wanted.revisions]
        if isinstance(wanted, Instance)
        else [],
        "outcomes": [each.model_dump(mode="json") for each in status.outcomes]
        if isinstance(status, InstanceStatus)
        else [],
        "history": _history(store, snapshot, name),
        "events": _events(listed(store, keys.events(row.node)).entries, row.id),
    }


def _history(store: Store, snapshot: Snapshot, name: InstanceName) -> list[Data]:
    try:
        rows = history_rows(store, snapshot, *name)
    except Failed as problem:
        return [{"unreadable": problem.message}]
    return [row.entry.model_dump(mode="json") for row in rows]


def _app_of(wanted: Instance | Unreadable | None, row: InstanceRow) -> tuple[str, str] | None:
    if isinstance(wanted, Instance):
        return wanted.app.name, wanted.app.version
    name, colon, version = row.app.partition(":")
    return (name, version) if colon else None


def _stored(record: Record | Unreadable | None) -> Data | None:
    """The record's fields, or what is there in their place."""
    if record is None:
        return None
    if isinstance(record, Unreadable):
        text = record.value.decode(errors="backslashreplace")
        return {"unreadable": record.problem, "key": record.key, "stored": text}
    # An app is shown as its file has it; its defaults are in docs/app.md.
    fields: Data = record.model_dump(mode="json", exclude_defaults=isinstance(record, App))
    return fields


def _lease(lease: Lease | None) -> Data | None:
    return {"held": lease.held, "by": _stored(lease.by)} if lease is not None else None


def _pins(store: Store, name: str, version: str) -> Data:
    prefix = keys.pins(name, version)
    return {
        entry.key.removeprefix(prefix): _stored(decoded(Pin, entry)) for entry in store.list(prefix).entries
    }


def _events(entries: Iterable[Entry], instance: str = "") -> list[Data]:
    return [
        (_stored(row.event) if row.event is not None else {"unreadable": row.message}) or {}
        for row in event_rows(entries, Subject(id=instance))
    ]


def _brief(row: InstanceRow) -> Data:
    return {
        "id": row.id,
        "node": row.node,
        "app": row.app,
        "goal": row.goal or None,
        "phase": row.phase,
        "message": row.message,
    }


def _kept_revisions(snapshot: Snapshot, name: str, version: str) -> list[Data]:
    """The instances that may be rolled back to the app: it cannot be removed."""

    def is_it(app: AppReference) -> bool:
        return (app.name, app.version) == (name, version)

    return [
        {"instance": f"{node}/{id}", "generation": revision.generation}
        for (node, id), instance in sorted(snapshot.instances.items())
        if isinstance(instance, Instance)
        for revision in instance.revisions[1:]
        if is_it(revision.app)
    ]
