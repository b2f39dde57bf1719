"""What operators declare of nodes: labels, marks, windows (`roj node VERB`), each a compare-and-swap of the sentinel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.node import LINEAGE, Drain, Mark, Node
from roj.client import errors
from roj.client.client import Client
from roj.client.selection import StoredNode, stored_node
from roj.store.interface import Check, CheckAbsent, Conflict, Operation, Swap

Edit = Callable[[Node, Mark], Node]
"""A node's record with a change in it, given who makes it, when and why; the same one where it is so already."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node after an operator's write."""

    before: Node
    after: Node
    written: bool = True
    """False: it was so already."""
    away: bool = False
    """Its agent is away: it obeys when it is back."""

    @property
    def name(self) -> str:
        return self.after.name


def change_nodes(
    client: Client,
    nodes: Sequence[StoredNode],
    edit: Edit,
    *,
    why: str = "",
    dry_run: bool = False,
    rejoins: bool = False,
    told: Callable[[NodeChange], None] = lambda _: None,
) -> list[NodeChange]:
    """Change each node's record, one after another: 1 read and 1 write each. Where it is so already nothing is written.

    Args:
        dry_run: nothing is written; what would be is returned.
        rejoins: the change is one that a forgotten node takes.
        told: called for each as soon as it is written: what is told stands, also where a later one is refused.

    Raises:
        errors.Conflict: a node was forgotten, or others wrote first again and again.
        errors.Unreachable: no answer to a write in time.
    """
    if not rejoins:
        _refuse_forgotten(stored.node for stored in nodes)
    done = []
    for stored in nodes:
        lease = client.store.get(keys.lease(stored.name))
        away = lease is None or not lease.session
        change = _change(client, stored, edit, why, (), dry_run=dry_run, away=away, rejoins=rejoins)
        done.append(change)
        told(change)
    return done


def forget_nodes(
    client: Client,
    nodes: Sequence[StoredNode],
    *,
    why: str = "",
    dry_run: bool = False,
    told: Callable[[NodeChange], None] = lambda _: None,
) -> list[NodeChange]:
    """Declare that nodes will not come back: 1 read and 1 write each.

    An agent that finds this of its node lets go of the lease, and touches nothing.

    Raises:
        errors.Conflict: the agent of one is there (none is written then), or others wrote first again and again.
        errors.Unreachable: no answer to a write in time.
    """
    leases = {stored.name: client.store.get(keys.lease(stored.name), consistent=True) for stored in nodes}
    present = [
        stored.name
        for stored in nodes
        if (lease := leases[stored.name]) is not None and lease.session and stored.node.forgotten is None
    ]
    if present:
        raise errors.Conflict(
            f"not forgotten: the agent of {', '.join(present)} is there, and holds the node's lease",
            hint="Stop that agent first. `roj node drain` empties a node that is to stay.",
        )
    done = []
    for stored in nodes:
        lease = leases[stored.name]
        guard = Check(lease.key, lease.version) if lease is not None else CheckAbsent(keys.lease(stored.name))
        change = _change(client, stored, forgotten, why, (guard,), dry_run=dry_run, away=True, rejoins=True)
        done.append(change)
        told(change)
    return done


# --- edits ---


def labelled(labels: Mapping[str, str | None]) -> Edit:
    """With these labels; None takes one off."""

    def edit(node: Node, _: Mark) -> Node:
        merged = {**node.labels, **{key: value for key, value in labels.items() if value is not None}}
        kept = {key: value for key, value in merged.items() if labels.get(key, "") is not None}
        return node if kept == node.labels else node.model_copy(update={"labels": kept})

    return edit


def cordoned(node: Node, mark: Mark) -> Node:
    """Takes no new instances."""
    return node if _stands(node.cordoned, mark) else node.model_copy(update={"cordoned": mark})


def uncordoned(node: Node, _: Mark) -> Node:
    """Takes new instances again, and what was drained starts again."""
    if node.cordoned is None and node.drained is None:
        return node
    return node.model_copy(update={"cordoned": None, "drained": None})


def frozen(seconds: float | None) -> Edit:
    """Its agent changes nothing, for so long."""

    def edit(node: Node, mark: Mark) -> Node:
        until = mark.when + timedelta(seconds=seconds) if seconds is not None else None
        before = node.frozen
        if before is not None and until is None and before.until is None and _stands(before, mark):
            return node
        return node.model_copy(update={"frozen": mark.model_copy(update={"until": until})})

    return edit


def unfrozen(node: Node, _: Mark) -> Node:
    """Its agent works again."""
    return node if node.frozen is None else node.model_copy(update={"frozen": None})


def drained(parallel: int) -> Edit:
    """Takes no new instances, and those that it has stop, so many at once."""

    def edit(node: Node, mark: Mark) -> Node:
        update: dict[str, object] = {}
        if node.drained is None or node.drained.parallel != parallel or not _stands(node.drained, mark):
            update["drained"] = Drain(who=mark.who, when=mark.when, why=mark.why, parallel=parallel)
        if node.cordoned is None:
            update["cordoned"] = mark
        return node.model_copy(update=update) if update else node

    return edit


def windowed(windows: Sequence[str]) -> Edit:
    """Changes that end a service wait for one of these windows; none: for nothing."""

    def edit(node: Node, _: Mark) -> Node:
        if node.windows == tuple(windows):
            return node
        return node.model_copy(update={"windows": tuple(windows)})

    return edit


def forgotten(node: Node, mark: Mark) -> Node:
    """Will not come back."""
    return node if _stands(node.forgotten, mark) else node.model_copy(update={"forgotten": mark})


def rejoined(node: Node, _: Mark) -> Node:
    """May come back after all."""
    return node if node.forgotten is None else node.model_copy(update={"forgotten": None})


def _stands(before: Mark | None, mark: Mark) -> bool:
    """Whether the mark is there already, and no other reason is given for it."""
    return before is not None and mark.why in ("", before.why)


# --- the write ---


def _refuse_forgotten(nodes: Iterable[Node]) -> None:
    faults = [
        Fault(node.name, node.forgotten.in_words("was forgotten"))
        for node in nodes
        if node.forgotten is not None
    ]
    hint = "`roj node rejoin NODE` takes one back."
    if len(faults) == 1:
        raise errors.Conflict(f"node {faults[0]}", hint=hint)
    if faults:
        raise errors.Conflict("these nodes take no changes:", faults=faults, hint=hint)


def _change(
    client: Client,
    stored: StoredNode,
    edit: Edit,
    why: str,
    guards: Sequence[Operation],
    *,
    dry_run: bool,
    away: bool,
    rejoins: bool,
) -> NodeChange:
    """One node's transaction, made anew as long as others write first."""
    environment = client.environment
    change, mark = environment.new_id(), Mark(who=client.who, when=environment.now(), why=why)
    done: NodeChange | None = None
    current: StoredNode | None = stored

    def attempt() -> bool:
        nonlocal current, done
        if current is None:
            current = stored_node(client, stored.name)
            if not rejoins:
                _refuse_forgotten([current.node])
        before = current.node
        if change in before.lineage:  # it was written after all, and somebody wrote on top of it
            done = NodeChange(stored.node, before, away=away)
            return True
        edited = edit(before, mark)
        if edited is before:
            done = NodeChange(before, before, written=False, away=away)
            return True
        after = edited.model_copy(update={"lineage": (change, *before.lineage)[:LINEAGE], "changed": mark})
        entry, current = current.entry, None
        if not dry_run:
            try:
                client.write(
                    [*guards, Swap(entry.key, after.encode(), entry.version)],
                    lambda: _has_change(client, entry.key, change),
                    otherwise="`roj nodes -o wide` shows what is declared; the same again is safe.",
                )
            except Conflict:
                return False
        done = NodeChange(before, after, away=away)
        return True

    if not client.again(attempt):
        raise errors.Conflict(
            f"others changed node {stored.name} first, again and again, or its agent came back",
            hint="Look again.",
        )
    assert done is not None
    return done


def _has_change(client: Client, key: str, change: str) -> bool:
    entry = client.store.get(key, consistent=True)
    try:
        return entry is not None and change in Node.decode(entry.value).lineage
    except UnreadableRecord:
        return False
