"""What becomes of each place of a file that is imported: taken, changed or refused, and why. Nothing goes in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from roj.api.app import AppSpec

Kind = Literal["taken", "changed", "refused"]


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one place of the file."""

    kind: Kind
    place: str
    """In the file's own words: `services.web.ports[0]`."""
    words: str = ""
    """What was changed, or why it is refused."""


class Refused(Exception):
    """A place of the file that the app file has nothing for."""

    def __init__(self, place: str, words: str) -> None:
        super().__init__(f"{place}: {words}")
        self.place = place
        self.words = words


class Notes:
    """The report of one import, in the order in which the file is read."""

    def __init__(self) -> None:
        self._notes: dict[Note, None] = {}

    def __iter__(self) -> Iterator[Note]:
        return iter(self._notes)

    def taken(self, place: str) -> None:
        self._notes[Note("taken", place)] = None

    def changed(self, place: str, words: str) -> None:
        self._notes[Note("changed", place, words)] = None

    def refused(self, place: str, words: str) -> None:
        self._notes[Note("refused", place, words)] = None

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        """While `place` is read: what the body refuses is noted, and so is `place` where a part of it spoils it all."""
        try:
            yield
        except Refused as refused:
            self.refused(refused.place, refused.words)
            if refused.place != place:
                self.refused(place, "is left out for it")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made."""

    spec: AppSpec | None
    """The app without what was refused; None: without that there is no app."""
    notes: tuple[Note, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was refused."""
        return all(note.kind != "refused" for note in self.notes)
