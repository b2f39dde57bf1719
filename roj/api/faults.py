"""What is wrong with something that a person wrote: every fault at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of an input."""

    place: str
    """Where, in the words of the input: `containers[0].ports[1].host`; empty for the whole."""
    problem: str
    """What is wrong and what would be right."""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" if self.place else self.problem


class InvalidInput(ValueError):
    """Input that is refused, with all its faults."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class UnreadableRecord(ValueError):
    """A stored record that does not parse, or is of a newer format than this roj knows."""
