"""Events for readers: all, or those of one subject; once, or as they come.

events           1 list; where a reference matches none, 2 lists and 1 read more, to tell a quiet subject from none
follow           the same, then 1 blocking list at a time
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from roj.api import keys
from roj.api.event import Event
from roj.client.errors import NotFound
from roj.client.reading import listed
from roj.client.references import find_row
from roj.client.rows import EventRow, instance_rows
from roj.client.snapshot import Unreadable, decoded, read_snapshot
from roj.environment import Environment
from roj.store.interface import Entry, Listing, Store, StoreUnavailable

FOLLOW_WAIT = 60.0
"""Seconds that one blocking list lasts while events are followed."""
FOLLOW_PACE = 0.25
"""Seconds at least between two of them (DESIGN.md section 4)."""
FOLLOW_RETRY = 2.0
"""Seconds until the next try while the store is away."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom events are to be of; with nothing given, of anybody."""

    node: str = ""
    """With `id`: that instance of that node."""
    id: str = ""
    app: str = ""
    """`NAME:VERSION`."""
    word: str = ""
    """The name of a node or an app, or the id of an instance on any node."""

    @classmethod
    def of(cls, reference: str) -> Subject:
        """What a reference may mean, by its form."""
        node, _, id = reference.partition("/")
        if node and id:
            return cls(node=node, id=id)
        return cls(app=reference) if ":" in reference else cls(word=reference)

    @property
    def prefix(self) -> str:
        """Where its events are."""
        return keys.events(self.node) if self.node else keys.EVENTS

    def has(self, row: EventRow) -> bool:
        """Whether the event is one of its. One that does not parse may be, and is not hidden."""
        event = row.event
        if event is None:
            return True
        if self.id:
            return event.instance == self.id
        if self.app:
            return event.app == self.app
        return self.word in ("", row.node, event.instance, event.app.partition(":")[0])


def events(store: Store, reference: str = "") -> list[EventRow]:
    """Events, oldest first.

    Args:
        store: where to read.
        reference: a node, an app or an instance (its id, `NODE/ID`, or the unambiguous beginning of one that is there);
            empty: all events.

    Raises:
        NotFound: no event is of it, and there is no such node, app or instance.
        Invalid: several instances' ids begin so, and no event is of one that is called so.
    """
    listing, subject = _first(store, reference)
    return event_rows(listing.entries, subject)


def follow(
    store: Store, environment: Environment, reference: str, trouble: Callable[[StoreUnavailable], None]
) -> Iterator[list[EventRow]]:
    """Events as `events` has them, then, without end, those that are new or whose count has grown.

    Args:
        store: where to read.
        environment: for waiting.
        reference: as of `events`.
        trouble: is told, once, when the store has gone away meanwhile; it is asked again until it answers.

    Raises:
        StoreUnavailable: the store did not answer the first question.
        NotFound, Invalid: as `events`.
    """
    listing, subject = _first(store, reference)
    seen: dict[str, tuple[int, bytes]] = {}
    told = False
    while True:
        news = [entry for entry in listing.entries if seen.get(entry.key) != (entry.version, entry.value)]
        seen = {entry.key: (entry.version, entry.value) for entry in listing.entries}
        yield event_rows(news, subject)
        asked = environment.monotonic()
        try:
            answer = store.watch(subject.prefix, listing.index, FOLLOW_WAIT)
            told = False
            # An index that went back is worthless: list again.
            listing = store.list(subject.prefix) if answer.index < listing.index else answer
        except StoreUnavailable as error:
            if not told:
                trouble(error)
                told = True
            environment.sleep(FOLLOW_RETRY)
        environment.sleep(max(0.0, asked + FOLLOW_PACE - environment.monotonic()))


def _first(store: Store, reference: str) -> tuple[Listing, Subject]:
    """The first list, and whom the reference means."""
    subject = Subject.of(reference)
    listing = listed(store, subject.prefix)
    if reference and not any(row.event is not None for row in event_rows(listing.entries, subject)):
        subject = _known(store, reference, subject)
    return listing, subject


def _known(store: Store, reference: str, subject: Subject) -> Subject:
    """Whom a reference means that no event is of. Raises NotFound, Invalid."""
    if subject.app:
        if store.get(keys.app(*subject.app.split(":", 1))) is not None:
            return subject
        raise NotFound(f"there is no app {reference}, and no event of it", hint="`roj apps` lists all.")
    snapshot = read_snapshot(store)
    if subject.word in snapshot.node_names():
        return subject
    try:
        row = find_row(instance_rows(snapshot), reference)
    except NotFound:
        if subject.word and store.list(f"{keys.APPS}{subject.word}/").entries:
            return subject
        raise NotFound(
            f"there is no node, app or instance {reference}, and no event of it",
            hint="`roj nodes`, `roj apps` and `roj instances` list all; `roj events` alone lists all events.",
        ) from None
    return replace(subject, id=row.id) if subject.node else replace(subject, word=row.id)


def event_rows(entries: Iterable[Entry], subject: Subject = Subject()) -> list[EventRow]:
    """Events of `subject`, by time, then by sequence."""
    rows = []
    for entry in entries:
        ring, _, slot = entry.key.removeprefix(keys.EVENTS).partition("/")
        operators = entry.key.startswith(keys.OPERATORS)
        event = decoded(Event, entry) if operators else decoded(Event, entry, node=ring)
        if isinstance(event, Unreadable):
            row = EventRow(
                node="" if operators else ring, slot=f"{ring}/{slot}", event=None, message=event.problem
            )
        else:
            row = EventRow(node=event.node, slot=f"{ring}/{slot}", event=event, message=event.message)
        if subject.has(row):
            rows.append(row)
    return sorted(rows, key=lambda row: row.order)
