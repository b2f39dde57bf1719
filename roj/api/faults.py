"""What is wrong with something that a person wrote: every fault at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 80
"""Letters that are shown of a text that is refused."""


@dataclass(frozen=True)
class Fault:
    """One fault of an input."""

    place: str
    """Where, in the words of the input: `containers[0].ports[1].host`; empty for the whole."""
    problem: str
    """What is wrong and what would be right."""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" if self.place else self.problem

    def under(self, place: str) -> Fault:
        """The same fault, where its place is within `place`."""
        dot = "." if place and self.place and not self.place.startswith("[") else ""
        return Fault(f"{place}{dot}{self.place}", self.problem)


class InvalidInput(ValueError):
    """Input that is refused, with all its faults."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class UnreadableRecord(ValueError):
    """A stored record that does not parse, or is of a newer format than this roj knows."""


def quoted(value: object) -> str:
    """What is refused, as it is shown: a text in quotes, escaped where it is not printable; of a long one the start."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:  # Python prints no number of some thousand digits
        return "a very large number"
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]!r}..."
    return repr(value)
