"""Which instance a person means: an exact id, `NODE/ID`, or the unambiguous beginning of an id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.instance import Instance, InstanceStatus
from roj.client import errors
from roj.client.client import Client
from roj.store.interface import Entry


@dataclass(frozen=True, slots=True)
class Target:
    """An instance in the store: its desired record, its status, or both."""

    node: str
    id: str
    entry: Entry | None
    """The desired record as stored."""
    status: InstanceStatus | None

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
        try:
            return Instance.decode(self.entry.value)
        except UnreadableRecord as problem:
            raise errors.Conflict(
                f"the record of {self.name} does not parse, and so is not changed: {problem}",
                hint=f"`roj adopt {self.id}` puts back the last good one that its node obeys.",
            ) from None


def find_targets(client: Client, references: Iterable[str]) -> list[Target]:
    """What each reference means, each target once: 2 requests.

    Raises:
        errors.NotFound: one means nothing.
        errors.Invalid: one means several; the candidates are named.
    """
    targets = _all(client)
    chosen: dict[tuple[str, str], Target] = {}
    missing, faults = [], []
    for reference in references:
        found = _matching(targets, reference)
        if not found:
            missing.append(reference)
        elif len(found) > 1:
            names = ", ".join(target.name for target in found[:10])
            faults.append(Fault(reference, f"may be {names}{' ...' if len(found) > 10 else ''}"))
        else:
            chosen[found[0].node, found[0].id] = found[0]
    if missing:
        raise errors.NotFound(f"there is no instance {', '.join(missing)}", hint="`roj instances` lists all.")
    if faults:
        raise errors.Invalid("ambiguous; write more of the id, or NODE/ID:", faults=faults)
    return list(chosen.values())


def _matching(targets: list[Target], reference: str) -> list[Target]:
    node, slash, id = reference.rpartition("/")
    within = [target for target in targets if not slash or target.node == node]
    exact = [target for target in within if target.id == id]
    return exact or [target for target in within if id and target.id.startswith(id)]


def _all(client: Client) -> list[Target]:
    desired = _by_instance(client.store.list(keys.DESIRED, consistent=True).entries, keys.DESIRED)
    observed = _by_instance(client.store.list(keys.OBSERVED, consistent=True).entries, keys.OBSERVED)
    found = []
    for node, id in sorted({**desired, **observed}):
        status = None
        if (node, id) in observed:
            try:
                status = InstanceStatus.decode(observed[node, id].value)
            except UnreadableRecord:
                status = None
        if (node, id) in desired or status is not None:
            found.append(Target(node, id, desired.get((node, id)), status))
    return found


def _by_instance(entries: Iterable[Entry], prefix: str) -> dict[tuple[str, str], Entry]:
    found = {}
    for entry in entries:
        match entry.key.removeprefix(prefix).split("/"):
            case [node, "instances", id]:
                found[node, id] = entry
    return found
