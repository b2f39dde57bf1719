"""Apps: written once, read, removed when nothing uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.app import App, AppReference, AppSpec, Pin
from roj.api.faults import UnreadableRecord
from roj.api.instance import AppUse
from roj.api.record import digest_of
from roj.client import errors
from roj.client.app_users import refuse_used
from roj.client.audit import audit
from roj.client.client import Client
from roj.store.interface import (
    MAX_OPERATIONS,
    CheckAbsent,
    Conflict,
    Create,
    Delete,
    Discard,
    Entry,
    Operation,
    Swap,
    TooLarge,
    check_size,
)

MAX_HOST_PORTS = MAX_OPERATIONS - 5
"""Fixed ports of one app: an instance is created with claims and history at once, beside two checks and the guard."""


@dataclass(frozen=True, slots=True)
class StoredApp:
    """An app as the store has it."""

    app: App
    reference: AppReference
    version: int
    """Of the key in the store."""


def create_app(client: Client, name: str, version: str, spec: AppSpec, why: str = "") -> bool:
    """Write an app: 1 read and 1 write; 1 read where it is there already. Whether it was written: the same again is not.

    Raises:
        errors.Conflict: there is another app of that name and version.
        errors.Invalid: it is too large for the store, or takes more fixed ports than one transaction can claim.
        errors.Unreachable: no answer to the write in time.
    """
    app = App.of(
        spec, name=name, version=version, created=client.environment.now(), created_by=client.who, why=why
    )
    write = write_of(app)
    written = False

    def applied() -> bool:
        entry = client.store.get(write.key, consistent=True)
        return entry is not None and entry.value == write.value

    def attempt() -> bool:
        nonlocal written
        there = find_app(client, name, version)
        if there is not None and there.app.spec != spec:
            raise errors.Conflict(
                f"app {app.reference} is there already, with another specification",
                hint=f"Apps never change: write it under another version. `roj export app {app.reference}` prints it.",
            )
        if there is not None:
            return True
        try:
            client.write([write], applied, otherwise="The same again is safe.")
        except Conflict:
            return False
        written = True
        return True

    if not client.again(attempt, patient=False):
        raise errors.Conflict(f"others write and remove app {app.reference} all the time", hint="Repeat it.")
    return written


def write_of(app: App) -> Create:
    """The write of a new app.

    Raises:
        errors.Invalid: it is too large for the store, or takes more fixed ports than one transaction can claim.
    """
    if len(app.host_ports()) > MAX_HOST_PORTS:
        raise errors.Invalid(
            f"app {app.reference} takes {len(app.host_ports())} fixed ports of its node; {MAX_HOST_PORTS} is the most",
            hint="Leave the host out where any port of the node will do.",
        )
    write = Create(keys.app(app.name, app.version), app.encode())
    try:
        check_size([write])
    except TooLarge as problem:
        raise errors.Invalid(f"app {app.reference} is too large for the store: {problem}") from None
    return write


def find_app(client: Client, name: str, version: str) -> StoredApp | None:
    """An app, or None: 1 request.

    Raises:
        errors.Failed: its record does not parse.
    """
    entry = client.store.get(keys.app(name, version), consistent=True)
    if entry is None:
        return None
    try:
        app = App.decode(entry.value)
    except UnreadableRecord as problem:
        raise errors.Failed(f"the record of app {name}:{version} is not understood: {problem}") from None
    reference = AppReference(name=name, version=version, digest=digest_of(entry.value))
    return StoredApp(app, reference, entry.version)


def get_app(client: Client, name: str, version: str) -> StoredApp:
    """An app: 1 request, 2 if there is none.

    Raises:
        errors.NotFound: there is none.
    """
    found = find_app(client, name, version)
    if found is None:
        versions = [
            entry.key.rpartition("/")[2] for entry in client.store.list(f"{keys.APPS}{name}/").entries
        ]
        known = (
            f"There are the apps {', '.join(f'{name}:{v}' for v in versions[:10])}."
            if versions
            else "`roj apps` lists all."
        )
        raise errors.NotFound(f"there is no app {name}:{version}", hint=known)
    return found


def pinned_images(client: Client, app: App) -> dict[str, str]:
    """The image digests that an app's tags are pinned to, by container: 1 request.

    A pin of another image (of an app of that name and version that was removed) is none of it.
    """
    prefix = keys.pins(app.name, app.version)
    images = {container.name: container.image for container in app.containers}
    pinned = {}
    for entry in client.store.list(prefix).entries:
        container = entry.key.removeprefix(prefix)
        try:
            pin = Pin.decode(entry.value)
        except UnreadableRecord:
            continue
        if images.get(container) == pin.image:
            pinned[container] = pin.digest
    return pinned


def guard_write(client: Client, name: str, version: str, change: str) -> Operation:
    """The swap of an app's guard to `change`, to go with every write that refers to the app: 1 request."""
    key, value = keys.app_use(name, version), AppUse(change=change).encode()
    entry = client.store.get(key, consistent=True)
    return Create(key, value) if entry is None else Swap(key, value, entry.version)


def remove_apps(client: Client, references: Sequence[tuple[str, str]], why: str = "") -> None:
    """Remove apps with their pins: 3 lists and, for each, 2 reads, 1 list and 1 write. An event tells of it.

    All are looked at before the first is removed. The guard is read before the list and deleted with the app: a deploy
    that came in between has moved it, and the removal fails.

    Raises:
        errors.NotFound: one is not there; nothing was removed.
        errors.Conflict: an instance, a revision that one may be rolled back to, or a rollout that has not ended uses
            one; nothing was removed.
        errors.Unreachable: no answer to a write in time.
    """
    store = client.store
    found: dict[tuple[str, str], tuple[Entry, Entry | None]] = {}
    missing = []
    for name, version in references:
        guard = store.get(keys.app_use(name, version), consistent=True)
        entry = store.get(keys.app(name, version), consistent=True)
        if entry is None:
            missing.append(f"{name}:{version}")
        else:
            found[name, version] = entry, guard
    if missing:
        raise errors.NotFound(f"there is no app {', '.join(missing)}", hint="`roj apps` lists all.")
    refuse_used(client, references)
    for (name, version), (entry, guard) in found.items():
        _remove(client, name, version, entry, guard, why=why)


def _remove(client: Client, name: str, version: str, entry: Entry, guard: Entry | None, *, why: str) -> None:
    app = f"{name}:{version}"
    operations: list[Operation] = [
        Delete(entry.key, entry.version),
        # Without a guard nothing ever used it; one that came meanwhile fails this.
        CheckAbsent(keys.app_use(name, version)) if guard is None else Delete(guard.key, guard.version),
        *_pins_dropped(client, name, version, entry),
        *audit(client, reason="AppRemoved", message=f"app {app} was removed", why=why, app=app),
    ]

    def gone() -> bool:
        there = client.store.get(entry.key, consistent=True)
        return there is None or there.version != entry.version

    try:
        client.write(operations, gone, otherwise=f"`roj apps {name}` shows it; the same again is safe.")
    except Conflict:
        if gone():
            return
        refuse_used(client, [(name, version)])
        raise errors.Conflict(f"app {app} was used by somebody else just now", hint="Look again.") from None


def _pins_dropped(client: Client, name: str, version: str, entry: Entry) -> list[Operation]:
    try:
        containers = [container.name for container in App.decode(entry.value).containers]
    except UnreadableRecord:
        prefix = keys.pins(name, version)
        containers = [pin.key.removeprefix(prefix) for pin in client.store.list(prefix).entries]
    return [Discard(keys.pin(name, version, container)) for container in containers]
