"""Who goes on when: the choices of a run, by a seed or as recorded.

Every moment at which the scheduler may let another worker go on is a decision, and has a number. Where nothing is said
the worker that runs goes on, and after one that waits the one that has been ready longest. A run is the list of its
departures from that: recorded by `Chooser.made`, replayed with `Schedule(departures=...)`, and the shorter it is, the
easier to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

SEED_BITS = 64
LONGEST_GAP = 1_000_000
"""Decisions without a departure; a density of zero never ends one."""
SHORTEST_STALL, LONGEST_STALL = 0.01, 40.0
"""Seconds (virtual) that a stalled worker does not go on, spread evenly over the orders of magnitude."""


@dataclass(frozen=True, slots=True)
class Departure:
    """At a decision, another worker goes on, or the one that runs is not scheduled for a while."""

    worker: int = -1
    """Number of the worker that goes on; -1: it is a stall."""
    stall: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The choices of one run: a value, to be drawn, printed and replayed."""

    seed: int = 0
    """Of all randomness of the run: of the choices here, of the agents' own, and of the faults."""
    density: float = 0.0
    """Share of the decisions at which another worker goes on."""
    stalls: float = 0.0
    """Share of the decisions at which a worker is not scheduled for a while, as by a busy machine."""
    departures: Mapping[int, Departure] | None = None
    """A recorded run: `density` and `stalls` then mean nothing."""


class Numbered(Protocol):
    """A worker, as far as a choice goes."""

    number: int


class Chooser:
    """Makes the decisions of one run and notes the departures."""

    def __init__(self, schedule: Schedule) -> None:
        self.made: dict[int, Departure] = {}
        self.decisions = 0
        self._schedule = schedule
        self._replayed = schedule.departures
        self._random = Random(f"schedule {schedule.seed}")
        self._switch_in = self._gap(schedule.density)
        self._stall_in = self._gap(schedule.stalls)

    def at_point(self, ready: Sequence[Numbered]) -> Departure | None:
        """Whether the worker that runs is interrupted; `ready` are the others that could go on."""
        self.decisions += 1
        if self._replayed is not None:
            return self._replayed.get(self.decisions)
        self._stall_in -= 1
        if self._stall_in <= 0:
            self._stall_in = self._gap(self._schedule.stalls)
            spread = LONGEST_STALL / SHORTEST_STALL
            return self._make(Departure(stall=round(SHORTEST_STALL * spread ** self._random.random(), 3)))
        if not ready:
            return None
        self._switch_in -= 1
        if self._switch_in > 0:
            return None
        self._switch_in = self._gap(self._schedule.density)
        return self._make(Departure(self._random.choice(ready).number))

    def at_wait(self, ready: Sequence[Numbered]) -> Departure | None:
        """Which of several goes on after one that waits; None: the one that has been ready longest."""
        self.decisions += 1
        if self._replayed is not None:
            return self._replayed.get(self.decisions)
        if not self._schedule.density or len(ready) < 2:
            return None
        place = self._random.randrange(len(ready))
        return self._make(Departure(ready[place].number)) if place else None

    def calm(self) -> None:
        """No more stalls: the trouble is over."""
        self._stall_in = LONGEST_GAP * 1_000_000

    def _make(self, departure: Departure) -> Departure:
        self.made[self.decisions] = departure
        return departure

    def _gap(self, share: float) -> int:
        if share <= 0.0:
            return LONGEST_GAP * 1_000_000
        if share >= 1.0:
            return 1
        return min(LONGEST_GAP, 1 + int(self._random.expovariate(share)))
