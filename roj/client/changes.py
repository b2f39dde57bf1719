"""What belongs to one change of an instance beside its record: the app's guard, claims on ports, history.

All goes into the transaction of the record. What is read for it is read after the record: as all of it is only written
together with the record, the swap of the record makes it certain that nothing moved since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from roj.api import keys
from roj.api.app import App, AppReference
from roj.api.faults import UnreadableRecord
from roj.api.instance import (
    History,
    Instance,
    InstanceStatus,
    PortClaim,
    Revision,
    Write,
    rolled_back,
    upgraded,
)
from roj.api.record import digest_of, rfc3339
from roj.client import errors
from roj.client.apps import StoredApp, guard_write, pinned_images
from roj.client.client import Client
from roj.client.cluster import holder
from roj.store.interface import Check, Create, Discard, Entry, Operation, Set, Swap


@dataclass(frozen=True, slots=True)
class Terms:
    """When and why a change is made."""

    why: str = ""
    at: datetime | None = None
    """The nodes do not act on it before, by their own clocks."""
    now: bool = False
    """It does not wait for maintenance windows."""
    if_change: str = ""
    """Only where the newest change of the instance begins so."""

    def write(self, client: Client) -> Write:
        """A new write on these terms, under an id of its own."""
        environment = client.environment
        return Write(environment.new_id(), environment.now(), client.who, self.why, self.at, self.now)

    def waits_otherwise(self, instance: Instance, status: InstanceStatus | None) -> bool:
        """Whether the node has not acted on the last change yet, and may wait for a time or a window not meant here."""
        acted = (
            status is not None
            and status.uid == instance.uid
            and status.observed_generation >= instance.generation
        )
        return not acted and (instance.at, instance.now) != (self.at, self.now)

    def overtaken(self, instance: Instance) -> str:
        """Why they do not allow to change `instance`, in words; empty: they do."""
        if instance.change.startswith(self.if_change):
            return ""
        return f"was changed since: its newest change is {instance.change}"


PLAIN = Terms()
"""At once, without a reason, whatever was changed before."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one instance, ready to be written."""

    before: Instance
    after: Instance
    operations: tuple[Operation, ...]


def upgrade_of(
    client: Client,
    entry: Entry,
    before: Instance,
    app: StoredApp,
    write: Write,
    *,
    images: dict[str, str] | None = None,
    serving: str = "",
) -> Change:
    """The change of an instance's app: 3 requests, 1 more where its images are not given, and 1 for every earlier app
    whose fixed ports are in question.

    Args:
        entry: the record as stored; `before` is what it says.
        images: the digests that the app's tags are pinned to.
        serving: the revision that its node says serves: it stays in the record.

    Raises:
        errors.Conflict: a fixed port is taken, or a change of its goal waits for its time.
    """
    if images is None:
        images = pinned_images(client, app.app)
    after = upgraded(before, write, app.reference, images, serving=serving)
    return _change(client, entry, before, after, app)


def rollback_of(client: Client, entry: Entry, before: Instance, revision: Revision, write: Write) -> Change:
    """The change that sets one of an instance's revisions again: 4 requests, and 1 for every other app whose fixed
    ports are in question.

    Raises:
        errors.Conflict: a fixed port is taken, or the revision's app is gone from the store.
    """
    app = _stored(client, revision.app)
    if app is None:
        raise errors.Conflict(
            f"app {revision.app}, which generation {revision.generation} of {before.id} ran, is no longer in the store",
            hint=f"`roj create {revision.app}` it again, the same.",
        )
    return _change(client, entry, before, rolled_back(before, write, revision), app)


def history_write(client: Client, instance: Instance) -> Operation:
    """The write of an instance's history, to go with every write of its record: 1 request."""
    return history_plus(read_history(client, instance.node, instance.id), instance)


def history_plus(history: History | None, instance: Instance) -> Operation:
    """The same where the history is known; None: there is none, as of every new instance."""
    key = keys.history(instance.node, instance.id)
    return Set(key, (history or History(uid=instance.uid)).plus(instance).encode())


def read_history(client: Client, node: str, id: str) -> History | None:
    """What was written of the changes of the id: 1 request. One that does not parse is begun anew: it is for people."""
    entry = client.store.get(keys.history(node, id), consistent=True)
    try:
        return History.decode(entry.value) if entry is not None else None
    except UnreadableRecord:
        return None


def _change(client: Client, entry: Entry, before: Instance, after: Instance, app: StoredApp) -> Change:
    if (
        before.at is not None
        and before.at > client.environment.now()
        and before.revision.generation < before.generation
    ):
        # The goal would be kept and its time lost: what was to stop tonight would stop now.
        raise errors.Conflict(
            f"{before.id} is to {before.goal} at {rfc3339(before.at)}, and that waits",
            hint=f"Another goal first takes that back: `roj start {before.id}`, or `roj stop {before.id}`.",
        )
    operations = (
        Check(keys.app(app.app.name, app.app.version), app.version),
        guard_write(client, app.app.name, app.app.version, after.change),
        Swap(entry.key, after.encode(), entry.version),
        *_claims(client, after, app.app),
        history_write(client, after),
    )
    return Change(before, after, operations)


def _claims(client: Client, after: Instance, app: App) -> Sequence[Operation]:
    """Claims on the fixed ports that the app takes; those that no revision takes any more are given up.

    What may be rolled back to keeps its ports, so that a rollback does not fail for want of one.
    """
    wanted = {keys.port(after.node, protocol, port): (protocol, port) for protocol, port in app.host_ports()}
    ours: dict[str, None] = {}
    taken = []
    for entry in client.store.list(keys.ports(after.node), consistent=True).entries:
        try:
            mine = PortClaim.decode(entry.value).uid == after.uid
        except UnreadableRecord:
            mine = False
        if mine:
            ours[entry.key] = None
        elif entry.key in wanted:
            protocol, port = wanted[entry.key]
            taken.append(f"port {port}/{protocol} of {after.node} is held by {holder(entry)}")
    if taken:
        raise errors.Conflict(f"{after.id} cannot get {after.app}: {'; '.join(taken)}")
    claim = PortClaim(uid=after.uid, instance=after.id).encode()
    unused = [key for key in ours if key not in wanted]
    if unused:
        kept = _kept_ports(client, after)
        unused = [] if kept is None else [key for key in unused if key not in kept]
    return [Create(key, claim) for key in wanted if key not in ours] + [Discard(key) for key in unused]


def _kept_ports(client: Client, after: Instance) -> dict[str, None] | None:
    """The claims of all revisions that are kept; None: an app of them is not known, so that all stay."""
    kept: dict[str, None] = {}
    for reference in dict.fromkeys(revision.app for revision in after.revisions):
        app = _stored(client, reference)
        if app is None:
            return None
        kept.update({keys.port(after.node, protocol, port): None for protocol, port in app.app.host_ports()})
    return kept


def _stored(client: Client, reference: AppReference) -> StoredApp | None:
    """The very app that a reference means, if the store has it."""
    entry = client.store.get(keys.app(reference.name, reference.version), consistent=True)
    if entry is None or digest_of(entry.value) != reference.digest:
        return None
    try:
        return StoredApp(App.decode(entry.value), reference, entry.version)
    except UnreadableRecord:
        return None
