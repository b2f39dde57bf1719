"""Which instance a person means: an exact id, `NODE/ID`, or the unambiguous beginning of an id.

Of two that are meant alike the one with a record wins over one that is only reported (an unclaimed one); NODE/ID tells
them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.instance import Instance, InstanceStatus
from roj.client import errors
from roj.client.client import Client
from roj.client.reading import listed
from roj.client.rows import InstanceRow
from roj.client.snapshot import Unreadable, decoded
from roj.store.interface import Entry


@dataclass(frozen=True, slots=True)
class Target:
    """An instance in the store: its desired record, its status, or both."""

    node: str
    id: str
    entry: Entry | None
    """The desired record as stored; None: it is unclaimed."""
    status: InstanceStatus | None = None
    """What its node reports, where it was asked for or there is no record."""

    @property
    def name(self) -> str:
        return f"{self.node}/{self.id}"

    def desired(self) -> Instance | None:
        """The desired record, decoded.

        Raises:
            errors.Conflict: it does not parse.
        """
        if self.entry is None:
            return None
        record = decoded(Instance, self.entry, node=self.node, id=self.id)
        if isinstance(record, Unreadable):
            raise errors.Conflict(
                f"the record of {self.name} is not understood, and so is not changed: {record.problem}",
                hint=f"`roj adopt {self.id}` puts back the last good one that its node obeys.",
            )
        return record


def find_targets(client: Client, references: Sequence[str]) -> list[Target]:
    """What each reference means, each target once.

    `NODE/ID` costs 1 request; all others together 1 list, and 1 more where one is no exact id that has a record.

    Raises:
        errors.NotFound: one means nothing.
        errors.Invalid: one means several; the candidates are named.
    """
    chosen: dict[str, Target] = {}
    open_: list[str] = []
    for reference in dict.fromkeys(references):
        exact = _exact(client, reference)
        if exact is not None:
            chosen[reference] = exact
        else:
            open_.append(reference)
    if open_:
        chosen.update(_search(client, open_))
    by_place = {(target.node, target.id): target for target in (chosen[each] for each in references)}
    return list(by_place.values())


def find_row(rows: Iterable[InstanceRow], reference: str) -> InstanceRow:
    """The row of an id, of `NODE/ID`, or of the beginning of an id that no other has.

    For readers, who have the rows anyway.

    Raises:
        errors.NotFound: there is none.
        errors.Invalid: several begin so; the message has them.
    """
    node, slash, id = reference.rpartition("/")
    there = [row for row in rows if not slash or row.node == node]
    for candidates in (
        [row for row in there if row.id == id and row.phase != "unclaimed"],
        [row for row in there if row.id == id],
        [row for row in there if id and row.id.startswith(id)],
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(row.full_name for row in candidates[:10])
            more = f" and {len(candidates) - 10} more" if len(candidates) > 10 else ""
            raise errors.Invalid(f"{reference} may be {names}{more}", hint="Write more of it, or NODE/ID.")
    raise errors.NotFound(f"there is no instance {reference}", hint="`roj instances` lists all.")


def with_status(client: Client, target: Target) -> Target:
    """`target` with what its node reports of it: 1 request, none where that is known.

    Raises:
        errors.Failed: the status does not parse.
    """
    if target.status is not None:
        return target
    entry = client.store.get(keys.instance_status(target.node, target.id), consistent=True)
    if entry is None:
        return target
    try:
        return replace(target, status=InstanceStatus.decode(entry.value))
    except UnreadableRecord as problem:
        raise errors.Failed(
            f"what {target.node} reports of {target.id} is not understood: {problem}"
        ) from None


def _exact(client: Client, reference: str) -> Target | None:
    node, slash, id = reference.partition("/")
    if not (slash and node and id) or "/" in id:
        return None
    entry = client.store.get(keys.instance(node, id), consistent=True)
    return Target(node, id, entry) if entry is not None else None


def _search(client: Client, references: Sequence[str]) -> dict[str, Target]:
    recorded = _by_place(listed(client.store, keys.DESIRED, consistent=True).entries, keys.DESIRED)
    targets = [Target(node, id, entry) for (node, id), entry in recorded.items()]
    if not all(len(_matching(targets, reference, exact=True)) == 1 for reference in references):
        targets += _unclaimed(client, recorded)
    chosen: dict[str, Target] = {}
    missing, faults = [], []
    for reference in references:
        with_record = [target for target in targets if target.entry is not None]
        found = (
            _matching(with_record, reference, exact=True)
            or _matching(targets, reference, exact=True)
            or _matching(targets, reference, exact=False)
        )
        if not found:
            missing.append(reference)
        elif len(found) > 1:
            names = ", ".join(target.name for target in found[:10])
            more = f" and {len(found) - 10} more" if len(found) > 10 else ""
            faults.append(Fault(reference, f"may be {names}{more}"))
        else:
            chosen[reference] = found[0]
    if missing:
        raise errors.NotFound(f"there is no instance {', '.join(missing)}", hint="`roj instances` lists all.")
    if faults:
        raise errors.Invalid(
            "it is not clear which instance is meant:",
            faults=faults,
            hint="Write more of the id, or NODE/ID.",
        )
    return chosen


def _matching(targets: Iterable[Target], reference: str, *, exact: bool) -> list[Target]:
    node, slash, id = reference.rpartition("/")
    return [
        target
        for target in targets
        if (not slash or target.node == node)
        and (target.id == id if exact else bool(id) and target.id.startswith(id))
    ]


def _unclaimed(client: Client, recorded: Mapping[tuple[str, str], Entry]) -> list[Target]:
    """What nodes report and the store has no record of."""
    found = []
    observed = _by_place(listed(client.store, keys.OBSERVED, consistent=True).entries, keys.OBSERVED)
    for (node, id), entry in observed.items():
        if (node, id) not in recorded:
            status = decoded(InstanceStatus, entry, node=node, id=id)
            if not isinstance(status, Unreadable):
                found.append(Target(node, id, None, status))
    return found


def _by_place(entries: Iterable[Entry], prefix: str) -> dict[tuple[str, str], Entry]:
    found = {}
    for entry in entries:
        match entry.key.removeprefix(prefix).split("/"):
            case [node, "instances", id]:
                found[node, id] = entry
    return found
