"""Apps: written once, read, removed when nothing uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.app import App, AppReference, AppSpec, Pin
from roj.api.faults import UnreadableRecord
from roj.api.instance import AppUse, Instance
from roj.api.record import digest_of
from roj.client import errors
from roj.client.client import Client
from roj.store.interface import Conflict, Create, Delete, Entry, Operation, Swap, TooLarge


@dataclass(frozen=True, slots=True)
class StoredApp:
    """An app as the store has it."""

    app: App
    reference: AppReference
    version: int
    """Of the key in the store."""


def create_app(client: Client, name: str, version: str, spec: AppSpec, why: str = "") -> bool:
    """Write an app: 1 request, 2 where it is there already. Whether it was written: the same again is not.

    Raises:
        errors.Conflict: there is another app of that name and version.
        errors.Invalid: it is too large for the store.
    """
    environment = client.environment
    app = App(
        name=name,
        version=version,
        containers=spec.containers,
        created=environment.now(),
        created_by=client.who,
        why=why,
    )
    key, value = keys.app(name, version), app.encode()

    def applied() -> bool:
        entry = client.store.get(key, consistent=True)
        return entry is not None and entry.value == value

    try:
        client.write([Create(key, value)], applied)
    except TooLarge as problem:
        raise errors.Invalid(f"app {app.reference} is too large: {problem}") from None
    except Conflict:
        there = find_app(client, name, version)
        if there is None:
            raise errors.Conflict(f"app {app.reference} was removed just now", hint="Repeat it.") from None
        if there.app.spec == spec:
            return False
        raise errors.Conflict(
            f"app {app.reference} is there already, with another specification",
            hint=f"Apps never change: write it under another version. `roj export app {app.reference}` prints it.",
        ) from None
    return True


def find_app(client: Client, name: str, version: str) -> StoredApp | None:
    """An app, or None: 1 request.

    Raises:
        errors.Conflict: its record does not parse.
    """
    entry = client.store.get(keys.app(name, version), consistent=True)
    if entry is None:
        return None
    try:
        app = App.decode(entry.value)
    except UnreadableRecord as problem:
        raise errors.Conflict(f"app {name}:{version} cannot be used: {problem}") from None
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
            f"There are {', '.join(f'{name}:{v}' for v in versions[:10])}."
            if versions
            else "`roj apps` lists all."
        )
        raise errors.NotFound(f"there is no app {name}:{version}", hint=known)
    return found


def pinned_images(client: Client, name: str, version: str) -> dict[str, str]:
    """The image digests that an app's tags are pinned to, by container: 1 request."""
    prefix = keys.pins(name, version)
    pinned = {}
    for entry in client.store.list(prefix).entries:
        try:
            pinned[entry.key.removeprefix(prefix)] = Pin.decode(entry.value).digest
        except UnreadableRecord:
            continue
    return pinned


def guard_write(client: Client, name: str, version: str, change: str) -> Operation:
    """The swap of an app's guard to `change`, to go with every write that refers to the app: 1 request."""
    key, value = keys.app_use(name, version), AppUse(change=change).encode()
    entry = client.store.get(key, consistent=True)
    return Create(key, value) if entry is None else Swap(key, value, entry.version)


def remove_apps(client: Client, references: Sequence[tuple[str, str]]) -> None:
    """Remove apps with their pins: 1 list and, for each, 3 reads and 1 write.

    All are looked at before the first is removed.

    Raises:
        errors.NotFound: one is not there; nothing was removed.
        errors.Conflict: an instance, or a revision that one may be rolled back to, uses one; nothing was removed.
    """
    guards: dict[tuple[str, str], Entry | None] = {
        (name, version): client.store.get(keys.app_use(name, version), consistent=True)
        for name, version in references
    }
    entries = {(name, version): client.store.get(keys.app(name, version)) for name, version in references}
    missing = [f"{name}:{version}" for (name, version), entry in entries.items() if entry is None]
    if missing:
        raise errors.NotFound(f"there is no app {', '.join(missing)}", hint="`roj apps` lists all.")
    _refuse_used(client, references)
    for name, version in references:
        entry, guard = entries[name, version], guards[name, version]
        assert entry is not None
        operations: list[Operation] = [Delete(entry.key, entry.version)]
        if guard is not None:
            operations.append(Delete(guard.key, guard.version))
        else:
            # No guard: nothing ever used it. One that came meanwhile fails this; it goes with the same transaction.
            guard_key = keys.app_use(name, version)
            value = AppUse(change=client.environment.new_id()).encode()
            operations.append(Create(guard_key, value))
        for pin in client.store.list(keys.pins(name, version)).entries:
            operations.append(Delete(pin.key, pin.version))
        key = entry.key
        try:
            client.write(operations, lambda key=key: client.store.get(key, consistent=True) is None)  # type: ignore[misc]
        except Conflict:
            _refuse_used(client, [(name, version)])
            raise errors.Conflict(
                f"app {name}:{version} was used or removed by somebody else just now", hint="Look again."
            ) from None
        if guard is None:
            _drop_guard(client, name, version)


def _drop_guard(client: Client, name: str, version: str) -> None:
    entry = client.store.get(keys.app_use(name, version), consistent=True)
    if entry is not None:
        try:
            client.store.delete(entry.key, entry.version)
        except Conflict:
            return  # the app is there again, and in use


def _refuse_used(client: Client, references: Sequence[tuple[str, str]]) -> None:
    wanted = dict.fromkeys(references)
    users: dict[tuple[str, str], list[str]] = {}
    for entry in client.store.list(keys.DESIRED, consistent=True).entries:
        if "/instances/" not in entry.key:
            continue
        try:
            instance = Instance.decode(entry.value)
        except UnreadableRecord as problem:
            raise errors.Conflict(
                f"the record {entry.key} does not parse, so it is not known what it uses: {problem}"
            ) from None
        for app in dict.fromkeys(
            (revision.app.name, revision.app.version) for revision in instance.revisions
        ):
            if app in wanted:
                users.setdefault(app, []).append(f"{instance.node}/{instance.id}")
    if users:
        words = "; ".join(
            f"app {name}:{version} is used by {', '.join(found[:5])}" + (" ..." if len(found) > 5 else "")
            for (name, version), found in users.items()
        )
        raise errors.Conflict(words, hint="`roj undeploy INSTANCE` first.")
