"""What was done to one instance: its changes as operators wrote them, beside what became of each on its node.

`NODE/ID`: 2 lists of that node's wanted and reported state, then 1 get; an id alone: the same over all nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import History, HistoryEntry, Instance, InstanceStatus, Outcome
from roj.client import errors
from roj.client.references import find_row
from roj.client.rows import instance_rows
from roj.client.snapshot import Snapshot, read_snapshot
from roj.store.interface import Store


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change, and what became of it."""

    entry: HistoryEntry
    outcome: Outcome | None
    """None: it has no end yet, or its node does not know any more (it keeps the last ones)."""


def instance_history(store: Store, reference: str) -> list[HistoryRow]:
    """The changes of one instance, newest first.

    Args:
        store: where to read.
        reference: an id, `NODE/ID`, or the beginning of an id that no other has.

    Raises:
        errors.NotFound, errors.Invalid: there is none, or there are several.
        errors.Failed: its history is not understood.
    """
    node, slash, _ = reference.partition("/")
    snapshot = read_snapshot(store, node if slash else None)
    row = find_row(instance_rows(snapshot), reference)
    return history_rows(store, snapshot, row.node, row.id)


def history_rows(store: Store, snapshot: Snapshot, node: str, id: str) -> list[HistoryRow]:
    """The same of an instance of a snapshot: 1 get."""
    wanted, status = snapshot.instances.get((node, id)), snapshot.statuses.get((node, id))
    entry = store.get(keys.history(node, id))
    history: History | None = None
    if entry is not None:
        try:
            history = History.decode(entry.value)
        except UnreadableRecord as problem:
            raise errors.Failed(f"the history of {node}/{id} is not understood: {problem}") from None
    if isinstance(wanted, Instance) and not _has(history, wanted):
        history = (history or History(uid=wanted.uid)).plus(wanted)  # put back by hand, or by an older roj
    if history is None:
        return []
    outcomes: dict[int, Outcome] = {}
    if isinstance(status, InstanceStatus) and status.uid == history.uid:
        outcomes = {outcome.generation: outcome for outcome in status.outcomes}
    return [HistoryRow(each, outcomes.get(each.generation)) for each in history.entries]


def _has(history: History | None, wanted: Instance) -> bool:
    """Whether the record's change is told; the history may be the newer one of the two, as it is read later."""
    if history is None or history.uid != wanted.uid:
        return False
    return any(entry.change == wanted.change for entry in history.entries)
