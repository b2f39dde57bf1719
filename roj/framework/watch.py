"""Watching a prefix of the store: what to ask next and what to make of the answer. Pure: no clock, no store, no threads.

    empty --------> listing -------> watching ---.
      ^   ask for      ^   believed     |  ^     | believed
      |   a list       |                |  '-----'
      '------------ backing off <-------'
                  error, not believed, worthless index

A blocking query is not to be trusted (DESIGN.md section 4): it may wake for nothing, or not wake at all, and its index
may step back. So every answer is taken as the whole truth and compared by value with the last one that was believed;
deletions are what that comparison finds missing. An index that is lower than the one before, or zero, is worthless: a
`consistent` list is asked for, and what was believed stays until a new list is. A list that cannot be true is never
delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from roj.environment import Random
from roj.framework.backoff import Backoff
from roj.store.interface import Entry, Listing

Phase = Literal["empty", "listing", "watching", "backing off"]
Result = Literal["changed", "same", "worthless", "not_believed"]


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How a watch asks. All in seconds; the numbers are those of DESIGN.md section 4."""

    wait: float = 60.0
    """How long a blocking query may block. It is also the resync: what the store forgot to say is seen after it."""
    spacing: float = 0.25
    """From the start of a request to the start of the next, at least."""
    empty_spacing: float = 5.0
    """The same after an empty listing that says nothing new: such a query wakes for every write to the whole store."""
    first: float = 0.5
    """The longest backoff after one failure."""
    longest: float = 15.0
    """The longest backoff of all."""
    health: float = 30.0
    """Believed answers must have come for so long before earlier failures are forgotten."""


@dataclass(frozen=True, slots=True)
class View:
    """What is believed to be under the prefix."""

    entries: Mapping[str, Entry]
    changed: tuple[str, ...]
    """Keys that are new, other or gone since the view before, in order."""
    first: bool
    """There was no view before."""
    reset: bool
    """It comes from a new list, not from a watch that went on: whoever wrote there should look again."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a watch is. `Watch` makes new ones of it."""

    phase: Phase = "empty"
    believed: Mapping[str, Entry] | None = None
    index: int = 0
    """To be watched from; meaningful while watching."""
    not_before: float = 0.0
    """When the next request may be sent."""
    failures: int = 0
    """That count for the backoff."""
    healthy_since: float | None = None
    believed_at: float | None = None


class Watch:
    """The transitions. `now` is always seconds on a clock that does not go back."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._backoff = Backoff(first=settings.first, longest=settings.longest)

    def sent(self, state: State, now: float) -> State:
        """A request is sent: a blocking query if the phase is then `watching`, else a consistent list."""
        phase = state.phase
        if phase != "watching":
            phase = "empty" if state.believed is None else "listing"
        return replace(state, phase=phase, not_before=now + self._settings.spacing)

    def answered(
        self, state: State, listing: Listing, doubt: str | None, now: float, random: Random
    ) -> tuple[State, View | None, Result]:
        """The store answered.

        Args:
            state: since the request was sent.
            listing: the answer.
            doubt: why it cannot be true, or None.
            now: when it came.
            random: for the backoff.

        Returns: the state after it, what is to be delivered, if anything, and what the answer was worth.
        """
        if doubt is not None:
            return self.failed(state, now, random), None, "not_believed"
        watched = state.phase == "watching"
        if watched and listing.index < max(state.index, 1):
            return self.failed(state, now, random), None, "worthless"
        entries = {entry.key: entry for entry in listing.entries}
        changed = difference(state.believed or {}, entries)
        first, reset = state.believed is None, state.believed is not None and not watched
        view = View(entries, changed, first, reset) if first or reset or changed else None
        state = replace(
            self._healthy(state, now),
            phase="watching",
            believed=entries,
            index=listing.index,
            believed_at=now,
        )
        if not entries and not changed:
            state = replace(state, not_before=max(state.not_before, now + self._settings.empty_spacing))
        if listing.index < 1:  # good data, but nothing that a query could wait for
            state = self.failed(state, now, random)
        return state, view, "changed" if changed else "same"

    def failed(self, state: State, now: float, random: Random) -> State:
        """The request failed, or what came of it was no use: list again, after a while."""
        state = self._healthy(state, now) if state.healthy_since is not None else state
        failures = state.failures + 1
        later = max(state.not_before, now + self._backoff.delay(failures, random))
        return replace(state, phase="backing off", failures=failures, healthy_since=None, not_before=later)

    def poked(self, state: State) -> State:
        """Somebody wants a new list, at once."""
        return replace(state, phase="empty" if state.believed is None else "listing")

    def _healthy(self, state: State, now: float) -> State:
        since = now if state.healthy_since is None else state.healthy_since
        failures = 0 if now - since >= self._settings.health else state.failures
        return replace(state, healthy_since=since, failures=failures)


def difference(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> tuple[str, ...]:
    """Keys that are new, other (in value, version or holder) or gone, in order."""
    return tuple(sorted(key for key in {**old, **new} if old.get(key) != new.get(key)))
