"""Adopt: write down as wanted what a node obeys or reports (DESIGN.md section 3).

It ends a hold, where the store went back to an older order, and it claims an unclaimed instance.
"""

from __future__ import annotations

from dataclasses import dataclass

from roj.api import keys
from roj.api.app import App
from roj.api.faults import UnreadableRecord
from roj.api.instance import LINEAGE, Instance, PortClaim
from roj.api.node import Node
from roj.api.record import digest_of
from roj.client import errors
from roj.client.apps import guard_write
from roj.client.changes import history_write
from roj.client.client import Client
from roj.client.cluster import holder
from roj.client.goals import Change, change_of
from roj.client.records import has_change
from roj.client.references import Target, find_targets, with_status
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Check, Conflict, Create, Entry, Operation, Swap


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is to go by."""

    target: Target
    believed: Instance
    """The record that the node obeys."""
    app: App | None
    """Its app, as the node knows it."""
    entry: Entry | None
    """The store's record."""
    stored: Instance | None
    """The same decoded; None where it is not understood."""

    @property
    def name(self) -> str:
        return self.target.name


def adopt(client: Client, reference: str, why: str = "") -> Change:
    """Write the record that the instance's node believes, as a new order on top of itself.

    The reads of `find_targets`, then 6 (status, record, sentinel, app, guard, history), 1 more where the app has fixed
    ports, and 1 write: the app, where the store lost it, its guard, the record, the claims, the history. Where an
    operator wrote on top of the believed record already, there is nothing to do: 2 reads.

    Raises:
        errors.NotFound, errors.Invalid: the reference means nothing, or several.
        errors.Conflict: there is nothing to adopt, or it cannot be: another app of that name, a port that is taken.
        errors.Failed: what the node reports, or the node's record, is not understood.
        errors.Unreachable: no answer to the write in time.
    """
    (target,) = find_targets(client, [reference])
    change = client.environment.new_id()
    key = keys.instance(target.node, target.id)
    result: Change | None = None

    def attempt() -> bool:
        nonlocal result
        seen = _look(client, target)
        there = seen.stored
        if there is not None and there.uid == seen.believed.uid and seen.believed.change in there.lineage:
            result = change_of(there, written=change in there.lineage)
            return True
        new = _on_top(client, seen, change=change, why=why)
        try:
            client.write(
                _operations(client, seen, new),
                lambda: has_change(client, key, change),
                otherwise=f"`roj instances {target.node}` shows it; the same again is safe.",
            )
        except Conflict:
            return False
        result = change_of(new)
        return True

    if not client.again(attempt) or result is None:
        raise errors.Conflict(f"others changed {target.name} first, again and again", hint="Look again.")
    return result


def _look(client: Client, target: Target) -> _Seen:
    status = with_status(client, Target(target.node, target.id, None)).status
    entry = client.store.get(keys.instance(target.node, target.id), consistent=True)
    if status is None or status.believed is None:
        order = "another order than the store has" if entry is not None else "any order"
        raise errors.Conflict(
            f"there is nothing to adopt: {target.node} does not report that it obeys {order} for {target.id}",
            hint=f"`roj inspect instance {target.name}` shows what is wanted and what is reported.",
        )
    stored = decoded(Instance, entry, node=target.node, id=target.id) if entry is not None else None
    return _Seen(
        target, status.believed, status.believed_app, entry, stored if isinstance(stored, Instance) else None
    )


def _on_top(client: Client, seen: _Seen, *, change: str, why: str) -> Instance:
    """The believed record as a new order on top of itself, of a generation above any that the store had."""
    believed = seen.believed
    generation = max(believed.generation, seen.stored.generation if seen.stored is not None else 0)
    return believed.model_copy(
        update={
            "generation": generation + 1,
            "lineage": (change, *believed.lineage)[:LINEAGE],
            "who": client.who,
            "when": client.environment.now(),
            "why": why,
        }
    )


def _operations(client: Client, seen: _Seen, new: Instance) -> list[Operation]:
    key = keys.instance(new.node, new.id)
    sentinel = _node_check(client, seen)
    app, app_write = _app(client, seen)
    return [
        sentinel,
        app_write,
        guard_write(client, new.app.name, new.app.version, new.change),
        Create(key, new.encode()) if seen.entry is None else Swap(key, new.encode(), seen.entry.version),
        *_claims(client, seen, new, app),
        history_write(client, new),
    ]


def _node_check(client: Client, seen: _Seen) -> Check:
    node = seen.target.node
    entry = client.store.get(keys.node(node), consistent=True)
    if entry is None:
        raise errors.Conflict(
            f"the store does not know the node {node}",
            hint=f"`roj restore --state-dir DIR` on {node} puts back what the store has lost.",
        )
    record = decoded(Node, entry, name=node)
    if isinstance(record, Unreadable):
        raise errors.Failed(f"the record of node {node} is not understood: {record.problem}")
    if record.forgotten is not None:
        raise errors.Conflict(f"node {node} was forgotten, and takes no instances")
    return Check(entry.key, entry.version)


def _app(client: Client, seen: _Seen) -> tuple[App, Operation]:
    """The app that the believed record means, and the operation that makes certain that the store has it."""
    wanted = seen.believed.app
    key = keys.app(wanted.name, wanted.version)
    entry = client.store.get(key, consistent=True)
    if entry is None:
        app = seen.app
        if app is None or app.digest() != wanted.digest:
            raise errors.Conflict(
                f"the store has lost app {wanted}, and {seen.target.node} does not know it either",
                hint=f"`roj undeploy {seen.name}`, then create and deploy it anew.",
            )
        return app, Create(key, app.encode())
    if digest_of(entry.value) != wanted.digest:
        raise errors.Conflict(
            f"{seen.name} runs another app {wanted} than the store has",
            hint=f"`roj undeploy {seen.name}`, then deploy the one that is wanted.",
        )
    try:
        return App.decode(entry.value), Check(key, entry.version)
    except UnreadableRecord as problem:
        raise errors.Failed(f"the record of app {wanted} is not understood: {problem}") from None


def _claims(client: Client, seen: _Seen, new: Instance, app: App) -> list[Operation]:
    """The claims that are missing: 1 request where the app has fixed ports."""
    if not app.spec.host_ports():
        return []
    present = {entry.key: entry for entry in client.store.list(keys.ports(new.node), consistent=True).entries}
    value = PortClaim(uid=new.uid, instance=new.id).encode()
    operations: list[Operation] = []
    for protocol, port in app.spec.host_ports():
        key = keys.port(new.node, protocol, port)
        claim = present.get(key)
        if claim is None:
            operations.append(Create(key, value))
        elif _is_own(claim, new):
            operations.append(Swap(key, value, claim.version))
        else:
            raise errors.Conflict(
                f"{seen.name} cannot be adopted: port {port}/{protocol} of {new.node} is held by {holder(claim)}"
            )
    return operations


def _is_own(claim: Entry, new: Instance) -> bool:
    """Whether a claim is this instance's: of this life, or of another under the same id."""
    try:
        return PortClaim.decode(claim.value).instance == new.id
    except UnreadableRecord:
        return False
